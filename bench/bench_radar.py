"""The Momentum Radar over 10,000 symbols, a boundary at a time, against polars computing the same boundary.

The peer holds the day's bars in one table and answers with one group_by per boundary; appending the new bars
is not charged to it. Both must arrive at the same ranking, or there is no result.
"""

import json
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter

import numpy as np
import polars as pl

from qmworkbench.trading.frames import BarFrame, Reference, Universe
from qmworkbench.trading.radar import Radar
from qmworkbench.trading.radar_score import SCORE_TERMS, STEPS_PER_POINT

SYMBOLS = 10_000
BOUNDARIES = 60
SEED = 7
SHARE_TRADING = 0.9  # a tenth of the symbols does not trade in a given minute
OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def _day() -> tuple[Universe, Reference, list[BarFrame]]:
    rng = np.random.default_rng(SEED)
    universe = Universe([f"S{i:05d}" for i in range(SYMBOLS)])
    price = rng.uniform(5, 200, SYMBOLS).round(2)
    profile = np.cumsum(rng.integers(50, 500, (BOUNDARIES, SYMBOLS)).astype(np.float64), axis=0)
    reference = Reference(price.copy(), profile, 5)
    frames = []
    for minute in range(1, BOUNDARIES + 1):
        index = np.flatnonzero(rng.random(SYMBOLS) < SHARE_TRADING).astype(np.int32)
        opened = price[index]
        closed = (opened * (1 + rng.normal(0, 0.002, len(index)))).round(2)
        high, low = np.maximum(opened, closed) + 0.01, np.minimum(opened, closed) - 0.01
        volume = rng.integers(1, 1000, len(index)).astype(np.float64)
        price[index] = closed
        frames.append(BarFrame(OPEN + minute * MINUTE, index, opened, high, low, closed, volume))
    return universe, reference, frames


def _table(frames: list[BarFrame]) -> pl.DataFrame:
    """The day's bars in one table, sorted by symbol and minute."""
    parts = [
        pl.DataFrame(
            {
                "symbol": f.index,
                "minute": np.full(len(f), minute, dtype=np.int32),
                "open": f.open,
                "high": f.high,
                "low": f.low,
                "close": f.close,
                "volume": f.volume,
            }
        )
        for minute, f in enumerate(frames, start=1)
    ]
    return pl.concat(parts).sort("symbol", "minute")


def _peer(bars: pl.DataFrame, reference: pl.DataFrame, minute: int) -> pl.DataFrame:
    """The radar's columns and ranking at `minute`, by polars."""
    close, volume = pl.col("close"), pl.col("volume")
    typical = (pl.col("high") + pl.col("low") + close) / 3
    ago = {n: close.filter(pl.col("minute") <= minute - n).last() for n in (1, 5, 15)}
    radar = (
        bars.group_by("symbol")
        .agg(
            close.last().alias("last"),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            volume.sum(),
            (typical * volume).sum().alias("dollar_volume"),
            pl.len().alias("bars"),
            (minute - pl.col("minute").last()).alias("stale_boundaries"),
            *((close.last() / price - 1).alias(f"roc_{n}") for n, price in ago.items()),
        )
        .join(reference, on="symbol")
        .with_columns(
            (pl.col("last") / pl.col("prev_close") - 1).alias("change"),
            (pl.col("last") / pl.col("open") - 1).alias("change_open"),
            (pl.col("volume") / pl.col("usual")).alias("rel_volume"),
            (pl.col("dollar_volume") / pl.col("volume")).alias("vwap"),
            (pl.col("last") / pl.col("high") - 1).alias("high_distance"),
            ((pl.col("last") - pl.col("low")) / (pl.col("high") - pl.col("low"))).alias("range_position"),
        )
    )
    parts = []
    for term in SCORE_TERMS:
        value = pl.col(term.column)
        low, middle, high = (value.quantile(q, interpolation="lower") for q in (0.25, 0.5, 0.75))
        z = (value - middle) / pl.max_horizontal(high - low, term.floor)
        parts.append((term.weight * (z / (1 + z.abs()))).fill_null(0.0))
    score = (pl.sum_horizontal(parts) * 100 * STEPS_PER_POINT).round() / STEPS_PER_POINT
    ranked = radar.with_columns(score.alias("score")).sort(["score", "symbol"], descending=[True, False])
    return ranked.with_row_index("rank", offset=1)


def run() -> dict[str, str | float]:
    """One result line: milliseconds a boundary, ours and the peer's, medians over several boundaries."""
    universe, reference, frames = _day()
    radar = Radar(universe, reference, BOUNDARIES, session_open=OPEN)
    ours = []
    for f in frames:
        started = perf_counter()
        snapshot = radar.advance(f)
        ours.append((perf_counter() - started) * 1000)

    assert reference.volume_profile is not None
    known = pl.DataFrame(
        {
            "symbol": np.arange(SYMBOLS, dtype=np.int32),
            "prev_close": reference.prev_close,
            "usual": reference.volume_profile[-1],
        }
    )
    bars = _table(frames)
    theirs = []
    for _ in range(5):
        started = perf_counter()
        told = _peer(bars, known, BOUNDARIES)
        theirs.append((perf_counter() - started) * 1000)
    if told["symbol"].to_list() != snapshot.order.tolist():
        raise RuntimeError("radar and peer rank the same boundary differently: the timing would mean nothing")
    ours_ms, theirs_ms = median(ours[BOUNDARIES // 2 :]), median(theirs)
    return {
        "bench": "radar_boundary_10k",
        "ours": round(ours_ms, 3),
        "unit": "ms",
        "peer": f"polars {pl.__version__} group_by",
        "theirs": round(theirs_ms, 3),
        "ratio": round(theirs_ms / ours_ms, 2),
    }


if __name__ == "__main__":
    print(json.dumps(run()))
