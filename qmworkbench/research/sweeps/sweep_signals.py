"""A strategy's own expressions over many parameter sets: each distinct rule once, its exits as often as asked (§9).

Which parameters change a rule is not declared but seen: the rule is built with a parameter set that writes down which
of its values were read. Sets that agree on those make the same rule, and share its flags; where only a stop, a target,
a trail or a time limit differs, just the plan of the entries is made anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.research.fills.tape import Decisions, Floats
from qmworkbench.research.sweeps.sweep_bars import SymbolBars
from qmworkbench.strategies.contract import FLAGS, Answers, StrategyFault, answered, signalled
from qmworkbench.strategies.definition import FlatPolicy, Program, StrategyDefinition
from qmworkbench.strategies.parameters import Params, Value


class ReadParams(Mapping[str, Value]):
    """Parameters that know which of them were read; whoever walks over them has read them all."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.read: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        value = self.read[name] = self._params[name]
        return value

    def __iter__(self) -> Iterator[str]:
        self.read.update(self._params)
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)


@dataclass
class Rule:
    """One rule with the flags and features of every bar of a symbol's tape; `fault` says why there are none."""

    columns: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    nulls: dict[str, int] = field(default_factory=dict)
    fault: str | None = None


class RuleBook:
    """The rules of one strategy, found again by what they read. `built` counts those that were built."""

    def __init__(self, definition: StrategyDefinition) -> None:
        self.definition = definition
        self.built = 0
        self._read: list[tuple[str, ...]] = []
        self._known: dict[tuple[tuple[str, ...], tuple[Value, ...]], Program] = {}

    def program(self, params: Params) -> tuple[Program, object]:
        """The rule of a parameter set, and a key that sets of the same rule share."""
        for names in self._read:
            key = (names, tuple(params[name] for name in names))
            if key in self._known:
                return self._known[key], key
        seen = ReadParams(params)
        program = Program(self.definition, seen)
        names = tuple(sorted(seen.read))
        if names not in self._read:
            self._read.append(names)
        key = (names, tuple(seen.read[name] for name in names))
        self._known[key] = program
        self.built += 1
        return program, key

    def forget(self) -> None:
        """Let go of programs that are not needed any more; what reads what stays known."""
        self._known.clear()


def evaluated(program: Program, bars: SymbolBars) -> Rule:
    """The rule's answers on one symbol, faults as words."""
    try:
        rows = signalled(program, bars.frame)[bars.history :]
    except StrategyFault as fault:
        return Rule(fault=fault.problem)
    names = (*FLAGS, "bars_left", "close", "tick", *program.features)
    return Rule({name: rows[name].to_numpy() for name in names}, {name: rows[name].null_count() for name in FLAGS})


def planned(definition: StrategyDefinition, params: Params, rule: Rule) -> Answers:
    """What the strategy says with these parameters, given its rule's flags. Raises StrategyFault."""
    if rule.fault is not None:
        raise StrategyFault(definition.strategy_id, rule.fault)
    return answered(_Planner(definition, params), rule.columns, rule.nulls)


class _Planner(Program):
    """A program that only plans: its rule has been run already."""

    def __init__(self, definition: StrategyDefinition, params: Params) -> None:
        self.strategy_id, self.features = definition.strategy_id, tuple(definition.features)
        self._params, self._plan = params, definition.plan
        self.stages, self.broken = [], None


def decided(
    definition: StrategyDefinition, params: Params, bars: SymbolBars, rule: Rule, qty: Floats, *, reverse: bool = False
) -> Decisions:
    """The decisions of one combination on one symbol. Raises StrategyFault."""
    told = planned(definition, params, rule)
    flags = {name: np.asarray(getattr(told, name), np.bool_) for name in FLAGS}
    ends = bars.tape.ends
    flags["entry_long"], flags["entry_short"] = flags["entry_long"] & ~ends, flags["entry_short"] & ~ends
    return Decisions(
        **flags,
        stop=told.stop,
        target=told.target,
        trail_bps=told.trail_bps,
        max_hold_bars=told.max_hold_bars,
        qty=qty,
        flat_at_close=definition.flat_policy(params) is FlatPolicy.AT_CLOSE,
        reverse=reverse,
    )


def column_of(bars: SymbolBars, stages: Any, name: str) -> pl.Series:
    """An indicator's column on a symbol's rows, history in front, computed by its own stages."""
    frame = bars.frame
    for stage in stages:
        there = set(frame.columns)
        frame = frame.with_columns([expr for expr in stage if expr.meta.output_name() not in there])
    return frame[name]
