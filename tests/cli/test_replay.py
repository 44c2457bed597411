"""`qm replay` through the real command: the decisions of `qm day`, nothing on disk, a table of trades."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.cli.exit_codes import Exit
from tests.cli.books import answer, qm
from tests.cli.test_days import FAST


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The nine pairs around the shock of 2015-01-15."""
    at = pl.col("ts").dt.date()
    bars = pl.read_parquet(shared_data / "forex_hourly_9pairs_2015_2018.parquet")
    path = tmp_path_factory.mktemp("replay") / "pairs.parquet"
    bars.filter(at.is_between(date(2015, 1, 2), date(2015, 1, 21))).write_parquet(path)
    return path


def test_it_comes_to_what_the_days_come_to(tmp_path: Path, pairs: Path) -> None:
    period = ("--data", str(pairs), "--from", "2015-01-14", "--to", "2015-01-16", "--json")
    replayed = qm(tmp_path, "replay", *period, "--trades", "trades.csv")
    assert replayed.returncode == Exit.OK, replayed.stderr
    assert not (tmp_path / "data").exists(), "nothing of it is kept"
    days = qm(tmp_path, "day", *period, *FAST)
    assert days.returncode == Exit.OK, days.stderr
    ours, theirs = answer(replayed), answer(days)
    assert len(ours["days"]) == 3
    timing = {"decision_head", "session_s", "wall_s"}
    for one, other in zip(ours["days"], theirs["days"], strict=True):
        assert {name: one[name] for name in one.keys() - timing} == {name: other[name] for name in one.keys() - timing}
    trades = pl.read_csv(tmp_path / "trades.csv")
    assert trades.height == ours["trades"] > 0
    assert {"strategy_id", "symbol", "opened_at", "net_pnl", "r_multiple"} <= set(trades.columns)


def test_signals_boundary_by_boundary_lead_to_the_same_decisions(tmp_path: Path, pairs: Path) -> None:
    period = ("replay", "--data", str(pairs), "--from", "2015-01-15", "--to", "2015-01-15", "--json")
    one_pass, incremental = answer(qm(tmp_path, *period)), answer(qm(tmp_path, *period, "--incremental"))
    assert one_pass["decision_head"] == incremental["decision_head"]


def test_months_are_summed_up_for_people(tmp_path: Path, pairs: Path) -> None:
    done = qm(tmp_path, "replay", "--data", str(pairs), "--from", "2015-01-19")
    assert done.returncode == Exit.OK, done.stderr
    assert "4 sessions" in done.stdout
    assert "2015-01-19" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--trades", "out.xlsx"), "out.xlsx"),
        (("--from", "2015-01-17", "--to", "2015-01-18"), "it is a Saturday"),
        (("--from", "2020-01-17"), "2015-01-02 to 2015-01-22"),
    ],
)
def test_what_cannot_be_replayed_is_said(tmp_path: Path, pairs: Path, arguments: tuple[str, ...], named: str) -> None:
    done = qm(tmp_path, "replay", "--data", str(pairs), *arguments)
    assert done.returncode == Exit.FAILED
    assert named in done.stderr
