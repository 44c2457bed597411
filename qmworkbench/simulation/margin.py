"""Money of what is held on margin: only what a fill realizes moves cash (§14). Plain average cost, in one place."""

from decimal import Decimal
from typing import Final

ZERO: Final = Decimal(0)
_PAIR: Final = 6  # letters


def on_margin(symbol: str) -> bool:
    """Currency pairs are; shares of a simulated world are paid in full."""
    return len(symbol) == _PAIR


class Costs:
    """What is held by key, and what it cost, both signed, in the quote currency."""

    def __init__(self) -> None:
        self.held: dict[object, tuple[Decimal, Decimal]] = {}

    def fill(self, key: object, qty: Decimal, px: Decimal) -> Decimal:
        """One execution of signed `qty`; what it realized, in the quote currency."""
        held, cost = self.held.get(key, (ZERO, ZERO))
        realized = ZERO
        closes = min(abs(held), abs(qty)) if held * qty < 0 else ZERO
        if closes:
            sign = 1 if held > 0 else -1
            share = cost * closes / abs(held)
            realized = sign * closes * px - share
            held, cost = held - sign * closes, cost - share
            qty += sign * closes
        self.held[key] = (held + qty, cost + qty * px)
        return realized

    def unrealized(self, key: object, px: Decimal) -> Decimal:
        """What it would make at this price."""
        held, cost = self.held.get(key, (ZERO, ZERO))
        return held * px - cost


def rate(symbol: str, marks: dict[str, Decimal]) -> Decimal | None:
    """What a unit of the symbol's quote currency is worth in dollars at these marks; None where nobody knows."""
    quote = symbol[3:] if on_margin(symbol) else "USD"
    if quote == "USD":
        return Decimal(1)
    if f"USD{quote}" in marks:
        return 1 / marks[f"USD{quote}"]
    return marks.get(f"{quote}USD")
