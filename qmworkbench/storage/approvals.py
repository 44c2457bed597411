"""The ledger of parameter changes: JSON lines, each chained to the one before, one writer at a time (§3, §21).

A line counts once its newline is on disk: what a kill cut short was never acknowledged, and is cut off by the next
writer. The first line says whose ledger it is, so that one book's approvals never count in another.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.storage.atomic import sync_data, write_whole
from qmworkbench.storage.refused import StoreDamaged, StoreInUse, StoreNewer
from qmworkbench.storage.writer_lock import WriterLock
from qmworkbench.strategies.approvals import Approvals, Record, RecordsInconsistent

_FORM: Final = 1
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.05


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: which book's ledger this is."""

    ledger: str = "parameter approvals"
    environment: str
    book: str
    form: int = _FORM


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One record: its number from 1, the hash before it, its own, and the record's JSON."""

    n: int
    prev_hash: str
    hash: str
    record: msgspec.Raw


class LedgerContents(msgspec.Struct, frozen=True, kw_only=True):
    """A verified ledger. `torn_bytes` is the length of a last line that a kill cut short (0: none); it never counted.

    `head` is the chain's last hash, "" where there is no ledger; `size_bytes` the length of what was verified.
    """

    records: tuple[Record, ...] = ()
    head: str = ""
    torn_bytes: int = 0
    size_bytes: int = 0


class ApprovalLedger:
    """The ledger at `path`, of one book of one environment. Nothing is created by naming or reading it."""

    def __init__(self, path: Path, *, environment: str, book: str) -> None:
        self.path = path
        self._root = Root(environment=environment, book=book)

    def read(self) -> LedgerContents:
        """Read and verify; no ledger is an empty one. Raises StoreDamaged naming the first bad line, StoreNewer."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return LedgerContents()
        except OSError as error:
            raise StoreDamaged(f"{self.path} cannot be read ({error.strerror or error}): {_REMEDY}") from error
        whole, newline, torn = content.rpartition(b"\n")
        if not newline:
            raise StoreDamaged(f"{self.path} has no whole first line: {_REMEDY}")
        lines = whole.split(b"\n")
        self._check_root(lines[0])
        head, records = _digest(lines[0]), list[Record]()
        for number, text in enumerate(lines[1:], 1):
            record, head = self._verified(number, text, head)
            records.append(record)
        return LedgerContents(
            records=tuple(records), head=head, torn_bytes=len(torn), size_bytes=len(whole) + len(newline)
        )

    def approvals(self) -> Approvals:
        """What the records come to. Raises StoreDamaged also where they do not follow from one another."""
        return self._folded(self.read().records)

    @contextmanager
    def writing(self) -> Iterator["LedgerWriter"]:
        """Hold the ledger for reading, deciding and writing: nobody else writes meanwhile. Raises StoreInUse."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _locked(self.path)
        try:
            yield LedgerWriter(self, self.read())
        finally:
            lock.release()

    def _check_root(self, text: bytes) -> None:
        try:
            root = msgspec.json.decode(text, type=Root)
        except ValueError as error:
            raise StoreDamaged(f"{self.path} line 1 does not begin a ledger ({error}): {_REMEDY}") from error
        if root.form > _FORM:
            raise StoreNewer(f"{self.path} has form {root.form}, this version knows {_FORM}: update the workbench")
        if root != self._root:
            raise StoreDamaged(
                f"{self.path} is the {root.ledger} of book {root.book!r} in {root.environment}, not of "
                f"{self._root.book!r} in {self._root.environment}: approvals are given for one book; move the file away"
            )

    def _verified(self, number: int, text: bytes, head: str) -> tuple[Record, str]:
        try:
            line = msgspec.json.decode(text, type=Line)
            if (line.n, line.prev_hash, line.hash) != (number, head, _link(head, number, bytes(line.record))):
                raise ValueError("it does not follow from the line before it")
            return msgspec.json.decode(line.record, type=Record), line.hash
        except ValueError as error:
            raise StoreDamaged(f"{self.path} line {number + 1} was changed or damaged ({error}): {_REMEDY}") from error

    def _folded(self, records: tuple[Record, ...]) -> Approvals:
        try:
            return Approvals(records)
        except RecordsInconsistent as error:
            raise StoreDamaged(f"{self.path} contradicts itself: {error}. {_REMEDY}") from error


class LedgerWriter:
    """A ledger held by this process. `approvals` is what it says, records appended here included."""

    def __init__(self, ledger: ApprovalLedger, contents: LedgerContents) -> None:
        self._ledger = ledger
        self._contents = contents
        self.approvals = ledger._folded(contents.records)

    def append(self, *records: Record) -> None:
        """Add records, all or none; they are on disk when this returns. Raises OSError with the ledger unchanged."""
        contents, path = self._contents, self._ledger.path
        first = b"" if contents.head else msgspec.json.encode(self._ledger._root)
        head = contents.head or _digest(first)
        lines = [first] if first else []
        for number, record in enumerate(records, len(contents.records) + 1):
            payload = msgspec.json.encode(record)
            line = Line(n=number, prev_hash=head, hash=_link(head, number, payload), record=msgspec.Raw(payload))
            lines.append(msgspec.json.encode(line))
            head = line.hash
        after = self._ledger._folded((*contents.records, *records))
        written = b"".join(line + b"\n" for line in lines)
        if first:
            write_whole(path, written)
        else:
            _append(path, contents.size_bytes, written)
        self.approvals = after
        self._contents = LedgerContents(records=after.records, head=head, size_bytes=contents.size_bytes + len(written))


_REMEDY: Final = (
    "keep the file as evidence and restore it from a backup; without it every instance is back at the catalog's own set"
)


def _append(path: Path, size_bytes: int, written: bytes) -> None:
    """Put `written` behind the verified part, in the place of what a kill left there."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, size_bytes)
        try:
            os.lseek(fd, 0, os.SEEK_END)
            rest = memoryview(written)
            while rest:
                rest = rest[os.write(fd, rest) :]
            sync_data(fd)
        except OSError:
            os.ftruncate(fd, size_bytes)
            raise
    finally:
        os.close(fd)


def _locked(path: Path) -> WriterLock:
    """The ledger's lock; another writer holds it for a moment only. Raises StoreInUse where it does not let go."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return WriterLock(path)
        except StoreInUse as error:
            if time.monotonic() >= deadline:
                raise StoreInUse(
                    f"{path} has been held by another process for {_PATIENCE_S:g} s ({error}): let that command finish"
                ) from error
            time.sleep(_PAUSE_S)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line + b"\n").hexdigest()


def _link(head: str, number: int, payload: bytes) -> str:
    digest = hashlib.sha256(head.encode())
    digest.update(b"%d|" % number)
    digest.update(payload)
    return digest.hexdigest()
