"""The session's bars as they come in, and anchored frames of the few symbols strategies own (DESIGN "Frames")."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.strategies.bars import KEYS, TS, SessionGrid, positions, row_keys
from qmworkbench.strategies.definition import Anchor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]
_PX: Final = ("open", "high", "low", "close", "volume")
_EPOCH: Final = date(1970, 1, 1).toordinal()
_FIRST_SLOTS: Final = 16
_HUGE: Final = 1e100  # products of prices and volumes stay finite below


class SessionStore:
    """Every bar of the session by boundary and universe index, and by symbol for those that were ever asked for.

    Appending a boundary is one write per price into a row as wide as the universe, whoever owns what. The first
    time a symbol is asked for, its history and its bars so far are copied into a column of its own, which grows from
    then on: building a frame costs owned symbols × bars, independent of the universe.

    `ordinary` says whether all of them are finite and far from where floats end: only then does row by row arithmetic
    need no care for infinities.

    `symbols` is the universe in order, `ticks` its price increments, `grids` the sessions in order with the current
    one last, `history` what `session_bars` made of the earlier ones (or None).
    """

    def __init__(
        self,
        symbols: Sequence[str],
        ticks: Floats,
        grids: Sequence[SessionGrid],
        history: pl.DataFrame | None,
        anchors: Sequence[Anchor],
    ) -> None:
        self.grid = grids[-1]
        self.bar = -1
        self._names, self._ticks = pl.Series("symbol", symbols, dtype=pl.String), ticks
        self._sessions = np.array([g.session.toordinal() - _EPOCH for g in grids], dtype=np.int32)
        self._opens = np.array([g.opens_us for g in grids], dtype=np.int64)
        self._steps = np.array([g.interval_s * 1_000_000 for g in grids], dtype=np.int64)
        self._last_bars = np.array([g.boundaries - 1 for g in grids], dtype=np.int32)
        self._anchors = {anchor: at for at, anchor in enumerate(dict.fromkeys(anchors))}
        self._read_history(history)
        self.ordinary = _is_ordinary(self._old_px)
        shape = (self.grid.boundaries, len(symbols))
        self._dense, self._traded = np.empty((shape[0], len(_PX), shape[1])), np.zeros(shape, dtype=np.bool_)
        self._slot: Index = np.full(len(symbols), -1, dtype=np.int64)
        self._used = 0
        longest = int(np.diff(self._offsets).max(initial=0))
        self._allot(_FIRST_SLOTS, longest + self.grid.boundaries)

    def append(self, bar: int, index: Ints, columns: Sequence[Floats]) -> None:
        """The bars of boundary `bar`: ascending universe indices, and open, high, low, close, volume beside them."""
        self.bar = bar
        self.ordinary = self.ordinary and all(_is_ordinary(values) for values in columns)
        for at, values in enumerate(columns):
            self._dense[bar, at, index] = values
        self._traded[bar, index] = True
        slots = self._slot[index]
        owned = slots >= 0
        slots = slots[owned]
        if len(slots):
            rows = self._length[slots]
            self._px[:, slots, rows] = [values[owned] for values in columns]
            self._bar[slots, rows] = bar
            self._day[slots, rows] = len(self._opens) - 1
            self._length[slots] += 1

    def trading(self, index: Index) -> Index:
        """Those of `index` that have a bar at the current boundary."""
        return index[self._traded[self.bar, index]] if self.bar >= 0 else index[:0]

    @property
    def room(self) -> tuple[int, int]:
        """How many symbols, and rows of each, there is room for; grows with the symbols asked for."""
        return self._bar.shape[0], self._bar.shape[1]

    def rows(self, index: Index, anchor: Anchor) -> tuple[Index, Index, Index]:
        """Of the symbols at ascending `index`: its slot for good, and its newest bar's row since the anchor and since
        the session's start, both from 0."""
        self._own(index)
        slots = self._slot[index]
        newest = self._length[slots] - 1
        return slots, newest - self._start[self._anchors[anchor], slots], newest - self._past[slots]

    def newest(self, index: Index) -> dict[str, npt.NDArray[Any]]:
        """Prices, volume, tick, bar and bars_left of the current boundary's bars of the symbols at `index`."""
        found = dict(zip(_PX, self._dense[self.bar][:, index], strict=True))
        left = self.grid.boundaries - 1 - self.bar
        counts = {
            name: np.full(len(index), count, np.int32) for name, count in (("bar", self.bar), ("bars_left", left))
        }
        return {**found, "tick": self._ticks[index], **counts}

    def frame(
        self, names: Sequence[str], index: Index, anchor: Anchor, *, newest: bool = True
    ) -> tuple[pl.DataFrame, Index]:
        """The anchored frame of the symbols at ascending `index`, and the row of each one's last bar.

        It holds the columns asked for, of BARS_SCHEMA and the keys of `bars.prepared`; without the `newest` bar of
        each symbol where that is to be left out.
        """
        self._own(index)
        slots = self._slot[index]
        start = self._start[self._anchors[anchor], slots]
        lengths = self._length[slots] - start - (0 if newest else 1)
        ends = np.cumsum(lengths)
        begins = ends - lengths
        flat = np.repeat(slots * self._bar.shape[1] + start - begins, lengths) + np.arange(lengths.sum())
        rows = _Rows(np.repeat(index, lengths), self._bar.ravel()[flat], self._day.ravel()[flat])
        keys: dict[str, pl.Series] = {}
        if not set(KEYS).isdisjoint(names):
            starts = np.zeros(len(flat), dtype=np.bool_)
            starts[begins] = True
            turns = starts.copy()
            turns[1:] |= rows.day[1:] != rows.day[:-1]
            keys = {key.name: key for key in row_keys(starts, turns)}
        columns = []
        for name in names:
            if name in _PX:
                columns.append(pl.Series(name, self._px[_PX.index(name)].ravel()[flat]))
            else:
                columns.append(keys[name] if name in keys else self._column(name, rows))
        return pl.DataFrame(columns), ends - 1

    def _column(self, name: str, rows: "_Rows") -> pl.Series:
        """A column that follows from symbol, session and bar number."""
        if name == "symbol":
            return self._names.gather(rows.symbol)
        if name == "tick":
            return pl.Series(name, self._ticks[rows.symbol])
        if name == "bar":
            return pl.Series(name, rows.bar)
        if name == "bars_left":
            return pl.Series(name, self._last_bars[rows.day] - rows.bar)
        if name == "session":
            return pl.Series(name, self._sessions[rows.day]).cast(pl.Date)
        return pl.Series(name, self._opens[rows.day] + self._steps[rows.day] * rows.bar).cast(TS)

    def _read_history(self, history: pl.DataFrame | None) -> None:
        """Earlier bars as arrays, rows of one symbol between two offsets."""
        width = len(self._names)
        if history is None:
            self._offsets = np.zeros(width + 1, dtype=np.int64)
            self._old_px, self._old_bar = np.empty((len(_PX), 0)), np.empty(0, dtype=np.int32)
            self._old_day = np.empty(0, dtype=np.int32)
            return
        known = history.filter(pl.col("symbol").is_in(self._names.implode()))
        of = positions(known["symbol"], {name: at for at, name in enumerate(self._names)})
        self._offsets = np.searchsorted(of, np.arange(width + 1))
        self._old_px = np.stack([known[name].to_numpy() for name in _PX])
        self._old_bar = known["bar"].to_numpy()
        self._old_day = np.searchsorted(self._sessions, known["session"].to_physical().to_numpy()).astype(np.int32)

    def _allot(self, slots: int, capacity: int) -> None:
        self._px = np.empty((len(_PX), slots, capacity))
        self._bar = np.empty((slots, capacity), dtype=np.int32)
        self._day = np.empty((slots, capacity), dtype=np.int32)
        self._length, self._past = np.zeros(slots, dtype=np.int64), np.zeros(slots, dtype=np.int64)
        self._start = np.zeros((len(self._anchors), slots), dtype=np.int64)

    def _own(self, index: Index) -> None:
        """Give each symbol that has none yet a column of its own."""
        new = index[self._slot[index] < 0]
        if not len(new):
            return
        needed, (slots, capacity) = self._used + len(new), self._bar.shape
        if needed > slots:
            px, bar, day, start = self._px, self._bar, self._day, self._start
            length, past = self._length, self._past
            self._allot(max(needed, 2 * slots), capacity)
            self._px[:, :slots], self._bar[:slots], self._day[:slots] = px, bar, day
            self._length[:slots], self._past[:slots], self._start[:, :slots] = length, past, start
        for symbol in new.tolist():
            self._copy_in(symbol, self._used)
            self._slot[symbol] = self._used
            self._used += 1

    def _copy_in(self, symbol: int, slot: int) -> None:
        """The history of a symbol, then its bars of the session so far; and where each anchor starts in them."""
        first, last = self._offsets[symbol], self._offsets[symbol + 1]
        past = int(last - first)
        bars = np.flatnonzero(self._traded[: self.bar + 1, symbol])
        end = past + len(bars)
        self._px[:, slot, :past] = self._old_px[:, first:last]
        self._px[:, slot, past:end] = self._dense[bars, :, symbol].T
        self._bar[slot, :past], self._bar[slot, past:end] = self._old_bar[first:last], bars
        self._day[slot, :past], self._day[slot, past:end] = self._old_day[first:last], len(self._opens) - 1
        self._length[slot], self._past[slot] = end, past
        for anchor, at in self._anchors.items():
            oldest = len(self._opens) - 1 - anchor.reach(self.grid.boundaries)
            within = int(np.searchsorted(self._day[slot, :past], oldest))
            self._start[at, slot] = within if anchor.bars is None else max(within, past - anchor.bars)


def _is_ordinary(values: Floats) -> bool:
    return bool(np.abs(values).max(initial=0.0) < _HUGE)


class _Rows:
    """Universe index, bar number and session position of each row of a frame."""

    def __init__(self, symbol: Index, bar: Ints, day: Ints) -> None:
        self.symbol, self.bar, self.day = symbol, bar, day
