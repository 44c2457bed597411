"""Good rows become frames, reference and warm-up in vectorised passes, never row by row (§5, DESIGN "Frames")."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.market.calendars import MarketHours
from qmworkbench.market.grid import PRE_OPEN, REGULAR, SECOND_US, Grid, moment
from qmworkbench.market.schema import TS_TYPE, VALUES
from qmworkbench.trading.frames import BarFrame, Floats, Ints, Reference, Universe

# Sorting by counting needs a cell per boundary and symbol; past this many cells per row a real sort is cheaper.
_CELLS_PER_ROW: Final = 16
_Value = TypeVar("_Value", bound=np.generic)
_BPS: Final = 10_000.0
# From its first bar to its last a history session spans at least this share of its boundaries; otherwise it
# is a torn recording and no measure of usual volume.
_FULL_SHARE: Final = 0.5


@dataclass(frozen=True, eq=False)
class Framed:
    """A session's frames, and beside each its rows' quoted spreads in basis points (None: no quotes)."""

    frames: tuple[BarFrame, ...]
    spreads_bps: tuple[Floats, ...] | None


def universe_index(rows: pl.DataFrame, universe: Universe) -> Ints:
    """Each row's place in the universe; rows are in order of symbol."""
    runs = rows["symbol"].rle_id().to_numpy()
    if not len(runs):
        return np.empty(0, dtype=np.int32)
    firsts = np.flatnonzero(np.r_[True, runs[1:] != runs[:-1]])
    named = [universe.index[name] for name in rows["symbol"].gather(firsts).to_list()]
    index: Ints = np.array(named, dtype=np.int32)[runs]
    return index


def frames_of(rows: pl.DataFrame, universe: Universe, grid: Grid, hours: MarketHours) -> Framed:
    """One frame per boundary: those before the open that have rows, then every regular one, empty or not.

    `rows` are one session's, in order of (symbol, ts), with `part` PRE_OPEN or REGULAR and `slot`.
    """
    slot, early = rows["slot"].to_numpy(), rows["part"].to_numpy() == PRE_OPEN
    early_slots, early_number = np.unique(slot[early], return_inverse=True)
    number = slot.astype(np.int64) + len(early_slots)
    number[early] = early_number
    index = universe_index(rows, universe)
    order = _order(number, index, len(universe), len(early_slots) + grid.boundaries(hours))

    columns = [_ordered(rows[name].to_numpy(), order) for name in VALUES]
    index = _ordered(index, order)
    spreads = _ordered(rows["spread"].to_numpy(), order) * _BPS / columns[3] if "spread" in rows.columns else None
    step, anchor = grid.interval_s * SECOND_US, grid.anchor_us(hours)
    closes = [min(moment(anchor + (int(k) + 1) * step), hours.opens_at) for k in early_slots]
    closes += [moment(int(us)) for us in grid.edges_us(hours)[1:]]
    stops = np.cumsum(np.bincount(number, minlength=len(closes))).tolist()
    frames = []
    start = 0
    for k, (as_of, stop) in enumerate(zip(closes, stops, strict=True)):
        opened, high, low, closed, volume = (column[start:stop] for column in columns)
        frames.append(
            BarFrame(as_of, index[start:stop], opened, high, low, closed, volume, extended=k < len(early_slots))
        )
        start = stop
    if spreads is None:
        return Framed(tuple(frames), None)
    return Framed(tuple(frames), tuple(np.split(spreads, stops[:-1])))


def _order(number: npt.NDArray[np.int64], index: Ints, symbols: int, frames: int) -> npt.NDArray[np.int64]:
    """The permutation that puts rows in order of (frame, symbol); each pair occurs once."""
    key = number * symbols + index
    if symbols * frames > _CELLS_PER_ROW * len(key) + 1_000_000:
        return np.argsort(key, kind="stable")
    cells = np.full(symbols * frames, -1, dtype=np.int64)
    cells[key] = np.arange(len(key))
    return cells[cells >= 0]


def _ordered(column: npt.NDArray[_Value], order: npt.NDArray[np.int64]) -> npt.NDArray[_Value]:
    """The column in the new order, contiguous and read-only: frames are shared by everyone who decides."""
    taken = column[order]
    taken.flags.writeable = False
    return taken


def reference_of(
    history: pl.DataFrame, universe: Universe, grid: Grid, windows: Sequence[MarketHours], hours: MarketHours
) -> Reference:
    """What the history sessions say of the one to come.

    `history` holds regular rows in order of (symbol, ts); `windows` are its sessions by session_no, the last
    of them the calendar's previous one. A half-day or a torn session does not count towards usual volume of a
    longer one.
    """
    if history.is_empty():
        return Reference.unknown(universe)
    index = universe_index(history, universe)
    session_no, slot = history["session_no"].to_numpy(), history["slot"].to_numpy()
    closed, volume = history["close"].to_numpy(), history["volume"].to_numpy()

    prev_close = np.full(len(universe), np.nan)
    last_day = session_no == len(windows) - 1
    prev_close[index[last_day]] = closed[last_day]  # rows ascend in time, so each symbol's last one stays

    boundaries = grid.boundaries(hours)
    total = np.zeros((boundaries, len(universe)))
    days = np.zeros(len(universe))
    sessions = 0
    for number, window in enumerate(windows):
        here = session_no == number
        length = grid.boundaries(window)
        span = int(np.ptp(slot[here])) + 1 if here.any() else 0
        if length < boundaries or span < _FULL_SHARE * length:
            continue
        done = np.zeros((length, len(universe)))
        done[slot[here], index[here]] = volume[here]
        total += np.cumsum(done, axis=0)[:boundaries]
        days[np.unique(index[here])] += 1
        sessions += 1
    if not sessions:
        return Reference(prev_close=prev_close, volume_profile=None, history_days=0)
    profile = np.divide(total, days, out=np.full_like(total, np.nan), where=days > 0)
    return Reference(prev_close=prev_close, volume_profile=profile, history_days=sessions)


def warmup_of(history: pl.DataFrame, windows: Sequence[MarketHours], grid: Grid) -> pl.DataFrame:
    """The history's regular bars as strategies anchor on them: symbol, ts, session (date), open … volume.

    `ts` is the start of the bar's interval. It is the bar's own time, but where the open cuts a bar of the
    clock short.
    """
    if history.is_empty():
        session = pl.Series("session", [], dtype=pl.Date)
        return history.select("symbol", "ts", session, *VALUES)
    number = history["session_no"].to_numpy()
    session = pl.Series("session", [window.date for window in windows], dtype=pl.Date).gather(number)
    if grid.clock_aligned:
        anchors = np.array([grid.anchor_us(window) for window in windows], dtype=np.int64)[number]
        starts = anchors + history["slot"].to_numpy().astype(np.int64) * (grid.interval_s * SECOND_US)
        history = history.with_columns(pl.Series("ts", starts).cast(TS_TYPE))
    return history.select("symbol", "ts", session, *VALUES)


def regular(rows: pl.DataFrame) -> pl.DataFrame:
    """Only the rows inside regular hours."""
    return rows.filter(pl.col("part") == REGULAR)


def taken(rows: pl.DataFrame, which: pl.Expr, columns: Sequence[str]) -> pl.DataFrame:
    """These rows of some columns; `rows` is empty afterwards.

    Column by column, each let go of as it is taken: weeks of ten thousand symbols are never held twice.
    """
    mask = rows.select(which).to_series()
    for name in [name for name in rows.columns if name not in columns]:
        rows.drop_in_place(name)
    return pl.DataFrame([rows.drop_in_place(name).filter(mask) for name in columns])
