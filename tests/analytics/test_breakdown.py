"""Trades by whatever one groups by, slippage as a distribution, falls of equity: on numbers worked out by hand."""

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.analytics.breakdown import BREAKDOWN, SLIPPAGE_BINS, by, drawdowns, slippage, slippage_histogram
from qmworkbench.analytics.session_record import SessionRecord, record_of
from qmworkbench.domain.events.analytics import AnalyticsObserved, AnalyticsSignal
from qmworkbench.domain.events.session import PhaseEntered
from qmworkbench.domain.sessions import Phase
from tests.analytics.frames import MINUTE, OPEN, reviewed, table

TRADES = reviewed(
    {"symbol": "A", "net_pnl": 30.0, "gross_pnl": 32.0, "fees": 2.0, "r_multiple": 3.0, "bucket": "09:30",
     "entry_slippage_bps": 2.0, "exit_slippage_bps": 4.0, "slippage_cost": 1.0, "capture": 0.5},
    {"symbol": "A", "net_pnl": -10.0, "gross_pnl": -8.0, "fees": 2.0, "r_multiple": -1.0, "bucket": "10:00",
     "entry_slippage_bps": 9.0, "exit_slippage_bps": None, "slippage_cost": 2.0},
    {"symbol": "B", "net_pnl": -10.0, "gross_pnl": -8.0, "fees": 2.0, "r_multiple": None, "bucket": "10:00",
     "entry_slippage_bps": None, "exit_slippage_bps": None, "slippage_cost": 0.0},
)  # fmt: skip


def test_a_group_is_summed_up() -> None:
    row = by(TRADES, "symbol").row(0, named=True)
    assert (row["symbol"], row["trades"], row["winners"], row["win_rate"]) == ("A", 2, 1, 0.5)
    assert (row["net_pnl"], row["gross_pnl"], row["fees"], row["profit_factor"]) == (20.0, 24.0, 4.0, 3.0)
    assert (row["expectancy"], row["expectancy_r"], row["best"], row["worst"]) == (10.0, 1.0, 30.0, -10.0)
    assert (row["share"], row["slippage_bps"], row["slippage_cost"], row["capture"]) == (
        pytest.approx(2 / 3), 6.0, 3.0, 0.5,
    )  # fmt: skip


def test_what_is_not_known_is_null_and_no_losses_make_no_profit_factor() -> None:
    row = by(TRADES, "symbol").row(1, named=True)
    assert [row[name] for name in ("expectancy_r", "slippage_bps", "average_mfe_r", "capture")] == [None] * 4
    assert by(TRADES.head(1), "symbol")["profit_factor"][0] is None


def test_groups_come_in_the_order_of_their_keys_and_add_up() -> None:
    half_hours = by(TRADES, "bucket")
    assert half_hours["bucket"].to_list() == ["09:30", "10:00"]
    assert half_hours["net_pnl"].sum() == by(TRADES)["net_pnl"][0] == 10.0
    assert by(TRADES, "symbol", "bucket").height == 3
    assert list(by(TRADES, "bucket").columns) == ["bucket", *BREAKDOWN]


def test_no_trades_make_empty_tables() -> None:
    assert by(TRADES.clear(), "symbol").is_empty()
    assert by(TRADES.clear()).is_empty()


def test_slippage_is_told_with_its_spread_and_only_of_what_is_known() -> None:
    fills = table("fills", *[{"leg": "entry", "slippage_bps": b, "slippage_cost": 1.0} for b in (1.0, 2.0, 3.0, 90.0)])
    fills = pl.concat([fills, table("fills", {"leg": "close"}).with_columns(slippage_bps=pl.lit(None, pl.Float64))])
    told = slippage(fills, "leg").to_dicts()
    assert [(row["leg"], row["fills"], row["known"]) for row in told] == [("close", 1, 0), ("entry", 4, 4)]
    assert told[0]["median"] is None
    assert (told[1]["median"], told[1]["worst"], told[1]["spread"], told[1]["cost"]) == (2.5, 90.0, 1.4826, 4.0)


@given(st.lists(st.floats(-100, 100), max_size=30))
def test_every_fill_is_in_one_bin(values: list[float]) -> None:
    fills = table("fills", *[{"slippage_bps": value} for value in values])
    told = slippage_histogram(fills)
    assert told["fills"].sum() == len(values)
    assert told.height == len(SLIPPAGE_BINS) + 1
    for row in told.iter_rows(named=True):
        low, high = row["from_bps"], row["to_bps"]
        assert row["fills"] == sum((low is None or v > low) and (high is None or v <= high) for v in values)


def curve(*equity: float) -> pl.DataFrame:
    at = pl.Series([OPEN + n * MINUTE for n in range(len(equity))], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"at": at, "equity": pl.Series(equity, dtype=pl.Float64)})


def test_falls_are_told_from_their_peak_to_their_recovery_deepest_first() -> None:
    told = drawdowns(curve(100, 110, 105, 99, 110, 120, 118, 119), 100.0).to_dicts()
    assert [(row["depth"], row["minutes"]) for row in told] == [(11.0, 3.0), (2.0, 2.0)]
    assert (told[0]["from_at"], told[0]["bottom_at"], told[0]["until_at"]) == (
        OPEN + MINUTE, OPEN + 3 * MINUTE, OPEN + 4 * MINUTE,
    )  # fmt: skip
    assert told[0]["depth_pct"] == pytest.approx(10.0)
    assert told[1]["until_at"] is None


def test_a_fall_from_the_sessions_beginning_has_no_peak_of_its_own() -> None:
    told = drawdowns(curve(99, 97, 98), 100.0).to_dicts()
    assert [(row["from_at"], row["depth"], row["until_at"]) for row in told] == [(None, 3.0, None)]
    assert drawdowns(curve(), 100.0).is_empty()
    assert drawdowns(curve(100, 101), None).is_empty()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 50))
def test_the_deepest_fall_is_the_deepest_below_the_highest_so_far(values: list[int], start: int) -> None:
    told = drawdowns(curve(*map(float, values)), float(start))
    peak, deepest = start, 0
    for value in values:
        peak = max(peak, value)
        deepest = max(deepest, peak - value)
    assert (told["depth"].max() or 0) == deepest


def test_what_the_signals_said_is_a_table_of_the_record(blank: SessionRecord) -> None:
    told = tuple(record_signal(name, active=True) for name in ("OPK", "SWN"))
    last = (record_signal("OPK", active=False),)
    opened, *rest = blank.events
    review_at = next(n for n, e in enumerate(rest) if isinstance(e, PhaseEntered) and e.phase is Phase.REVIEW)
    events = [opened, AnalyticsObserved(at=OPEN, signals=told), *rest[: review_at + 1]]
    record = record_of([*events, AnalyticsObserved(at=OPEN, signals=last), *rest[review_at + 1 :]])
    rows = record["analytics_signals"]
    assert rows.select("subject", "active", "final").rows() == [
        ("OPK", True, False),
        ("SWN", True, False),
        ("OPK", False, True),
    ]
    assert (rows["value"][0], rows["unit"][0], rows["sample"][0]) == (30.2, "bps", 4)


def record_signal(subject: str, *, active: bool) -> AnalyticsSignal:
    return AnalyticsSignal(
        code="unusual_slippage", subject=subject, value=Decimal("30.2"), threshold=Decimal(25), unit="bps", sample=4,
        active=active, text=f"{subject} slipped",
    )  # fmt: skip
