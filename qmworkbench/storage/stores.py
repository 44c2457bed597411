"""Where a book's journal lies, and the one way to open it: SQLite in the book's directory, or PostgreSQL (§6, §21).

It is decided when the book begins and never changes. A book on PostgreSQL has a note in place of the journal's file,
readable by its owner alone because an address may hold a password.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import msgspec

from qmworkbench.domain.chain import Record
from qmworkbench.domain.events import Event
from qmworkbench.storage.atomic import sync_directory
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.journal_select import Row
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing

if TYPE_CHECKING:
    from qmworkbench.storage.postgres.journal import PostgresJournal
    from qmworkbench.storage.postgres.lease import Terms

_NOTE: Final = "journal.json"


class Reader(Protocol):
    """A journal opened for reading alone (storage/journal_reader.py, postgres/reader.py)."""

    book: str
    meta: dict[str, str]

    @property
    def durable_seq(self) -> int: ...

    @property
    def durable_head(self) -> tuple[int, str]: ...

    def head(self, stream: str = "decisions") -> tuple[int, str]: ...

    def hash_at(self, seq: int) -> str | None: ...

    def events(
        self,
        types: Iterable[str] | None = None,
        *,
        after_seq: int = 0,
        upto_seq: int | None = None,
        stream: str = "decisions",
    ) -> Iterator[tuple[int, Event]]: ...

    def durable_payloads(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, bytes]]: ...

    def session_events(self) -> Iterator[tuple[int, Event]]: ...

    def records(
        self, after_seq: int = 0, *, stream: str = "decisions", upto_seq: int | None = None
    ) -> Iterator[Record]: ...

    def rows(self, stream: str = "decisions") -> Iterator[Row]: ...

    def verify(self) -> dict[str, tuple[int, str]]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """A journal's store: `kind` is "sqlite" or "postgres"; `address` is the server's, "" for SQLite."""

    kind: str = "sqlite"
    address: str = ""


SQLITE: Final = Store()


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    book: str
    place: str
    address: str


def begun(paths: BookPaths) -> bool:
    """Whether a book has been begun here."""
    return paths.journal.exists() or _note_of(paths).exists()


def store_of(paths: BookPaths) -> Store:
    """The store a book lies in. Raises StoreMissing where none was begun, StoreDamaged."""
    note = _read(paths)
    if note is not None:
        return Store(kind=note.kind, address=note.address)
    if paths.journal.exists():
        return SQLITE
    raise StoreMissing(
        f"{paths.root} holds no book (there is no {paths.journal.name} in it): check the path, or make one "
        "with `qm day`"
    )


def place_of(paths: BookPaths) -> tuple[str, str] | None:
    """Address and name of a book's tables in PostgreSQL; None for one in SQLite, or that was never begun."""
    note = _read(paths)
    return None if note is None else (note.address, note.place)


def open_journal(
    paths: BookPaths, *, book: str, store: Store | None = None, terms: "Terms | None" = None
) -> ChainedJournal[Any]:
    """A book's journal for writing. `store` is where it is to lie: a new book begins there, one that lies elsewhere is
    refused. None: where it lies, and it must be there. `terms` say as whom a book in PostgreSQL is taken.

    Raises StoreMissing, StoreInUse, StoreNewer, StoreDamaged, StorageRefused.
    """
    if store is None:
        store = store_of(paths)
        demanded = True
    else:
        demanded = False
        _demand_same(paths, store)
    if store.kind == "sqlite":
        return SqliteJournal.open(paths.journal, book=book) if demanded else SqliteJournal(paths.journal, book=book)
    return _in_postgres(paths, book, store.address, terms, must_be_there=demanded)


def _in_postgres(
    paths: BookPaths, book: str, address: str, terms: "Terms | None", *, must_be_there: bool
) -> "PostgresJournal":
    from qmworkbench.storage.postgres.journal import PostgresJournal

    note = _read(paths)
    # A fresh book of the same name lies beside the old one, which stays what it was.
    place = note.place if note is not None else f"{book[:40]}-{secrets.token_hex(4)}"
    # First the note: tables that nobody knows of would be a book without a way to it.
    _keep(paths, _Note(kind="postgres", book=book, place=place, address=address))
    if must_be_there:
        return PostgresJournal.open(address, book=book, place=place, terms=terms)
    return PostgresJournal(address, book=book, place=place, terms=terms)


def open_reader(paths: BookPaths) -> Reader:
    """A book's journal for reading alone. Raises StoreMissing, StoreNewer, StoreDamaged, StorageRefused."""
    note = _read(paths)
    if note is None:
        return JournalReader(paths.journal)
    from qmworkbench.storage.postgres.reader import PostgresReader

    return PostgresReader(note.address, book=note.book, place=note.place)


def shown(paths: BookPaths) -> str:
    """Where the journal lies, for people: no password."""
    note = _read(paths)
    if note is None:
        return str(paths.journal)
    from qmworkbench.storage.postgres.connection import shown as plain

    return f"PostgreSQL at {plain(note.address)}"


def written_at(paths: BookPaths) -> Path:
    """The file whose time of change tells when the journal was last written here, as far as a file can tell."""
    return paths.journal if paths.journal.exists() else _note_of(paths)


def _demand_same(paths: BookPaths, store: Store) -> None:
    """A book's record is in one place. Raises StorageRefused."""
    if not begun(paths):
        return
    lies = store_of(paths)
    if lies.kind != store.kind:
        raise StorageRefused(
            f"the book at {paths.root} lies in {lies.kind} and {store.kind} is configured: a book stays where it "
            f'began. Set store.kind = "{lies.kind}", name another book, or begin a new one with --fresh'
        )


def _note_of(paths: BookPaths) -> Path:
    return paths.root / _NOTE


def _read(paths: BookPaths) -> _Note | None:
    path = _note_of(paths)
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Note)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreDamaged(
            f"{path} does not say where the journal lies ({error}): bring it back from a backup"
        ) from error


def _keep(paths: BookPaths, note: _Note) -> None:
    """Note where the journal lies, whole or not at all, for the owner's eyes alone."""
    path = _note_of(paths)
    temporary = path.with_name(f"{_NOTE}.{os.getpid()}.unfinished")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(note), indent=1))
        file.flush()
        os.fsync(fd)
    temporary.replace(path)
    sync_directory(path.parent)
