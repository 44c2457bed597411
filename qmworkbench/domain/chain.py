"""The hash chain that makes a journal tamper-evident: each record's hash covers the one before it (§21)."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

GENESIS: Final = "0" * 64
# Copied for each record: finding the algorithm anew costs more than hashing a record of usual length.
_BEGUN: Final = hashlib.sha256()
_AT_ONCE: Final = 256  # records that are proven and handed on together


class Record(msgspec.Struct, frozen=True):
    """One journal line as stored: `seq` from 1 without gaps, `payload` the event's JSON, `hash` over all before it."""

    seq: int
    type: str
    payload: bytes
    prev_hash: str
    hash: str


class ChainBroken(Exception):
    """A stored record does not follow from the one before it: the journal was damaged or edited."""


def link(prev_hash: str, seq: int, payload: bytes) -> str:
    """The hash of record `seq`, SHA-256 in hex over previous hash, sequence and payload."""
    digest = _BEGUN.copy()
    digest.update(f"{prev_hash}{seq}|".encode())
    digest.update(payload)
    return digest.hexdigest()


def verify(records: Iterable[Record], *, prev_seq: int = 0, prev_hash: str = GENESIS) -> tuple[int, str]:
    """Walk `records` in order and return the last (seq, hash). Raises ChainBroken naming the first bad record."""
    seq, head, begun = prev_seq, prev_hash, _BEGUN.copy
    for record in records:
        number = record.seq
        if number != seq + 1:
            raise ChainBroken(f"record {number} follows record {seq}: {number - seq - 1} record(s) are missing")
        if record.prev_hash != head:
            raise ChainBroken(f"record {number} does not name its predecessor's hash: a record was changed before it")
        # link(), said here once more: its call would cost a tenth of the walk.
        digest = begun()
        digest.update(f"{head}{number}|".encode())
        digest.update(record.payload)
        seq, head = number, digest.hexdigest()
        if head != record.hash:
            raise ChainBroken(f"record {number} ({record.type}) was changed after it was written")
    return seq, head


def proven(records: Iterable[Record], *, prev_seq: int = 0, prev_hash: str = GENESIS) -> Iterator[list[Record]]:
    """`records` again, in lists: each is handed on once verify() has walked all of it. Raises ChainBroken as it."""
    after, coming = (prev_seq, prev_hash), iter(records)
    while found := list(islice(coming, _AT_ONCE)):
        after = verify(found, prev_seq=after[0], prev_hash=after[1])
        yield found


def content_digest(value: msgspec.Struct) -> str:
    """16 hex digits over a value's content: tells whether two things under one id are the same thing."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]
