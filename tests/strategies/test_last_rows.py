from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies.bars import anchored, last_of_each, prepared
from qmworkbench.strategies.catalog import catalog
from qmworkbench.strategies.contract import StrategyFault, signalled
from qmworkbench.strategies.last_rows import LastRows, Lot, computed, row_by_row
from qmworkbench.strategies.one_pass import reached
from qmworkbench.strategies.rules import RuleBook, Rules
from tests.strategies.bar_cases import equities, forex, made
from tests.strategies.planted import planted
from tests.strategies.test_frames import instance

A, B = pl.col.a, pl.col.b


@pytest.mark.parametrize(
    "expr",
    [
        (A + 1 > B) & ~(A < 2),
        pl.when(A > 0).then(B).otherwise(None),
        (A / B).round(1).fill_null(0.0).clip(0, 1),
        A.is_between(1, 2) | A.is_null(),
        pl.max_horizontal(A, B) - pl.min_horizontal(A, 3),
        pl.all_horizontal(A > 1, B > 1).fill_null(False),
        A.cast(pl.Float64).abs().sign(),
        pl.lit(False),
    ],
    ids=str,
)
def test_what_looks_at_its_own_row_alone_is_known(expr: pl.Expr) -> None:
    assert row_by_row(expr)


@pytest.mark.parametrize(
    "expr",
    [
        A.shift(1) > B,
        A.cum_sum(),
        A - A.max(),
        A.rolling_mean(3),
        A.forward_fill(),
        A.gather(B),
        A.cum_max().over("b"),
        A.ewm_mean(alpha=0.5),
        A.is_in(B),
        A.rank(),
        pl.len() - A,
        A.map_batches(lambda s: s, return_dtype=pl.Float64),
        A + pl.lit(pl.Series([1, 2])),
    ],
    ids=lambda e: str(e)[:40],
)
def test_what_may_look_at_others_is_not_mistaken(expr: pl.Expr) -> None:
    assert not row_by_row(expr)


def lot_of(rules: list[Rules], frame: pl.DataFrame) -> Lot:
    """Prepared bars, the last row of each symbol asked about."""
    compiled = LastRows(rules)
    last = np.append(np.flatnonzero(np.diff(frame["i_symbol"].to_numpy())), frame.height - 1)
    return Lot(compiled, frame.select(compiled.frame_reads), last, frame.select(compiled.row_reads)[last])


@pytest.mark.parametrize("strategy_id", list(catalog()))
@pytest.mark.parametrize("cut", [3, 40, 389])
def test_the_last_rows_of_every_strategy_are_those_of_the_whole(shared_data: Path, strategy_id: str, cut: int) -> None:
    definition = catalog()[strategy_id]
    params = definition.parameters({})
    is_forex = AssetClass.EQUITY not in definition.asset_classes
    market = forex(shared_data) if is_forex else equities(shared_data).only(["AOBC", "OPK", "SRC", "SWN", "XON"])
    anchor, today = definition.anchor(params), pl.col("session") == market.grids[-1].session
    bars = anchored(market.bars.filter(~today | (pl.col("bar") <= cut)), reached(anchor, market.grids), anchor.bars)
    rules, frame = Rules.of(definition, params), prepared(bars)
    lot = lot_of([rules], frame)
    assert lot.compiled.parts[0].late, "nothing is left for the last rows: every column is computed whole"
    whole = signalled(rules.program, frame)[lot.last]
    found = computed([lot])[0][0]
    assert found.equals(whole.select(found.columns))
    if anchor.moving:  # a start anywhere before the bars looked back to gives the same bits
        for more in (1, 2, 30):
            part = prepared(last_of_each(bars, (anchor.bars or 0) + more))
            assert computed([lot_of([rules], part)])[0][0].equals(found)


def test_programs_with_steps_of_one_name_keep_them_apart() -> None:
    up = planted({"s_x": pl.col.close.shift(1)}, f_close=pl.col.s_x * 1.0, strategy_id="up")
    down = planted({"s_x": pl.col.close.shift(2)}, f_close=pl.col.s_x * -1.0, strategy_id="down")
    book = RuleBook([instance("a", "up"), instance("b", "down")], {"up": up, "down": down})
    frame = prepared(made({"A": [1.0, 2.0, 3.0], "B": [4.0, 5.0, 6.0]}).bars)
    first, second = computed([lot_of(list(book.distinct.values()), frame)])[0]
    assert first["f_close"].to_list() == [2.0, 5.0]
    assert second["f_close"].to_list() == [-1.0, -4.0]


def test_an_indicator_of_several_programs_is_computed_once() -> None:
    book = RuleBook([instance("a"), instance("b", exit_bars=10), instance("c", "sma-cross")])
    compiled = LastRows(list(book.distinct.values()))
    names = [expr.meta.output_name() for stage in compiled.early for expr in stage]
    shared = [name for name in names if name.startswith("i_")]
    assert len(shared) == len(set(shared))
    assert "i_atr_mean_20_symbol" in shared


def test_a_fault_names_the_first_of_those_computed_together() -> None:
    broken = planted({"s_x": pl.col.nowhere}, strategy_id="broken")
    book = RuleBook([instance("a", "broken")], {"broken": broken})
    frame = prepared(made({"A": [1.0, 2.0]}).bars)
    with pytest.raises(StrategyFault, match="strategy broken: raised ColumnNotFoundError") as caught:
        computed([lot_of(list(book.distinct.values()), frame)])
    assert "\n" not in str(caught.value)


def test_nothing_to_compute_is_no_query() -> None:
    assert computed([]) == []
