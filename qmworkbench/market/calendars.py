"""When each market trades: sessions, half-days and holidays, by the market's own calendar (§4, §8)."""

import threading
import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

FOREX: Final = "FX"
NEW_YORK: Final = ZoneInfo("America/New_York")

_ROLL: Final = time(17)
_FOREX_CLOSED: Final = {(1, 1): "New Year's Day", (12, 25): "Christmas"}
# Trading outside regular hours that a feed may legally report, in the exchange's own time.
_EXTENDED_HOURS: Final = {
    "XNYS": (time(4), time(20)),
    "XNAS": (time(4), time(20)),
    "ARCX": (time(4), time(20)),
}
# Making a calendar costs about 0.12 s whatever its length, so one decade at a time is built and kept.
_BLOCK_YEARS: Final = 10
_FARTHEST_DAYS: Final = 40
_building = threading.Lock()


class CalendarUnknown(ValueError):
    """No calendar of that name, or none that reaches that far."""


class NotASession(ValueError):
    """The market does not trade on `day`.

    `why` names the holiday or the weekend, `before` and `after` are the nearest sessions.
    """

    def __init__(self, calendar: str, day: date, why: str, before: date, after: date) -> None:
        super().__init__(
            f"{day} is no session of {calendar}: {why}. The nearest sessions are {before} before and {after} after."
        )
        self.calendar, self.day, self.why, self.before, self.after = calendar, day, why, before, after


@dataclass(frozen=True)
class MarketHours:
    """One session's times, aware UTC.

    Bars that open in [`opens_at`, `closes_at`) are regular. The trading day starts at `day_starts_at` and
    ends where the next one starts; within it, bars in [`extended_opens_at`, `opens_at`) and [`closes_at`,
    `extended_closes_at`) are legal but outside regular hours. Where a market has no extended hours these
    equal open and close. `half_day`: the calendar closes early that day.
    """

    date: date
    opens_at: datetime
    closes_at: datetime
    half_day: bool
    day_starts_at: datetime
    extended_opens_at: datetime
    extended_closes_at: datetime

    @property
    def length_s(self) -> int:
        """Seconds from open to close."""
        return int((self.closes_at - self.opens_at).total_seconds())


@dataclass(frozen=True)
class SessionCalendar:
    """The sessions of one market: "FX", or a name of exchange_calendars such as "XNYS".

    Forex sessions are named by the New York date on which they end at 17:00; they run without a break from
    Sunday 17:00 to Friday 17:00, closed for Christmas and New Year's Day.
    Raises CalendarUnknown for a name or a year that no calendar covers.
    """

    name: str

    def session_window(self, day: date) -> MarketHours:
        """The hours of the session named `day`. Raises NotASession, naming the reason and the neighbours."""
        hours = self._sessions(day).get(day)
        if hours is None:
            raise NotASession(self.name, day, self.why_closed(day), self.previous_session(day), self.next_session(day))
        return hours

    def is_session(self, day: date) -> bool:
        """Whether the market trades on `day`."""
        return day in self._sessions(day)

    def previous_session(self, day: date) -> date:
        """The last session before `day`, which itself need not be one."""
        return self._walk(day, -1)

    def next_session(self, day: date) -> date:
        """The first session after `day`, which itself need not be one."""
        return self._walk(day, +1)

    def sessions_before(self, day: date, count: int) -> list[date]:
        """The `count` sessions before `day`, oldest first."""
        found: list[date] = []
        while len(found) < count:
            day = self.previous_session(day)
            found.append(day)
        return found[::-1]

    def sessions_between(self, first: date, last: date) -> list[date]:
        """Every session from `first` to `last`, both included."""
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return [day for day in days if self.is_session(day)]

    def session_of(self, at: datetime) -> date | None:
        """The session on whose trading day the moment falls; None at a weekend or on a holiday.

        An exchange's trading day is its local calendar day, so a moment before the open belongs to that day's
        session.
        """
        if at.tzinfo is None:
            raise ValueError(f"{at} has no time zone; give an aware time, such as {at}+00:00")
        day = self.trading_date(at)
        return day if self.is_session(day) else None

    def trading_date(self, at: datetime) -> date:
        """The date whose session would hold the aware moment `at`, whether or not there is one."""
        local = at.astimezone(self.time_zone)
        if self.name == FOREX and local.time() >= _ROLL:
            return local.date() + timedelta(days=1)
        return local.date()

    @property
    def time_zone(self) -> ZoneInfo:
        """The zone whose midnight (forex: whose 17:00) starts the trading day."""
        return NEW_YORK if self.name == FOREX else _exchange_zone(self.name)

    def why_closed(self, day: date) -> str:
        """Why `day` is no session: the weekend's day, or the holiday's name where the calendar knows one."""
        if day.weekday() >= 5:
            return f"it is a {day:%A}"
        if self.name == FOREX:
            named = _FOREX_CLOSED.get((day.month, day.day))
        else:
            named = _exchange_holidays(self.name, _block_of(day)).get(day)
        return named or "the market is closed by an exceptional decision"

    def _walk(self, day: date, step: int) -> date:
        for _ in range(_FARTHEST_DAYS):
            day += timedelta(days=step)
            if self.is_session(day):
                return day
        raise CalendarUnknown(f"{self.name} has no session within {_FARTHEST_DAYS} days of {day}")

    def _sessions(self, day: date) -> dict[date, MarketHours]:
        if isinstance(day, datetime):
            raise TypeError(f"{day!r} is a moment; give a date, or ask session_of() for the session it belongs to")
        if self.name == FOREX:
            return _forex_session(day)
        return _exchange_sessions(self.name, _block_of(day))


def _block_of(day: date) -> int:
    return day.year - day.year % _BLOCK_YEARS


def _new_york(day: date, at: time) -> datetime:
    return datetime.combine(day, at, NEW_YORK).astimezone(UTC)


@lru_cache(maxsize=4096)
def _forex_session(day: date) -> dict[date, MarketHours]:
    if day.weekday() >= 5 or (day.month, day.day) in _FOREX_CLOSED:
        return {}
    opens_at, closes_at = _new_york(day - timedelta(days=1), _ROLL), _new_york(day, _ROLL)
    hours = MarketHours(
        date=day,
        opens_at=opens_at,
        closes_at=closes_at,
        half_day=False,
        day_starts_at=opens_at,
        extended_opens_at=opens_at,
        extended_closes_at=closes_at,
    )
    return {day: hours}


@lru_cache(maxsize=32)
def _exchange(name: str, block: int) -> Any:
    """The library's calendar for one decade. Its import takes 1.7 s (pandas), hence here and not above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of pandas is deprecated; nothing we could answer
        import exchange_calendars
        from exchange_calendars.errors import InvalidCalendarName

        try:
            return exchange_calendars.get_calendar(
                name, start=f"{block}-01-01", end=f"{block + _BLOCK_YEARS - 1}-12-31"
            )
        except InvalidCalendarName:
            raise CalendarUnknown(
                f"{name!r} is no known calendar: give FX, or a name of exchange_calendars such as XNYS"
            ) from None
        except ValueError as error:
            raise CalendarUnknown(f"{name} does not reach the years {block} to {block + 9}: {error}") from None


def _exchange_zone(name: str) -> ZoneInfo:
    calendar = _locked_exchange(name, 2020)
    return ZoneInfo(str(calendar.tz))


def _locked_exchange(name: str, block: int) -> Any:
    with _building:  # two threads asking at once would build it twice
        return _exchange(name, block)


@lru_cache(maxsize=32)
def _exchange_sessions(name: str, block: int) -> dict[date, MarketHours]:
    calendar = _locked_exchange(name, block)
    schedule = calendar.schedule
    early = {stamp.date() for stamp in calendar.early_closes}
    zone = ZoneInfo(str(calendar.tz))
    extended = _EXTENDED_HOURS.get(name)
    sessions: dict[date, MarketHours] = {}
    for stamp, opened, closed in zip(schedule.index, schedule["open"], schedule["close"], strict=True):
        day = stamp.date()
        opens_at = opened.to_pydatetime().astimezone(UTC)
        closes_at = closed.to_pydatetime().astimezone(UTC)
        sessions[day] = MarketHours(
            date=day,
            opens_at=opens_at,
            closes_at=closes_at,
            half_day=day in early,
            day_starts_at=min(opens_at, datetime.combine(day, time(0), zone).astimezone(UTC)),
            extended_opens_at=_at(day, extended[0], zone) if extended else opens_at,
            extended_closes_at=_at(day, extended[1], zone) if extended else closes_at,
        )
    return sessions


def _at(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


@lru_cache(maxsize=32)
def _exchange_holidays(name: str, block: int) -> dict[date, str]:
    regular = _locked_exchange(name, block).regular_holidays
    if regular is None:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        named = regular.holidays(f"{block}-01-01", f"{block + _BLOCK_YEARS - 1}-12-31", return_name=True)
    return {stamp.date(): str(label) for stamp, label in named.items()}
