"""From a strategy and bars to tapes and decisions; sizes as a session counts them."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.research.fills.decisions import decide, decisions_of, grids_of, sized, tape_of, whole_lots
from qmworkbench.strategies import catalog
from qmworkbench.strategies.bars import session_bars
from qmworkbench.strategies.contract import StrategyFault
from qmworkbench.strategies.one_pass import period_signals
from tests.strategies.bar_cases import Market, equities, made

PRICES = st.integers(1, 50_000_000).map(lambda cents: cents / 100)


@given(budget=st.integers(0, 10**11).map(lambda cents: cents / 100), px=PRICES, lot=st.sampled_from([1.0, 100.0, 0.01]))
def test_sizes_are_the_sessions_floor(budget: float, px: float, lot: float) -> None:
    exact = (Decimal(repr(budget)) / (Decimal(repr(px)) * Decimal(repr(lot)))).to_integral_value(ROUND_FLOOR)
    assert whole_lots(np.array([budget]), np.array([px]), lot)[0] == pytest.approx(float(exact) * lot, rel=1e-15)


def test_no_budget_buys_nothing() -> None:
    assert whole_lots(np.array([-5.0, 0.0]), np.array([1.0, 1.0])).tolist() == [0.0, 0.0]


@pytest.fixture
def market(shared_data: Path) -> Market:
    whole = equities(shared_data / "data" if (shared_data / "data").is_dir() else shared_data)
    few = tuple(whole.symbols[:3])
    return replace(whole, raw=whole.raw.filter(pl.col("symbol").is_in(few)), symbols=few)


def test_a_tape_holds_its_symbols_bars_and_signals(market: Market) -> None:
    bars = session_bars(market.raw, market.grids, market.ticks)
    definition = catalog.get("sma-cross")
    told = decide(definition, bars, {}, budget=10_000.0, first=market.grids[1].session, grids=market.grids)
    assert list(told.symbols) == list(market.symbols)
    signals = period_signals(definition, bars, market.grids, definition.parameters({}))
    for symbol, each in told.symbols.items():
        rows = signals.filter((pl.col("symbol") == symbol) & (pl.col("ts") >= market.grids[1].opens_at))
        assert each.tape.ts_us.tolist() == rows["ts"].to_physical().to_list()
        assert each.decisions.entry_long.tolist() == rows["entry_long"].to_list()
        entry = each.decisions.entry_long | each.decisions.entry_short
        assert entry.any()
        assert (each.decisions.qty[entry] == np.floor(10_000 / each.tape.close[entry])).all()
        assert (each.decisions.qty[~entry] == 0).all()
        assert each.tape.day[0] == 0
        assert each.tape.ends.sum() == each.tape.day[-1] + 1
        assert each.decisions.flat_at_close


def test_grids_are_told_from_bars(market: Market) -> None:
    assert grids_of(session_bars(market.raw, market.grids, market.ticks)) == list(market.grids)


def test_one_symbol_that_breaks_a_strategy_fails_alone(market: Market) -> None:
    definition = catalog.get("sma-cross")
    poisoned = market.symbols[1]

    def signals(params: object) -> object:
        stages = definition.signals(params)  # type: ignore[arg-type]
        broken = pl.col("symbol").map_batches(_refusing(poisoned), return_dtype=pl.String).alias("s_refuses")
        return [[broken], *stages]

    def _refusing(name: str) -> object:
        def look(column: pl.Series) -> pl.Series:
            if (column == name).any():
                raise RuntimeError("it will not have this one")
            return column

        return look

    bars = session_bars(market.raw, market.grids, market.ticks)
    told = decide(_changed(definition, signals), bars, {}, budget=10_000.0, grids=market.grids)
    assert list(told.symbols) == [s for s in market.symbols if s != poisoned]
    assert "it will not have this one" in told.failed[poisoned]
    alone = bars.filter(pl.col("symbol") == poisoned)
    with pytest.raises(StrategyFault, match="it will not have this one"):
        decide(_changed(definition, signals), alone, {}, budget=10_000.0, grids=market.grids)


def _changed(definition: object, signals: object) -> object:
    from msgspec.structs import replace as changed

    return changed(definition, signals=signals)  # type: ignore[type-var]


def test_a_symbol_that_is_no_market_fails_with_its_reason(market: Market) -> None:
    bars = session_bars(market.raw, market.grids, market.ticks)
    name = market.symbols[0]
    bars = bars.with_columns(
        pl.when(pl.col("symbol") == name).then(-pl.col("low")).otherwise(pl.col("low")).alias("low")
    )
    told = decide(catalog.get("sma-cross"), bars, {}, budget=10_000.0, grids=market.grids)
    assert "low is not above zero" in told.failed[name]
    assert list(told.symbols) == list(market.symbols[1:])


def test_data_that_break_off_leave_the_last_session_open() -> None:
    closes = [100.0 + k for k in range(6)]
    whole = made({"AAA": closes})
    bars = session_bars(whole.raw, whole.grids, whole.ticks)
    assert tape_of("AAA", bars).ends.tolist() == [False] * 5 + [True]
    assert not tape_of("AAA", bars.head(4)).ends.any()


def test_sizes_follow_a_budget_for_each_row() -> None:
    whole = made({"AAA": [100.0, 50.0, 25.0]})
    bars = session_bars(whole.raw, whole.grids, whole.ticks)
    tape = tape_of("AAA", bars)
    definition = catalog.get("sma-cross")
    signals = period_signals(definition, bars, whole.grids, definition.parameters({}))
    told = replace(decisions_of(signals, flat_at_close=True), entry_long=np.array([True, True, False]))
    assert sized(tape, told, np.array([1_000.0, 999.0, 0.0])).qty.tolist() == [10.0, 19.0, 0.0]
