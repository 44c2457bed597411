"""Signals boundary by boundary, anchored, from owned symbols' bars; a fault ends one run only (§9; DESIGN "Frames")."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import polars as pl

from qmworkbench.strategies.bars import BARS_SCHEMA, KEYS, SessionGrid, check_tick, last_of_each, session_bars
from qmworkbench.strategies.batch import RunFault, RunSignals, SignalBatch, no_answers, taken
from qmworkbench.strategies.catalog import catalog
from qmworkbench.strategies.contract import FLAGS, Answers, StrategyFault, answers, signalled
from qmworkbench.strategies.definition import Anchor, Program, StrategyDefinition, StrategyInstance
from qmworkbench.strategies.parameters import Params
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
class Rules:
    """One strategy with one parameter set, named by its running hash: instances that share it are computed together.

    `row_reads` are the columns that answering for a row looks at.
    """

    key: str
    program: Program
    anchor: Anchor
    row_reads: frozenset[str]

    @staticmethod
    def of(definition: StrategyDefinition, params: Params) -> "Rules":
        """The rules of a full parameter set."""
        program = definition.program(params)
        row_reads = {*FLAGS, *program.features, "close", "tick", "bars_left"}
        return Rules(definition.hash(params), program, definition.anchor(params), frozenset(row_reads))


class SignalSource(ABC):
    """The signals of one session, in two ways that agree bit for bit: `SignalEngine` and `one_pass.SessionSignals`.

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
        known = catalog() if definitions is None else definitions
        self.symbols = tuple(symbols)
        self.grid = grids[-1]
        self.bar, self._as_of = -1, grids[-1].opens_at
        self._index = {symbol: at for at, symbol in enumerate(self.symbols)}
        if list(self.symbols) != sorted(self._index):
            raise ValueError("symbols must be in alphabetical order, each once; use the universe's own order")
        if len(ticks) != len(self.symbols):
            raise ValueError(f"{len(ticks)} ticks for {len(self.symbols)} symbols; give one increment for each")
        self.ticks = dict(zip(self.symbols, ticks.tolist(), strict=True))
        for symbol, tick in self.ticks.items():
            check_tick(symbol, tick)
        self._strategy: dict[str, str] = {}
        self._rules: dict[str, Rules] = {}
        self._distinct: dict[str, Rules] = {}
        for instance in instances:
            definition = known[instance.strategy_id]
            params = definition.parameters(instance.params)
            if instance.instance_id in self._rules:
                raise ValueError(f"instance {instance.instance_id} is there twice; instance ids are unique")
            rules = Rules.of(definition, params)
            self._rules[instance.instance_id] = self._distinct.setdefault(rules.key, rules)
            self._strategy[instance.instance_id] = instance.strategy_id
        every = (name for rules in self._distinct.values() for name in rules.program.features)
        self._features = tuple(sorted(set(every)))
        self.grids, self._history = self._reach_back(grids, history)

    def short_history(self) -> list[tuple[str, int, int]]:
        """Instances that were given less history than they ask for: (instance_id, sessions asked for, sessions given).

        They run all the same, and say nothing of a symbol until it has enough bars.
        """
        given = len(self.grids) - 1 if self._history is not None else 0
        needs = {name: rules.anchor.reach(self.grid.boundaries) for name, rules in self._rules.items()}
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
        asked = self._asked(owned)
        together: dict[str, list[str]] = {}
        for name in asked:
            together.setdefault(self._rules[name].key, []).append(name)
        runs: list[RunSignals] = []
        faults: list[RunFault] = []
        for names in together.values():
            self._run_together(names, asked, runs, faults)
        return SignalBatch(
            as_of=self._as_of,
            ts=self.grid.opened_at(self.bar),
            runs=tuple(sorted(runs, key=lambda run: run.instance_id)),
            faults=tuple(sorted(faults, key=lambda fault: fault.instance_id)),
            features=self._features,
        )

    def _reach_back(
        self, grids: Sequence[SessionGrid], history: pl.DataFrame | None
    ) -> tuple[tuple[SessionGrid, ...], pl.DataFrame | None]:
        """The sessions any of the strategies reaches, the current one last, and what of their bars can matter."""
        anchors = [rules.anchor for rules in self._distinct.values()]
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

    def _asked(self, owned: Owned) -> dict[str, Index]:
        asked: dict[str, Index] = {}
        for name, symbols in owned:
            if name not in self._rules or name in asked:
                trouble = "is asked for twice" if name in asked else f"is unknown; there are {', '.join(self._rules)}"
                raise ValueError(f"instance {name!r} {trouble}")
            strangers = [symbol for symbol in symbols if symbol not in self._index]
            if strangers:
                raise ValueError(f"instance {name} owns {', '.join(strangers[:5])}, not in the session's universe")
            asked[name] = np.unique(np.array([self._index[symbol] for symbol in symbols], dtype=np.int64))
        return asked

    def _run_together(
        self, names: Sequence[str], asked: Mapping[str, Index], runs: list[RunSignals], faults: list[RunFault]
    ) -> None:
        """Compute instances of the same rules at once; if that fails, one by one, so that a fault finds its own run."""
        rules = self._rules[names[0]]
        found = self._trading(self._union([asked[name] for name in names]))
        nothing = np.empty(0), no_answers(rules.program.features)
        try:
            close, answered = self._answers(rules, found) if len(found) else nothing
        except StrategyFault as fault:
            if len(names) == 1:
                faults.append(RunFault(names[0], self._strategy[names[0]], fault.problem))
                return
            for name in names:
                self._run_together([name], asked, runs, faults)
            return
        for name in names:
            at = np.flatnonzero(np.isin(found, asked[name])) if len(names) > 1 else np.arange(len(found))
            runs.append(
                RunSignals(
                    instance_id=name,
                    strategy_id=self._strategy[name],
                    symbols=tuple(self.symbols[symbol] for symbol in found[at].tolist()),
                    close=close[at],
                    answers=answered if len(at) == len(found) else taken(answered, at.tolist()),
                )
            )

    @staticmethod
    def _union(indices: Sequence[Index]) -> Index:
        return indices[0] if len(indices) == 1 else np.unique(np.concatenate(indices))

    @abstractmethod
    def _take_in(self, bar: int, frame: ClosedBars) -> None:
        """Note the bars of boundary `bar`."""

    @abstractmethod
    def _trading(self, index: Index) -> Index:
        """Those of `index` that have a bar at the current boundary."""

    @abstractmethod
    def _answers(self, rules: Rules, index: Index) -> tuple[Floats, Answers]:
        """Closes, and what the rules say, of the symbols at `index`: at least one, all with a bar at the boundary."""


class SignalEngine(SignalSource):
    """The incremental way: at each boundary the owned symbols' bars since the anchor are computed anew.

    What a boundary costs depends on the symbols owned and the bars so far, not on the universe.
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
        anchors = [rules.anchor for rules in self._distinct.values()]
        self._store = SessionStore(self.symbols, np.asarray(ticks, np.float64), self.grids, self._history, anchors)
        self._reads = {anchor: self._bars_read(anchor) for anchor in anchors}
        self._alike = Counter(anchors)
        self._shared: tuple[Anchor, bytes, pl.DataFrame, Index] | None = None

    def _take_in(self, bar: int, frame: ClosedBars) -> None:
        self._shared = None
        self._store.append(bar, frame.index, (frame.open, frame.high, frame.low, frame.close, frame.volume))

    def _trading(self, index: Index) -> Index:
        return self._store.trading(index)

    def _answers(self, rules: Rules, index: Index) -> tuple[Floats, Answers]:
        frame, last = self._frame(rules.anchor, index)
        table = signalled(rules.program, frame)
        if self._alike[rules.anchor] > 1:
            self._shared = (rules.anchor, index.tobytes(), table.select(shared_columns(table)), last)
        rows = table.select([name for name in table.columns if name in rules.row_reads])[last]
        missing = [name for name in BARS_SCHEMA if name in rules.row_reads and name not in rows.columns]
        rows = rows.hstack([self._store.at_boundary(name, index) for name in missing])
        return rows["close"].to_numpy(), answers(rules.program, rows)

    def _frame(self, anchor: Anchor, index: Index) -> tuple[pl.DataFrame, Index]:
        """The anchored frame of some symbols: the last one, with the indicators it has by now, if it is the same."""
        if self._shared is not None and self._shared[:2] == (anchor, index.tobytes()):
            return self._shared[2:]
        return self._store.frame(self._reads[anchor], index, anchor)

    def _bars_read(self, anchor: Anchor) -> tuple[str, ...]:
        """The columns of bars and keys that any rules of this anchor look at; frames need no others but a height."""
        reads = {"close"}.union(*(r.program.reads() for r in self._distinct.values() if r.anchor == anchor))
        return tuple(name for name in (*BARS_SCHEMA, *KEYS) if name in reads)


def shared_columns(table: pl.DataFrame) -> list[str]:
    """Bars, keys and indicators: what other rules may find in a frame that these have been through."""
    return [name for name in table.columns if name in BARS_SCHEMA or name.startswith("i_")]
