"""The fallback log: where an emergency is recorded once the journal has failed (§15, DESIGN "Durability").

JSON lines with a chain of their own, rooted at the journal's last durable record. It admits what makes exposure
smaller and nothing else: cancels, reduce-only closes, what the broker says of those, the emergency's steps, alerts.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from qmworkbench.domain.events import Event, encode, wire_name
from qmworkbench.domain.events.control import (
    AlertRaised,
    EmergencyCompleted,
    EmergencyStarted,
    EmergencyStepTaken,
)
from qmworkbench.domain.events.orders import (
    CancelObserved,
    CancelRequested,
    ExecutionReported,
    OrderIntended,
    SubmitObserved,
)
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.ports import JournalFailed
from qmworkbench.storage.atomic import sync_data
from qmworkbench.storage.fallback_file import Line, LogFile, OnDisk, Root, next_hash, read_log, reserve_of
from qmworkbench.storage.refused import StorageRefused

_ALWAYS = (AlertRaised, EmergencyStarted, EmergencyStepTaken, EmergencyCompleted)
_RESERVED_BYTES = 1 << 20


class NotAdmitted(ValueError):
    """An event that could add exposure, or that has nothing to do with reducing it, was offered to the fallback log."""


class FallbackLog:
    """Opened when the journal has failed; every record is on disk when `append` returns.

    `rooted_at` is the journal's durable head. An existing file with the same root is continued; one with another root
    holds records that recovery has not imported yet, and is refused. Raises StorageRefused, StoreDamaged.
    """

    def __init__(self, path: Path | LogFile, rooted_at: tuple[int, str]) -> None:
        self.file = OnDisk(path) if isinstance(path, Path) else path
        self.rooted_at = rooted_at
        self._cancels: set[str] = set()
        self._closes: set[str] = set()
        root = Root(rooted_seq=rooted_at[0], rooted_hash=rooted_at[1])
        first = msgspec.json.encode(root) + b"\n"
        self._offset, self._n, self._hash = 0, 0, next_hash(first)
        # Without a whole first line it was only about to be used.
        known = read_log(self.file) if b"\n" in self.file.text() else None
        if known is not None and known.rooted_at != rooted_at:
            raise StorageRefused(
                f"{self.file.name} is rooted at record {known.rooted_at[0]}, not at {rooted_at[0]}: "
                "it holds records that were never imported; run recovery before opening a new one"
            )
        try:
            self.file.take()
            if known is None:
                self._write(first)
            else:
                # First where it ends: should the next write fail, what it holds must not be cut off.
                self._offset, self._n, self._hash = known.size_bytes, len(known.records), known.head
                if known.torn_bytes:
                    self.file.write(bytes(known.torn_bytes), known.size_bytes)  # a cut line ends here, not in ours
                for record in known.records:
                    self._admit(record.event)
        except OSError as error:
            self.close()
            raise self._failed(error) from error

    @staticmethod
    def reserve(path: Path, size_bytes: int = _RESERVED_BYTES) -> None:
        """Set disk space aside beside `path`, at the session's start: a full disk is the likeliest need."""
        reserve = reserve_of(path)
        if not path.exists() and not reserve.exists():
            with reserve.open("wb") as file:
                file.write(bytes(size_bytes))
                file.flush()
                sync_data(file.fileno())

    def append(self, events: Sequence[Event]) -> int:
        """Record events, each on disk before the next; returns how many the log holds.

        Raises NotAdmitted for the first event that does not belong here (those before it are recorded), and
        JournalFailed when the disk fails here too: the emergency goes on, the broker's history is the record.
        """
        for event in events:
            self._admit(event)
            payload = msgspec.Raw(encode(event))
            digest = next_hash(self._hash.encode(), b"%d|" % (self._n + 1), payload)
            line = Line(n=self._n + 1, prev_hash=self._hash, hash=digest, event=payload)
            try:
                self._write(msgspec.json.encode(line) + b"\n")
            except OSError as error:
                raise self._failed(error) from error
            self._n, self._hash = self._n + 1, digest
        return self._n

    def close(self) -> None:
        """Give reserved space back; twice is fine."""
        self.file.release(self._offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        self.file.write(line, self._offset)
        self._offset += len(line)

    def _admit(self, event: Event) -> None:
        match event:
            case CancelRequested():
                self._cancels.add(event.cl_ord_id)
                admitted = True
            case OrderIntended():
                admitted = event.request.position_effect is PositionEffect.CLOSE and not event.request.legs
                if admitted:
                    self._closes.add(event.request.cl_ord_id)
            case SubmitObserved():
                admitted = event.cl_ord_id in self._closes
            case CancelObserved():
                admitted = event.cl_ord_id in self._cancels
            case ExecutionReported():
                admitted = event.report.cl_ord_id in self._closes | self._cancels
            case _:
                admitted = isinstance(event, _ALWAYS)
        if not admitted:
            raise NotAdmitted(
                f"the fallback log does not admit {wire_name(event)} ({_subject(event)}): it takes cancels, "
                "reduce-only closes, what the broker says of these, emergency steps and alerts; "
                "anything else waits for the journal"
            )

    def _failed(self, error: OSError) -> JournalFailed:
        return JournalFailed(
            f"{self.file.name} could not be written either ({error}): the emergency goes on, "
            "and the broker's history is the record"
        )


def _subject(event: Event) -> str:
    match event:
        case OrderIntended():
            return f"{event.request.cl_ord_id}, position effect {event.request.position_effect}"
        case ExecutionReported():
            return event.report.cl_ord_id
        case _:
            return str(getattr(event, "cl_ord_id", "no order"))
