"""Hearing what the broker says: from the stream where that is alive, from the books where it is not (§13).

The stream is the quick way and the books are the sure one. Whenever the stream began anew, ends, falls behind what an
answer says it should have told, or names an order nobody knows, orders and fills are read from the books and what is
missing is told from there; each fact is told once, whoever told it first. Nothing unreadable is dropped: it becomes a
report that moves nothing.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from qmworkbench.brokers.alpaca import reading
from qmworkbench.brokers.alpaca.adoption import Adoption, Known
from qmworkbench.brokers.alpaca.books import Books
from qmworkbench.brokers.alpaca.facts import Facts, quarantined
from qmworkbench.brokers.alpaca.ledger import Ledger
from qmworkbench.brokers.alpaca.reading import Malformed
from qmworkbench.brokers.alpaca.stream import Stream
from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.ports import BrokerUnreachable

# How far behind what was asked for the books are read, for news that comes with an earlier time.
OVERLAP_NS: Final = 18 * 3600 * reading.NS
_FINDINGS: Final = 200


class Hearing:
    """What has been heard of one account. Whoever hears takes turns; `lock` is held for moments only.

    `patience_s`: how long the stream may lag behind an answer before the books are read instead; `poll_s`: how often
    they are read while there is no stream. Without `follow` there never is one. `findings` are the last things that
    were not as they should be.
    """

    def __init__(
        self,
        books: Books,
        stream: Stream,
        *,
        adoption: Adoption,
        lock: threading.RLock,
        patience_s: float,
        poll_s: float,
        follow: bool,
        connect_s: float,
    ) -> None:
        self.facts = Facts(adoption)
        self.findings: deque[str] = deque(maxlen=_FINDINGS)
        self._books, self._stream, self._adoption, self._lock = books, stream, adoption, lock
        self._patience_s, self._poll_s, self._follow, self._connect_s = patience_s, poll_s, follow, connect_s
        self._turn = threading.Lock()
        self._ledger = Ledger()
        self._since: int | None = None
        self._listenings = self._based = 0
        self._wanted = self._synced = 0
        self._polled_s = float("-inf")
        self._asked_after: set[str] = set()
        self._heard_by_stream = False
        self._lost = ""
        self.booked = 0  # the newest booking without an order that was read

    def expect(self, stamp: int) -> None:
        """The venue says that its stream has got so far: it is waited for, for a while."""
        self._wanted = max(self._wanted, stamp)
        if self._lost:  # it answers again: what is new need not wait for the next turn
            self._lost, self._polled_s = "", float("-inf")
        if self._stream.listening:
            self._begin_at(stamp)

    def _begin_at(self, stamp: int) -> None:
        """What was told before a stream began to listen does not come on it: it is not waited for."""
        if self._based != self._stream.listenings:
            self._based = self._stream.listenings
            self._synced = max(self._synced, stamp)

    def reports(self, after_cursor: int) -> Sequence[ExecutionReport]:
        """What became known after `after_cursor`. Raises BrokerUnreachable."""
        with self._turn:
            self._begin(after_cursor)
            self._hear()
            return tuple(self._ledger.after(after_cursor))

    def listen(self, *, wait: bool = True) -> None:
        """Hear from now on what happens; `wait` until it is heard, or cannot be."""
        if self._follow:
            self._stream.start()
            if wait:
                self._stream.await_listening(self._connect_s)

    def told_up_to(self, stamp: int) -> int:
        """The cursor of a statement made at `stamp`: that of the newest news that can be told of it.

        The broker counts what only the stream tells, a late cancel's refusal, and what a life before this one heard is
        not told again. Whoever waited for that would wait for ever. What is still on its way is waited for.
        """
        if self._since is None or self._synced < self._wanted:
            return stamp
        return min(stamp, max(self.newest, self.booked))

    @property
    def newest(self) -> int:
        """The cursor of the newest report known."""
        return self._ledger.newest

    @property
    def since(self) -> int:
        """From where on the books have been read, 0: from their beginning."""
        return self._since or 0

    def tell(self, report: ExecutionReport | None) -> None:
        """Something that was learned otherwise."""
        with self._turn:
            self._note(report)

    def find_fault(self, what: str) -> None:
        """Something is not as it should be."""
        self.findings.append(what)

    def adopt(self, order: Mapping[str, Any]) -> None:
        """Take note of an order and its legs."""
        try:
            self._adoption.learn(order)
        except Malformed as error:
            self.find_fault(str(error))

    # --- taking turns -------------------------------------------------------------------------------------------

    def _begin(self, after_cursor: int) -> None:
        """Read the books from `after_cursor` on, where that has not been done, and listen to what comes."""
        since = max(after_cursor - OVERLAP_NS, 0)
        if self._since is not None and since >= self._since:
            return
        self.listen()
        self._listenings = self._stream.listenings
        self._read_books(since)
        self._since = since

    def _hear(self) -> None:
        self._take_frames()
        if self._listenings != self._stream.listenings:
            self._listenings = self._stream.listenings
            self._read_books(self.since)
        deadline = time.monotonic() + self._patience_s
        while self._stream.listening and self._synced < self._wanted:
            if not self._stream.await_frames(max(deadline - time.monotonic(), 0)) and self._stream.listening:
                self.find_fault(f"the stream has told nothing for {self._patience_s:g} s, and should have")
                self._stream.drop("mute: it lags behind what the broker answers")
            self._take_frames()
        if self._stream.listening:
            self._heard_by_stream, self._lost = True, ""
        else:
            self._ask_the_books()

    def _ask_the_books(self) -> None:
        """Without a stream the books are all there is: at once when it ends, then at a pace; what fails stays so until
        it is asked again. Raises BrokerUnreachable.
        """
        news = self._heard_by_stream or self._synced < self._wanted or not self._follow
        if not news and time.monotonic() - self._polled_s < self._poll_s:
            if self._lost:
                raise BrokerUnreachable(self._lost)
            return
        self._heard_by_stream = False
        try:
            self._read_books(self.since)
        except BrokerUnreachable as error:
            self._lost = str(error)
            raise
        self._lost = ""

    # --- the stream ---------------------------------------------------------------------------------------------

    def _take_frames(self) -> None:
        for frame in self._stream.take():
            try:
                self._take_message(frame, reading.parsed(frame))
            except Malformed as error:
                self._quarantine(frame, str(error), None)

    def _take_message(self, frame: bytes, message: Any) -> None:
        told = reading.mapping(message, "a message")
        if told.get("stream") != "trade_updates":
            raise Malformed(f"stream is {reading.excerpt(told.get('stream'))!r}, which was not asked for")
        update = reading.mapping(told.get("data"), "data")
        order = update.get("order")
        order_id = str(order.get("id")) if isinstance(order, dict) else ""
        try:
            if self._is_strange(order, order_id):
                self._read_books(self.since)
            with self._lock:
                report = self.facts.of_update(update)
            at = reading.nanoseconds(update, "timestamp") if report is not None else 0
        except (Malformed, BrokerUnreachable) as error:
            self._quarantine(frame, str(error), self._adoption.of_id(order_id), order)
            return
        self._note(report)
        self._synced = max(self._synced, at)

    def _is_strange(self, order: Any, order_id: str) -> bool:
        """Whether it may be a leg of an entry of ours, which only the books can tell; asked once."""
        if not isinstance(order, dict) or order_id in self._asked_after or self._adoption.of_id(order_id) is not None:
            return False
        if order.get("order_class") in ("", "simple", None) and order.get("replaces") is None:
            return False
        self._asked_after.add(order_id)
        return True

    def _quarantine(self, frame: bytes, why: str, known: Known | None, order: Any = None) -> None:
        self.find_fault(why)
        symbol = str(order.get("symbol") or "") if isinstance(order, dict) else ""
        self._note(quarantined(frame, why, known, max(self._ledger.newest, self._synced) + 1, symbol[:32]))
        self._polled_s = float("-inf")

    def _note(self, report: ExecutionReport | None) -> None:
        if report is not None:
            with self._lock:
                self._ledger.add(report)

    # --- the books ------------------------------------------------------------------------------------------------

    def _read_books(self, since: int) -> None:
        """Tell what the stream has not: orders taken, replaced and ended, and every fill. Raises BrokerUnreachable."""
        self._polled_s = time.monotonic()
        orders, stamp = self._books.orders(since)
        fills = list(self._books.activities("trade_activity", since))
        with self._lock:
            self.facts.forget_fills()
            for order in orders:
                self.adopt(order)
            told = [report for order in orders for part in (order, *legs_of(order)) for report in self._of_order(part)]
            told += [report for entry in fills for report in self._of_fill(entry)]
            explained: dict[str, set[int]] = {}
            for report in told:
                explained.setdefault(report.order_id, set()).add(report.cursor)
            for order in orders:
                for part in (order, *legs_of(order)):
                    told += self._of_last_change(part, explained.get(str(part.get("id")), set()))
            if self._since is None or since < self._since:
                told += self._ledger.all
                self._ledger = Ledger()
            for report in sorted(told, key=_place):
                self._ledger.add(report)
        if self._stream.listening:
            self._begin_at(stamp)
        else:
            self._synced = max(self._synced, stamp)

    def _of_order(self, entry: Mapping[str, Any]) -> list[ExecutionReport]:
        try:
            return self.facts.of_order(entry)
        except Malformed as error:
            return [self._unread(entry, str(entry.get("id")), error)]

    def _of_last_change(self, entry: Mapping[str, Any], explained: set[int]) -> list[ExecutionReport]:
        try:
            report = self.facts.of_last_change(entry, explained)
        except Malformed:  # said already, where its beginning was read
            return []
        return [] if report is None else [report]

    def _of_fill(self, entry: Mapping[str, Any]) -> list[ExecutionReport]:
        try:
            return [self.facts.of_activity(entry)]
        except Malformed as error:
            return [self._unread(entry, str(entry.get("order_id")), error)]

    def _unread(self, entry: Mapping[str, Any], order_id: str, error: Malformed) -> ExecutionReport:
        self.find_fault(str(error))
        raw = msgspec.json.encode(entry)
        return quarantined(raw, str(error), self._adoption.of_id(order_id), max(self._ledger.newest, 1))


def legs_of(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The orders inside an order."""
    legs = order.get("legs")
    return [leg for leg in legs if isinstance(leg, dict)] if isinstance(legs, list) else []


def _place(report: ExecutionReport) -> tuple[int, bool, str]:
    """By time; at one time an order begins before anything else becomes of it."""
    return report.cursor, report.exec_type not in (ExecType.NEW, ExecType.REPLACED), report.exec_id
