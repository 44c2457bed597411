"""Bar frames to store: a small universe, some boundaries with gaps, one without any bar."""

from datetime import UTC, datetime, timedelta

import numpy as np

from qmworkbench.trading.frames import BarFrame

SYMBOLS = tuple(f"S{n:03d}" for n in range(20))
INTERVAL_S = 60
FIRST = datetime(2018, 3, 2, 14, 31, tzinfo=UTC)


def boundary(n: int) -> datetime:
    return FIRST + timedelta(minutes=n)


def frame(n: int, *, seed: int = 1, symbols: int = len(SYMBOLS), extended: bool = False) -> BarFrame:
    """Boundary `n`: about nine symbols in ten trade; nobody does at every seventh."""
    rng = np.random.default_rng((seed, n))
    index = np.flatnonzero(rng.random(symbols) < (0 if n % 7 == 6 else 0.9)).astype(np.int32)
    close = rng.integers(100, 5000, len(index)) / 100
    return BarFrame(
        as_of=boundary(n),
        index=index,
        open=close - 0.01,
        high=close + 0.02,
        low=close - 0.03,
        close=close,
        volume=rng.integers(0, 10_000, len(index)).astype(np.float64),
        extended=extended,
    )


def frames(count: int, first: int = 0) -> list[BarFrame]:
    return [frame(n, extended=n < 2) for n in range(first, first + count)]


def hashes(of: list[BarFrame]) -> list[tuple[datetime, str]]:
    return [(each.as_of, each.content_hash) for each in of]
