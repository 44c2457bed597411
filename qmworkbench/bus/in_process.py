"""The bus within one process: what the journal has made durable, handed to those who follow it (§9)."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from qmworkbench.domain.events import Event

Receiver = Callable[[int, Sequence[Event]], None]
MAX_RECEIVERS: Final = 64
KEEP: Final = 2_000  # publications held for those who come later
_FAILURES_KEPT: Final = 32


class ReceiverFailed(msgspec.Struct, frozen=True):
    """A receiver that raised and was unregistered: who, at which sequence, and what it raised."""

    receiver: str
    seq: int
    error: str


class BusHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether those elsewhere are told. `waiting` are publications still here, `dropped` those given up, `sent_seq` the
    last decision that was sent.

    `detail` is what the server, or its absence, said last; "" while all is well.
    """

    connected: bool = True
    waiting: int = 0
    dropped: int = 0
    sent_seq: int = 0
    detail: str = ""


class Gap(Exception):
    """The bus no longer holds, or never got, what follows a reader's place: read it from the journal.

    `after_seq` is the last decision that was read, `next_seq` the first that the bus still has.
    """

    def __init__(self, after_seq: int, next_seq: int) -> None:
        super().__init__(f"decisions {after_seq + 1} to {next_seq - 1} are not on the bus: read them from the journal")
        self.after_seq, self.next_seq = after_seq, next_seq


def unread(place: int, seq: int, events: Sequence[Event]) -> Sequence[Event]:
    """What of a publication, whose last decision is `seq`, a reader at `place` does not have. Raises Gap."""
    begins = seq - len(events) + 1
    if begins > place + 1:
        raise Gap(place, begins)
    return events[max(0, place + 1 - begins) :]


class TooManyReceivers(RuntimeError):
    """Somebody registers without ever unregistering."""


class InProcessBus:
    """ports.Bus without a queue: publishing calls every receiver in the order they came, in the publisher's thread.

    A receiver must be quick: wake something, or take a reference. One that raises is unregistered and its error kept
    in `failures` (and told to `on_failure`); the others and the publisher never notice. The last `keep` publications
    are held for who begins at an earlier place.
    """

    def __init__(self, on_failure: Callable[[ReceiverFailed], None] | None = None, *, keep: int = KEEP) -> None:
        self.failures: tuple[ReceiverFailed, ...] = ()
        self._on_failure = on_failure
        self._receivers: tuple[tuple[object, Receiver], ...] = ()
        self._kept: deque[tuple[int, Sequence[Event]]] = deque(maxlen=keep)
        self._lock = threading.RLock()

    @property
    def receivers(self) -> int:
        """How many follow."""
        return len(self._receivers)

    @property
    def health(self) -> BusHealth:
        """Nobody elsewhere is told, so nothing can fail there."""
        return BusHealth()

    def close(self) -> None:
        """Nothing to let go of."""

    def publish(self, seq: int, events: Sequence[Event]) -> None:
        """Hand on `events`, the last of which is decision `seq`. Never raises on a receiver's account."""
        with self._lock:
            if events:
                self._kept.append((seq, events))
            receivers = self._receivers
        for token, receiver in receivers:
            self._tell(token, receiver, seq, events)

    def follow(self, receiver: Receiver, after_seq: int | None = None) -> Callable[[], None]:
        """Register a receiver; the returned call unregisters it, twice is fine.

        It hears from the next publication on, or first what was published after decision `after_seq`. Raises Gap where
        some of that is no longer held (nothing is registered then), TooManyReceivers at the bound.
        """
        token = object()
        with self._lock:  # held while the past is told: nobody publishes in between
            if len(self._receivers) >= MAX_RECEIVERS:
                raise TooManyReceivers(
                    f"the bus has {MAX_RECEIVERS} receivers already, cannot add {name_of(receiver)}: "
                    "unregister those that are done (call what follow() returned)"
                )
            past = [] if after_seq is None else self._after(after_seq)
            self._receivers = (*self._receivers, (token, receiver))
            for seq, events in past:
                if not self._tell(token, receiver, seq, events):
                    break
        return lambda: self._remove(token)

    def _after(self, place: int) -> list[tuple[int, Sequence[Event]]]:
        """What is held after a place, a publication that reaches back over it cut there. Raises Gap."""
        past = []
        for seq, events in self._kept:
            if seq > place:
                past.append((seq, unread(place, seq, events)))
                place = seq
        return past

    def _tell(self, token: object, receiver: Receiver, seq: int, events: Sequence[Event]) -> bool:
        try:
            receiver(seq, events)
        except Exception as error:  # whatever it is, it is the receiver's own trouble
            self._drop(token, ReceiverFailed(name_of(receiver), seq, f"{type(error).__name__}: {error}"))
            return False
        return True

    def _remove(self, token: object) -> None:
        with self._lock:
            self._receivers = tuple(entry for entry in self._receivers if entry[0] is not token)

    def _drop(self, token: object, failure: ReceiverFailed) -> None:
        self._remove(token)
        self.failures = (*self.failures, failure)[-_FAILURES_KEPT:]
        if self._on_failure is not None:
            try:
                self._on_failure(failure)
            except Exception as error:
                told = ReceiverFailed("on_failure", failure.seq, f"{type(error).__name__}: {error}")
                self.failures = (*self.failures, told)[-_FAILURES_KEPT:]


def name_of(receiver: Receiver) -> str:
    """A receiver as errors name it."""
    return str(getattr(receiver, "__qualname__", None) or type(receiver).__qualname__)
