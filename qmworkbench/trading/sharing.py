"""How what the broker booked on its net position is shared out over those who hold it, to the last digit (§14)."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from qmworkbench.domain.numbers import ZERO, floor_to
from qmworkbench.domain.positions import Position

_PLACES: Final = Decimal("0.00000001")


def shared(amount: Decimal, weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """`amount` by signed weight, to eight places; the one with the largest weight takes what rounding leaves.

    Weights must not come to nothing together; one against the others gets the opposite sign.
    """
    total = sum(weights.values(), ZERO)
    parts = {name: (amount * weight / total).quantize(_PLACES) for name, weight in weights.items()}
    largest = max(weights, key=lambda name: (abs(weights[name]), name))
    parts[largest] += amount - sum(parts.values(), ZERO)
    return parts


def whole_lots_each(holders: Sequence[Position], target: Decimal, lot: Decimal) -> dict[str, Decimal]:
    """Whole lots for each holder so that they add up to `target`, itself whole: rounded down, then one more for those
    who lost most by that.
    """
    lots = {held.strategy_id: floor_to(held.qty, lot) for held in holders}
    lost = sorted(holders, key=lambda held: (lots[held.strategy_id] - held.qty, held.strategy_id))
    missing = int(((target - sum(lots.values(), ZERO)) / lot).to_integral_value(rounding=ROUND_FLOOR))
    for held in lost[:missing]:
        lots[held.strategy_id] += lot
    return lots


def largest(holders: Sequence[Position]) -> Position:
    """Who holds most, whichever way."""
    return max(holders, key=lambda held: (abs(held.qty), held.strategy_id))
