"""Reading a broker's JSON: every number exact, every word known, every absence named (§13 "hostile messages").

Whatever is not as it should be raises Malformed; nothing is guessed, nothing goes through a float.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

_T = TypeVar("_T")
_NUMBER: Final = re.compile(r"[+-]?\d{1,24}(\.\d{1,40})?\Z")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DECODE: Final = msgspec.json.Decoder(float_hook=Decimal).decode
NS: Final = 1_000_000_000
# No share has cost this much, and no account has held so many: what says so is an error, whoever says it.
ABSURD_PX: Final = Decimal(10) ** 8
ABSURD_QTY: Final = Decimal(10) ** 11


class Malformed(Exception):
    """A message that cannot be understood; it says which field, and what was in it."""


def parsed(raw: bytes | str) -> Any:
    """JSON with exact numbers. Raises Malformed."""
    try:
        return _DECODE(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Malformed(f"no JSON ({error}): {excerpt(raw)}") from None


def excerpt(raw: object) -> str:
    """The beginning of something unreadable, for a person."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    return text if len(text) <= 160 else f"{text[:160]}…"


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """A JSON object. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is {excerpt(value)!r}, no object")
    return value


def listed(value: Any, what: str) -> list[Any]:
    """A JSON array. Raises Malformed."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is {excerpt(value)!r}, no list")
    return value


def text(holder: Mapping[str, Any], name: str) -> str:
    """A word that must be there. Raises Malformed."""
    value = holder.get(name)
    if not isinstance(value, str) or not value or len(value) > 256:
        raise Malformed(f"{name} is {excerpt(value)!r}, no word")
    return value


def word(holder: Mapping[str, Any], name: str, known: Mapping[str, _T]) -> _T:
    """One of the known words. Raises Malformed."""
    value = holder.get(name)
    found = known.get(value) if isinstance(value, str) else None
    if found is None:
        raise Malformed(f"{name} is {excerpt(value)!r}, none of {', '.join(known)}")
    return found


def number(holder: Mapping[str, Any], name: str) -> Decimal:
    """A number, told as a string or as a JSON number. Raises Malformed."""
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise Malformed(f"{name} is {excerpt(value)!r}, no number")
    spelled = f"{value:f}" if isinstance(value, Decimal) and value.is_finite() else str(value)
    if not _NUMBER.match(spelled):
        raise Malformed(f"{name} is {excerpt(value)!r}, no number")
    return Decimal(spelled)


def optional(holder: Mapping[str, Any], name: str) -> Decimal | None:
    """A number that may be absent. Raises Malformed."""
    return None if holder.get(name) is None else number(holder, name)


def price(holder: Mapping[str, Any], name: str) -> Decimal:
    """A price somebody can have paid. Raises Malformed."""
    value = number(holder, name)
    if not 0 < value < ABSURD_PX:
        raise Malformed(f"{name} is {value}, no price")
    return value


def quantity(holder: Mapping[str, Any], name: str, *, least: Decimal | None = None) -> Decimal:
    """A quantity somebody can have traded: zero or more, above `least` where given. Raises Malformed."""
    value = number(holder, name)
    if not 0 <= value < ABSURD_QTY or (least is not None and value <= least):
        raise Malformed(f"{name} is {value}, no quantity")
    return value


def nanoseconds(holder: Mapping[str, Any], name: str) -> int:
    """A time as nanoseconds since 1970, exactly as told. Raises Malformed."""
    spelled = text(holder, name)
    head, _, tail = spelled.partition(".")
    digits = _DIGITS.match(tail)
    zone = tail[digits.end() :] if digits else ""
    fraction = digits.group() if digits else ""
    if (tail and not fraction) or zone[:1].isdigit():
        raise Malformed(f"{name} is {spelled!r}, no time")
    try:
        at = datetime.fromisoformat((head + zone).replace("Z", "+00:00"))
        if at.tzinfo is None:
            raise Malformed(f"{name} is {spelled!r}, a time without a zone")
        whole = (at - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise Malformed(f"{name} is {spelled!r}, no time") from None
    if not 0 <= whole < 4 * NS:
        raise Malformed(f"{name} is {spelled!r}, no time of ours")
    return whole * NS + int(fraction.ljust(9, "0") or 0)


def moment(ns: int) -> datetime:
    """A time to the microsecond, as everything on this side keeps it."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def spelled(ns: int) -> str:
    """A time as it goes back to the broker."""
    whole, rest = divmod(ns, NS)
    return f"{_EPOCH + timedelta(seconds=whole):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
