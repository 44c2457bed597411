"""A plain market as wide as asked for, for measuring: thousands of symbols that merely move (§21)."""

from datetime import date
from typing import Final

import numpy as np
import polars as pl

from qmworkbench.market.bars import session_from_frame
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.demo.exact import Floats, bell, stream
from qmworkbench.market.grid import SECOND_US, micros
from qmworkbench.market.schema import TS_TYPE
from qmworkbench.market.session import SessionData

WIDE_DATE: Final = date(2024, 3, 8)
_PURPOSE: Final = 5
_CHUNK: Final = 1000  # symbols drawn at once: bounds memory, and each chunk has its own stream
_MINUTES: Final = 390
_SIGMA: Final = 0.001
_SILENT: Final = 0.03


def wide_session(symbols: int = 10_000, minutes: int = 390, seed: int = 1, *, history_days: int = 0) -> SessionData:
    """A market as wide as asked for, for measuring: W00000 …, trading in the session's first `minutes`.

    Random walks with a few missing minutes and no more: it says nothing about a market.
    """
    if symbols < 1 or not 1 <= minutes <= _MINUTES:
        raise ValueError(f"symbols is {symbols}, minutes {minutes}: give at least one symbol and 1 to 390 minutes")
    calendar = SessionCalendar("XNYS")
    days = [*calendar.sessions_before(WIDE_DATE, history_days), WIDE_DATE]
    opens_us = np.array([micros(calendar.session_window(day).opens_at) for day in days])
    names = [f"W{number:05d}" for number in range(symbols)]
    parts = [
        _chunk(stream(_PURPOSE, seed, start), names[start : start + _CHUNK], opens_us, minutes)
        for start in range(0, symbols, _CHUNK)
    ]
    bars = pl.concat(parts)
    return session_from_frame(bars, WIDE_DATE, history_days=history_days, interval_s=60, source=f"wide:{seed}")


def _chunk(rng: np.random.Generator, names: list[str], opens_us: np.ndarray, minutes: int) -> pl.DataFrame:
    """Some symbols over all sessions, in order of (symbol, ts); the last session ends after `minutes`."""
    shape = (len(names), len(opens_us) * _MINUTES)
    start = 400.0 + 12_000.0 * rng.random((len(names), 1))
    walk: Floats = start * np.cumprod(1.0 + _SIGMA * bell(np.stack([rng.random(shape) for _ in range(4)])), axis=1)
    closes = np.maximum(np.rint(walk), 100.0)
    opens = np.concatenate([np.maximum(np.rint(start), 100.0), closes[:, :-1]], axis=1)
    reach = closes * _SIGMA
    wide = {
        "open": opens / 100.0,
        "high": (np.maximum(opens, closes) + np.rint(reach * rng.random(shape))) / 100.0,
        "low": (np.minimum(opens, closes) - np.rint(reach * rng.random(shape))) / 100.0,
        "close": closes / 100.0,
        "volume": np.rint(500.0 + 20_000.0 * rng.random(shape)),
    }
    present = rng.random(shape) >= _SILENT
    present[:, ::_MINUTES] = True
    present[:, shape[1] - _MINUTES + minutes :] = False
    ts = (opens_us[:, None] + 60 * SECOND_US * np.arange(_MINUTES)).ravel()
    symbol, moment = np.nonzero(present)
    return pl.DataFrame(
        {
            "symbol": pl.Series(names).gather(symbol),
            "ts": pl.Series(ts[moment]).cast(TS_TYPE),
            **{name: values[present] for name, values in wide.items()},
        }
    )
