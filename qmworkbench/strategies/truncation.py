"""Does a strategy see the future, its neighbours, or more history than it says? Evidence for promotion (§3).

Each check runs the strategy twice on bars that may not make a difference, and names every column that differs.
"""

from collections.abc import Sequence

import polars as pl

from qmworkbench.strategies.bars import SessionGrid, anchored
from qmworkbench.strategies.definition import Anchor, StrategyDefinition
from qmworkbench.strategies.examination import Examination, Finding, Tally, by_symbol, telling_rows, told
from qmworkbench.strategies.one_pass import reached
from qmworkbench.strategies.parameters import Params

__all__ = ["Examination", "Finding", "anchoring", "isolation", "truncation"]


def truncation(definition: StrategyDefinition, bars: pl.DataFrame, params: Params, cuts: int = 24) -> Examination:
    """Remove later bars and look whether anything said before them changes: no column may, intermediate ones included.

    `bars` is what `bars.session_bars` builds, of any number of symbols, each examined by itself. Each is cut after up
    to `cuts` bars: those with an entry, those before, those where another flag changes, and others evenly spread.
    """
    program = definition.program(params)
    tally = Tally("truncation", definition, params, ordered=program.names())
    for symbol, rows in by_symbol(bars):
        whole = told(program, rows)
        if isinstance(whole, str):
            tally.fault(symbol, rows, "", whole, "all bars")
            continue
        for cut in telling_rows(whole, cuts):
            part = told(program, rows.head(cut + 1))
            what = f"bars after {rows['ts'][cut]}"
            if isinstance(part, str):
                tally.fault(symbol, rows.head(cut + 1), part, "", what)
            else:
                tally.compare(part, whole.head(cut + 1), what)
    return tally.examination()


def isolation(definition: StrategyDefinition, bars: pl.DataFrame, params: Params) -> Examination:
    """Run each symbol alone and in company: nothing a strategy says of one may depend on the others."""
    program = definition.program(params)
    tally = Tally("isolation", definition, params, ordered=program.features)
    company = told(program, bars)
    for symbol, rows in by_symbol(bars):
        alone = told(program, rows)
        if isinstance(alone, str) or isinstance(company, str):
            if not _same_fault(alone, company):
                tally.fault(symbol, rows, _as_fault(alone), _as_fault(company), "other symbols")
            continue
        tally.compare(alone, company.filter(pl.col("symbol") == symbol), "other symbols")
    return tally.examination()


def anchoring(
    definition: StrategyDefinition, bars: pl.DataFrame, grids: Sequence[SessionGrid], params: Params
) -> Examination:
    """Load more history than the anchor asks for: nothing said in the last of `grids` may change.

    `bars` hold every session of `grids`. Recursive strategies fail by nature: their anchor is part of what they are.
    """
    program, anchor = definition.program(params), definition.anchor(params)
    tally = Tally("anchor", definition, params, ordered=program.features)
    last = grids[-1].session
    everything = anchored(bars, [grid.session for grid in grids], None)
    declared = anchored(bars, reached(anchor, grids), anchor.bars)
    short, long = (told(program, frame) for frame in (declared, everything))
    for symbol, rows in by_symbol(bars.filter(pl.col("session") == last)):
        if isinstance(short, str) or isinstance(long, str):
            if not _same_fault(short, long):
                tally.fault(symbol, rows, _as_fault(short), _as_fault(long), "more history")
            continue
        mine = (pl.col("symbol") == symbol) & (pl.col("session") == last)
        less, more = short.filter(mine), long.filter(mine)
        if program.features and _is_short(declared, symbol, anchor, last):
            warm = less.select(pl.all_horizontal(pl.col(*program.features).is_not_null())).to_series()
            tally.thin_rows += int((~warm).sum())
            less, more = less.filter(warm), more.filter(warm)
        tally.compare(less, more, "more history")
    return tally.examination()


def _is_short(bars: pl.DataFrame, symbol: str, anchor: Anchor, last: object) -> bool:
    """Whether a symbol has fewer earlier bars than the anchor asks for."""
    before = bars.filter((pl.col("symbol") == symbol) & (pl.col("session") < pl.lit(last)))
    return anchor.bars is not None and before.height < anchor.bars


def _as_fault(answer: pl.DataFrame | str) -> str:
    """The fault, "" for an answer."""
    return answer if isinstance(answer, str) else ""


def _same_fault(one: pl.DataFrame | str, other: pl.DataFrame | str) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one == other
