"""Bars made by hand for the market tests: a small legal file to spoil in one way at a time, and ways to count rows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from qmworkbench.market.schema import COLUMNS, VALUES
from qmworkbench.market.session import SessionData

# Friday 2 March 2018: New York opens at 14:30 UTC and closes at 21:00.
DAY = date(2018, 3, 2)
OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
CLOSE = datetime(2018, 3, 2, 21, 0, tzinfo=UTC)
BEFORE = date(2018, 3, 1)
MINUTE = timedelta(minutes=1)
TS = pl.Datetime("us", "UTC")

Row = dict[str, object]


def row(symbol: str, ts: datetime | None, px: float = 10.0, **values: float | None) -> Row:
    """A legal bar of width four cents around `px`, unless told otherwise."""
    legal = {"open": px, "high": px + 0.02, "low": px - 0.02, "close": px + 0.01, "volume": 100.0}
    return {"symbol": symbol, "ts": ts, **legal, **values}


def table(rows: Iterable[Row]) -> pl.DataFrame:
    """Rows as a frame of the documented schema."""
    columns = pl.Schema([("symbol", pl.String()), ("ts", TS), *((name, pl.Float64()) for name in VALUES)])
    return pl.DataFrame(list(rows), schema=columns)


def minutes_of(day_open: datetime, symbols: str, minutes: int, px: float = 10.0) -> list[Row]:
    """Every symbol trades in every one of the first `minutes` after `day_open`, each bar different."""
    return [
        row(symbol, day_open + k * MINUTE, px + number + k * 0.01, volume=100.0 + k)
        for number, symbol in enumerate(symbols.split())
        for k in range(minutes)
    ]


def legal_rows(minutes: int = 390) -> list[Row]:
    """AAA and BBB on DAY and on the session before."""
    yesterday = OPEN - timedelta(days=1)
    rows = minutes_of(yesterday, "AAA BBB", minutes, 9.0) + minutes_of(OPEN, "AAA BBB", minutes)
    return sorted(rows, key=lambda r: (str(r["symbol"]), str(r["ts"])))


def written(folder: Path, bars: pl.DataFrame, name: str = "bars.parquet") -> Path:
    path = folder / name
    bars.write_parquet(path)
    return path


def counted(bars: pl.DataFrame) -> Counter[tuple[str, ...]]:
    """The rows as text, so that NaN and null compare and repetitions count."""
    return Counter(tuple(map(repr, values)) for values in bars.select(COLUMNS).iter_rows())


def framed(data: SessionData) -> pl.DataFrame:
    """The rows that the frames hold; `ts` is a frame's boundary less the interval."""
    names = np.array(data.universe.symbols, dtype=object)
    interval = timedelta(seconds=data.interval_s)
    parts = [
        pl.DataFrame(
            {
                "symbol": names[frame.index].tolist(),
                "ts": [frame.as_of - interval] * len(frame),
                "open": frame.open,
                "high": frame.high,
                "low": frame.low,
                "close": frame.close,
                "volume": frame.volume,
            },
            schema={"symbol": pl.String, "ts": TS, **dict.fromkeys(VALUES, pl.Float64)},
        )
        for frame in data.frames
        if len(frame)
    ]
    return pl.concat(parts)


def codes(data: SessionData) -> list[str]:
    return [finding.code for finding in data.findings]


def same_frames(one: SessionData, other: SessionData) -> bool:
    """Bit for bit the same session."""
    return [frame.content_hash for frame in one.frames] == [frame.content_hash for frame in other.frames]


def hours_apart(boundaries: Sequence[datetime]) -> set[timedelta]:
    return {later - earlier for earlier, later in pairwise(boundaries)}
