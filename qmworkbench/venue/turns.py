"""Turns at the books: one caller at a time, and what each changes takes effect whole or not at all (§14)."""

import sqlite3
import threading
from datetime import datetime

from qmworkbench.venue.books import Books
from qmworkbench.venue.records import VenueError


class Turn:
    """One caller's turn at the books, `with` which they are read, or changed whole or not at all."""

    __slots__ = ("_books", "_changes", "_clock", "_lock", "_path")

    def __init__(self, lock: threading.RLock, books: Books, path: str, *, changes: bool) -> None:
        self._lock, self._books, self._path, self._changes = lock, books, path, changes
        self._clock: datetime | None = None

    def __enter__(self) -> Books:
        self._lock.acquire()
        try:
            self._books.refresh()
        except BaseException as error:
            self._lock.release()
            raise self._told(error) from error
        self._clock = self._books.last_as_of
        return self._books

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if self._changes:
                self._settle(error)
            elif error is not None and self._told(error) is not error:
                raise self._told(error) from error
        finally:
            self._lock.release()

    def _settle(self, error: BaseException | None) -> None:
        try:
            if error is not None:
                raise error
            self._books.commit()
        except BaseException as raised:
            self._books.rollback(self._clock)
            told = self._told(raised)
            if told is not error:
                raise told from (raised if told is not raised else None)

    def _told(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error
        return VenueError(f"{self._path} cannot be read: {error}; restore it, or start fresh")
