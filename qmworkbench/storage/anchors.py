"""Anchors: a journal's head, signed and kept outside the book, so that an older copy cannot pass for it (§5, §21).

A chain proves that nothing within a journal was changed. It cannot prove that nothing was cut off its end: a book
restored from last week's backup verifies. An anchor can. Each is one line with the book's origin (the hash of its first
record), a sequence, the hash there, and a keyed digest over all of it and over the line before, so that no line can be
made, changed or dropped in the middle without the key. Anchors are written whenever a checkpoint is, and looked at
before a book is opened for writing.
"""

import hmac
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec

from qmworkbench.domain.chain import GENESIS
from qmworkbench.storage.atomic import sync_directory
from qmworkbench.storage.refused import StorageRefused, StoreDamaged

KEY: Final = "key"
_KEY_BYTES: Final = 32
_BEGINNING: Final = ""


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """One signed head. `accepted` is why somebody took an older or other journal for the book's from here on."""

    origin: str
    seq: int
    hash: str
    at: datetime
    accepted: str = ""
    by: str = ""
    mac: str = ""


class Anchored(Protocol):
    """A journal, as far as anchoring needs it."""

    @property
    def durable_head(self) -> tuple[int, str]: ...

    def hash_at(self, seq: int) -> str | None: ...


class RolledBack(StorageRefused):
    """The journal is not the one that was anchored, or lacks its end."""


class Anchors:
    """The anchors of one book in `path`, one to a line, signed with the key beside it; both are made when needed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def newest(self, origin: str) -> Anchor | None:
        """The last anchor of the book that began with `origin`; None where there is none. Raises StoreDamaged."""
        found, before = None, _BEGINNING
        for number, line in enumerate(self._lines(), start=1):
            try:
                anchor = msgspec.json.decode(line, type=Anchor)
            except msgspec.DecodeError as error:
                raise StoreDamaged(self._spoilt(number, f"is no anchor ({error})")) from error
            if not hmac.compare_digest(anchor.mac, self._mac(anchor, before)):
                raise StoreDamaged(self._spoilt(number, "was not written with this key, or was changed"))
            before = anchor.mac
            if anchor.origin == origin:
                found = anchor
        return found

    def check(self, journal: Anchored) -> str:
        """Hold a journal against its newest anchor, and say what was found. Raises RolledBack, StoreDamaged.

        Anchors that cannot be read prove nothing either way, and that is what is said then.
        """
        origin = journal.hash_at(1)
        try:
            newest = self.newest(origin) if origin is not None else None
        except OSError as error:
            return f"could not be held against {self.path}: {error.strerror or error}"
        if newest is None:
            return "not anchored yet"
        seq, _ = journal.durable_head
        there = journal.hash_at(newest.seq)
        if there == newest.hash:
            return f"holds what was anchored at {newest.seq} ({newest.at:%Y-%m-%d %H:%M:%SZ})"
        lacks = f"ends at {seq}" if there is None else f"has another record at {newest.seq}"
        raise RolledBack(
            f"the journal {lacks}, and its head was anchored at {newest.seq} on {newest.at:%Y-%m-%d %H:%M:%SZ}: "
            "it was restored from an older copy, or rewritten. Find the newer journal; if it is lost, accept this one "
            "with `qm journal anchor --accept REASON`, and reconcile before any entry"
        )

    def write(self, journal: Anchored, at: datetime, *, accepted: str = "", by: str = "") -> Anchor | None:
        """Anchor the journal's durable head, on disk before this returns; None where the journal is empty.

        Raises OSError where the file cannot be written, StoreDamaged where what is there cannot be trusted.
        """
        origin, (seq, digest) = journal.hash_at(1), journal.durable_head
        if origin is None or digest == GENESIS:
            return None
        plain = Anchor(origin=origin, seq=seq, hash=digest, at=at, accepted=accepted, by=by)
        signed = msgspec.structs.replace(plain, mac=self._mac(plain, self._last_mac()))
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgspec.json.encode(signed) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(self.path.parent)
        return signed

    def _lines(self) -> list[bytes]:
        """Whole lines: one that a kill cut short was never anchored."""
        try:
            held = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return held[: held.rfind(b"\n") + 1].splitlines()

    def _last_mac(self) -> str:
        """The digest that the next line continues from. A line cut short by a kill is cut away first."""
        lines = self._lines()
        if not lines:
            self.path.unlink(missing_ok=True)
            return _BEGINNING
        whole = sum(len(line) + 1 for line in lines)
        if self.path.stat().st_size != whole:
            os.truncate(self.path, whole)
        try:
            return msgspec.json.decode(lines[-1], type=Anchor).mac
        except msgspec.DecodeError as error:
            raise StoreDamaged(self._spoilt(len(lines), f"is no anchor ({error})")) from error

    def _mac(self, anchor: Anchor, before: str) -> str:
        plain = msgspec.json.encode(msgspec.structs.replace(anchor, mac=""))
        return hmac.new(self._key(), before.encode() + b"\n" + plain, "sha256").hexdigest()

    def _key(self) -> bytes:
        """The key beside the anchors, made where there is none and nothing was signed with another."""
        path = self.path.with_name(KEY)
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            if self._lines():
                raise StoreDamaged(f"{path} is gone and {self.path} was signed with it: bring the key back") from None
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            key = secrets.token_bytes(_KEY_BYTES)
            with os.fdopen(fd, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(fd)
        if len(key) != _KEY_BYTES:
            raise StoreDamaged(f"{path} is no key of {_KEY_BYTES} bytes: bring the right one back")
        return key

    def _spoilt(self, number: int, why: str) -> str:
        return f"{self.path} line {number} {why}: bring the file back from a copy, or move it away and anchor anew"
