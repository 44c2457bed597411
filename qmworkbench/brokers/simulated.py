"""The simulated venue as a broker, in process (§2: backtest and local)."""

from collections.abc import Sequence

from qmworkbench.domain.execution import (
    Account,
    AccountActivity,
    BrokerOrder,
    BrokerPosition,
    ExecutionReport,
    OrderRequest,
    ReplaceRequest,
)
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown, RequestRefused
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.orders import OrderRefused
from qmworkbench.venue.records import VenueError


class SimulatedBroker:
    """Implements ports.Broker on an Exchange.

    A refusal at the venue's door is a RequestRefused whose message begins with its code. When the venue
    cannot write or read its own file, a request is OutcomeUnknown (asking for the order settles it) and a
    read is BrokerUnreachable.
    """

    enforces_unique_ids = True

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def submit(self, request: OrderRequest) -> None:
        try:
            self.exchange.submit(request)
        except OrderRefused as refused:
            raise RequestRefused(str(refused)) from refused
        except VenueError as error:
            raise OutcomeUnknown(f"submit {request.cl_ord_id}: {error}") from error

    def cancel(self, cl_ord_id: str) -> None:
        try:
            self.exchange.cancel(cl_ord_id)
        except OrderRefused as refused:
            raise RequestRefused(str(refused)) from refused
        except VenueError as error:
            raise OutcomeUnknown(f"cancel {cl_ord_id}: {error}") from error

    def replace(self, request: ReplaceRequest) -> None:
        try:
            self.exchange.replace(request)
        except OrderRefused as refused:
            raise RequestRefused(str(refused)) from refused
        except VenueError as error:
            raise OutcomeUnknown(f"replace {request.orig_cl_ord_id}: {error}") from error

    def reports(self, after_cursor: int) -> Sequence[ExecutionReport]:
        try:
            return self.exchange.reports(after_cursor)
        except VenueError as error:
            raise BrokerUnreachable(f"reports: {error}") from error

    def activities(self, after_cursor: int) -> Sequence[AccountActivity]:
        try:
            return self.exchange.activities(after_cursor)
        except VenueError as error:
            raise BrokerUnreachable(f"account activities: {error}") from error

    def order(self, cl_ord_id: str) -> tuple[BrokerOrder | None, int]:
        try:
            return self.exchange.order(cl_ord_id)
        except VenueError as error:
            raise BrokerUnreachable(f"order {cl_ord_id}: {error}") from error

    def open_orders(self) -> Sequence[BrokerOrder]:
        try:
            return self.exchange.open_orders()
        except VenueError as error:
            raise BrokerUnreachable(f"open orders: {error}") from error

    def positions(self) -> Sequence[BrokerPosition]:
        try:
            return self.exchange.positions()
        except VenueError as error:
            raise BrokerUnreachable(f"positions: {error}") from error

    def account(self) -> Account:
        try:
            return self.exchange.account()
        except VenueError as error:
            raise BrokerUnreachable(f"account: {error}") from error
