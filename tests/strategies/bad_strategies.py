"""Strategies that break one rule each, and who has to notice: for tests of everything that runs strategies.

`BAD` holds them by name. Their definitions come from `planted`, enter long above 100, and have the name as their id.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.lint import Rule
from tests.strategies.bar_cases import changed
from tests.strategies.planted import planted

CaughtBy = Literal["contract", "truncation", "isolation"]


@dataclass(frozen=True)
class Bad:
    """One bad strategy: who catches it with data, the words of what it says, and the lint's rule (None: cannot see it).

    `column` is what the finding names.
    """

    definition: StrategyDefinition
    caught_by: CaughtBy
    says: str
    rule: Rule | None
    column: str = "f_close"


def _signals_that_raise(_: object) -> list[list[pl.Expr]]:
    raise RuntimeError("no luck today")


def _python(values: pl.Series) -> pl.Series:
    return values


def _bad(
    name: str,
    caught_by: CaughtBy,
    says: str,
    rule: Rule | None,
    *stages: dict[str, pl.Expr],
    column: str = "f_close",
    **flags: pl.Expr,
) -> tuple[str, Bad]:
    return name, Bad(planted(*stages, strategy_id=name, **flags), caught_by, says, rule, column)


HIGH, CLOSE = pl.col.high, pl.col.close
CHAIN = CLOSE.shift(1).fill_null(0.0)

BROKEN = dict(
    [
        _bad("asks-for-nothing", "contract", "raised ColumnNotFoundError", Rule.COLUMN, {"s_x": pl.col.nothing},
             column="s_x"),
        _bad("says-null", "contract", "column 'exit_long' has 1 nulls; say false", Rule.NEIGHBOURS, column="exit_long",
             exit_long=CLOSE.shift(1) > 0),
        _bad("says-numbers", "contract", "column 'entry_long' is Float64, expected Boolean", None, column="entry_long",
             entry_long=CLOSE),
        _bad("too-short", "contract", "raised ", Rule.PICKED_ROWS, {"s_x": CLOSE.head(2)}, column="s_x"),
        _bad("too-long", "contract", "raised ", Rule.PICKED_ROWS, {"s_x": CLOSE.append(CLOSE)}, column="s_x"),
    ]
)  # fmt: skip
BROKEN["raises"] = Bad(
    changed(planted(strategy_id="raises"), signals=_signals_that_raise),
    "contract",
    "no luck today",
    Rule.RAISES,
    column="signals",
)

LEAKS = dict(
    [
        _bad("first-rows-high", "truncation", "bars after", Rule.WHOLE_FRAME, {"s_range": HIGH.head(15).max()},
             column="s_range", f_close=pl.col.s_range * 1.0),
        _bad("high-of-the-whole-day", "truncation", "bars after", Rule.WHOLE_GROUP, f_close=HIGH.max().over("i_day")),
        _bad("next-close", "truncation", "bars after", Rule.LATER_ROW, f_close=CLOSE.shift(-1).fill_null(0.0)),
        _bad("filled-backward", "truncation", "bars after", Rule.LATER_ROW,
             f_close=pl.when(pl.col.bar % 7 == 6).then(CLOSE).backward_fill().fill_null(0.0)),
        _bad("centred-average", "truncation", "bars after", Rule.LATER_ROW,
             f_close=CLOSE.rolling_mean(5, center=True).over("i_day").fill_null(0.0)),
        _bad("high-still-to-come", "truncation", "bars after", Rule.LATER_ROW,
             f_close=HIGH.cum_max(reverse=True).over("i_day")),
        _bad("row-after", "truncation", "bars after", Rule.LATER_ROW,
             f_close=CLOSE.gather((pl.col.i_index + 1).clip(upper_bound=pl.len().cast(pl.Int32) - 1))),
        _bad("rank-of-the-day", "truncation", "bars after", Rule.ORDER, f_close=CLOSE.rank().over("i_day") * 1.0),
        _bad("share-of-the-days-volume", "truncation", "bars after", Rule.WHOLE_GROUP,
             f_close=pl.col.volume.cum_sum().over("i_day") / pl.col.volume.sum().over("i_day") + CLOSE.mean()),
    ]
)  # fmt: skip

NEIGHBOURS = dict(
    [
        _bad("row-above", "isolation", "other symbols", Rule.NEIGHBOURS, f_close=CHAIN),
        _bad("running-over-all", "isolation", "other symbols", Rule.NEIGHBOURS, f_close=HIGH.cum_max()),
        _bad("average-over-the-seam", "isolation", "other symbols", Rule.NEIGHBOURS,
             f_close=CLOSE.rolling_mean(3, min_samples=1)),
        _bad("market-of-the-minute", "isolation", "other symbols", Rule.GROUP, f_close=CLOSE.mean().over("bar")),
        _bad("filled-from-above", "isolation", "other symbols", Rule.NEIGHBOURS,
             f_close=pl.when(pl.col.bar > 9).then(CLOSE).forward_fill().fill_null(0.0)),
    ]
)  # fmt: skip

BAD: dict[str, Bad] = {**BROKEN, **LEAKS, **NEIGHBOURS}
