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
_SPLIT, _RENAME, _DELIST, _LIST, _REVERSE = 3, 6, 9, 11, 14

_ROTA: Final = range(300)
_GROWING: Final = tuple(k for k in _ROTA if k % 10 in (0, 6))
_FALLING: Final = tuple(k for k in _ROTA if k % 10 in (2, 5))
_RENAMED: Final = tuple(k for k in _ROTA if k % 10 in (1, 3))
_PASSING: Final = tuple(k for k in range(240) if k % 10 == 4)
_SPLIT_RATIOS: Final = (2, 3, 2, 4)
_REVERSE_RATIOS: Final = (5, 4, 5, 8)
_SPARE: Final = SEATS  # ticker numbers from here on are those of renamed and of later companies
_LIFE: Final = CYCLE * len(_PASSING) - (_LIST - _DELIST)


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


def _turn(number: int | Ints, place: int, at: int, rota: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Of the seat in the rota's `place`: how many times its turn has come, and how many sessions ago it last did."""
    rounds, since = np.divmod(np.asarray(number) - _anchor() - CYCLE * place - at, CYCLE * len(rota))
    return rounds, since


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
    for place, seat in enumerate(_GROWING):
        _, since = _turn(numbers, place, _SPLIT, _GROWING)
        scale[:, seat] = log(_SPLIT_RATIOS[place % 4]) * (since / (CYCLE * len(_GROWING)) - 0.5)
    for place, seat in enumerate(_FALLING):
        _, since = _turn(numbers, place, _REVERSE, _FALLING)
        scale[:, seat] = log(_REVERSE_RATIOS[place % 4]) * (0.5 - since / (CYCLE * len(_FALLING)))
    for place, seat in enumerate(_PASSING):
        generation[:, seat], old[:, seat] = _turn(numbers, place, _LIST, _PASSING)
        listed[:, seat] = old[:, seat] < _LIFE
        deal[:, seat] = np.where(listed[:, seat], np.maximum(old[:, seat] - (_LIFE - DEAL_SESSIONS), -1), -1)
    return Terms(scale, generation, listed, deal, old)


def ticker_of(seat: int, number: int) -> str:
    """The seat's ticker in a session."""
    if seat in _RENAMED:
        place = _RENAMED.index(seat)
        rounds, _ = _turn(number, place, _RENAME, _RENAMED)
        return ticker(_SPARE + (place + len(_RENAMED) * int(rounds)) % (2 * len(_RENAMED)))
    if seat in _PASSING:
        place = _PASSING.index(seat)
        rounds, _ = _turn(number, place, _LIST, _PASSING)
        spare = _SPARE + 2 * len(_RENAMED)
        return ticker(spare + (place + len(_PASSING) * int(rounds)) % (2 * len(_PASSING)))
    return ticker(seat)


@lru_cache(maxsize=512)
def listed_on(number: int) -> dict[str, int]:
    """Ticker and seat of everything listed in a session, in the seats' order."""
    here = terms(np.array([number]))
    return {ticker_of(seat, number): seat for seat in range(SEATS) if here.listed[0, seat]}


def same_company(number: int, later: int) -> Flags:
    """Over all seats: whether the company that trades in the later session traded in the earlier one."""
    both = terms(np.array([number, later]))
    same: Flags = both.listed[0] & (both.generation[0] == both.generation[1])
    return same


def split_between(number: int, later: int) -> Floats:
    """Over all seats: shares of the later session for one of the earlier one."""
    ratio = np.ones(SEATS)
    for at, rota, ratios, inverse in (
        (_SPLIT, _GROWING, _SPLIT_RATIOS, False),
        (_REVERSE, _FALLING, _REVERSE_RATIOS, True),
    ):
        for place, seat in enumerate(rota):
            times = int(_turn(later, place, at, rota)[0] - _turn(number, place, at, rota)[0])
            for _ in range(times):
                ratio[seat] = ratio[seat] / ratios[place % 4] if inverse else ratio[seat] * ratios[place % 4]
    return ratio


def pays_on(payout: Floats, phase: Ints, number: int | Ints, deal: Ints, old: Ints) -> Floats:
    """What is paid out in these sessions as a share of the price; nothing by the newly listed and the bought."""
    due = (np.asarray(number) + phase) % _QUARTER == 0
    return np.where(due & (deal < 0) & (old > _QUARTER), payout, 0.0)
