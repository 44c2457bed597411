"""A plateau is told from a needle, over any two parameters of a grid."""

import math

import polars as pl
import pytest

from qmworkbench.research.statistics.stability import stability_map


def grid(value: object, **more: list[int]) -> pl.DataFrame:
    extra = more or {"stop": [1]}
    name, values = next(iter(extra.items()))
    rows = [
        {"fast": fast, "slow": slow, name: other, "sharpe": value(fast, slow, other)}  # type: ignore[operator]
        for fast in (2, 3, 5, 8, 13)
        for slow in (20, 30, 50, 80)
        for other in values
    ]
    return pl.DataFrame(rows)


def test_a_needle_and_a_plateau() -> None:
    needle = stability_map(grid(lambda f, s, _: 3.0 if (f, s) == (5, 50) else 0.3), "fast", "slow")
    assert needle.best == {"fast": 5, "slow": 50}
    assert needle.plateau == pytest.approx(0.1)
    assert needle.width == pytest.approx(1 / 20)
    level = stability_map(grid(lambda f, s, _: 1.0 + 0.01 * f), "fast", "slow")
    assert level.plateau == pytest.approx(1, abs=0.06)
    assert level.width == 1


def test_the_centre_of_a_plateau_is_preferred_to_a_needle_beside_it() -> None:
    def value(fast: int, slow: int, _: int) -> float:
        if (fast, slow) == (13, 80):
            return 5.0
        return 2.0 if fast <= 5 and slow <= 50 else -1.0

    found = stability_map(grid(value), "fast", "slow")
    assert found.best == {"fast": 13, "slow": 80}
    assert found.plateau == 0
    assert found.centre["fast"] <= 5
    assert found.centre["slow"] <= 50


def test_neighbours_are_counted_on_the_grid_and_without_the_point_itself() -> None:
    found = stability_map(grid(lambda f, s, _: float(f * s)), "fast", "slow")
    corner = found.frame.row(by_predicate=(pl.col("fast") == 2) & (pl.col("slow") == 20), named=True)
    assert (corner["neighbours"], corner["value"]) == (3, 40)
    assert (corner["neighbour_median"], corner["neighbour_worst"]) == (60, 60)
    inner = found.frame.row(by_predicate=(pl.col("fast") == 5) & (pl.col("slow") == 30), named=True)
    assert (inner["neighbours"], inner["neighbour_median"], inner["neighbour_worst"]) == (8, 155, 60)
    wide = stability_map(grid(lambda f, s, _: float(f * s)), "fast", "slow", radius=2)
    assert wide.frame["neighbours"].max() == 19


def test_other_parameters_are_held_or_summed_up() -> None:
    results = grid(lambda f, s, stop: float(f + 100 * stop), stop=[1, 2, 9])
    assert stability_map(results, "fast", "slow", fixed={"stop": 9}).best_value == 913
    summed = stability_map(results, "fast", "slow")
    assert summed.best_value == 213
    assert summed.frame["runs"].unique().to_list() == [3]
    assert stability_map(results, "stop", "fast").best == {"stop": 9, "fast": 13}


def test_results_without_a_value_are_left_out_and_counted() -> None:
    values = {(2, 20): math.nan, (3, 20): math.inf, (5, 20): None}
    found = stability_map(grid(lambda f, s, _: values.get((f, s), 1.0)), "fast", "slow")
    assert found.unranked == 3
    assert found.frame.height == 17
    assert found.best_value == 1


def test_a_map_without_a_good_point_says_why() -> None:
    found = stability_map(grid(lambda f, s, _: -1.0), "fast", "slow")
    assert found.plateau is None
    assert found.width is None
    assert "not above 0" in found.missing["plateau"]
    apart = pl.DataFrame({"a": [1, 2, 3], "b": [10, 20, 30], "sharpe": [1.0, 0.0, 3.0]})
    assert stability_map(apart, "a", "b").plateau == 0
    alone = pl.DataFrame({"a": [1, 3, 2, 4], "b": [10, 10, 30, 20], "sharpe": [1.0, 0.5, 0.2, 0.1]})
    lonely = stability_map(alone, "a", "b")
    assert lonely.plateau is None
    assert "no neighbour" in lonely.missing["plateau"]


@pytest.mark.parametrize(
    ("x", "y", "more", "words"),
    [
        ("fats", "slow", {}, "no column 'fats'"),
        ("fast", "fast", {}, "three different columns"),
        ("fast", "slow", {"radius": 0}, "radius is 0"),
        ("fast", "slow", {"fixed": {"stop": 4}}, "no result has"),
        ("fast", "slow", {"fixed": {"fast": 2, "slow": 20}}, "1 points of the grid"),
    ],
)
def test_what_cannot_be_mapped_is_refused_by_name(x: str, y: str, more: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        stability_map(grid(lambda f, s, _: 1.0), x, y, **more)  # type: ignore[arg-type]
