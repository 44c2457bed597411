"""Position arithmetic: signed quantity, exact cost, realized P&L, and when a round trip is over (§14, §17)."""

from datetime import datetime
from decimal import Decimal

import msgspec

from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Side


class Position(msgspec.Struct, kw_only=True, gc=False):
    """What one strategy instance holds of one symbol, and the round trip in progress.

    `qty` is signed; `cost` is the signed price paid for it, in the instrument's currency, so that
    `avg_px = cost / qty` needs no rounding between fills. `realized_pnl` and `fees` count since the position was
    last opened from flat; `exit_wanted` is why we want out ("" if we do not); `entry_qty`/`entry_value` and
    `exit_qty`/`exit_value` the fills of that round trip. Mutable, and changed by the fold alone.
    """

    strategy_id: str
    symbol: str
    qty: Decimal = ZERO
    cost: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    opened_at: datetime | None = None
    entry_order: str = ""
    signal_id: str = ""
    decision_px: Decimal = ZERO
    initial_stop_px: Decimal | None = None
    target_px: Decimal | None = None
    max_hold_bars: int | None = None
    bars_held: int = 0
    flat_policy: str = "at_close"
    exit_wanted: str = ""
    exit_signal_id: str = ""
    entry_qty: Decimal = ZERO
    entry_value: Decimal = ZERO
    exit_qty: Decimal = ZERO
    exit_value: Decimal = ZERO

    @property
    def avg_px(self) -> Decimal:
        """Average entry price of what is held; 0 when flat."""
        return self.cost / self.qty if self.qty else ZERO

    @property
    def side(self) -> Side | None:
        """BUY for long, SELL for short, None when flat."""
        if self.qty > 0:
            return Side.BUY
        return Side.SELL if self.qty < 0 else None

    def unrealized(self, mark_px: Decimal) -> Decimal:
        """P&L of what is held at `mark_px`, in the instrument's currency."""
        return self.qty * mark_px - self.cost


class NetPosition(msgspec.Struct, kw_only=True, gc=False):
    """What a book holds of one symbol over all its owners, as a broker that nets has it: no more than a signed quantity
    and the signed price paid for it, in the instrument's currency. Mutable, and changed by the fold alone.
    """

    qty: Decimal = ZERO
    cost: Decimal = ZERO

    @property
    def avg_px(self) -> Decimal:
        """Average price of what is held; 0 when flat."""
        return self.cost / self.qty if self.qty else ZERO

    def unrealized(self, mark_px: Decimal) -> Decimal:
        """P&L of what is held at `mark_px`, in the instrument's currency."""
        return self.qty * mark_px - self.cost


class PositionDelta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a fill does to a position: the new quantity and cost, the P&L it realizes, and how the fill splits."""

    qty: Decimal
    cost: Decimal
    realized_pnl: Decimal
    closed_qty: Decimal
    opened_qty: Decimal


def fill_delta(qty: Decimal, cost: Decimal, side: Side, last_qty: Decimal, last_px: Decimal) -> PositionDelta:
    """The effect of filling `last_qty` at `last_px` on a position of signed `qty` bought for signed `cost`.

    A fill against the position closes first, at average cost, then opens the other way with what is left.
    Raises ValueError when the filled quantity or the price is not positive.
    """
    if last_qty <= 0 or last_px <= 0:
        raise ValueError(f"a fill of {last_qty} at {last_px} is not a fill: both must be above zero")
    signed = side.sign * last_qty
    if qty == 0 or (qty > 0) == (signed > 0):
        return PositionDelta(
            qty=qty + signed,
            cost=cost + signed * last_px,
            realized_pnl=ZERO,
            closed_qty=ZERO,
            opened_qty=last_qty,
        )
    closed = min(abs(qty), last_qty)
    # The whole cost goes with the last share, so that closing in pieces never leaves a crumb behind.
    closed_cost = cost if closed == abs(qty) else cost * closed / abs(qty)
    realized = -side.sign * closed * last_px - closed_cost
    opened = last_qty - closed
    return PositionDelta(
        qty=qty + signed,
        cost=cost - closed_cost + side.sign * opened * last_px,
        realized_pnl=realized,
        closed_qty=closed,
        opened_qty=opened,
    )
