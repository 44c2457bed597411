"""`qm sweep`: from a grid as text to a verdict, once whole; what is refused, at once."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from qmworkbench.cli.app import app
from qmworkbench.cli.exit_codes import Exit

DATA = ("--data", "demo:7:2", "--from", "2024-03-04", "--to", "2024-03-06")


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def qm(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["sweep", *args])
    return done.exit_code, done.output


@pytest.mark.slow
def test_a_sweep_is_ranked_checked_judged_kept_and_found_again(tmp_path: Path) -> None:
    asked = ("sma-plain", "--grid", "fast=5:15:5,slow=15:40:5", *DATA, "--slippage-bps", "1", "--check", "1", "--json")
    code, said = qm(*asked)
    told = json.loads(said[said.index("{") :])
    assert code == Exit.OK, said
    assert (told["trials"], told["invalid"]) == (17, 1)
    assert told["invalid_because"] == ["fast_bars = 15 must be below slow_bars = 15; the averages could not cross"]
    assert told["checked"]["cases"] == 1
    assert told["checked"]["max_abs_diff"] < 1e-9
    assert told["checked"]["engine"].startswith("vectorbt")
    ratios = [row["sharpe"] for row in told["best"]]
    assert ratios == sorted(ratios, reverse=True)
    assert told["run_id"]
    home = Path(told["directory"])
    assert home.parent == tmp_path / "data" / "sweeps"
    assert pl.read_parquet(home / "results.parquet").height == 17 * 3

    code, said = qm(*asked[:-1])
    assert code == Exit.OK, said
    for part in ("sma-plain: 17 combinations, best by sharpe first", "done before", "17 combinations were tried"):
        assert part in said
    code, said = CliRunner().invoke(app, ["runs", "list"]).exit_code, CliRunner().invoke(app, ["runs", "list"]).output
    assert code == Exit.OK
    assert "sweep" in said
    assert "sma-plain" in said


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("sma-cross", "--grid", "fast=1:499,slow=2:500,stop_atr=0.1:50:0.1"), "124,500,500 combinations"),
        (("sma-cross", "--grid", "fast=30,slow=20"), "no combination of the grid"),
        (("sma-cross", "--grid", "speed=3"), "'speed' is none of its parameters"),
        (("sma-cross", "--grid", "fast=3:9", "--by", "luck"), "there is no figure 'luck'"),
        (("sma-cross", "--grid", "fast=3:9", "--set", "slow_bars=9000"), "slow_bars = 9000 is out of range"),
        (("sma-cross", "--grid", "fast=3:9", "--random", "5", "--search", "5"), "random and search are both given"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_any_bar_is_read(args: tuple[str, ...], says: str) -> None:
    code, said = qm(*args, "--data", "no-such-bars")

    assert code == Exit.NO_GO, said
    assert says in said
    assert "Remedy" in said or "allowed" in said


def test_what_cannot_be_done_says_why() -> None:
    code, said = qm("no-such", "--grid", "fast=3")
    assert code == Exit.FAILED
    assert "no-such" in said
    code, said = qm("sma-plain", "--grid", "fast=3,slow=9", *DATA, "--cash", "10", "--position", "20")
    assert code == Exit.FAILED
    assert "position 20.00 of cash 10.00" in said
    code, said = qm("sma-plain", "--grid", "fast=3,slow=9", *DATA, "--cluster", "http://127.0.0.1:1", "--check", "1")
    assert code == Exit.FAILED
    assert "no dask scheduler answers" in said


@pytest.mark.parametrize(
    ("costs", "says"),
    [
        (("--fee-bps", "-5"), "fee_rate is -0.0005: give 0 to 0.1"),
        (("--slippage-bps", "nan"), "slippage_rate is nan: give 0 to 0.1"),
        (("--participation", "3"), "participation is 3.0: give 0 to 1"),
        (("--top", "0"), "Invalid value for '--top'"),
    ],
)
def test_costs_that_nobody_has_are_refused_as_a_backtest_refuses_them(costs: tuple[str, ...], says: str) -> None:
    """Found by hand: a fee below zero was paid out at every fill, and the sweep looked the better for it."""
    code, said = qm("sma-plain", "--grid", "fast=3,slow=9", "--data", "no-such-bars", *costs)
    assert code == Exit.FAILED
    assert says in said
