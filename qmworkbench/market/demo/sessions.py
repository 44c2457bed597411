"""The demo market's bars and sessions: everything put together, in whole cents and the schema's columns (§5, §6)."""

from dataclasses import dataclass
from datetime import date
from typing import Final

import msgspec
import numpy as np
import polars as pl

from qmworkbench.market.bars import session_from_frame
from qmworkbench.market.calendars import MarketHours
from qmworkbench.market.demo import early, halts, quotes, volume
from qmworkbench.market.demo import minutes as within
from qmworkbench.market.demo.daily import Days, days_with
from qmworkbench.market.demo.directory import SEATS, SECTORS, companies, name_of
from qmworkbench.market.demo.exact import Flags, Floats, Ints, exp
from qmworkbench.market.demo.listings import (
    ANCHOR,
    CALENDAR,
    FIRST_DAY,
    listed_on,
    number_of,
    same_company,
    split_between,
    terms,
)
from qmworkbench.market.demo.minutes import EARLY
from qmworkbench.market.findings import DataRefused, listed, refusal
from qmworkbench.market.grid import SECOND_US, micros
from qmworkbench.market.schema import TS_TYPE
from qmworkbench.market.session import SessionData

HISTORY_DAYS: Final = 5
DEMO_SYMBOLS: Final = 300
MOST_SYMBOLS: Final = SEATS
_MINUTE_US: Final = 60 * SECOND_US
_SEAT_SESSIONS: Final = 8000  # seats times sessions made at once: bounds memory to some 200 MB
_PRICES: Final = ("open", "high", "low", "close")
_COLUMNS: Final = (*_PRICES, "volume", "spread")
_LOWEST: Final = 100.0  # cents: below a dollar ticks are finer, and this market has none of that
_REACH: Final = 0.56
_BOUNCE: Final = 1.0


def demo_symbols(count: int, day: date = ANCHOR) -> list[str]:
    """The tickers of the first `count` companies that are listed on `day`, in order; the same for every seed.

    Raises ValueError beyond MOST_SYMBOLS. On some days a seat is empty between two companies: then it is one fewer.
    """
    if not 1 <= count <= MOST_SYMBOLS:
        raise ValueError(f"symbols is {count}: the demo market has 1 to {MOST_SYMBOLS}")
    return sorted(name for name, seat in listed_on(_number(day)).items() if seat < count)


class DemoCompany(msgspec.Struct, frozen=True, kw_only=True):
    """One made-up company as a listing tells of it; `shares_a_day` and `sigma_day_pct` are what is usual for it."""

    symbol: str
    name: str
    sector: str
    small: bool
    float_shares: int
    shares_a_day: int
    beta: float
    sigma_day_pct: float
    pays_dividends: bool


def demo_companies(count: int = DEMO_SYMBOLS, day: date = ANCHOR) -> tuple[DemoCompany, ...]:
    """The companies behind `demo_symbols(count, day)`, in order of ticker."""
    number, names = _number(day), demo_symbols(count, day)
    board, conditions = listed_on(number), terms(np.array([number]))
    holders = tuple((board[name], int(conditions.generation[0, board[name]])) for name in names)
    who = companies(holders)
    shares = who.shares * exp(-conditions.scale[0, [seat for seat, _ in holders]])
    return tuple(
        DemoCompany(
            symbol=name,
            name=name_of(name, seat, generation),
            sector=SECTORS[int(who.sector[k])],
            small=bool(who.small[k]),
            float_shares=int(who.float_shares[k]),
            shares_a_day=int(shares[k]),
            beta=round(float(who.beta[k]), 2),
            sigma_day_pct=round(float(who.sigma[k]) * 100, 2),
            pays_dividends=bool(who.payout[k] > 0),
        )
        for k, (name, (seat, generation)) in enumerate(zip(names, holders, strict=True))
    )


def demo_session(day: date, seed: int, symbols: int = DEMO_SYMBOLS, *, history_days: int = HISTORY_DAYS) -> SessionData:
    """A made-up session of `day` with its history; the same for the same arguments.

    Raises NotASession for a day on which New York does not trade, DataRefused for one before the demo market's first,
    ValueError for a seed below zero or a number of symbols out of range.
    """
    CALENDAR.session_window(day)
    bars = demo_bars(day, seed, demo_symbols(symbols, day), history_days=history_days)
    return session_from_frame(bars, day, history_days=history_days, source=f"demo:{seed}")


def demo_bars(day: date, seed: int, names: list[str], *, history_days: int = HISTORY_DAYS) -> pl.DataFrame:
    """The made-up bars themselves, in the schema's order, with the quoted spread at each bar's end.

    A bar depends on seed, date and company alone. The sessions before `day` are told in the tickers and shares of
    `day`, as a vendor's adjusted history is, and hold regular hours alone. Raises as `demo_session` does, and
    ValueError for names that are not listed on `day`.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}: give 0 or more")
    if not names:
        raise ValueError("names is empty: give tickers of demo_symbols()")
    windows = _windows(day, history_days)
    today = _number(day)
    board = listed_on(today)
    unknown = sorted(set(names) - set(board))
    if unknown:
        raise ValueError(f"{listed(unknown)} is not listed on the demo market on {day}: take names of demo_symbols()")
    names = sorted(names)
    at_once = max(1, _SEAT_SESSIONS // len(windows))
    parts = []
    for start in range(0, len(names), at_once):
        part = names[start : start + at_once]
        seats = np.array([board[name] for name in part], dtype=np.int64)
        made = []
        for hours in windows:
            number = _number(hours.date)
            one = _session(seed, number, hours, seats, early_too=hours.date == day)
            made.append(_restated(one, number, today, seats))
        parts.append(_rows(part, made))
    return pl.concat(parts)


def _number(day: date) -> int:
    """The session's number. Raises DataRefused where the demo market had not yet opened."""
    if day < FIRST_DAY:
        message = f"the demo market has nothing for {day}: its first session is {FIRST_DAY}."
        raise DataRefused([refusal("date_not_in_file", message, "the demo market")])
    return number_of(day)


def _windows(day: date, history_days: int) -> list[MarketHours]:
    """The hours of the sessions asked for, `day` last; fewer where the market had not yet opened."""
    last = CALENDAR.session_window(day)
    before = [past for past in CALENDAR.sessions_before(day, history_days) if past >= FIRST_DAY]
    return [*(CALENDAR.session_window(past) for past in before), last]


@dataclass(frozen=True, eq=False)
class _Made:
    """One session's bars as (seat, minute) arrays: prices and spreads in cents; `starts_us` the first minute's time."""

    starts_us: int
    columns: dict[str, Floats]
    present: Flags


def _session(seed: int, number: int, hours: MarketHours, seats: Ints, *, early_too: bool) -> _Made:
    days, row = days_with(seed, number)
    count = hours.length_s // 60
    ordinal = hours.date.toordinal()
    u = within.draws(seed, ordinal, seats, count)
    prices = within.prices(days, row, seats, u[:, :, EARLY:], within.shared_draws(seed, ordinal, count))
    who, holder = days.companies, days.holder[row, seats]
    daily = who.shares[holder] * exp(-days.terms.scale[row, seats]) * days.busy[row, seats]
    busy = days.stories.busy[row, seats]
    wanted = volume.shares(daily * busy, prices.noise, prices.excited, u[9:13, :, EARLY:])
    paused = np.zeros(wanted.shape, dtype=np.bool_)
    for at, first in halts.pauses(prices.after):
        paused[at, first : first + halts.PAUSE] = True
        wanted[at, first + halts.PAUSE] *= 2.0 * halts.PAUSE
    day_sigma = np.sqrt(days.own_sigma[row, seats] * days.own_sigma[row, seats] + 5e-5)
    usual = quotes.usual_spread(who.dollars[holder] * days.busy[row, seats] * busy, day_sigma)
    columns, present = _printed(prices, wanted, usual, u[:, :, EARLY:])
    present &= ~paused & days.terms.listed[row, seats][:, None]
    starts = micros(hours.opens_at)
    if early_too:
        night = _night(seed, number, days, row)[seats]
        before = early.early_prices(days, row, seats, night, u[:, :, :EARLY])
        wanted = early.early_shares(days, row, seats, daily * busy)
        more, there = _printed(before, wanted, 2.5 * usual, u[:, :, :EARLY])
        there &= days.terms.listed[row, seats][:, None] & (days.terms.old[row, seats] > 0)[:, None]
        columns = {name: np.concatenate([more[name], columns[name]], axis=1) for name in columns}
        present = np.concatenate([there, present], axis=1)
        starts -= EARLY * _MINUTE_US
    return _Made(starts, columns, present)


def _night(seed: int, number: int, days: Days, row: int) -> Floats:
    """The overnight moves of all seats as logarithms, splits apart."""
    if not number:
        return np.zeros(SEATS)
    before, above = days_with(seed, number - 1)
    moved: Floats = days.opened[row] - days.terms.scale[row] - before.closed[above] + before.terms.scale[above]
    return moved


def _printed(prices: within.Prices, wanted: Floats, usual: Floats, u: Floats) -> tuple[dict[str, Floats], Flags]:
    """Prices in whole cents as trades print them, at bid or ask, with shares and spread; and where there is a trade."""
    price, opened = exp(prices.after) * 100.0, exp(prices.before) * 100.0
    spread = quotes.spreads(usual, price, prices.excited, u[14])
    side, open_side = np.where(u[15] < 0.5, -_BOUNCE, _BOUNCE), np.where(u[16] < 0.5, -_BOUNCE, _BOUNCE)
    closes = np.maximum(np.rint(price + side * 0.5 * spread), _LOWEST)
    opens = np.maximum(np.rint(opened + open_side * 0.5 * spread), _LOWEST)
    there = volume.traded(wanted, price / 100.0, u[13])
    reach = price * prices.sigma * _REACH
    highs = np.maximum(opens, closes) + np.rint(reach * u[17])
    lows = np.minimum(opens, closes) - np.rint(reach * u[18])
    columns = {
        "open": opens,
        "high": highs,
        "low": np.maximum(lows, _LOWEST),
        "close": closes,
        "volume": np.maximum(np.rint(wanted), 1.0),
        "spread": spread,
    }
    return columns, there


def _restated(made: _Made, number: int, today: int, seats: Ints) -> _Made:
    """A past session in the shares of today's."""
    if number == today:
        return made
    present = made.present & same_company(number, today)[seats][:, None]
    columns = made.columns
    ratio = split_between(number, today)[seats][:, None]
    if (ratio != 1.0).any():
        columns = {name: values * ratio if name == "volume" else values / ratio for name, values in columns.items()}
        columns = {name: np.maximum(np.rint(values), 1.0) for name, values in columns.items()}
    return _Made(made.starts_us, columns, present)


def _rows(names: list[str], sessions: list[_Made]) -> pl.DataFrame:
    """The arrays side by side in time, then as rows; minutes in which nobody traded have none."""
    ts = np.concatenate(
        [made.starts_us + _MINUTE_US * np.arange(made.present.shape[1], dtype=np.int64) for made in sessions]
    )
    present = np.concatenate([made.present for made in sessions], axis=1)
    symbol, moment = np.nonzero(present)
    wide = {name: np.concatenate([made.columns[name] for made in sessions], axis=1)[present] for name in _COLUMNS}
    return pl.DataFrame(
        {
            "symbol": pl.Series(names).gather(symbol),
            "ts": pl.Series(ts[moment]).cast(TS_TYPE),
            **{name: values if name == "volume" else values / 100.0 for name, values in wide.items()},
        }
    )
