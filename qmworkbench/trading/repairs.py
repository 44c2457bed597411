"""Bringing our books in line with the broker's, break by break, where that is safe (§14 "If Mismatch Exists").

The broker is right about exposure; what makes exposure vanish is believed last. Rules, by kind of break:

1. An execution we never saw is booked under the broker's own id, to the strategy of its order. What that explains is
   settled by it; nothing is invented in its place.
2. A position follows the broker's quantity and average price. If the answer erases exposure it must have been read
   twice, and the account's own total must be the value of the very positions it reports.
3. An order missing from the broker's list is asked for by its id. It goes on where the broker then works it; it ends as
   the broker says where that has ended it with the fills we have; it is gone only by `trading/absence.py`. Where the
   broker filled more than we have booked, nothing is ended: executions are missing.
4. A resting order's quantity and prices follow the broker's.
5. An order nobody here sent is EXTERNAL's (`trading/foreign.py`). One of ours that has ended here and works there is
   cancelled on sight.
6. Realized P&L depends on the order in which executions are booked. Where that alone differs, read twice, and every
   execution of the session agrees, the broker's figure counts.
7. Cash and fees are never repaired: they are told, and a person finds the cause. A difference in money is settled with
   the broker's figure where that person says so, under that person's name.

Each repair is an event. Nothing is ever sent to make the broker match us, but such a cancel.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.orders import OrderChanged, OrderQueryRequested
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind, RepairApplied
from qmworkbench.domain.execution import BrokerOrder, BrokerPosition, BrokerSnapshot
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Arc, Order, OrdStatus, next_status
from qmworkbench.domain.positions import Position
from qmworkbench.trading import absence, foreign, oms
from qmworkbench.trading.comparison import Tolerances, compare_executions, ours_by_their_id
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import EXTERNAL

POSITION_KINDS: Final = (BreakKind.POSITION_QTY, BreakKind.POSITION_SIDE, BreakKind.AVG_PX)
_TERMS: Final = (BreakKind.ORDER_QTY, BreakKind.ORDER_PX)
_ENDED_BY: Final = {
    OrdStatus.CANCELED: Arc.CANCEL,
    OrdStatus.EXPIRED: Arc.EXPIRE,
    OrdStatus.REJECTED: Arc.REJECT,
}


def erases(item: BreakFound) -> bool:
    """The broker's answer makes exposure vanish: smaller, gone, or turned around."""
    if item.kind in (BreakKind.ORDER_MISSING_AT_BROKER, BreakKind.POSITION_SIDE):
        return True
    return item.kind is BreakKind.POSITION_QTY and abs(Decimal(item.after)) < abs(Decimal(item.before))


def needs_second_look(item: BreakFound) -> bool:
    """Only another reading, of the whole session, can settle it."""
    return erases(item) or item.kind is BreakKind.REALIZED_PNL


def realized(decision: Decision, found: list[BreakFound], snapshot: BrokerSnapshot, before: Collection[str]) -> bool:
    """Settle a difference in realized P&L, where there is no other and every execution is the same on both sides."""
    if [item.kind for item in found] != [BreakKind.REALIZED_PNL] or found[0].break_id not in before:
        return False
    if compare_executions(decision.state, snapshot):
        return False
    note(decision, found[0], cause="booked in another order; positions, executions and cash agree")
    return True


def value_agrees(snapshot: BrokerSnapshot, tolerances: Tolerances) -> bool:
    """The account's own total is the market value of the very positions the broker reports."""
    account = snapshot.account
    if account is None:
        return False
    return abs(sum((p.market_value for p in snapshot.positions), ZERO) - account.positions_value) <= tolerances.money


def repair(
    decision: Decision, item: BreakFound, snapshot: BrokerSnapshot, tolerances: Tolerances, *, seen_before: bool
) -> bool:
    """Settle a break where that is safe; says whether it is settled."""
    if item.kind is BreakKind.ORDER_MISSING_AT_BROKER and not seen_before:
        _ask_for(decision, item)
    if erases(item) and not (seen_before and value_agrees(snapshot, tolerances)):
        return False
    if item.kind in POSITION_KINDS:
        return _position(decision, item, snapshot)
    if item.kind is BreakKind.ORDER_MISSING_AT_BROKER:
        return _missing_order(decision, item)
    if item.kind is BreakKind.ORDER_UNKNOWN_TO_US:
        return _unknown_order(decision, item, snapshot)
    if item.kind in _TERMS:
        return _terms(decision, item, snapshot)
    if item.kind is BreakKind.EXECUTION_MISSING_HERE:
        return _execution(decision, item)
    return False


def accept(decision: Decision, item: BreakFound, *, by: str, reason: str) -> None:
    """Settle a difference in money with the broker's figure, on a person's word."""
    decision.emit(
        RepairApplied(
            at=decision.at,
            break_id=item.break_id,
            kind=item.kind,
            symbol=item.symbol,
            before=item.before,
            after=item.after,
            cause=f"accepted: {reason}",
            authority=by,
        )
    )


def note(
    decision: Decision, item: BreakFound, after: str = "", cause: str = "", owner: str = "", qty: str = "", px: str = ""
) -> None:
    """Put a repair on record."""
    decision.emit(
        RepairApplied(
            at=decision.at,
            break_id=item.break_id,
            kind=item.kind,
            symbol=item.symbol,
            before=item.before,
            after=after or item.after,
            cause=cause or item.cause,
            authority=item.authority,
            strategy_id=owner,
            qty=qty,
            avg_px=px,
        )
    )


# --- positions and executions --------------------------------------------------------------------------------


def _position(decision: Decision, item: BreakFound, snapshot: BrokerSnapshot) -> bool:
    theirs = next((p for p in snapshot.positions if p.symbol == item.symbol), None)
    owner, qty = _share(decision.state.holders(item.symbol), theirs)
    avg_px = theirs.avg_px if theirs is not None else ZERO
    note(decision, item, owner=owner, qty=str(qty), px=str(avg_px))
    held = decision.state.position(owner, item.symbol)
    if item.kind is not BreakKind.AVG_PX and (held is None or item.kind is BreakKind.POSITION_SIDE):
        foreign.release_exits(decision, owner, item.symbol)
    return True


def _share(owners: list[Position], theirs: BrokerPosition | None) -> tuple[str, Decimal]:
    """Who takes the difference, and what it holds then: the symbol's one owner; where there are several theirs stay,
    and the difference is held outside until a person says whose it is.
    """
    their_qty = theirs.qty if theirs is not None else ZERO
    if len(owners) > 1:
        inside = sum((p.qty for p in owners if p.strategy_id != EXTERNAL), ZERO)
        return EXTERNAL, their_qty - inside
    return (owners[0].strategy_id, their_qty) if owners else (EXTERNAL, their_qty)


def _execution(decision: Decision, item: BreakFound) -> bool:
    """Booked by now, from the same reading, with the content the broker has: settled."""
    exec_id = item.before.removesuffix(" absent")
    if decision.state.fills.get(exec_id) != item.after:
        return False
    note(decision, item, cause="booked from the broker's executions")
    return True


def explained(decision: Decision, item: BreakFound) -> None:
    """A break of an earlier reading is gone: executions, or news of the order, have settled it since."""
    note(decision, item, after=item.after, cause="explained by what the broker has told since")


# --- orders ----------------------------------------------------------------------------------------------------


def _ask_for(decision: Decision, item: BreakFound) -> None:
    """One targeted question before an order counts as missing: lists drop what an id still finds."""
    order = decision.state.orders.get(item.before)
    if order is not None and order.is_open and order.queried_at != decision.at:
        text = "missing from the broker's open orders"
        decision.emit(OrderQueryRequested(at=decision.at, cl_ord_id=order.cl_ord_id, reason=text))


def _missing_order(decision: Decision, item: BreakFound) -> bool:
    state = decision.state
    order = state.orders.get(item.before)
    if order is None or not order.is_open:
        note(decision, item, after="ended in our books")
        return True
    told = state.reconciliation.asked.get(order.cl_ord_id)
    if told is None:
        _ask_for(decision, item)
        return False
    if told.status:
        arc = _ENDED_BY.get(OrdStatus(told.status)) if told.cum_qty == order.cum_qty else None
        if arc is None:
            _ask_for(decision, item)  # it works there, or has fills we lack: the list alone ends nothing
            return False
        oms.walk(decision, order, arc, reason=f"the broker has it as {told.status}")
        note(decision, item, after=f"{told.status} in our books", cause="asked for by its id")
        return True
    first = state.reconciliation.unresolved.get(item.break_id, item)
    if not (absence.asked_often_enough(state, order.cl_ord_id) and absence.grace_is_over(state, first.at)):
        _ask_for(decision, item)
        return False
    oms.walk(decision, order, Arc.CANCEL, reason="not at the broker: not in its list, not by its id")
    note(decision, item, after="canceled in our books")
    return True


def _unknown_order(decision: Decision, item: BreakFound, snapshot: BrokerSnapshot) -> bool:
    state = decision.state
    theirs = _their_order(snapshot, item.after)
    if theirs is None:
        return False
    known = state.orders.get(state.working_ids.get(item.after, item.after))
    if known is not None:
        _cancel_on_sight(decision, known)
        return False
    if not foreign.adopt(decision, theirs):
        return False
    note(decision, item, after=f"{item.after}, an open order of {EXTERNAL}", owner=EXTERNAL)
    return True


def _cancel_on_sight(decision: Decision, order: Order) -> None:
    """An order of ours that has ended here works at the broker: it is not wanted there. Paced, never a storm."""
    asked, pace = order.cancel_requested_at, decision.state.day.reconciliation.in_flight_after
    if asked is None or decision.at - asked >= pace:
        decision.recancel(order.cl_ord_id, f"it is {order.status} here, and works at the broker")


def _terms(decision: Decision, item: BreakFound, snapshot: BrokerSnapshot) -> bool:
    """Follow quantity and prices. Filled quantity only follows executions: where it differs, some are missing."""
    ours = ours_by_their_id(decision.state)
    order = decision.state.orders.get(item.before.split()[0])
    names = [name for name, mine in ours.items() if mine is order]
    theirs = next((o for o in snapshot.open_orders if o.cl_ord_id in names), None)
    if order is None or theirs is None or theirs.cum_qty != order.cum_qty:
        return False
    status = next_status(order.status, Arc.RESTATE, order_qty=theirs.order_qty, cum_qty=order.cum_qty)
    decision.emit(
        OrderChanged(
            at=decision.at,
            cl_ord_id=order.cl_ord_id,
            arc=Arc.RESTATE,
            status=status,
            cum_qty=order.cum_qty,
            order_qty=theirs.order_qty,
            order_id=theirs.order_id,
            reason="as the broker has it",
            limit_px=theirs.limit_px,
            stop_px=theirs.stop_px if order.trail_bps is None else None,
        )
    )
    note(decision, item)
    return True


def _their_order(snapshot: BrokerSnapshot, name: str) -> BrokerOrder | None:
    return next((o for o in snapshot.open_orders if o.cl_ord_id == name), None)
