"""The look-ahead examination of a strategy on real bars: four analyses, each naming the column at fault (§3).

A promotion to paper or live demands that all of them were passed, on bars, with parameters and by code that are on
record with their hashes.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Final

import msgspec
import polars as pl

from qmworkbench.research.backtests.period_bars import PeriodBars
from qmworkbench.research.lookahead.next_bar_leak import next_bar_leak
from qmworkbench.research.lookahead.shuffled_future import shuffled_future
from qmworkbench.research.lookahead.strategy_code import code_hash
from qmworkbench.research.lookahead.warm_up import Settling, sized, warm_up
from qmworkbench.strategies.bars import SessionGrid, anchored
from qmworkbench.strategies.contract import FLAGS, LEVELS, LIMITS
from qmworkbench.strategies.definition import LOOKAHEAD_ANALYSES, LookaheadPassed, StrategyDefinition
from qmworkbench.strategies.examination import Examination, Finding, told
from qmworkbench.strategies.one_pass import reached
from qmworkbench.strategies.parameters import Params, Value
from qmworkbench.strategies.truncation import truncation

CUTS: Final = 16
MOST_SYMBOLS: Final = 12
# More sessions than the anchor asks for, so that a growing history can be compared.
HISTORY_BEYOND: Final = 3


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One column at fault: what kind of column it is, the first bar at which it shows, and what was seen there."""

    analysis: str
    column: str
    kind: str
    symbol: str
    ts: datetime
    said: str


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """One of the four. `passed` only where something was compared and nothing found; `findings` causes first."""

    name: str
    passed: bool
    comparisons: int
    rows: int
    findings: tuple[Found, ...]


class Lookahead(msgspec.Struct, frozen=True, kw_only=True):
    """An examination: of what, on what, and what came of it.

    `sessions` are those examined, `bars` their rows, `entries` the entries the strategy decided in them.
    `settling` says how columns change with the history before a session.
    """

    strategy_id: str
    version: str
    params: dict[str, Value]
    params_hash: str
    code_hash: str
    data: str
    data_hash: str
    sessions: tuple[date, ...]
    symbols: tuple[str, ...]
    bars: int
    entries: int
    analyses: tuple[Analysis, ...]
    settling: tuple[Settling, ...]

    @property
    def findings(self) -> tuple[Found, ...]:
        """What was found, in the order of the analyses."""
        return tuple(found for analysis in self.analyses for found in analysis.findings)

    @property
    def passed(self) -> bool:
        """Whether each analysis had something to compare, found nothing, and there were entries to speak of."""
        return self.entries > 0 and all(analysis.passed for analysis in self.analyses)

    def shortcomings(self) -> tuple[str, ...]:
        """Why an examination without findings is no evidence all the same."""
        told = [f"{one.name} had nothing to compare" for one in self.analyses if not one.rows]
        if not self.entries:
            told.append("the strategy decided no entry in these bars")
        return tuple(told)

    def evidence(self) -> LookaheadPassed:
        """What a catalog entry keeps of a passed examination. Raises ValueError for one that was not passed."""
        if not self.passed:
            raise ValueError(f"strategy {self.strategy_id} did not pass; there is no evidence to keep")
        return LookaheadPassed(
            data_hash=self.data_hash,
            params_hash=self.params_hash,
            code_hash=self.code_hash,
            analyses=tuple(one.name for one in self.analyses),
            sessions=len(self.sessions),
            symbols=len(self.symbols),
            entries=self.entries,
        )


def history_sessions(definition: StrategyDefinition, params: Params, boundaries: int) -> int:
    """How many sessions to read before the first one examined."""
    return definition.history_sessions(definition.parameters(params), boundaries) + HISTORY_BEYOND


def lookahead(
    definition: StrategyDefinition,
    bars: PeriodBars,
    params: Params,
    *,
    cuts: int = CUTS,
    most_symbols: int = MOST_SYMBOLS,
) -> Lookahead:
    """Examine a strategy on every session of a period, each computed from its own anchor.

    Of the symbols the `most_symbols` are taken in which it decides most entries, then those with most bars. The last
    session's history grows as far as `bars` reach (read it with `history_sessions`). A strategy that breaks its
    contract on these bars has that for a finding.
    """
    params, grids = definition.parameters(params), session_grids(bars.bars)
    known, sessions, entries = _liveliest(definition, bars, grids, params, most_symbols)
    program = definition.program(params)
    found: dict[str, list[Examination]] = {name: [] for name in LOOKAHEAD_ANALYSES}
    said: list[pl.DataFrame] = []
    settling: tuple[Settling, ...] = ()
    for at, grid in enumerate(grids):
        if grid.session not in sessions:
            continue
        frame = _anchored(definition, known, grids[: at + 1], params)
        for analysis in (truncation, shuffled_future):
            examined = analysis(definition, frame, params, cuts)
            found[examined.check].append(examined)
        whole = told(program, frame)
        if isinstance(whole, pl.DataFrame):
            said.append(whole.filter(pl.col("session") == grid.session))
    history, settling = warm_up(definition, known, grids, params)
    found[history.check].append(history)
    if said:
        found["next-bar leak"].append(next_bar_leak(definition, pl.concat(said), program.names(), params))
    kinds = _Kinds(definition, tuple(program.features))
    return Lookahead(
        strategy_id=definition.strategy_id,
        version=definition.version,
        params=dict(params),
        params_hash=definition.hash(params),
        code_hash=code_hash(definition),
        data=bars.source,
        data_hash=bars.hash,
        sessions=sessions,
        symbols=tuple(known["symbol"].unique().sort()),
        bars=known.filter(pl.col("session").is_in(list(sessions))).height,
        entries=entries,
        analyses=tuple(_analysis(name, looks, kinds, settling) for name, looks in found.items()),
        settling=settling,
    )


def session_grids(bars: pl.DataFrame) -> tuple[SessionGrid, ...]:
    """The sessions of framed bars (BARS_SCHEMA), as their own columns tell them, in order of date."""
    rows = (
        bars.group_by("session")
        .agg(
            pl.col("ts").min().alias("first"),
            pl.col("bar").min().alias("at"),
            pl.col("ts").max().alias("last"),
            pl.col("bar").max().alias("end"),
            (pl.col("bar") + pl.col("bars_left") + 1).first().alias("boundaries"),
        )
        .sort("session")
    )
    steps = [
        (one["last"] - one["first"]) / (one["end"] - one["at"])
        for one in rows.iter_rows(named=True)
        if one["end"] > one["at"]
    ]
    interval = min(steps) if steps else None
    return tuple(
        SessionGrid(
            session=one["session"],
            opens_at=one["first"] - one["at"] * interval if interval is not None else one["first"],
            interval_s=round(interval.total_seconds()) if interval is not None else 60,
            boundaries=one["boundaries"],
        )
        for one in rows.iter_rows(named=True)
    )


def _liveliest(
    definition: StrategyDefinition, bars: PeriodBars, grids: Sequence[SessionGrid], params: Params, most: int
) -> tuple[pl.DataFrame, tuple[date, ...], int]:
    """The bars of the symbols that give most to look at, the sessions examined, and the entries decided in them."""
    there = {grid.session for grid in grids}
    sessions = tuple(day for day in bars.sessions if day in there) or tuple(grid.session for grid in grids[-1:])
    program = definition.program(params)
    counted: list[pl.DataFrame] = []
    for at, grid in enumerate(grids):
        if grid.session in sessions:
            whole = told(program, _anchored(definition, bars.bars, grids[: at + 1], params))
            if isinstance(whole, str):
                continue  # the analyses will say which of its symbols and bars it cannot stand
            counted.append(whole.filter(pl.col("session") == grid.session))
    if not counted:
        names = bars.bars["symbol"].unique().sort().head(most).to_list()
        return bars.bars.filter(pl.col("symbol").is_in(names)), sessions, 0
    ranked = (
        pl.concat([one.select("symbol", "entry_long", "entry_short") for one in counted])
        .group_by("symbol")
        .agg((pl.col("entry_long") | pl.col("entry_short")).sum().alias("entries"), pl.len().alias("bars"))
        .sort("entries", "bars", "symbol", descending=[True, True, False])
        .head(most)
    )
    kept = bars.bars.filter(pl.col("symbol").is_in(ranked["symbol"].to_list()))
    return kept, sessions, int(ranked["entries"].sum())


def _anchored(
    definition: StrategyDefinition, bars: pl.DataFrame, grids: Sequence[SessionGrid], params: Params
) -> pl.DataFrame:
    anchor = definition.anchor(params)
    return anchored(bars, reached(anchor, grids), anchor.bars)


class _Kinds:
    """What a column is, by its name."""

    def __init__(self, definition: StrategyDefinition, features: Sequence[str]) -> None:
        self._features = frozenset(features)

    def of(self, column: str) -> str:
        """Flag, level, limit, feature, indicator, step, or the strategy itself where it raised."""
        if column in FLAGS:
            return "flag"
        if column in (*LEVELS, *LIMITS, "masked"):
            return "exit plan"
        if column in self._features:
            return "feature"
        if column == "fault":
            return "the strategy itself"
        return "indicator" if column.startswith("i_") else "step"


def _analysis(name: str, looks: Sequence[Examination], kinds: _Kinds, settling: Sequence[Settling]) -> Analysis:
    rows = sum(look.rows for look in looks)
    findings = tuple(_found(name, looks, kinds, settling))
    return Analysis(
        name=name,
        passed=rows > 0 and not findings,
        comparisons=sum(look.comparisons for look in looks),
        rows=rows,
        findings=findings,
    )


def _found(name: str, looks: Sequence[Examination], kinds: _Kinds, settling: Sequence[Settling]) -> Iterator[Found]:
    """The first finding of each column over all sessions, in the order of causes."""
    seen: set[str] = set()
    for finding in (one for look in looks for one in look.findings):
        if finding.column not in seen:
            seen.add(finding.column)
            yield Found(
                analysis=name,
                column=finding.column,
                kind=kinds.of(finding.column),
                symbol=finding.symbol,
                ts=finding.ts,
                said=_sentence(name, finding, settling),
            )


def _sentence(name: str, finding: Finding, settling: Sequence[Settling]) -> str:
    if name == "next-bar leak":
        return f"knows {finding.bars}: {finding.after}, {finding.before}"
    if name == "recursive warm-up":
        size = sized(finding, settling)
        changes = f"; with the history it changes {size}" if size else ""
        return f"says {finding.before} from {finding.bars}, and {finding.after} from the longest there is{changes}"
    return f"says {finding.before}, and with {finding.bars} {finding.after}"
