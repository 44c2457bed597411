"""Structured logs: JSON lines in UTC, one for each durable event and for whatever else happens, no secret in any
(§21).

Written by a thread of its own that follows the bus: the decisions never wait for a log. The journal is the record; a
log is for people and their tools, so what does not fit into the queue is dropped, counted, and said.
"""

import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import msgspec
import structlog

from qmworkbench.domain.events import Event, wire_name
from qmworkbench.service.log_kinds import LogKind, correlation_of, fields_of, kind_of, level_of
from qmworkbench.service.redaction import Redactor

FILE_NAME: Final = "qm.jsonl"
QUEUE_LIMIT: Final = 50_000
_TAIL_BYTES: Final = 256 * 1024
_IDLE_S: Final = 0.25

_encoder = msgspec.json.Encoder(decimal_format="string", enc_hook=str)

Human = Callable[[datetime, str, str, str, MutableMapping[str, Any]], None]
"""Shows a line to a person: when, level, kind, event, fields. Called in the log's thread."""


class SessionLog:
    """One session's log file, continued by every process that works on the session.

    `receive` is for the bus; `event` and `logger` for what is no event of the journal. `process_id` and `session_id`
    go on every line, the run and a correlation id on those that have one. `dropped` counts events that came too fast.
    """

    def __init__(
        self,
        directory: Path,
        *,
        process_id: str,
        session_id: str,
        redactor: Redactor | None = None,
        human: Human | None = None,
    ) -> None:
        self.path = directory / FILE_NAME
        self.dropped = 0
        self.session_id = session_id
        self._redactor = redactor if redactor is not None else Redactor()
        self._human = human
        directory.mkdir(parents=True, exist_ok=True)
        self.last_seq = last_seq(self.path)
        self._file: IO[bytes] = _opened(self.path)
        self._lines: list[bytes] = []
        self._queue: deque[tuple[int, Event] | MutableMapping[str, Any]] = deque()
        self._unsaid = 0
        self._wake = threading.Condition()
        self._closing = False
        self.logger = structlog.wrap_logger(
            _Queued(self._put),
            processors=[_with_level, structlog.processors.format_exc_info, _take_along],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            context_class=dict,
        )
        self._rendered = structlog.wrap_logger(
            _Lines(self._lines),
            processors=[self._stamped, self._redacted, self._shown, self._as_line],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            context_class=dict,
        ).bind(process_id=process_id, session_id=session_id)
        self._thread = threading.Thread(target=self._run, name=f"log {session_id}", daemon=True)
        self._thread.start()

    # --- what others call ------------------------------------------------------------------------------------

    def receive(self, seq: int, events: Sequence[Event]) -> None:
        """Take durable events, the last of which is decision `seq`. Never waits; what was logged is passed over."""
        first = seq - len(events) + 1
        with self._wake:
            room = QUEUE_LIMIT - len(self._queue)
            if room < len(events):
                self.dropped += len(events)
                self._unsaid += len(events)
            else:
                self._queue.extend(enumerate(events, start=first))
            # Woken for a batch, not for a line: the writer looks by itself often enough for people.
            if len(self._queue) > QUEUE_LIMIT // 50:
                self._wake.notify()

    def catch_up(self, events: Iterable[tuple[int, Event]]) -> int:
        """Log decisions that an earlier process made durable and did not live to log; returns how many there were.

        To be called once, before `receive`, with the session's decisions from the journal.
        """
        missed = [(seq, event) for seq, event in events if seq > self.last_seq]
        with self._wake:
            self._queue.extend(missed)
            self._wake.notify()
        return len(missed)

    def event(self, kind: LogKind, name: str, **fields: Any) -> None:
        """Log what is no event of the journal: the process's start, a report that was made, a request refused."""
        self.logger.info(name, kind=kind.value, **fields)

    def close(self) -> None:
        """Write what is queued and let go of the file; twice is fine."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the log's own thread ---------------------------------------------------------------------------------

    def _put(self, fields: MutableMapping[str, Any]) -> None:
        with self._wake:
            if len(self._queue) >= QUEUE_LIMIT:
                self.dropped += 1
                self._unsaid += 1
            else:
                self._queue.append(fields)

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._queue and not self._closing:
                    self._wake.wait(_IDLE_S)
                taken, self._queue = self._queue, deque()
                unsaid, self._unsaid = self._unsaid, 0
                closing = self._closing
            for item in taken:
                try:
                    self._log_decision(*item) if isinstance(item, tuple) else self._log_other(item)
                except Exception as error:  # one line that cannot be made costs that line, not the log
                    found = f"{type(error).__name__}: {error}"
                    self._rendered.error("log.failed", kind=LogKind.STARTUP_SHUTDOWN.value, error=found)
            if unsaid:
                self._rendered.warning(
                    "log.dropped", kind=LogKind.STARTUP_SHUTDOWN.value, events=unsaid, see="the journal"
                )
            self._write()
            if closing and not taken:
                return

    def _log_decision(self, seq: int, event: Event) -> None:
        if seq <= self.last_seq:
            return
        self.last_seq = seq
        name = wire_name(event)
        fields = fields_of(event)
        correlation = correlation_of(fields)
        strategy_id = fields.get("strategy_id")
        if strategy_id:
            fields["run_id"] = f"{self.session_id}/{strategy_id}"
        if correlation:
            fields["correlation_id"] = correlation
        if fields.get("session_id") == self.session_id:
            del fields["session_id"]
        write = getattr(self._rendered, level_of(event))
        write(name, kind=kind_of(name), at=event.at, seq=seq, **fields)

    def _log_other(self, fields: MutableMapping[str, Any]) -> None:
        level = str(fields.pop("level", "info"))
        name = str(fields.pop("event", ""))
        getattr(self._rendered, level)(name, **fields)

    def _write(self) -> None:
        if not self._lines:
            return
        block = b"\n".join(self._lines) + b"\n"
        self._lines.clear()
        try:
            self._file.write(block)
            self._file.flush()
        except OSError:
            # A full disk stops the journal, and that stops the platform. A log never does.
            self.dropped += block.count(b"\n")

    # --- how a line is made -------------------------------------------------------------------------------------

    def _stamped(self, logger: Any, level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        fields.setdefault("timestamp", datetime.now(UTC))
        return {"timestamp": fields.pop("timestamp"), "level": level, "kind": fields.pop("kind", ""), **fields}

    def _redacted(self, logger: Any, level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return self._redactor.mapping(fields)

    def _shown(self, logger: Any, level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if self._human is not None:
            at = fields.get("at") or fields["timestamp"]
            said = {key: self._redactor.text(str(value)) for key, value in fields.items() if key not in _FRAME}
            self._human(at, level, str(fields["kind"]), str(fields["event"]), said)
        return fields

    def _as_line(self, logger: Any, level: str, fields: MutableMapping[str, Any]) -> bytes:
        return self._redactor.line(_encoder.encode(fields))


# What every line has; a person who watches one session needs none of it on each line.
_FRAME: Final = frozenset(
    {"timestamp", "at", "level", "kind", "event", "seq", "process_id", "session_id", "run_id", "correlation_id"}
)


class _Lines:
    """Where rendered lines gather until they are written together."""

    def __init__(self, lines: list[bytes]) -> None:
        self.info = self.warning = self.error = self.critical = self.debug = lines.append


class _Queued:
    """Hands a line's fields to the log's thread: rendering is none of the caller's business."""

    def __init__(self, put: Callable[[MutableMapping[str, Any]], None]) -> None:
        self._put = put

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda **fields: self._put(fields)


def _with_level(logger: Any, level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    fields["level"] = "error" if level == "exception" else level
    fields["timestamp"] = datetime.now(UTC)
    return fields


def _take_along(logger: Any, level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return dict(fields)


def last_seq(path: Path) -> int:
    """The newest decision a log file holds a line of, 0 where it holds none."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            tail = stream.read()
    except FileNotFoundError:
        return 0
    for line in reversed(tail.splitlines()):
        try:
            seq = json.loads(line).get("seq")
        except (ValueError, AttributeError):
            continue  # torn by a kill, or cut by where we began to read
        if isinstance(seq, int):
            return seq
    return 0


def _opened(path: Path) -> IO[bytes]:
    """The file at its end, after a line of its own if a kill left a torn one; readable by its owner alone."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    stream = os.fdopen(fd, "ab", buffering=1 << 20)
    size = path.stat().st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        stream.write(b"\n")
        stream.flush()
    return stream
