import threading

import polars as pl
import pytest

from qmworkbench.strategies import expression_tree
from qmworkbench.strategies.expression_tree import Unreadable, read
from qmworkbench.strategies.lint import Rule, lint
from tests.strategies.planted import planted

CLOSE = pl.col.close


@pytest.mark.parametrize(
    ("expr", "shown"),
    [
        (CLOSE, "close"),
        (CLOSE.alias("x"), "close"),
        (CLOSE.shift(-1), "close.shift(-1)"),
        ((CLOSE + 1) / pl.col.open, "((close + 1) / open)"),
        (pl.when(CLOSE > 1).then(CLOSE), "when((close > 1)).then(close).otherwise(None)"),
        (CLOSE.cum_max().over("i_day"), "close.cum_max().over(i_day)"),
        (CLOSE.cum_sum(reverse=True), "close.cum_sum(reverse)"),
        (CLOSE.rolling_mean(5), "close.rolling_mean(5)"),
        (CLOSE.rolling_map(lambda px: px.sum(), 3), "close.rolling_map(3)"),
        (CLOSE.std(), "close.std()"),
        (CLOSE.cast(pl.Int64), "close.cast(Int64)"),
        (CLOSE.is_null(), "close.is_null()"),
        (pl.len(), "len()"),
        (pl.lit(pl.Series([1])), "…"),
    ],
    ids=str,
)
def test_an_expression_is_shown_in_few_words(expr: pl.Expr, shown: str) -> None:
    assert read(expr).shown() == shown


def test_long_ones_are_cut() -> None:
    shown = read(pl.max_horizontal([f"column_{at}" for at in range(40)])).shown(50)
    assert len(shown) == 50
    assert shown.endswith("…")


def test_its_columns_are_those_read_anywhere() -> None:
    expr = pl.when(pl.col.a > 1).then(pl.col.b.gather(pl.col.c)).otherwise(CLOSE.max().over("d", order_by="e"))
    assert set(read(expr).columns) == {"a", "b", "c", "close", "d", "e"}


def test_equal_expressions_are_equal_trees_and_can_be_kept_in_sets() -> None:
    one, same = read(CLOSE.rolling_max(3).shift(1)), read(CLOSE.rolling_max(3).shift(1))
    assert one == same
    assert len({one, same, read(CLOSE.rolling_max(4).shift(1))}) == 2


def test_what_cannot_be_read_is_said_so() -> None:
    lock = threading.Lock()

    def foreign(px: pl.Series) -> pl.Series:
        with lock:
            return px

    expr = CLOSE.map_batches(foreign, return_dtype=pl.Float64)
    with pytest.raises(Unreadable, match="lock"):
        read(expr)
    found = lint(planted(f_close=expr), {})
    assert [(one.column, one.rule) for one in found] == [("f_close", Rule.UNPROVEN)]
    assert found[0].where.startswith("the expression cannot be read (")


def test_a_polars_that_tells_its_expressions_otherwise_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression_tree.json, "loads", lambda _: {"Gather": {"of": "another version"}})
    with pytest.raises(Unreadable, match="in a way this lint does not know"):
        read(CLOSE)
