"""What every strategy must answer, checked: types, nulls, levels, and the cleaning of FILLS "Signals" (§11)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.exceptions import PanicException

from qmworkbench.strategies.bars import BARS_SCHEMA, TS, BarsFault, prepared
from qmworkbench.strategies.definition import Program, StrategyDefinition
from qmworkbench.strategies.exits import Entries, ExitPlan
from qmworkbench.strategies.parameters import Params
from qmworkbench.strategies.ticks import off_tick

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

FLAGS: Final = ("entry_long", "entry_short", "exit_long", "exit_short")
LEVELS: Final = ("stop", "target")
LIMITS: Final = ("trail_bps", "max_hold_bars")

_FLAG_TYPES: Final = tuple((name, pl.Boolean()) for name in FLAGS)

SIGNAL_SCHEMA: Final[dict[str, pl.DataType]] = {
    "symbol": pl.String(),
    "ts": TS,
    "entry_long": pl.Boolean(),
    "entry_short": pl.Boolean(),
    "exit_long": pl.Boolean(),
    "exit_short": pl.Boolean(),
    "stop": pl.Float64(),
    "target": pl.Float64(),
    "trail_bps": pl.Int32(),
    "max_hold_bars": pl.Int32(),
    "masked": pl.String(),
}
"""An evaluated bar, before its features: decided at the bar's close.

Flags hold no null. `stop` and `target` are price levels on tick, `trail_bps` and `max_hold_bars` whole numbers above
zero; null means none, as on every row without an entry. `masked` says why an entry was taken back, null otherwise.
"""


class StrategyFault(Exception):
    """A strategy broke its contract; its run ends, the others go on."""

    def __init__(self, strategy_id: str, problem: str) -> None:
        super().__init__(f"strategy {strategy_id}: {problem}")
        self.strategy_id = strategy_id
        self.problem = problem


@dataclass(frozen=True, eq=False)
class Answers:
    """What a strategy says of some rows, as arrays of their height; NaN and 0 stand for "none".

    `masked` holds the reasons of entries taken back, by row; `features` the strategy's features, NaN while warming up.
    """

    entry_long: Bools
    entry_short: Bools
    exit_long: Bools
    exit_short: Bools
    stop: Floats
    target: Floats
    trail_bps: Ints
    max_hold_bars: Ints
    masked: dict[int, str]
    features: dict[str, Floats]

    @cached_property
    def entering(self) -> bytes:
        """Whether there is an entry on either side, row by row: 1 or 0."""
        return (self.entry_long | self.entry_short).tobytes()

    @cached_property
    def leaving(self) -> bytes:
        """Whether there is an exit on either side, row by row: 1 or 0."""
        return (self.exit_long | self.exit_short).tobytes()

    def frame(self, symbol: pl.Series, ts: pl.Series) -> pl.DataFrame:
        """SIGNAL_SCHEMA, then the features, for rows of these symbols and times."""
        masked = [None] * len(self.entry_long)
        flags = {name: getattr(self, name) for name in FLAGS}
        levels = [pl.Series(name, getattr(self, name)).fill_nan(None) for name in LEVELS]
        limits = [pl.Series(name, getattr(self, name)).replace(0, None) for name in LIMITS]
        features = [pl.Series(name, values).fill_nan(None) for name, values in self.features.items()]
        told = pl.Series("masked", masked, dtype=pl.String).scatter(list(self.masked), list(self.masked.values()))
        return pl.DataFrame(
            [symbol, ts, *(pl.Series(n, v) for n, v in flags.items()), *levels, *limits, told, *features]
        )


def cleaned(
    entry_long: Bools, entry_short: Bools, exit_long: Bools, exit_short: Bools, bars_left: Ints
) -> tuple[Bools, Bools]:
    """The entries a fill model may see, long and short.

    Cleared in this order: where the same side's exit is true; both where both are left; all on a session's last
    boundary (`bars_left` 0), whose next open belongs to another day.
    """
    long, short = entry_long & ~exit_long, entry_short & ~exit_short
    free = ~(long & short) & (bars_left > 0)
    return long & free, short & free


def evaluate(definition: StrategyDefinition, bars: pl.DataFrame, params: Params) -> pl.DataFrame:
    """The strategy's signals for every row of `bars`, held to the contract and cleaned: SIGNAL_SCHEMA, then features.

    `bars` is what `bars.session_bars` builds, starting at the strategy's anchor. Raises StrategyFault, naming the
    strategy and what is wrong, if the strategy raises or breaks the contract; BarsFault if `bars` lacks a column.
    """
    missing = [column for column in BARS_SCHEMA if column not in bars.columns]
    if missing:
        raise BarsFault(f"bars have no column {', '.join(missing)}; build them with strategies.bars.session_bars")
    program = definition.program(params)
    return answers(program, signalled(program, prepared(bars))).frame(bars["symbol"], bars["ts"])


def signalled(program: Program, bars: pl.DataFrame) -> pl.DataFrame:
    """Prepared `bars` with the strategy's flags and features, their types checked; StrategyFault if that fails."""
    try:
        frame = program.with_signals(bars)
    except (Exception, PanicException) as error:  # foreign code to the platform: whatever it raises ends its run only
        raise StrategyFault(program.strategy_id, f"raised {type(error).__name__}: {error}") from error
    if frame.height != bars.height:
        raise StrategyFault(program.strategy_id, f"returned {frame.height} rows for {bars.height} bars")
    return checked(program, frame)


def checked(program: Program, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame`, which has the flags and features of `program` in the types agreed; StrategyFault if it has not."""
    if program.broken is not None:
        raise StrategyFault(program.strategy_id, program.broken)
    types = dict(zip(frame.columns, frame.dtypes, strict=True))
    for name, dtype in (*_FLAG_TYPES, *((name, pl.Float64()) for name in program.features)):
        if types.get(name) != dtype:
            found = f"is {types[name]}, expected {dtype}" if name in types else "is missing"
            raise StrategyFault(program.strategy_id, f"column {name!r} {found}")
    return frame


def answers(program: Program, rows: pl.DataFrame) -> Answers:
    """What the strategy says of rows of `signalled`, any selection of them: `answered` by their columns."""
    names = (*FLAGS, "bars_left", "close", "tick", *program.features)
    nulls = {name: rows[name].null_count() for name in FLAGS}
    return answered(program, {name: rows[name].to_numpy() for name in names}, nulls)


def answered(program: Program, columns: Mapping[str, npt.NDArray[Any]], nulls: Mapping[str, int]) -> Answers:
    """What the strategy says of some rows, checked and cleaned.

    `columns` are its flags and features, and bars_left, close and tick, as arrays of one height, NaN for null; `nulls`
    says how many each flag has. An entry whose levels lie on the wrong side of its own close is taken back and says
    why. Raises StrategyFault.
    """
    for name in FLAGS:
        if nulls[name]:
            problem = f"column {name!r} has {nulls[name]} nulls; say false where the answer is not known"
            raise StrategyFault(program.strategy_id, problem)
    entry_long, entry_short = cleaned(*(columns[name] for name in (*FLAGS, "bars_left")))
    height = len(entry_long)
    answer = Answers(
        entry_long=entry_long,
        entry_short=entry_short,
        exit_long=columns["exit_long"],
        exit_short=columns["exit_short"],
        stop=np.full(height, np.nan),
        target=np.full(height, np.nan),
        trail_bps=np.zeros(height, np.int32),
        max_hold_bars=np.zeros(height, np.int32),
        masked={},
        features={name: columns[name] for name in program.features},
    )
    at = np.flatnonzero(entry_long | entry_short)
    if len(at):
        _plan_entries(program, columns, answer, at)
    return answer


def _plan_entries(
    program: Program, columns: Mapping[str, npt.NDArray[Any]], answer: Answers, at: npt.NDArray[np.intp]
) -> None:
    """Lay stop, target and limits over the entries at rows `at` of `answer`, and take back those that make no sense."""
    entries = Entries(
        long=answer.entry_long[at],
        close=columns["close"][at],
        tick=columns["tick"][at],
        features={name: values[at] for name, values in answer.features.items()},
    )
    try:
        plan = program.plan(entries)
        problem = _plan_problem(plan, entries)
    except Exception as error:
        raise StrategyFault(program.strategy_id, f"raised {type(error).__name__}: {error}") from error
    if problem is not None:
        raise StrategyFault(program.strategy_id, problem)
    reasons = _misplaced(entries, plan)
    kept = np.array([reason is None for reason in reasons], dtype=np.bool_)
    answer.stop[at[kept]], answer.target[at[kept]] = plan.stop[kept], plan.target[kept]
    answer.trail_bps[at[kept]], answer.max_hold_bars[at[kept]] = plan.trail_bps or 0, plan.max_hold_bars or 0
    answer.entry_long[at] &= kept
    answer.entry_short[at] &= kept
    answer.masked.update((int(row), reason) for row, reason in zip(at, reasons, strict=True) if reason is not None)


def _misplaced(entries: Entries, plan: ExitPlan) -> list[str | None]:
    """Why an entry's levels make no sense against its own close, entry by entry."""
    close, long, stop, target = entries.close, entries.long, plan.stop, plan.target
    wrong = {
        "long stop is not between zero and the close": long & ((stop >= close) | (stop <= 0)),
        "long target is not above the close": long & (target <= close),
        "short stop is not above the close": ~long & (stop <= close),
        "short target is not between zero and the close": ~long & ((target >= close) | (target <= 0)),
    }
    return [next((reason for reason, rows in wrong.items() if rows[at]), None) for at in range(len(close))]


def _plan_problem(plan: ExitPlan, entries: Entries) -> str | None:
    """The first breach of the contract among planned entries, in words; None if there is none."""
    for name in LEVELS:
        levels = getattr(plan, name)
        if levels.dtype != np.float64 or levels.shape != entries.close.shape:
            return f"{name} holds {levels.shape} {levels.dtype}, expected {entries.close.shape} float64"
        if np.isinf(levels).any():
            return f"{name} holds an infinite level; NaN means none"
        if off_tick(levels, entries.tick).any():
            return f"{name} has a level between two ticks; round it with strategies.ticks"
    for name in LIMITS:
        limit = getattr(plan, name)
        if limit is not None and (not isinstance(limit, int) or limit <= 0):
            return f"{name} is {limit!r}, expected a whole number above zero; None means none"
    if plan.trail_bps is not None and np.isnan(plan.stop).any():
        # What trails at the broker is the stop: without a level to start from nothing would rest there at all.
        return "trail_bps trails a stop, and an entry has none; give every entry the level its stop starts from"
    return None
