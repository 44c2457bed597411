"""`qm data add` and `remove` killed, with a signal that nobody can catch: it was never begun then, or is done (§5).

Whatever the instant, `qm data check` says what is there, and the same command again comes to its end.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.market.store.manifest import MANIFEST, Manifest
from qmworkbench.market.store.reading import open_store
from tests.cli.books import answer, qm
from tests.cli.data_killed_process import INSTANTS
from tests.dying import KILLED
from tests.market.store.store_cases import DAYS, bars

ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "first": "data add in --store us",
    "more": "data add more.parquet --store us",
    "file": "data add more.parquet --name us",
    "remove": "data remove us",
}


def _before(home: Path, case: str) -> None:
    """What lies there when the command begins."""
    home.mkdir(parents=True)
    (home / "command.txt").write_text(CASES[case])
    (home / "in").mkdir()
    frame = bars("AAA BBB", days=2)
    for day in DAYS[:2]:
        frame.filter(pl.col("ts").dt.date() == day).write_parquet(home / "in" / f"{day}.parquet")
    bars("AAA BBB CCC", days=3).write_parquet(home / "more.parquet")
    if case in ("more", "remove"):
        assert qm(home, "data", "add", "in", "--store", "us").returncode == Exit.OK


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for each case and instant: what a process left that was killed there."""
    template, into = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("after")
    for case in CASES:
        _before(template / case, case)
    told = subprocess.run(
        [sys.executable, "-m", "tests.cli.data_killed_process", str(template), str(into)],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=600,
    ).stdout.split("\n")  # fmt: skip
    codes = dict(line.split() for line in told if line)
    assert {name: code for name, code in codes.items() if name.endswith("-0")} == {f"{case}-0": "0" for case in CASES}
    assert {code for name, code in codes.items() if not name.endswith("-0")} == {str(KILLED)}
    assert len(codes) >= len(CASES) * (INSTANTS - 1)
    return into


def _killed(ended: Path, case: str) -> list[Path]:
    return sorted(home for home in ended.glob(f"{case}-*") if not home.name.endswith("-0"))


def _manifest(home: Path) -> Manifest:
    return open_store(home / "data/added/us").manifest


def _parts(home: Path) -> list[tuple[str, str, int]]:
    return [(part.file, part.sha256, part.rows) for part in _manifest(home).parts]


def _files(home: Path) -> set[str]:
    """What lies in the store, but for its lock."""
    return {path.name for path in (home / "data/added/us").iterdir() if path.suffix != ".writer"}


def _rows_checked(home: Path) -> int:
    """What `qm data check` says; 0 where it says that there is nothing of that name."""
    checked = qm(home, "data", "check", "us", "--json")
    if checked.returncode == Exit.OK:
        return int(answer(checked)["rows"])
    assert answer(checked)["findings"][0]["code"] == "file_missing"
    assert "as added" not in qm(home, "data", "list").stdout
    return 0


@pytest.mark.parametrize(("case", "before"), [("first", 0), ("more", 120)])
def test_a_store_is_as_it_was_or_whole_and_the_addition_can_be_repeated(ended: Path, case: str, before: int) -> None:
    whole = ended / f"{case}-0"
    rows = sum(rows for _, _, rows in _parts(whole))
    found = set()
    for home in _killed(ended, case):
        found.add(_rows_checked(home))
        again = qm(home, *CASES[case].split())
        assert again.returncode == Exit.OK, (home.name, again.stderr)
        assert _parts(home) == _parts(whole), home.name
        assert _files(home) == _files(whole), "what was left half done is gone"
        assert _rows_checked(home) == rows
    assert found <= {before, rows}
    assert before in found


def test_a_file_comes_onto_the_shelf_or_does_not(ended: Path) -> None:
    for home in _killed(ended, "file"):
        assert _rows_checked(home) in (0, 270)
        again = qm(home, *CASES["file"].split())
        assert again.returncode == Exit.OK, (home.name, again.stderr)
        assert _rows_checked(home) == 270
        assert _files_on_shelf(home) == _files_on_shelf(ended / "file-0"), "what was left half done is gone"


def _files_on_shelf(home: Path) -> set[str]:
    return {path.name for path in (home / "data/added").iterdir() if path.suffix != ".writer"}


def test_a_store_that_was_being_removed_is_there_or_not_and_its_name_can_be_given_again(ended: Path) -> None:
    for home in _killed(ended, "remove"):
        assert _rows_checked(home) in (0, 120)
        again = qm(home, *CASES["first"].split())
        assert again.returncode == Exit.OK, (home.name, again.stderr)
        assert _rows_checked(home) == 120


def test_a_live_addition_is_killed_from_outside(tmp_path: Path) -> None:
    """Once it has begun to write: wherever it then is, within a write too."""
    home = tmp_path / "home"
    _before(home, "more")
    more = bars(" ".join(f"S{number:03}" for number in range(20)), minutes=390)
    more.write_parquet(home / "more.parquet")
    call = "from qmworkbench.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", call, *CASES["more"].split()],
        cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    at_first, deadline = _files(home), time.monotonic() + 300
    while process.poll() is None and not _files(home) - at_first - {".adding"}:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _rows_checked(home) in (120, 120 + more.height)
    assert qm(home, *CASES["more"].split()).returncode == Exit.OK
    told = pl.concat([bars("AAA BBB", days=2), more]).sort("symbol", "ts")
    assert open_store(home / "data/added/us").read().sort("symbol", "ts").equals(told)
    assert _files(home) == {
        MANIFEST,
        *(name for part in _manifest(home).parts for name in (part.file, part.manifest_file)),
    }
