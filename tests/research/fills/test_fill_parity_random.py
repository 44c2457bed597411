"""Awkward markets at random: kernel, vectorbt and exchange agree on every fill, and on every figure to nine digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from qmworkbench.research.fills import metrics
from qmworkbench.research.fills.fill_kernel import simulate
from qmworkbench.research.fills.measure import Figure
from qmworkbench.research.fills.real_bars import figures_of, portfolio_of
from qmworkbench.research.fills.tape import Fills, Floats
from qmworkbench.research.fills.two_rows import Column, Method, two_rows
from tests.research.fills.fill_cases import Style, adversarial
from tests.research.fills.venue_fills import venue_fills

IDEAL = Style(height=60)


def columns(style: Style, seed: int, count: int) -> list[Column]:
    rng = np.random.default_rng(seed)
    return [adversarial(rng, style) for _ in range(count)]


def kernel(cases: Sequence[Column]) -> list[Fills]:
    return [simulate(case.tape, case.decisions, case.terms) for case in cases]


def differ(cases: Sequence[Column], ours: Sequence[Fills], theirs: Sequence[Fills]) -> list[int]:
    """The cases whose fills are not the same: rows and quantities exactly, prices as floats of one decimal."""

    def same(a: Fills, b: Fills) -> bool:
        rows = np.array_equal(a.at, b.at) and np.array_equal(a.qty, b.qty)
        return rows and np.allclose(a.px, b.px, rtol=1e-13, atol=0)

    return [k for k in range(len(cases)) if not same(ours[k], theirs[k])]


@pytest.mark.parametrize(
    ("style", "seed", "engine"),
    [
        (IDEAL, 1, "rust"),
        (replace(IDEAL, costs=True, shapes=("walk", "gaps")), 2, "rust"),
        (replace(IDEAL, limits=True), 3, "numba"),
        (replace(IDEAL, uneven=True), 10, "numba"),
    ],
    ids=["ideal", "costs", "time limits and fixed stops beside trails", "prices between ticks"],
)
def test_vectorbt_agrees(style: Style, seed: int, engine: str) -> None:
    cases = columns(style, seed, 60)
    done = two_rows(cases, "rust")
    assert done.engine == engine
    ours = kernel(cases)
    assert sum(map(len, ours)) > 500, "the cases hardly trade"
    assert differ(cases, ours, done.fills) == []


def test_numba_and_rust_agree() -> None:
    cases = columns(IDEAL, 4, 40)
    assert differ(cases, two_rows(cases, "numba").fills, two_rows(cases, "rust").fills) == []


@pytest.mark.parametrize("uneven", [False, True], ids=["on tick", "between ticks"])
def test_the_exchange_agrees(uneven: bool) -> None:
    for case in columns(Style(height=40, one_session=True, limits=True, uneven=uneven), 5, 20):
        fills = simulate(case.tape, case.decisions, case.terms)
        signed: list[tuple[int, float, float]] = []
        held = 0.0
        for row, qty, px in zip(fills.at.tolist(), fills.qty.tolist(), fills.px.tolist(), strict=True):
            turns = held != 0 and abs(qty) > abs(held) and (held > 0) != (qty > 0)
            signed += [(row, -held, px), (row, qty + held, px)] if turns else [(row, qty, px)]
            held += qty
        assert venue_fills(case.tape, case.decisions) == signed


@pytest.mark.parametrize(
    ("method", "costs"),
    [(Method(bias=0.0), False), (Method(stop_entry_price="close"), True), (Method(swapped=True), False)],
    ids=["no bias", "fractions from the close", "stop and target swapped"],
)
def test_a_control_that_must_fail_does(method: Method, costs: bool) -> None:
    cases = columns(Style(height=60, costs=costs, shapes=("calm", "walk", "thin"), tick=0.01), 6, 60)
    ours = kernel(cases)
    assert differ(cases, ours, two_rows(cases, "rust").fills) == []
    assert len(differ(cases, ours, two_rows(cases, "rust", method=method).fills)) >= 2


def test_one_row_a_bar_takes_the_stop_before_the_open() -> None:
    """Open 112 over the target 110, low 94 later: one row a bar sells at 95, where the market never stood for us."""
    import vectorbt as vbt

    bars = np.array([(100, 100, 100, 100), (101, 102, 100, 101), (112, 113, 94, 100)], np.float64)
    entries = np.array([False, True, False])
    told = vbt.Portfolio.from_signals(
        close=bars[:, 3], open=bars[:, 0], high=bars[:, 1], low=bars[:, 2], price=bars[:, 0], entries=entries,
        sl_stop=(101 - 95) / 101, tp_stop=(110 - 101) / 101, stop_entry_price="fillprice", size=1.0, engine="rust",
    )  # fmt: skip
    assert told.order_records["price"].tolist() == pytest.approx([101.0, 95.0])


def accounts(fills: Sequence[Fills]) -> Floats:
    """A few times what the largest position costs: more would cost the Sharpe ratio its digits."""
    return np.array([round(3 * float(np.abs(f.qty * f.px).max(initial=1.0)) + 1, 2) for f in fills])


@pytest.mark.parametrize("style", [IDEAL, replace(IDEAL, costs=True, limits=True)], ids=["ideal", "costs"])
def test_figures_are_vectorbts_to_nine_digits(style: Style) -> None:
    cases = columns(style, 7, 80)
    fills = kernel(cases)
    cash = accounts(fills)
    times = cases[0].tape.ts_us
    tapes = [replace(case.tape, ts_us=times) for case in cases]
    names = [str(k) for k in range(len(cases))]
    theirs = figures_of(portfolio_of(tapes, fills, cash, interval_s=60, names=names))
    ours = np.array([metrics.figures(t, f, c) for t, f, c in zip(tapes, fills, cash, strict=True)])
    compared = [figure for figure in Figure if not np.isnan(theirs[:, figure]).all()]
    assert len(compared) >= 14
    for figure in compared:
        np.testing.assert_allclose(
            ours[:, figure], theirs[:, figure], rtol=1e-9, atol=1e-9, err_msg=figure.name, equal_nan=True
        )


def test_money_is_exact_to_half_a_cent() -> None:
    for case in columns(replace(IDEAL, costs=True), 8, 40):
        fills = simulate(case.tape, case.decisions, case.terms)
        cash = held = Decimal(0)
        for qty, px, fee in zip(fills.qty.tolist(), fills.px.tolist(), fills.fee.tolist(), strict=True):
            exact = Decimal(repr(round(px, 10)))
            cash -= Decimal(repr(qty)) * exact + Decimal(repr(fee))
            held += Decimal(repr(qty))
        worth = 10_000_000 + cash + held * Decimal(repr(case.tape.close[-1].item()))
        told = metrics.figures(case.tape, fills, 10_000_000.0)[Figure.FINAL_EQUITY]
        assert abs(Decimal(repr(told.item())) - worth) < Decimal("0.005")


def test_the_curve_ends_where_the_figures_do() -> None:
    for case in columns(IDEAL, 9, 20):
        fills = simulate(case.tape, case.decisions, case.terms)
        curve = metrics.equity(case.tape, fills, 50_000.0)
        row = metrics.figures(case.tape, fills, 50_000.0)
        assert curve[-1] == pytest.approx(row[Figure.FINAL_EQUITY], rel=1e-12)
        last = np.append(np.flatnonzero(np.diff(case.tape.day)), len(case.tape) - 1)
        assert metrics.session_equity(case.tape, fills, 50_000.0) == pytest.approx(curve[last], rel=1e-12)
        peak = np.maximum.accumulate(np.maximum(curve, 50_000.0))
        assert row[Figure.MAX_DRAWDOWN] == pytest.approx((curve / peak - 1).min(), abs=1e-12)
        assert row[Figure.MAX_DRAWDOWN_CLOSES] == pytest.approx((curve / np.maximum.accumulate(curve) - 1).min())
