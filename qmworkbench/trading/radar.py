"""The Momentum Radar: the whole universe measured, scored and ranked at each boundary (§5 Data Check, §9)."""

import math
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from qmworkbench.trading.frames import BarFrame, Floats, Ints, Reference, Universe
from qmworkbench.trading.radar_score import STEPS_PER_POINT, best_first, score_steps
from qmworkbench.trading.radar_snapshot import COLUMNS, RadarRow, RadarSnapshot

__all__ = ["Radar", "RadarRow", "RadarSnapshot"]

RING: Final = 16  # the boundary itself and the fifteen before it
BACK: Final = (1, 5, 15)
RATIOS: Final = [COLUMNS.index(name) for name in ("rel_volume", "vwap", "range_position")]
AGAINST_CLOSE: Final = [
    COLUMNS.index(name) for name in ("change_open", "roc_1", "roc_5", "roc_15", "vwap_distance", "high_distance")
]


class Radar:
    """Momentum state of one session, by universe position; `advance` takes each boundary's frame in turn.

    `session_open` (aware) is the regular session's first moment and `bar_interval` the bars' length; the
    session has `regular_boundaries` intervals. A regular frame's boundary number is its distance from
    the open, so boundaries that never arrived count, with prices carried forward, and a feed that starts late
    is not mistaken for the open.
    Extended frames (the US files' 09:29 rows hold the opening cross) tell the price and the gap and nothing
    else: no open, high, low, volume, VWAP or rate of change. `reference` is read as it is given: a
    volume profile shorter than the session leaves `rel_volume` unknown after its end.
    The same frames give the same bits. Raises ValueError for arguments or frames that do not fit.
    """

    def __init__(
        self,
        universe: Universe,
        reference: Reference,
        regular_boundaries: int,
        *,
        session_open: datetime,
        bar_interval: timedelta = timedelta(minutes=1),
    ) -> None:
        _check_session(universe, reference, regular_boundaries, session_open, bar_interval)
        n = len(universe)
        self._universe = universe
        self._session_open = session_open
        self._bar_interval = bar_interval
        self._regular_boundaries = regular_boundaries
        self._prev_close: Floats = np.where(reference.prev_close > 0, reference.prev_close, np.nan)
        self._no_history = np.isnan(self._prev_close)
        self._usual_volume = reference.volume_profile
        self._boundary = 0
        self._as_of: datetime | None = None
        self._last: Floats = np.full(n, np.nan)
        self._close: Floats = np.full(n, np.nan)
        self._low: Floats = np.full(n, np.nan)
        self._bars: Floats = np.zeros(n)
        # What the close is held against: the open, the closes 1, 5 and 15 boundaries ago, VWAP, the high.
        self._bases: Floats = np.full((6, n), np.nan)
        self._open, self._high = self._bases[0], self._bases[5]
        # Above and below the line of relative volume, VWAP, the place in the day's range.
        self._above, self._below = np.zeros((3, n)), np.zeros((3, n))
        self._volume, self._notional = self._above[0], self._above[1]
        self._printed_at: Floats = np.full(n, np.nan)
        self._ring: Floats = np.full((RING, n), np.nan)
        self._prev_rank: Floats = np.full(n, np.nan)

    def advance(self, frame: BarFrame, spread_bps: Floats | None = None) -> RadarSnapshot:
        """Take in one boundary's bars and return the radar as of that boundary.

        `spread_bps`: the latest quoted spreads over the universe where a quote feed gives them, NaN for a
        symbol without one; None: no quotes at all. Frames come in time order, each boundary once; a refused
        frame changes nothing.
        """
        boundary = self._boundary_of(frame)
        self._check_frame(frame, spread_bps)
        if frame.extended:
            self._take_price(frame)
        else:
            self._take_bars(frame, boundary)
        self._as_of = frame.as_of
        return self._measure(frame, spread_bps)

    def _boundary_of(self, frame: BarFrame) -> int:
        """The number of the regular boundary `frame` closes; for an extended frame the latest one."""
        if self._as_of is not None and frame.as_of <= self._as_of:
            raise ValueError(
                f"frame of {frame.as_of} after the frame of {self._as_of}: feed each boundary once, in order"
            )
        if frame.extended:
            return self._boundary
        boundary, rest = divmod(frame.as_of - self._session_open, self._bar_interval)
        if rest or not 1 <= boundary <= self._regular_boundaries:
            raise ValueError(
                f"frame of {frame.as_of} is not one of the {self._regular_boundaries} boundaries of "
                f"{self._bar_interval} after {self._session_open}: mark it extended, or check the hours"
            )
        return boundary

    def _check_frame(self, frame: BarFrame, spread_bps: Floats | None) -> None:
        n, index = len(self._universe), frame.index
        if len(index) and (index[0] < 0 or index[-1] >= n or not bool((index[1:] > index[:-1]).all())):
            raise ValueError(
                f"frame of {frame.as_of}: index must ascend without repeats within 0 … {n - 1}; "
                "build the frame with this session's universe"
            )
        for name, column in (
            ("open", frame.open),
            ("high", frame.high),
            ("low", frame.low),
            ("close", frame.close),
            ("volume", frame.volume),
        ):
            if len(column) != len(index):
                raise ValueError(f"frame of {frame.as_of}: {len(column)} values of {name} for {len(index)} symbols")
            if math.isfinite(np.add.reduce(column)):
                continue  # what is not finite would show in the sum
            finite = np.isfinite(column)
            if not finite.all():
                at = int(np.argmin(finite))
                raise ValueError(
                    f"frame of {frame.as_of}: {name} of {self._universe.symbols[index[at]]} is {column[at]}; "
                    "quarantine the row before it reaches the radar"
                )
        if spread_bps is not None and spread_bps.shape != (n,):
            raise ValueError(f"spread_bps has shape {spread_bps.shape}, the universe has {n} symbols")

    def _take_price(self, frame: BarFrame) -> None:
        self._last[frame.index] = frame.close
        self._printed_at[frame.index] = self._boundary

    def _take_bars(self, frame: BarFrame, boundary: int) -> None:
        for missed in range(max(self._boundary + 1, boundary - RING + 1), boundary):
            self._ring[missed % RING] = self._close
        index: slice | Ints = frame.index if len(frame) < len(self._universe) else slice(None)
        opened = self._open[index]
        self._open[index] = np.where(np.isnan(opened), frame.open, opened)
        self._high[index] = np.fmax(self._high[index], frame.high)
        self._low[index] = np.fmin(self._low[index], frame.low)
        self._volume[index] += frame.volume
        self._notional[index] += (frame.high + frame.low + frame.close) / 3.0 * frame.volume
        self._bars[index] += 1.0
        self._printed_at[index] = boundary
        self._close[index] = frame.close
        self._last[index] = frame.close
        self._ring[boundary % RING] = self._close
        self._boundary = boundary

    def _measure(self, frame: BarFrame, spread_bps: Floats | None) -> RadarSnapshot:
        values = np.empty((len(COLUMNS), len(self._universe)))
        column = dict(zip(COLUMNS, values, strict=True))
        close, boundary, bases, above, below = self._close, self._boundary, self._bases, self._above, self._below
        column["last"][:] = self._last
        _relative(self._last, self._prev_close, column["change_prev_close"])
        usual = self._usual_by_now()
        below[0] = np.nan if usual is None else usual
        below[1] = self._volume
        np.subtract(self._high, self._low, out=below[2])
        np.subtract(close, self._low, out=above[2])
        values[RATIOS] = np.divide(above, positive(below))
        for row, back in enumerate(BACK, start=1):
            bases[row] = self._ring[(boundary - back) % RING]
        bases[4] = column["vwap"]
        values[AGAINST_CLOSE] = np.divide(close, positive(bases)) - 1.0
        np.copyto(column["change"], column["change_prev_close"])
        np.copyto(column["change"], column["change_open"], where=self._no_history)
        column["volume"][:] = self._volume
        column["dollar_volume"][:] = self._notional
        column["spread_bps"][:] = np.nan if spread_bps is None else spread_bps
        column["bars"][:] = self._bars
        np.subtract(float(boundary), self._printed_at, out=column["stale_boundaries"])
        order = self._rank(column)
        values.flags.writeable = False
        return self.snapshot_of(frame, boundary, order, values)

    def snapshot_of(
        self, frame: BarFrame, boundary: int, order: npt.NDArray[np.int64], values: Floats
    ) -> RadarSnapshot:
        """The radar at a frame's boundary, once it is measured and ranked."""
        from_open = frame.as_of - self._session_open
        to_close = self._regular_boundaries * self._bar_interval - from_open
        return RadarSnapshot(
            universe=self._universe,
            as_of=frame.as_of,
            boundary=boundary,
            extended=frame.extended,
            minutes_from_open=from_open / timedelta(minutes=1),
            minutes_to_close=to_close / timedelta(minutes=1),
            order=order,
            values=values,
        )

    def _usual_by_now(self) -> Floats | None:
        """The usual cumulative volume by the present boundary; None where the history does not say."""
        profile = self._usual_volume
        if profile is None or not 1 <= self._boundary <= len(profile):
            return None
        usual: Floats = profile[self._boundary - 1]
        return usual

    def _rank(self, column: dict[str, Floats]) -> npt.NDArray[np.int64]:
        """Fill score, rank and rank_change; return the ranked symbols' positions, best first."""
        priced = ~np.isnan(self._last)
        steps = score_steps(column, priced)
        column["score"][:] = np.where(priced, steps / STEPS_PER_POINT, np.nan)
        order = best_first(steps, np.flatnonzero(priced))
        rank = column["rank"]
        rank.fill(np.nan)
        rank[order] = np.arange(1.0, len(order) + 1.0)
        np.subtract(self._prev_rank, rank, out=column["rank_change"])
        self._prev_rank = rank
        return order


def positive(value: Floats) -> Floats:
    """`value` where it can be divided by, NaN elsewhere: 0/0 is unknown, not a warning."""
    return np.where(value > 0, value, np.nan)


def _relative(value: Floats, base: Floats, out: Floats) -> None:
    """value / base - 1, into `out`."""
    np.divide(value, base, out=out)
    np.subtract(out, 1.0, out=out)


def _check_session(
    universe: Universe,
    reference: Reference,
    regular_boundaries: int,
    session_open: datetime,
    bar_interval: timedelta,
) -> None:
    n = len(universe)
    if reference.prev_close.shape != (n,):
        raise ValueError(
            f"reference.prev_close has shape {reference.prev_close.shape}, the universe has {n} symbols: "
            "build the reference with this session's universe"
        )
    profile = reference.volume_profile
    if profile is not None and (profile.ndim != 2 or profile.shape[1] != n):
        raise ValueError(
            f"reference.volume_profile has shape {profile.shape}, expected (boundaries, {n}): "
            "build the reference with this session's universe"
        )
    if regular_boundaries < 1:
        raise ValueError(f"regular_boundaries is {regular_boundaries}: a session has at least one boundary")
    if session_open.tzinfo is None:
        raise ValueError(f"session_open {session_open} has no time zone: give it in UTC")
    if bar_interval <= timedelta(0):
        raise ValueError(f"bar_interval is {bar_interval}: bars need a positive length")
