"""The fallback log's file form, and the reader that proves it (§19)."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from qmworkbench.domain.events import Event, decode
from qmworkbench.storage.atomic import sync_directory
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


class ImportedRecord(msgspec.Struct, frozen=True):
    """One event from a verified log. `event.at` is its original time; `file_hash` names the file it lay in."""

    n: int
    event: Event
    file_hash: str


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


def begun(path: Path) -> bool:
    """Anything was recorded at `path`: a file without a whole first line was only about to be used."""
    return path.exists() and b"\n" in _text(path)


def import_records(path: Path) -> Iterator[ImportedRecord]:
    """What recovery appends at the journal's tail, in order. Raises as read_fallback does, before the first record."""
    contents = read_fallback(path)
    return (ImportedRecord(record.n, record.event, contents.file_hash) for record in contents.records)


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
    whole, newline, torn = _text(path).rpartition(b"\n")
    if not newline:
        raise StoreDamaged(f"{path} has no first line: nothing was recorded there; move the file away")
    lines = whole.split(b"\n")
    root = _root(path, lines[0])
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
                f"{path} line {number + 1} was changed or damaged ({error}): keep the file as evidence, import "
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


def _text(path: Path) -> bytes:
    """What was written; reserved space behind it is zeros."""
    return path.read_bytes().partition(b"\0")[0]


def _root(path: Path, text: bytes) -> Root:
    try:
        root = msgspec.json.decode(text, type=Root)
    except ValueError as error:
        raise StoreDamaged(f"{path} does not begin as a fallback log does ({error})") from error
    if root.form > _FORM:
        raise StoreNewer(f"{path} has form {root.form}, this version knows {_FORM}: update the workbench to read it")
    return root
