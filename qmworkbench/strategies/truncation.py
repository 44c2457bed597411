"""Does a strategy see the future, its neighbours, or more history than it says? Evidence for promotion (§3).

Each check runs the strategy twice on bars that may not make a difference, and names every column that differs.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np
import polars as pl

from qmworkbench.strategies.bars import KEYS, SessionGrid, anchored, prepared
from qmworkbench.strategies.contract import FLAGS, LEVELS, LIMITS, StrategyFault, answers, signalled
from qmworkbench.strategies.definition import Anchor, Program, StrategyDefinition
from qmworkbench.strategies.one_pass import reached
from qmworkbench.strategies.parameters import Params

# Exits first: cleaning and masking make entries follow from them.
OUTCOME = ("exit_long", "exit_short", "entry_long", "entry_short", *LEVELS, *LIMITS, "masked")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A column whose value at a bar changed when only other bars did.

    `before` is the value from the smaller set of bars, `after` from the larger one; `bars` says what made the
    difference. A strategy that broke its contract on one of the two has the fault in place of a column.
    """

    column: str
    symbol: str
    ts: datetime
    before: str
    after: str
    bars: str


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What a check looked at and found. `findings` has the first difference of each column, causes before effects.

    `thin_rows`: rows of symbols with less history than the strategy asks for, where only the longer history could
    answer; no fault of the strategy's.
    """

    check: str
    strategy_id: str
    params_hash: str
    symbols: int
    comparisons: int
    rows: int
    findings: tuple[Finding, ...]
    thin_rows: int = 0

    @property
    def clean(self) -> bool:
        """Whether something was compared and nothing differed."""
        return self.rows > 0 and not self.findings


def truncation(definition: StrategyDefinition, bars: pl.DataFrame, params: Params, cuts: int = 24) -> Examination:
    """Remove later bars and look whether anything said before them changes: no column may, intermediate ones included.

    `bars` is what `bars.session_bars` builds, of any number of symbols, each examined by itself. Each is cut after up
    to `cuts` bars: those with an entry, those before, those where another flag changes, and others evenly spread.
    """
    program = definition.program(params)
    tally = _Tally("truncation", definition, params, ordered=program.names())
    for symbol, rows in _by_symbol(bars):
        whole = _told(program, rows)
        if isinstance(whole, str):
            tally.fault(symbol, rows, "", whole, "all bars")
            continue
        for cut in _cuts(whole, cuts):
            part = _told(program, rows.head(cut + 1))
            what = f"bars after {rows['ts'][cut]}"
            if isinstance(part, str):
                tally.fault(symbol, rows.head(cut + 1), part, "", what)
            else:
                tally.compare(part, whole.head(cut + 1), what)
    return tally.examination()


def isolation(definition: StrategyDefinition, bars: pl.DataFrame, params: Params) -> Examination:
    """Run each symbol alone and in company: nothing a strategy says of one may depend on the others."""
    program = definition.program(params)
    tally = _Tally("isolation", definition, params, ordered=program.features)
    company = _told(program, bars)
    for symbol, rows in _by_symbol(bars):
        alone = _told(program, rows)
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
    tally = _Tally("anchor", definition, params, ordered=program.features)
    last = grids[-1].session
    everything = anchored(bars, [grid.session for grid in grids], None)
    declared = anchored(bars, reached(anchor, grids), anchor.bars)
    short, long = (_told(program, frame) for frame in (declared, everything))
    for symbol, rows in _by_symbol(bars.filter(pl.col("session") == last)):
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


def _by_symbol(bars: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(str(key[0]), rows) for key, rows in bars.partition_by("symbol", as_dict=True).items()]


def _told(program: Program, bars: pl.DataFrame) -> pl.DataFrame | str:
    """Every column the strategy computes for `bars`, intermediate ones included, or the fault it raises."""
    try:
        table = signalled(program, prepared(bars))
        outcome = answers(program, table).frame(table["symbol"], table["ts"])
    except StrategyFault as fault:
        return fault.problem
    own = [name for name in table.columns if name not in OUTCOME]
    return table.select(own).hstack(outcome.select(OUTCOME))


def _as_fault(told: pl.DataFrame | str) -> str:
    """The fault, "" for an answer."""
    return told if isinstance(told, str) else ""


def _same_fault(one: pl.DataFrame | str, other: pl.DataFrame | str) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one == other


def _cuts(told: pl.DataFrame, most: int) -> list[int]:
    """Rows to cut after: the telling ones first, then evenly spread, never the last."""
    enters = (told["entry_long"] | told["entry_short"]).to_numpy()
    flags = told.select(FLAGS).to_numpy()
    turns = np.zeros(len(told), dtype=np.bool_)
    turns[1:] = (flags[1:] != flags[:-1]).any(axis=1)
    spread = np.linspace(0, max(len(told) - 2, 0), num=max(most // 2, 2)).astype(int)
    wanted = [*np.flatnonzero(enters)[: most // 4], *(np.flatnonzero(enters)[: most // 8] - 1), *spread]
    room = max(most - len(set(wanted)), 0)
    turning = np.flatnonzero(turns)
    wanted += list(turning[:: max(len(turning) // room, 1)][:room]) if room else []
    return sorted({int(cut) for cut in wanted if 0 <= cut < len(told) - 1})


class _Tally:
    """Differences found so far, the first of each column."""

    def __init__(self, check: str, definition: StrategyDefinition, params: Params, ordered: Sequence[str]) -> None:
        self.thin_rows = 0
        self._check, self._definition, self._params = check, definition, params
        causes = [name for name in ordered if name not in OUTCOME]
        self._order = {name: at for at, name in enumerate((*causes, *OUTCOME))}
        self._findings: dict[str, Finding] = {}
        self._symbols: set[str] = set()
        self._comparisons = self._rows = 0

    def compare(self, before: pl.DataFrame, after: pl.DataFrame, what: str) -> None:
        """Note the columns in which the two differ."""
        self._comparisons += 1
        self._rows += len(before)
        self._symbols.update(before["symbol"].unique())
        for name in self._order:
            if name in self._findings or name not in before.columns or name in KEYS:
                continue
            differs = before[name].ne_missing(after[name])
            if differs.any():
                row = int(differs.arg_true()[0])
                self._findings[name] = Finding(
                    column=name,
                    symbol=before["symbol"][row],
                    ts=before["ts"][row],
                    before=str(before[name][row]),
                    after=str(after[name][row]),
                    bars=what,
                )

    def fault(self, symbol: str, bars: pl.DataFrame, before: str, after: str, what: str) -> None:
        """Note that the strategy broke its contract on one of two sets of bars."""
        self._comparisons += 1
        self._rows += len(bars)
        self._symbols.add(symbol)
        finding = Finding(
            column="fault",
            symbol=symbol,
            ts=bars["ts"][-1],
            before=before or "no fault",
            after=after or "no fault",
            bars=what,
        )
        self._findings.setdefault("fault", finding)

    def examination(self) -> Examination:
        """What was looked at and found."""
        order = {**self._order, "fault": -1}
        return Examination(
            check=self._check,
            strategy_id=self._definition.strategy_id,
            params_hash=self._definition.hash(self._params),
            symbols=len(self._symbols),
            comparisons=self._comparisons,
            rows=self._rows,
            findings=tuple(sorted(self._findings.values(), key=lambda finding: order[finding.column])),
            thin_rows=self.thin_rows,
        )
