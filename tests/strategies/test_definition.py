import json
from decimal import Decimal

import polars as pl
import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import donchian, opening_range
from qmworkbench.strategies.definition import Anchor, FlatPolicy, StrategyDefinition, StrategyInstance
from qmworkbench.strategies.parameters import ParameterError
from tests.strategies.bar_cases import changed
from tests.strategies.planted import planted

ORB, DONCHIAN = opening_range.DEFINITION, donchian.DEFINITION
BOTH = pytest.mark.parametrize("definition", [ORB, DONCHIAN], ids=lambda entry: entry.strategy_id)


def test_the_running_hash_tells_parameters_and_version_apart_and_nothing_else() -> None:
    approved = ORB.hash({})
    assert len(approved) == 16
    assert int(approved, 16) >= 0
    assert ORB.hash({"target_r": 3}) == ORB.hash({"target_r": 3.0}) == approved == ORB.hash(ORB.parameters({}))
    assert ORB.hash({"target_r": 2.5}) != approved
    assert changed(ORB, version="1.0.1").hash({}) != approved
    assert changed(ORB, title="Another title").hash({}) == approved


def test_a_hash_of_parameters_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ParameterError, match="range_bars = 0"):
        ORB.hash({"range_bars": 0})


@BOTH
def test_the_catalog_entry_says_everything_as_plain_data(definition: StrategyDefinition) -> None:
    entry = definition.as_data()
    assert json.loads(json.dumps(entry)) == entry
    for said in ("owner", "title", "objective", "entry", "confirming", "disqualifying", "invalidation", "sizing"):
        assert len(entry[said]) > 5, said
    assert entry["status"] == "experimental"
    assert entry["approved_hash"] == definition.hash({})
    assert entry["warmup_bars"] > 0
    assert entry["validation"]
    assert entry["assumptions"]
    assert set(entry["exits"]) >= {"stop", "target", "signal", "flat"}
    for spec in entry["parameter_specs"]:
        assert spec["meaning"]
    assert all(name.startswith("f_") and meaning for name, meaning in entry["features"].items())


@BOTH
def test_every_parameter_named_by_window_and_exits_exists(definition: StrategyDefinition) -> None:
    params = definition.parameters({})
    window = definition.window(params)
    assert isinstance(window.from_bar, int)
    assert isinstance(window.bars_left, int)
    for name in (definition.exits.trail_bps, definition.exits.max_hold_bars):
        assert name in params


def test_the_entry_window_is_read_from_the_parameters() -> None:
    window = ORB.window(ORB.parameters({"range_bars": 5, "last_entry_bar": 90}))
    assert (window.from_bar, window.until_bar, window.bars_left) == (5, 90, 60)
    assert DONCHIAN.window(DONCHIAN.parameters({"from_bar": 3})).until_bar is None


def test_the_flat_policy_is_the_definitions_or_a_parameter() -> None:
    assert ORB.flat_policy(ORB.parameters({})) is FlatPolicy.AT_CLOSE
    assert DONCHIAN.flat_policy(DONCHIAN.parameters({})) is FlatPolicy.AT_CLOSE
    assert DONCHIAN.flat_policy(DONCHIAN.parameters({"flat": "carry"})) is FlatPolicy.CARRY


@pytest.mark.parametrize(
    ("definition", "overrides", "said"),
    [
        (ORB, {"range_bars": 60, "last_entry_bar": 30}, "last_entry_bar = 30 comes before the range ends"),
        (ORB, {"min_range_pct": 9.0}, "min_range_pct = 9.0 exceeds max_range_pct = 8.0"),
        (DONCHIAN, {"long": False, "short": False}, "no entry could ever be made"),
    ],
)
def test_values_that_contradict_each_other_are_refused(
    definition: StrategyDefinition, overrides: dict[str, int | float | bool], said: str
) -> None:
    with pytest.raises(ParameterError, match=f"strategy {definition.strategy_id}: .*{said}"):
        definition.parameters(overrides)


def test_an_entry_without_an_owner_is_refused() -> None:
    with pytest.raises(ValueError, match="strategy opening-range has no owner"):
        changed(ORB, owner=" ")


def test_features_are_known_by_their_prefix() -> None:
    with pytest.raises(ValueError, match="has a feature 'close' that must start with f_"):
        planted(features=("close",))


@pytest.mark.parametrize(
    ("anchor", "boundaries", "reach"),
    [
        (Anchor(), 390, 0),
        (Anchor(bars=55), 390, 2),  # one session would do, one more for thin ones
        (Anchor(bars=55), 24, 4),
        (Anchor(bars=48), 24, 3),
        (Anchor(sessions=5, bars=None), 24, 5),
        (Anchor(sessions=5, bars=48), 24, 5),
    ],
)
def test_the_anchor_in_whole_sessions(anchor: Anchor, boundaries: int, reach: int) -> None:
    assert anchor.reach(boundaries) == reach


def test_history_depends_on_the_parameters_and_the_market() -> None:
    assert ORB.history_sessions(ORB.parameters({}), 390) == 0
    assert DONCHIAN.history_sessions(DONCHIAN.parameters({}), 24) == 4
    assert DONCHIAN.history_sessions(DONCHIAN.parameters({"entry_bars": 200}), 24) == 10


def test_a_program_reads_what_its_expressions_name() -> None:
    program = planted({"s_step": pl.col.high - pl.col.low}, f_close=pl.col.s_step).program({})
    assert {"high", "low", "close"} <= program.reads()
    assert "volume" not in program.reads()
    assert program.names()[0] == "s_step"


GOOD = {
    "instance_id": "orb-1",
    "strategy_id": "opening-range",
    "asset_class": AssetClass.EQUITY,
    "capital_fraction": Decimal("0.5"),
    "max_symbols": 3,
}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"instance_id": "Orb 1"}, "instance_id 'Orb 1' must be"),
        ({"instance_id": ""}, "must be 1 to 40"),
        ({"capital_fraction": Decimal(0)}, "capital_fraction 0 must be above 0"),
        ({"capital_fraction": Decimal("1.01")}, "at most 1"),
        ({"max_symbols": 0}, "max_symbols 0 must be at least 1"),
        ({"symbols": ()}, "must name at least one symbol"),
        ({"symbols": ("A", "A")}, "each once"),
    ],
)
def test_an_instance_that_makes_no_sense_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StrategyInstance(**{**GOOD, **fields})  # type: ignore[arg-type]


def test_an_instance_wants_symbols_of_its_market_and_list() -> None:
    anything = StrategyInstance(**GOOD)  # type: ignore[arg-type]
    assert anything.wants("XON", AssetClass.EQUITY)
    assert not anything.wants("EURUSD", AssetClass.FOREX)
    listed = StrategyInstance(**GOOD, symbols=("OPK",))  # type: ignore[arg-type]
    assert listed.wants("OPK", AssetClass.EQUITY)
    assert not listed.wants("XON", AssetClass.EQUITY)
