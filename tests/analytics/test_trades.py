"""Excursions, holds and times of a closed trade, on bars worked out by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.analytics.trades import closed_trades, held_bars, vwap
from tests.analytics.frames import MINUTE, OPEN, ZONE, bars, fills_of, trades

# Entered at the open of the second bar (fills carry its closing time), left in the fourth.
PATH = bars(
    "OPK",
    (9.0, 20.0, 1.0, 9.9),  # before: none of its range counts
    (10.0, 10.4, 9.8, 10.2),
    (10.2, 12.0, 10.1, 11.5),
    (11.5, 30.0, 0.5, 11.0),  # the bar of the exit: only its open and the exit price count
    (11.0, 40.0, 0.1, 11.0),
)


def whole(made: pl.DataFrame, path: pl.DataFrame = PATH, **more: Any) -> pl.DataFrame:
    return closed_trades(made, fills_of(made), path, opens_at=OPEN, interval_s=60, zone=ZONE, **more)


def one(**given: Any) -> dict[str, Any]:
    return whole(trades(given)).row(0, named=True)


def inside(closed: int = 4, **given: Any) -> dict[str, Any]:
    return one(opened_at=OPEN + 2 * MINUTE, closed_at=OPEN + closed * MINUTE, **given)


def test_a_long_trade_is_measured_from_its_first_open_to_its_exit() -> None:
    row = inside(entry_px=10.0, exit_px=11.0, qty=100.0, initial_stop_px=9.5, gross_pnl=100.0)
    assert (row["mae"], row["mfe"]) == pytest.approx((-20.0, 200.0))
    assert (row["mae_r"], row["mfe_r"]) == pytest.approx((-0.4, 4.0))
    assert row["capture"] == pytest.approx(0.5)
    assert (row["hold_min"], row["from_open_min"], row["bucket"]) == (2.0, 2.0, "09:30")


def test_a_short_trade_is_the_mirror() -> None:
    row = inside(side="sell", entry_px=10.0, exit_px=11.0, qty=100.0, initial_stop_px=10.5, gross_pnl=-100.0)
    assert (row["mae"], row["mfe"]) == pytest.approx((-200.0, 20.0))
    assert row["capture"] is None  # the best open P&L never reached half the risk


def test_a_trade_within_one_bar_knows_its_own_prices_alone() -> None:
    row = inside(closed=2, entry_px=10.0, exit_px=9.9, qty=100.0, gross_pnl=-10.0)
    assert (row["mae"], row["mfe"]) == pytest.approx((-10.0, 0.0))


def test_money_is_in_account_currency() -> None:
    row = inside(entry_px=10.0, exit_px=11.0, qty=100.0, rate=0.5, initial_stop_px=9.5)
    assert (row["mfe"], row["risk"]) == pytest.approx((100.0, 25.0))


def test_without_bars_or_stop_it_is_unknown_and_never_zero() -> None:
    row = one(symbol="ZZZ", initial_stop_px=None)
    assert [row[name] for name in ("mae", "mfe", "mae_r", "risk", "capture")] == [None] * 5


@pytest.mark.parametrize(("net", "outcome"), [(0.004, "breakeven"), (0.01, "winner"), (-0.01, "loser")])
def test_an_outcome_is_told_after_fees_to_the_cent(net: float, outcome: str) -> None:
    assert inside(net_pnl=net)["outcome"] == outcome


def test_times_of_day_are_the_exchanges_own_over_a_clock_change() -> None:
    moments = [datetime(2018, 3, 9, 15, 5, tzinfo=UTC), datetime(2018, 3, 12, 15, 5, tzinfo=UTC)]
    made = whole(trades(*({"opened_at": at, "closed_at": at + MINUTE} for at in moments)))
    assert made["bucket"].to_list() == ["10:00", "11:00"]
    assert made["weekday"].to_list() == [5, 1]


@given(
    st.lists(st.tuples(*[st.floats(1, 100)] * 2), min_size=2, max_size=12),
    st.integers(1, 11),
    st.sampled_from(["buy", "sell"]),
)
def test_no_trade_is_worse_than_its_worst_or_better_than_its_best(
    path: list[tuple[float, float]], length: int, side: str
) -> None:
    rows = [(a, max(a, b), min(a, b), b) for a, b in path]
    last = min(length, len(rows))
    entry, leave = rows[0][0], rows[last - 1][3]
    sign = 1 if side == "buy" else -1
    gross = (leave - entry) * sign * 10
    given_ = {
        "entry_px": entry, "exit_px": leave, "qty": 10.0, "side": side, "gross_pnl": gross,
        "opened_at": OPEN + MINUTE, "closed_at": OPEN + last * MINUTE, "initial_stop_px": None,
    }  # fmt: skip
    row = whole(trades(given_), bars("OPK", *rows)).row(0, named=True)
    assert row["mae"] <= min(gross, 0) + 1e-9
    assert row["mfe"] >= max(gross, 0) - 1e-9


def test_the_bars_of_a_trade_are_those_that_filled_it() -> None:
    held = held_bars(PATH, OPEN + 2 * MINUTE, OPEN + 4 * MINUTE, timedelta(minutes=1))
    assert held["ts"].to_list() == [OPEN + MINUTE, OPEN + 2 * MINUTE, OPEN + 3 * MINUTE]


def test_vwap_weighs_by_volume_and_is_unknown_before_any() -> None:
    path = bars("A", (1.0, 3.0, 2.0, 1.0), (4.0, 4.0, 4.0, 4.0)).with_columns(volume=pl.Series([0.0, 5.0]))
    assert vwap(path)["vwap"].to_list() == [None, 4.0]
    path = path.with_columns(volume=pl.Series([1.0, 3.0]))
    assert vwap(path)["vwap"].to_list() == pytest.approx([2.0, 3.5])


def test_no_trades_make_an_empty_typed_table() -> None:
    made = whole(trades())
    assert made.height == 0
    assert made.schema["mfe_r"] == pl.Float64
