"""What the venue has said, as the wire tells it: orders with their times and links, and the stream in order (§13).

Made from the exchange's own reports and activities, and from nothing else, so that a venue started again on its file
shows the same orders under the same ids at the same times.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.execution import AccountActivity, BrokerOrder, ExecType, ExecutionReport
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.records import StatementLine
from qmworkbench.venue.wire.names import ENTRY_LEGS, leg_name, ns_of, wire_id

_TIMED: Final = {
    ExecType.CANCELED: "canceled_ns",
    ExecType.EXPIRED: "expired_ns",
    ExecType.REJECTED: "failed_ns",
    ExecType.REPLACED: "replaced_ns",
}
_TRADES: Final = (ExecType.TRADE.value, ExecType.TRADE_CANCEL.value)


@dataclass
class WireOrder:
    """One order as the wire knows it: an order that is replaced goes on as another one, with its own id.

    `name` is the client id the exchange has it under; times are nanoseconds, None for what has not happened. A leg's
    `submitted_ns` is None until its entry wakes it. `ended_qty` is what a replaced order was for.
    """

    wire_id: str
    name: str
    created_ns: int
    submitted_ns: int | None = None
    filled_ns: int | None = None
    canceled_ns: int | None = None
    expired_ns: int | None = None
    failed_ns: int | None = None
    replaced_ns: int | None = None
    updated_ns: int = 0
    replaces: str | None = None
    replaced_by: str | None = None
    parent: str | None = None
    legs: list[str] = field(default_factory=list)
    reason: str = ""
    ended_qty: Decimal | None = None


@dataclass(frozen=True)
class Update:
    """One line of the stream: the report, when the wire says it was, and the order it is about."""

    ns: int
    report: ExecutionReport
    order: WireOrder


@dataclass(frozen=True)
class Fill:
    """One execution for the activities' list; a bust is one too."""

    ns: int
    report: ExecutionReport
    order: WireOrder


class Tape:
    """The wire's memory of one exchange. `venue` goes into every id."""

    def __init__(self, exchange: Exchange, venue: str) -> None:
        self._exchange = exchange
        self.venue = venue
        self.orders: dict[str, WireOrder] = {}  # by wire id, oldest first
        self.by_name: dict[str, WireOrder] = {}
        self.updates: list[Update] = []
        self.booked: list[tuple[int, AccountActivity]] = []
        self.newest_ns = 0
        self._cursor = 0
        self.advance()

    def follow(self, exchange: Exchange) -> None:
        """Go on with the same books, opened anew."""
        self._exchange = exchange

    def advance(self) -> list[Update]:
        """Take in what the exchange has said since; returns the stream's new lines."""
        said: list[ExecutionReport | AccountActivity] = [*self._exchange.reports(self._cursor)]
        said += self._exchange.activities(self._cursor)
        news: list[Update] = []
        for entry in sorted(said, key=lambda entry: entry.cursor):
            self._cursor = entry.cursor
            ns = max(ns_of(entry.transact_time) + entry.cursor, self.newest_ns + 1)
            self.newest_ns = ns
            if isinstance(entry, AccountActivity):
                self.booked.append((ns, entry))
            else:
                news.append(Update(ns, entry, self._note(entry, ns)))
        self.updates += news
        return news

    def fills(self) -> list[Fill]:
        """Every execution, oldest first."""
        return [
            Fill(update.ns, update.report, update.order)
            for update in self.updates
            if update.report.exec_type in (ExecType.TRADE, ExecType.TRADE_CANCEL)
        ]

    def statement(self, after_ns: int) -> list[StatementLine]:
        """The account's statement after a time, in the wire's names and times."""
        times = {update.report.cursor: update.ns for update in self.updates}
        times |= {entry.cursor: ns for ns, entry in self.booked}
        told = []
        for line in self._exchange.statement():
            ref = line.ref if line.what not in _TRADES else wire_id(self.venue, "execution", line.ref)
            if times[line.cursor] > after_ns:
                told.append(msgspec.structs.replace(line, cursor=times[line.cursor], ref=ref))
        return told

    def held(self, order: WireOrder) -> BrokerOrder | None:
        """The order as the exchange's books have it now."""
        return self._exchange.order(order.name)[0]

    def newest(self, name: str) -> WireOrder | None:
        """The order a client id names; for a leg the venue's own name."""
        return self.by_name.get(name)

    # --- reading reports ----------------------------------------------------------------------------------------

    def _note(self, report: ExecutionReport, ns: int) -> WireOrder:
        if report.exec_type is ExecType.REPLACED and report.orig_cl_ord_id is not None:
            return self._replaced(report, report.orig_cl_ord_id, ns)
        rejected = report.exec_type is ExecType.REPLACE_REJECTED and report.orig_cl_ord_id is not None
        order = self._order(report.orig_cl_ord_id or "" if rejected else report.cl_ord_id, report, ns)
        order.updated_ns = ns
        if report.reason:
            order.reason = report.reason
        if report.exec_type is ExecType.NEW:
            order.submitted_ns = ns
        elif report.exec_type is ExecType.TRADE:
            if report.cum_qty >= report.order_qty:
                order.filled_ns = ns
        elif report.exec_type in _TIMED:
            setattr(order, _TIMED[report.exec_type], ns)
        return order

    def _order(self, name: str, report: ExecutionReport, ns: int) -> WireOrder:
        known = self.by_name.get(name)
        if known is not None:
            return known
        # Something other than its beginning may be the first we hear of an order: it is shown all the same.
        order = self._add(WireOrder(wire_id(self.venue, "order", name), name, created_ns=ns, submitted_ns=ns))
        if report.parent_id is None:
            self._find_legs(order, ns)
        return order

    def _find_legs(self, parent: WireOrder, ns: int) -> None:
        for kind in ENTRY_LEGS:
            name = leg_name(self.venue, parent.name, kind)
            if name not in self.by_name and self._exchange.order(name)[0] is not None:
                leg = WireOrder(wire_id(self.venue, "order", name), name, created_ns=ns, parent=parent.wire_id)
                parent.legs.append(self._add(leg).wire_id)

    def _replaced(self, report: ExecutionReport, orig: str, ns: int) -> WireOrder:
        before = self._order(orig, report, ns)
        before.replaced_ns = before.updated_ns = ns
        order = WireOrder(
            wire_id(self.venue, "order", report.cl_ord_id),
            report.cl_ord_id,
            created_ns=ns,
            submitted_ns=ns,
            updated_ns=ns,
            replaces=before.wire_id,
            parent=before.parent,
            legs=before.legs,
        )
        before.replaced_by = order.wire_id
        before.ended_qty = self._last_qty(before)
        if before.parent is not None:
            parent = self.orders[before.parent]
            parent.legs = [order.wire_id if leg == before.wire_id else leg for leg in parent.legs]
        return self._add(order)

    def _last_qty(self, order: WireOrder) -> Decimal | None:
        for update in reversed(self.updates):
            if update.order is order:
                return update.report.order_qty
        return None

    def _add(self, order: WireOrder) -> WireOrder:
        self.orders[order.wire_id] = order
        self.by_name[order.name] = order
        return order


def since(updates: Sequence[Update], ns: int) -> Sequence[Update]:
    """The lines after a time."""
    return updates[bisect_right(updates, ns, key=lambda update: update.ns) :]
