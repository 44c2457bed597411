from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies.catalog import catalog, default_instances
from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.definition import Anchor
from qmworkbench.strategies.one_pass import period_signals, reached
from tests.strategies.bar_cases import changed, equities, forex, made
from tests.strategies.test_frames import instance, one_pass

DEFINITIONS = [*catalog().values()]


def test_other_bars_than_the_ones_computed_from_are_refused() -> None:
    market = made({"A": [1.0, 2.0], "B": [1.0, None]})
    source = one_pass(market, [instance("a")])
    first, second = market.frames()
    with pytest.raises(ValueError, match="does not hold the bars these signals were computed from"):
        source.append(replace(first, close=first.close + 0.01))
    source = one_pass(market, [instance("a")])
    with pytest.raises(ValueError, match="give both the same bars"):
        source.append(replace(first, as_of=second.as_of))


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda entry: entry.strategy_id)
def test_a_period_is_its_sessions_each_from_its_own_anchor(shared_data: Path, definition: object) -> None:
    market = equities(shared_data).only(["OPK", "SRC", "SWN", "XON"])
    params = definition.parameters({})  # type: ignore[attr-defined]
    whole = period_signals(definition, market.bars, market.grids, params)  # type: ignore[arg-type]
    assert whole.select("symbol", "ts").equals(market.bars.select("symbol", "ts"))
    for last in (1, 2):
        one = period_signals(definition, market.bars, market.grids[: last + 1], params)  # type: ignore[arg-type]
        day = pl.col("ts").is_between(market.grids[last].opens_at, market.grids[last].closes_at, closed="left")
        assert whole.filter(day).equals(one.filter(day))


def test_a_period_equals_what_the_session_hands_out(shared_data: Path) -> None:
    market = forex(shared_data)
    fx = default_instances(AssetClass.FOREX)[0]
    definition = catalog()[fx.strategy_id]
    period = period_signals(definition, market.bars, market.grids, definition.parameters(fx.params))
    source = one_pass(market, [fx])
    for frame in market.frames():
        source.append(frame)
        batch = source.signals([(fx.instance_id, market.symbols)]).frame
        shown = period.filter(pl.col("ts") == batch["ts"][0]) if len(batch) else period.clear()
        assert batch.select(shown.columns).equals(shown)


def test_a_strategy_without_history_sees_none_in_a_period() -> None:
    """Windows over the symbol must not reach into the night when the anchor is the session itself."""
    definition = changed(catalog()["donchian"], anchor=lambda _: Anchor())
    market = made({"A": [float(px) for px in range(1, 9)]})
    params = definition.parameters({"entry_bars": 3, "exit_bars": 2, "atr_bars": 2})
    alone = evaluate(definition, market.bars, params)
    assert period_signals(definition, market.bars, market.grids, params).equals(alone)


def test_the_sessions_an_anchor_reaches(shared_data: Path) -> None:
    grids = forex(shared_data).grids
    days = [grid.session for grid in grids]
    assert reached(Anchor(), grids) == days[-1:]
    assert reached(Anchor(bars=30), grids) == days[-4:]
    assert reached(Anchor(sessions=99, bars=None), grids) == days
