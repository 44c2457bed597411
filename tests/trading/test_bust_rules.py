"""An execution that is taken back: which, from whose books, and what follows, one report at a time (§13, §14)."""

from typing import Any

import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertRaised
from qmworkbench.domain.events.orders import ExitRequested, FillReversed, OrderChanged, ReportQuarantined
from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import Arc, Order, OrdStatus, Side
from qmworkbench.domain.positions import NetPosition, Position
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading import busts, holdings
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import EXTERNAL
from tests.trading.oms_cases import D, Desk, desk


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def holding(qty: int, owner: str = "test-1", *, foreign: bool = False) -> Desk:
    """So much AAA is held, and an execution "e" of 30 at 20 was booked for it."""
    built = desk()
    state = built.state
    if qty:
        holdings.hold(state, Position(strategy_id=owner, symbol="AAA", qty=D(qty), cost=D(20 * qty)))
        state.net["AAA"] = NetPosition(qty=D(qty), cost=D(20 * qty))
    state.fills["e"] = "AAA buy 30 at 20"
    if foreign:
        state.foreign_fills["e"] = owner
    return built


def taken_back(built: Desk, order: Order | None, **changes: Any) -> Decision:
    decision = Decision(built.state, built.world.at())
    told = {"ref_exec_id": "e", "last_qty": D(30), "last_px": D(20), "fee": D(2)} | changes
    busts.on_bust(decision, built.report(ExecType.TRADE_CANCEL, **told), order)
    return decision


def odd(decision: Decision) -> list[str]:
    """What was set aside; then nothing is taken back."""
    kinds = [event.kind for event in of(decision.events, ReportQuarantined)]
    assert bool(kinds) is not bool(of(decision.events, FillReversed))
    return kinds


def test_it_is_on_record_under_our_id_told_and_compared_with_the_broker() -> None:
    built = holding(50)
    built.state.alerts.clear()
    decision = taken_back(built, built.order, cl_ord_id="later")
    (event,) = of(decision.events, FillReversed)
    assert (event.cl_ord_id, event.ref_exec_id, event.strategy_id) == (built.order.cl_ord_id, "e", "test-1")
    assert (event.last_qty, event.last_px, event.fee, event.side) == (30, 20, 2, Side.BUY)
    assert [change.arc for change in of(decision.events, OrderChanged)] == [Arc.BUST]
    told = [(e.alert.kind, e.alert.key, e.alert.priority) for e in of(decision.events, AlertRaised)]
    assert told == [("trade_busted", event.exec_id, Priority.P1)]
    assert decision.want_reconciliation
    stranger = holding(50, foreign=True)
    (event,) = of(taken_back(stranger, None, cl_ord_id="nobody").events, FillReversed)
    assert event.cl_ord_id == "nobody"


def test_a_status_that_knows_no_bust_does_not_keep_it_out_of_the_books() -> None:
    built = holding(50)
    built.order.status = OrdStatus.REJECTED
    decision = taken_back(built, built.order)
    assert (odd(decision), of(decision.events, OrderChanged)) == ([], [])
    assert built.state.net_qty("AAA") == 20


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"last_qty": D(0), "last_px": D(0)}, []),
        ({"last_qty": D(29)}, ["bust_differs"]),
        ({"last_px": D(21)}, ["bust_differs"]),
        ({"side": Side.SELL}, ["bust_differs"]),
        ({"symbol": "BBB"}, ["bust_differs"]),
        ({"ref_exec_id": "other"}, ["bust_of_unknown"]),
        ({"ref_exec_id": None}, ["bust_of_unknown"]),
    ],
    ids=str,
)
def test_only_the_execution_it_speaks_of_is_taken_back_whoever_ordered_it(
    changes: dict[str, Any], kinds: list[str]
) -> None:
    ours, strange = holding(50), holding(50, EXTERNAL, foreign=True)
    assert odd(taken_back(ours, ours.order, **changes)) == kinds
    assert odd(taken_back(strange, None, **changes)) == kinds
    assert ours.state.net_qty("AAA") == strange.state.net_qty("AAA") == (50 if kinds else 20)


def test_it_leaves_the_books_it_was_held_in() -> None:
    for order, foreign, owner in ((True, False, "test-1"), (True, True, "test-2"), (False, True, "test-2")):
        built = holding(50, "test-2" if foreign else "test-1", foreign=foreign)
        (event,) = of(taken_back(built, built.order if order else None).events, FillReversed)
        assert event.strategy_id == owner


@pytest.mark.parametrize(("held", "closes"), [(50, False), (31, False), (29, True), (0, True), (-5, False)])
def test_what_it_turns_around_or_brings_back_is_closed(held: int, closes: bool) -> None:
    built = holding(held)
    assert bool(of(taken_back(built, built.order).events, ExitRequested)) is closes


@pytest.mark.parametrize(
    ("ordered", "owner", "closes"),
    [(True, "test-1", True), (False, "test-1", True), (True, EXTERNAL, True), (False, EXTERNAL, False)],
)
def test_what_nobody_here_ordered_and_external_holds_is_a_persons_to_settle(
    ordered: bool, owner: str, closes: bool
) -> None:
    built = holding(10, owner, foreign=not ordered)
    built.order.strategy_id = owner
    decision = taken_back(built, built.order if ordered else None)
    assert built.state.net_qty("AAA") == -20
    assert [event.strategy_id for event in of(decision.events, ExitRequested)] == [owner] * closes
