"""Reading a journal by session, kind of event or order, from any sequence on, and following it live (§19, §21).

The same over every store and every reader. A journal is one book's, so the book is chosen by opening it. Records are
chosen as they are stored, so that what is found can be proved; storage/reading.py decodes what notebooks want.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec

from qmworkbench.domain.chain import Record
from qmworkbench.domain.events import Event, decode
from qmworkbench.domain.events.orders import ReplaceRequested
from qmworkbench.domain.events.session import SessionClosed, SessionOpened
from qmworkbench.storage.refused import StoreMissing

POLL_S: Final = 0.25
_REPLACED: Final = str(ReplaceRequested.__struct_config__.tag)


class Journal(Protocol):
    """A journal open for writing, or a reader of one."""

    @property
    def durable_seq(self) -> int: ...

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]: ...

    def session_events(self) -> Iterator[tuple[int, Event]]: ...


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted: records after a sequence; of some wire names, of one session, about one order, where given.

    `order` is any id the order has or had: its first one, its root, and those a replace gave it lead to the same
    records. A bracket's legs are found under their own ids.
    """

    after_seq: int = 0
    types: frozenset[str] | None = None
    session: str = ""
    order: str = ""


EVERYTHING: Final = Selection()


def chosen(journal: Journal, wanted: Selection = EVERYTHING, *, stream: str = "decisions") -> Iterator[Record]:
    """What is on record of it, in order. Raises StoreMissing for a session there is not, ValueError for a stream that
    knows none.
    """
    _demand_sessions(wanted, stream)
    first, last = span(journal, wanted.session) if wanted.session else (1, None)
    names = _Names(journal, wanted.order) if wanted.order else None
    return _between(journal, stream, max(wanted.after_seq, first - 1), last, wanted.types, names)


def followed(
    journal: Journal,
    wanted: Selection = EVERYTHING,
    *,
    stream: str = "decisions",
    stop: Callable[[], bool] = lambda: False,
    poll_s: float = POLL_S,
) -> Iterator[Record]:
    """As `chosen`, and then what becomes durable, until `stop` or until the session that is wanted is closed.

    A session need not have been opened yet, nor an order intended. Raises ValueError for a stream that knows none.
    """
    _demand_sessions(wanted, stream)
    names = _Names(journal, wanted.order) if wanted.order else None
    place = wanted.after_seq
    while True:
        ending = stop()  # asked before reading: what was there when it was asked is still told
        # What becomes durable from here on is read in the next round: only then is it known whether the session was
        # closed before it.
        upto = journal.durable_seq if wanted.session else None
        first, last = _span_so_far(journal, wanted.session) if wanted.session else (1, None)
        ended = last is not None
        if first:
            end = last if ended else upto
            for record in _between(journal, stream, max(place, first - 1), end, wanted.types, names):
                place = record.seq
                yield record
        if ending or ended:
            return
        time.sleep(poll_s)


def span(journal: Journal, session: str) -> tuple[int, int | None]:
    """First and last sequence of a session; the last is None while it is open. Raises StoreMissing."""
    first, last, there = 0, None, list[str]()
    for seq, event in journal.session_events():
        match event:
            case SessionOpened():
                if first and last is None:
                    last = seq - 1  # it was left, and never closed
                if event.session_id == session:
                    first, last = seq, None
                there.append(event.session_id)
            case SessionClosed() if event.session_id == session:
                last = seq
    if not first:
        raise StoreMissing(f"there is no session {session!r} on record; there are {', '.join(there) or 'none'}")
    return first, last


def _span_so_far(journal: Journal, session: str) -> tuple[int, int | None]:
    """As span(); (0, None) for a session that was not opened yet."""
    try:
        return span(journal, session)
    except StoreMissing:
        return 0, None


def _demand_sessions(wanted: Selection, stream: str) -> None:
    if stream != "decisions" and wanted.session:
        raise ValueError(f"the stream {stream!r} knows no session: read it by sequence and kind")


def _between(
    journal: Journal, stream: str, after: int, last: int | None, types: frozenset[str] | None, names: "_Names | None"
) -> Iterator[Record]:
    for record in journal.records(after, stream=stream):
        if last is not None and record.seq > last:
            return
        if (names is None or names.in_(record)) and (types is None or record.type in types):
            yield record


class _Names:
    """Every id of one order, and whether a record names one. A name stands in a payload as a text of its own, or within
    the text of an imported record.
    """

    def __init__(self, journal: Journal, asked: str) -> None:
        changes = [_replaced(record) for record in journal.records() if record.type == _REPLACED]
        root = next((change.order for change in changes if change.request.cl_ord_id == asked), asked)
        self._found: list[bytes] = []
        for name in (root, asked, *(change.request.cl_ord_id for change in changes if change.order == root)):
            self._add(name)

    def in_(self, record: Record) -> bool:
        """Whether the record is about the order; one that gives it another id makes that id known."""
        if not any(text in record.payload for text in self._found):
            return False
        if record.type == _REPLACED:
            self._add(_replaced(record).request.cl_ord_id)
        return True

    def _add(self, name: str) -> None:
        quoted = f'"{name}"'.encode()
        if quoted not in self._found:
            self._found += [quoted, f'\\"{name}\\"'.encode()]


def _replaced(record: Record) -> ReplaceRequested:
    event = decode(record.payload)
    assert isinstance(event, ReplaceRequested), "its type says so"
    return event
