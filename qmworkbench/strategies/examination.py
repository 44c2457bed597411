"""What an examination of a strategy looks at and finds: every column it computes, compared (§3).

Examinations run a strategy on bars that may make no difference to what it says, and name every column that differs.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np
import polars as pl

from qmworkbench.strategies.bars import KEYS, prepared
from qmworkbench.strategies.contract import FLAGS, LEVELS, LIMITS, StrategyFault, answers, signalled
from qmworkbench.strategies.definition import Program, StrategyDefinition
from qmworkbench.strategies.parameters import Params

# Exits first: cleaning and masking make entries follow from them.
OUTCOME = ("exit_long", "exit_short", "entry_long", "entry_short", *LEVELS, *LIMITS, "masked")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A column whose value at a bar changed when only other bars did.

    `before` is the value from the smaller set of bars, `after` from the larger one; `bars` says what made the
    difference. A strategy that broke its contract on one of the two has the fault in place of a column.
    """

    column: str
    symbol: str
    ts: datetime
    before: str
    after: str
    bars: str


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What a check looked at and found. `findings` has the first difference of each column, causes before effects.

    `thin_rows`: rows of symbols with less history than the strategy asks for, where only the longer history could
    answer; no fault of the strategy's.
    """

    check: str
    strategy_id: str
    params_hash: str
    symbols: int
    comparisons: int
    rows: int
    findings: tuple[Finding, ...]
    thin_rows: int = 0

    @property
    def clean(self) -> bool:
        """Whether something was compared and nothing differed."""
        return self.rows > 0 and not self.findings


def by_symbol(bars: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """The rows of each symbol, in the order in which they come."""
    return [(str(key[0]), rows) for key, rows in bars.partition_by("symbol", as_dict=True).items()]


def told(program: Program, bars: pl.DataFrame) -> pl.DataFrame | str:
    """Every column the strategy computes for `bars`, intermediate ones included, or the fault it raises."""
    try:
        table = signalled(program, prepared(bars))
        outcome = answers(program, table).frame(table["symbol"], table["ts"])
    except StrategyFault as fault:
        return fault.problem
    own = [name for name in table.columns if name not in OUTCOME]
    return table.select(own).hstack(outcome.select(OUTCOME))


def telling_rows(answer: pl.DataFrame, most: int) -> list[int]:
    """Rows to cut after: the telling ones first, then evenly spread, never the last."""
    enters = (answer["entry_long"] | answer["entry_short"]).to_numpy()
    flags = answer.select(FLAGS).to_numpy()
    turns = np.zeros(len(answer), dtype=np.bool_)
    turns[1:] = (flags[1:] != flags[:-1]).any(axis=1)
    spread = np.linspace(0, max(len(answer) - 2, 0), num=max(most // 2, 2)).astype(int)
    wanted = [*np.flatnonzero(enters)[: most // 4], *(np.flatnonzero(enters)[: most // 8] - 1), *spread]
    room = max(most - len(set(wanted)), 0)
    turning = np.flatnonzero(turns)
    wanted += list(turning[:: max(len(turning) // room, 1)][:room]) if room else []
    return sorted({int(cut) for cut in wanted if 0 <= cut < len(answer) - 1})


class Tally:
    """Differences found so far, the first of each column."""

    def __init__(self, check: str, definition: StrategyDefinition, params: Params, ordered: Sequence[str]) -> None:
        self.thin_rows = 0
        self._check, self._definition, self._params = check, definition, params
        causes = [name for name in ordered if name not in OUTCOME]
        self._order = {name: at for at, name in enumerate((*causes, *OUTCOME))}
        self._findings: dict[str, Finding] = {}
        self._symbols: set[str] = set()
        self._comparisons = self._rows = 0

    def compare(self, before: pl.DataFrame, after: pl.DataFrame, what: str) -> None:
        """Note the columns in which the two differ."""
        self._comparisons += 1
        self._rows += len(before)
        self._symbols.update(before["symbol"].unique())
        for name in self._order:
            if name in self._findings or name not in before.columns or name in KEYS:
                continue
            differs = before[name].ne_missing(after[name])
            if differs.any():
                row = int(differs.arg_true()[0])
                self._findings[name] = Finding(
                    column=name,
                    symbol=before["symbol"][row],
                    ts=before["ts"][row],
                    before=str(before[name][row]),
                    after=str(after[name][row]),
                    bars=what,
                )

    def fault(self, symbol: str, bars: pl.DataFrame, before: str, after: str, what: str) -> None:
        """Note that the strategy broke its contract on one of two sets of bars."""
        self._comparisons += 1
        self._rows += len(bars)
        self._symbols.add(symbol)
        finding = Finding(
            column="fault",
            symbol=symbol,
            ts=bars["ts"][-1],
            before=before or "no fault",
            after=after or "no fault",
            bars=what,
        )
        self._findings.setdefault("fault", finding)

    def examination(self) -> Examination:
        """What was looked at and found."""
        order = {**self._order, "fault": -1}
        return Examination(
            check=self._check,
            strategy_id=self._definition.strategy_id,
            params_hash=self._definition.hash(self._params),
            symbols=len(self._symbols),
            comparisons=self._comparisons,
            rows=self._rows,
            findings=tuple(sorted(self._findings.values(), key=lambda finding: order[finding.column])),
            thin_rows=self.thin_rows,
        )
