from collections.abc import Mapping

import polars as pl
import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.catalog import catalog, default_instances
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.lint import REMEDIES, Rule, clashes, lint
from qmworkbench.strategies.parameters import ParameterError, Value
from tests.strategies.planted import planted

HIGH, CLOSE, ROW = pl.col.high, pl.col.close, pl.col.i_index
FIRST = ROW - pl.col.i_pos
NOTHING = float("-inf")


def rules(*stages: Mapping[str, pl.Expr], **flags: pl.Expr) -> dict[str, list[Rule]]:
    """The rules broken, by column."""
    found: dict[str, list[Rule]] = {}
    for finding in lint(planted(*stages, **flags), {}):
        found.setdefault(finding.column, []).append(finding.rule)
    return found


def feature(expr: pl.Expr, *stages: Mapping[str, pl.Expr]) -> list[Rule]:
    """The rules a single feature breaks."""
    found = rules(*stages, f_close=expr * 1.0)
    assert set(found) <= {"f_close"}
    return found.get("f_close", [])


def test_the_range_of_the_first_rows_bare_fails() -> None:
    found = lint(planted({"s_range": HIGH.head(15).max()}, f_close=pl.col.s_range * 1.0), {})
    assert {(one.column, one.rule) for one in found} >= {("s_range", Rule.WHOLE_FRAME), ("s_range", Rule.PICKED_ROWS)}
    assert found[0].where == "high.slice(0, 15).max()"
    assert found[0].remedy == REMEDIES[Rule.WHOLE_FRAME]
    assert "cum_max" in found[0].sentence()


def test_the_same_range_masked_and_running_passes() -> None:
    masked = pl.when(pl.col.bar < 15).then(HIGH).otherwise(NOTHING)
    assert rules({"s_range": masked.cum_max().over("i_day")}, f_close=pl.col.s_range * 1.0) == {}


@pytest.mark.parametrize(
    ("expr", "broken"),
    [
        (CLOSE.shift(-1).over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.shift(pl.col.bar.first().over("i_day")).over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.diff(-2).over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.pct_change(-1).over("i_symbol"), [Rule.LATER_ROW]),
        (CLOSE.reverse().over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.backward_fill().over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.interpolate().over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.peak_max().over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.cum_sum(reverse=True).over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.rolling_mean(5, center=True).over("i_day"), [Rule.LATER_ROW]),
        (CLOSE.gather(ROW + 1), [Rule.LATER_ROW, Rule.NEIGHBOURS]),
        (CLOSE.max().rolling("ts", period="5m", offset="0m"), [Rule.LATER_ROW, Rule.NEIGHBOURS]),
        (CLOSE.max(), [Rule.WHOLE_FRAME, Rule.NEIGHBOURS]),
        (CLOSE.first(), [Rule.WHOLE_FRAME, Rule.NEIGHBOURS]),
        (pl.len(), [Rule.WHOLE_FRAME, Rule.NEIGHBOURS]),
        (CLOSE.quantile(0.5), [Rule.WHOLE_FRAME]),
        (CLOSE.std().over("i_day"), [Rule.WHOLE_GROUP]),
        (CLOSE.last().over("i_day"), [Rule.WHOLE_GROUP]),
        (pl.len().over("i_day"), [Rule.WHOLE_GROUP]),
        ((CLOSE > 1).any().over("i_day"), [Rule.WHOLE_GROUP]),
        (CLOSE.fill_null(strategy="mean").over("i_day"), [Rule.WHOLE_GROUP]),
        (CLOSE.rank().over("i_day"), [Rule.ORDER]),
        (CLOSE.sort().over("i_day"), [Rule.ORDER]),
        (CLOSE.sort_by("volume").over("i_day"), [Rule.ORDER]),
        (CLOSE.shuffle(seed=1).over("i_day"), [Rule.ORDER]),
        (CLOSE.cum_sum().over("session"), [Rule.GROUP]),
        (CLOSE.cum_sum().over("bar"), [Rule.GROUP]),
        (CLOSE.cum_sum().over("i_day", order_by="volume"), [Rule.GROUP]),
        (CLOSE.cum_sum().over("i_day", order_by="ts", descending=True), [Rule.GROUP]),
        (CLOSE.map_elements(lambda px: px, return_dtype=pl.Float64), [Rule.PYTHON]),
        (CLOSE.map_batches(lambda px: px, return_dtype=pl.Float64), [Rule.PYTHON]),
        (CLOSE.rolling_map(lambda px: px.sum(), 3).over("i_day"), [Rule.PYTHON]),
        (pl.fold(pl.lit(0.0), lambda a, b: a + b, [CLOSE]), [Rule.PYTHON]),
        (CLOSE.drop_nulls(), [Rule.PICKED_ROWS]),
        (CLOSE.gather(FIRST).over("i_day"), [Rule.PICKED_ROWS]),
        (CLOSE.filter(CLOSE > 1), [Rule.PICKED_ROWS]),
        (pl.lit(pl.Series([1.0, 2.0])), [Rule.OWN_DATA]),
        (pl.nth(3), [Rule.COLUMN]),
        (pl.col("float"), [Rule.COLUMN]),
        (pl.concat_list("open", "close").list.max(), [Rule.UNPROVEN]),
    ],
    ids=str,
)
def test_what_is_not_safe_is_found(expr: pl.Expr, broken: list[Rule]) -> None:
    assert feature(expr) == broken


@pytest.mark.parametrize(
    "expr",
    [
        CLOSE.shift(1).over("i_day"),
        CLOSE.diff(2).over("i_symbol"),
        CLOSE.cum_max().over("symbol", "session"),
        CLOSE.cum_sum().over("i_day", order_by="ts"),
        CLOSE.rolling_max(5).over("i_day"),
        CLOSE.rolling_mean_by("ts", "5m").over("i_day"),
        CLOSE.ewm_mean(alpha=0.1, adjust=False).over("i_day"),
        CLOSE.forward_fill().over("i_day"),
        CLOSE.first().over("i_day"),
        CLOSE.gather(FIRST),
        pl.max_horizontal("open", "close").round(2).clip(0, 9),
        pl.when(CLOSE.is_between(1, 2) & ~CLOSE.is_nan()).then(CLOSE**0.5).otherwise(-CLOSE),
        pl.lit(3.0).max() + pl.col.ts.dt.hour(),
        pl.when(ind.since(3)).then(CLOSE.shift(3)),
        pl.when(ind.since(3)).then(CLOSE.rolling_sum(4)),
        pl.when(pl.col.i_pos < 3).then(None).otherwise(CLOSE.shift(1) - CLOSE.shift(3)),
        pl.when(ind.since(5)).then(pl.when(CLOSE > 1).then(CLOSE.shift(5))),
    ],
    ids=str,
)
def test_what_is_safe_passes(expr: pl.Expr) -> None:
    assert feature(expr) == []


def test_a_mask_that_asks_for_too_little_does_not_help() -> None:
    assert feature(pl.when(ind.since(2)).then(CLOSE.shift(3))) == [Rule.NEIGHBOURS]
    found = rules({"s_x": CLOSE.shift(2)}, f_close=pl.when(ind.since(3)).then(pl.col.s_x.shift(2)))
    assert found == {"s_x": [Rule.NEIGHBOURS]}
    assert rules({"s_x": CLOSE.shift(2)}, f_close=pl.when(ind.since(4)).then(pl.col.s_x.shift(2))) == {}


def test_a_condition_proves_through_columns_what_it_says_and_no_more() -> None:
    deep, high = ind.since(3), CLOSE > 1
    for flag in (deep & high, pl.when(high).then(deep), (high & deep).fill_null(False), ~(~deep | high)):
        assert rules({"s_flag": flag}, f_close=pl.when(pl.col.s_flag).then(CLOSE.shift(3))) == {}
    for flag in (
        deep | high,
        pl.when(deep).then(high).otherwise(pl.col.open > 1),
        (high & deep).fill_null(True),
        ~deep,
    ):
        found = rules({"s_flag": flag}, f_close=pl.when(pl.col.s_flag).then(CLOSE.shift(3)))
        assert found == {"f_close": [Rule.NEIGHBOURS]}
    later = pl.col.s_flag.shift(1).over("i_day")
    assert rules({"s_flag": deep}, f_close=pl.when(later).then(CLOSE.shift(3))) == {"f_close": [Rule.NEIGHBOURS]}


def test_running_totals_of_whole_numbers_may_be_subtracted() -> None:
    counted, summed = {"s_n": (CLOSE > 1).cum_sum()}, {"s_n": CLOSE.cum_sum()}
    window = pl.when(ind.since(4)).then(pl.col.s_n - pl.col.s_n.shift(5))
    today = pl.col.s_n - pl.col.s_n.gather(FIRST)
    for expr in (window, today):
        assert rules(counted, f_close=expr * 1.0) == {}
        assert rules(summed, f_close=expr * 1.0) == {"s_n": [Rule.NEIGHBOURS]}  # floats keep the neighbour's last bits
    assert rules(counted, f_close=pl.when(ind.since(3)).then(pl.col.s_n - pl.col.s_n.shift(5))) == {
        "f_close": [Rule.NEIGHBOURS]
    }


@pytest.mark.parametrize(
    "expr",
    [
        (ROW % 2 == 0) * 1.0,
        (ROW > 10) * 1.0,
        (ROW == 0) * 1.0,
        (pl.col.i_day > 3) * 1.0,
        (pl.col.i_symbol == 0) * 1.0,
        (pl.col.i_day == ROW) * 1.0,
        (ROW + pl.col.i_day > 3) * 1.0,
        (ROW + ROW > 3) * 1.0,
        (5 - ROW > 0) * 1.0,
        ROW * 1.0,
        ROW,
        (ROW - 1).cast(pl.Float64),
        pl.when(ROW).then(CLOSE),
        pl.when(CLOSE > 1).then(ROW).otherwise(pl.col.i_day) * 1.0,
        ROW.cum_sum().over("i_day") * 1.0,
        ROW.pct_change(1).over("i_day"),
        ROW.rolling_mean(3).over("i_day"),
        pl.mean_horizontal(ROW, "close"),
        pl.max_horizontal(ROW, "i_day") * 1.0,
    ],
    ids=str,
)
def test_a_row_number_is_no_value(expr: pl.Expr) -> None:
    assert Rule.ROW_NUMBER in feature(expr)


def test_a_row_number_is_no_value_in_whatever_column_it_comes_from() -> None:
    stages = {"s_row": pl.when(CLOSE > 105).then(ROW).forward_fill().over("i_day")}
    assert rules(stages, f_close=(pl.col.s_row > 10) * 1.0) == {"f_close": [Rule.ROW_NUMBER]}
    assert rules(stages, f_close=pl.col.s_row.fill_null(-1)) == {"f_close": [Rule.ROW_NUMBER]}
    found = lint(planted(stages, f_close=pl.col.s_row), {})
    assert [(one.rule, one.where) for one in found] == [(Rule.ROW_NUMBER, "f_close shows i_index itself")]


@pytest.mark.parametrize(
    "expr",
    [
        pl.when(pl.col.s_row >= FIRST).then(ROW - pl.col.s_row),
        ((pl.col.s_row == ROW) & (pl.col.s_row >= FIRST)).fill_null(False) * 1.0,
        (pl.col.s_row.fill_null(-1) != -1) * 1.0,
        pl.col.s_row.is_null() * 1.0,
        pl.col.s_row.diff(1).over("i_day"),
        (pl.max_horizontal("s_row", FIRST) == pl.col.s_row.cum_max().over("i_day")) * 1.0,
        (pl.col.s_row.rolling_max(3).over("i_day") == ROW) * 1.0,
        (pl.col.i_day != pl.col.i_day.shift(1).over("i_symbol")) * 1.0,
    ],
    ids=str,
)
def test_rows_may_be_told_apart_by_their_numbers(expr: pl.Expr) -> None:
    stages = {"s_row": pl.when(CLOSE > 105).then(ROW).forward_fill().over("i_day")}
    assert rules(stages, f_close=expr) == {}


EVENT = {"s_row": pl.when(CLOSE > 105).then(ROW).forward_fill()}
AGO = ROW - pl.col.s_row


@pytest.mark.parametrize(
    ("expr", "blamed"),
    [
        (pl.when(pl.col.i_pos >= AGO).then(AGO), ""),
        (pl.when(pl.col.i_pos >= AGO).then(CLOSE.gather(pl.col.s_row)), ""),
        (pl.when(pl.col.s_row >= FIRST).then(AGO), ""),
        (pl.when(pl.col.s_row > FIRST + 3).then(AGO), ""),
        (pl.when(pl.col.s_row >= FIRST - 1).then(AGO), "s_row"),
        (((pl.col.s_row >= FIRST) & (AGO < 5)).fill_null(False).cast(pl.Float64), ""),
        (pl.all_horizontal(pl.col.s_row >= FIRST, AGO < 5).fill_null(False).cast(pl.Float64), ""),
        (((pl.col.s_row >= FIRST) | (AGO < 5)).fill_null(False).cast(pl.Float64), "s_row"),
        (AGO, "s_row"),
        (pl.when(AGO < 5).then(AGO), "s_row"),
        (CLOSE.gather(pl.col.s_row), "f_close"),
    ],
    ids=str,
)
def test_an_event_counts_once_it_is_shown_to_be_of_the_session(expr: pl.Expr, blamed: str) -> None:
    assert rules(EVENT, f_close=expr * 1.0) == ({blamed: [Rule.NEIGHBOURS]} if blamed else {})


def test_a_value_carried_on_with_its_event_is_of_the_same_session() -> None:
    stages = {"s_side": pl.when(CLOSE > 105).then(CLOSE)}
    value = pl.col.s_side.forward_fill().shift(1)
    row = pl.when(pl.col.s_side.is_not_null()).then(ROW).forward_fill().shift(1)
    assert rules(stages, f_close=pl.when(row >= FIRST).then(value)) == {}
    other = pl.when(CLOSE > 104).then(ROW).forward_fill().shift(1)
    assert rules(stages, f_close=pl.when(other >= FIRST).then(value)) == {"f_close": [Rule.NEIGHBOURS]}


def test_columns_beside_each_other_do_not_see_each_other() -> None:
    found = lint(planted({"s_a": CLOSE * 2, "s_b": pl.col.s_a + 1}), {})
    assert [(one.column, one.rule) for one in found] == [("s_b", Rule.COLUMN)]
    assert found[0].where == "s_a is neither in the bars nor in an earlier stage"


def test_bars_are_not_overwritten() -> None:
    assert rules({"close": CLOSE * 1.0}) == {"close": [Rule.OVERWRITES]}
    assert rules({"i_pos": pl.col.i_pos + 1}) == {"i_pos": [Rule.OVERWRITES]}


def test_an_indicator_of_one_name_means_one_thing() -> None:
    one, other = planted({"i_x": CLOSE * 2}, strategy_id="one"), planted({"i_x": CLOSE * 3}, strategy_id="other")
    assert clashes([(one, {}), (one, {})]) == ()
    found = clashes([(one, {}), (other, {}), (other, {})])
    assert [(each.strategy_id, each.column, each.rule) for each in found] == [("other", "i_x", Rule.TWO_MEANINGS)]
    assert found[0].where == "(close * 3) is something else in strategy one"


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ParameterError, match="range_bars = 1 is out of range"):
        lint(catalog()["opening-range"], {"range_bars": 1})


def alternatives(definition: StrategyDefinition) -> list[dict[str, Value]]:
    """The approved set, and each other choice and position of a switch by itself."""
    found: list[dict[str, Value]] = [{}]
    for spec in definition.parameter_specs:
        others: list[Value] = [value for value in spec.choices if value != spec.approved]
        if isinstance(spec.approved, bool):
            others.append(not spec.approved)
        found += [{spec.name: other} for other in others]
    return found


def runnable(definition: StrategyDefinition) -> list[dict[str, Value]]:
    sets = []
    for overrides in alternatives(definition):
        try:
            definition.parameters(overrides)
        except ParameterError:
            continue  # a contradiction of its own
        sets.append(overrides)
    return sets


@pytest.mark.parametrize("definition", list(catalog().values()), ids=lambda entry: entry.strategy_id)
def test_every_strategy_of_the_catalog_is_clean(definition: StrategyDefinition) -> None:
    for overrides in runnable(definition):
        found = lint(definition, overrides)
        assert found == (), "\n".join(one.sentence() for one in found)


def test_the_catalogs_indicators_mean_one_thing_each() -> None:
    sets = [(definition, overrides) for definition in catalog().values() for overrides in runnable(definition)]
    sets += [(catalog()[each.strategy_id], each.params) for market in AssetClass for each in default_instances(market)]
    assert len(sets) > 20
    assert clashes(sets) == ()
