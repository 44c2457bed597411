"""The one way a time is stored: ISO 8601 text in UTC ending in Z, as in the events' JSON (§21)."""

from datetime import UTC, datetime, timedelta

_NO_OFFSET = timedelta(0)


def stored_time(at: datetime) -> str:
    """`at` as text. Raises ValueError for a time without a zone or in another: the record keeps UTC alone."""
    demand_utc(at)
    return at.isoformat().replace("+00:00", "Z")


def demand_utc(at: datetime) -> None:
    """Raise ValueError for a time without a zone or in another."""
    if at.tzinfo is not UTC and at.utcoffset() != _NO_OFFSET:
        raise ValueError(f"{at.isoformat()} is not aware UTC: convert it where it enters the platform")
