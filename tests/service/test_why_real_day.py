"""Why symbols of a real session were not traded: each with what was missing, and the numbers are the bars' own."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.market.bars import load_session
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.runs import default_runs
from qmworkbench.service.why import Why, why
from tests.service.day_process import all_good, plan_for

DAY = date(2018, 3, 2)
NEW_YORK = ZoneInfo("America/New_York")


@dataclass
class Past:
    plan: DayPlan
    bars: pl.DataFrame

    def ask(self, symbol: str) -> Why:
        return why(self.plan.paths, symbol)

    def until(self, symbol: str, clock: str) -> pl.DataFrame:
        """The symbol's regular bars that had closed by exchange time `clock`."""
        hour, minute = clock.split(":")
        closed = datetime(DAY.year, DAY.month, DAY.day, int(hour), int(minute), tzinfo=NEW_YORK).astimezone(UTC)
        return self.bars.filter((pl.col("symbol") == symbol) & (pl.col("ts") < closed))


@pytest.fixture(scope="module")
def past(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Past:
    """2018-03-02 with few trades allowed, few symbols owned, and one symbol on the blocked list."""
    file = shared_data / "us_equity_minute_2018.parquet"
    # Of the market's usual instances these two alone, each with room: what they own is what this is about.
    wanted = [run for run in default_runs(AssetClass.EQUITY) if run.definition_id in ("donchian", "opening-range")]
    runs = [msgspec.structs.replace(run, max_symbols=10) for run in wanted]
    limits = Limits(blocked_symbols=("SWN",), max_trades_per_day=4)
    plan = plan_for(
        tmp_path_factory.mktemp("real"), load_session(file, DAY), runs=tuple(runs), limits=limits, max_owned=8,
        compute="one-pass",
    )  # fmt: skip
    run_headless(plan, all_good)
    opens = datetime(DAY.year, DAY.month, DAY.day, 9, 30, tzinfo=NEW_YORK).astimezone(UTC)
    rows = pl.read_parquet(file).filter(pl.col("ts").is_between(opens, opens + timedelta(minutes=390), closed="left"))
    return Past(plan, rows.sort("symbol", "ts"))


@pytest.mark.parametrize(
    ("symbol", "stage", "condition"),
    [
        ("AABA", "kept out", "change"),
        ("AAPL", "kept out", "rel_volume"),
        ("AMZN", "kept out", "price_max"),
        ("SWN", "blocked", "blocked"),
        ("AOBC", "declined", "ownership"),
        ("HLF", "owned", "close (94.96) is not above prior high 60 (94.96)"),
        ("LB", "owned", "bars since long start (93) is over 3"),
        ("ODP", "owned", "bars since long start (4) is over 3"),
        ("GPS", "denied", "max_trades_per_day"),
        ("OPK", "denied", "max_trades_per_day"),
        ("UAA", "denied", "max_trades_per_day"),
    ],
)
def test_each_says_how_far_it_came_and_what_was_missing(past: Past, symbol: str, stage: str, condition: str) -> None:
    told = past.ask(symbol)
    assert told.evidence["day"] == {"stage": stage, "condition": condition}
    assert symbol in told.sentences[0]
    assert re.search(r"\d", told.sentences[0]), "with numbers"


def test_every_symbol_has_an_answer_and_only_the_traded_have_trades(past: Past) -> None:
    traded = {"JWN", "SPLK", "UHS", "XON"}
    for symbol in ("XON", "UHS", "AMD", "NFLX", "INTC"):
        told = past.ask(symbol)
        assert (told.evidence["day"]["stage"] == "traded") == (symbol in traded)
        assert told.sentences[0].endswith(".")


def test_a_price_that_was_too_high_is_the_bars_own(past: Past) -> None:
    told = past.ask("AMZN").sentences[0]
    clock, price = re.search(r"nearest at (\d\d:\d\d) .*price ([\d,.]+) is over 1,000", told).groups()  # type: ignore[union-attr]
    assert float(price.replace(",", "")) == pytest.approx(past.until("AMZN", clock)["close"][-1], abs=1e-4)


def test_a_change_that_was_too_small_is_measured_from_the_previous_close(past: Past, shared_data: Path) -> None:
    told = past.ask("AABA").sentences[0]
    clock, change = re.search(r"nearest at (\d\d:\d\d) .*change \(from previous close\) ([-+.\d]+) %", told).groups()  # type: ignore[union-attr]
    rows = pl.read_parquet(shared_data / "us_equity_minute_2018.parquet").filter(pl.col("symbol") == "AABA")
    before = rows.filter(pl.col("ts") < datetime(2018, 3, 1, 16, 0, tzinfo=NEW_YORK).astimezone(UTC)).sort("ts")[
        "close"
    ][-1]
    now = past.until("AABA", clock)["close"][-1]
    assert float(change) == pytest.approx((now / before - 1) * 100, abs=1e-3)


def test_the_nearest_to_a_breakout_is_the_bars_own(past: Past) -> None:
    told = past.ask("HLF").sentences[0]
    assert "donchian-us owned it from 14:46 until 15:19 (not among the candidates for 15 boundaries)" in told
    clock = re.search(r"came nearest at (\d\d:\d\d)", told).group(1)  # type: ignore[union-attr]
    bars = past.until("HLF", clock)
    assert bars["close"][-1] == 94.96
    assert bars["high"][-61:-1].max() == 94.96
    assert "3 of 4 conditions of its long entry held" in told


def test_the_same_record_always_tells_the_same(past: Past) -> None:
    assert past.ask("ODP") == past.ask("ODP")


def test_a_denial_names_the_rule_and_its_numbers(past: Past) -> None:
    told = past.ask("UAA").sentences[0]
    assert told.startswith("The Risk Manager denied donchian-us's entry into UAA at 14:16, as 9 times before:")
    assert told.endswith("max_trades_per_day (seen 4, limit 4).")


def test_a_blocked_symbol_says_how_far_it_would_have_come(past: Past) -> None:
    told = past.ask("SWN").sentences[0]
    assert told.startswith("SWN was on the blocked list. Apart from that it came nearest at 09:37 (rank 18)")


def test_a_trade_is_told_from_finding_to_result(past: Past) -> None:
    told = past.ask("XON").sentences[0]
    assert told.startswith("XON long, opening-range-us: ")
    said = re.search(
        r"found at rank (\d+) of the scan; .* given to opening-range-us; (\d\d:\d\d) its long signal at ([\d.]+) "
        r".*bought ([\d,]+) at ([\d.]+), ([\d.]+) bps worse than decided\. Stop ([\d.]+) \(1 R = ([\d.]+) USD\)",
        told,
    )
    assert said is not None
    clock, decided, qty, paid, slipped, stop, risk = said.groups()[1:]
    assert past.until("XON", clock)["close"][-1] == pytest.approx(float(decided))
    assert (float(paid) / float(decided) - 1) * 1e4 == pytest.approx(float(slipped), abs=0.1)
    assert float(qty.replace(",", "")) * (float(paid) - float(stop)) == pytest.approx(float(risk), abs=0.01)
    assert re.search(r"left at [\d.]+ after 3 h 0 min \(held .*\), 60 s after deciding", told), told
    assert told.endswith(" R.")
