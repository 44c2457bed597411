"""Which rows of a bar file are good; the bad ones are kept aside, each with its reason (§5 Data Check)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.domain.instruments import Instrument, instrument_for
from qmworkbench.market.calendars import MarketHours
from qmworkbench.market.findings import DataRefused, Finding, listed, note, quarantine_findings, refusal
from qmworkbench.market.grid import (
    AFTER_CLOSE,
    CLOSED,
    REGULAR,
    Grid,
    Micros,
    Placed,
    alignment,
    distances,
    infer_interval_s,
    micros,
    place,
    slots,
    wider_rows,
)
from qmworkbench.market.schema import COLUMNS, VALUES

DEFAULT_INTERVAL_S: Final = 60
_DAILY_S: Final = 86_400
# More rows off the grid than this share and it is not a grid with faults but no grid at all.
_IRREGULAR_SHARE: Final = 0.2
_PRICES: Final = ("open", "high", "low", "close")
QUARANTINE_SCHEMA: Final = {
    "session": pl.Date,
    "reason": pl.String,
    "symbol": pl.String,
    "ts": pl.Datetime("us", "UTC"),
    **dict.fromkeys(VALUES, pl.Float64),
}


@dataclass(frozen=True, eq=False)
class Sifted:
    """Good rows in order of (symbol, ts) with where they lie, and the bad ones.

    `good` has the columns of the schema, `spread` where known, and session_no (index into the sessions looked
    at), part (see grid.Placed) and slot. `quarantined` has QUARANTINE_SCHEMA: every bad row once, with its
    first reason.
    """

    good: pl.DataFrame
    quarantined: pl.DataFrame
    grid: Grid
    instruments: dict[str, Instrument]
    findings: tuple[Finding, ...]


def sift(rows: pl.DataFrame, sessions: Sequence[MarketHours], file: str, *, interval_s: int | None = None) -> Sifted:
    """Tells good rows from bad. `rows` come from BarSource.read and lie on the trading days of `sessions`.

    `interval_s` None: inferred. Raises DataRefused where the rows together make no sense: two markets, two
    intervals, or no interval at all.
    """
    timeless = rows.clear()
    if rows["ts"].null_count():
        timeless, rows = rows.filter(pl.col("ts").is_null()), rows.filter(pl.col("ts").is_not_null())
    rows, sorted_already = in_order(rows)
    findings: list[Finding] = []
    if not sorted_already:
        message = "the rows were in no order; they were sorted by symbol and time, nothing is lost."
        findings.append(note("unsorted_rows", message, file, rows=rows.height))
    symbols = rows["symbol"].unique().drop_nulls().sort().to_list()
    unnamed = [name for name in symbols if name != name.strip() or not name]
    instruments = {name: instrument_for(name) for name in symbols if name not in unnamed}
    _one_market(instruments, file)

    ts = rows["ts"].to_physical().to_numpy()
    placed = place(ts, sessions)
    bad = rows.select(_is_bad(rows, unnamed)).to_series().to_numpy() | (placed.part == CLOSED)
    grid, notes = _grid(ts, placed, bad, rows["symbol"], sessions, interval_s, file)
    findings += notes
    slot, exact = slots(ts, placed, sessions, grid)
    off_grid = ~exact & (placed.part != AFTER_CLOSE) & ~bad
    _refuse_irregular(off_grid & (placed.part == REGULAR), ~bad & (placed.part == REGULAR), grid, file)

    rows = rows.with_columns(
        session_no=pl.Series(placed.session),
        part=pl.Series(placed.part),
        slot=pl.Series(slot),
        off_grid=pl.Series(off_grid),
    )
    refused, good = rows.clear(), rows
    if bad.any() or off_grid.any():
        mask = pl.Series(bad | off_grid)
        refused, good = rows.filter(mask), rows.filter(~mask)
    good, repeated = _without_repetitions(good)
    refused = refused.with_columns(reason=_reason(refused, unnamed))
    timeless = timeless.with_columns(off_grid=pl.lit(False)).with_columns(reason=_reason(timeless, unnamed))
    quarantined = _kept_aside([refused, *repeated, timeless], sessions)
    findings += quarantine_findings(quarantined, file)
    return Sifted(good.drop("off_grid"), quarantined, grid, instruments, tuple(findings))


def in_order(rows: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """The rows by (symbol, ts), and whether they came in a legal order: that one, or (ts, symbol)."""
    symbol, ts = pl.col("symbol"), pl.col("ts")
    by_symbol = (symbol > symbol.shift()) | ((symbol == symbol.shift()) & (ts >= ts.shift()))
    by_time = (ts > ts.shift()) | ((ts == ts.shift()) & (symbol >= symbol.shift()))
    pairs = rows.lazy().select(by_symbol=by_symbol.slice(1).all(), by_time=by_time.slice(1).all())
    legal = pairs.collect(engine="in-memory").row(0)
    if legal[0]:
        return rows, True
    return rows.sort(*COLUMNS, nulls_last=True), bool(legal[1])


def _one_market(instruments: dict[str, Instrument], file: str) -> None:
    markets: dict[str, list[str]] = {}
    for name, instrument in instruments.items():
        markets.setdefault(instrument.calendar, []).append(name)
    if len(markets) > 1:
        told = "; ".join(f"{market}: {listed(names)}" for market, names in sorted(markets.items()))
        raise DataRefused(
            [refusal("mixed_calendars", f"its symbols trade on {len(markets)} calendars ({told}).", file)]
        )


def _is_bad(rows: pl.DataFrame, unnamed: list[str]) -> pl.Expr:
    """True where a row's own values cannot be right. `_reason` then says which fault it is."""
    opened, high, low, closed, volume = (pl.col(name) for name in VALUES)
    sound = (low > 0) & (low <= high) & opened.is_between(low, high) & closed.is_between(low, high) & (volume >= 0)
    sound &= high.is_finite() & volume.is_finite() & pl.col("symbol").is_not_null() & pl.col("ts").is_not_null()
    if unnamed:
        sound &= ~pl.col("symbol").is_in(unnamed)
    if "spread" in rows.columns:
        sound &= ~(pl.col("spread") < 0).fill_null(False)
    return ~sound.fill_null(False)


def _reason(rows: pl.DataFrame, unnamed: list[str]) -> pl.Expr:
    """The first fault of each bad row, in the order of findings.ROW_FAULTS."""
    opened, high, low, closed, volume = (pl.col(name) for name in VALUES)
    lowest = pl.min_horizontal(*_PRICES)
    crossed = (pl.col("spread") < 0).fill_null(False) if "spread" in rows.columns else pl.lit(False)
    return (
        pl.when(pl.col("symbol").is_null() | pl.col("symbol").is_in(unnamed)).then(pl.lit("missing_symbol"))
        .when(pl.col("ts").is_null()).then(pl.lit("missing_ts"))
        .when(pl.any_horizontal(*(pl.col(name).is_null() for name in VALUES))).then(pl.lit("null_value"))
        .when(~pl.all_horizontal(*(pl.col(name).is_finite() for name in VALUES))).then(pl.lit("not_finite"))
        .when(lowest < 0).then(pl.lit("negative_price"))
        .when(lowest == 0).then(pl.lit("zero_price"))
        .when(high < low).then(pl.lit("high_below_low"))
        .when(~opened.is_between(low, high) | ~closed.is_between(low, high)).then(pl.lit("outside_range"))
        .when(volume < 0).then(pl.lit("negative_volume"))
        .when(crossed).then(pl.lit("crossed_quote"))
        .when(pl.col("off_grid")).then(pl.lit("off_interval"))
        .otherwise(pl.lit("out_of_session"))
    )  # fmt: skip


def _grid(
    ts: Micros,
    placed: Placed,
    bad: npt.NDArray[np.bool_],
    symbol: pl.Series,
    sessions: Sequence[MarketHours],
    interval_s: int | None,
    file: str,
) -> tuple[Grid, list[Finding]]:
    """The grid of the sound bars: as asked for, or as they show it. Refuses bars of two intervals."""
    runs = symbol.rle_id().to_numpy()
    row = None
    if bad.any():
        row = np.flatnonzero(~bad)
        ts, placed, runs = ts[row], Placed(placed.session[row], placed.part[row]), runs[row]
    apart = distances(ts, runs, placed, sessions)
    notes: list[Finding] = []
    if interval_s is None:
        interval_s = infer_interval_s(apart)
    if interval_s is None:
        interval_s, said = _interval_of_lone_bars(ts, placed, sessions)
        notes.append(note("interval_assumed", said, file))
    wider = wider_rows(apart, interval_s)
    if wider:
        named = sorted({f"{symbol[at if row is None else int(row[at])]} ({seconds} s)" for at, seconds in wider})
        message = f"most bars are {interval_s} s long, but not those of {listed(named)}."
        raise DataRefused([refusal("mixed_intervals", message, file)])
    return alignment(ts, placed, sessions, interval_s), notes


def _refuse_irregular(off: npt.NDArray[np.bool_], regular: npt.NDArray[np.bool_], grid: Grid, file: str) -> None:
    missed, bars = int(off.sum()), int(regular.sum())
    if missed > _IRREGULAR_SHARE * bars:
        seconds = grid.interval_s
        message = f"{missed:,} of {bars:,} bars do not lie on a grid of {seconds} s, the commonest distance."
        raise DataRefused([refusal("irregular_interval", message, file, rows=missed)])


def _interval_of_lone_bars(ts: Micros, placed: Placed, sessions: Sequence[MarketHours]) -> tuple[int, str]:
    """No two bars follow each other in a session: daily bars if all open with it, else the default."""
    regular = placed.part == REGULAR
    opens = np.array([micros(hours.opens_at) for hours in sessions], dtype=np.int64)
    if regular.any() and bool((ts[regular] == opens[placed.session[regular]]).all()):
        said = "each symbol has one bar a session, at its open: taken for daily bars, one boundary a session."
        return _DAILY_S, said
    return DEFAULT_INTERVAL_S, f"too few bars to see their interval: {DEFAULT_INTERVAL_S} s is assumed."


def _without_repetitions(good: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """One row per symbol and time. Of equal rows one stays; of rows that contradict each other none does."""
    key = (pl.col("symbol") == pl.col("symbol").shift()) & (pl.col("ts") == pl.col("ts").shift())
    if not good.select(key.any()).item():
        return good, []
    at = ["symbol", "ts"]
    copies = pl.struct(*VALUES).n_unique().over(at)
    good = good.with_columns(conflicting=copies > 1, first=pl.int_range(pl.len()).over(at) == 0)
    conflicting = good.filter("conflicting").with_columns(reason=pl.lit("conflicting_duplicate"))
    repeated = good.filter(~pl.col("conflicting"), ~pl.col("first")).with_columns(reason=pl.lit("duplicate_row"))
    kept = good.filter(~pl.col("conflicting"), pl.col("first"))
    return kept.drop("conflicting", "first"), [conflicting, repeated]


def _kept_aside(parts: Sequence[pl.DataFrame], sessions: Sequence[MarketHours]) -> pl.DataFrame:
    """The rows that were turned away, as QUARANTINE_SCHEMA; a row without a time has no session."""
    days = pl.Series([hours.date for hours in sessions], dtype=pl.Date)
    frames = [
        part.with_columns(
            session=days.gather(part["session_no"]) if "session_no" in part.columns else pl.lit(None, dtype=pl.Date)
        ).select(*QUARANTINE_SCHEMA)
        for part in parts
    ]
    return pl.concat(frames).sort("symbol", "ts", "reason", *VALUES, nulls_last=True)
