"""A plain made-up market from a seed, so that a session needs no file (§6 local: demo feed).

What it is not: a model of any real market. Prices are random walks with one common factor, a U-shaped day,
fat tails, overnight gaps and a few planted runners and faders; nothing reacts to anything, there is no order
book, no spread, no halt and no news, and no result on it says anything about a strategy. It exercises the
platform, no more.

Only integer and uniform draws, and float operations that IEEE 754 rounds exactly (no exp, log or power), so a
seed gives the same bars on every machine.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.market.bars import session_from_frame
from qmworkbench.market.calendars import MarketHours, SessionCalendar
from qmworkbench.market.grid import SECOND_US, micros
from qmworkbench.market.schema import TS_TYPE
from qmworkbench.market.session import SessionData

Floats = npt.NDArray[np.float64]

HISTORY_DAYS: Final = 5
WIDE_DATE: Final = date(2024, 3, 8)
_MINUTE_US: Final = 60 * SECOND_US
_CROSS_SHARE: Final = 0.75
_CHUNK: Final = 1000  # symbols drawn at once: bounds memory, and each chunk has its own stream

# Six letters: US tickers have five at most, so none of these can be mistaken for a listed share.
_HEADS: Final = (
    "ALT BOR CAV DEL ELM FEN GAL HEX IVO JUN KEL LUM MAR NOV ORB PEL QUI ROV SOL TAN UMB VEX WIN XEN YAR ZEP"
).split()
_TAILS: Final = "ANT BIO COR DYN EON FIX GEN HUB ION JET KIN LAB MED NET OPT PAY RAY SYS TEK VOX".split()
MOST_SYMBOLS: Final = len(_HEADS) * len(_TAILS)

_DAILY_SHARES: Final = np.array([3e5, 5e5, 8e5, 1.2e6, 2e6, 3e6, 5e6, 8e6, 1.2e7, 2e7])
_START_PRICES: Final = np.array([4.0, 6.0, 9.0, 13.0, 19.0, 28.0, 41.0, 60.0, 88.0, 130.0, 210.0])


def demo_symbols(count: int) -> list[str]:
    """The first `count` invented tickers, the same for every seed. Raises ValueError beyond MOST_SYMBOLS."""
    if not 1 <= count <= MOST_SYMBOLS:
        raise ValueError(f"symbols is {count}: the demo market has 1 to {MOST_SYMBOLS}")
    order = [(k * 127) % MOST_SYMBOLS for k in range(count)]  # coprime to the number of names, so none repeats
    return sorted(_HEADS[k // len(_TAILS)] + _TAILS[k % len(_TAILS)] for k in order)


def demo_session(day: date, seed: int, symbols: int = 200, *, history_days: int = HISTORY_DAYS) -> SessionData:
    """A made-up session of `day` with its history; the same for the same arguments.

    Raises NotASession for a day on which New York does not trade, ValueError for a seed below zero or a
    number of symbols out of range.
    """
    bars = demo_bars(day, seed, demo_symbols(symbols), history_days=history_days)
    return session_from_frame(bars, day, history_days=history_days, source=f"demo:{seed}")


def wide_session(symbols: int = 10_000, minutes: int = 390, seed: int = 1, *, history_days: int = 0) -> SessionData:
    """A market as wide as asked for, for measuring: W00000 …, trading in the session's first `minutes`."""
    if symbols < 1 or not 1 <= minutes <= 390:
        raise ValueError(f"symbols is {symbols}, minutes {minutes}: give at least one symbol and 1 to 390 minutes")
    names = [f"W{number:05d}" for number in range(symbols)]
    bars = demo_bars(WIDE_DATE, seed, names, history_days=history_days, minutes=minutes)
    return session_from_frame(bars, WIDE_DATE, history_days=history_days, interval_s=60, source=f"wide:{seed}")


def demo_bars(
    day: date, seed: int, names: list[str], *, history_days: int = HISTORY_DAYS, minutes: int | None = None
) -> pl.DataFrame:
    """The made-up bars themselves, in the schema's order; `minutes` ends the last session early."""
    if seed < 0:
        raise ValueError(f"seed is {seed}: give 0 or more")
    calendar = SessionCalendar("XNYS")
    calendar.session_window(day)
    windows = [calendar.session_window(d) for d in (*calendar.sessions_before(day, history_days), day)]
    factor = _market_factor(_stream(seed, day, 0), windows)
    parts = []
    for number, start in enumerate(range(0, len(names), _CHUNK), start=1):
        part = names[start : start + _CHUNK]
        parts.append(_chunk(_stream(seed, day, number), part, windows, factor, minutes))
    return pl.concat(parts)


def _stream(seed: int, day: date, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, day.toordinal(), number]))


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Bell-shaped, variance 1, with a fat tail: a sum of four uniforms, now and then four times as large."""
    bell = rng.random(shape)
    for _ in range(3):
        bell += rng.random(shape)
    bell = (bell - 2.0) * 1.7320508075688772
    bell[rng.random(shape) < 0.01] *= 4.0
    return bell


def _day_shape(minutes: int) -> Floats:
    """A U over the day: about 2 at the ends, 0.7 in the middle."""
    x = (np.arange(minutes) + 0.5) / minutes * 2.0 - 1.0
    squared = x * x
    return 0.7 + 1.4 * squared * squared


def _minutes(hours: MarketHours) -> int:
    return hours.length_s // 60


def _market_factor(rng: np.random.Generator, windows: list[MarketHours]) -> list[Floats]:
    """Per session, the return of the whole market in each minute."""
    return [_noise(rng, (_minutes(hours),)) * _day_shape(_minutes(hours)) * 0.00035 for hours in windows]


@dataclass(frozen=True, eq=False)
class _Company:
    """What stays the same over the sessions; one entry per symbol."""

    price: Floats
    daily_shares: Floats
    sigma: Floats
    beta: Floats
    silent: Floats


def _companies(rng: np.random.Generator, count: int) -> _Company:
    liquidity = rng.integers(0, len(_DAILY_SHARES), count)
    return _Company(
        price=_START_PRICES[rng.integers(0, len(_START_PRICES), count)] * (0.85 + 0.3 * rng.random(count)),
        daily_shares=_DAILY_SHARES[liquidity] * (0.8 + 0.4 * rng.random(count)),
        sigma=0.0005 + 0.0010 * rng.random(count),
        beta=0.5 + rng.random(count),
        silent=np.where(liquidity < 3, 0.08, 0.002) * rng.random(count) * 2.0,
    )


def _chunk(
    rng: np.random.Generator,
    names: list[str],
    windows: list[MarketHours],
    factor: list[Floats],
    minutes: int | None,
) -> pl.DataFrame:
    """The bars of some symbols over all sessions, in order of (symbol, ts)."""
    company = _companies(rng, len(names))
    last = company.price
    sessions = []
    for number, hours in enumerate(windows):
        today = number == len(windows) - 1
        drift, surge, gap = _stories(rng, len(names), _minutes(hours), planted=today)
        opened = last * (1.0 + gap)
        columns, last = _session(rng, company, opened, drift, surge, factor[number])
        sessions.append((hours, columns, minutes if today else None))
    return _bars(names, sessions)


def _stories(rng: np.random.Generator, count: int, minutes: int, *, planted: bool) -> tuple[Floats, Floats, Floats]:
    """Who does something special in a session: drift per minute and symbol, volume surge, and overnight gap.

    On the session itself some 4 % of the symbols run up for hours, 2 % run down, and 3 % break out and fade.
    """
    drift, surge = np.zeros((count, minutes)), np.ones((count, minutes))
    gap = _noise(rng, (count,)) * 0.006
    gap[rng.random(count) < 0.05] *= 6.0
    start, length = rng.integers(2, 90, count), rng.integers(60, min(220, minutes), count)
    size = 0.05 + 0.15 * rng.random(count)
    chosen = rng.permutation(count)
    runners, losers, faders = (max(1, count * share // 100) for share in (4, 2, 3))
    clock = np.arange(minutes)
    for place, k in enumerate(chosen[: runners + losers + faders] if planted else ()):
        away = (clock >= start[k]) & (clock < start[k] + length[k])
        if place < runners:  # up, on volume, giving a quarter back towards the close
            gap[k] = abs(gap[k]) + 0.02
            drift[k, away] = size[k] / length[k]
            drift[k, clock >= start[k] + length[k]] = -size[k] / (4.0 * minutes)
        elif place < runners + losers:
            gap[k] = -abs(gap[k])
            drift[k, away] = -size[k] / length[k]
        else:  # breaks out like a runner, then loses it all and more
            gap[k] = abs(gap[k]) + 0.02
            drift[k, (clock >= start[k]) & (clock < start[k] + 25)] = 0.04 / 25
            drift[k, (clock >= start[k] + 25) & (clock < start[k] + 145)] = -0.06 / 120
        surge[k, :] = 2.5
        surge[k, away] = 5.0
    return drift, surge, gap


def _session(
    rng: np.random.Generator, company: _Company, opened: Floats, drift: Floats, surge: Floats, factor: Floats
) -> tuple[dict[str, Floats], Floats]:
    """One session's bars as (symbol, minute) arrays, `present` among them, and the last price of each symbol.

    The first minute is the one before the open; most symbols have their opening cross there.
    """
    shape = drift.shape
    day = _day_shape(shape[1])
    own = _noise(rng, shape)
    returns = company.beta[:, None] * factor + company.sigma[:, None] * day * own + drift
    path = opened[:, None] * np.cumprod(1.0 + np.maximum(returns, -0.2), axis=1)
    closes = np.maximum(np.rint(path * 100.0), 100.0)
    opens = np.concatenate([np.maximum(np.rint(opened * 100.0), 100.0)[:, None], closes[:, :-1]], axis=1)
    reach = closes * company.sigma[:, None] * day
    highs = np.maximum(opens, closes) + np.rint(reach * rng.random(shape))
    lows = np.maximum(np.minimum(opens, closes) - np.rint(reach * rng.random(shape)), 1.0)
    busy = day * surge * (0.3 + 1.4 * rng.random(shape)) * (0.6 + 0.5 * np.abs(own))
    volume = np.maximum(np.rint(company.daily_shares[:, None] / shape[1] * busy), 1.0)
    silent = rng.random(shape) < company.silent[:, None]
    silent[:, 0] = False
    cross = opens[:, :1]
    ticks = {"open": opens, "high": highs, "low": lows, "close": closes}
    columns = {name: np.concatenate([cross, values], axis=1) / 100.0 for name, values in ticks.items()}
    columns["volume"] = np.concatenate([volume[:, :1] * 2.0, volume], axis=1)
    columns["present"] = np.concatenate([rng.random((shape[0], 1)) < _CROSS_SHARE, ~silent], axis=1)
    return columns, closes[:, -1] / 100.0


def _bars(names: list[str], sessions: list[tuple[MarketHours, dict[str, Floats], int | None]]) -> pl.DataFrame:
    """The arrays side by side in time, then as rows; minutes in which nobody traded have none."""
    ts = np.concatenate(
        [micros(h.opens_at) + _MINUTE_US * np.arange(-1, _minutes(h), dtype=np.int64) for h, _, _ in sessions]
    )
    wide = {
        name: np.concatenate([columns[name] for _, columns, _ in sessions], axis=1)
        for name in ("open", "high", "low", "close", "volume", "present")
    }
    present = wide.pop("present").astype(bool)
    hours, _, minutes = sessions[-1]
    if minutes is not None:
        present[:, len(ts) - _minutes(hours) + minutes :] = False
    symbol, moment = np.nonzero(present)
    return pl.DataFrame(
        {
            "symbol": pl.Series(names).gather(symbol),
            "ts": pl.Series(ts[moment]).cast(TS_TYPE),
            **{name: values[present] for name, values in wide.items()},
        }
    )
