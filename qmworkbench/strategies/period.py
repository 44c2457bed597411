"""Signals of a whole period in one pass, handed out by session and boundary: what a long replay uses (§9).

Every session is computed from its own anchor, as a live session is: its bars and those its strategies look back to are
laid out anew for it, so that indicators begin where they would have begun that day. Some sessions are computed at a
time, when the first of them is asked for.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from qmworkbench.strategies.bars import BARS_SCHEMA, SessionGrid, check_tick, row_keys, session_bars
from qmworkbench.strategies.batch import Told
from qmworkbench.strategies.contract import Answers, StrategyFault, answers, signalled
from qmworkbench.strategies.definition import Anchor, StrategyDefinition, StrategyInstance
from qmworkbench.strategies.frames import ClosedBars, SignalSource, shared_columns
from qmworkbench.strategies.one_pass import SessionSignals
from qmworkbench.strategies.rules import RuleBook, Rules
from qmworkbench.strategies.session_store import Floats, Index, Ints

# About so many rows are computed at a time: enough for the work to outweigh its preparation, and small in memory.
ROWS_AT_A_TIME: Final = 250_000
_COMPARED: Final = ("close", "volume")


class PeriodDiffers(ValueError):
    """A session that is not the one the period was computed for; the message says in what. Compute it by itself."""


class PeriodSignals:
    """The signals of many sessions, each the same bit for bit as `SessionSignals` computes them.

    `instances` are those of every session. `bars`: raw regular bars (bars.RAW_SCHEMA) of all sessions of `grids`, in
    any order and in one price basis. `grids`: the sessions in date order, those that are history alone first. `ticks`:
    the increment of each symbol. `history_sessions`: how many sessions before it a session is given (the
    configuration's data.history_days), None for as many as its strategies ask for.
    Raises ParameterError, ValueError or BarsFault for what makes no sense.
    """

    def __init__(
        self,
        instances: Sequence[StrategyInstance],
        *,
        bars: pl.DataFrame,
        grids: Sequence[SessionGrid],
        ticks: Mapping[str, float],
        history_sessions: int | None = None,
        definitions: Mapping[str, StrategyDefinition] | None = None,
        rows_at_a_time: int = ROWS_AT_A_TIME,
    ) -> None:
        self._book, self._definitions = RuleBook(instances, definitions), definitions
        self._grids, self._ticks, self._raw = tuple(grids), dict(ticks), bars
        for symbol, tick in self._ticks.items():
            check_tick(symbol, tick)
        self._at = {grid.session: at for at, grid in enumerate(self._grids)}
        self._history = len(self._grids) if history_sessions is None else history_sessions
        self._laid = _LaidOut(session_bars(bars, self._grids, self._ticks), self._grids)
        self._rows_at_a_time = rows_at_a_time
        self._block = range(0)
        self._own = self._laid.own_rows(self._block)
        self._answers: dict[str, Answers | None] = {}

    @property
    def instances(self) -> tuple[StrategyInstance, ...]:
        """The instances of every session."""
        return self._book.instances

    def session(
        self,
        day: date,
        symbols: Sequence[str],
        *,
        grids: Sequence[SessionGrid] | None = None,
        ticks: Floats | None = None,
        history: pl.DataFrame | None = None,
    ) -> SignalSource:
        """The signals of the session of `day` for its universe, `symbols` in alphabetical order: append its frames in
        turn and ask.

        `grids`, `ticks` and `history` (in order of symbol and time) are what the session itself was loaded with, as
        `SessionSource` takes them, where it is to be made sure that they are the period's. Raises PeriodDiffers if
        they are not, and for a day or a symbol the period does not know.
        """
        at = self._at.get(day)
        unknown = [symbol for symbol in symbols if symbol not in self._ticks]
        if at is None or unknown:
            raise PeriodDiffers(f"the period has no {day if at is None else ', '.join(unknown[:5])}")
        before = range(max(0, at - self._history), at)
        if grids is not None:
            before = self._same_reach(at, grids)
        if ticks is not None and ticks.tolist() != [self._ticks[symbol] for symbol in symbols]:
            raise PeriodDiffers(f"the price increments of {day} differ from the period's")
        if history is not None:
            rows = self._laid.rows(before, symbols)
            if not all(np.array_equal(history[name].to_numpy(), self._laid.column(name)[rows]) for name in _COMPARED):
                raise PeriodDiffers(f"the history of {day} differs from the period's bars")
        return self._handed_out(at, symbols, before)

    def _same_reach(self, at: int, grids: Sequence[SessionGrid]) -> range:
        """The sessions before `at` that a session of these grids knows; PeriodDiffers if its signals would differ."""
        given, boundaries = len(grids) - 1, grids[-1].boundaries
        if tuple(grids) != self._grids[max(0, at - given) : at + 1]:
            raise PeriodDiffers(f"the sessions before {grids[-1].session} are not those of the period")
        reach = max((anchor.reach(boundaries) for anchor in self._book.anchors), default=0)
        if given != self._history and min(given, reach) != min(self._history, at, reach):
            raise PeriodDiffers(f"{grids[-1].session} is given {given} sessions of history, the period {self._history}")
        return range(at - given, at)

    def _handed_out(self, at: int, symbols: Sequence[str], before: range) -> SignalSource:
        if at not in self._block:
            self._compute_from(at)
        answered = {key: told for key, told in self._answers.items() if told is not None}
        if len(answered) < len(self._answers):  # a strategy broke its contract somewhere in the block
            return self._by_itself(at, symbols, before)
        rows = self._laid.session(self._own, at - self._block.start)
        return _PeriodSession(self._book, symbols, self._grids[at], len(before), rows, answered)

    def _by_itself(self, at: int, symbols: Sequence[str], before: range) -> SignalSource:
        """The session computed alone: there a fault finds its boundary and its run."""
        grid, ts = self._grids[at], pl.col("ts")
        start = self._grids[before.start].opens_at if before else grid.opens_at
        return SessionSignals(
            self._book.instances,
            symbols=symbols,
            ticks=np.array([self._ticks[symbol] for symbol in symbols]),
            grids=self._grids[before.start : at + 1],
            bars=self._raw.filter(ts.is_between(grid.opens_at, grid.closes_at, closed="left")),
            history=self._raw.filter(ts.is_between(start, grid.opens_at, closed="left")) if before else None,
            definitions=self._definitions,
        )

    def _compute_from(self, first: int) -> None:
        """The signals of the session at `first` and of some after it."""
        anchors = tuple(dict.fromkeys(self._book.anchors))
        needed = [self._laid.reaching(anchor, self._history).rows_by_session for anchor in anchors]
        rows = np.cumsum(np.max(needed, axis=0)[first:]) if needed else np.zeros(1)
        self._block = range(first, first + max(1, int(np.searchsorted(rows, self._rows_at_a_time, side="right"))))
        self._own = self._laid.own_rows(self._block)
        self._answers = {}
        for anchor in anchors:
            alike = {key: rules for key, rules in self._book.distinct.items() if rules.anchor == anchor}
            reads = {"close"}.union(*(rules.program.reads() | rules.row_reads for rules in alike.values()))
            frame, at = self._laid.frame(self._laid.reaching(anchor, self._history), self._block, self._own, reads)
            for key, rules in alike.items():
                frame = self._pass(key, rules, frame, at)

    def _pass(self, key: str, rules: Rules, frame: pl.DataFrame, at: Index) -> pl.DataFrame:
        """One strategy over the block; the frame with the indicators it leaves for others of the same anchor."""
        try:
            table = signalled(rules.program, frame)
            rows = table.select([name for name in table.columns if name in rules.row_reads])[at]
            self._answers[key] = answers(rules.program, rows)
        except StrategyFault:
            self._answers[key] = None
            return frame
        return table.select(shared_columns(table))


class _PeriodSession(SignalSource):
    """One session of a period: its rows in order of bar and symbol, a slice for each boundary."""

    def __init__(
        self,
        book: RuleBook,
        symbols: Sequence[str],
        grid: SessionGrid,
        given_sessions: int,
        rows: "_SessionRows",
        answered: Mapping[str, Answers],
    ) -> None:
        super().__init__(book, symbols, grid, given_sessions)
        universe = np.array([self._index.get(name, -1) for name in rows.names], dtype=np.int64)
        self._of, self._close, self._first, self._answered = universe[rows.symbol], rows.close, rows.first, answered
        if (self._of < 0).any():
            name = rows.names[int(rows.symbol[int(np.argmin(self._of))])]
            raise PeriodDiffers(f"{name} traded on {grid.session} and is not in the session's universe")
        self._starts = np.searchsorted(rows.bar, np.arange(grid.boundaries + 1))
        self._span = slice(0, 0)
        self._here = np.zeros(len(self.symbols), dtype=np.bool_)

    def _take_in(self, bar: int, frame: ClosedBars) -> None:
        self._here[self._of[self._span]] = False
        self._span = slice(int(self._starts[bar]), int(self._starts[bar + 1]))
        index = self._of[self._span]
        if not (np.array_equal(index, frame.index) and np.array_equal(self._close[self._span], frame.close)):
            raise ValueError(
                f"the frame of {frame.as_of.isoformat()} does not hold the bars these signals were computed from; "
                "give both the same bars, or use SignalEngine"
            )
        self._here[index] = True

    def _trading(self, index: Index) -> Index:
        here = self._here[index]
        return index if here.all() else index[here]

    def _told(self, rules: Rules, index: Index) -> Told:
        span, lot = self._span, self._answered[rules.key]
        if len(index) == span.stop - span.start:
            rows = range(self._first + span.start, self._first + span.stop)
            return Told(self._names(index), self._close[span], lot, rows)
        at = np.searchsorted(self._of[span], index)
        return Told(self._names(index), self._close[span][at], lot, (at + (self._first + span.start)).tolist())


@dataclass(frozen=True, eq=False)
class _SessionRows:
    """A session's rows in order of bar and symbol: `symbol` counts into `names`; `first` is their place in a block."""

    names: tuple[str, ...]
    symbol: Index
    bar: Ints
    close: Floats
    first: int


@dataclass(frozen=True, eq=False)
class _OwnRows:
    """The rows of a block's sessions, in order of session, bar and symbol: where in the bars, and of what."""

    at: Index
    day: Index
    symbol: Index
    starts: Index


@dataclass(frozen=True, eq=False)
class _Reach:
    """Where in the bars the computation of a symbol's session begins and ends, both of shape (sessions, symbols)."""

    start: Index
    stop: Index

    @cached_property
    def rows_by_session(self) -> Index:
        """How many rows a session takes."""
        rows: Index = (self.stop - self.start).sum(axis=1)
        return rows


class _LaidOut:
    """A period's bars by symbol and session, and the frames of any of its sessions with what they look back to."""

    def __init__(self, bars: pl.DataFrame, grids: Sequence[SessionGrid]) -> None:
        self._bars, self._grids = bars, grids
        runs = bars["symbol"].rle().struct.unnest()
        self.names = tuple(runs["value"].to_list())
        self._symbol = np.repeat(np.arange(len(self.names)), runs["len"].to_numpy())
        sessions = np.array([grid.session for grid in grids], dtype="datetime64[D]")
        self._day = np.searchsorted(sessions, bars["session"].to_numpy())
        self._bar = bars["bar"].to_numpy()
        self._columns: dict[str, Floats] = {}
        width = len(grids)
        edges = np.searchsorted(self._symbol * width + self._day, np.arange(len(self.names) * width + 1))
        shape = (len(self.names), width)
        self._begin, self._end = edges[:-1].reshape(shape).T, edges[1:].reshape(shape).T
        self._reaching: dict[tuple[Anchor, int], _Reach] = {}

    def column(self, name: str) -> Floats:
        """A column of prices or volume as an array."""
        if name not in self._columns:
            self._columns[name] = self._bars[name].to_numpy()
        return self._columns[name]

    def rows(self, days: range, symbols: Sequence[str]) -> Index:
        """The rows of some symbols in some sessions that follow each other, in order of symbol and time."""
        wanted = set(symbols)
        kept = [at for at, name in enumerate(self.names) if name in wanted]
        if not days or not kept:
            return np.empty(0, dtype=np.int64)
        return _ranges(self._begin[days.start, kept], self._end[days.stop - 1, kept])

    def reaching(self, anchor: Anchor, history: int) -> _Reach:
        """How far back each session's computation begins, given at most so many sessions before it."""
        key = (anchor, history)
        if key not in self._reaching:
            day = np.arange(len(self._grids))
            reach = np.array([min(anchor.reach(grid.boundaries), history) for grid in self._grids], dtype=np.int64)
            start = self._begin[np.maximum(day - reach, 0)]
            if anchor.bars is not None:
                start = np.maximum(start, self._begin - anchor.bars)
            traded = self._end > self._begin
            self._reaching[key] = _Reach(np.where(traded, start, self._end), self._end)
        return self._reaching[key]

    def own_rows(self, block: range) -> _OwnRows:
        """The rows of a block's own sessions."""
        days = np.array(block, dtype=np.int64)
        at = _ranges(self._begin[days].ravel(), self._end[days].ravel())
        order = np.lexsort((self._symbol[at], self._bar[at], self._day[at]))
        at = at[order]
        return _OwnRows(at, self._day[at], self._symbol[at], np.searchsorted(self._day[at], [*block, block.stop]))

    def session(self, own: _OwnRows, number: int) -> _SessionRows:
        """The rows of the session that is so manieth in its block."""
        span = slice(int(own.starts[number]), int(own.starts[number + 1]))
        at = own.at[span]
        return _SessionRows(self.names, own.symbol[span], self._bar[at], self.column("close")[at], span.start)

    def frame(self, reach: _Reach, block: range, own: _OwnRows, names: Container[str]) -> tuple[pl.DataFrame, Index]:
        """A frame for a block, each symbol's session with all it looks back to, and where in it the own rows are."""
        days = np.array(block, dtype=np.int64)
        start, stop = reach.start[days], reach.stop[days]
        lengths = (stop - start).ravel()
        flat = _ranges(start.ravel(), stop.ravel())
        begins = np.cumsum(lengths) - lengths
        starts = np.zeros(len(flat), dtype=np.bool_)
        starts[begins[lengths > 0]] = True
        turns = starts.copy()
        turns[1:] |= self._day[flat[1:]] != self._day[flat[:-1]]
        keys = [key for key in row_keys(starts, turns) if key.name in names]
        frame = self._bars.select([name for name in BARS_SCHEMA if name in names])[flat].hstack(keys)
        number = own.day - block.start
        return frame, begins.reshape(start.shape)[number, own.symbol] + own.at - start[number, own.symbol]


def _ranges(starts: Index, stops: Index) -> Index:
    """Every whole number from each start to its stop, one range after the other."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - ends + lengths, lengths) + np.arange(total)
