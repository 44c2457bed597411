"""Combinations to figures: the kernel's families or the strategy's own expressions, on several threads (§2, FILLS).

Nothing of bars × combinations is ever held: a stretch of combinations shares its symbol's indicator columns, each
thread has room for one combination, and what stays is a row of figures and the equity at session ends.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qmworkbench.research.fills.decisions import whole_lots
from qmworkbench.research.fills.tape import Floats, Terms
from qmworkbench.research.sweeps.grid import Combinations
from qmworkbench.research.sweeps.rule_families import Shared, Values, family_of, free_rows, plans_of
from qmworkbench.research.sweeps.sweep_bars import SweepBars, SymbolBars
from qmworkbench.research.sweeps.sweep_signals import Rule, RuleBook, decided, evaluated
from qmworkbench.strategies.contract import StrategyFault
from qmworkbench.strategies.definition import FlatPolicy, StrategyDefinition
from qmworkbench.strategies.parameters import Value

Table = npt.NDArray[np.float64]

CASH: Final = 100_000.0
POSITION: Final = 25_000.0
SPANS_A_THREAD: Final = 4
SHARED_BYTES: Final = 96_000_000
"""Indicator columns that are held at a time, and as much again where they lie side by side for the kernel."""
_FEW: Final = 2


@dataclass(frozen=True)
class Setting:
    """What a sweep trades with: the costs, the account of each symbol, and what a position may cost.

    An entry buys the whole units that `position` pays for at the deciding close, always from the same sum: results of
    combinations stay comparable, and cash never binds (a combination that would need more fails, saying so).
    `reverse`: an opposite entry turns a position round instead of closing it.
    """

    terms: Terms = field(default_factory=Terms)
    cash: float = CASH
    position: float = POSITION
    reverse: bool = False

    def __post_init__(self) -> None:
        if trouble := self.terms.trouble():
            raise ValueError(": ".join(trouble))
        if not 0 < self.position <= self.cash:
            raise ValueError(
                f"position {self.position:,.2f} of cash {self.cash:,.2f}: give more than 0 and at most the cash"
            )


@dataclass(frozen=True, eq=False)
class Block:
    """What came out for one symbol and a stretch of combinations: rows side by side with them.

    `figures` has sweep_kernel.PLACES columns, `marked` the equity at the symbol's marks; `reasons` says by row why one
    failed: its figures mean nothing then.
    """

    figures: Table
    marked: Table
    reasons: dict[int, str]


class Engine:
    """Runs combinations of one strategy over the symbols of `bars`. Use it as a context: it owns threads."""

    def __init__(
        self, definition: StrategyDefinition, bars: SweepBars, setting: Setting, *, threads: int | None = None
    ) -> None:
        self.definition, self.bars, self.setting = definition, bars, setting
        self.threads = threads or os.cpu_count() or 1
        self.family = None if setting.reverse else family_of(definition)
        self._books = {one.symbol: RuleBook(definition) for one in bars.symbols}
        self._shared = {one.symbol: Shared(one) for one in bars.symbols}
        self._markets = {one.symbol: _market(one, setting) for one in bars.symbols}
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="sweep")

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    @property
    def engine(self) -> str:
        """How rules are evaluated, for the manifest."""
        return f"kernel, {self.family.kernel}" if self.family is not None else "kernel, expressions by rule"

    def run(self, combinations: Combinations) -> dict[str, Block]:
        """The figures of every combination on every symbol."""
        return {one.symbol: self._of(one, combinations) for one in self.bars.symbols}

    def _of(self, bars: SymbolBars, combinations: Combinations) -> Block:
        from qmworkbench.research.sweeps.sweep_kernel import LEAST_CASH, PLACES

        count = len(combinations)
        block = Block(np.full((count, PLACES), np.nan), np.full((count, len(bars.marks)), self.setting.cash), {})
        if self.family is not None:
            for first, last in self._bounded(bars, combinations, 0, count):
                part = Block(block.figures[first:last], block.marked[first:last], {})
                self._by_family(bars, combinations.slice(first, last), part)
        else:
            self._by_rule(bars, combinations, block)
        self._too_short(bars, combinations, block)
        for at in np.flatnonzero(block.figures[:, LEAST_CASH] < -1e-6).tolist():
            short = -block.figures[at, LEAST_CASH]
            block.reasons.setdefault(
                at, f"cash would have bound: {short:,.2f} short after a fill; give more cash or smaller positions"
            )
        return block

    def _too_short(self, bars: SymbolBars, combinations: Combinations, block: Block) -> None:
        there = bars.frame.height
        if self.definition.warmup_bars(_largest(combinations)) + _FEW <= there:
            return  # not even the greediest set, were it allowed, would lack bars
        for at in range(len(combinations)):
            needed = self.definition.warmup_bars(combinations.params(at)) + _FEW
            if needed > there:
                block.reasons[at] = f"too few bars: {there:,}; it takes {needed:,} until the first can be traded"

    # ── the kernel's own families ─────────────────────────────────────────────────────────────────────────────────────

    def _bounded(
        self, bars: SymbolBars, combinations: Combinations, first: int, last: int
    ) -> Iterator[tuple[int, int]]:
        """Stretches of combinations whose shared columns fit into memory, halved until they do."""
        assert self.family is not None
        width = self.family.width(Values(combinations.slice(first, last)))
        if last - first > 1 and width * bars.frame.height > SHARED_BYTES:
            middle = (first + last) // 2
            yield from self._bounded(bars, combinations, first, middle)
            yield from self._bounded(bars, combinations, middle, last)
        else:
            yield first, last

    def _by_family(self, bars: SymbolBars, combinations: Combinations, block: Block) -> None:
        from qmworkbench.research.sweeps import sweep_kernel
        from qmworkbench.research.sweeps.rule_kernels import room_for

        family, shared, values = self.family, self._shared[bars.symbol], Values(combinations)
        assert family is not None
        if sum(column.nbytes for column in shared.columns.values()) > SHARED_BYTES:
            shared.columns.clear()
        arguments = family.arguments(shared, values)
        plans = sweep_kernel.Plans(*plans_of(values, [spec.name for spec in self.definition.parameter_specs]))
        answer = sweep_kernel.Answer(block.figures, block.marked)
        run = getattr(sweep_kernel, family.kernel)
        market, costs = self._markets[bars.symbol], _costs(self.setting, flat=True)
        rooms: SimpleQueue[Any] = SimpleQueue()
        spans = _spans(len(combinations), self.threads * SPANS_A_THREAD)
        for _ in range(min(self.threads, len(spans))):
            rooms.put(room_for(bars.frame.height, len(bars.tape)))

        def work(span: tuple[int, int]) -> None:
            room = rooms.get()
            try:
                run(market, arguments, plans, costs, room, answer, span)
            finally:
                rooms.put(room)

        list(self._pool.map(work, spans))

    # ── any strategy ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _by_rule(self, bars: SymbolBars, combinations: Combinations, block: Block) -> None:
        book = self._books[bars.symbol]
        groups: dict[object, list[int]] = {}
        programs: dict[object, Any] = {}
        for at in range(len(combinations)):
            program, key = book.program(combinations.params(at))
            groups.setdefault(key, []).append(at)
            programs[key] = program
        book.forget()

        def work(key: object) -> None:
            rule = evaluated(programs[key], bars)
            for at in groups[key]:
                self._one(bars, combinations.params(at), rule, block, at)

        list(self._pool.map(work, groups))

    def _one(self, bars: SymbolBars, params: dict[str, Value], rule: Rule, block: Block, at: int) -> None:
        from qmworkbench.research.fills.fill_kernel import events_of, scratch
        from qmworkbench.research.sweeps.rule_kernels import Room
        from qmworkbench.research.sweeps.sweep_kernel import settled

        market = self._markets[bars.symbol]
        try:
            decisions = decided(self.definition, params, bars, rule, market.priced.qty, reverse=self.setting.reverse)
        except StrategyFault as fault:
            block.reasons[at] = f"the strategy failed: {fault.problem}"
            return
        events = events_of(bars.tape, decisions)
        words = np.zeros(2, np.uint64)
        room = Room(words.view(np.int8), words, words.view(np.int8), words, events, scratch(events), np.empty(5))
        flat = self.definition.flat_policy(params) is FlatPolicy.AT_CLOSE
        settled(market, events, _costs(self.setting, flat=flat), room, block.figures[at], block.marked[at])


def quantities(bars: SymbolBars, setting: Setting) -> Floats:
    """The whole lots an entry decided at each close buys."""
    return whole_lots(np.full(len(bars.tape), setting.position), bars.tape.close, bars.lot)


def _market(bars: SymbolBars, setting: Setting) -> Any:
    from qmworkbench.research.fills.equity_path import path_of
    from qmworkbench.research.fills.fill_kernel import rows_of
    from qmworkbench.research.sweeps.rule_kernels import Priced
    from qmworkbench.research.sweeps.sweep_kernel import Market

    priced = Priced(np.ascontiguousarray(bars.tape.close), quantities(bars, setting), bars.tape.tick)
    path = path_of(bars.tape, bars.marks)
    return Market(rows_of(bars.tape), path, priced, bars.history, free_rows(bars), setting.cash)


def _costs(setting: Setting, *, flat: bool) -> Any:
    from qmworkbench.research.fills.fill_walk import Costs

    terms = setting.terms
    return Costs(
        terms.fee_rate,
        terms.fee_per_order,
        terms.fee_per_unit,
        terms.slippage_rate,
        terms.participation,
        flat,
        setting.reverse,
    )


def _largest(combinations: Combinations) -> dict[str, Value]:
    """A set of the largest number each axis has, which need not make sense: what warms up longest."""
    largest = {name: values[-1] for name, values in combinations.distinct.items() if values}
    return {**combinations.base, **largest}


def _spans(count: int, pieces: int) -> Sequence[tuple[int, int]]:
    """`count` places cut into stretches of about equal length."""
    edges = np.linspace(0, count, min(pieces, max(count, 1)) + 1).astype(int).tolist()
    return [(first, last) for first, last in pairwise(edges) if last > first]
