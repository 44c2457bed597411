"""How the command center writes numbers, times and words (§9).

Every function takes what the Core API sends (decimals and times as JSON strings) and never raises: an absent value
reads "–", one that cannot be read "?", so that a broken field is seen instead of emptying the page.
"""

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

ABSENT: Final = "–"
UNREADABLE: Final = "?"
MINUS: Final = "−"
# No amount here has more digits; one that does would be written out over the whole page.
_DIGITS_MAX: Final = 18
_WEEK: Final = timedelta(days=7)

_SPELLED: Final = {
    "api": "API",
    "bus": "Event bus",
    "oms": "OMS",
    "id": "ID",
    "ok": "OK",
    "vwap": "VWAP",
    "avg": "Average",
    "px": "price",
    "qty": "quantity",
    "pnl": "P&L",
}


def decimal(value: Any) -> Decimal | None:
    """A number of the API as Decimal; None where there is none or it cannot be read."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() <= _DIGITS_MAX else None


def _or_marker(value: Any) -> str:
    return ABSENT if value is None or value == "" else UNREADABLE


def _grouped(number: Decimal, places: int, *, signed: bool) -> str:
    text = f"{abs(number):,.{places}f}"
    if not any(digit in text for digit in "123456789"):
        return text  # neither −0.00 nor +0.00
    if number < 0:
        return f"{MINUS}{text}"
    return f"+{text}" if signed else text


def money(value: Any, *, signed: bool = False, places: int = 2) -> str:
    """An amount of account currency: 12,345.60, −3.20; with `signed` gains carry a plus."""
    number = decimal(value)
    return _or_marker(value) if number is None else _grouped(number, places, signed=signed)


def price(value: Any) -> str:
    """A price as it is quoted: two decimals at least, up to six where the instrument has them."""
    number = decimal(value)
    if number is None:
        return _or_marker(value)
    quantized = number.quantize(Decimal("0.000001")) if abs(number) < 10**12 else number
    places = max(2, -_exponent(quantized.normalize()))
    return _grouped(quantized, places, signed=False)


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def quantity(value: Any) -> str:
    """A quantity without needless zeros: 1,200 or 0.25; the sign is kept."""
    number = decimal(value)
    if number is None:
        return _or_marker(value)
    places = max(0, -_exponent(number.normalize()))
    return _grouped(number, min(places, 6), signed=False)


def percent(value: Any, *, signed: bool = True, places: int = 2) -> str:
    """A percentage; the value is in percent already (1.5 is 1.5 %)."""
    number = decimal(value)
    return _or_marker(value) if number is None else f"{_grouped(number, places, signed=signed)}%"


def compact(value: Any) -> str:
    """A large amount in three digits: 812K, 4.25M, 1.90B."""
    number = decimal(value)
    if number is None:
        return _or_marker(value)
    for limit, letter in ((Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "K")):
        # 999,999 is a million to whoever reads three digits.
        if abs(number) >= limit * Decimal("0.9995"):
            scaled = number / limit
            places = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
            return f"{_grouped(scaled, places, signed=False)}{letter}"
    return _grouped(number, 0, signed=False)


def ratio(value: Any, *, places: int = 2, unit: str = "") -> str:
    """A plain float such as a relative volume or a score, with its unit attached."""
    number = decimal(value)
    return _or_marker(value) if number is None else f"{_grouped(number, places, signed=False)}{unit}"


def whole(value: Any) -> str:
    """A count."""
    number = decimal(value)
    return _or_marker(value) if number is None else _grouped(number, 0, signed=False)


def milliseconds(value: Any) -> str:
    """A duration: 0.4 ms, 12 ms, 1.3 s."""
    number = decimal(value)
    if number is None:
        return _or_marker(value)
    if abs(number) >= 1000:
        return f"{_grouped(number / 1000, 1, signed=False)} s"
    return f"{_grouped(number, 1 if abs(number) < 10 else 0, signed=False)} ms"


def age(seconds: float | None) -> str:
    """How long ago, in its largest unit and never rounded up: 4 s, 3 min, 2 h, 5 d."""
    if seconds is None:
        return ABSENT
    left = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if left >= size:
            return f"{left // size} {unit}"
    return f"{left} s"


def moment(value: Any) -> datetime | None:
    """A time of the API as an aware datetime; None where there is none or it cannot be read."""
    if not isinstance(value, str) or not value:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def clock(value: Any, zone: ZoneInfo, *, seconds: bool = True) -> str:
    """A time of day on the exchange's clock: 10:04:30."""
    at = moment(value)
    if at is None:
        return _or_marker(value)
    return at.astimezone(zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def dated(value: Any, now: Any, zone: ZoneInfo, *, seconds: bool = True) -> str:
    """A time of day, with its day where that is not `now`'s: 15:58:02, Thu 15:58, 1 Mar 15:58.

    A halt, a position or a question can be of an earlier session: its bare time of day would be taken for today's.
    """
    told, at, today = clock(value, zone, seconds=seconds), moment(value), moment(now)
    if at is None or today is None:
        return told
    day, last = at.astimezone(zone).date(), today.astimezone(zone).date()
    if day == last:
        return told
    told = clock(value, zone, seconds=False)
    if timedelta(0) < last - day < _WEEK:
        return f"{day:%a} {told}"
    year = f" {day.year}" if day.year != last.year else ""
    return f"{day.day} {day:%b}{year} {told}"


def day_of(value: Any, zone: ZoneInfo) -> str:
    """The date on the exchange's calendar, with its weekday: Fri 2 Mar 2018."""
    at = moment(value)
    if at is None:
        return _or_marker(value)
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %Y}"


def zone_name(value: Any, zone: ZoneInfo) -> str:
    """The zone's short name at that moment: EST, EDT."""
    at = moment(value)
    return "" if at is None else at.astimezone(zone).strftime("%Z")


def seconds_between(earlier: Any, later: Any) -> float | None:
    """Seconds from one time of the API to another; None where either is missing."""
    first, last = moment(earlier), moment(later)
    return None if first is None or last is None else (last - first).total_seconds()


def words(code: Any) -> str:
    """A code as a person reads it: market_session → Market session, api → API."""
    if not isinstance(code, str) or not code:
        return ABSENT
    parts = code.replace("-", "_").replace(".", "_").split("_")
    text = " ".join(_SPELLED.get(part, part) for part in parts if part)
    return text[:1].upper() + text[1:]


def gain_tone(value: Any, *, places: int = 2) -> str:
    """Green for a gain, red for a loss, nothing for unknown and for what reads as zero at `places` decimals."""
    number = decimal(value)
    if number is None or abs(number) < Decimal(1).scaleb(-places) / 2:
        return ""
    return "ok" if number > 0 else "bad"


def plural(count: int, noun: str, many: str = "") -> str:
    """1 order, 2 orders."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"
