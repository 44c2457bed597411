"""Two live orders at the broker for one of ours: proven, and answered at once (§13 Duplicate Order Suspicion, §23).

One order of ours works at the broker under one id at a time. Two ids of it that work there together (a replace that the
broker carried out as a second order, nautilus_trader #4564), or two entries for one signal, are twice the exposure that
was judged. The one we know by its working id stays, the surplus is cancelled by its own id, the strategy stops
entering, and people are told. Exits go on, sized by what is held.
"""

from qmworkbench.domain.events.orders import CancelRequested
from qmworkbench.domain.execution import BrokerOrder, BrokerSnapshot
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.orders import Leg, Order
from qmworkbench.trading import contradictions
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import State

KIND = "two_live_orders"


def look(decision: Decision, snapshot: BrokerSnapshot) -> None:
    """What works at the broker more than once for one order or one signal of ours."""
    state = decision.state
    if not snapshot.complete or state.session is None:
        return
    first: dict[str, BrokerOrder] = {}
    for theirs in sorted(snapshot.open_orders, key=lambda o: (_is_surplus(state, o), o.cl_ord_id)):
        order = owner(state, theirs)
        if order is None:
            continue
        other = first.setdefault(_what_for(order), theirs)
        if other is not theirs:
            _answer(decision, order, other, theirs)


def owner(state: State, theirs: BrokerOrder) -> Order | None:
    """Our order that an order of the broker's is, by its id or by the one it replaced."""
    order = state.order_named(theirs.cl_ord_id)
    if order is None and theirs.orig_cl_ord_id is not None:
        order = state.order_named(theirs.orig_cl_ord_id)
    return order


def _is_surplus(state: State, theirs: BrokerOrder) -> bool:
    """Not the id under which we know the order to work: of two, that one stays."""
    order = owner(state, theirs)
    return order is not None and order.broker_id != theirs.cl_ord_id


def _what_for(order: Order) -> str:
    """What may work once: an entry once for its signal, anything else once for itself."""
    if order.leg is Leg.ENTRY and order.signal_id:
        return f"{order.strategy_id}|{order.symbol}|{order.signal_id}"
    return order.cl_ord_id


def _answer(decision: Decision, order: Order, kept: BrokerOrder, surplus: BrokerOrder) -> None:
    detail = f"{kept.cl_ord_id} ({kept.leaves_qty} open) and {surplus.cl_ord_id} ({surplus.leaves_qty} open) both work"
    text = f"{order.symbol}: two live orders at the broker for one of ours: {detail}"
    if content_id(KIND, order.cl_ord_id) not in decision.state.alerts:
        contradictions.quarantine(decision, "", surplus.cl_ord_id, KIND, detail)
    contradictions.answer(decision, order.strategy_id, order.cl_ord_id, KIND, text, of=order.symbol)
    decision.emit(CancelRequested(at=decision.at, cl_ord_id=surplus.cl_ord_id, reason=f"surplus: {detail}"))
