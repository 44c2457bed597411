"""`qm backtest` and `qm runs`, as a user types them (§2 Backtesting)."""

from pathlib import Path

import pytest

from qmworkbench.cli.exit_codes import Exit
from tests.cli.books import answer, qm

BACKTEST = (
    "backtest", "opening-range", "--data", "demo:7:12", "--from", "2024-02-26", "--to", "2024-03-08",
    "--fee-per-share", "0.005", "--slippage-bps", "3", "--positions", "3", "--rank", "turnover",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two runs of the same strategy on the same bars, kept where runs are kept."""
    home = tmp_path_factory.mktemp("runs")
    for more in ((), ("--set", "range_bars=10", "--json")):
        done = qm(home, *BACKTEST, *more)
        assert done.returncode == Exit.OK, done.stderr
    return home


def test_a_result_is_one_page_in_words(home: Path) -> None:
    done = qm(home, *BACKTEST)
    assert done.returncode == Exit.OK, done.stderr
    for said in (
        "Opening-range momentum continuation", "12 symbols · 2024-02-26 to 2024-03-08 · minute bars · demo:7:12",
        "0.005 a unit, slippage 3 bps", "fills: the next open", "total return", "buy and hold", "deepest drawdown",
        "by hour of entry", "by what ended them", "by the market it began in", "qm runs show",
    ):  # fmt: skip
        assert said in done.stdout, said


def test_runs_are_listed_shown_and_compared(home: Path) -> None:
    listed = answer(qm(home, "runs", "list", "--json", "--strategy", "opening-range"))
    assert listed["count"] >= 2
    ids = [run["run_id"] for run in listed["runs"]]
    assert ids == sorted(ids, reverse=True)
    told = answer(qm(home, "runs", "show", ids[0], "--json"))["manifest"]
    assert told["kind"] == "backtest"
    assert told["terms"]["fee_per_unit"] == 0.005
    assert told["data"]["source"] == "demo:7:12"
    assert len(told["data"]["hash"]) == 16
    assert set(told["tables"]) >= {"equity", "sessions", "trades", "by_regime"}
    by_range = {run["params"]["range_bars"]: run["run_id"] for run in listed["runs"]}
    done = qm(home, "runs", "compare", by_range[15], by_range[10])
    assert done.returncode == Exit.OK, done.stderr
    assert "range_bars" in done.stdout
    assert "equity correlated" in done.stdout
    assert "asked exactly alike" not in done.stdout
    assert "sma-cross" not in qm(home, "runs", "list").stdout


def test_a_run_kept_elsewhere_has_its_page_and_a_damaged_one_is_listed_as_such(home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "runs"
    told = answer(qm(home, *BACKTEST, "--out", str(kept), "--json"))
    page = tmp_path / "sheet.html"
    assert str(page) in qm(home, "runs", "show", "latest", "--in", str(kept), "--out", str(page)).stdout
    assert "<svg" in page.read_text()
    assert Path(told["directory"]).parent == kept
    (Path(told["directory"]) / "equity.parquet").write_bytes(b"PAR1")
    listed = qm(home, "runs", "list", "--in", str(kept))
    assert listed.returncode == Exit.OK
    assert f"✗ {told['run_id']} is damaged: equity.parquet has 4 bytes" in listed.stdout
    shown = qm(home, "runs", "show", told["run_id"], "--in", str(kept))
    assert shown.returncode == Exit.FAILED
    assert "is damaged" in shown.stderr


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        (["backtest", "sma-cross", "--set", "fast_bars=9999"], Exit.NO_GO, "fast_bars = 9999 is out of range"),
        (["backtest", "sma-cross", "--data", "no-such"], Exit.FAILED, "the shelf has"),
        (["backtest", "sma-cross", "--from", "yesterday"], Exit.FAILED, "--from 'yesterday' is not a date"),
        (["backtest", "sma-cross", "--size", "lots"], Exit.FAILED, "--size 'lots'"),
        (["backtest", "sma-cross", "--fill", "close"], Exit.FAILED, "give next_open, signal_close"),
        (["backtest", "sma-cross", "--data", "package:bokeh-sampledata"], Exit.FAILED, "flat=carry"),
        (["runs", "compare", "latest", "latest"], Exit.FAILED, "two runs or more"),
    ],
)
def test_what_makes_no_sense_says_what_and_what_to_do(home: Path, asked: list[str], code: Exit, says: str) -> None:
    done = qm(home, *asked)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
