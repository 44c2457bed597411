"""What the shell must do once an event is durable: the journal is the outbox (§13, DESIGN "Intent before effect")."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import Alert, AlertRaised
from qmworkbench.domain.events.orders import CancelRequested, OrderIntended, OrderQueryRequested, ReplaceRequested
from qmworkbench.domain.events.reconciliation import ReconciliationStarted, Trigger
from qmworkbench.domain.execution import OrderRequest, ReplaceRequest


class SubmitOrder(msgspec.Struct, frozen=True):
    """Send a new order; answer with SubmitObserved."""

    request: OrderRequest


class CancelOrder(msgspec.Struct, frozen=True):
    """Ask for a cancel, by the id the broker has the order under; answer with CancelObserved."""

    cl_ord_id: str


class ReplaceOrder(msgspec.Struct, frozen=True):
    """Ask for an order to go on otherwise; answer with ReplaceObserved. `order` is our own id of it."""

    order: str
    request: ReplaceRequest


class QueryOrder(msgspec.Struct, frozen=True):
    """Ask the broker for one order, by the id it has it under; answer with OrderQueried."""

    cl_ord_id: str


class QueryBroker(msgspec.Struct, frozen=True):
    """Read positions, orders, account and the executions after `after_cursor` together; answer with
    BrokerSnapshotObserved.
    """

    trigger: Trigger
    after_cursor: int


class NotifyPeople(msgspec.Struct, frozen=True):
    """Carry an alert beyond the screen; no answer."""

    alert: Alert


Effect = SubmitOrder | CancelOrder | ReplaceOrder | QueryOrder | QueryBroker | NotifyPeople


_ASKED_BY: Final[dict[type[Event], Callable[[Any], Effect]]] = {
    OrderIntended: lambda event: SubmitOrder(event.request),
    CancelRequested: lambda event: CancelOrder(event.working_id or event.cl_ord_id),
    ReplaceRequested: lambda event: ReplaceOrder(event.order, event.request),
    OrderQueryRequested: lambda event: QueryOrder(event.working_id or event.cl_ord_id),
    ReconciliationStarted: lambda event: QueryBroker(event.trigger, event.after_cursor),
    AlertRaised: lambda event: NotifyPeople(event.alert),
}


def effects_of(events: Iterable[Event]) -> list[Effect]:
    """The effects `events` ask for, in order. None may be carried out before its event is durable."""
    return [_ASKED_BY[type(event)](event) for event in events if type(event) in _ASKED_BY]
