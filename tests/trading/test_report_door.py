"""The door for execution reports at its edges: what is no report, what no market made, and what only surprises."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events.market import Mark
from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.orders import Order, OrdStatus, Side
from qmworkbench.trading import report_door
from qmworkbench.trading.state import State
from tests.trading.oms_cases import D, desk

AT = datetime(2026, 3, 2, 15, tzinfo=UTC)
TINY, HUGE = Decimal(10) ** -12, Decimal(10) ** 12


def report(**changes: Any) -> ExecutionReport:
    """A fill of 10 at 20.00, as brokers tell it."""
    base: dict[str, Any] = {
        "cursor": 5,
        "exec_id": "x-1",
        "exec_type": ExecType.TRADE,
        "cl_ord_id": "a",
        "order_id": "o-1",
        "symbol": "AAA",
        "side": Side.BUY,
        "ord_status": OrdStatus.PARTIALLY_FILLED,
        "order_qty": D(100),
        "cum_qty": D(10),
        "transact_time": AT,
        "last_qty": D(10),
        "last_px": D(20),
        "avg_px": D(20),
    }
    return ExecutionReport(**(base | changes))


def kind(found: tuple[str, str] | None) -> str:
    return "" if found is None else found[0]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ""),
        ({"exec_type": ExecType.ORDER_STATUS, "reason": "quarantined: a word nobody knows"}, "unreadable_report"),
        ({"exec_type": ExecType.ORDER_STATUS, "reason": "goes on"}, ""),
        ({"exec_type": ExecType.CANCELED, "reason": "quarantined: by the exchange"}, ""),
        ({"exec_id": ""}, "malformed"),
        ({"transact_time": AT.replace(tzinfo=None)}, "malformed"),
        ({"order_qty": HUGE}, ""),
        ({"order_qty": HUGE + 1}, "malformed"),
        ({"cum_qty": D(0)}, ""),
        ({"avg_px": D(-1)}, "malformed"),
        ({"conversion_rate": TINY}, "malformed"),
        ({"conversion_rate": TINY * 2}, ""),
        ({"conversion_rate": HUGE}, "malformed"),
        ({"conversion_rate": HUGE - 1}, ""),
        ({"last_qty": TINY}, ""),
        ({"last_qty": TINY / 2}, "malformed"),
        ({"last_px": TINY}, ""),
        ({"last_px": TINY / 2}, "malformed"),
        ({"exec_type": ExecType.NEW, "last_qty": D(0), "last_px": D(0)}, ""),
        ({"fee": D(100), "last_qty": D(1), "last_px": D(1)}, ""),
        ({"fee": D("100.01"), "last_qty": D(1), "last_px": D(1)}, "absurd_fee"),
        ({"fee": D("-100.01"), "last_qty": D(1), "last_px": D(1)}, "absurd_fee"),
        ({"fee": D(200)}, ""),
        ({"fee": D("200.01")}, "absurd_fee"),
        ({"fee": D(300), "conversion_rate": D("1.5")}, ""),
        ({"fee": D(101), "conversion_rate": D("0.5")}, "absurd_fee"),
        ({"fee": D(201), "exec_type": ExecType.NEW}, ""),
    ],
    ids=str,
)
def test_what_cannot_be_true_of_any_report(changes: dict[str, Any], found: str) -> None:
    assert kind(report_door.malformed(report(**changes))) == found


@pytest.mark.parametrize(
    ("value", "may"), [(D(0), True), (TINY, True), (HUGE, True), (HUGE + 1, False), (-TINY, False)], ids=str
)
@pytest.mark.parametrize("name", ["order_qty", "cum_qty", "last_qty", "last_px", "avg_px"])
def test_every_quantity_and_price_lies_within_reason(name: str, value: Decimal, may: bool) -> None:
    found = report_door.malformed(report(exec_type=ExecType.NEW, **{name: value}))
    assert (found is None) is may
    if found is not None:
        assert f"{name} {value}" in found[1]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("name", ["order_qty", "cum_qty", "last_qty", "last_px", "avg_px", "fee", "conversion_rate"])
def test_no_number_of_a_report_is_none(name: str, number: str) -> None:
    assert kind(report_door.malformed(report(**{name: D(number)}))) == "malformed"


def test_a_number_far_ahead_of_every_other_is_none() -> None:
    state = State(exec_cursor=1000, now=AT)
    far = 10**12
    assert kind(report_door.out_of_line(state, report(cursor=far))) == "absurd_cursor"
    assert report_door.out_of_line(state, report(cursor=1001)) is None
    assert report_door.out_of_line(state, report(cursor=1)) is None
    assert report_door.out_of_line(State(now=AT), report(cursor=far)) is None, "the first number may be any"
    timed = State(exec_cursor=int(AT.timestamp()) * 10**9, now=AT)
    later = int((AT + timedelta(minutes=1)).timestamp()) * 10**9
    assert report_door.out_of_line(timed, report(cursor=later)) is None, "times stand for numbers there"


def order(**changes: Any) -> Order:
    """An order for 100 that has no price of its own."""
    found = msgspec.structs.replace(desk().order)
    found.decision_px = found.limit_px = found.stop_px = None  # type: ignore[assignment]
    found.avg_px = D(0)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def state(px: str | None = "20") -> State:
    marks = {} if px is None else {"AAA": Mark(symbol="AAA", px=D(px), at=AT)}
    return State(marks=marks)


@pytest.mark.parametrize(
    ("px", "found"),
    [("200", ""), ("200.01", "absurd_px"), ("2", ""), ("1.99", "absurd_px"), ("20", "")],
)
def test_a_price_ten_times_away_from_todays_is_absurd(px: str, found: str) -> None:
    assert kind(report_door.absurd(state(), order(), report(last_px=D(px)))) == found
    assert kind(report_door.absurd(state(), None, report(last_px=D(px)))) == found
    assert report_door.absurd(state(None), order(), report(last_px=D(px))) is None, "without a price nothing is known"


@pytest.mark.parametrize("name", ["decision_px", "limit_px", "stop_px", "avg_px"])
def test_a_price_near_one_of_the_orders_own_is_not(name: str) -> None:
    own = order(**{name: D(900)})
    assert report_door.absurd(state(), own, report(last_px=D(900))) is None
    assert kind(report_door.absurd(state(), order(**{name: D(0)}), report(last_px=D(900)))) == "absurd_px"


def test_a_quantity_ten_times_the_orders_is_absurd() -> None:
    assert report_door.absurd(state(), order(), report(last_qty=D(1000))) is None
    assert kind(report_door.absurd(state(), order(), report(last_qty=D(1001)))) == "absurd_qty"
    larger = report(last_qty=D(1001), order_qty=D(200))
    assert report_door.absurd(state(), order(), larger) is None, "the broker's own word on its size counts too"
    assert report_door.absurd(state(), None, report(last_qty=D(10**6))) is None


def test_another_symbol_or_side_is_another_order() -> None:
    mine = order()
    assert report_door.of_another_order(mine, report()) is None
    assert kind(report_door.of_another_order(mine, report(symbol="BBB"))) == "wrong_symbol"
    assert kind(report_door.of_another_order(mine, report(side=Side.SELL))) == "wrong_side"
