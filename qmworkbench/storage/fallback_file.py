"""The fallback log's file form, and the reader that proves it (§19)."""

import hashlib
import os
from pathlib import Path
from typing import Protocol

import msgspec

from qmworkbench.domain.events import Event, decode
from qmworkbench.storage.atomic import sync_data, sync_directory
from qmworkbench.storage.refused import StoreDamaged, StoreMissing, StoreNewer

_FORM = 1


class Root(msgspec.Struct, kw_only=True):
    """The first line: the journal record that this log follows."""

    rooted_seq: int
    rooted_hash: str
    form: int = _FORM


class Line(msgspec.Struct, kw_only=True):
    """One record: its number from 1, the hash before it, its own, and the event."""

    n: int
    prev_hash: str
    hash: str
    event: msgspec.Raw


class FallbackRecord(msgspec.Struct, frozen=True):
    """One verified record, numbered from 1."""

    n: int
    event: Event


class FallbackContents(msgspec.Struct, frozen=True):
    """A verified log. `torn_bytes` is the length of a last line that a kill cut short (0: none); it never counted.

    `head` is the chain's last hash, `file_hash` the SHA-256 of the verified part, `size_bytes` its length.
    """

    rooted_at: tuple[int, str]
    records: tuple[FallbackRecord, ...]
    head: str
    torn_bytes: int
    file_hash: str
    size_bytes: int


class LogFile(Protocol):
    """Where a fallback log's bytes lie: a file on disk here, a device that fails on purpose in a simulation."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def text(self) -> bytes:
        """What was written, without reserved space behind it; b"" where nothing was."""

    def take(self) -> None:
        """Make it ready to be written. Raises OSError."""

    def write(self, data: bytes, offset: int) -> None:
        """Put `data` at `offset`; it is on disk when this returns. Raises OSError."""

    def release(self, size: int) -> None:
        """Let go of it, and of whatever lies behind `size`; twice is fine."""


class OnDisk:
    """LogFile at a path. A new one lies in the reserved space, where there is some: its blocks are ours even when the
    disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    @property
    def name(self) -> str:
        return str(self.path)

    def text(self) -> bytes:
        return self.path.read_bytes().partition(b"\0")[0] if self.path.exists() else b""

    def take(self) -> None:
        if not self.path.exists() and reserve_of(self.path).exists():
            os.replace(reserve_of(self.path), self.path)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_directory(self.path.parent)

    def write(self, data: bytes, offset: int) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, data[written:], offset + written)
        sync_data(self._fd)

    def release(self, size: int) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, size)
            os.close(self._fd)
            self._fd = -1


def reserve_of(path: Path) -> Path:
    """Where disk space is set aside for the log at `path`."""
    return path.with_name(path.name + ".reserve")


def begun(path: Path) -> bool:
    """Anything was recorded at `path`: a file without a whole first line was only about to be used."""
    return b"\n" in OnDisk(path).text()


def retire(path: Path) -> Path:
    """Put an imported log aside, named by its hash, so that it is imported once and kept as evidence."""
    aside = path.with_name(f"{path.stem}.imported-{read_fallback(path).file_hash[:16]}{path.suffix}")
    os.replace(path, aside)
    sync_directory(path.parent)
    return aside


def next_hash(*pieces: bytes | msgspec.Raw) -> str:
    """SHA-256 in hex over the pieces."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def read_fallback(path: Path) -> FallbackContents:
    """Read and verify a fallback log. Raises StoreMissing, StoreNewer, and StoreDamaged naming the first bad line."""
    if not path.exists():
        raise StoreMissing(f"{path} does not exist: the journal never failed, there is nothing to import")
    return read_log(OnDisk(path))


def read_log(file: LogFile) -> FallbackContents:
    """Read and verify what lies in `file`. Raises StoreNewer, and StoreDamaged naming the first bad line."""
    whole, newline, torn = file.text().rpartition(b"\n")
    if not newline:
        raise StoreDamaged(f"{file.name} has no first line: nothing was recorded there; move the file away")
    lines = whole.split(b"\n")
    root = _root(file.name, lines[0])
    head = next_hash(lines[0] + b"\n")
    records = []
    for number, text in enumerate(lines[1:], 1):
        try:
            line = msgspec.json.decode(text, type=Line)
            expected = next_hash(head.encode(), b"%d|" % number, line.event)
            if (line.n, line.prev_hash, line.hash) != (number, head, expected):
                raise ValueError("it does not follow from the line before it")
            records.append(FallbackRecord(number, decode(bytes(line.event))))
        except ValueError as error:
            raise StoreDamaged(
                f"{file.name} line {number + 1} was changed or damaged ({error}): keep the file as evidence, import "
                "nothing from it, and reconcile with the broker"
            ) from error
        head = line.hash
    verified = whole + newline
    return FallbackContents(
        rooted_at=(root.rooted_seq, root.rooted_hash),
        records=tuple(records),
        head=head,
        torn_bytes=len(torn),
        file_hash=next_hash(verified),
        size_bytes=len(verified),
    )


def _root(name: str, text: bytes) -> Root:
    try:
        root = msgspec.json.decode(text, type=Root)
    except ValueError as error:
        raise StoreDamaged(f"{name} does not begin as a fallback log does ({error})") from error
    if root.form > _FORM:
        raise StoreNewer(f"{name} has form {root.form}, this version knows {_FORM}: update the workbench to read it")
    return root
