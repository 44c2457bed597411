"""A whole session's signals in one pass, handed out by boundary: what a replay and research use (DESIGN "Numbers")."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from qmworkbench.strategies.bars import SessionGrid, anchored, positions, prepared, session_bars
from qmworkbench.strategies.batch import joined, no_answers, taken
from qmworkbench.strategies.contract import Answers, StrategyFault, answers, signalled
from qmworkbench.strategies.definition import Anchor, StrategyDefinition, StrategyInstance
from qmworkbench.strategies.frames import ClosedBars, SessionSource, last_rows, shared_columns
from qmworkbench.strategies.parameters import Params
from qmworkbench.strategies.rules import Rules
from qmworkbench.strategies.session_store import Floats, Index

# Up to this many bars a session is computed for every symbol at once; above it, for symbols as they come to be owned.
WHOLE_SESSION_BARS: Final = 400_000


class SessionSignals(SessionSource):
    """The one-pass way: each strategy sees the whole session once, and answers are handed out by boundary.

    `bars` are the session's raw bars (bars.RAW_SCHEMA), the same that are appended frame by frame; a boundary whose
    frame differs from them is refused. Otherwise as `SessionSource`. Should a strategy break its contract on the whole
    session, its instances are computed anew at each boundary from the bars until then, as the incremental way does:
    a fault appears at the same boundary in both.
    """

    def __init__(
        self,
        instances: Sequence[StrategyInstance],
        *,
        symbols: Sequence[str],
        ticks: Floats,
        grids: Sequence[SessionGrid],
        bars: pl.DataFrame,
        history: pl.DataFrame | None = None,
        definitions: Mapping[str, StrategyDefinition] | None = None,
        whole_session_bars: int = WHOLE_SESSION_BARS,
    ) -> None:
        super().__init__(instances, symbols=symbols, ticks=ticks, grids=grids, history=history, definitions=definitions)
        today = session_bars(self._known(bars), grids[-1:], self.ticks)
        self._bars = today if self._history is None else pl.concat([self._history, today]).sort("symbol", "ts")
        self._whole = today.height <= whole_session_bars
        self._offsets = np.searchsorted(positions(self._bars["symbol"], self._index), np.arange(len(self.symbols) + 1))
        self._expected = _by_boundary(today, self._index)
        self._current: Index = np.empty(0, dtype=np.int64)
        self._passes: dict[str, _Pass | None] = {}
        self._frames: dict[Anchor, pl.DataFrame] = {}

    def _take_in(self, bar: int, frame: ClosedBars) -> None:
        index, close = self._expected.get(bar, (self._current[:0], np.empty(0)))
        if not (np.array_equal(index, frame.index) and np.array_equal(close, frame.close)):
            raise ValueError(
                f"the frame of {frame.as_of.isoformat()} does not hold the bars these signals were computed from; "
                "give both the same bars, or use SignalEngine"
            )
        self._current = index

    def _trading(self, index: Index) -> Index:
        return index[np.isin(index, self._current)]

    def _answers(self, rules: Rules, index: Index) -> tuple[Floats, Answers]:
        if rules.key not in self._passes:
            self._passes[rules.key] = _Pass(len(self.symbols), self.grid)
        done = self._passes[rules.key]
        if done is not None:
            try:
                self._compute(rules, done, index)
                return done.at(self.bar, index)
            except StrategyFault:
                self._passes[rules.key] = None
        return self._until_now(rules, index)

    def _compute(self, rules: Rules, done: "_Pass", index: Index) -> None:
        """Pass over the session for those of `index` that were not yet, or for all symbols at once."""
        missing = index[~done.known[index]]
        if not len(missing):
            return
        if self._whole:
            if rules.anchor not in self._frames:
                self._frames[rules.anchor] = self._anchored(rules.anchor, self._bars)
            table = signalled(rules.program, self._frames[rules.anchor])
            self._frames[rules.anchor] = table.select(shared_columns(table))
            missing = np.arange(len(self.symbols), dtype=np.int64)
        else:
            table = signalled(rules.program, self._anchored(rules.anchor, self._of(missing)))
        rows = table.filter(pl.col("session") == self.grid.session)
        of = positions(rows["symbol"], self._index)
        done.add(missing, of, rows["bar"].to_numpy(), rows["close"].to_numpy(), answers(rules.program, rows))

    def _until_now(self, rules: Rules, index: Index) -> tuple[Floats, Answers]:
        """The answers from the bars until the current boundary alone, computed as the incremental way computes them."""
        so_far = (pl.col("session") < self.grid.session) | (pl.col("bar") <= self.bar)
        frame = self._anchored(rules.anchor, self._of(index).filter(so_far))
        return last_rows(
            rules, frame, np.append(np.flatnonzero(np.diff(frame["i_symbol"].to_numpy())), frame.height - 1)
        )

    def _of(self, index: Index) -> pl.DataFrame:
        """The bars of the symbols at ascending `index`, a slice for each."""
        first, rows = self._offsets[index], np.diff(self._offsets)[index]
        return pl.concat(
            [self._bars.slice(a, n) for a, n in zip(first.tolist(), rows.tolist(), strict=True)], rechunk=True
        )

    def _anchored(self, anchor: Anchor, bars: pl.DataFrame) -> pl.DataFrame:
        return prepared(anchored(bars, reached(anchor, self.grids), anchor.bars))


class _Pass:
    """The answers of one strategy for the symbols passed over so far, found again by boundary and symbol."""

    def __init__(self, symbols: int, grid: SessionGrid) -> None:
        self.known = np.zeros(symbols, dtype=np.bool_)
        self._chunk = np.full(symbols, -1, dtype=np.int64)
        self._row = np.full((grid.boundaries, symbols), -1, dtype=np.int32)
        self._chunks: list[tuple[Floats, Answers]] = []

    def add(self, index: Index, of: Index, bar: Index, close: Floats, answered: Answers) -> None:
        """Answers for every bar of the symbols at `index`: row r is of symbol `of[r]` and bar `bar[r]`."""
        self._row[bar, of] = np.arange(len(of), dtype=np.int32)
        self._chunk[index] = len(self._chunks)
        self._chunks.append((close, answered))
        self.known[index] = True

    def at(self, bar: int, index: Index) -> tuple[Floats, Answers]:
        """Closes and answers of the symbols at `index`, at least one, each of which has a bar there."""
        chunks = self._chunk[index]
        order, closes, parts = [], [], []
        for chunk in np.unique(chunks).tolist():
            here = np.flatnonzero(chunks == chunk)
            rows = self._row[bar, index[here]]
            close, answered = self._chunks[chunk]
            order.append(here)
            closes.append(close[rows])
            parts.append(taken(answered, rows.tolist()))
        back = np.argsort(np.concatenate(order))
        return np.concatenate(closes)[back], parts[0] if len(parts) == 1 else taken(joined(parts), back.tolist())


def period_signals(
    definition: StrategyDefinition, bars: pl.DataFrame, grids: Sequence[SessionGrid], params: Params
) -> pl.DataFrame:
    """The signals of many sessions, each computed from its own anchor as a live session computes them.

    `bars` is what `session_bars` made of raw bars and `grids`. Returns contract.SIGNAL_SCHEMA and features for every
    bar of `bars`, sorted by symbol and ts. Sessions at the start of `grids` have less history than the anchor asks
    for; see `SignalSource.short_history`. Raises StrategyFault.
    """
    program, anchor = definition.program(params), definition.anchor(params)
    by_session = {key[0]: rows for key, rows in bars.partition_by("session", as_dict=True).items()}
    keys = [bars.select("symbol", "ts").clear()]
    told = [no_answers(program.features)]
    for at, grid in enumerate(grids):
        days = reached(anchor, grids[: at + 1])
        reach = [by_session[day] for day in days if day in by_session]
        if grid.session not in by_session:
            continue
        frame = reach[0] if len(reach) == 1 else anchored(pl.concat(reach).sort("symbol", "ts"), days, anchor.bars)
        rows = signalled(program, prepared(frame)).filter(pl.col("session") == grid.session)
        keys.append(rows.select("symbol", "ts"))
        told.append(answers(program, rows))
    names = pl.concat(keys)
    return joined(told).frame(names["symbol"], names["ts"]).sort("symbol", "ts")


def reached(anchor: Anchor, grids: Sequence[SessionGrid]) -> list[date]:
    """The sessions the last of `grids` is computed from: itself last, before it as many as the anchor asks for."""
    reach = anchor.reach(grids[-1].boundaries)
    return [grid.session for grid in grids[max(0, len(grids) - 1 - reach) :]]


def _by_boundary(bars: pl.DataFrame, index: Mapping[str, int]) -> dict[int, tuple[Index, Floats]]:
    """For each boundary the universe indices that traded, ascending, and their closes."""
    bar = bars["bar"].to_numpy()
    order = np.argsort(bar, kind="stable")  # rows come by symbol, and stay so within a boundary
    of, bar, close = positions(bars["symbol"], index)[order], bar[order], bars["close"].to_numpy()[order]
    first = np.flatnonzero(np.diff(bar, prepend=-1))
    last = [*first[1:], len(bar)] if len(first) else []
    return {int(bar[a]): (of[a:b], close[a:b]) for a, b in zip(first, last, strict=True)}
