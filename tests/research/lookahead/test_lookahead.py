"""A planted look-ahead in each strategy of the catalog is caught, its column named; the catalog itself passes."""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import msgspec
import polars as pl
import pytest

from qmworkbench.market.demo import demo_bars
from qmworkbench.market.schema import open_frame, open_parquet
from qmworkbench.research.backtests.period_bars import PeriodBars, read_period
from qmworkbench.research.lookahead.lookahead import Lookahead, history_sessions, lookahead, session_grids
from qmworkbench.research.lookahead.next_bar_leak import next_bar_leak
from qmworkbench.research.lookahead.shuffled_future import exchanged, shuffled_future
from qmworkbench.research.lookahead.strategy_code import code_hash, stale_examination
from qmworkbench.research.lookahead.warm_up import warm_up
from qmworkbench.strategies import catalog
from qmworkbench.strategies.definition import (
    LOOKAHEAD_ANALYSES,
    Anchor,
    StrategyDefinition,
    StrategyStatus,
    Validation,
)
from qmworkbench.strategies.examination import told
from qmworkbench.strategies.indicators import Stages
from qmworkbench.strategies.parameters import Params
from tests.strategies.bar_cases import changed
from tests.strategies.planted import planted

DAY, SEED = date(2024, 3, 8), 7
NAMES = ("BORWAY", "GALRAY", "QUIEON", "VEXPAY")


@pytest.fixture(scope="module")
def demo() -> PeriodBars:
    source = open_frame(demo_bars(DAY, SEED, list(NAMES), history_days=6), "demo:7")
    return read_period(source, period=(DAY, DAY), history_sessions=6, as_printed=True)


def leaking(strategy_id: str, leak: pl.Expr) -> StrategyDefinition:
    """The catalog's strategy with one more step, and an entry that looks at it."""
    whole = catalog.get(strategy_id)

    def signals(params: Params) -> Stages:
        *stages, flags = whole.signals(params)
        looked = (pl.col.s_leak > 0).fill_null(False)
        seen = [
            (expr | looked if expr.meta.output_name().startswith("exit_") else expr).alias(expr.meta.output_name())
            for expr in flags
        ]
        return (*stages, [leak.alias("s_leak")], seen)

    definition: StrategyDefinition = changed(whole, signals=signals)
    return definition


DAYS_HIGH = pl.col.high.max().over("i_day")
LEAKS: Mapping[str, pl.Expr] = {
    "the next close": pl.col.close.shift(-1).over("i_symbol") - pl.col.close,
    "a bare aggregate": pl.col.high.head(400).max() - pl.col.close - 0.01,
    "a centred average": pl.col.close.rolling_mean(5, center=True, min_samples=1).over("i_symbol") - pl.col.close,
    "filled from behind": pl.when(pl.col.high >= DAYS_HIGH).then(pl.col.high).backward_fill().over("i_day"),
    "the session's high": DAYS_HIGH - pl.col.close - 0.01,
    "the bars that are left": (pl.len().over("i_day") - pl.col.i_pos - 30).cast(pl.Float64),
    "a difference taken the wrong way": pl.col.volume.diff(-1).over("i_symbol"),
}


@pytest.mark.parametrize("strategy_id", catalog.ids())
def test_a_planted_look_ahead_is_caught_and_its_column_named(strategy_id: str, demo: PeriodBars) -> None:
    # Each leak in two strategies, each strategy with two of them.
    at = catalog.ids().index(strategy_id)
    for name in [list(LEAKS)[(at + step) % len(LEAKS)] for step in (0, 3)]:
        leak = LEAKS[name]
        found = lookahead(leaking(strategy_id, leak), demo, {}, cuts=3, most_symbols=1)
        assert not found.passed, name
        assert found.findings[0].column == "s_leak", name
        assert (found.findings[0].kind, found.findings[0].symbol) == ("step", found.symbols[0])
        assert found.findings[0].ts is not None
        with pytest.raises(ValueError, match="did not pass"):
            found.evidence()


@pytest.mark.parametrize("strategy_id", catalog.ids())
def test_the_catalog_passes(strategy_id: str, demo: PeriodBars) -> None:
    definition = catalog.get(strategy_id)
    found = lookahead(definition, demo, {}, cuts=4, most_symbols=2)
    assert found.findings == ()
    assert [one.name for one in found.analyses] == list(LOOKAHEAD_ANALYSES)
    assert all(one.rows > 0 for one in found.analyses)
    assert found.passed is (found.entries > 0)
    assert (found.data_hash, found.params_hash) == (demo.hash, definition.hash({}))


def test_hours_of_real_pairs_pass(shared_data: Path) -> None:
    source = open_parquet(shared_data / "forex_hourly_9pairs_2015_2018.parquet")
    definition = catalog.get("rsi-reversion")
    before = history_sessions(definition, definition.parameters({}), 24)
    bars = read_period(source, period=(date(2016, 6, 23), date(2016, 6, 24)), history_sessions=before)
    assert {(grid.interval_s, grid.boundaries) for grid in session_grids(bars.bars)} == {(3600, 24)}
    found = lookahead(definition, bars, {}, cuts=3, most_symbols=2)
    assert found.passed
    assert found.sessions == (date(2016, 6, 23), date(2016, 6, 24))


# --- the analyses one by one ------------------------------------------------------------------------------------------


def one_symbol(demo: PeriodBars) -> pl.DataFrame:
    return demo.bars.filter((pl.col("symbol") == "GALRAY") & (pl.col("session") == DAY))


def test_an_exchanged_future_is_one_of_bars(demo: PeriodBars) -> None:
    rows = one_symbol(demo)
    other = exchanged(rows, 100)
    assert other.head(101).equals(rows.head(101))
    assert other.drop("open", "high", "low", "close", "volume").equals(
        rows.drop("open", "high", "low", "close", "volume")
    )
    later = other.slice(101)
    assert (later["close"] != rows.slice(101)["close"]).mean() > 0.8  # type: ignore[operator]
    for name in ("open", "close"):
        assert (later["low"] <= later[name]).all()
        assert (later[name] <= later["high"]).all()
    assert (((later["close"] / later["tick"]).round() * later["tick"] - later["close"]).abs() < 1e-9).all()
    assert other.equals(exchanged(rows, 100))


def test_a_frame_that_ends_elsewhere_is_not_another_future(demo: PeriodBars) -> None:
    asks_its_length = planted({"s_left": (pl.len() - pl.col.i_index) * 1.0}, f_close=pl.col.s_left)
    assert shuffled_future(asks_its_length, one_symbol(demo), {}, 4).clean
    asks_the_future = planted({"s_next": pl.col.close.shift(-1).fill_null(1.0)}, f_close=pl.col.s_next)
    found = shuffled_future(asks_the_future, one_symbol(demo), {}, 4)
    assert [one.column for one in found.findings] == ["s_next", "f_close"]


def remembered(demo: PeriodBars, what: Callable[[pl.DataFrame], pl.Series]) -> pl.Expr:
    """Values of later bars, prepared beforehand and looked up by time: no bar that is cut off changes them."""
    rows = one_symbol(demo)
    return pl.col.ts.replace_strict(rows["ts"].to_list(), what(rows).to_list(), default=None, return_dtype=pl.Float64)


TABLES: Mapping[str, tuple[Callable[[pl.DataFrame], pl.Series], str]] = {
    "the next high": (lambda rows: rows["high"].shift(-1), "the next bar's high"),
    "the next volume": (lambda rows: rows["volume"].shift(-1), "the next bar's volume"),
    "the next return": (lambda rows: rows["close"].shift(-1) / rows["close"] - 1, "the next bar's return"),
    "a mean with two bars to come": (
        lambda rows: (rows["close"].shift(-1) + rows["close"].shift(-2) + rows["close"]) / 3,
        "the next bar's return",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_made_with_later_bars_is_seen_by_the_next_bar_alone(name: str, demo: PeriodBars) -> None:
    what, of = TABLES[name]
    definition = planted({"s_table": remembered(demo, what)}, f_close=pl.col.s_table.fill_null(0.0))
    assert shuffled_future(definition, one_symbol(demo), {}, 4).clean
    said = told(definition.program({}), one_symbol(demo))
    assert isinstance(said, pl.DataFrame)
    found = next_bar_leak(definition, said, ("s_table", "f_close"), {})
    assert found.findings[0].column == "s_table"
    assert found.findings[0].bars == of
    assert "%" in found.findings[0].after or "correlation" in found.findings[0].before


def test_a_flag_that_is_always_right_is_seen(demo: PeriodBars) -> None:
    rises = remembered(demo, lambda rows: (rows["close"].shift(-1) > rows["close"]).cast(pl.Float64))
    often = planted(exit_long=((rises == 1) & (pl.col.i_pos % 5 == 0)).fill_null(False))
    said = told(often.program({}), one_symbol(demo))
    assert isinstance(said, pl.DataFrame)
    found = next_bar_leak(often, said, ("f_close",), {})
    assert [one.column for one in found.findings] == ["exit_long"]
    assert "went up" in found.findings[0].after


def test_what_is_known_at_the_close_is_no_leak(demo: PeriodBars) -> None:
    honest = planted(
        {
            "s_momentum": pl.col.close / pl.col.close.shift(5) - 1,
            "s_high": pl.col.high.cum_max(),
            "s_last": pl.col.close.forward_fill(),
        },
        exit_long=(pl.col.close > pl.col.close.shift(1)).fill_null(False),
    )
    said = told(honest.program({}), demo.bars.filter(pl.col("session") == DAY))
    assert isinstance(said, pl.DataFrame)
    assert next_bar_leak(honest, said, ("s_momentum", "s_high", "s_last", "f_close"), {}).clean


def test_an_average_that_remembers_everything_is_named_with_how_far_it_moves(demo: PeriodBars) -> None:
    forgets_too_soon = planted(
        {"i_slow": pl.col.close.ewm_mean(span=400, adjust=False).over("i_symbol")},
        f_close=pl.col.i_slow * 1.0,
        anchor=Anchor(bars=60),
    )
    found = lookahead(forgets_too_soon, demo, {}, cuts=2, most_symbols=2)
    first = found.findings[0]
    assert (first.analysis, first.column, first.kind) == ("recursive warm-up", "i_slow", "indicator")
    assert "bps of its value" in first.said
    _, settling = warm_up(forgets_too_soon, demo.bars, session_grids(demo.bars), {})
    by_history = {one.history: one.largest_bps for one in settling if one.column == "i_slow"}
    for history in ("15 bars of history", "30 bars of history", "the anchor's 60 bars"):
        assert (by_history[history] or 0) > 1


def test_nothing_to_compare_is_no_pass(demo: PeriodBars) -> None:
    silent = planted(entry_long=pl.lit(False), anchor=Anchor(sessions=0))
    alone = lookahead(silent, demo, {}, cuts=2, most_symbols=1)
    assert not alone.passed
    assert alone.shortcomings() == ("the strategy decided no entry in these bars",)
    today = demo.bars.filter(pl.col("session") == DAY)
    examination, settling = warm_up(silent, today, session_grids(today), {})
    assert (examination.rows, examination.clean, settling) == (0, False, ())


# --- what a promotion stands on ---------------------------------------------------------------------------------------


def approved(evidence: Lookahead, **other: object) -> StrategyDefinition:
    passed = msgspec.structs.replace(evidence.evidence(), **other)
    history = (
        Validation(data="demo", method="examined", result="clean", lookahead=passed),
        Validation(
            data="demo", method="m", result="r", approves=StrategyStatus.PAPER_APPROVED, by="ada", on="2024-03-08"
        ),
    )
    definition: StrategyDefinition = changed(
        catalog.get("donchian"), status=StrategyStatus.PAPER_APPROVED, validation=history
    )
    return definition


def test_a_promotion_stands_on_an_examination_of_these_parameters_and_this_code(demo: PeriodBars) -> None:
    found = lookahead(catalog.get("donchian"), demo, {}, cuts=2, most_symbols=2)
    assert stale_examination(approved(found)) == ""
    assert stale_examination(catalog.get("donchian")) == ""  # experimental: nothing is asked
    stale = stale_examination(approved(found, code_hash="0123456789abcdef"))
    assert "was of code 0123456789abcdef and the code here is " + found.code_hash in stale
    with pytest.raises(ValueError, match="no passed look-ahead examination of its approved parameters"):
        approved(found, params_hash="0123456789abcdef")
    with pytest.raises(ValueError, match="lacks next-bar leak"):
        approved(found, analyses=LOOKAHEAD_ANALYSES[:3])


def test_the_codes_hash_is_that_of_the_rules_and_not_of_the_entry(demo: PeriodBars) -> None:
    plain = catalog.get("donchian")
    assert code_hash(plain) == code_hash(changed(plain, title="Another name", owner="somebody"))
    assert code_hash(plain) != code_hash(leaking("donchian", LEAKS["the next close"]))
    assert len({code_hash(one) for one in catalog.catalog().values()}) == len(catalog.ids())
