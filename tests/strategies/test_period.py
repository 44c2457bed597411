from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies.bars import RAW_SCHEMA
from qmworkbench.strategies.batch import SignalBatch
from qmworkbench.strategies.catalog import Catalog, catalog, default_instances
from qmworkbench.strategies.definition import StrategyInstance
from qmworkbench.strategies.frames import SignalSource
from qmworkbench.strategies.parameters import ParameterError
from qmworkbench.strategies.period import PeriodDiffers, PeriodSignals
from tests.strategies.bar_cases import Market, equities, equity_grid, forex, made
from tests.strategies.planted import planted
from tests.strategies.test_frames import NULL_ABOVE_105, incremental, instance, one_pass

FX = list(default_instances(AssetClass.FOREX))
US = [
    instance("opening", "opening-range"),
    instance("channel", "donchian", entry_bars=60, exit_bars=30),
    instance("cross", "sma-cross"),
    instance("index", "rsi-reversion", rsi_bars=4),
    instance("same-index", "rsi-reversion", rsi_bars=4),
]


def period(market: Market, instances: Sequence[StrategyInstance], **more: object) -> PeriodSignals:
    return PeriodSignals(
        instances,
        bars=market.raw,
        grids=market.grids,
        ticks=market.ticks,
        **more,  # type: ignore[arg-type]
    )


def until(market: Market, at: int, history: int | None = None) -> Market:
    """The market as the session at `at` is given it, with so many sessions of history."""
    first = 0 if history is None else max(0, at - history)
    grids = market.grids[first : at + 1]
    within = pl.col("ts").is_between(grids[0].opens_at, grids[-1].closes_at, closed="left")
    return replace(market, grids=grids, raw=market.raw.filter(within))


def played(
    source: SignalSource, market: Market, instances: Sequence[StrategyInstance], every: int = 1
) -> list[SignalBatch]:
    """The session with everybody owning what he may, asked at every so many boundaries."""
    owned = [(i.instance_id, market.symbols if i.symbols == "*" else i.symbols) for i in instances]
    batches = []
    for bar, frame in enumerate(market.frames()):
        source.append(frame)
        if bar % every == 0:
            batches.append(source.signals(owned))
    return batches


def assert_same(ours: list[SignalBatch], theirs: list[SignalBatch]) -> None:
    """By the hash over every answer and fault: frames of so many boundaries take long to make."""
    assert [batch.content_hash for batch in ours] == [batch.content_hash for batch in theirs]
    assert sum(len(batch.runs) for batch in ours) > 0


@pytest.mark.parametrize("rows_at_a_time", [1, 40_000, 10_000_000])
def test_any_session_of_a_period_is_what_it_is_by_itself(shared_data: Path, rows_at_a_time: int) -> None:
    market = forex(shared_data, date(2016, 6, 24), 24)
    signals = period(market, FX, rows_at_a_time=rows_at_a_time, history_sessions=10)
    for at in (23, 0, 9, 17):  # back and forth, at the beginning with hardly any history
        alone = until(market, at, 10)
        batches = played(signals.session(market.grids[at].session, market.symbols), alone, FX)
        assert_same(batches, played(one_pass(alone, FX), alone, FX))
        if rows_at_a_time == 40_000:
            assert_same(batches, played(incremental(alone, FX), alone, FX))
        if at == 23:  # the night of the referendum
            entries = [row for batch in batches for row in batch.rows(frozenset())]
            assert {row.strategy_id.rpartition("-")[0] for row in entries} >= {"donchian-slow", "rsi-reversion"}


def test_days_of_shares_with_holes_and_newcomers(shared_data: Path) -> None:
    market = equities(shared_data).only(["AOBC", "OPK", "SRC", "SWN", "XON", "AAPL"])
    late = (pl.col("symbol") == "AOBC") & (pl.col("ts") < market.grids[1].opens_at)
    silent = (pl.col("symbol") == "SRC") & (pl.col("ts") >= market.grids[2].opens_at)
    market = replace(market, raw=market.raw.filter(~late & ~silent))
    signals = period(market, US)
    for at in range(3):
        alone = until(market, at)
        alone = replace(alone, symbols=tuple(alone.raw["symbol"].unique().sort()))
        source = signals.session(market.grids[at].session, alone.symbols)
        batches = played(source, alone, US, every=5)
        assert_same(batches, played(one_pass(alone, US), alone, US, every=5))
        assert sum(len(batch.rows()) for batch in batches) > 0


STEPS = st.lists(st.sampled_from([None, -3, -2, -1, 0, 0, 1, 2, 3]), min_size=6, max_size=6)
QUICK = [
    instance("channel", entry_bars=4, exit_bars=2, atr_bars=2, target_r=1.5),
    instance("cross", "sma-cross", fast_bars=2, slow_bars=3, enter_within_bars=2, atr_bars=2),
    instance("index", "rsi-reversion", rsi_bars=2, mean_bars=3, atr_bars=2, min_stretch_atr=0.0, oversold=40.0),
    instance("opening", "opening-range", range_bars=2, last_entry_bar=5, min_bars_left=1, min_turnover=0.0, atr_bars=2),
]


@settings(max_examples=25)
@given(st.lists(st.tuples(STEPS, STEPS), min_size=2, max_size=5), st.integers(0, 4), st.integers(1, 60))
def test_whatever_the_bars_a_period_is_its_sessions(
    days: list[tuple[list[int | None], list[int | None]]], history: int, rows_at_a_time: int
) -> None:
    grids = tuple(equity_grid(date(2018, 3, 1) + timedelta(days=at), boundaries=6) for at in range(len(days)))
    rows, px = [], {"A": 1000, "B": 2000}
    for grid, day in zip(grids, days, strict=True):
        for symbol, steps in zip("AB", day, strict=True):
            for bar, step in enumerate(steps):
                if step is None:
                    continue
                px[symbol] += step
                low, close, high = (px[symbol] - 1) / 100, px[symbol] / 100, (px[symbol] + 2) / 100
                rows.append((symbol, grid.opened_at(bar), close, high, low, close, 100.0 * (bar + 1)))
    market = Market(pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row"), grids, ("A", "B"), {"A": 0.01, "B": 0.01})
    signals = period(market, QUICK, history_sessions=history, rows_at_a_time=rows_at_a_time)
    for at in range(len(grids)):
        alone = until(market, at, history)
        batches = played(signals.session(grids[at].session, market.symbols), alone, QUICK)
        assert_same(batches, played(incremental(alone, QUICK), alone, QUICK))


def test_a_fault_ends_the_run_at_the_boundary_it_belongs_to() -> None:
    definitions = Catalog(planted(**NULL_ABOVE_105), catalog()["donchian"])
    market = made({"A": [101.0, 102.0, 103.0, 130.0, 130.0], "B": [101.0, 106.0, 101.0, 101.0, 101.0]})
    instances = [instance("a", "planted"), instance("c")]
    source = period(market, instances, definitions=definitions).session(market.grids[0].session, market.symbols)
    batches = played(source, market, instances)
    assert_same(batches, played(incremental(market, instances, definitions=definitions), market, instances))
    assert [len(batch.faults) for batch in batches] == [0, 1, 0, 1, 1]


def test_a_session_that_is_another_is_refused() -> None:
    market = made({"A": [1.0, 2.0], "B": [1.0, 1.5]})
    signals, day = period(market, [instance("a")]), market.grids[0].session
    with pytest.raises(PeriodDiffers, match="the period has no 2019-01-02"):
        signals.session(date(2019, 1, 2), market.symbols)
    with pytest.raises(PeriodDiffers, match="the period has no Z"):
        signals.session(day, ["A", "Z"])
    with pytest.raises(PeriodDiffers, match="B traded on 2018-03-02 and is not in the session's universe"):
        signals.session(day, ["A"])
    with pytest.raises(PeriodDiffers, match="the price increments of 2018-03-02 differ"):
        signals.session(day, market.symbols, ticks=np.array([0.01, 0.05]))
    with pytest.raises(PeriodDiffers, match="are not those of the period"):
        signals.session(day, market.symbols, grids=[replace_interval(market)])
    first = market.frames()[0]
    with pytest.raises(ValueError, match="does not hold the bars these signals were computed from"):
        signals.session(day, market.symbols).append(replace(first, close=first.close + 0.01))


def replace_interval(market: Market) -> object:
    grid = market.grids[0]
    return type(grid)(session=grid.session, opens_at=grid.opens_at, interval_s=120, boundaries=1)


def test_history_that_was_restated_is_noticed(shared_data: Path) -> None:
    market = forex(shared_data)
    signals, last = period(market, FX, history_sessions=7), market.grids[-1].session
    given = {"grids": market.grids, "ticks": market.tick_array}
    history = market.history.sort("symbol", "ts")
    assert signals.session(last, market.symbols, history=history, **given).short_history() == [
        (i.instance_id, 10, 7) for i in FX if i.strategy_id == "rsi-reversion"
    ]
    split = history.with_columns(pl.when(pl.col("symbol") == "GBPUSD").then(pl.col("close") / 2).otherwise("close"))
    for other in (split.select(history.columns), history[1:]):
        with pytest.raises(PeriodDiffers, match="the history of 2016-06-24 differs"):
            signals.session(last, market.symbols, history=other, **given)
    with pytest.raises(PeriodDiffers, match="is given 2 sessions of history, the period 7"):
        signals.session(last, market.symbols, grids=market.grids[-3:])


def test_instances_that_make_no_sense_are_refused_at_the_start() -> None:
    market = made({"A": [1.0]})
    with pytest.raises(ParameterError, match="entry_bars = 1 is out of range"):
        period(market, [instance("a", entry_bars=1)])


def test_a_period_without_instances_says_nothing() -> None:
    market = made({"A": [1.0, 2.0]})
    source = period(market, []).session(market.grids[0].session, market.symbols)
    assert [batch.runs for batch in played(source, market, [])] == [(), ()]
