"""What is worth knowing of a session's data though no row is wrong: half-days, silences, stops (§5)."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from qmworkbench.market.calendars import MarketHours
from qmworkbench.market.findings import Finding, listed, note
from qmworkbench.market.grid import Grid

if TYPE_CHECKING:
    from qmworkbench.market.session import SessionData

# A symbol has stopped, rather than trades seldom, once it is silent this long and three times as long as ever
# before.
_SILENCE_S: Final = 900
_TIMES_LONGER: Final = 3
# A close-to-open ratio past this is more often a split than news.
_JUMP: Final = 1.8


def stopped_symbols(rows: pl.DataFrame, grid: Grid, hours: MarketHours) -> dict[str, datetime]:
    """Symbols whose bars end well before the market's own last bar, with the open time of their last one.

    `rows` are regular bars of one session in order of (symbol, ts). Symbols with only a handful of bars are
    not judged.
    """
    slot = rows["slot"].to_numpy().astype(np.int64)
    runs = rows["symbol"].rle_id().to_numpy()
    if not len(slot):
        return {}
    starts = np.flatnonzero(np.r_[True, runs[1:] != runs[:-1]])
    ends = np.r_[starts[1:], len(runs)] - 1
    gaps = np.diff(slot, append=0)
    gaps[ends] = 1
    longest = np.maximum.reduceat(gaps, starts)
    silent = slot.max() - slot[ends]
    judged = ends - starts + 1 >= min(10, max(3, grid.boundaries(hours) // 4))
    stopped = judged & (silent >= _long(grid)) & (silent > _TIMES_LONGER * longest)
    last = rows.select("symbol", "ts")[ends[stopped].tolist()]
    return dict(last.iter_rows())


def observe(data: "SessionData", history: Sequence[MarketHours], file: str) -> list[Finding]:
    """Notes about a session that was made: none of them keeps it from trading."""
    return [
        *_contents(data, file),
        *_silences(data, file),
        *_stops(data, file),
        *_history(data, history, file),
        *_jumps(data, file),
    ]


def _long(grid: Grid) -> int:
    return max(2, -(-_SILENCE_S // grid.interval_s))


def _contents(data: "SessionData", file: str) -> list[Finding]:
    early = sum(len(frame) for frame in data.frames if frame.extended)
    message = (
        f"{data.window.date} has {data.bars:,} bars of {data.interval_s} s, "
        f"{early:,} of them before the open; {len(data.universe):,} symbols."
    )
    found = [note("contents", message, file, rows=data.bars)]
    if data.window.half_day:
        closes = f"{data.window.closes_at:%H:%M} UTC"
        count = len(data.boundaries)
        message = f"{data.window.date} is a half-day: it closes at {closes}, after {count} boundaries."
        found.append(note("half_day", message, file))
    if data.after_close.height:
        message = "bars of after hours are legal and not traded; they are left out of the frames."
        found.append(note("after_close", message, file, rows=data.after_close.height))
    if not any(frame.volume.any() for frame in data.regular_frames):
        message = "every volume is zero: relative volume, VWAP and volume limits mean nothing here."
        found.append(note("no_volume", message, file))
    return found


def _silences(data: "SessionData", file: str) -> list[Finding]:
    """Boundaries without a trade: at the end a torn recording, elsewhere an outage or a quiet market."""
    empty = [not len(frame) for frame in data.regular_frames]
    last = len(empty) - empty[::-1].index(False)
    found = []
    if len(empty) - last >= max(2, _SILENCE_S // data.interval_s):
        message = (
            f"the whole file falls silent at {data.boundaries[last - 1]:%H:%M} UTC, "
            f"{len(empty) - last} boundaries before the close."
        )
        remedy = "Check whether the recording was cut off; positions held then see no more prices."
        found.append(note("session_truncated", message, file, remedy=remedy))
    inside = [f"{data.boundaries[k]:%H:%M}" for k in range(last) if empty[k]]
    if inside:
        message = f"{len(inside)} boundaries have no bar of any symbol: {listed(inside)} UTC."
        found.append(note("empty_boundaries", message, file))
    return found


def _stops(data: "SessionData", file: str) -> list[Finding]:
    found = []
    if data.stops:
        named = [f"{symbol} at {at:%H:%M} UTC" for symbol, at in sorted(data.stops.items())]
        message = f"{len(named)} symbols stop in mid-session, the last bar of each opening so: {listed(named, 10)}."
        remedy = "Check for trading halts and delistings; a position in one of them cannot be priced."
        found.append(note("symbol_stops", message, file, sample=named[:10], remedy=remedy))
    traded = np.zeros(len(data.universe), dtype=bool)
    for frame in data.frames:
        traded[frame.index] = True
    absent = [data.universe.symbols[k] for k in np.flatnonzero(~traded)]
    if absent:
        message = f"{len(absent)} symbols of the sessions before have no bar today: {listed(absent, 10)}."
        found.append(note("symbol_absent", message, file, sample=absent[:10]))
    return found


def _history(data: "SessionData", history: Sequence[MarketHours], file: str) -> list[Finding]:
    if not history:
        return []
    held = set(data.warmup["session"].unique().to_list())
    found = []
    if history[-1].date not in held:
        before = history[-1].date
        message = f"the session before, {before}, is not in the file: the change from its close is unknown."
        found.append(note("no_previous_session", message, file))
    if len(held) < len(history):
        message = f"{len(held)} of the {len(history)} sessions asked for as history are there."
        found.append(note("short_history", message, file))
    return found


def _jumps(data: "SessionData", file: str) -> list[Finding]:
    """Symbols that open very far from the last close: news, or a split that the data does not know of."""
    opened = np.full(len(data.universe), np.nan)
    for frame in reversed(data.regular_frames):
        opened[frame.index] = frame.open
    ratio = opened / data.reference.prev_close
    far = np.flatnonzero((ratio > _JUMP) | (ratio < 1 / _JUMP))
    if not len(far):
        return []
    named = [f"{data.universe.symbols[k]} ×{ratio[k]:.3g}" for k in far]
    message = f"{len(named)} symbols open far from their last close: {listed(named, 10)}."
    remedy = "Check for splits: unadjusted prices look like a move to every scan."
    return [note("price_jump", message, file, sample=named[:10], remedy=remedy)]
