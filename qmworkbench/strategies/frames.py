"""Signals boundary by boundary, anchored, from owned symbols' bars; a fault ends one run only (§9; DESIGN "Frames")."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import polars as pl

from qmworkbench.strategies.bars import BARS_SCHEMA, KEYS, SessionGrid, check_tick, last_of_each, session_bars
from qmworkbench.strategies.batch import RunFault, RunSignals, SignalBatch, Told, no_answers
from qmworkbench.strategies.contract import Answers, StrategyFault, answers, signalled
from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance
from qmworkbench.strategies.lint import findings
from qmworkbench.strategies.row_by_row import RowByRow
from qmworkbench.strategies.row_tape import NotCarried
from qmworkbench.strategies.rules import RuleBook, Rules
from qmworkbench.strategies.session_store import Floats, Index, Ints, SessionStore

Owned = Sequence[tuple[str, Sequence[str]]]
"""Which instance owns which symbols at a boundary: (instance_id, symbols) pairs, each instance once."""


class ClosedBars(Protocol):
    """The bars that closed at one boundary, as trading.frames.BarFrame holds them: arrays side by side, `index`
    ascending positions in the universe. Symbols without a trade are absent."""

    @property
    def as_of(self) -> datetime: ...
    @property
    def index(self) -> Ints: ...
    @property
    def open(self) -> Floats: ...
    @property
    def high(self) -> Floats: ...
    @property
    def low(self) -> Floats: ...
    @property
    def close(self) -> Floats: ...
    @property
    def volume(self) -> Floats: ...
    @property
    def extended(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class _Group:
    """Instances of the same rules: `union` is what they own together, `members` where in it each one's symbols are."""

    rules: Rules
    names: tuple[str, ...]
    union: Index
    members: tuple[tuple[int, ...], ...]


class SignalSource(ABC):
    """The signals of one session, however computed: the ways agree bit for bit.

    `symbols` is the universe in alphabetical order, `grid` the session's, `given_sessions` how many earlier ones are
    known.
    """

    def __init__(self, book: RuleBook, symbols: Sequence[str], grid: SessionGrid, given_sessions: int) -> None:
        self.symbols, self.grid = tuple(symbols), grid
        self.bar, self._as_of = -1, grid.opens_at
        self._book, self._given_sessions = book, given_sessions
        self._index = {symbol: at for at, symbol in enumerate(self.symbols)}
        self._owned: tuple[tuple[str, tuple[str, ...]], ...] = ()
        self._groups: tuple[_Group, ...] = ()

    def short_history(self) -> list[tuple[str, int, int]]:
        """Instances that were given less history than they ask for: (instance_id, sessions asked for, sessions given).

        They run all the same, and say nothing of a symbol until it has enough bars.
        """
        needs = {name: rules.anchor.reach(self.grid.boundaries) for name, rules in self._book.rules.items()}
        given = self._given_sessions
        return [(name, needed, given) for name, needed in sorted(needs.items()) if needed > given]

    def append(self, frame: ClosedBars) -> None:
        """The bars of the next boundary. Frames of extended hours are passed over: strategies read regular bars.

        Raises ValueError for a boundary that is not of this session or does not come after the last one.
        """
        if frame.extended:
            return
        bar = self.grid.bar_of(frame.as_of)
        if bar <= self.bar:
            raise ValueError(f"boundary {frame.as_of.isoformat()} does not come after the last one (bar {self.bar})")
        self.bar, self._as_of = bar, frame.as_of
        self._take_in(bar, frame)

    def signals(self, owned: Owned) -> SignalBatch:
        """What each instance says of the symbols it owns that have a bar at the current boundary.

        Raises ValueError for an unknown instance or symbol, or before the first boundary.
        """
        if self.bar < 0:
            raise ValueError("no boundary has closed yet; append its bars before asking for signals")
        if owned is not self._owned:  # mostly the very same is asked for again
            asked = tuple((name, tuple(symbols)) for name, symbols in owned)
            if asked != self._owned:
                self._groups = self._grouped(owned)
            self._owned = owned if owned == asked else asked  # as given, where it cannot change any more
        runs: list[RunSignals] = []
        faults: list[RunFault] = []
        self._run(self._groups, runs, faults)
        return SignalBatch(
            as_of=self._as_of,
            ts=self.grid.opened_at(self.bar),
            runs=tuple(sorted(runs, key=lambda run: run.instance_id)),
            faults=tuple(sorted(faults, key=lambda fault: fault.instance_id)),
            features=self._book.features,
        )

    def _grouped(self, owned: Owned) -> tuple[_Group, ...]:
        asked: dict[str, Index] = {}
        for name, symbols in owned:
            if name not in self._book.rules or name in asked:
                trouble = (
                    "is asked for twice" if name in asked else f"is unknown; there are {', '.join(self._book.rules)}"
                )
                raise ValueError(f"instance {name!r} {trouble}")
            strangers = [symbol for symbol in symbols if symbol not in self._index]
            if strangers:
                raise ValueError(f"instance {name} owns {', '.join(strangers[:5])}, not in the session's universe")
            asked[name] = np.unique(np.array([self._index[symbol] for symbol in symbols], dtype=np.int64))
        together: dict[str, dict[str, Index]] = {}
        for name, index in asked.items():
            together.setdefault(self._book.rules[name].key, {})[name] = index
        return tuple(_group(self._book.distinct[key], indices) for key, indices in together.items())

    def _run(self, groups: Sequence[_Group], runs: list[RunSignals], faults: list[RunFault]) -> None:
        """Compute instances of the same rules at once; if that fails, one by one, so that a fault finds its own run."""
        for group in groups:
            index = self._trading(group.union)
            said = self._told_by(group.rules, index)
            if isinstance(said, Told):
                places = None if len(index) == len(group.union) else np.searchsorted(group.union, index)
                strategy = self._book.strategy
                runs += [
                    RunSignals(name, strategy[name], said, at if places is None else _still(at, places))
                    for name, at in zip(group.names, group.members, strict=True)
                ]
            elif len(group.names) == 1:
                faults.append(RunFault(group.names[0], self._book.strategy[group.names[0]], said.problem))
            else:
                members = zip(group.names, group.members, strict=True)
                self._run([_group(group.rules, {name: group.union[list(at)]}) for name, at in members], runs, faults)

    def _told_by(self, rules: Rules, index: Index) -> Told | StrategyFault:
        if not len(index):
            return Told((), np.empty(0), no_answers(rules.program.features), range(0))
        try:
            return self._told(rules, index)
        except StrategyFault as fault:
            return fault

    def _names(self, index: Index) -> tuple[str, ...]:
        names = self.symbols
        return names if len(index) == len(names) else tuple([names[at] for at in index.tolist()])

    @abstractmethod
    def _take_in(self, bar: int, frame: ClosedBars) -> None:
        """Note the bars of boundary `bar`."""

    @abstractmethod
    def _trading(self, index: Index) -> Index:
        """Those of `index` that have a bar at the current boundary."""

    @abstractmethod
    def _told(self, rules: Rules, index: Index) -> Told:
        """What the rules say of the symbols at `index`: at least one, all with a bar at the boundary."""


def _group(rules: Rules, indices: Mapping[str, Index]) -> _Group:
    union = np.unique(np.concatenate(list(indices.values())))
    members = tuple(tuple(np.searchsorted(union, index).tolist()) for index in indices.values())
    return _Group(rules, tuple(indices), union, members)


def _still(at: tuple[int, ...], places: Index) -> tuple[int, ...]:
    """Where the members of a union are among those of its `places` that are left."""
    left = {int(place): new for new, place in enumerate(places)}
    return tuple(left[place] for place in at if place in left)


class SessionSource(SignalSource):
    """Signals computed from the bars of one session and of those before it: `SignalEngine`, `one_pass.SessionSignals`.

    `symbols` is the universe in alphabetical order, `ticks` the price increment of each. `grids` are the sessions in
    date order, the current one last; `history` holds the raw bars (bars.RAW_SCHEMA) of the earlier ones, or None.
    Raises ParameterError, ValueError or BarsFault for instances, grids, ticks or history that make no sense.
    """

    def __init__(
        self,
        instances: Sequence[StrategyInstance],
        *,
        symbols: Sequence[str],
        ticks: Floats,
        grids: Sequence[SessionGrid],
        history: pl.DataFrame | None = None,
        definitions: Mapping[str, StrategyDefinition] | None = None,
    ) -> None:
        super().__init__(RuleBook(instances, definitions), symbols, grids[-1], 0)
        if list(self.symbols) != sorted(self._index):
            raise ValueError("symbols must be in alphabetical order, each once; use the universe's own order")
        if len(ticks) != len(self.symbols):
            raise ValueError(f"{len(ticks)} ticks for {len(self.symbols)} symbols; give one increment for each")
        self.ticks = dict(zip(self.symbols, ticks.tolist(), strict=True))
        for symbol, tick in self.ticks.items():
            check_tick(symbol, tick)
        self.grids, self._history = self._reach_back(grids, history)
        self._given_sessions = len(self.grids) - 1 if self._history is not None else 0

    def _reach_back(
        self, grids: Sequence[SessionGrid], history: pl.DataFrame | None
    ) -> tuple[tuple[SessionGrid, ...], pl.DataFrame | None]:
        """The sessions any of the strategies reaches, the current one last, and what of their bars can matter."""
        anchors = self._book.anchors
        reach = max((anchor.reach(grids[-1].boundaries) for anchor in anchors), default=0)
        kept = tuple(grids[max(0, len(grids) - 1 - reach) :])
        if history is None or len(kept) == 1:
            return kept, None
        bars = session_bars(self._known(history), kept[:-1], self.ticks)
        longest = [anchor.bars for anchor in anchors if anchor.bars is not None]
        return kept, bars if len(longest) < len(anchors) else last_of_each(bars, max(longest))

    def _known(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The bars of symbols in the universe."""
        return raw.filter(pl.col("symbol").is_in(self.symbols)) if "symbol" in raw.columns else raw

    def _told(self, rules: Rules, index: Index) -> Told:
        close, answered = self._answers(rules, index)
        return Told(self._names(index), close, answered, range(len(index)))

    @abstractmethod
    def _answers(self, rules: Rules, index: Index) -> tuple[Floats, Answers]:
        """Closes, and what the rules say, of the symbols at `index`: at least one, all with a bar at the boundary."""


class SignalEngine(SessionSource):
    """The incremental way: at each boundary the newest row of the owned symbols, from what rows before it left behind.

    What a boundary costs depends on the rules and the symbols owned, hardly on the bars so far or the universe. Rules
    that cannot be carried from row to row are computed in whole columns, over the symbols' bars since the anchor.
    """

    def __init__(
        self,
        instances: Sequence[StrategyInstance],
        *,
        symbols: Sequence[str],
        ticks: Floats,
        grids: Sequence[SessionGrid],
        history: pl.DataFrame | None = None,
        definitions: Mapping[str, StrategyDefinition] | None = None,
    ) -> None:
        super().__init__(instances, symbols=symbols, ticks=ticks, grids=grids, history=history, definitions=definitions)
        ticked = np.asarray(ticks, np.float64)
        self._store = SessionStore(self.symbols, ticked, self.grids, self._history, self._book.anchors)
        # Reading a strategy takes some ten milliseconds: now, and not at the first boundary.
        self._carried = {key: self._carrying(rules) for key, rules in self._book.distinct.items()}

    def _take_in(self, bar: int, frame: ClosedBars) -> None:
        self._store.append(bar, frame.index, (frame.open, frame.high, frame.low, frame.close, frame.volume))

    def _trading(self, index: Index) -> Index:
        return self._store.trading(index)

    def _answers(self, rules: Rules, index: Index) -> tuple[Floats, Answers]:
        carried = self._carried[rules.key]
        if carried is not None:
            try:
                return carried.answers(index)
            except NotCarried:
                self._carried[rules.key] = None  # from here on whole columns, which say the same, or raise
        return self._in_whole_columns(rules, index)

    def _carrying(self, rules: Rules) -> RowByRow | None:
        """The rules carried from row to row, if they are shown to keep to a symbol's own rows until now."""
        try:
            return None if findings(rules.program) else RowByRow(rules, self._store)
        except NotCarried:
            return None

    def _in_whole_columns(self, rules: Rules, index: Index) -> tuple[Floats, Answers]:
        reads = rules.program.reads() | rules.row_reads
        names = [name for name in (*BARS_SCHEMA, *KEYS) if name in reads]
        frame, last = self._store.frame(names, index, rules.anchor)
        return last_rows(rules, frame, last)


def last_rows(rules: Rules, bars: pl.DataFrame, last: Index) -> tuple[Floats, Answers]:
    """Closes, and what the rules say, of the rows `last` of prepared bars. Raises StrategyFault."""
    rows = signalled(rules.program, bars).select(sorted(rules.row_reads))[last]
    return rows["close"].to_numpy(), answers(rules.program, rows)


def shared_columns(table: pl.DataFrame) -> list[str]:
    """Bars, keys and indicators: what other rules may find in a frame that these have been through."""
    return [name for name in table.columns if name in BARS_SCHEMA or name.startswith("i_")]
