"""Faults of a broker connection as data, around any broker: lost requests, lost answers, refusals, outages
(§13, §14).

A plan names the call by kind and number, so that the same plan always hits the same call. Nothing is drawn at
random here: who wants chance draws a plan.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from qmworkbench.domain.execution import (
    Account,
    AccountActivity,
    BrokerOrder,
    BrokerPosition,
    ExecutionReport,
    OrderRequest,
    ReplaceRequest,
)
from qmworkbench.ports import Broker, BrokerUnreachable, OutcomeUnknown, RequestRefused

_T = TypeVar("_T")


class Call(StrEnum):
    """The calls of ports.Broker."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    REPLACE = "replace"
    REPORTS = "reports"
    ACTIVITIES = "activities"
    ORDER = "order"
    OPEN_ORDERS = "open_orders"
    POSITIONS = "positions"
    ACCOUNT = "account"


class Fault(StrEnum):
    """What goes wrong with one call."""

    DROP_REQUEST = "drop_request"  # it never arrives; the caller cannot tell
    LOSE_ACK = "lose_ack"  # it takes effect; the caller cannot tell
    REFUSE = "refuse"  # a definite no; nothing takes effect
    UNREACHABLE = "unreachable"  # a read fails
    REPEAT_REPORTS = "repeat_reports"  # reports or activities come again from the start, as after a reconnect
    HOLD_REPORTS = "hold_reports"  # reports or activities answer with nothing new although there is


_REQUESTS = frozenset({Call.SUBMIT, Call.CANCEL, Call.REPLACE})
_REQUEST_FAULTS = frozenset({Fault.DROP_REQUEST, Fault.LOSE_ACK, Fault.REFUSE})
_NEWS = frozenset({Call.REPORTS, Call.ACTIVITIES})
_REPORT_FAULTS = frozenset({Fault.REPEAT_REPORTS, Fault.HOLD_REPORTS})


class PlannedFault(msgspec.Struct, frozen=True, kw_only=True):
    """`fault` strikes calls number `first` (from 1) to `first + times - 1` of `call`."""

    call: Call
    fault: Fault
    first: int = 1
    times: int = 1

    def __post_init__(self) -> None:
        fits = (
            self.call in _REQUESTS
            if self.fault in _REQUEST_FAULTS
            else self.call in _NEWS or (self.call not in _REQUESTS and self.fault is Fault.UNREACHABLE)
        )
        if not fits:
            raise ValueError(f"fault {self.fault} cannot strike {self.call}: requests are lost or refused, reads fail")
        if self.first < 1 or self.times < 1:
            raise ValueError(
                f"fault {self.fault} on {self.call}: first {self.first}, times {self.times}; give 1 or more"
            )


class FaultPlan(msgspec.Struct, frozen=True):
    """The faults of one connection. Where two fit the same call, the first in the plan strikes."""

    faults: tuple[PlannedFault, ...] = ()

    def strikes(self, call: Call, number: int) -> Fault | None:
        """What goes wrong with the `number`-th call of this kind, None when it goes well."""
        for planned in self.faults:
            if planned.call is call and planned.first <= number < planned.first + planned.times:
                return planned.fault
        return None


class FaultyBroker:
    """Implements ports.Broker on another one, under a plan. `calls` counts what was asked, by kind."""

    def __init__(self, broker: Broker, plan: FaultPlan) -> None:
        self._broker = broker
        self._plan = plan
        self.enforces_unique_ids = broker.enforces_unique_ids
        self.calls: dict[Call, int] = dict.fromkeys(Call, 0)

    def submit(self, request: OrderRequest) -> None:
        self._request(Call.SUBMIT, request.cl_ord_id, lambda: self._broker.submit(request))

    def cancel(self, cl_ord_id: str) -> None:
        self._request(Call.CANCEL, cl_ord_id, lambda: self._broker.cancel(cl_ord_id))

    def replace(self, request: ReplaceRequest) -> None:
        self._request(Call.REPLACE, request.cl_ord_id, lambda: self._broker.replace(request))

    def reports(self, after_cursor: int) -> Sequence[ExecutionReport]:
        return self._news(Call.REPORTS, after_cursor, self._broker.reports)

    def activities(self, after_cursor: int) -> Sequence[AccountActivity]:
        return self._news(Call.ACTIVITIES, after_cursor, self._broker.activities)

    def order(self, cl_ord_id: str) -> tuple[BrokerOrder | None, int]:
        return self._answer(Call.ORDER, self._next(Call.ORDER), lambda: self._broker.order(cl_ord_id))

    def open_orders(self) -> Sequence[BrokerOrder]:
        return self._answer(Call.OPEN_ORDERS, self._next(Call.OPEN_ORDERS), self._broker.open_orders)

    def positions(self) -> Sequence[BrokerPosition]:
        return self._answer(Call.POSITIONS, self._next(Call.POSITIONS), self._broker.positions)

    def account(self) -> Account:
        return self._answer(Call.ACCOUNT, self._next(Call.ACCOUNT), self._broker.account)

    def _next(self, call: Call) -> Fault | None:
        self.calls[call] += 1
        return self._plan.strikes(call, self.calls[call])

    def _request(self, call: Call, cl_ord_id: str, send: Callable[[], None]) -> None:
        fault = self._next(call)
        if fault is Fault.REFUSE:
            raise RequestRefused(f"planned: {call} {cl_ord_id} is refused")
        if fault is not Fault.DROP_REQUEST:
            send()
        if fault in (Fault.DROP_REQUEST, Fault.LOSE_ACK):
            raise OutcomeUnknown(f"planned: no answer to {call} {cl_ord_id}")

    def _news(self, call: Call, after_cursor: int, read: Callable[[int], Sequence[_T]]) -> Sequence[_T]:
        fault = self._next(call)
        if fault is Fault.HOLD_REPORTS:
            return ()
        start = 0 if fault is Fault.REPEAT_REPORTS else after_cursor
        return self._answer(call, fault, lambda: read(start))

    @staticmethod
    def _answer(call: Call, fault: Fault | None, read: Callable[[], _T]) -> _T:
        if fault is Fault.UNREACHABLE:
            raise BrokerUnreachable(f"planned: {call} is unreachable")
        return read()
