"""The bars a strategy reads: the session's grid, the anchored frame, the keys its indicators stand on (§5)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

Bools = npt.NDArray[np.bool_]
TS = pl.Datetime("us", "UTC")

RAW_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "ts": TS,
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
}
"""Bars as the bar store keeps them. `ts` is the bar's open time."""

BARS_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "ts": TS,
    "session": pl.Date(),
    "bar": pl.Int32(),
    "bars_left": pl.Int32(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "tick": pl.Float64(),
}
"""Bars as strategies read them, sorted by symbol and ts.

`bar` counts the session's regular boundaries from 0 (a minute in which nobody traded leaves a hole, so
"the first 15 minutes" is `bar < 15`, never the first 15 rows); `bars_left` counts the boundaries the calendar
still holds after this one, known in advance and 0 on the last; `tick` is the symbol's price increment.
"""

KEYS = ("i_index", "i_symbol", "i_row", "i_day", "i_pos")
_TICK_NOISE = 1e-9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BarsFault(ValueError):
    """Bars that no strategy may be run on; the message names what is wrong, where, and what to do."""


class SessionGrid(msgspec.Struct, frozen=True):
    """The regular hours of one session as a grid of boundaries.

    `opens_at` is aware UTC; bar k opens at `opens_at + k * interval_s` and closes one interval later. A half-day has
    fewer `boundaries`; extended hours are outside. On a grid that follows the clock the first bar, and on any grid
    the last, may be cut short by the market's hours: `opens_at` is then the grid point before the opening.
    """

    session: date
    opens_at: datetime
    interval_s: int
    boundaries: int

    def __post_init__(self) -> None:
        if self.opens_at.tzinfo is None:
            raise ValueError(f"session {self.session}: opens_at {self.opens_at} has no time zone; give aware UTC")
        if self.interval_s <= 0 or self.boundaries <= 0:
            raise ValueError(
                f"session {self.session}: interval_s {self.interval_s} and boundaries {self.boundaries} "
                "must be positive"
            )

    @property
    def opens_us(self) -> int:
        """The opening in microseconds since 1970."""
        return (self.opens_at - _EPOCH) // timedelta(microseconds=1)

    @property
    def closes_at(self) -> datetime:
        """The last regular boundary."""
        return self.opens_at + timedelta(seconds=self.interval_s * self.boundaries)

    def bar_of(self, as_of: datetime) -> int:
        """The index of the bar that closed at boundary `as_of`; ValueError if that is no boundary of this session."""
        elapsed_s = (as_of - self.opens_at).total_seconds()
        bar = int(-(-elapsed_s // self.interval_s)) - 1
        cut_short = bar == self.boundaries - 1
        if (elapsed_s % self.interval_s and not cut_short) or not 0 <= bar < self.boundaries:
            raise ValueError(
                f"{as_of.isoformat()} is no boundary of session {self.session}: those lie every {self.interval_s} s "
                f"after {self.opens_at.isoformat()} until {self.closes_at.isoformat()}"
            )
        return bar

    def opened_at(self, bar: int) -> datetime:
        """The open time of bar number `bar`."""
        return self.opens_at + timedelta(seconds=self.interval_s * bar)


def check_tick(symbol: str, tick: float) -> None:
    """Refuse a price increment that cannot be counted exactly: it must be a whole number or one over a whole number."""
    if tick > 0:
        unit = tick if tick >= 1 else 1 / tick
        if abs(unit - round(unit)) <= _TICK_NOISE * unit:
            return
    raise BarsFault(
        f"symbol {symbol}: tick {tick!r} is neither a positive whole number nor one over a whole number; "
        "give the price increment of the instrument, such as 0.01"
    )


def session_bars(raw: pl.DataFrame, grids: Sequence[SessionGrid], ticks: Mapping[str, float]) -> pl.DataFrame:
    """Raw bars placed on the grid of their sessions: what every strategy is given.

    `raw` has RAW_SCHEMA in any row order, `grids` the sessions in date order, `ticks` one increment for each
    symbol. Bars outside all grids (extended hours, other days) are left out; `ts` becomes the grid's. Raises
    BarsFault for missing or mistyped columns, for a bar off its session's grid (a short opening bar is none), two
    bars of one symbol and time, or an unknown tick.
    """
    _check_columns(raw, RAW_SCHEMA)
    _check_order(grids)
    opens = np.array([w.opens_us for w in grids], dtype=np.int64)
    interval = np.array([w.interval_s * 1_000_000 for w in grids], dtype=np.int64)
    boundaries = np.array([w.boundaries for w in grids], dtype=np.int64)
    ts = raw["ts"].to_physical().to_numpy()
    latest = np.searchsorted(opens, ts, side="right") - 1
    at = np.maximum(latest, 0)
    elapsed = ts - opens[at]
    inside = (latest >= 0) & (elapsed < interval[at] * boundaries[at])
    off_grid = inside & (elapsed % interval[at] != 0) & (elapsed >= interval[at])
    if off_grid.any():
        row = raw.row(int(np.flatnonzero(off_grid)[0]), named=True)
        raise BarsFault(
            f"{int(off_grid.sum())} bars lie off the grid of their session, first {row['symbol']} at {row['ts']}; "
            "aggregate them to the session's interval or correct the session's opening time"
        )
    kept = raw.select(list(RAW_SCHEMA)).filter(pl.Series(inside))
    at = at[inside]
    bar = elapsed[inside] // interval[at]
    framed = kept.with_columns(
        pl.Series("ts", opens[at] + bar * interval[at]).cast(TS),
        pl.Series([w.session for w in grids], dtype=pl.Date).gather(at).alias("session"),
        pl.Series("bar", bar.astype(np.int32)),
        pl.Series("bars_left", (boundaries[at] - 1 - bar).astype(np.int32)),
        _tick_column(kept["symbol"], ticks),
    )
    framed = framed.select(list(BARS_SCHEMA))
    if framed.select(_OUT_OF_ORDER.any()).item():
        framed = framed.sort("symbol", "ts")
    check_bars(framed)
    return framed


def check_bars(bars: pl.DataFrame) -> None:
    """Raise BarsFault unless `bars` has BARS_SCHEMA, no missing or non-finite value, and strict symbol, ts order."""
    _check_columns(bars, BARS_SCHEMA)
    bad = ~pl.all_horizontal(pl.col("open", "high", "low", "close", "volume", "tick").is_finite().fill_null(False))
    empty = pl.any_horizontal(pl.col("symbol", "ts", "session", "bar", "bars_left").is_null())
    faulty = bars.filter(bad | empty)
    if len(faulty):
        row = faulty.row(0, named=True)
        raise BarsFault(
            f"{len(faulty)} bars hold a null or a value that is no number, first {row['symbol']} at {row['ts']}; "
            "quarantine them before any strategy sees them"
        )
    unordered = bars.filter(_OUT_OF_ORDER)
    if len(unordered):
        row = unordered.row(0, named=True)
        raise BarsFault(
            f"{len(unordered)} bars are out of order or twice there, first {row['symbol']} at {row['ts']}; "
            "bars are sorted by symbol and ts and each occurs once"
        )


_OUT_OF_ORDER = (pl.col("symbol") < pl.col("symbol").shift(1)) | (
    (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") <= pl.col("ts").shift(1))
)


def prepared(bars: pl.DataFrame) -> pl.DataFrame:
    """`bars` with the keys indicators stand on; returned unchanged if they are there already.

    `i_index` counts rows; `i_symbol` and `i_day` number the runs of rows of one symbol and of one symbol's session;
    `i_row` and `i_pos` count rows within them from 0. Integers known to be sorted make windows several times cheaper
    than names, and a row count is what lets a rolling window tell that it would reach into another symbol.
    """
    if "i_pos" in bars.columns or not len(bars):
        return bars if "i_pos" in bars.columns else bars.with_columns(row_keys(np.empty(0, bool), np.empty(0, bool)))
    starts = (bars["symbol"] != bars["symbol"].shift(1)).fill_null(True).to_numpy()
    turns = (bars["session"] != bars["session"].shift(1)).fill_null(True).to_numpy()
    return bars.with_columns(row_keys(starts, starts | turns))


def row_keys(symbol_starts: Bools, session_starts: Bools) -> list[pl.Series]:
    """The KEYS columns, from the rows at which a symbol and a symbol's session begin; the first row begins both."""
    row = np.arange(len(symbol_starts), dtype=np.int32)
    keys = [pl.Series("i_index", row)]
    for run, position, starts in (("i_symbol", "i_row", symbol_starts), ("i_day", "i_pos", session_starts)):
        first = np.flatnonzero(starts).astype(np.int32)
        number = np.cumsum(starts, dtype=np.uint32)
        offset = row - first[number.astype(np.int64) - 1] if len(row) else row
        keys += [pl.Series(run, number).set_sorted(), pl.Series(position, offset)]
    return keys


def no_scalars(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars of a single row, with that row twice.

    Polars keeps columns of one row as scalars. A scalar it divides by a number; a longer column it multiplies by the
    number's inverse, which may differ in the last bit.
    """
    return pl.DataFrame(bars.rows() * 2, schema=bars.schema, orient="row")


def anchored(bars: pl.DataFrame, sessions: Sequence[date], history_bars: int | None) -> pl.DataFrame:
    """The rows of `bars` a session's signals are computed from.

    `sessions` are the dates the anchor reaches, in order, the session itself last. Of the earlier ones the last
    `history_bars` bars of each symbol are kept, or all of them where `history_bars` is None. A symbol with less
    history keeps what it has.
    """
    reach = bars.filter(pl.col("session").is_in(list(sessions)))
    if history_bars is None or len(sessions) < 2:
        return reach
    is_history = pl.col("session") != sessions[-1]
    # Rows of history left after this one, within the symbol: history comes first, so its count less its position.
    left = is_history.sum().over("symbol") - is_history.cum_sum().over("symbol")
    return reach.filter(~is_history | (left < history_bars))


def last_of_each(bars: pl.DataFrame, count: int) -> pl.DataFrame:
    """The last `count` rows of each symbol."""
    return bars.filter(pl.int_range(pl.len()).reverse().over("symbol") < count) if len(bars) else bars


def positions(symbols: pl.Series, index: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """The universe index of each symbol, all of which `index` knows; one look-up for each run of a symbol."""
    runs = symbols.rle().struct.unnest()
    found = np.array([index[name] for name in runs["value"]], dtype=np.int64)
    return np.repeat(found, runs["len"].to_numpy())


def _tick_column(symbols: pl.Series, ticks: Mapping[str, float]) -> pl.Series:
    names = symbols.unique().sort().to_list()
    missing = [name for name in names if name not in ticks]
    if missing:
        raise BarsFault(
            f"no tick for {', '.join(missing[:5])} ({len(missing)} symbols); give the increment of each instrument"
        )
    for name in names:
        check_tick(name, ticks[name])
    if not names:
        return pl.Series("tick", dtype=pl.Float64)
    values = [float(ticks[name]) for name in names]
    return symbols.replace_strict(names, values, return_dtype=pl.Float64).alias("tick")


def _check_columns(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> None:
    for column, dtype in schema.items():
        if column not in frame.columns:
            raise BarsFault(f"bars have no column {column!r}; expected {', '.join(schema)}")
        if frame.schema[column] != dtype:
            raise BarsFault(f"column {column!r} is {frame.schema[column]}, expected {dtype}; cast it when loading")


def _check_order(grids: Sequence[SessionGrid]) -> None:
    if not grids:
        raise BarsFault("no session grids given; bars are placed on the grid of at least one session")
    for earlier, later in pairwise(grids):
        if later.opens_at < earlier.closes_at or later.session <= earlier.session:
            raise BarsFault(
                f"session {later.session} does not come after {earlier.session}; give the grids in order, "
                "none overlapping"
            )
