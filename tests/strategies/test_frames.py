import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies.bars import BarsFault
from qmworkbench.strategies.batch import BATCH_COLUMNS, SignalBatch
from qmworkbench.strategies.catalog import Catalog, UnknownStrategy, catalog, default_instances
from qmworkbench.strategies.definition import StrategyInstance
from qmworkbench.strategies.frames import Owned, SignalEngine, SignalSource
from qmworkbench.strategies.one_pass import SessionSignals
from qmworkbench.strategies.parameters import ParameterError, Value
from tests.strategies.bar_cases import Market, equities, forex, made
from tests.strategies.planted import planted


def instance(name: str, strategy_id: str = "donchian", **params: Value) -> StrategyInstance:
    return StrategyInstance(
        instance_id=name,
        strategy_id=strategy_id,
        asset_class=AssetClass.EQUITY,
        capital_fraction=Decimal("0.1"),
        max_symbols=5,
        params=params,
    )


def incremental(market: Market, instances: list[StrategyInstance], **more: object) -> SignalEngine:
    return SignalEngine(
        instances,
        symbols=market.symbols,
        ticks=market.tick_array,
        grids=market.grids,
        history=market.history,
        **more,  # type: ignore[arg-type]
    )


def one_pass(market: Market, instances: list[StrategyInstance], **more: object) -> SessionSignals:
    return SessionSignals(
        instances,
        symbols=market.symbols,
        ticks=market.tick_array,
        grids=market.grids,
        bars=market.today,
        history=market.history,
        **more,  # type: ignore[arg-type]
    )


def played(source: SignalSource, market: Market, owned: Callable[[int], Owned], every: int = 1) -> list[SignalBatch]:
    """The whole session, asking at every so many boundaries."""
    batches = []
    for bar, frame in enumerate(market.frames()):
        source.append(frame)
        if bar % every == 0:
            batches.append(source.signals(owned(bar)))
    return batches


def assert_same(ours: list[SignalBatch], theirs: list[SignalBatch]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.faults == other.faults
        assert mine.frame.equals(other.frame), f"{mine.as_of}: {mine.frame} {other.frame}"
        assert mine.content_hash == other.content_hash


US = list(default_instances(AssetClass.EQUITY))
FX = [
    instance("donchian-fx", entry_bars=55, exit_bars=20, stop_atr=3.0, flat="carry"),
    instance("fast", entry_bars=10, exit_bars=5, atr_bars=10),
    instance("same-as-fast", entry_bars=10, exit_bars=5, atr_bars=10),
    instance("same-anchor", entry_bars=55, exit_bars=40, atr_bars=20),
]


def test_the_incremental_and_the_one_pass_way_agree_bit_for_bit_on_a_real_day(shared_data: Path) -> None:
    market = equities(shared_data)

    def owned(bar: int) -> Owned:
        """Ownership moves through the universe as the day goes on, and back."""
        first = (bar // 20 * 4 + 3) % 7
        return [
            ("opening-range-us", market.symbols[first : first + 25]),
            ("donchian-us", market.symbols[60 + first : 75 + first]),
        ]

    ways = [
        incremental(market, US),
        one_pass(market, US),
        one_pass(market, US, whole_session_bars=0),  # symbols are passed over as they come to be owned
    ]
    first, *others = (played(way, market, owned, every=3) for way in ways)
    assert sum(batch.frame["entry_long"].sum() for batch in first) > 10
    assert sum(batch.frame.height for batch in first) > 4000
    for other in others:
        assert_same(first, other)


def test_the_two_ways_agree_on_forex_hours_with_instances_of_the_same_rules(shared_data: Path) -> None:
    market = forex(shared_data)

    def owned(bar: int) -> Owned:
        pairs = market.symbols
        return [
            ("donchian-fx", pairs),
            ("same-anchor", pairs),
            ("same-as-fast", pairs[2:6]),
            ("fast", pairs[bar % 3 : 5]),
        ]

    engine = incremental(market, FX)
    assert engine.short_history() == []
    batches = played(engine, market, owned)
    assert_same(batches, played(one_pass(market, FX), market, owned))
    assert sum(batch.frame["entry_long"].sum() for batch in batches) > 20
    runs = batches[0].runs
    assert [run.instance_id for run in runs] == ["donchian-fx", "fast", "same-anchor", "same-as-fast"]
    assert runs[3].symbols == market.symbols[2:6]


ROW = st.lists(
    st.one_of(st.none(), st.sampled_from([9.98, 9.99, 10.0, 10.0, 10.0, 10.01, 10.02, 10.5])), min_size=8, max_size=8
)


@settings(max_examples=25)
@given(st.dictionaries(st.sampled_from("ABCD"), ROW, min_size=1), st.sampled_from([0.0, 100.0, 1e9]), st.booleans())
def test_the_two_ways_agree_on_adversarial_bars(
    rows: dict[str, list[float | None]], volume: float, short: bool
) -> None:
    """Flat prices, ties, holes, a single bar, no volume at all."""
    market = made(rows, volume)
    small: dict[str, Value] = {"entry_bars": 2, "exit_bars": 2, "atr_bars": 2, "short": short}
    opening: dict[str, Value] = {
        "range_bars": 2,
        "atr_bars": 2,
        "min_bars_left": 1,
        "min_turnover": 0.0,
        "min_relative_volume": 0.0,
        "min_range_pct": 0.0,
        "short": short,
    }
    instances = [instance("trend", **small), instance("range", "opening-range", **opening)]

    def owned(bar: int) -> Owned:
        return [("trend", market.symbols), ("range", market.symbols[bar % 2 :])]

    batches = played(incremental(market, instances), market, owned)
    assert_same(batches, played(one_pass(market, instances), market, owned))
    for batch in batches:
        assert batch.faults == ()
        frame = batch.frame
        assert not frame.filter(pl.col("entry_long") & pl.col("entry_short")).height
        assert frame.filter(pl.col("entry_long") & (pl.col("stop") >= pl.col("close"))).height == 0
        assert frame.filter(pl.col("entry_short") & (pl.col("stop") <= pl.col("close"))).height == 0
    assert not batches[-1].frame["entry_long"].any()  # the last boundary enters nowhere


def test_a_session_taken_up_in_the_middle_goes_on_as_if_it_had_been_there_from_the_start(shared_data: Path) -> None:
    """A platform that starts again is told the bars until now, and is asked from then on."""
    market = equities(shared_data).only(["AAPL", "AOBC", "OPK", "SRC", "SWN", "XON"])
    instances = [instance(name, name) for name in catalog()]
    owned: Owned = [(name, market.symbols) for name in catalog()]
    frames, steady = market.frames()[:120], incremental(market, instances)
    batches = []
    for frame in frames:
        steady.append(frame)
        batches.append(steady.signals(owned))
    for start in (1, 47):
        again = incremental(market, instances)
        for frame, batch in zip(frames, batches, strict=True):
            again.append(frame)
            if again.bar >= start:
                assert again.signals(owned).content_hash == batch.content_hash


def test_the_same_boundary_may_be_asked_about_twice(shared_data: Path) -> None:
    market = equities(shared_data).only(["AAPL", "OPK", "SWN", "XON"])
    instances = [instance(name, name) for name in catalog()]
    engine, once = incremental(market, instances), incremental(market, instances)
    for bar, frame in enumerate(market.frames()[:40]):
        engine.append(frame)
        once.append(frame)
        alone: Owned = [(name, market.symbols[bar % 4 :]) for name in catalog()]
        everyone: Owned = [(name, market.symbols) for name in catalog()]
        engine.signals(alone)
        assert_same([engine.signals(everyone)], [once.signals(everyone)])


@pytest.mark.parametrize("px", [1e200, 9.3e10])
def test_a_price_beyond_all_reason_is_said_the_same_of_either_way(px: float) -> None:
    """Such a price is quarantined before it gets here; should one come through, whole columns have the word."""
    market = made({"A": [10.0, 10.5, 10.0, px, 10.0, 11.0, 10.5], "B": [10.0, 11.0] * 3})
    small: dict[str, Value] = {"fast_bars": 2, "slow_bars": 3, "enter_within_bars": 2, "atr_bars": 2}
    instances = [instance("a", "sma-cross", **small), instance("b", "high-of-day")]
    batches = played(incremental(market, instances), market, lambda _: [("a", market.symbols), ("b", market.symbols)])
    others = played(one_pass(market, instances), market, lambda _: [("a", market.symbols), ("b", market.symbols)])
    assert_same(batches, others)
    assert [bool(batch.faults) for batch in batches] == [False] * 3 + [True] * 4


def test_a_symbol_without_a_bar_gives_no_signal() -> None:
    market = made({"A": [1.0, None, 1.0], "B": [1.0, 1.0, None]})
    batches = played(incremental(market, [instance("a")]), market, lambda _: [("a", ["A", "B"])])
    assert [batch.frame["symbol"].to_list() for batch in batches] == [["A", "B"], ["B"], ["A"]]


def test_nobody_owning_anything_gives_empty_frames_of_the_same_shape() -> None:
    market = made({"A": [1.0, 2.0]})
    owning, idle = (
        played(incremental(market, [instance("a"), instance("b", "opening-range")]), market, lambda _, o=owned: o)
        for owned in ([("a", ["A"])], [])
    )
    assert idle[0].frame.height == 0
    assert idle[0].frame.schema == owning[0].frame.schema
    assert idle[0].frame.columns[: len(BATCH_COLUMNS)] == list(BATCH_COLUMNS)
    assert {"f_vwap", "f_channel_high"} <= set(idle[0].frame.columns)
    assert idle[0].rows() == ()


def test_the_order_of_asking_changes_nothing(shared_data: Path) -> None:
    market = equities(shared_data, 1).only(["AAPL", "OPK", "SWN", "XON"])
    asked: Owned = [("donchian-us", ["OPK", "AAPL"]), ("opening-range-us", ["XON", "SWN"])]
    turned: Owned = [("opening-range-us", ["SWN", "XON"]), ("donchian-us", ["AAPL", "OPK"])]
    one, other = (
        played(incremental(market, US), market, lambda _, owned=owned: owned, every=40) for owned in (asked, turned)
    )
    assert_same(one, other)


def test_rows_are_decimals_on_tick_for_those_with_something_to_say() -> None:
    rows = [(10.0, 10.2, 9.8, 10.0)] * 3 + [10.5, 10.4, 9.0, 10.0]
    market = made({"A": rows, "B": [10.0] * 7})
    engine = incremental(market, [instance("trend", entry_bars=3, exit_bars=2, atr_bars=2, trail_bps=75)])
    batches = played(engine, market, lambda _: [("trend", ["A", "B"])])
    entry = batches[3].rows()
    assert [(row.strategy_id, row.symbol, row.entry_long) for row in entry] == [("trend", "A", True)]
    assert (entry[0].close, entry[0].stop_px) == (Decimal("10.5"), Decimal("9.6"))
    assert (entry[0].target_px, entry[0].trail_bps, entry[0].max_hold_bars) == (None, 75, None)
    assert entry[0].why == "channel_high 10.2, channel_low 9.8, exit_high 10.2, exit_low 9.8, atr 0.45"
    assert batches[5].frame.filter(pl.col("symbol") == "A")["exit_long"].item()
    assert batches[5].rows(exposed=()) != ()  # it also enters short there
    assert [row.symbol for row in batches[4].rows()] == []


def test_an_exit_is_for_those_who_hold_something() -> None:
    market = made({"A": [10.0, 10.0, 9.0, 9.0]})
    engine = incremental(market, [instance("trend", entry_bars=3, exit_bars=2, atr_bars=2)])
    batch = played(engine, market, lambda _: [("trend", ["A"])])[2]
    assert [row.exit_long for row in batch.rows()] == [True]
    assert [row.exit_long for row in batch.rows(exposed={"trend|A"})] == [True]
    assert batch.rows(exposed={"trend|B"}) == ()


# ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────────────

NULL_ABOVE_105 = {"exit_long": pl.when(pl.col.close > 105).then(None).otherwise(pl.lit(False))}
TOO_BIG_FROM_128 = {"f_close": pl.col.close.cast(pl.Int8).cast(pl.Float64)}


@pytest.mark.parametrize(
    ("flags", "faulty", "said"),
    [
        (NULL_ABOVE_105, [[], ["b"], [], ["a"], ["a"]], "column 'exit_long' has 1 nulls; say false"),
        (TOO_BIG_FROM_128, [[], [], [], ["a"], ["a"]], "raised InvalidOperationError: "),
    ],
    ids=["null above 105", "raises from 128 on"],
)
def test_a_fault_ends_the_run_it_belongs_to_at_the_same_boundary_either_way(
    flags: dict[str, pl.Expr], faulty: list[list[str]], said: str
) -> None:
    definitions = Catalog(planted(**flags), catalog()["donchian"])
    market = made({"A": [101.0, 102.0, 103.0, 130.0, 130.0], "B": [101.0, 106.0, 101.0, 101.0, 101.0]})
    instances = [instance("a", "planted"), instance("b", "planted"), instance("c")]

    def owned(_: int) -> Owned:
        return [("a", ["A"]), ("b", ["B"]), ("c", ["A", "B"])]

    batches = played(incremental(market, instances, definitions=definitions), market, owned)
    assert_same(batches, played(one_pass(market, instances, definitions=definitions), market, owned))
    assert [[fault.instance_id for fault in batch.faults] for batch in batches] == faulty
    for batch in batches:
        assert {run.instance_id for run in batch.runs} == {"a", "b", "c"} - {f.instance_id for f in batch.faults}
        for fault in batch.faults:
            assert fault.strategy_id == "planted"
            assert fault.problem.startswith(said)


def test_a_strategy_that_raises_takes_no_other_down() -> None:
    definitions = Catalog(planted({"s_x": pl.col.nowhere}), catalog()["donchian"])
    market = made({"A": [101.0, 102.0]})
    instances = [instance("a", "planted"), instance("c")]
    for source in (f(market, instances, definitions=definitions) for f in (incremental, one_pass)):
        source.append(market.frames()[0])
        batch = source.signals([("a", ["A"]), ("c", ["A"])])
        assert [run.instance_id for run in batch.runs] == ["c"]
        assert "ColumnNotFoundError" in batch.faults[0].problem


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_makes_no_sense_is_refused_at_the_start() -> None:
    market = made({"A": [1.0], "B": [1.0]})
    with pytest.raises(ParameterError, match="entry_bars = 1 is out of range"):
        incremental(market, [instance("a", entry_bars=1)])
    with pytest.raises(UnknownStrategy, match="no strategy 'nope'"):
        incremental(market, [instance("a", "nope")])
    with pytest.raises(ValueError, match="instance a is there twice"):
        incremental(market, [instance("a"), instance("a")])
    with pytest.raises(ValueError, match="alphabetical order"):
        incremental(replace(market, symbols=("B", "A")), [])
    with pytest.raises(ValueError, match="1 ticks for 2 symbols"):
        SignalEngine([], symbols=("A", "B"), ticks=np.array([0.01]), grids=market.grids)
    with pytest.raises(BarsFault, match=r"symbol B: tick 0\.03"):
        SignalEngine([], symbols=("A", "B"), ticks=np.array([0.01, 0.03]), grids=market.grids)


def test_what_makes_no_sense_is_refused_at_a_boundary() -> None:
    market = made({"A": [1.0, 1.0, 1.0]})
    first, second, third = market.frames()
    engine = incremental(market, [instance("a")])
    with pytest.raises(ValueError, match="no boundary has closed yet"):
        engine.signals([])
    engine.append(second)
    for stale in (first, second):
        with pytest.raises(ValueError, match="does not come after the last one"):
            engine.append(stale)
    with pytest.raises(ValueError, match=r"is no boundary of session 2018-03-02"):
        engine.append(replace(third, as_of=third.as_of + timedelta(days=1)))
    with pytest.raises(ValueError, match="instance 'b' is unknown; there are a"):
        engine.signals([("b", ["A"])])
    with pytest.raises(ValueError, match="instance 'a' is asked for twice"):
        engine.signals([("a", ["A"]), ("a", ["A"])])
    with pytest.raises(ValueError, match=r"instance a owns Z, not in the session's universe"):
        engine.signals([("a", ["Z"])])


def test_frames_of_extended_hours_are_passed_over() -> None:
    market = made({"A": [1.0, 2.0]})
    engine = incremental(market, [instance("a")])
    early = replace(market.frames()[0], as_of=market.grids[0].opens_at, extended=True)
    engine.append(early)
    assert engine.bar == -1
    engine.append(market.frames()[0])
    assert engine.signals([("a", ["A"])]).frame["close"].to_list() == [1.0]


def test_short_history_is_told(shared_data: Path) -> None:
    market = equities(shared_data, 1).only(["OPK"])
    assert incremental(market, US).short_history() == [("donchian-us", 2, 1)]
    assert incremental(equities(shared_data, 2).only(["OPK"]), US).short_history() == []


# ── determinism ───────────────────────────────────────────────────────────────────────────────────────────────────────

SCRIPT = """
from pathlib import Path
import polars as pl
from tests.strategies.bar_cases import equities
from tests.strategies.test_frames import US, incremental, one_pass, played
market = equities(Path({data!r}))
asked = lambda _: [("opening-range-us", market.symbols), ("donchian-us", market.symbols)]
batches = [*played(incremental(market, US), market, asked, every=97), *played(one_pass(market, US), market, asked)]
print(pl.thread_pool_size(), *(batch.content_hash for batch in batches))
"""


def test_neither_threads_nor_hash_seed_change_a_bit(shared_data: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    outputs = []
    for threads, seed in (("1", "1"), ("2", "7")):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT.format(data=str(shared_data))],
            cwd=root,
            env={**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        size, *hashes = done.stdout.split()
        assert size == threads
        assert len(hashes) == 395
        outputs.append(hashes)
    assert outputs[0] == outputs[1]
