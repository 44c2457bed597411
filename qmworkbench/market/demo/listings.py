"""Who is listed when, under which ticker, and what companies do to their shares: a fixed calendar (§6, §14).

Every twenty sessions bring one split, one ticker change, one delisting, one new listing and one reverse split, each in
its turn of a rota of seats; most established companies pay a dividend each quarter. That is about the pace of a market
of this size for delistings and splits, and faster for the rest: a fortnight should show each once.
"""

import bisect
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

import numpy as np

from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.demo.directory import SEATS, ticker
from qmworkbench.market.demo.exact import Flags, Floats, Ints, log

CALENDAR: Final = SessionCalendar("XNYS")
FIRST_DAY: Final = date(2015, 1, 2)
ANCHOR: Final = date(2024, 3, 8)  # the rota's first cycle starts here, so that the default date soon sees all of it
CYCLE: Final = 20
_QUARTER: Final = 63
DEAL_SESSIONS: Final = 30  # from the announcement of a takeover to the last session


@dataclass(frozen=True, eq=False)
class _Rota:
    """Seats that take turns, one a cycle; a turn takes effect `at` so many sessions into its cycle."""

    at: int
    seats: tuple[int, ...]

    @property
    def period(self) -> int:
        """Sessions from one turn of a seat to its next."""
        return CYCLE * len(self.seats)

    def turns(self, numbers: Ints) -> tuple[Ints, Ints]:
        """By session and seat of the rota: how many turns it has had, and how many sessions ago the last one was."""
        first = CYCLE * np.arange(len(self.seats)) + self.at
        rounds, since = np.divmod(numbers[:, None] - _anchor() - first[None, :], self.period)
        return rounds, since


def _every_tenth(within: int, *places: int) -> tuple[int, ...]:
    return tuple(seat for seat in range(within) if seat % 10 in places)


_GROWING: Final = _Rota(3, _every_tenth(300, 0, 6))  # split
_RENAMED: Final = _Rota(6, _every_tenth(300, 1, 3))
_PASSING: Final = _Rota(11, _every_tenth(240, 4))  # listed, and delisted _EMPTY sessions before the next one is
_FALLING: Final = _Rota(14, _every_tenth(300, 2, 5))  # split in reverse
_EMPTY: Final = 2
_LIFE: Final = _PASSING.period - _EMPTY
_SPLITS: Final = (2, 3, 2, 4)  # new shares for one, taken in turn by the seats of the rota
_REVERSE_SPLITS: Final = (5, 4, 5, 8)
_SPARE: Final = SEATS  # ticker numbers from here on are those of renamed and of later companies
_LATER: Final = _SPARE + 2 * len(_RENAMED.seats)


@lru_cache(maxsize=64)
def _sessions_of(year: int) -> tuple[date, ...]:
    return tuple(CALENDAR.sessions_between(max(FIRST_DAY, date(year, 1, 1)), date(year, 12, 31)))


@lru_cache(maxsize=64)
def _sessions_before(year: int) -> int:
    return sum(len(_sessions_of(y)) for y in range(FIRST_DAY.year, year))


def number_of(day: date) -> int:
    """How many sessions the demo market had before the session `day`."""
    return _sessions_before(day.year) + bisect.bisect_left(_sessions_of(day.year), day)


@lru_cache(maxsize=1)
def _anchor() -> int:
    return number_of(ANCHOR)


@dataclass(frozen=True, eq=False)
class Terms:
    """Over sessions (first axis) and all seats: what the calendar of actions does to prices.

    `scale`: logarithm of what splits and the growth between them make of the price; `generation`: which company holds
    the seat; `listed`: whether it trades; `deal`: sessions since its takeover was announced, -1 where none is;
    `old`: sessions since it was listed.
    """

    scale: Floats
    generation: Ints
    listed: Flags
    deal: Ints
    old: Ints


def terms(numbers: Ints) -> Terms:
    """The terms of these session numbers."""
    shape = (len(numbers), SEATS)
    scale, generation = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    listed, deal, old = np.ones(shape, dtype=np.bool_), np.full(shape, -1), np.full(shape, 1 << 30)
    _, since = _GROWING.turns(numbers)
    scale[:, _GROWING.seats] = _logs(_SPLITS, _GROWING) * (since / _GROWING.period - 0.5)
    _, since = _FALLING.turns(numbers)
    scale[:, _FALLING.seats] = _logs(_REVERSE_SPLITS, _FALLING) * (0.5 - since / _FALLING.period)
    seats = list(_PASSING.seats)
    generation[:, seats], old[:, seats] = _PASSING.turns(numbers)
    listed[:, seats] = old[:, seats] < _LIFE
    announced = np.maximum(old[:, seats] - (_LIFE - DEAL_SESSIONS), -1)
    deal[:, seats] = np.where(listed[:, seats], announced, -1)
    return Terms(scale, generation, listed, deal, old)


def _ratios(ratios: tuple[int, ...], rota: _Rota) -> list[int]:
    return [ratios[place % len(ratios)] for place in range(len(rota.seats))]


def _logs(ratios: tuple[int, ...], rota: _Rota) -> Floats:
    return np.array([log(ratio) for ratio in _ratios(ratios, rota)])


@lru_cache(maxsize=1024)
def tickers(number: int) -> tuple[str, ...]:
    """Every seat's ticker in a session; an empty seat still has its last company's."""
    names = [ticker(seat) for seat in range(SEATS)]
    for rota, start in ((_RENAMED, _SPARE), (_PASSING, _LATER)):
        rounds = rota.turns(np.array([number]))[0][0].tolist()
        size = len(rota.seats)
        for place, seat in enumerate(rota.seats):
            names[seat] = ticker(start + (place + size * rounds[place]) % (2 * size))
    return tuple(names)


@lru_cache(maxsize=1024)
def listed_on(number: int) -> dict[str, int]:
    """Ticker and seat of everything listed in a session, in the seats' order."""
    listed = terms(np.array([number])).listed[0]
    return {name: seat for seat, name in enumerate(tickers(number)) if listed[seat]}


def same_company(number: int, later: int) -> Flags:
    """Over all seats: whether the company that trades in the later session traded in the earlier one."""
    both = terms(np.array([number, later]))
    same: Flags = both.listed[0] & (both.generation[0] == both.generation[1])
    return same


def split_between(number: int, later: int) -> Floats:
    """Over all seats: shares of the later session for one of the earlier one."""
    ratio = np.ones(SEATS)
    for rota, ratios, reverse in ((_GROWING, _SPLITS, False), (_FALLING, _REVERSE_SPLITS, True)):
        rounds, _ = rota.turns(np.array([number, later]))
        times = rounds[1] - rounds[0]
        for place in np.flatnonzero(times).tolist():
            many = float(_ratios(ratios, rota)[place] ** int(times[place]))
            ratio[rota.seats[place]] = 1.0 / many if reverse else many
    return ratio


def pays_on(payout: Floats, phase: Ints, number: int | Ints, deal: Ints, old: Ints) -> Floats:
    """What is paid out in these sessions as a share of the price; nothing by the newly listed and the bought."""
    due = (np.asarray(number) + phase) % _QUARTER == 0
    return np.where(due & (deal < 0) & (old > _QUARTER), payout, 0.0)
