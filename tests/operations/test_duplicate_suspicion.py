"""§13's four steps: each kind of disagreement is named, each verdict has its next step (Duplicate Order Suspicion)."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.execution import BrokerOrder, ExecType, ExecutionReport
from qmworkbench.domain.ids import cl_ord_id
from qmworkbench.domain.orders import Order, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.operations.duplicate_suspicion import Answer, Finding, Inspection, Key, Suspicion, inspect
from tests.domain.order_cases import AT, an_order

D = Decimal
PARTS: dict[str, Any] = {
    "book": "local",
    "session": "local-2026-03-02",
    "strategy_id": "test-1",
    "symbol": "AAA",
    "signal_id": "test-1/AAA/now/entry_long",
    "leg": "entry",
    "attempt": 1,
}
NAME = cl_ord_id(**PARTS)


def ours(**changes: Any) -> Order:
    order = an_order(status=OrdStatus.FILLED, cum_qty=D(10))
    order.cl_ord_id, order.signal_id, order.order_id = NAME, PARTS["signal_id"], "b-1"
    for name, value in changes.items():
        setattr(order, name, value)
    return order


def theirs(**changes: Any) -> BrokerOrder:
    base: dict[str, Any] = {
        "cl_ord_id": NAME,
        "order_id": "b-1",
        "symbol": "AAA",
        "side": Side.BUY,
        "position_effect": PositionEffect.OPEN,
        "ord_type": OrdType.MARKET,
        "time_in_force": TimeInForce.DAY,
        "ord_status": OrdStatus.FILLED,
        "order_qty": D(10),
        "cum_qty": D(10),
        "leaves_qty": D(0),
        "avg_px": D(20),
        "transact_time": AT,
    }
    return BrokerOrder(**(base | changes))


def fill(name: str = "e1", **changes: Any) -> ExecutionReport:
    base: dict[str, Any] = {
        "cursor": 1,
        "exec_id": name,
        "exec_type": ExecType.TRADE,
        "cl_ord_id": NAME,
        "order_id": "b-1",
        "symbol": "AAA",
        "side": Side.BUY,
        "ord_status": OrdStatus.FILLED,
        "order_qty": D(10),
        "cum_qty": D(10),
        "last_qty": D(10),
        "last_px": D(20),
        "transact_time": AT,
    }
    return ExecutionReport(**(base | changes))


def judged(**changes: Any) -> Inspection:
    sound = Suspicion(
        asked=NAME,
        order=ours(),
        key=Key(found=NAME, **PARTS),
        answers=(Answer(cl_ord_id=NAME, found=theirs()),),
        history=(fill(),),
        booked={"e1": (D(10), D(20))},
    )
    return inspect(msgspec.structs.replace(sound, **changes))


def answered(*found: BrokerOrder | None) -> tuple[Answer, ...]:
    return tuple(Answer(cl_ord_id=o.cl_ord_id if o is not None else NAME, found=o) for o in found)


def test_one_order_the_same_on_both_sides_agrees() -> None:
    told = judged()
    assert told.finding is Finding.AGREE
    assert [step.title[0] for step in told.steps] == ["1", "2", "3", "4"]
    assert all(step.sound for step in told.steps)
    assert "nothing to do" in told.next_step


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"answers": answered(theirs(cum_qty=D(7)))}, "filled"),
        ({"answers": answered(theirs(symbol="BBB"))}, "symbol"),
        ({"answers": answered(theirs(side=Side.SELL))}, "side"),
        ({"answers": answered(theirs(ord_status=OrdStatus.ACCEPTED, leaves_qty=D(5)))}, "status"),
        ({"answers": answered(None)}, "does not know it"),
        ({"history": ()}, "execution e1"),
        ({"history": (fill(), fill("e2"))}, "execution e2"),
        ({"history": (fill(last_px=D(21)),)}, "execution e1"),
        ({"booked": {}}, "not in our books"),
        ({"key": Key(found=NAME, **(PARTS | {"attempt": 2}))}, "does not come out again"),
        ({"order": None, "key": None}, "nobody here sent it"),
        ({"order": ours(status=OrdStatus.CANCELED, cum_qty=D(0)), "booked": {}}, "filled"),
    ],
    ids=str,
)
def test_each_disagreement_is_named_and_the_strategy_is_to_be_stopped(changes: dict[str, Any], word: str) -> None:
    told = judged(**changes)
    assert told.finding is Finding.DIFFER
    assert any(word in line for line in told.steps[3].lines), told.steps[3].lines
    assert "qm reconcile" in told.next_step


def test_two_live_orders_for_one_wish_are_a_proven_duplicate() -> None:
    working = {"ord_status": OrdStatus.ACCEPTED, "cum_qty": D(0), "leaves_qty": D(10)}
    order = ours(status=OrdStatus.ACCEPTED, cum_qty=D(0))
    both = answered(theirs(**working), theirs(cl_ord_id="second", order_id="b-2", **working))
    told = judged(order=order, answers=both, history=(), booked={})
    assert told.finding is Finding.DIFFER
    assert "a duplicate is proven" in told.reason
    assert set(told.live_at_broker) == {NAME, "second"}
    assert "qm order cancel second" in told.next_step
    assert "qm strategy stop test-1" in told.next_step


def test_one_order_told_of_under_two_ids_is_no_duplicate() -> None:
    working = {"ord_status": OrdStatus.ACCEPTED, "cum_qty": D(0), "leaves_qty": D(10), "cl_ord_id": "second"}
    order = ours(status=OrdStatus.ACCEPTED, cum_qty=D(0), working_id="second")
    same = theirs(**working)
    told = judged(
        order=order,
        answers=(Answer(cl_ord_id=NAME, found=same), Answer(cl_ord_id="second", found=same)),
        history=(),
        booked={},
    )
    assert told.finding is Finding.AGREE


@pytest.mark.parametrize(
    "status", [OrdStatus.SUBMITTED, OrdStatus.UNKNOWN, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE]
)
def test_an_order_whose_answer_is_due_is_ambiguous_and_its_strategy_is_to_be_halted(status: OrdStatus) -> None:
    working = theirs(ord_status=OrdStatus.ACCEPTED, cum_qty=D(0), leaves_qty=D(10))
    told = judged(order=ours(status=status, cum_qty=D(0)), answers=answered(working), history=(), booked={})
    assert told.finding is Finding.AMBIGUOUS
    assert "qm strategy stop test-1" in told.next_step


def test_a_leg_that_waits_for_its_entry_is_not_in_doubt() -> None:
    leg = ours(status=OrdStatus.INTENDED, cum_qty=D(0), parent_id="entry", order_id=None)
    told = judged(order=leg, answers=answered(None), history=(), booked={})
    assert told.finding is Finding.AGREE


def test_a_broker_that_cannot_be_read_is_no_empty_answer() -> None:
    silent = (Answer(cl_ord_id=NAME, error="timed out"),)
    for told in (judged(answers=silent), judged(history=(), history_error="503")):
        assert told.finding is Finding.UNREADABLE
        assert "nothing is concluded" in told.reason
        assert "send nothing by hand" in told.next_step


def test_executions_that_the_broker_took_back_count_on_neither_side() -> None:
    bust = fill("e2", exec_type=ExecType.TRADE_CANCEL, ref_exec_id="e1")
    order = ours(status=OrdStatus.FILLED, cum_qty=D(0))
    told = judged(order=order, answers=answered(theirs(cum_qty=D(0))), history=(fill(), bust))
    assert told.finding is Finding.AGREE
