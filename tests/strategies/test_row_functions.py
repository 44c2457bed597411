"""Each numpy function against the polars operation it stands for, bit for bit, on what is awkward for floats."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest

from qmworkbench.strategies import row_functions as on_rows
from qmworkbench.strategies.row_tape import NotCarried

AWKWARD = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    0.3,
    2.5,
    3.5,
    0.25,
    0.35,
    1e-300,
    1e17,
    float("inf"),
    float("-inf"),
    float("nan"),
]
PAIRS = np.array(list(product(AWKWARD, AWKWARD)))
A, B = np.ascontiguousarray(PAIRS[:, 0]), np.ascontiguousarray(PAIRS[:, 1])
MANY = np.concatenate([np.random.default_rng(5).normal(40, 30, 4000), np.arange(-400, 400) / 20])


def polars(expr: pl.Expr, **columns: Any) -> np.ndarray:
    return pl.DataFrame(columns).select(expr.alias("o"))["o"].to_numpy()


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.dtype == theirs.dtype
    if ours.dtype.kind == "f":  # NaN is NaN; zeros have signs
        assert np.array_equal(np.isnan(ours), np.isnan(theirs))
        ours, theirs = (np.where(np.isnan(one), 0.0, one).view(np.int64) for one in (ours, theirs))
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "expr"),
    [
        ("Gt", pl.col.a > pl.col.b),
        ("GtEq", pl.col.a >= pl.col.b),
        ("Lt", pl.col.a < pl.col.b),
        ("LtEq", pl.col.a <= pl.col.b),
        ("Eq", pl.col.a == pl.col.b),
        ("NotEq", pl.col.a != pl.col.b),
    ],
)
def test_comparisons_order_nan_as_polars_does(name: str, expr: pl.Expr) -> None:
    certain, careful = on_rows.COMPARISONS[name]
    same(careful(A, B), polars(expr, a=A, b=B))
    real = ~np.isnan(A) & ~np.isnan(B)
    same(certain(A[real], B[real]), polars(expr, a=A[real], b=B[real]))


@pytest.mark.parametrize(
    ("ours", "expr"),
    [
        (on_rows.highest_number, pl.max_horizontal("a", "b")),
        (on_rows.lowest_number, pl.min_horizontal("a", "b")),
        (lambda a, _: on_rows.at_least(a, 0.0), pl.col.a.clip(lower_bound=0.0)),
        (lambda a, _: on_rows.at_most(a, 0.0), pl.col.a.clip(upper_bound=0.0)),
        (lambda a, _: on_rows.rounded(a, 0), pl.col.a.round(0)),
        (lambda a, _: np.negative(a), -pl.col.a),
        (lambda a, _: np.abs(a), pl.col.a.abs()),
    ],
    ids=["max", "min", "clip below", "clip above", "round", "negate", "abs"],
)
def test_what_floats_come_to_is_what_polars_makes_of_them(ours: Callable[..., np.ndarray], expr: pl.Expr) -> None:
    same(ours(A, B), polars(expr, a=A, b=B))


@pytest.mark.parametrize("count", [1, 3, 16, 61])
def test_of_two_zeros_the_second_is_the_extreme_however_many_there_are(count: int) -> None:
    zero, minus = np.zeros(count), np.full(count, -0.0)
    for a, b in ((zero, minus), (minus, zero)):
        same(on_rows.highest(a, b), polars(pl.max_horizontal("a", "b"), a=a, b=b))
        same(on_rows.lowest(a, b), polars(pl.min_horizontal("a", "b"), a=a, b=b))


@pytest.mark.parametrize("decimals", [0, 1, 2, 4])
def test_rounding(decimals: int) -> None:
    same(on_rows.rounded(MANY, decimals), polars(pl.col.a.round(decimals), a=MANY))


@pytest.mark.parametrize("weight", [1 / 9, 2 / 11, 0.5])
def test_smoothing_step_by_step(weight: float) -> None:
    found = [MANY[:1]]
    for value in MANY[1:]:
        found.append(on_rows.smoothed(found[-1], np.array([True]), weight, np.array([value])))
    same(np.concatenate(found), polars(pl.col.a.ewm_mean(alpha=weight, adjust=False), a=MANY))


def test_the_extreme_so_far_begins_with_nan() -> None:
    for values in ([float("nan"), 1.0, 0.5], [0.0, -0.0, 0.0], [-0.0, 0.0], [1.0, float("nan"), 2.0]):
        for function, expr in (
            (on_rows.highest_number, pl.col.a.cum_max()),
            (on_rows.lowest_number, pl.col.a.cum_min()),
        ):
            so_far, found = np.array([np.nan]), []
            for value in values:
                so_far = function(so_far, np.array([value]))
                found.append(so_far)
            same(np.concatenate(found), polars(expr, a=values))


def test_whole_numbers_cut_fractions_off_and_refuse_what_does_not_fit() -> None:
    px = np.array([1.9, -1.9, 9.0e18])
    same(on_rows.whole(px, True), polars(pl.col.a.cast(pl.Int64), a=px))
    for too_much in (9.3e18, np.inf, np.nan):
        with pytest.raises(NotCarried):
            on_rows.whole(np.array([1.0, too_much]), True)
    with np.errstate(invalid="ignore"):
        assert on_rows.whole(np.array([1.0, np.nan]), np.array([True, False]))[0] == 1
