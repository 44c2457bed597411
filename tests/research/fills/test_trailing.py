"""The trailing level against exact arithmetic."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.research.fills.trailing import level_behind
from qmworkbench.research.fills.two_rows import tick_numbers

TICKS = st.sampled_from(["0.00001", "0.0001", "0.01", "0.05", "0.25", "0.5", "1", "5"])


@given(
    units=st.integers(1_000_000, 9_000_000_000_000),
    bps=st.integers(1, 9_999),
    side=st.sampled_from([1, -1]),
    tick=TICKS,
)
def test_it_is_the_exact_level_rounded_away_from_the_market(units: int, bps: int, side: int, tick: str) -> None:
    peak = Decimal(units) / 100_000_000  # eight decimals, from a cent to 90,000
    exact = peak * (1 - side * Decimal(bps) / 10_000)
    ticks = (exact / Decimal(tick)).to_integral_value(ROUND_FLOOR if side > 0 else ROUND_CEILING)
    step, in_units, per_unit = tick_numbers(float(tick))
    level = level_behind(float(peak), bps, side, step, int(in_units), per_unit)
    assert level == float(ticks * Decimal(tick))


@pytest.mark.parametrize(("side", "level"), [(1, 94 + 2 / 3), (-1, 97 + 1 / 3)])
def test_a_tick_that_is_no_decimal_is_counted_too(side: int, level: float) -> None:
    """A third of a unit: 1.25 % of 96 is 1.2, so the exact level lies at 94.8 or 97.2."""
    step, in_units, per_unit = tick_numbers(1 / 3)
    assert in_units == 0
    assert level_behind(96.0, 125, side, step, int(in_units), per_unit) == pytest.approx(level, rel=1e-15)
