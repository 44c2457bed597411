"""What the shells need from the world: Clock, Journal, Broker, MarketData, Bus, Notifier (DESIGN §7).

Implemented by storage, bus, brokers, market and service.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from qmworkbench.domain.chain import Record
from qmworkbench.domain.events import Alert, Event
from qmworkbench.domain.execution import (
    Account,
    AccountActivity,
    BrokerOrder,
    BrokerPosition,
    ExecutionReport,
    OrderRequest,
    ReplaceRequest,
)
from qmworkbench.trading.frames import BarFrame


class JournalFailed(Exception):
    """An append or sync did not become durable. The writer is poisoned: every later call raises this too."""


class HeadMoved(Exception):
    """Somebody appended since the caller last looked: nothing was queued. `head` is where the journal ends now."""

    def __init__(self, head: int, expected: int) -> None:
        super().__init__(
            f"the journal ends at {head} and the append was to follow {expected}: read what is new, and decide again"
        )
        self.head, self.expected = head, expected


class OutcomeUnknown(Exception):
    """A request to the broker got no usable answer (timeout, disconnect, 5xx): it may have taken effect."""


class RequestRefused(Exception):
    """The broker definitively refused a request; nothing took effect. The message is the coded reason."""


class BrokerUnreachable(Exception):
    """A read could not be answered. Never to be taken for an empty answer (§14)."""


class Clock(Protocol):
    """Where time comes from: the wall, or the bars of a replay."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...


class Journal(Protocol):
    """One book's append-only, hash-chained record, with one writer.

    Two streams, each with its own sequence and chain: decisions (replayable) and telemetry (facts of the machine).
    """

    @property
    def head(self) -> tuple[int, str]:
        """Sequence and hash of the newest decision appended (not necessarily durable yet)."""
        ...

    @property
    def durable_seq(self) -> int:
        """The newest decision that is surely on disk."""
        ...

    def append(self, events: Sequence[Event], *, expected: int | None = None) -> int:
        """Queue decisions in order; returns the last sequence. Effects must wait for sync(). `expected` is the sequence
        they are to follow: raises HeadMoved where the head is elsewhere.
        """
        ...

    def append_telemetry(self, events: Sequence[Event]) -> None:
        """Queue telemetry; becomes durable with the next sync, never waited for."""
        ...

    def sync(self) -> int:
        """Wait until all that was appended is on disk; returns durable_seq. Raises JournalFailed."""
        ...

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Decisions after `after_seq`, in order."""
        ...

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]:
        """Stored records for verification and export."""
        ...


class Broker(Protocol):
    """An execution venue. Calls block; the service makes them off its loop.

    Reads raise BrokerUnreachable rather than answer empty. `submit`, `cancel` and `replace` raise OutcomeUnknown when
    no usable answer came, RequestRefused when the broker said no.
    """

    enforces_unique_ids: bool

    def submit(self, request: OrderRequest) -> None:
        """Send a new order. Its acknowledgement arrives through reports()."""
        ...

    def cancel(self, cl_ord_id: str) -> None:
        """Ask for a cancel; the outcome arrives through reports()."""
        ...

    def replace(self, request: ReplaceRequest) -> None:
        """Ask for an order to go on otherwise; the outcome arrives through reports()."""
        ...

    def reports(self, after_cursor: int) -> Sequence[ExecutionReport]:
        """Everything the broker has said since `after_cursor`, oldest first."""
        ...

    def activities(self, after_cursor: int) -> Sequence[AccountActivity]:
        """What moved the account without an order since `after_cursor`, oldest first; numbered with the reports."""
        ...

    def order(self, cl_ord_id: str) -> tuple[BrokerOrder | None, int]:
        """The order by its client id (None: not in the books) and the transaction cursor that answer is exact at."""
        ...

    def open_orders(self) -> Sequence[BrokerOrder]: ...

    def positions(self) -> Sequence[BrokerPosition]: ...

    def account(self) -> Account: ...


class MarketData(Protocol):
    """A feed of bar frames, one per boundary, in order."""

    def frames(self, after: datetime | None = None) -> Iterator[BarFrame]:
        """Frames with `as_of` later than `after` (None: all)."""
        ...


class Bus(Protocol):
    """Publish and follow what the journal has made durable."""

    def publish(self, seq: int, events: Sequence[Event]) -> None: ...

    def follow(
        self, receiver: Callable[[int, Sequence[Event]], None], after_seq: int | None = None
    ) -> Callable[[], None]:
        """Register a receiver; the returned call unregisters it. It hears from the next publication on, or first what
        was published after decision `after_seq`.
        """
        ...


class Notifier(Protocol):
    """Where alerts go beyond the screen."""

    def notify(self, alerts: Iterable[Alert]) -> None: ...
