"""What the strategies said at one boundary: rows for the kernel, a frame for people, a hash for the record (§9)."""

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from qmworkbench.domain.events.market import SignalRow
from qmworkbench.domain.numbers import decimal_of
from qmworkbench.strategies.bars import TS
from qmworkbench.strategies.contract import FLAGS, LEVELS, LIMITS, SIGNAL_SCHEMA, Answers, Floats

BATCH_COLUMNS: Final = ("instance_id", "strategy_id", "symbol", "ts", "close", *list(SIGNAL_SCHEMA)[2:])


@dataclass(frozen=True)
class RunFault:
    """An instance whose strategy broke its contract at this boundary; its run ends, the others go on."""

    instance_id: str
    strategy_id: str
    problem: str


@dataclass(frozen=True, eq=False)
class Told:
    """What one set of rules says of some symbols with a bar at this boundary, whoever owns them."""

    symbols: tuple[str, ...]
    close: Floats
    answers: Answers

    @cached_property
    def enters(self) -> list[bool]:
        """Whether there is an entry, symbol by symbol."""
        entering: list[bool] = (self.answers.entry_long | self.answers.entry_short).tolist()
        return entering

    @cached_property
    def leaves(self) -> list[bool]:
        """Whether there is an exit, symbol by symbol."""
        leaving: list[bool] = (self.answers.exit_long | self.answers.exit_short).tolist()
        return leaving


@dataclass(frozen=True, eq=False)
class RunSignals:
    """One instance's answers for its symbols with a bar at this boundary: those `at` some places of what was told."""

    instance_id: str
    strategy_id: str
    told: Told
    at: tuple[int, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in alphabetical order."""
        return tuple(self.told.symbols[at] for at in self.at)

    @cached_property
    def close(self) -> Floats:
        """The decision price of each."""
        close: Floats = self.told.close[list(self.at)]
        return close

    @cached_property
    def answers(self) -> Answers:
        """The answers for each."""
        return taken(self.told.answers, self.at)


@dataclass(frozen=True, eq=False)
class SignalBatch:
    """The signals of one boundary.

    `as_of` is the boundary, `ts` the open of the bar that closed there. `runs` are in order of instance id, symbols in
    alphabetical order; a symbol without a bar at this boundary is absent. `features` are the feature names of every
    strategy of the session, so that `frame` has the same columns at each boundary.
    """

    as_of: datetime
    ts: datetime
    runs: tuple[RunSignals, ...]
    faults: tuple[RunFault, ...]
    features: tuple[str, ...]

    def rows(self, exposed: Container[str] | None = None) -> tuple[SignalRow, ...]:
        """The kernel's rows: one for each instance and symbol with something to say, prices as Decimal on tick.

        An exit says something only where there is a position: with `exposed`, keys of the form "instance_id|symbol",
        a row without an entry is given for those alone.
        """
        found = []
        for run in self.runs:
            enters, leaves = run.told.enters, run.told.leaves
            for at in run.at:
                if enters[at] or (leaves[at] and (exposed is None or _key(run, at) in exposed)):
                    found.append(_row(run, at))
        return tuple(found)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """BATCH_COLUMNS, then `features` (null where an instance has no such feature): every row, flagged or not."""
        frames = [self._table(run) for run in self.runs]
        return pl.concat(frames) if frames else self._empty()

    @cached_property
    def content_hash(self) -> str:
        """16 hex digits over every answer and fault."""
        digest = hashlib.sha256(self.as_of.isoformat().encode())
        for run in self.runs:
            digest.update("\x1f".join((run.instance_id, *run.symbols)).encode())
            digest.update(run.close.tobytes())
            for name in (*FLAGS, *LEVELS, *LIMITS):
                digest.update(getattr(run.answers, name).tobytes())
            for values in run.answers.features.values():
                digest.update(values.tobytes())
            digest.update(repr(sorted(run.answers.masked.items())).encode())
        digest.update(repr(self.faults).encode())
        return digest.hexdigest()[:16]

    def _table(self, run: RunSignals) -> pl.DataFrame:
        symbol = pl.Series("symbol", run.symbols, dtype=pl.String)
        ts = pl.Series("ts", [self.ts] * len(run.symbols), dtype=TS)
        there = run.answers.features
        return run.answers.frame(symbol, ts).select(
            pl.lit(run.instance_id).alias("instance_id"),
            pl.lit(run.strategy_id).alias("strategy_id"),
            "symbol",
            "ts",
            pl.Series("close", run.close),
            *BATCH_COLUMNS[5:],
            *(name if name in there else pl.lit(None, dtype=pl.Float64).alias(name) for name in self.features),
        )

    def _empty(self) -> pl.DataFrame:
        types = {"instance_id": pl.String(), "strategy_id": pl.String(), "close": pl.Float64(), **SIGNAL_SCHEMA}
        ordered = {name: types[name] for name in BATCH_COLUMNS}
        return pl.DataFrame(schema={**ordered, **dict.fromkeys(self.features, pl.Float64())})


def taken(answers: Answers, at: Sequence[int]) -> Answers:
    """The answers of some rows, in the order given."""
    rows = np.asarray(at, dtype=np.intp)
    masked = {new: answers.masked[old] for new, old in enumerate(at) if old in answers.masked}
    arrays = {name: getattr(answers, name)[rows] for name in (*FLAGS, *LEVELS, *LIMITS)}
    return Answers(**arrays, masked=masked, features={name: v[rows] for name, v in answers.features.items()})


def sliced(answers: Answers, first: int, last: int) -> Answers:
    """The answers of the rows from `first` up to `last`, without copying them."""
    rows = slice(first, last)
    masked = {row - first: why for row, why in answers.masked.items() if first <= row < last}
    arrays = {name: getattr(answers, name)[rows] for name in (*FLAGS, *LEVELS, *LIMITS)}
    return Answers(**arrays, masked=masked, features={name: v[rows] for name, v in answers.features.items()})


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers of several lots of rows of one strategy, one lot after the other."""
    masked: dict[int, str] = {}
    height = 0
    for part in parts:
        masked.update((height + row, reason) for row, reason in part.masked.items())
        height += len(part.entry_long)
    arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in (*FLAGS, *LEVELS, *LIMITS)}
    features = {name: np.concatenate([p.features[name] for p in parts]) for name in parts[0].features}
    return Answers(**arrays, masked=masked, features=features)


def no_answers(features: Sequence[str]) -> Answers:
    """The answers of no rows."""
    arrays: dict[str, Any] = {name: np.empty(0, dtype=np.bool_) for name in FLAGS}
    arrays |= {name: np.empty(0) for name in LEVELS}
    arrays |= {name: np.empty(0, dtype=np.int32) for name in LIMITS}
    return Answers(**arrays, masked={}, features={name: np.empty(0) for name in features})


def _key(run: RunSignals, at: int) -> str:
    return f"{run.instance_id}|{run.told.symbols[at]}"


def _row(run: RunSignals, at: int) -> SignalRow:
    answers = run.told.answers
    stop, target = float(answers.stop[at]), float(answers.target[at])
    told = (f"{name[2:]} {values[at]:.6g}" for name, values in answers.features.items() if not np.isnan(values[at]))
    return SignalRow(
        strategy_id=run.instance_id,
        symbol=run.told.symbols[at],
        close=decimal_of(float(run.told.close[at])),
        entry_long=bool(answers.entry_long[at]),
        entry_short=bool(answers.entry_short[at]),
        exit_long=bool(answers.exit_long[at]),
        exit_short=bool(answers.exit_short[at]),
        stop_px=None if np.isnan(stop) else decimal_of(stop),
        target_px=None if np.isnan(target) else decimal_of(target),
        trail_bps=int(answers.trail_bps[at]) or None,
        max_hold_bars=int(answers.max_hold_bars[at]) or None,
        why=", ".join(told),
    )
