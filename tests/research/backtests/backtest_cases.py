"""Small tapes and decisions written by hand, and bars in a file's form."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from qmworkbench.research.backtests.allocation import Prospect
from qmworkbench.research.fills.tape import Decisions, Tape

OPENED = datetime(2018, 3, 5, 14, 30, tzinfo=UTC)
MINUTE_US = 60_000_000
FIRST_US = int(OPENED.timestamp()) * 1_000_000

Bar = tuple[float, float, float, float]


def tape(symbol: str, bars: Sequence[Bar], *, at: Sequence[int] | None = None, volume: float = 1e6) -> Tape:
    """One session of minute bars (open, high, low, close); `at` are their boundaries, one after another otherwise."""
    place = np.array(range(len(bars)) if at is None else at)
    prices = np.array(bars, dtype=np.float64).T
    return Tape(
        symbol=symbol,
        ts_us=FIRST_US + place.astype(np.int64) * MINUTE_US,
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=np.full(len(bars), volume),
        day=np.zeros(len(bars), np.int32),
        bar=place.astype(np.int32),
        ends=np.arange(len(bars)) == len(bars) - 1,
        tick=0.01,
    )


def flat_bars(count: int, px: float = 10.0) -> list[Bar]:
    """Bars that do not move."""
    return [(px, px, px, px)] * count


def decisions(
    height: int,
    *,
    long: Sequence[int] = (),
    short: Sequence[int] = (),
    leave_long: Sequence[int] = (),
    leave_short: Sequence[int] = (),
    stop: Mapping[int, float] | None = None,
    target: Mapping[int, float] | None = None,
    reverse: bool = False,
    flat_at_close: bool = True,
) -> Decisions:
    """Decisions at the rows named."""

    def at(rows: Sequence[int]) -> np.ndarray:
        flags = np.zeros(height, np.bool_)
        flags[list(rows)] = True
        return flags

    def levels(given: Mapping[int, float] | None) -> np.ndarray:
        told = np.full(height, np.nan)
        for row, level in (given or {}).items():
            told[row] = level
        return told

    return Decisions(
        entry_long=at(long),
        entry_short=at(short),
        exit_long=at(leave_long),
        exit_short=at(leave_short),
        stop=levels(stop),
        target=levels(target),
        trail_bps=np.zeros(height, np.int32),
        max_hold_bars=np.zeros(height, np.int32),
        qty=np.ones(height),
        flat_at_close=flat_at_close,
        reverse=reverse,
    )


def prospect(of: Tape, decided: Decisions, *, rank: float = 0.0, margin_rate: float = 1.0) -> Prospect:
    """What may trade, its day's equity taken at the session's opening."""
    return Prospect(
        tape=of,
        decisions=decided,
        rank=np.full(len(of), rank),
        base_us=np.full(len(of), FIRST_US, np.int64),
        margin_rate=margin_rate,
    )


def minute_bars(symbols: Sequence[str], days: Sequence[date], *, minutes: int = 390, seed: int = 1) -> pl.DataFrame:
    """Bars of a made-up market in the documented schema: cents, one bar a minute."""
    chance = np.random.default_rng(seed)
    parts = []
    for symbol in symbols:
        px = 50.0 + 10 * chance.random()
        for day in days:
            opened = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)
            closes = np.round(px * np.exp(np.cumsum(chance.normal(0, 0.0012, minutes))), 2)
            opens = np.concatenate([[round(px, 2)], closes[:-1]])
            wide = np.round(chance.random(minutes) * 0.05, 2)
            parts.append(
                pl.DataFrame(
                    {
                        "symbol": [symbol] * minutes,
                        "ts": [opened + timedelta(minutes=k) for k in range(minutes)],
                        "open": opens,
                        "high": np.round(np.maximum(opens, closes) + wide, 2),
                        "low": np.round(np.minimum(opens, closes) - wide, 2),
                        "close": closes,
                        "volume": np.round(chance.random(minutes) * 20_000 + 500),
                    }
                )
            )
            px = float(closes[-1])
    return pl.concat(parts).with_columns(pl.col("ts").dt.cast_time_unit("us"))


def daily_bars(symbol: str, first: date, closes: Sequence[float]) -> pl.DataFrame:
    """One bar a session of New York, opening where the one before closed."""
    from qmworkbench.market.calendars import SessionCalendar

    market = SessionCalendar("XNYS")
    days = market.sessions_between(first, first + timedelta(days=len(closes) * 2 + 10))[: len(closes)]
    opens = [closes[0], *closes[:-1]]
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(closes),
            "ts": [market.session_window(day).opens_at for day in days],
            "open": opens,
            "high": [max(pair) + 0.5 for pair in zip(opens, closes, strict=True)],
            "low": [min(pair) - 0.5 for pair in zip(opens, closes, strict=True)],
            "close": list(closes),
            "volume": [1e6] * len(closes),
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )
