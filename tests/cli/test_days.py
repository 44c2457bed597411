"""Many days through the real command: one book, day after day, the same as day by day; how it stops and goes on."""

import json
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.service import config as configuration
from qmworkbench.service.offline import read_state
from tests.cli.books import ROOT, answer, book_in, qm

FAST = ("--one-pass", "--no-reports", "--headless")


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The twelve symbols that moved most, from 2018-02-26 on; nobody trades on the 28th."""
    bars = pl.read_parquet(shared_data / "us_equity_minute_2018.parquet")
    busiest = bars.group_by("symbol").agg((pl.col("high").max() / pl.col("low").min()).alias("range"))
    names = busiest.sort("range", "symbol", descending=True).head(12)["symbol"]
    day = pl.col("ts").dt.date()
    kept = bars.filter(pl.col("symbol").is_in(names.implode()), day >= date(2018, 2, 26), day != date(2018, 2, 28))
    path = tmp_path_factory.mktemp("days") / "bars.parquet"
    kept.write_parquet(path)
    return path


def test_a_period_is_decided_as_its_days_one_by_one(tmp_path: Path, file: Path) -> None:
    whole, single = tmp_path / "whole", tmp_path / "single"
    for home in (whole, single):
        home.mkdir()
    period = qm(whole, "day", "--data", str(file), "--from", "2018-03-02", "--to", "2018-03-05", *FAST, "--json")
    assert period.returncode == Exit.OK, period.stderr
    found = answer(period)
    days = [
        answer(qm(single, "day", "--data", str(file), "--date", day, *FAST, "--json"))
        for day in ("2018-03-02", "2018-03-05")
    ]
    assert [line["decision_head"] for line in found["days"]] == [day["decision_head"] for day in days]
    assert [line["session"] for line in found["days"]] == [day["session"] for day in days]
    assert found["decision_head"] == days[-1]["decision_head"]
    assert found["trades"] == sum(day["trades"] for day in days) > 0
    assert Decimal(found["net_pnl"]) == sum(Decimal(day["net_pnl"]) for day in days)
    assert Decimal(found["equity_end"]) == Decimal(found["equity_start"]) + Decimal(found["net_pnl"])
    assert found["verdicts"] == {"pre-start": "GO", "pre-market": "GO"}
    assert found["breaks"] == 0
    equity = [(line["equity_start"], line["equity_end"]) for line in found["days"]]
    assert [start for start, _ in equity[1:]] == [end for _, end in equity[:-1]], "each day begins with the last one's"
    state = read_state(configuration.load(cwd=whole, environ={})).state
    assert len(state.closed_sessions) == 2


def test_dates_without_a_session_are_passed_over_with_their_reason(tmp_path: Path, file: Path) -> None:
    done = qm(
        tmp_path, "day", "--data", str(file), "--from", "2018-02-19", "--to", "2018-03-01", "--symbols", "4", *FAST,
        "--json",
    )  # fmt: skip
    assert done.returncode == Exit.OK, done.stderr
    skipped = {one["date"]: one["why"] for one in answer(done)["skipped"]}
    assert list(skipped) == ["2018-02-20", "2018-02-28"]
    assert "4 sessions from here to 2018-02-23 are not in the file" in skipped["2018-02-20"]
    assert "2018-02-26 to 2018-03-16" in skipped["2018-02-20"]
    assert "not one bar" in skipped["2018-02-28"]
    assert [line["date"] for line in answer(done)["days"]] == ["2018-02-26", "2018-02-27", "2018-03-01"]


def test_holidays_weekends_and_half_days_of_the_demo_market(tmp_path: Path) -> None:
    done = qm(
        tmp_path, "day", "--from", "2024-07-03", "--to", "2024-07-07", "--symbols", "8", *FAST, "--json"
    )  # fmt: skip
    assert done.returncode == Exit.OK, done.stderr
    found = answer(done)
    why = {one["date"]: one["why"] for one in found["skipped"]}
    assert why["2024-07-04"] == "July 4th"
    assert (why["2024-07-06"], why["2024-07-07"]) == ("it is a Saturday", "it is a Sunday")
    assert [line["date"] for line in found["days"]] == ["2024-07-03", "2024-07-05"]
    assert SessionCalendar("XNYS").session_window(date(2024, 7, 3)).half_day
    assert "2024-07-04 is passed over: July 4th" in done.stderr
    assert "2 weekend days" in done.stderr


def test_a_forex_week_with_its_weekend(tmp_path: Path, shared_data: Path) -> None:
    bars = shared_data / "forex_hourly_9pairs_2015_2018.parquet"
    done = qm(
        tmp_path, "day", "--data", str(bars), "--from", "2015-01-14", "--to", "2015-01-20", *FAST, "--json"
    )  # fmt: skip
    assert done.returncode == Exit.OK, done.stderr
    found = answer(done)
    assert [line["date"][-2:] for line in found["days"]] == ["14", "15", "16", "19", "20"]
    assert (found["breaks"], found["stopped"]) == (0, "")
    assert found["trades"] > 0
    assert set(found["verdicts"].values()) == {"GO"}


def test_the_same_command_again_finds_everything_closed(tmp_path: Path, file: Path) -> None:
    command = ("day", "--data", str(file), "--from", "2018-03-01", "--to", "2018-03-02", "--symbols", "4", *FAST)
    first, again = (qm(tmp_path, *command, "--json") for _ in range(2))
    before, after = answer(first), answer(again)
    assert again.returncode == Exit.OK
    assert "2 of them closed already" in again.stderr
    assert all(line["ran_before"] for line in after["days"])
    for name in ("trades", "net_pnl", "equity_start", "equity_end", "decision_head", "max_drawdown", "verdicts"):
        assert after[name] == before[name], name
    (book_in(tmp_path).session("main-2018-03-02").root / "day.json").unlink()
    from_record = answer(qm(tmp_path, *command, "--json"))
    assert (from_record["trades"], from_record["decision_head"]) == (before["trades"], before["decision_head"])


# Ctrl-C in the middle of the second day, however quick or slow the machine.
_STOPPED_ON_THE_SECOND_DAY = """
import os, signal
from qmworkbench.cli import main
from qmworkbench.storage.barstore import BarStore

append, days = BarStore.append, []

def pressed(store, frame):
    append(store, frame)
    if store.segments not in days:
        days.append(store.segments)
        if len(days) == 2:
            os.kill(os.getpid(), signal.SIGINT)

BarStore.append = pressed
main()
"""


def test_a_stop_ends_at_a_safe_point_and_the_same_command_goes_on(tmp_path: Path, file: Path) -> None:
    command = ("day", "--data", str(file), "--from", "2018-03-01", "--to", "2018-03-02", *FAST, "--json")
    process = subprocess.run(
        [sys.executable, "-c", _STOPPED_ON_THE_SECOND_DAY, *command],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == Exit.INTERRUPTED, process.stderr
    assert "to go on with the period: qm day" in process.stderr
    stopped = json.loads(process.stdout)
    assert stopped["stopped"].startswith("stopped by SIGINT")
    done = qm(tmp_path, *command)
    assert done.returncode == Exit.OK, done.stderr
    found = answer(done)
    assert [line["date"][-2:] for line in found["days"]] == ["01", "02"]
    assert [line["ran_before"] for line in found["days"]].count(True) == len(stopped["days"]) > 0
    assert found["breaks"] == 0


def test_a_no_go_ends_the_sequence_and_says_how_to_go_on(tmp_path: Path, file: Path) -> None:
    limits = tmp_path / "qm.toml"
    limits.write_text("[limits]\nmax_daily_loss = 1_000_000\n")
    command = ("day", "--data", str(file), "--from", "2018-03-01", "--to", "2018-03-02", "--symbols", "4", *FAST)
    for more in ((), ("--keep-going",)):
        refused = qm(tmp_path, *command, *more, "--json")
        assert refused.returncode == Exit.NO_GO, refused.stderr
        found = answer(refused)
        assert found["days"] == []
        assert found["stopped"].startswith("2018-03-01: pre-start preflight says NO-GO")
        assert "give the same command again" in refused.stderr
    limits.unlink()
    done = qm(tmp_path, *command, "--json")
    assert done.returncode == Exit.OK, done.stderr
    assert len(answer(done)["days"]) == 2


def _with_a_break(home: Path, *, keep_going: bool, file: Path) -> tuple[int, Any, str]:
    """Two days, in the first of which the venue's books are falsified while it runs."""
    more = ("--keep-going",) if keep_going else ()
    assert qm(home, "day", "--data", str(file), "--date", "2018-03-01", "--symbols", "4", *FAST).returncode == Exit.OK
    assert qm(home, "drill", "break", "--symbol", _a_symbol(file), "--qty", "5").returncode == Exit.OK
    command = ("day", "--data", str(file), "--from", "2018-03-01", "--to", "2018-03-05", "--symbols", "4", *FAST)
    done = qm(home, *command, *more, "--json")
    return done.returncode, answer(done), done.stderr


def _a_symbol(file: Path) -> str:
    return str(pl.read_parquet(file, columns=["symbol"])["symbol"].min())


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_break_ends_the_sequence_unless_it_is_to_keep_going(tmp_path: Path, file: Path, keep_going: bool) -> None:
    code, found, said = _with_a_break(tmp_path, keep_going=keep_going, file=file)
    assert code == Exit.NO_GO, said
    assert found["days"][0]["ran_before"]
    print(json.dumps(found, indent=1), said)
    assert "2018-03-02" in (found["stopped"] or found["problems"][0]["date"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--from", "2018-03-05", "--to", "2018-03-01"), "ends before it begins"),
        (("--from", "2017-01-01", "--to", "2017-02-01"), "2018-02-26 to 2018-03-16"),
        (("--from", "2018-03-03", "--to", "2018-03-04"), "it is a Saturday"),
        (("--from", "2018-02-28", "--to", "2018-02-28"), "not one bar"),
        (("--from", "soon"), "'soon'"),
        (("--from", "2018-03-01", "--date", "2018-03-01"), "--date 2018-03-01"),
        (("--from", "2018-03-01", "--stay"), "--stay"),
        (("--from", "2018-03-01", "--speed", "60"), "--speed 60"),
        (("--keep-going",), "--keep-going"),
        (("--from", "2018-03-01", "--reports", "some"), "'some'"),
        (("--from", "2018-03-01", "--reports", "all", "--no-reports"), "contradict"),
        (("--from", "2018-03-01", "--symbols", "100000"), "100000"),
    ],
)
def test_what_cannot_be_run_is_said_before_the_book_is_touched(
    tmp_path: Path, file: Path, arguments: tuple[str, ...], named: str
) -> None:
    done = qm(tmp_path, "day", "--data", str(file), *arguments)
    assert done.returncode == Exit.FAILED
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_demo_period_needs_its_end(tmp_path: Path) -> None:
    done = qm(tmp_path, "day", "--from", "2024-03-08")
    assert done.returncode == Exit.FAILED
    assert "give --to as well" in done.stderr
