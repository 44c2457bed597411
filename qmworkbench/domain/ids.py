"""Deterministic ids: the same decision always gets the same name, so a repeat is recognised (§13)."""

import hashlib
import re
from functools import lru_cache
from typing import Final

_NOT_READABLE: Final = re.compile(r"[^A-Za-z0-9]+")


def cl_ord_id(*, book: str, session: str, strategy_id: str, symbol: str, signal_id: str, leg: str, attempt: int) -> str:
    """The client order id: a readable prefix and 16 hex digits over everything that makes the order what it is.

    At most 48 characters of [A-Za-z0-9-], which every broker we know accepts.
    """
    return _named(book, session, strategy_id, symbol, signal_id, str(leg), attempt)


@lru_cache(maxsize=4096)  # whether an exit was tried already is asked again and again, by the ids it would have had
def _named(book: str, session: str, strategy_id: str, symbol: str, signal_id: str, leg: str, attempt: int) -> str:
    key = "\x1f".join((book, session, strategy_id, symbol, signal_id, leg, str(attempt)))
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"{_readable(session, symbol)}-{leg}-{digest}"


@lru_cache(maxsize=4096)
def _readable(session: str, symbol: str) -> str:
    """What people see of an order's id: its day and its symbol."""
    return f"qm-{session[-8:].replace('-', '')}-{_NOT_READABLE.sub('', symbol)[:10]}"


def signal_id(*, strategy_id: str, symbol: str, as_of: str, kind: str) -> str:
    """The id of a signal: one per strategy instance, symbol, boundary and kind."""
    return f"{strategy_id}/{symbol}/{as_of}/{kind}"


def content_id(*parts: str) -> str:
    """12 hex digits over `parts`: ids for breaks, alerts, decisions, notes and repairs."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]
