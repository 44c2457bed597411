"""How a serving venue is reached, and the note it leaves beside its file (§2, §12)."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec


class VenueAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The account's key and secret, and the control door's token. `pid` is the process that serves, 0 unknown."""

    url: str
    key_id: str
    secret: str
    token: str
    pid: int = 0

    def __repr__(self) -> str:
        return f"VenueAddress(url={self.url!r}, pid={self.pid})"


def note_of(db_path: Path) -> Path:
    """Where the venue of a file says how it is reached."""
    return db_path.with_name(f"{db_path.name}.serving.json")


def read_note(db_path: Path) -> VenueAddress | None:
    """The venue that serves `db_path` now; None where none does."""
    try:
        found = msgspec.json.decode(note_of(db_path).read_bytes(), type=VenueAddress)
        os.kill(found.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return found


@contextlib.contextmanager
def noted(db_path: Path, address: VenueAddress) -> Iterator[None]:
    """Leave the note, readable by its owner alone, while the block runs."""
    note = note_of(db_path)
    fresh = note.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(address))
    fresh.replace(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
