"""What holds for every strategy that buys within one session: two ways of computing it, odd bars, neighbours."""

from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.strategies.catalog import catalog
from qmworkbench.strategies.frames import Owned
from qmworkbench.strategies.parameters import Value
from qmworkbench.strategies.truncation import isolation, truncation
from tests.strategies.bar_cases import Px, equities, made
from tests.strategies.test_frames import assert_same, incremental, instance, one_pass, played

STRATEGIES = ("high-of-day", "vwap-pullback", "washout-reclaim")
OPEN: dict[str, Value] = {
    "last_entry_bar": 40,
    "min_bars_left": 1,
    "min_turnover": 0.0,
    "min_price": 0.0,
    "atr_bars": 2,
    "min_stop_bps": 0.0,
}
SMALL: dict[str, dict[str, Value]] = {
    "high-of-day": {"min_run_pct": 0.0, "base_bars": 2, "max_given_back": 1.0, "min_break_volume": 0.0, "exit_bars": 2},
    "vwap-pullback": {
        "min_extension_pct": 0.0,
        "min_pullback_bars": 2,
        "near_bps": 100.0,
        "max_under_pct": 20.0,
        "max_pullback_volume": 100.0,
        "turn_bars": 1,
        "min_recovery_volume": 0.0,
    },
    "washout-reclaim": {
        "support_bars": 2,
        "flush_bars": 1,
        "min_flush_pct": 0.05,
        "min_flush_atr": 0.0,
        "volume_bars": 2,
        "min_climax_volume": 0.0,
        "reclaim_bars": 3,
        "turn_bars": 1,
        "min_reclaim_volume": 0.0,
        "min_gain_pct": -50.0,
        "max_chase_pct": 50.0,
    },
}
INSTANCES = [instance(name, name, **{**OPEN, **SMALL[name]}) for name in STRATEGIES]


def test_the_two_ways_agree_bit_for_bit_on_a_real_day(shared_data: Path) -> None:
    market = equities(shared_data, 0)
    instances = [instance(name, name) for name in STRATEGIES]

    def owned(bar: int) -> Owned:
        """Each with symbols of its own, some in common, and all of them now and then."""
        if bar % 51 == 0:
            return [(name, market.symbols) for name in STRATEGIES]
        lively = ["AOBC", "OPK", "SWN", "XON"]
        return [(name, sorted({*lively, *market.symbols[at + bar // 9 : at + bar // 9 + 12]})) for at, name in
                enumerate(STRATEGIES)]  # fmt: skip

    ways = (incremental(market, instances), one_pass(market, instances, whole_session_bars=0))
    first, second = (played(way, market, owned) for way in ways)
    assert_same(first, second)
    entered = pl.concat(batch.frame.filter("entry_long") for batch in first)
    assert set(entered["strategy_id"]) == set(STRATEGIES)


PX = st.sampled_from([9.5, 9.9, 10.0, 10.0, 10.1, 10.5, 11.0])


def bar(opened: float, closed: float) -> Px:
    return (opened, max(opened, closed), min(opened, closed), closed)


ROW = st.lists(st.one_of(st.none(), st.builds(bar, PX, PX)), min_size=14, max_size=14)


@settings(max_examples=15)
@given(st.dictionaries(st.sampled_from("ABC"), ROW, min_size=1), st.sampled_from([0.0, 100.0, 1e9]))
def test_the_two_ways_agree_on_adversarial_bars(rows: dict[str, list[Px | None]], volume: float) -> None:
    """Flat prices, ties, holes, a single bar, no volume at all: no fault, no level on the wrong side."""
    market = made(rows, volume)

    def owned(bar: int) -> Owned:
        return [(each.instance_id, market.symbols[bar % 2 :]) for each in INSTANCES]

    batches = played(incremental(market, INSTANCES), market, owned)
    assert_same(batches, played(one_pass(market, INSTANCES), market, owned))
    for batch in batches:
        assert batch.faults == ()
        entries = batch.frame.filter("entry_long")
        assert (entries["stop"] < entries["close"]).all()
        assert (entries["target"] > entries["close"]).all()
        assert not batch.frame["entry_short"].any()
    assert not batches[-1].frame["entry_long"].any()


@settings(max_examples=10)
@given(st.lists(ROW, min_size=2, max_size=2), st.sampled_from(STRATEGIES))
def test_nothing_depends_on_later_bars_or_neighbours_on_adversarial_bars(
    rows: list[list[Px | None]], name: str
) -> None:
    market = made({"A": rows[0], "B": [(10.0, 10.0, 10.0, 10.0), *rows[1]]}, 100.0)
    definition = catalog()[name]
    params = definition.parameters({**OPEN, **SMALL[name]})
    assert truncation(definition, market.bars, params).findings == ()
    assert isolation(definition, market.bars, params).findings == ()


@pytest.mark.parametrize("name", STRATEGIES)
def test_small_sets_do_enter_somewhere(name: str) -> None:
    """Or the cases above would prove nothing."""
    wave = [10, 10.1, 10.5, 10.9, 10.2, 10.0, 10.05, 10.6, 9.6, 9.7, 10.4, 10.2, 10.3, 11.2, 10.9, 10.2, 10.6, 11.3, 11]
    rows = [bar(opened, closed) for opened, closed in pairwise(wave)]
    market = made({"A": rows}, [100.0, 150.0, 120.0] * 6)
    batches = played(incremental(market, INSTANCES), market, lambda _: [(name, ["A"])])
    assert any(batch.frame["entry_long"].any() for batch in batches)
