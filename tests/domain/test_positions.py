"""Position arithmetic is exact, whatever the order of fills (§14)."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Side
from qmworkbench.domain.positions import Position, fill_delta

fills = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 500), st.integers(1, 100_000).map(lambda t: Decimal(t) / 100)),
    max_size=40,
)


@given(fills)
def test_money_is_conserved(sequence: list[tuple[Side, int, Decimal]]) -> None:
    """Cash paid plus what is held at cost always equals what was realized."""
    qty = cost = realized = cash = ZERO
    for side, size, px in sequence:
        delta = fill_delta(qty, cost, side, Decimal(size), px)
        assert delta.closed_qty + delta.opened_qty == size
        assert delta.closed_qty <= abs(qty)
        qty, cost, realized = delta.qty, delta.cost, realized + delta.realized_pnl
        cash -= side.sign * size * px
        if qty == 0:
            assert cost == 0
    assert abs(cash + cost - realized) < Decimal("1e-15")
    assert qty == sum((side.sign * size for side, size, _ in sequence), 0)


@given(fills)
def test_a_flat_book_has_realized_exactly_what_it_was_paid(sequence: list[tuple[Side, int, Decimal]]) -> None:
    qty = cost = realized = cash = ZERO
    for side, size, px in sequence:
        delta = fill_delta(qty, cost, side, Decimal(size), px)
        qty, cost, realized = delta.qty, delta.cost, realized + delta.realized_pnl
        cash -= side.sign * size * px
    if qty:
        side = Side.SELL if qty > 0 else Side.BUY
        delta = fill_delta(qty, cost, side, abs(qty), Decimal(50))
        cash -= side.sign * abs(qty) * 50
        realized += delta.realized_pnl
        assert (delta.qty, delta.cost) == (0, 0)
    assert abs(cash - realized) < Decimal("1e-15")


def test_closing_realizes_at_average_cost() -> None:
    first = fill_delta(ZERO, ZERO, Side.BUY, Decimal(100), Decimal("10.00"))
    second = fill_delta(first.qty, first.cost, Side.BUY, Decimal(100), Decimal("12.00"))
    closing = fill_delta(second.qty, second.cost, Side.SELL, Decimal(50), Decimal("13.00"))
    assert closing.realized_pnl == Decimal(100)
    assert closing.qty == 150


def test_a_flip_closes_first_and_opens_with_the_rest() -> None:
    delta = fill_delta(Decimal(100), Decimal(1000), Side.SELL, Decimal(130), Decimal(9))
    assert (delta.closed_qty, delta.opened_qty) == (100, 30)
    assert (delta.qty, delta.cost, delta.realized_pnl) == (-30, -270, -100)


@pytest.mark.parametrize(("qty", "px"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_a_fill_of_nothing_is_refused(qty: int, px: int) -> None:
    with pytest.raises(ValueError, match="is not a fill"):
        fill_delta(ZERO, ZERO, Side.BUY, Decimal(qty), Decimal(px))


def test_a_position_knows_its_side_and_open_pnl() -> None:
    held = Position(strategy_id="s", symbol="X", qty=Decimal(-10), cost=Decimal(-200))
    assert held.side is Side.SELL
    assert held.avg_px == 20
    assert held.unrealized(Decimal(19)) == 10
    assert Position(strategy_id="s", symbol="X").side is None
