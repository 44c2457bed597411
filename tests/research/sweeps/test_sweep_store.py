"""What a sweep leaves on disk: it goes on after a kill, and refuses what is not its own."""

import json
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from qmworkbench.research.fills.tape import Terms
from qmworkbench.research.sweeps.sweep import How, SweepResult, sweep
from qmworkbench.research.sweeps.sweep_engine import Setting
from qmworkbench.research.sweeps.sweep_store import SweepRefused
from tests.research.sweeps.sweep_cases import NoSecondOpinion, walk

GRID = "fast=2:6,slow=8:20:3"  # 25 combinations, 7 chunks of 4
CHUNK = 4


class Stopped(Exception):
    """What a test ends a sweep with."""


def into(out: Path, frame: pl.DataFrame, grid: str = GRID, progress: Any = None, **asked: Any) -> SweepResult:
    how = How(threads=1, sample=NoSecondOpinion(), chunk=CHUNK, progress=progress)
    return sweep("sma-plain", frame, grid, out=out, how=how, setting=Setting(Terms(fee_rate=1e-5)), **asked)


def stop_after(chunks: int) -> Any:
    seen = []

    def told(done: int, of: int) -> None:
        seen.append(done)
        if len(seen) == chunks:
            raise Stopped

    return told


@pytest.mark.parametrize("asked", [{}, {"random": 20, "seed": 2}])
def test_a_sweep_that_was_stopped_goes_on_to_the_same_results(tmp_path: Path, asked: Any) -> None:
    frame = walk(700, seed=1)
    whole = into(tmp_path / "whole", frame, **asked)
    with pytest.raises(Stopped):
        into(tmp_path / "cut", frame, progress=stop_after(3), **asked)
    kept = sorted((tmp_path / "cut" / "chunks").glob("rows-*"))
    stamps = [path.stat().st_mtime_ns for path in kept]
    assert len(kept) == 3
    (tmp_path / "cut" / "chunks" / "rows-000005.parquet.99.unfinished").write_bytes(b"half")

    seen: list[int] = []
    with pytest.raises(Stopped):
        into(tmp_path / "cut", frame, progress=stop_after(5), **asked)
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    done = into(tmp_path / "cut", frame, progress=lambda at, of: seen.append(at), **asked)

    assert seen[-1] == done.trials
    assert done.rows.equals(whole.rows)
    assert done.worth == whole.worth
    assert pl.read_parquet(tmp_path / "cut" / "results.parquet").equals(whole.rows)
    assert not (tmp_path / "cut" / "chunks").exists()


def test_a_search_goes_on_as_it_would_have(tmp_path: Path) -> None:
    frame, grid = walk(700, seed=2), "fast=2:30,slow=31:90"
    whole = into(tmp_path / "whole", frame, grid, search=130, seed=1)
    with pytest.raises(Stopped):
        into(tmp_path / "cut", frame, grid, search=130, seed=1, progress=stop_after(1))

    assert into(tmp_path / "cut", frame, grid, search=130, seed=1).rows.equals(whole.rows)


def test_a_killed_process_leaves_chunks_that_are_whole(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from tests.research.sweeps.test_sweep_store import into
        from tests.research.sweeps.sweep_cases import walk

        def told(done, of):
            if done >= 8:
                os.kill(os.getpid(), signal.SIGKILL)

        into(Path(sys.argv[1]), walk(700, seed=1), progress=told)
        """
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "cut"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=False,
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert json.loads((tmp_path / "cut" / "manifest.json").read_text())["status"] == "running"

    assert into(tmp_path / "cut", walk(700, seed=1)).rows.equals(into(tmp_path / "whole", walk(700, seed=1)).rows)


def test_done_before_is_told_from_what_was_kept(tmp_path: Path) -> None:
    frame = walk(700, seed=1)
    first = into(tmp_path, frame)
    again = into(tmp_path, frame)

    assert (first.kept, again.kept) == (False, True)
    assert again.rows.equals(first.rows)
    assert (again.worth, again.checked) == (first.worth, first.checked)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    identity = manifest["identity"]
    assert manifest["status"] == "complete"
    assert identity["grid"] == "fast_bars=2:6:1,slow_bars=8:20:3"
    assert identity["data"]["bars"] == 700
    assert {"numba", "numpy", "polars"} <= set(identity["libraries"])
    assert len(identity["code"]) == len(identity["data"]["hash"]) == 16


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"frame": walk(700, seed=9)}, "data: "),
        (
            {"grid": "fast=2:6,slow=8:23:3"},
            "grid: fast_bars=2:6:1,slow_bars=8:20:3, now fast_bars=2:6:1,slow_bars=8:23:3",
        ),
        ({"random": 5}, "random: None, now 5"),
    ],
)
def test_another_sweep_in_the_same_directory_is_refused(tmp_path: Path, other: Any, says: str) -> None:
    with pytest.raises(Stopped):
        into(tmp_path, walk(700, seed=1), progress=stop_after(1))

    asked = {"frame": walk(700, seed=1), **other}
    with pytest.raises(SweepRefused, match="another sweep") as refused:
        into(tmp_path, **asked)
    assert says in str(refused.value)
    assert "another directory" in refused.value.remedy


def test_a_directory_that_is_no_sweep_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[1, 2]")
    with pytest.raises(SweepRefused, match=r"is no sweep's manifest"):
        into(tmp_path, walk(700))
    (tmp_path / "file").write_text("")
    with pytest.raises(SweepRefused, match="cannot write to"):
        into(tmp_path / "file" / "below", walk(700))


def test_no_room_on_disk_is_said_and_what_was_written_stays(tmp_path: Path) -> None:
    frame = walk(700, seed=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(path.stat().st_size for path in _chunks_of(tmp_path / "first", frame))

    def told(done: int, of: int) -> None:
        if done == 2 * CHUNK:  # from here on no file may be as large as a chunk is
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))

    try:
        with pytest.raises(SweepRefused, match=r"no room on the disk of .*; 2 chunks are written and stay") as full:
            into(tmp_path / "cut", frame, progress=told)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "run the same command again" in full.value.remedy
    assert not list((tmp_path / "cut" / "chunks").glob("*.unfinished"))
    assert into(tmp_path / "cut", frame).trials == 25


def _chunks_of(out: Path, frame: pl.DataFrame) -> list[Path]:
    with pytest.raises(Stopped):
        into(out, frame, progress=stop_after(1))
    return list((out / "chunks").iterdir())
