"""The one way a time is stored: ISO 8601 text in UTC ending in Z, as in the events' JSON (§21)."""

from datetime import UTC, datetime, timedelta

import msgspec

_encoded = msgspec.json.Encoder().encode
_NO_OFFSET = timedelta(0)


def stored_time(at: datetime) -> str:
    """`at` as text. Raises ValueError for a time without a zone or in another: the record keeps UTC alone."""
    if at.tzinfo is not UTC:
        demand_utc(at)
    return _encoded(at)[1:-1].decode()  # a tenth of isoformat()'s time, and what an event's own text has


def demand_utc(at: datetime) -> None:
    """Raise ValueError for a time without a zone or in another."""
    if at.tzinfo is not UTC and at.utcoffset() != _NO_OFFSET:
        raise ValueError(f"{at.isoformat()} is not aware UTC: convert it where it enters the platform")
