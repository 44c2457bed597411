"""The boundaries of a session: which interval its bars have, and which slot each bar fills (§5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from qmworkbench.market.calendars import MarketHours

Micros = npt.NDArray[np.int64]
SECOND_US: Final = 1_000_000
DAY_S: Final = 86_400
_BLOCK_ROWS: Final = 1 << 20

# A smaller distance than the commonest is the true interval if it is seen this often; below that it is a fault.
_SHARE_OF_TRUE_INTERVAL: Final = 0.05
# Bars at exactly equal wider distances this many times in a row are bars of another interval, not sparse
# trading: sparse trading does that with a probability below one in a million.
_WIDE: Final = ((2, 10), (10, 5))  # (times the interval, distances in a row)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """An aware time as whole microseconds since 1970, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """The inverse of `micros`."""
    return _EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True)
class Grid:
    """How a session is cut into bars `interval_s` long, counted from the open or by the local clock.

    With `clock_aligned` an hourly equity day is 09:30–10:00, 10:00–11:00 …, otherwise 09:30–10:30,
    10:30–11:30 … The first and the last bar may be shorter than the interval. A daily grid has one bar, the
    session.
    """

    interval_s: int
    clock_aligned: bool = False

    def anchor_us(self, hours: MarketHours) -> int:
        """Where slots are counted from: the open, or the clock's last grid point that is not after it."""
        opened = micros(hours.opens_at)
        if not self.clock_aligned:
            return opened
        return opened - (opened - micros(hours.day_starts_at)) % (self.interval_s * SECOND_US)

    def edges_us(self, hours: MarketHours) -> Micros:
        """Open, every boundary between, and close: one more than there are bars."""
        step, opened, closed = self.interval_s * SECOND_US, micros(hours.opens_at), micros(hours.closes_at)
        inner = np.arange(self.anchor_us(hours) + step, closed, step, dtype=np.int64)
        return np.concatenate([[opened], inner, [closed]]).astype(np.int64)

    def fits(self, hours: MarketHours) -> bool:
        """Whether the session's boundaries are equally far apart from the anchor to the close."""
        span = micros(hours.closes_at) - self.anchor_us(hours)
        return span % (self.interval_s * SECOND_US) == 0 or self.boundaries(hours) == 1

    def boundaries(self, hours: MarketHours) -> int:
        """How many regular bars a session has."""
        return len(self.edges_us(hours)) - 1


@dataclass(frozen=True, eq=False)
class Placed:
    """Where rows lie: `session` is an index into the sessions given, -1 before the first.

    `part`: 0 before the open, 1 regular, 2 after the close, 3 while the market is closed altogether.
    """

    session: npt.NDArray[np.int32]
    part: npt.NDArray[np.int8]


PRE_OPEN, REGULAR, AFTER_CLOSE, CLOSED = 0, 1, 2, 3


def place(ts: Micros, sessions: Sequence[MarketHours]) -> Placed:
    """The session and the part of the day each row belongs to; `sessions` ascend and lack none between."""
    columns = [(s.day_starts_at, s.extended_opens_at, s.opens_at, s.closes_at, s.extended_closes_at) for s in sessions]
    starts, pre_opens, opens, closes, ends = (
        np.array([micros(row[k]) for row in columns], dtype=np.int64) for k in range(5)
    )
    session = (np.searchsorted(starts, ts, side="right") - 1).astype(np.int32)
    part = np.full(len(ts), CLOSED, dtype=np.int8)
    part[ts >= pre_opens[session]] = PRE_OPEN
    part[ts >= opens[session]] = REGULAR
    part[ts >= closes[session]] = AFTER_CLOSE
    part[(ts >= ends[session]) | (session < 0)] = CLOSED
    return Placed(session, part)


def slots(
    ts: Micros, placed: Placed, sessions: Sequence[MarketHours], grid: Grid
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """The slot each row fills, and whether its time lies exactly on the grid.

    Slot k of the regular session ends at its boundary k+1; slots before the open are negative, or 0 with part
    PRE_OPEN where the clock's grid point lies before the open.
    """
    step = np.int64(grid.interval_s * SECOND_US)
    anchors = np.array([grid.anchor_us(hours) for hours in sessions], dtype=np.int64)
    opens = np.array([micros(hours.opens_at) for hours in sessions], dtype=np.int64)
    slot, exact = np.empty(len(ts), dtype=np.int32), np.empty(len(ts), dtype=np.bool_)
    for here in _blocks(len(ts)):
        session = placed.session[here]
        slot[here], rest = np.divmod(ts[here] - anchors[session], step)
        exact[here] = rest == 0
        if grid.clock_aligned:
            exact[here] |= ts[here] == opens[session]
    return slot, exact


def _blocks(rows: int) -> Iterator[slice]:
    """So many rows in blocks: what a step leaves by the way is not as long as they are."""
    return (slice(start, start + _BLOCK_ROWS) for start in range(0, rows, _BLOCK_ROWS))


@dataclass(frozen=True, eq=False)
class Distances:
    """Microseconds between a symbol's neighbouring regular bars of one session, the opening bar left out.

    The opening bar is left out because on a clock-aligned grid it is short. `row` is the later bar's row.
    `group` numbers the (symbol, session) runs.
    """

    us: Micros
    row: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]


def distances(
    ts: Micros, symbol_run: npt.NDArray[np.uint32], placed: Placed, sessions: Sequence[MarketHours]
) -> Distances:
    """Distances between bars; rows are in order of symbol and time, `symbol_run` numbers the symbols.

    Where no distance is left without the opening bars, theirs are taken.
    """
    if len(ts) < 2:
        none = np.empty(0, dtype=np.int32)
        return Distances(none.astype(np.int64), none, none)
    opens = np.array([micros(hours.opens_at) for hours in sessions], dtype=np.int64)
    regular = placed.part == REGULAR
    opening = np.empty(len(ts), dtype=np.bool_)
    for here in _blocks(len(ts)):
        opening[here] = ts[here] == opens[placed.session[here]]
    same_run = (symbol_run[1:] == symbol_run[:-1]) & (placed.session[1:] == placed.session[:-1])
    use = same_run & regular[1:] & regular[:-1] & (ts[1:] > ts[:-1])
    if (use & ~opening[:-1]).any():
        use &= ~opening[:-1]
    group = np.cumsum(~same_run, dtype=np.int32)[use]
    row = np.flatnonzero(use).astype(np.int32) + np.int32(1)
    us = np.empty(len(row), dtype=np.int64)
    for here in _blocks(len(row)):
        us[here] = ts[row[here]] - ts[row[here] - 1]
    return Distances(us=us, row=row, group=group)


def infer_interval_s(found: Distances) -> int | None:
    """The smallest distance that is seen in earnest, in seconds; None where no two bars follow each other."""
    counts = np.zeros(DAY_S, dtype=np.int64)
    for here in _blocks(len(found.us)):
        us = found.us[here]
        counts += np.bincount(us[(us % SECOND_US == 0) & (us < DAY_S * SECOND_US)] // SECOND_US, minlength=DAY_S)
    if not counts.any():
        return None
    commonest = int(counts.argmax())
    often = np.flatnonzero(counts[:commonest] >= _SHARE_OF_TRUE_INTERVAL * counts.sum())
    return int(often[0]) if len(often) else commonest


def wider_rows(found: Distances, interval_s: int) -> list[tuple[int, int]]:
    """Runs of bars of a longer interval than the file's: (a row of the run, its interval in seconds)."""
    if not len(found.us):
        return []
    starts = np.flatnonzero(np.r_[True, found.group[1:] != found.group[:-1]])
    least, most = np.minimum.reduceat(found.us, starts), np.maximum.reduceat(found.us, starts)
    count = np.diff(np.r_[starts, len(found.us)])
    step = interval_s * SECOND_US
    wide = np.zeros(len(starts), dtype=bool)
    for times, in_a_row in _WIDE:
        wide |= (least >= times * step) & (count >= in_a_row)
    wide &= least == most
    return [(int(found.row[starts[k]]), int(least[k] // SECOND_US)) for k in np.flatnonzero(wide)]


def alignment(ts: Micros, placed: Placed, sessions: Sequence[MarketHours], interval_s: int) -> Grid:
    """Which of the two grids more of the rows lie on; the one counted from the open where they draw."""
    by_open, by_clock = Grid(interval_s), Grid(interval_s, clock_aligned=True)
    if all(by_open.anchor_us(hours) == by_clock.anchor_us(hours) for hours in sessions):
        return by_open
    regular = placed.part == REGULAR
    rows, where = ts[regular], Placed(placed.session[regular], placed.part[regular])
    hits = [int(slots(rows, where, sessions, grid)[1].sum()) for grid in (by_open, by_clock)]
    return by_clock if hits[1] > hits[0] else by_open
