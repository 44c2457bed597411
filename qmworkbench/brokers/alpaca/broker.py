"""ports.Broker on Alpaca's order wire (§12, §13): what is asked goes over REST, what happens is heard (hearing.py).

A request goes out once, and its answer says whether it was taken and nothing more: what became of it is a report.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from qmworkbench.brokers.alpaca import reading, statements
from qmworkbench.brokers.alpaca.adoption import Adoption, Known, LegNames, nobody
from qmworkbench.brokers.alpaca.books import Books
from qmworkbench.brokers.alpaca.hearing import Hearing, legs_of
from qmworkbench.brokers.alpaca.http import Address, Http, Refused, Said
from qmworkbench.brokers.alpaca.orders_out import replace_body, submit_body
from qmworkbench.brokers.alpaca.reading import Malformed
from qmworkbench.brokers.alpaca.stream import Stream
from qmworkbench.domain.execution import (
    Account,
    AccountActivity,
    BrokerOrder,
    BrokerPosition,
    ExecutionReport,
    OrderRequest,
    ReplaceRequest,
)
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown, RequestRefused

T = TypeVar("T")


class AlpacaBroker:
    """One account behind one address. Several threads may call at once; a cancel waits for none of them.

    `leg_names` says what the exits of our earlier entries are called; `patience_s`, `poll_s` and `follow` are
    Hearing's. Raises HostNotEnabled.
    """

    enforces_unique_ids = True

    def __init__(
        self,
        address: Address,
        *,
        leg_names: LegNames = nobody,
        patience_s: float = 2.0,
        poll_s: float = 0.5,
        follow: bool = True,
        transport: httpx.BaseTransport | None = None,
        stream: Stream | None = None,
    ) -> None:
        self.http = Http(address, transport=transport)
        self.stream = stream if stream is not None else Stream(address)
        self._lock = threading.RLock()  # what is known of orders: held for moments
        self._adoption = Adoption(leg_names)
        self._books = Books(self.http)
        self._heard = Hearing(
            self._books,
            self.stream,
            adoption=self._adoption,
            lock=self._lock,
            patience_s=patience_s,
            poll_s=poll_s,
            follow=follow,
            connect_s=address.connect_s + address.answer_s,
        )
        self._facts = self._heard.facts
        self._introduced = False
        self.http.on_stamp = self.expect

    @property
    def findings(self) -> Sequence[str]:
        """The last things that were not as they should be."""
        return tuple(self._heard.findings)

    def close(self) -> None:
        """Give up the connection; no call of this broker works afterwards."""
        self.stream.close()
        self.http.close()

    def expect(self, stamp: int) -> None:
        """The venue says that its stream has got so far: reports() waits for that, for a while."""
        self._heard.expect(stamp)

    # --- what changes the account -------------------------------------------------------------------------------

    def submit(self, request: OrderRequest) -> None:
        self._heard.listen()
        body = submit_body(request, ours=self._ours())
        with self._lock:
            self._adoption.expect(request)
        closes = request.position_effect is PositionEffect.CLOSE
        said = self.http.request("POST", "/v2/orders", body, urgent=closes)
        self._learn_answer(said, f"submit {request.cl_ord_id}")

    def cancel(self, cl_ord_id: str) -> None:
        self._heard.listen(wait=False)
        order_id = self._order_id(cl_ord_id)
        try:
            self.http.request("DELETE", f"/v2/orders/{order_id}", urgent=True)
        except Refused as error:
            if not (error.reported and self.stream.listening):
                self._tell_refused(order_id, error)

    def replace(self, request: ReplaceRequest) -> None:
        self._heard.listen(wait=False)
        order_id = self._order_id(request.orig_cl_ord_id)
        try:
            said = self.http.request("PATCH", f"/v2/orders/{order_id}", replace_body(request))
        except Refused as error:
            if not (error.reported and self.stream.listening):
                self._tell_refused(order_id, error, asked=request.cl_ord_id)
            return
        self._learn_answer(said, f"replace {request.orig_cl_ord_id}")

    def _learn_answer(self, said: Said, what: str) -> None:
        try:
            with self._lock:
                self._adoption.learn(reading.mapping(said.content, "the answer"))
        except Malformed as error:
            raise OutcomeUnknown(f"{what}: the broker took it and its answer cannot be read: {error}") from None

    def _order_id(self, cl_ord_id: str) -> str:
        """The broker's id of an order. Raises RequestRefused, OutcomeUnknown."""
        try:
            found = self._find(cl_ord_id, urgent=True)
        except BrokerUnreachable as error:
            raise OutcomeUnknown(f"{cl_ord_id}: it could not be looked up, so nothing was sent: {error}") from error
        if found is None:
            raise RequestRefused(f"unknown_order: no order was ever taken as {cl_ord_id!r}")
        return found.order_id

    def _tell_refused(self, order_id: str, error: Refused, asked: str = "") -> None:
        """A cancel, or a replace under the id `asked`, came too late, and the broker says so to us alone: it becomes a
        report. Raises RequestRefused where nothing was late.
        """
        if error.status != 422 or (asked and not error.reported):
            raise error
        event = "order_replace_rejected" if asked else "order_cancel_rejected"
        try:
            order = reading.mapping(self.http.read(f"/v2/orders/{order_id}", urgent=True).content, "the order")
            with self._lock:
                data = {"event": event, "order": order, "qm": {"reason": str(error), "asked": asked}}
                report = self._facts.of_update(data)
        except (BrokerUnreachable, Malformed) as trouble:
            raise OutcomeUnknown(f"it was refused ({error}), the order cannot be read: {trouble}") from None
        self._heard.tell(report)

    # --- what is asked --------------------------------------------------------------------------------------------

    def reports(self, after_cursor: int) -> Sequence[ExecutionReport]:
        return self._heard.reports(after_cursor)

    def order(self, cl_ord_id: str) -> tuple[BrokerOrder | None, int]:
        known = self._adoption.of_name(cl_ord_id)
        path = f"/v2/orders/{known.order_id}" if known is not None else "/v2/orders:by_client_order_id"
        asked = None if known is not None else {"client_order_id": cl_ord_id}
        newest = self._heard.newest
        try:
            said = self.http.read(path, asked)
        except Refused as error:
            if known is not None or self._find(cl_ord_id) is None:
                return None, error.stamp or newest
            return self.order(cl_ord_id)
        while isinstance(successor := self._mapped(said).get("replaced_by"), str):
            said = self.http.read(f"/v2/orders/{successor}")
        return self._understood(said, self._order), said.stamp or newest

    def open_orders(self) -> Sequence[BrokerOrder]:
        entries = self._books.open_orders()
        with self._lock:
            try:
                for entry in entries:
                    self._adoption.learn(entry)
                told = [self._facts.broker_order(part) for entry in entries for part in (entry, *legs_of(entry))]
            except Malformed as error:
                raise self._unusable("open orders", error) from None
        return [order for order in told if order.leaves_qty > 0]

    def positions(self) -> Sequence[BrokerPosition]:
        return self._understood(self.http.read("/v2/positions"), statements.positions)

    def account(self) -> Account:
        before = self._heard.newest
        said = self.http.read("/v2/account")
        now = datetime.now(UTC)
        held = () if statements.tells_all(said.content) else self.positions()
        return self._understood(
            said,
            lambda content: statements.account(
                content, cursor=self._heard.told_up_to(said.stamp) if said.stamp else before, now=now, held=held
            ),
        )

    def activities(self, after_cursor: int) -> Sequence[AccountActivity]:
        found = []
        for entry in self._books.activities("non_trade_activity", None):
            try:
                told = statements.activity(entry)
            except Malformed as error:
                self._heard.find_fault(f"account activity: {error}")
                continue
            self._heard.booked = max(self._heard.booked, told.cursor)
            if told.cursor > after_cursor:
                found.append(told)
        return found

    # --- the parts of it --------------------------------------------------------------------------------------------

    def _ours(self) -> bool:
        """Whether the broker is a venue of ours; asked once. Raises OutcomeUnknown."""
        if not self.http.ours and not self._introduced:
            try:
                self.http.read("/v2/account")
            except (BrokerUnreachable, RequestRefused) as error:
                raise OutcomeUnknown(f"nothing was sent: the broker does not answer: {error}") from error
            self._introduced = True
        return self.http.ours

    def _find(self, cl_ord_id: str, *, urgent: bool = False) -> Known | None:
        """The order of one of our ids: known, by that id, or as a leg in the books. Raises BrokerUnreachable."""
        known = self._adoption.of_name(cl_ord_id)
        if known is not None:
            return known
        try:
            said = self.http.read("/v2/orders:by_client_order_id", {"client_order_id": cl_ord_id}, urgent=urgent)
        except RequestRefused:
            orders, _ = self._books.orders(self._heard.since)
            with self._lock:
                for order in orders:
                    self._heard.adopt(order)
            return self._adoption.of_name(cl_ord_id)
        order = self._mapped(said)
        with self._lock:
            self._heard.adopt(order)
        return self._adoption.of_name(cl_ord_id)

    def _mapped(self, said: Said) -> dict[str, Any]:
        return self._understood(said, lambda content: dict(reading.mapping(content, "the order")))

    def _order(self, content: Any) -> BrokerOrder:
        with self._lock:
            return self._facts.broker_order(reading.mapping(content, "the order"))

    def _understood(self, said: Said, read: Callable[[Any], T]) -> T:
        try:
            return read(said.content)
        except Malformed as error:
            raise self._unusable("the answer", error) from None

    def _unusable(self, what: str, error: Malformed) -> BrokerUnreachable:
        self._heard.find_fault(f"{what}: {error}")
        return BrokerUnreachable(f"{what} cannot be understood: {error}; nothing is concluded from it")
