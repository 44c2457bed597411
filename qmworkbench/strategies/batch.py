"""What the strategies said at one boundary: rows for the kernel, a frame for people, a hash for the record (§9)."""

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import isnan
from typing import Any, Final, NamedTuple

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


class Told:
    """What one set of rules says of some symbols with a bar at this boundary, whoever owns them.

    `lot` holds the answers, those of more rows than these where they were computed together; `rows` are the symbols'
    places in it. `enters` and `leaves` say symbol by symbol whether there is an entry, an exit: 1 or 0.
    """

    __slots__ = ("close", "enters", "leaves", "lot", "rows", "symbols")

    def __init__(self, symbols: tuple[str, ...], close: Floats, lot: Answers, rows: range | Sequence[int]) -> None:
        self.symbols, self.close, self.lot, self.rows = symbols, close, lot, rows
        entering, leaving = lot.entering, lot.leaving
        if isinstance(rows, range):
            self.enters, self.leaves = entering[rows.start : rows.stop], leaving[rows.start : rows.stop]
        else:
            self.enters = bytes([entering[row] for row in rows])
            self.leaves = bytes([leaving[row] for row in rows])

    @property
    def answers(self) -> Answers:
        """The answers for each symbol."""
        rows = self.rows
        return sliced(self.lot, rows.start, rows.stop) if isinstance(rows, range) else taken(self.lot, rows)


class RunSignals(NamedTuple):
    """One instance's answers for its symbols with a bar at this boundary: those `at` some places of what was told."""

    instance_id: str
    strategy_id: str
    told: Told
    at: tuple[int, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in alphabetical order."""
        return tuple(self.told.symbols[at] for at in self.at)

    @property
    def close(self) -> Floats:
        """The decision price of each."""
        close: Floats = self.told.close[list(self.at)]
        return close

    @property
    def answers(self) -> Answers:
        """The answers for each."""
        rows = self.told.rows
        return taken(self.told.lot, [rows[at] for at in self.at])


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
            told = run.told
            enters, leaves = told.enters, told.leaves
            for at in run.at:
                if enters[at] or (leaves[at] and (exposed is None or _key(run, at) in exposed)):
                    found.append(_row(run.instance_id, told, at))
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
            answers = run.answers
            digest.update("\x1f".join((run.instance_id, *run.symbols)).encode())
            digest.update(run.close.tobytes())
            for name in (*FLAGS, *LEVELS, *LIMITS):
                digest.update(getattr(answers, name).tobytes())
            for values in answers.features.values():
                digest.update(values.tobytes())
            digest.update(repr(sorted(answers.masked.items())).encode())
        digest.update(repr(self.faults).encode())
        return digest.hexdigest()[:16]

    def _table(self, run: RunSignals) -> pl.DataFrame:
        symbol = pl.Series("symbol", run.symbols, dtype=pl.String)
        ts = pl.Series("ts", [self.ts] * len(run.symbols), dtype=TS)
        answers = run.answers
        there = answers.features
        return answers.frame(symbol, ts).select(
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


def _row(instance_id: str, told: Told, at: int) -> SignalRow:
    lot, row = told.lot, told.rows[at]
    stop, target = lot.stop.item(row), lot.target.item(row)
    features = [(name, values.item(row)) for name, values in lot.features.items()]
    return SignalRow(
        strategy_id=instance_id,
        symbol=told.symbols[at],
        close=decimal_of(told.close.item(at)),
        entry_long=lot.entry_long.item(row),
        entry_short=lot.entry_short.item(row),
        exit_long=lot.exit_long.item(row),
        exit_short=lot.exit_short.item(row),
        stop_px=None if isnan(stop) else decimal_of(stop),
        target_px=None if isnan(target) else decimal_of(target),
        trail_bps=lot.trail_bps.item(row) or None,
        max_hold_bars=lot.max_hold_bars.item(row) or None,
        why=", ".join([f"{name[2:]} {value:.6g}" for name, value in features if not isnan(value)]),
    )
