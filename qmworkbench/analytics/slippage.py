"""What a fill lost against the price it was decided at, where that is known (§9, §17)."""

from decimal import Decimal

from qmworkbench.domain.events.orders import FillRecorded
from qmworkbench.domain.numbers import ZERO


def known_bps(fill: FillRecorded, *, trails: bool) -> Decimal | None:
    """Basis points worse than decided, adverse positive; None where no price was decided.

    A stop that trails (`trails`) is on record with its first level alone: filled beyond that, against the position, it
    slipped by so much; filled before it, the level it had trailed to is not known, and nothing can be said.
    """
    slipped = fill.slippage_bps
    return None if slipped is not None and trails and slipped < ZERO else slipped


def cost(fill: FillRecorded, bps: Decimal | None, qty: Decimal) -> Decimal | None:
    """What `bps` cost over `qty` of a fill, in account currency; None where nothing is known."""
    if bps is None:
        return None
    # last = decision × (1 ± slip), so the distance is last × slip / (1 ± slip).
    slip = bps / 10_000
    return qty * fill.last_px * slip / (1 + fill.side.sign * slip) * fill.conversion_rate
