"""Which records of a book's two streams are a session's own, and the hashes they stand between (§17)."""

from collections.abc import Sequence
from typing import Any, Final

from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.events.telemetry import ProcessStarted
from qmworkbench.storage.archive_index import ArchivedSession, Slice
from qmworkbench.storage.reading import BookReader

_TIMED: Final = "telemetry.boundary_timed"
_STARTED: Final = "telemetry.process_started"


def closed_sessions(reader: BookReader) -> list[dict[str, Any]]:
    """The sessions that have closed, oldest first, as BookReader.sessions() tells them."""
    lines = reader.sessions()
    return list(lines.filter(lines["closed_seq"].is_not_null()).iter_rows(named=True))


def telemetry_ranges(reader: BookReader, known: Sequence[ArchivedSession]) -> dict[str, tuple[int, int]]:
    """First and last record of telemetry of each closed session: as archived, or as it would be archived now."""
    there = {one.session_id: one.telemetry for one in known}
    closed, found, first = closed_sessions(reader), {}, 1
    for line, following in zip(closed, [*closed[1:], None], strict=True):
        held = there.get(line["session_id"])
        next_held = there.get(following["session_id"]) if following is not None else None
        if held is not None:
            last = held.last
        else:
            last = next_held.first - 1 if next_held is not None else _telemetry_ends(reader, line, first)
        found[line["session_id"]] = (held.first if held is not None else first, last)
        first = last + 1
    return found


def records_between(reader: BookReader, stream: str, first: int, last: int) -> Slice:
    """Which records, and the hashes they stand between."""
    found = list(reader.journal.records(last - 1, upto_seq=last, stream=stream)) if last >= first else []
    begins = list(reader.journal.records(first - 1, upto_seq=first, stream=stream)) if found else []
    if not found or not begins:
        before = list(reader.journal.records(first - 2, upto_seq=first - 1, stream=stream)) if first > 1 else []
        head = before[0].hash if before else GENESIS
        return Slice(first=first, last=first - 1, before=head, head=head)
    return Slice(first=first, last=last, before=begins[0].prev_hash, head=found[0].hash)


def _telemetry_ends(reader: BookReader, line: dict[str, Any], first: int) -> int:
    """Telemetry knows no session: the next one's begins with its first timed boundary, or the process that timed it."""
    sessions = reader.sessions()
    later = sessions.filter(sessions["opened_seq"] > line["opened_seq"])
    if later.height:
        opened_at, started = later["opened_at"][0], 0
        for seq, event in reader.journal.events((_STARTED, _TIMED), after_seq=first - 1, stream="telemetry"):
            if isinstance(event, ProcessStarted):
                started = seq
            elif event.at > opened_at:
                return (started or seq) - 1
            else:
                started = 0
    return reader.head("telemetry")[0]
