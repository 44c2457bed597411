"""The bus within one process: what the journal has made durable, handed to those who follow it (§9)."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from qmworkbench.domain.events import Event

Receiver = Callable[[int, Sequence[Event]], None]
MAX_RECEIVERS: Final = 64
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


class TooManyReceivers(RuntimeError):
    """Somebody registers without ever unregistering."""


class InProcessBus:
    """ports.Bus without a queue: publishing calls every receiver in the order they came, in the publisher's thread.

    A receiver must be quick: wake something, or take a reference. One that raises is unregistered and its error kept
    in `failures` (and told to `on_failure`); the others and the publisher never notice.
    """

    def __init__(self, on_failure: Callable[[ReceiverFailed], None] | None = None) -> None:
        self.failures: tuple[ReceiverFailed, ...] = ()
        self._on_failure = on_failure
        self._receivers: tuple[tuple[object, Receiver], ...] = ()
        self._lock = threading.Lock()

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
        for token, receiver in self._receivers:
            try:
                receiver(seq, events)
            except Exception as error:  # whatever it is, it is the receiver's own trouble
                self._drop(token, ReceiverFailed(_name(receiver), seq, f"{type(error).__name__}: {error}"))

    def follow(self, receiver: Receiver) -> Callable[[], None]:
        """Register a receiver, from the next publication on; the returned call unregisters it, twice is fine.

        Raises TooManyReceivers at the bound.
        """
        token = object()
        with self._lock:
            if len(self._receivers) >= MAX_RECEIVERS:
                raise TooManyReceivers(
                    f"the bus has {MAX_RECEIVERS} receivers already, cannot add {_name(receiver)}: "
                    "unregister those that are done (call what follow() returned)"
                )
            self._receivers = (*self._receivers, (token, receiver))
        return lambda: self._remove(token)

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


def _name(receiver: Receiver) -> str:
    return str(getattr(receiver, "__qualname__", None) or type(receiver).__qualname__)
