"""Closed trades through flips, scale-ins and partial exits: the columns against a plain walk over bars and fills."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.analytics.session_record import SessionRecord, record_of
from qmworkbench.analytics.session_signals import SessionSignals
from qmworkbench.analytics.trades import trades_of
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import FillRecorded, FillReversed, PositionsOffset, TradeClosed
from qmworkbench.domain.events.reconciliation import SessionRecovered
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg, Side
from qmworkbench.domain.positions import fill_delta
from tests.analytics.frames import MINUTE, OPEN, ZONE, bars
from tests.service.samples import sample

Fill = tuple[int, Side, int, int]  # the bar it came in, side, quantity, price


@dataclass
class Book:
    """Fills booked as the kernel books them, and the trades they close."""

    opening: Event
    events: list[Event] = field(default_factory=list)
    qty: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    entered: Decimal = ZERO
    paid: Decimal = ZERO
    left: Decimal = ZERO
    got: Decimal = ZERO
    since: Any = None

    def fill(self, number: int, bar: int, side: Side, qty: int, px: int) -> None:
        at = OPEN + (bar + 1) * MINUTE
        delta = fill_delta(self.qty, self.cost, side, Decimal(qty), Decimal(px))
        closes = bool(delta.closed_qty) and delta.closed_qty == abs(self.qty)
        held = Side.BUY if self.qty > 0 else Side.SELL
        self.realized += delta.realized_pnl
        self.left += delta.closed_qty
        self.got += delta.closed_qty * px
        self.events.append(
            sample(
                FillRecorded, at=at, transact_time=at, exec_id=f"e{number}", cl_ord_id="", strategy_id="s", symbol="A",
                side=side, last_qty=Decimal(qty), last_px=Decimal(px), fee=Decimal(1), realized_pnl=delta.realized_pnl,
                position_qty=delta.qty, position_cost=delta.cost, conversion_rate=Decimal(1), slippage_bps=None,
                adopted=False,
            )
        )  # fmt: skip
        if closes:
            self.events.append(self._closed(f"t{number}", held, at))
            self.realized = self.entered = self.paid = self.left = self.got = ZERO
        if delta.opened_qty:
            self.since = at if not self.entered else self.since
            self.entered += delta.opened_qty
            self.paid += delta.opened_qty * px
        self.qty, self.cost = delta.qty, delta.cost

    def _closed(self, name: str, side: Side, at: Any) -> TradeClosed:
        made: TradeClosed = sample(
            TradeClosed, at=at, trade_id=name, strategy_id="s", symbol="A", side=side, qty=self.left,
            entry_px=self.paid / self.entered, exit_px=self.got / self.left, opened_at=self.since, closed_at=at,
            gross_pnl=self.realized, fees=ZERO, net_pnl=self.realized, exit_leg=Leg.EXIT, initial_stop_px=None,
            target_px=None, r_multiple=None, bars_held=1, signal_id="",
        )  # fmt: skip
        return made


def plain(fills: list[Fill], path: list[tuple[int, int, int, int]]) -> list[tuple[float, float, float]]:
    """Quantity, worst and best of each trade, walked bar by bar: what is held at a bar's open meets that open, what is
    held after its fills meets its range, and what was left with meets its own price.
    """
    found: list[tuple[float, float, float]] = []
    qty = cost = realized = 0.0
    worst = best = entered = 0.0

    def seen(px: float) -> None:
        nonlocal worst, best
        worth = realized + qty * px - cost
        worst, best = min(worst, worth), max(best, worth)

    for bar, (opens, high, low, _) in enumerate(path):
        if qty:
            seen(opens)
        for _, side, size, px in (fill for fill in fills if fill[0] == bar):
            signed = size * side.sign
            closing = min(abs(qty), size) if qty * signed < 0 else 0
            if closing:
                part = cost * closing / abs(qty)
                realized += -side.sign * closing * px - part
                cost, qty = cost - part, qty + side.sign * closing
                if not qty:
                    found.append((entered, min(worst, realized), max(best, realized)))
                    realized = worst = best = entered = cost = 0.0
            opening = size - closing
            if opening:
                qty, cost, entered = qty + side.sign * opening, cost + side.sign * opening * px, entered + opening
        if qty:
            seen(high)
            seen(low)
    return found


PRICES = st.integers(10, 30)
PATHS = st.lists(st.tuples(PRICES, PRICES, PRICES, PRICES), min_size=3, max_size=9)


@given(PATHS, st.data())
def test_any_sequence_of_fills_is_told_as_a_plain_walk_tells_it(
    blank: SessionRecord, corners: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    path = [(a, max(a, b, c, d), min(a, b, c, d), d) for a, b, c, d in corners]
    drawn = data.draw(
        st.lists(
            st.tuples(st.integers(0, len(path) - 1), st.sampled_from(Side), st.integers(1, 4), PRICES), max_size=10
        )
    )
    fills: list[Fill] = [(bar, *rest) for bar, *rest in sorted(drawn, key=lambda fill: fill[0])]  # type: ignore[misc]
    # Two fills in one bar on opposite sides tell no order of their range: one side a bar, as one order fills.
    fills = [f for n, f in enumerate(fills) if all(g[0] != f[0] or g[1] is f[1] for g in fills[:n])]
    # And of a bar in which one trade ends and the next begins, each has its own part.
    book = Book(blank.opened)
    for number, (bar, side, qty, px) in enumerate(fills):
        book.fill(number, bar, side, qty, px)
    record = record_of([blank.opened, *book.events])
    made = trades_of(record, bars("A", *[tuple(map(float, row)) for row in path]), zone=ZONE)  # type: ignore[misc]
    told = [(row["qty"], row["mae"], row["mfe"]) for row in made.iter_rows(named=True)]
    assert told == [pytest.approx(each) for each in plain(fills, path)]
    assert made["carried"].not_().all()
    assert record["trade_fills"].filter(pl.col("trade_id") != "")["qty"].sum() == 2 * made["qty"].sum()


def walked(blank: SessionRecord, *fills: Fill, more: tuple[Event, ...] = ()) -> list[dict[str, Any]]:
    book = Book(blank.opened)
    for number, each in enumerate(fills):
        book.fill(number, *each)
    record = record_of([blank.opened, *more, *book.events])
    return trades_of(record, bars("A", *[(10.0, 12.0, 8.0, 10.0)] * 6), zone=ZONE).to_dicts()


def test_a_flip_is_two_trades_and_each_knows_its_own_part(blank: SessionRecord) -> None:
    first, *rest = walked(blank, (0, Side.BUY, 100, 10), (2, Side.SELL, 150, 11), (4, Side.BUY, 50, 9))
    assert [(t["qty"], t["side"], t["flipped"], t["fills"]) for t in (first, *rest)] == [
        (100.0, "buy", True, 2),
        (50.0, "sell", False, 2),
    ]
    assert (first["mae"], first["mfe"], first["gross_pnl"]) == (-200.0, 200.0, 100.0)
    assert (rest[0]["mae"], rest[0]["mfe"], rest[0]["gross_pnl"]) == (-50.0, 150.0, 100.0)


def test_a_scale_in_and_a_partial_exit_are_one_trade(blank: SessionRecord) -> None:
    (trade,) = walked(
        blank, (0, Side.BUY, 50, 10), (1, Side.BUY, 50, 12), (2, Side.SELL, 60, 12), (4, Side.SELL, 40, 11)
    )
    assert (trade["qty"], trade["entry_px"], trade["entry_fills"], trade["exit_fills"]) == (100.0, 11.0, 2, 2)
    assert trade["mae"] == -300.0, "all of it at the low of the second bar"
    assert trade["mfe"] == 100.0, "60 at 12 and the rest at 12"
    assert trade["notional"] == 1100.0


def test_what_was_carried_into_the_session_says_nothing_of_its_entry(blank: SessionRecord) -> None:
    book = Book(
        blank.opened, qty=Decimal(100), cost=Decimal(1000), entered=Decimal(100), paid=Decimal(1000), since=OPEN
    )
    book.fill(0, 1, Side.SELL, 100, 11)
    (trade,) = trades_of(
        record_of([blank.opened, *book.events]), bars("A", *[(10.0, 12.0, 8.0, 10.0)] * 3), zone=ZONE
    ).to_dicts()
    assert (trade["carried"], trade["gross_pnl"]) == (True, 100.0)
    assert [trade[name] for name in ("mae", "mfe", "notional", "entry_slippage_bps", "decided_at")] == [None] * 5


def test_a_fill_that_was_taken_back_belongs_to_no_trade(blank: SessionRecord) -> None:
    book = Book(blank.opened)
    book.fill(0, 0, Side.BUY, 100, 10)
    back = sample(FillReversed, ref_exec_id="e0", strategy_id="s", symbol="A", side=Side.BUY)
    book.events.append(back)
    book.qty = book.cost = book.entered = book.paid = ZERO
    book.fill(1, 1, Side.BUY, 10, 10)
    book.fill(2, 2, Side.SELL, 10, 11)
    record = record_of([blank.opened, *book.events])
    assert record["trade_fills"]["trade_id"].to_list() == ["", "t2", "t2"]
    assert record["trades"]["carried"].to_list() == [False]


def test_a_session_taken_over_while_it_was_held_is_marked(blank: SessionRecord) -> None:
    taken = sample(SessionRecovered, at=OPEN + 2 * MINUTE)
    fills: tuple[Fill, ...] = ((0, Side.BUY, 1, 10), (3, Side.SELL, 1, 10), (4, Side.BUY, 1, 10), (5, Side.SELL, 1, 10))
    assert [trade["recovered"] for trade in walked(blank, *fills, more=(taken,))] == [True, False]


def test_parts_that_were_set_off_end_at_that_price_without_a_fill(blank: SessionRecord) -> None:
    book = Book(blank.opened)
    book.fill(0, 0, Side.BUY, 100, 10)
    at = OPEN + 3 * MINUTE
    book.events.append(
        PositionsOffset(
            at=at, symbol="A", px=Decimal(11), conversion_rate=Decimal(1), strategy_ids=("s", "t"), reason="flat"
        )
    )
    book.left, book.got, book.realized = Decimal(100), Decimal(1100), Decimal(100)
    book.events.append(book._closed("t1", Side.BUY, at))
    record = record_of([blank.opened, *book.events])
    (trade,) = trades_of(record, bars("A", *[(10.0, 12.0, 8.0, 10.0)] * 4), zone=ZONE).to_dicts()
    assert (trade["fills"], trade["exit_fills"], trade["carried"], trade["gross_pnl"]) == (1, 1, False, 100.0)
    assert (trade["mae"], trade["mfe"]) == (-200.0, 200.0)
    assert record["trade_fills"]["realized_after"].to_list() == [0.0, 100.0]
    seen = SessionSignals()
    seen.take(book.events)
    assert seen._held == {}
