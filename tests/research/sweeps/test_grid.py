"""Grids as text, their combinations, and what is refused before it costs anything."""

import tracemalloc

import pytest

from qmworkbench.research.sweeps.grid import Grid, GridRefused, all_of, drawn
from qmworkbench.research.sweeps.grid_text import grid_of, parse_grid
from qmworkbench.strategies.catalog import get

CROSS = get("sma-cross")


def test_ranges_hold_both_ends_and_lists_follow_their_name() -> None:
    grid = parse_grid("fast=5:50:5,slow=20:200:10,stop_atr=0.5:1.1:0.2,long=true,false,flat=carry", CROSS)

    assert grid.names == ("fast_bars", "slow_bars", "stop_atr", "long", "flat")
    assert [axis.count for axis in grid.axes] == [10, 19, 4, 2, 1]
    assert [grid.axes[2].value(at) for at in range(4)] == [0.5, 0.7, 0.9, 1.1]
    assert grid.overrides(0) == {"fast_bars": 5, "slow_bars": 20, "stop_atr": 0.5, "long": True, "flat": "carry"}
    assert grid.overrides(grid.size - 1) == {
        "fast_bars": 50,
        "slow_bars": 200,
        "stop_atr": 1.1,
        "long": False,
        "flat": "carry",
    }
    assert parse_grid(str(grid), CROSS) == grid


def test_a_grid_from_values_is_the_same_as_from_text() -> None:
    given = grid_of({"fast_bars": range(5, 51, 5), "slow_bars": "20:200:10", "stop_atr": [1, 2.5], "long": True}, CROSS)

    assert [axis.largest for axis in given.axes] == [50, 200, 2.5, True]
    assert str(given) == "fast_bars=5:50:5,slow_bars=20:200:10,stop_atr=1.0,2.5,long=true"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fast=0:5", "fast_bars = 0 is out of range"),
        ("slow=20:900:10", "slow_bars = 900 is out of range"),
        ("speed=3", "'speed' is none of its parameters"),
        ("min=1", "may be min_atr_bps or min_bars_left"),
        ("fast=1:x", "is no range"),
        ("fast=9:1", "no ascending range"),
        ("fast=1:9:0", "no ascending range"),
        ("fast=1:2:0.5", "it is a whole number"),
        ("fast=1,1", "a value twice"),
        ("fast=1,fast=2", "given twice"),
        ("fast=1:3,5", "a range within a list"),
        ("long=true:false", "has no range"),
        ("long=maybe", "is no true or false"),
        ("fast=2.5", "is no whole number"),
        ("", "does not begin with NAME="),
        ("7", "does not begin with NAME="),
    ],
)
def test_what_makes_no_grid_is_named_with_its_remedy(text: str, says: str) -> None:
    with pytest.raises(GridRefused, match=says) as refused:
        parse_grid(text, CROSS)
    assert refused.value.remedy


def test_a_billion_combinations_are_refused_before_any_memory_is_used() -> None:
    text = "fast=1:499,slow=2:500,stop_atr=0.1:50:0.1,target_r=0:1:0.1"
    tracemalloc.start()
    try:
        with pytest.raises(GridRefused, match="1,369,505,500 combinations, more than the 2,000,000") as refused:
            all_of(parse_grid(text, CROSS), CROSS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "--random" in refused.value.remedy
    assert peak < 1_000_000
    assert len(drawn(parse_grid(text, CROSS), CROSS, 100, seed=1)) <= 100


def test_contradictions_are_left_out_counted_and_named_in_the_strategys_words() -> None:
    found = all_of(parse_grid("fast=5:50:5,slow=20:50:10", CROSS), CROSS)

    assert (len(found), found.invalid) == (24, 16)
    assert found.reasons[0] == "fast_bars = 20 must be below slow_bars = 20; the averages could not cross"
    assert all(CROSS.contradiction(found.params(at)) is None for at in range(len(found)))
    assert found.params(0) == CROSS.parameters({"fast_bars": 5, "slow_bars": 20})


def test_a_sample_is_the_same_for_the_same_seed_and_has_no_combination_twice() -> None:
    grid = parse_grid("fast=5:50,slow=60:200", CROSS)
    one, again, other = (drawn(grid, CROSS, 300, seed=seed) for seed in (4, 4, 5))

    assert one.numbers.tolist() == again.numbers.tolist() != other.numbers.tolist()
    assert len(set(one.numbers.tolist())) == 300
    assert drawn(parse_grid("fast=5:7,slow=60", CROSS), CROSS, 300, seed=1).numbers.tolist() == [0, 1, 2]


def test_slices_hold_what_the_whole_holds() -> None:
    found = all_of(parse_grid("fast=5:9,slow=7:12,long=true,false", CROSS), CROSS)
    parts = [found.slice(at, at + 7) for at in range(0, len(found), 7)]

    assert [part.params(at) for part in parts for at in range(len(part))] == [
        found.params(i) for i in range(len(found))
    ]


def test_a_fixed_parameter_may_not_vary() -> None:
    with pytest.raises(GridRefused, match="both fixed and in the grid"):
        all_of(parse_grid("fast=5:9", CROSS), CROSS, fixed={"fast_bars": 7})
    assert all_of(Grid(parse_grid("fast=5:9", CROSS).axes), CROSS, fixed={"slow_bars": 90}).base["slow_bars"] == 90
