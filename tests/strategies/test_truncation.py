from pathlib import Path

import polars as pl
import pytest

from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.bars import anchored
from qmworkbench.strategies.catalog import catalog
from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.definition import Anchor, StrategyDefinition
from qmworkbench.strategies.one_pass import reached
from qmworkbench.strategies.parameters import Value
from qmworkbench.strategies.truncation import anchoring, isolation, truncation
from tests.strategies.bar_cases import changed, equities, forex, made
from tests.strategies.planted import plan_of, planted

CASES: list[tuple[str, dict[str, Value]]] = [
    ("opening-range", {}),
    ("opening-range", {"short": True, "range_bars": 5, "max_breaks": 4, "confirm_bars": 0}),
    ("donchian", {}),
    ("donchian", {"entry_bars": 20, "exit_bars": 10, "atr_bars": 14, "target_r": 2.0}),
    ("sma-cross", {}),
    ("sma-cross", {"fast_bars": 5, "slow_bars": 10, "enter_within_bars": 3}),
    ("rsi-reversion", {}),
    ("rsi-reversion", {"rsi_bars": 21, "oversold": 35.0, "target_at": "r", "target_r": 1.5}),
    ("vwap-pullback", {}),
    ("vwap-pullback", {"min_extension_pct": 0.5, "min_pullback_bars": 2, "near_bps": 60.0, "turn_bars": 5}),
    ("high-of-day", {}),
    ("high-of-day", {"base_bars": 5, "max_given_back": 0.6, "min_break_volume": 1.0, "exit_bars": 4}),
    ("washout-reclaim", {}),
    ("washout-reclaim", {"level": "vwap", "min_flush_pct": 0.5, "min_flush_atr": 2.0, "min_climax_volume": 1.0}),
]
EACH = pytest.mark.parametrize(("strategy_id", "overrides"), CASES)
LIVELY = ("AOBC", "OPK", "SRC", "SWN", "XON")


@EACH
def test_on_a_real_day_nothing_depends_on_later_bars(
    shared_data: Path, strategy_id: str, overrides: dict[str, Value]
) -> None:
    definition = catalog()[strategy_id]
    params = definition.parameters(overrides)
    market = equities(shared_data).only(LIVELY)
    anchor = definition.anchor(params)
    bars = anchored(market.bars, reached(anchor, market.grids), anchor.bars)
    found = truncation(definition, bars, params)
    assert found.findings == ()
    assert found.clean
    assert found.symbols == 5
    assert found.comparisons > 60
    assert evaluate(definition, bars, params)["entry_long"].any()  # or there would be nothing to compare


@EACH
def test_on_a_real_day_nothing_depends_on_the_neighbours(
    shared_data: Path, strategy_id: str, overrides: dict[str, Value]
) -> None:
    definition = catalog()[strategy_id]
    found = isolation(definition, equities(shared_data, 1).only(LIVELY).bars, definition.parameters(overrides))
    assert found.findings == ()
    assert found.clean


@EACH
def test_the_anchor_is_enough_on_a_real_day(shared_data: Path, strategy_id: str, overrides: dict[str, Value]) -> None:
    definition = catalog()[strategy_id]
    market = equities(shared_data)
    found = anchoring(definition, market.bars, market.grids, definition.parameters(overrides))
    assert found.findings == ()
    assert found.symbols == 194
    assert found.thin_rows == 0


@pytest.mark.parametrize("strategy_id", ["donchian", "sma-cross", "rsi-reversion"])
def test_hours_of_nine_pairs_are_clean_too(shared_data: Path, strategy_id: str) -> None:
    definition = catalog()[strategy_id]
    market, params = forex(shared_data, sessions=14), definition.parameters({})
    anchor = definition.anchor(params)
    bars = anchored(market.bars, reached(anchor, market.grids), anchor.bars)
    for found in (
        truncation(definition, bars, params, cuts=40),
        isolation(definition, bars, params),
        anchoring(definition, market.bars, market.grids, params),
    ):
        assert found.findings == ()
        assert found.clean
        assert found.symbols == 9


LOOKS_AHEAD: dict[str, tuple[StrategyDefinition, str]] = {
    "the range of the first rows, bare": (
        planted({"s_range": pl.col.high.head(15).max()}, f_close=pl.col.s_range * 1.0),
        "s_range",
    ),
    "the day's high": (planted(f_close=pl.col.high.max().over("i_day")), "f_close"),
    "the next close": (planted(f_close=pl.col.close.shift(-1).fill_null(0.0)), "f_close"),
    "the next close as a flag": (planted(exit_long=(pl.col.close.shift(-1) < 100).fill_null(False)), "exit_long"),
    "a centred average": (
        planted({"s_mean": pl.col.close.rolling_mean(5, center=True, min_samples=1)}, f_close=pl.col.s_mean),
        "s_mean",
    ),
    "filled from behind": (
        planted({"s_at": pl.when(pl.col.close > 103).then(pl.col.close).backward_fill()}, f_close=pl.col.s_at),
        "s_at",
    ),
    "how long the day lasts": (planted(exit_long=pl.col.i_row == pl.len() - 1), "exit_long"),
    "the stop from tomorrow": (
        planted(
            {"s_low": pl.col.low.reverse().cum_min().reverse()},
            plan=plan_of(stop=lambda entries: entries.features["f_close"] - 1),
            f_close=pl.col.s_low,
        ),
        "s_low",
    ),
}
WAVE = [100.0 + (3 * bar) % 7 - (bar % 11) / 2 for bar in range(60)]


@pytest.mark.parametrize("name", LOOKS_AHEAD)
def test_a_planted_look_ahead_is_caught_and_the_column_at_fault_named_first(name: str) -> None:
    definition, column = LOOKS_AHEAD[name]
    found = truncation(definition, made({"A": WAVE, "B": WAVE[::-1]}).bars, {})
    assert not found.clean
    assert found.findings[0].column == column
    assert found.findings[0].symbol == "A"
    assert found.findings[0].before != found.findings[0].after
    assert found.findings[0].bars.startswith("bars after 2018-03-02")


def test_the_same_range_masked_and_running_passes() -> None:
    high = ind.opening_range_high(15)
    stages = [{expr.meta.output_name(): expr for expr in stage} for stage in high.stages]
    definition = planted(*stages, f_close=high.col)
    assert truncation(definition, made({"A": WAVE}).bars, {}).clean


def test_a_strategy_that_breaks_only_when_cut_is_told_as_a_fault() -> None:
    definition = planted(exit_long=pl.col.close.shift(-1) < 0)
    found = truncation(definition, made({"A": WAVE}).bars, {})
    assert found.findings[0].column == "fault"
    assert "1 nulls" in found.findings[0].after
    cut_only = planted(exit_long=pl.when(pl.len() < 60).then(None).otherwise(pl.lit(False)))
    found = truncation(cut_only, made({"A": WAVE}).bars, {})
    assert found.findings[0].column == "fault"
    assert (found.findings[0].before[:6], found.findings[0].after) == ("column", "no fault")


def test_a_strategy_that_looks_at_its_neighbours_is_caught() -> None:
    for leak in (pl.col.close.rank() * 1.0, pl.col.close.shift(1).fill_null(0.0)):
        definition = planted(f_close=leak)
        found = isolation(definition, made({"A": WAVE, "B": WAVE[::-1]}).bars, {})
        assert [finding.column for finding in found.findings] == ["f_close"]
        assert found.findings[0].bars == "other symbols"


def test_a_strategy_that_breaks_only_in_company_is_told_as_a_fault() -> None:
    definition = planted(f_close=pl.col.close.gather(pl.col.i_index).over("i_day"))  # right for the first symbol alone
    found = isolation(definition, made({"A": WAVE, "B": WAVE}).bars, {})
    assert [finding.column for finding in found.findings] == ["fault"]
    assert found.findings[0].before == "no fault"
    assert "OutOfBoundsError" in found.findings[0].after


def test_an_anchor_that_is_too_short_is_caught(shared_data: Path) -> None:
    market = forex(shared_data)
    definition = changed(catalog()["donchian"], anchor=lambda _: Anchor(bars=20))
    found = anchoring(definition, market.bars, market.grids, definition.parameters({}))
    assert "f_channel_high" in {finding.column for finding in found.findings}
    assert found.findings[0].bars == "more history"


def test_recursive_indicators_are_told_to_depend_on_their_anchor(shared_data: Path) -> None:
    average = ind.ema("close", 20)
    stages = [{expr.meta.output_name(): expr for expr in stage} for stage in average.stages]
    definition = planted(*stages, f_close=average.col, anchor=Anchor(sessions=2, bars=None))
    market = forex(shared_data)
    found = anchoring(definition, market.bars, market.grids, {})
    assert found.findings[0].column == "f_close"
    assert truncation(definition, market.bars, {}).clean


def test_a_symbol_with_too_little_history_is_counted_and_not_blamed(shared_data: Path) -> None:
    market = forex(shared_data)
    definition = catalog()["donchian"]
    params = definition.parameters({"entry_bars": 60})
    reach = market.grids[-1 - definition.anchor(params).reach(24)]
    thin = (
        (pl.col("symbol") == "USDJPY") & (pl.col("ts") >= reach.opens_at) & (pl.col("ts") < market.grids[-2].opens_at)
    )
    found = anchoring(definition, market.bars.filter(~thin), market.grids, params)
    assert found.findings == ()
    assert found.thin_rows == 24


def test_nothing_examined_is_not_clean() -> None:
    assert not truncation(planted(), made({"A": [1.0]}).bars, {}).clean
