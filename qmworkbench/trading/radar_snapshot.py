"""One boundary of the Momentum Radar, immutable: columns over the universe, rows, ranking and hash (§9)."""

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.trading.frames import Floats, Universe

# Column -> decimals in a RadarRow. The arrays keep every bit; rows are for people and the journal.
COLUMN_DECIMALS: dict[str, int] = {
    "last": 6,
    "change": 6,
    "change_prev_close": 6,
    "change_open": 6,
    "roc_1": 6,
    "roc_5": 6,
    "roc_15": 6,
    "rel_volume": 6,
    "vwap": 6,
    "vwap_distance": 6,
    "high_distance": 6,
    "range_position": 6,
    "volume": 2,
    "dollar_volume": 2,
    "spread_bps": 4,
    "bars": 0,
    "stale_boundaries": 0,
    "score": 4,
    "rank": 0,
    "rank_change": 0,
}
COLUMNS: tuple[str, ...] = tuple(COLUMN_DECIMALS)
_COUNTS = frozenset(name for name, decimals in COLUMN_DECIMALS.items() if decimals == 0)

# Odd, so that multiplying by it loses nothing modulo 2**64 (the golden ratio's bits).
_FOLD = 0x9E3779B97F4A7C15
_POWERS = np.array([[pow(_FOLD, power, 2**64)] for power in reversed(range(len(COLUMNS)))], dtype=np.uint64)


def _column(name: str) -> property:
    """One column of a snapshot, by name."""
    row = COLUMNS.index(name)

    def column(snapshot: "RadarSnapshot") -> Floats:
        values: Floats = snapshot.values[row]
        return values

    return property(column)


class RadarRow(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol's radar numbers at one boundary, rounded for display and journal; None means unknown.

    Units as in RadarSnapshot. Decimals: prices, fractions and multiples 6, spread and score 4, volumes 2.
    """

    symbol: str
    last: float | None
    change: float | None
    change_prev_close: float | None
    change_open: float | None
    roc_1: float | None
    roc_5: float | None
    roc_15: float | None
    rel_volume: float | None
    vwap: float | None
    vwap_distance: float | None
    high_distance: float | None
    range_position: float | None
    volume: float
    dollar_volume: float
    spread_bps: float | None
    bars: int
    stale_boundaries: int | None
    score: float | None
    rank: int | None
    rank_change: int | None


@dataclass(frozen=True, eq=False)
class RadarSnapshot:
    """The radar at one boundary: read-only float64 arrays over the whole universe, NaN where unknown.

    Changes, rates of change and distances are fractions (0.05 = 5 %). "Regular" means the session's
    regular bars; an extended print moves `last`, `change_prev_close`, `change` and `stale_boundaries` alone.

    - `as_of`: the boundary, aware UTC. `boundary`: regular intervals closed so far (0 before the first).
      `minutes_from_open`, `minutes_to_close`: from `as_of` to the regular session's edges.
    - `last`: latest price of any print. `change_prev_close`: last over the previous session's close.
      `change_open`: latest regular close over the day's first regular open.
      `change`: `change_prev_close`, or `change_open` for a symbol without a previous close.
    - `roc_1`, `roc_5`, `roc_15`: latest regular close over the one 1, 5, 15 boundaries ago (minutes on minute
      bars), a boundary without a trade keeping the price before it; NaN until a price is that old.
    - `volume`, `dollar_volume`: cumulative over regular bars, 0 before the first; the latter is typical price
      (high+low+close)/3 times volume. `rel_volume`: `volume` over what is usual by this boundary.
    - `vwap`: `dollar_volume` over `volume`. `vwap_distance`, `high_distance`: regular close against VWAP and
      the day's high (never positive). `range_position`: 0 at the day's low, 1 at its high, NaN with no range.
    - `spread_bps`: as given from outside. `bars`: regular bars seen. `stale_boundaries`: regular boundaries
      since the last print of any kind.
    - `score`: see trading/radar.py, -100 … 100, NaN for a symbol that has not traded. `rank`: 1 is best, ties
      by symbol. `rank_change`: places gained since the snapshot before (positive = climbed).
    - `order`: universe positions of the ranked symbols, best first.
    - `values`: the columns above as one block, in the order of COLUMNS.
    """

    universe: Universe
    as_of: datetime
    boundary: int
    extended: bool
    minutes_from_open: float
    minutes_to_close: float
    order: npt.NDArray[np.int64]
    values: Floats

    last = _column("last")
    change = _column("change")
    change_prev_close = _column("change_prev_close")
    change_open = _column("change_open")
    roc_1 = _column("roc_1")
    roc_5 = _column("roc_5")
    roc_15 = _column("roc_15")
    rel_volume = _column("rel_volume")
    vwap = _column("vwap")
    vwap_distance = _column("vwap_distance")
    high_distance = _column("high_distance")
    range_position = _column("range_position")
    volume = _column("volume")
    dollar_volume = _column("dollar_volume")
    spread_bps = _column("spread_bps")
    bars = _column("bars")
    stale_boundaries = _column("stale_boundaries")
    score = _column("score")
    rank = _column("rank")
    rank_change = _column("rank_change")

    def __len__(self) -> int:
        return len(self.universe)

    @cached_property
    def content_hash(self) -> str:
        """16 hex digits of SHA-256 over boundary and contents: equal snapshots have equal hashes.

        The columns are folded per symbol into 64 bits before hashing, five times cheaper than hashing them
        all. The fold sees every difference confined to one column of a symbol for certain, others but for
        a chance of 2**-64; it guards against divergence, not against forgery.
        """
        edge = f"{self.as_of.isoformat()}|{self.boundary}|{self.extended}|{len(self.universe)}"
        return hashlib.sha256(edge.encode() + self._folded.tobytes()).hexdigest()[:16]

    @cached_property
    def _folded(self) -> npt.NDArray[np.uint64]:
        return folded(self.values)

    def row(self, symbol: str) -> RadarRow:
        """The numbers of one symbol; KeyError names a symbol that the session does not have."""
        if symbol not in self.universe:
            raise KeyError(f"{symbol!r} is not among the {len(self.universe)} symbols of this session")
        return self._row_at(self.universe.index[symbol])

    def top(self, n: int) -> tuple[RadarRow, ...]:
        """The `n` best ranked symbols, best first; fewer where fewer have traded."""
        return tuple(self._row_at(int(i)) for i in self.order[: max(n, 0)])

    def to_polars(self) -> pl.DataFrame:
        """Every symbol's unrounded numbers with `as_of` and `symbol`, unknowns as nulls, counts as Int32.

        Rows are in universe order. This is what the retention rule persists.
        """
        columns = [pl.Series("symbol", self.universe.symbols, dtype=pl.String)]
        for name, column in zip(COLUMNS, self.values, strict=True):
            series = pl.Series(name, column, dtype=pl.Float64, nan_to_null=True)
            columns.append(series.cast(pl.Int32) if name in _COUNTS else series)
        frame = pl.DataFrame(columns)
        moment = pl.lit(self.as_of, dtype=pl.Datetime("us", "UTC")).alias("as_of")
        return frame.select(moment, pl.all())

    def _row_at(self, position: int) -> RadarRow:
        measured: dict[str, float | int | str | None] = {"symbol": self.universe.symbols[position]}
        for name, value in zip(COLUMNS, self.values[:, position].tolist(), strict=True):
            if math.isnan(value):
                measured[name] = None
            else:
                measured[name] = int(value) if name in _COUNTS else round(value, COLUMN_DECIMALS[name])
        return msgspec.convert(measured, RadarRow)


def folded(values: Floats) -> npt.NDArray[np.uint64]:
    """64 bits for each symbol of one snapshot's block, or of several snapshots' blocks: a polynomial in an odd number
    with the columns as its coefficients, the first at the highest power.
    """
    bits: npt.NDArray[np.uint64] = np.add.reduce(values.view(np.uint64) * _POWERS, axis=-2)
    return bits
