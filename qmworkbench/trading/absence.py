"""When an order counts as absent at the broker: one 404 proves nothing (§13, DESIGN "Intent before effect").

What was sent may still be under way when the broker first answers that it does not know it. So an id is absent only

1. by a complete answer, never by a failed query or by silence;
2. that is no older than what the broker has told us otherwise;
3. after as many answers in a row as the session asks for, all of them saying the same;
4. once the grace after the last sending has passed, in which a request that timed out could still arrive;
5. and not while the process that decided on it may still be sending it: every request of this life is answered, so an
   order without any answer waits for its turn or is under way, however long the disk has kept it. What an earlier life
   left so may have been sent until that ended: the grace counts from when this one took over (fold_reconciliation.py).
"""

from datetime import datetime

from qmworkbench.domain.events.orders import OrderQueried
from qmworkbench.domain.orders import Order, OrdStatus
from qmworkbench.trading.state import State


def proven_absent(state: State, order: Order, answer: OrderQueried) -> bool:
    """Whether `answer`, folded already, proves that an order in doubt never reached the broker."""
    if not answer.complete or answer.found is not None or answer.cursor < state.heard_cursor:
        return False
    if order.status is OrdStatus.INTENDED and (order.last_at is None or order.last_at <= order.intended_at):
        return False
    return asked_often_enough(state, order.cl_ord_id) and grace_is_over(state, order.last_at or order.intended_at)


def asked_often_enough(state: State, cl_ord_id: str) -> bool:
    """The broker was asked for the order by its id as often as it takes, and knew nothing of it each time."""
    told = state.reconciliation.asked.get(cl_ord_id)
    return told is not None and told.absent >= state.day.reconciliation.queries_before_missing


def grace_is_over(state: State, since: datetime) -> bool:
    """What was on its way at `since` would have arrived by now."""
    return (state.clock() - since).total_seconds() >= state.day.reconciliation.absence_grace_s
