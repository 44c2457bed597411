"""Checkpoints: the kernel's state at a journal record, so that recovery need not fold from the beginning (§19)."""

import hashlib
from pathlib import Path
from typing import Final, Protocol

import msgspec

from qmworkbench.domain.chain import GENESIS
from qmworkbench.storage.atomic import sweep, sync_directory, write_whole

KEEP: Final = 3
_FORM: Final = 1


class HashAt(Protocol):
    """A journal, as far as a checkpoint needs it to be verified."""

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is no such durable record."""
        ...


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel state. `state` is opaque here; `state_hash` is the kernel's own hash of it, kept to be compared.

    `seq` and `head_hash` name the last decision that is in the state.
    """

    seq: int
    head_hash: str
    state_hash: str
    state: bytes


class _Header(msgspec.Struct, kw_only=True):
    form: int
    seq: int
    head_hash: str
    state_hash: str
    state_bytes: int
    state_sha256: str


class Checkpoints:
    """The checkpoints of one book, in one directory: one file each, the newest few kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def write(self, seq: int, head_hash: str, state: bytes, state_hash: str) -> Path:
        """Store a state atomically, then remove all but the newest three.

        Call it only once decision `seq` is durable: a checkpoint ahead of the journal is worth nothing.
        """
        header = _Header(
            form=_FORM,
            seq=seq,
            head_hash=head_hash,
            state_hash=state_hash,
            state_bytes=len(state),
            state_sha256=hashlib.sha256(state).hexdigest(),
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        sweep(self.directory)
        path = self.directory / f"checkpoint-{seq:012d}"
        write_whole(path, msgspec.json.encode(header), b"\n", state)
        for old in self._files()[KEEP:]:
            old.unlink(missing_ok=True)
        sync_directory(self.directory)
        return path

    def load(self, journal: HashAt) -> tuple[Checkpoint | None, tuple[str, ...]]:
        """The newest checkpoint that is intact and follows from `journal`, and why each newer one was passed over.

        None when there is none: fold from genesis. A reason is worth an alarm: a checkpoint that names a record the
        journal does not have means that the journal has lost its tail.
        """
        passed_over: list[str] = []
        for path in self._files():
            found = _read(path)
            if isinstance(found, str):
                passed_over.append(f"{path}: {found}")
                continue
            stored = GENESIS if found.seq == 0 else journal.hash_at(found.seq)
            if stored == found.head_hash:
                return found, tuple(passed_over)
            if stored is None:
                passed_over.append(f"{path}: the journal has no record {found.seq}: it has lost its tail")
            else:
                passed_over.append(f"{path}: record {found.seq} of the journal has another hash")
        return None, tuple(passed_over)

    def _files(self) -> list[Path]:
        """Newest first."""
        found = self.directory.glob("checkpoint-*[0-9]")
        return sorted(found, key=lambda path: path.name, reverse=True)


def _read(path: Path) -> Checkpoint | str:
    """A checkpoint, or what is wrong with the file."""
    text, newline, state = path.read_bytes().partition(b"\n")
    try:
        header = msgspec.json.decode(text, type=_Header)
    except ValueError as error:
        return f"not a checkpoint ({error})"
    if header.form > _FORM:
        return f"written by a newer version (form {header.form}, this one knows {_FORM})"
    if not newline or len(state) != header.state_bytes or hashlib.sha256(state).hexdigest() != header.state_sha256:
        return "truncated or changed after it was written"
    return Checkpoint(seq=header.seq, head_hash=header.head_hash, state_hash=header.state_hash, state=state)
