"""What a fill does to the money of an account (§14).

An instrument whose `margin_rate` is 1 is paid in full: a fill moves cash by its value. One with less is held on
margin: only realized P&L moves cash, and the position is worth its unrealized P&L. Fees are in account currency. P&L
in another currency converts at the venue's own recorded rate, to eight places.
"""

from decimal import Decimal

from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.venue.costs import FeeSchedule
from qmworkbench.venue.orders import VenueOrder

_PLACES = Decimal("0.00000001")


def paid_in_full(instrument: Instrument) -> bool:
    """Whether a fill moves cash by its whole value, rather than by realized P&L alone."""
    return instrument.margin_rate == ONE


def money(amount: Decimal, rate: Decimal) -> Decimal:
    """`amount` in account currency: exact where none is converted, else to eight places."""
    return amount if rate == ONE else (amount * rate).quantize(_PLACES)


def fill_fee(fees: FeeSchedule, order: VenueOrder, qty: Decimal, value: Decimal, rate: Decimal) -> Decimal:
    """What a fill of `qty` for `value` adds to the fees of `order`, which already counts it.

    The commission on all of the order so far, less that on what was before: a minimum is charged once.
    """
    before = fees.commission(order.cum_qty - qty, money(order.cum_value - value, rate))
    owed = fees.commission(order.cum_qty, money(order.cum_value, rate)) - before
    charge = fees.sale_charge(qty, money(value, rate)) if order.side.sign < 0 else ZERO
    return (max(owed, ZERO) + charge) or ZERO
