"""The Momentum Radar of a session whose frames are all known beforehand: measured at once (§9).

A replay knows the whole session. What the radar makes of it boundary by boundary is made here for all boundaries in one
pass over (boundaries, symbols), with the same operations on the same numbers in the same order: the same bits, held
against the plain radar by a test. Nothing of a later boundary is in an earlier one's numbers.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from qmworkbench.trading.frames import BarFrame, Floats, Reference, Universe
from qmworkbench.trading.radar import AGAINST_CLOSE, BACK, RATIOS, Radar, positive
from qmworkbench.trading.radar_score import STEPS_PER_POINT, best_first, score_steps, steps_by_boundary
from qmworkbench.trading.radar_snapshot import COLUMNS, RadarSnapshot, folded

# Beyond so many numbers a column the blocks are too large to be worth it.
_MOST: Final = 1_000_000
_BARS: Final = ("open", "high", "low", "close", "volume")


class SessionRadar(Radar):
    """As Radar, for the session of these `frames`; given another frame, or quotes, it goes on as Radar from there."""

    def __init__(
        self,
        universe: Universe,
        reference: Reference,
        regular_boundaries: int,
        *,
        session_open: datetime,
        bar_interval: timedelta = timedelta(minutes=1),
        frames: Sequence[BarFrame],
    ) -> None:
        super().__init__(universe, reference, regular_boundaries, session_open=session_open, bar_interval=bar_interval)
        self._frames, self._next = tuple(frames), 0
        self._measured = self._measure_all() if self._is_plain() else []

    def advance(self, frame: BarFrame, spread_bps: Floats | None = None) -> RadarSnapshot:
        """As Radar.advance."""
        at = self._next
        if at < len(self._measured):
            if frame is self._frames[at] and spread_bps is None:
                self._next += 1
                return self._measured[at]
            self._measured = []
            for earlier in self._frames[:at]:
                super().advance(earlier)
        return super().advance(frame, spread_bps)

    def _is_plain(self) -> bool:
        """Whether every regular boundary from the first on has its frame, and nothing in them is odd."""
        frames, n = self._frames, len(self._universe)
        if not frames or len(frames) > self._regular_boundaries or len(frames) * n > _MOST:
            return False
        if any(frame.extended for frame in frames):
            return False
        due = (self._session_open + number * self._bar_interval for number in range(1, len(frames) + 1))
        if any(frame.as_of != at for frame, at in zip(frames, due, strict=False)):
            return False
        rows = [len(frame) for frame in frames]
        columns = {name: np.concatenate([getattr(frame, name) for frame in frames]) for name in ("index", *_BARS)}
        if any(len(column) != sum(rows) or not np.isfinite(column).all() for column in columns.values()):
            return False
        of = np.repeat(np.arange(len(frames)), rows)
        place = of * n + columns["index"]
        return bool((columns["index"] >= 0).all() and (columns["index"] < n).all() and (np.diff(place) > 0).all())

    def _measure_all(self) -> list[RadarSnapshot]:
        bars, n, frames = len(self._frames), len(self._universe), self._frames
        at = np.repeat(np.arange(bars), [len(frame) for frame in frames])
        index = np.concatenate([frame.index for frame in frames])
        bar: dict[str, Floats] = {}
        for name in _BARS:
            bar[name] = np.full((bars, n), np.nan)
            bar[name][at, index] = np.concatenate([getattr(frame, name) for frame in frames])
        values = self._columns(bar)
        orders = _ranked(values)
        values.flags.writeable = False
        bits = folded(values)
        return [
            self._snapshot(frame, number, orders[number - 1], values[number - 1], bits[number - 1])
            for number, frame in enumerate(frames, start=1)
        ]

    def _columns(self, bar: dict[str, Floats]) -> Floats:
        """Everything but score and ranks, of shape (boundaries, columns, symbols)."""
        here = ~np.isnan(bar["close"])
        bars, n = here.shape
        values = np.full((bars, len(COLUMNS), n), np.nan)
        column = {name: values[:, row] for row, name in enumerate(COLUMNS)}
        numbers = np.arange(1.0, bars + 1.0)[:, np.newaxis]
        printed_at = np.fmax.accumulate(np.where(here, numbers, np.nan))
        seen = ~np.isnan(printed_at)
        latest = np.where(seen, printed_at, 1.0).astype(np.int64) - 1
        close = np.where(seen, np.take_along_axis(bar["close"], latest, axis=0), np.nan)
        opened = np.where(seen, np.take_along_axis(bar["open"], here.argmax(axis=0)[np.newaxis], axis=0), np.nan)
        high, low = np.fmax.accumulate(bar["high"]), np.fmin.accumulate(bar["low"])
        traded = (bar["high"] + bar["low"] + bar["close"]) / 3.0 * bar["volume"]
        volume = np.add.accumulate(np.where(here, bar["volume"], 0.0))
        notional = np.add.accumulate(np.where(here, traded, 0.0))
        column["last"][:] = close
        column["change_prev_close"][:] = close / self._prev_close - 1.0
        above = np.stack((volume, notional, close - low), axis=1)
        below = np.stack((self._usual(bars), volume, high - low), axis=1)
        values[:, RATIOS] = above / positive(below)
        bases = np.full((bars, 6, n), np.nan)
        for row, back in enumerate(BACK, start=1):
            bases[back:, row] = close[:-back]
        bases[:, 0], bases[:, 4], bases[:, 5] = opened, column["vwap"], high
        values[:, AGAINST_CLOSE] = close[:, np.newaxis] / positive(bases) - 1.0
        column["change"][:] = np.where(self._no_history, column["change_open"], column["change_prev_close"])
        column["volume"][:], column["dollar_volume"][:] = volume, notional
        column["bars"][:] = np.add.accumulate(here.astype(np.float64))
        column["stale_boundaries"][:] = numbers - printed_at
        return values

    def _usual(self, bars: int) -> Floats:
        """The usual cumulative volume by each boundary, NaN where the history does not say."""
        usual = np.full((bars, len(self._universe)), np.nan)
        profile = self._usual_volume
        if profile is not None:
            known = min(bars, len(profile))
            usual[:known] = profile[:known]
        return usual

    def _snapshot(
        self, frame: BarFrame, boundary: int, order: npt.NDArray[np.int64], values: Floats, bits: npt.NDArray[np.uint64]
    ) -> RadarSnapshot:
        snapshot = self.snapshot_of(frame, boundary, order, values)
        snapshot.__dict__["_folded"] = bits  # what it would find itself, one boundary at a time
        return snapshot


def _ranked(values: Floats) -> list[npt.NDArray[np.int64]]:
    """Fill score, rank and rank_change; returns the ranked symbols' positions by boundary, best first."""
    bars, _, n = values.shape
    column = {name: values[:, row] for row, name in enumerate(COLUMNS)}
    priced = ~np.isnan(column["last"])
    steps, whole = steps_by_boundary(column, priced)
    for number in np.flatnonzero(~whole).tolist():
        steps[number] = score_steps({name: rows[number] for name, rows in column.items()}, priced[number])
    column["score"][:] = np.where(priced, steps / STEPS_PER_POINT, np.nan)
    places = np.arange(n)
    orders = [best_first(steps[number], places[priced[number]]) for number in range(bars)]
    for rank, order in zip(column["rank"], orders, strict=True):
        rank[order] = places[: len(order)] + 1.0
    column["rank_change"][1:] = column["rank"][:-1] - column["rank"][1:]
    return orders
