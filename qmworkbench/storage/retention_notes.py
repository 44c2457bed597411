"""What was let go of, line by line: written before the first byte goes, and again when the last has gone (§5, §19)."""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.storage.atomic import sync_directory
from qmworkbench.storage.refused import StoreDamaged
from qmworkbench.storage.times import stored_time

NAME: Final = "retention.jsonl"


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: what of which session, when, by whom, where its archive lies. `ended` closes the one before."""

    session_id: str
    kind: str
    at: str = ""
    by: str = ""
    archive: str = ""
    rows: int = 0
    ended: bool = False


class Notes:
    """A book's notes of what was let go of; one process at a time writes them (the book's lease)."""

    def __init__(self, book: Path) -> None:
        self.path = book / NAME

    def read(self) -> list[Note]:
        """Every line, oldest first; a last one that a kill cut short counts as not written. Raises StoreDamaged."""
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        try:
            return [msgspec.json.decode(line, type=Note) for line in lines if line.strip()]
        except msgspec.DecodeError as error:
            raise StoreDamaged(f"{self.path} cannot be read ({error}): bring it back from a backup") from error

    def begun(self) -> dict[tuple[str, str], Note]:
        """What was begun and not brought to its end, by session and kind."""
        found: dict[tuple[str, str], Note] = {}
        for note in self.read():
            if note.ended:
                found.pop((note.session_id, note.kind), None)
            else:
                found[note.session_id, note.kind] = note
        return found

    def gone(self, session_id: str) -> dict[str, str]:
        """What of a session was ever let go of, by kind, with the archive that held it then."""
        notes = [note for note in self.read() if note.session_id == session_id and not note.ended]
        return {note.kind: note.archive for note in notes}

    def begin(self, note: Note) -> None:
        """Write down, durably, that something goes now."""
        self._add(note)

    def end(self, session_id: str, kind: str) -> None:
        """Write down that it has gone."""
        self._add(Note(session_id=session_id, kind=kind, ended=True))

    def _add(self, note: Note) -> None:
        known = msgspec.structs.replace(note, at=stored_time(datetime.now(UTC)), by=_who())
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            content = os.pread(fd, size, 0)
            end = content.rfind(b"\n") + 1  # what a kill left half written makes room
            os.ftruncate(fd, end)
            os.pwrite(fd, msgspec.json.encode(known) + b"\n", end)
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(self.path.parent)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
