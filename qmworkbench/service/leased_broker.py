"""The broker's door with the lease before it: a process that was fenced sends nothing any more (§15, §19)."""

from collections.abc import Sequence
from typing import Protocol

from qmworkbench.domain.execution import (
    Account,
    AccountActivity,
    BrokerOrder,
    BrokerPosition,
    ExecutionReport,
    OrderRequest,
    ReplaceRequest,
)
from qmworkbench.domain.orders import Leg
from qmworkbench.ports import Broker
from qmworkbench.service.lease import uptime_s
from qmworkbench.trading.state import State


class Leased(Protocol):
    """A lease, as far as a send needs it (service/lease.py, service/book_lease.py)."""

    def check(self) -> None:
        """Raise LeaseLost unless this process may send now."""
        ...


class LeasedBroker:
    """ports.Broker around another one: submits and cancels raise LeaseLost once the lease is gone, reads pass, and how
    long ago the broker answered one is known.
    """

    def __init__(self, broker: Broker, lease: Leased) -> None:
        self.enforces_unique_ids = broker.enforces_unique_ids
        self._broker = broker
        self._lease = lease
        self._answered_s = uptime_s()

    def silent_s(self) -> float:
        """Seconds since the broker last told its reports or its account; since this door was made before that."""
        return max(0.0, uptime_s() - self._answered_s)

    def submit(self, request: OrderRequest) -> None:
        self._lease.check()
        self._broker.submit(request)

    def cancel(self, cl_ord_id: str) -> None:
        self._lease.check()
        self._broker.cancel(cl_ord_id)

    def replace(self, request: ReplaceRequest) -> None:
        self._lease.check()
        self._broker.replace(request)

    def reports(self, after_cursor: int) -> Sequence[ExecutionReport]:
        found = self._broker.reports(after_cursor)
        self._answered_s = uptime_s()
        return found

    def activities(self, after_cursor: int) -> Sequence[AccountActivity]:
        return self._broker.activities(after_cursor)

    def order(self, cl_ord_id: str) -> tuple[BrokerOrder | None, int]:
        return self._broker.order(cl_ord_id)

    def open_orders(self) -> Sequence[BrokerOrder]:
        return self._broker.open_orders()

    def positions(self) -> Sequence[BrokerPosition]:
        return self._broker.positions()

    def account(self) -> Account:
        found = self._broker.account()
        self._answered_s = uptime_s()
        return found


def leg_name(state: State, entry: str, leg: Leg) -> str | None:
    """What the exit of an entry is called by the intent on record; a broker that names exits itself is told by this."""
    intent = state.intents.get(entry)
    if intent is not None:
        return next((asked.cl_ord_id for asked in intent.request.legs if asked.leg is leg), None)
    found = (order for order in tuple(state.orders.values()) if order.parent_id == entry and order.leg is leg)
    return next((order.cl_ord_id for order in found), None)
