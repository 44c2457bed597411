"""The bars a sweep runs over, one symbol at a time: judged, cut from their history, made ready for the kernel (§2).

A symbol whose bars no simulation may be run on (values that are no numbers, prices that never change, an unadjusted
split) is not dropped: it stays as a failed symbol with its reason, and every result says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.research.fills.tape import Ints, Tape
from qmworkbench.strategies.bars import BARS_SCHEMA, BarsFault, prepared

if TYPE_CHECKING:
    from qmworkbench.research.backtests.period_bars import PeriodBars

Stamps = npt.NDArray[np.int64]

SESSIONS_A_YEAR: Final = 252
MARKS: Final = 520
"""Times at most at which equity is handed out: two years of sessions, ten of weeks."""
_DAY_US: Final = 86_400_000_000
_SPLITS: Final = (2.0, 3.0, 4.0, 5.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0)
_NEAR: Final = 0.03
_PRICES: Final = ("open", "high", "low", "close")


@dataclass(frozen=True, eq=False)
class SymbolBars:
    """One symbol: `frame` is prepared (history in front, `history` rows of it), `tape` the rows after it.

    `marks` are the tape's rows at which equity is handed out: session ends, or bars where there is one session, fewer
    where there are more than MARKS; `mark_us` their times. `lot` is the step of quantities.
    """

    symbol: str
    frame: pl.DataFrame
    history: int
    tape: Tape
    marks: Ints
    mark_us: Stamps
    lot: float = 1.0


@dataclass(frozen=True, eq=False)
class SweepBars:
    """What a sweep runs over. `failed` tells why the symbols in it cannot be run.

    `bars_a_year` and `marks_a_year` annualise; `hash` is over the values of all bars, failed symbols among them.
    """

    symbols: tuple[SymbolBars, ...]
    failed: Mapping[str, str]
    bars_a_year: float
    marks_a_year: float
    hash: str
    source: str
    first_us: int
    last_us: int
    rows: int

    @property
    def names(self) -> tuple[str, ...]:
        """Every symbol, in alphabetical order."""
        return tuple(sorted([one.symbol for one in self.symbols] + list(self.failed)))


def sweep_bars(
    bars: "PeriodBars | pl.DataFrame", *, bars_a_year: float | None = None, as_printed: bool = False
) -> SweepBars:
    """Bars for a sweep, from a period or from a frame of strategies.bars.BARS_SCHEMA (all of which is traded).

    `bars_a_year`: what annualises, by default 252 sessions of as many boundaries as the longest has. `as_printed`
    takes jumps that fit a split as they are. Raises BarsFault where no symbol can be run.
    """
    from qmworkbench.research.backtests.period_bars import bars_hash

    if isinstance(bars, pl.DataFrame):
        frame, first_us, source, known = bars, None, "frame", None
        lots: dict[str, float] = {}
        missing = [name for name, kind in BARS_SCHEMA.items() if bars.schema.get(name) != kind]
        if missing:
            raise BarsFault(
                f"bars have no column {', '.join(missing)} of the type agreed; build them with "
                "strategies.bars.session_bars or research.period_bars.read_period"
            )
    else:
        frame, first_us, source, known = bars.bars, bars.first_us, bars.source, bars.hash
        lots = {name: float(one.lot_size) for name, one in bars.instruments.items()}
    if frame.is_empty():
        raise BarsFault("there are no bars to sweep over; choose another period or other symbols")
    one_session = frame["session"].n_unique() == 1
    times, every = _mark_times(frame, first_us, one_session=one_session)
    found: list[SymbolBars] = []
    failed: dict[str, str] = {}
    for (name, *_), own in frame.partition_by("symbol", as_dict=True, maintain_order=True).items():
        symbol = str(name)
        problem = fault_of(own, as_printed=as_printed)
        history = 0 if first_us is None else int((own["ts"].to_physical() < first_us).sum())
        if problem is None and own.height - history < 3:
            problem = f"{own.height - history} bars in the period; at least 3 are needed for one trade"
        if problem is not None:
            failed[symbol] = problem
        else:
            found.append(_symbol_bars(own, history, times, lots.get(symbol, 1.0), one_session=one_session))
    if not found:
        raise BarsFault(
            "no symbol can be swept: " + "; ".join(f"{name}: {why}" for name, why in list(failed.items())[:5])
        )
    ts = frame["ts"].to_physical()
    a_year = bars_a_year if bars_a_year is not None else _bars_a_year(frame, one_session=one_session)
    return SweepBars(
        symbols=tuple(sorted(found, key=lambda one: one.symbol)),
        failed=dict(sorted(failed.items())),
        bars_a_year=a_year,
        marks_a_year=(a_year if one_session else float(SESSIONS_A_YEAR)) / every,
        hash=known if known is not None else bars_hash(frame),
        source=source,
        first_us=int(ts.min()),  # type: ignore[arg-type]
        last_us=int(ts.max()),  # type: ignore[arg-type]
        rows=frame.height,
    )


def fault_of(own: pl.DataFrame, *, as_printed: bool = False) -> str | None:
    """Why one symbol's bars cannot be simulated, in words; None where they can."""
    values = pl.col(*_PRICES, "volume")
    bad = own.filter(~pl.all_horizontal(values.is_finite().fill_null(False)))
    if bad.height:
        return f"{bad.height} bars hold a null or a value that is no number, first at {bad['ts'][0]}"
    bad = own.filter(
        (pl.min_horizontal(*_PRICES) <= 0)
        | (pl.col("volume") < 0)
        | (pl.col("low") > pl.min_horizontal("open", "close"))
        | (pl.col("high") < pl.max_horizontal("open", "close"))
    )
    if bad.height:
        return f"{bad.height} bars are impossible (low ≤ open, close ≤ high, all above zero), first at {bad['ts'][0]}"
    ts = own["ts"].to_physical().to_numpy()
    if (np.diff(ts) <= 0).any():
        return "bars are out of order or twice there"
    close = own["close"].to_numpy()
    if own.height > 1 and own["high"].max() == own["low"].min():
        return f"the price never changes: {close[0]} in all {own.height} bars"
    return None if as_printed else _split_of(own)


def _split_of(own: pl.DataFrame) -> str | None:
    """The first overnight jump of the prices that fits a split and no market move, in words."""
    turns = np.flatnonzero(own["session"].to_numpy()[1:] != own["session"].to_numpy()[:-1]) + 1
    if not len(turns) and own.height > 1:  # one long session of days
        turns = np.flatnonzero(np.diff(own["ts"].to_physical().to_numpy()) >= _DAY_US // 2) + 1
    before, after = own["close"].to_numpy()[turns - 1], own["open"].to_numpy()[turns]
    ratio = np.maximum(before / after, after / before)
    for split in _SPLITS:
        hits = np.flatnonzero(np.abs(ratio / split - 1) <= _NEAR)
        if len(hits):
            at = int(turns[hits[0]])
            return (
                f"unadjusted split? The price went from {before[hits[0]]} to {after[hits[0]]} at {own['ts'][at]}; "
                "adjust the prices, or take them as printed"
            )
    return None


def _symbol_bars(own: pl.DataFrame, history: int, times: Stamps, lot: float, *, one_session: bool) -> SymbolBars:
    traded = own[history:]
    session = traded["session"].to_physical().to_numpy()
    turns = session[1:] != session[:-1]
    ends = np.append(turns, traded["bars_left"][-1] == 0)
    values: dict[str, Any] = {
        name: np.ascontiguousarray(traded[name].to_numpy(), np.float64) for name in (*_PRICES, "volume")
    }
    bar = traded["bar"].to_numpy()
    tape = Tape(
        symbol=traded["symbol"][0],
        ts_us=traded["ts"].to_physical().to_numpy(),
        **values,
        day=np.concatenate([[0], np.cumsum(turns)]).astype(np.int32),
        bar=(bar - bar[0] if one_session else bar).astype(np.int32),
        ends=ends,
        tick=float(traded["tick"][0]),
    )
    when = tape.ts_us if one_session else session.astype(np.int64) * _DAY_US
    marks = np.flatnonzero(np.append(np.isin(when[:-1], times) & (when[1:] > when[:-1]), True))
    return SymbolBars(tape.symbol, prepared(own.rechunk()), history, tape, marks.astype(np.int64), when[marks], lot)


def _mark_times(frame: pl.DataFrame, first_us: int | None, *, one_session: bool) -> tuple[Stamps, int]:
    """When equity is handed out, MARKS times at most, and every how manieth session (or bar) that is."""
    traded = frame if first_us is None else frame.filter(pl.col("ts").to_physical() >= first_us)
    column = traded["ts" if one_session else "session"].unique().sort().to_physical().to_numpy().astype(np.int64)
    times = column if one_session else column * _DAY_US
    every = max(1, -(-len(times) // MARKS))
    return times[::-1][::every][::-1], every


def _bars_a_year(frame: pl.DataFrame, *, one_session: bool) -> float:
    """252 sessions of as many boundaries as the longest has; days are a session each."""
    if one_session and frame.height > 1:
        ts = frame.filter(pl.col("symbol") == frame["symbol"][0])["ts"].to_physical().to_numpy()
        if len(ts) > 1 and np.median(np.diff(ts)) >= _DAY_US // 2:
            return float(SESSIONS_A_YEAR)
    boundaries = int((frame["bar"] + frame["bars_left"]).max()) + 1  # type: ignore[arg-type]
    return float(SESSIONS_A_YEAR * boundaries)
