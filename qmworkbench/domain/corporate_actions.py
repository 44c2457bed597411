"""What a company does to its shares, as announced, and what that makes of quantities and prices held (§5, §14).

The table of actions belongs to the market; what they do to an account is the broker's word (AccountActivity).
"""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from qmworkbench.domain.execution import ActivityKind
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ZERO, toward_zero
from qmworkbench.domain.orders import OrdType, Side

_PLACES: Final = Decimal("0.00000001")
# A ratio written as a float means the simple fraction it is nearest to: 0.3333333333333333 is one for three.
_LARGEST_DENOMINATOR: Final = 1000
_CLOSE: Final = Fraction(1, 10**9)

# In which order actions of one date take effect: a dividend goes to the shares of the evening before, a split names
# the old ticker, and what is delisted bears its last name.
ACTION_KINDS: Final = (
    ActivityKind.DIVIDEND,
    ActivityKind.SPLIT,
    ActivityKind.SYMBOL_CHANGE,
    ActivityKind.DELISTING,
)


class CorporateAction(msgspec.Struct, frozen=True, kw_only=True):
    """One action of the company behind `symbol` (the ticker of the day before `ex_date`).

    `ex_date` is the first session that trades without the right, or under the new name; for a delisting the first in
    which it no longer trades. `ratio` (SPLIT) is new shares for one old one: 7 for seven to one, 0.1 for one to ten.
    `amount` is cash a share in the instrument's currency: of a DIVIDEND, or what a DELISTING pays (0: the last
    price). `new_symbol` (SYMBOL_CHANGE) is the ticker from `ex_date` on. `source` says who told.
    """

    symbol: str
    ex_date: date
    kind: ActivityKind
    ratio: Decimal = ZERO
    amount: Decimal = ZERO
    new_symbol: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        fault = fault_in(self)
        if fault is not None:
            column, remedy = fault
            what = f"{self.kind} of {self.symbol or 'no symbol'} on {self.ex_date}"
            raise ValueError(f"{what}: {column} is {getattr(self, column)!s}; {remedy}")


def fault_in(action: CorporateAction) -> tuple[str, str] | None:
    """The first field that makes no sense, and the remedy; None for a sound action."""
    kind = action.kind
    if not action.symbol or action.symbol != action.symbol.strip():
        return "symbol", "name the ticker, without spaces"
    if kind not in ACTION_KINDS:
        return "kind", f"give one of {', '.join(ACTION_KINDS)}"
    if not action.ratio.is_finite() or (kind is ActivityKind.SPLIT) != (action.ratio > 0) or action.ratio < 0:
        return "ratio", "a split has new shares for one old one, above 0; any other action has none"
    if not action.amount.is_finite() or action.amount < 0:
        return "amount", "give cash a share, not below 0"
    if (kind is ActivityKind.DIVIDEND and not action.amount) or (
        action.amount and kind not in (ActivityKind.DIVIDEND, ActivityKind.DELISTING)
    ):
        return "amount", "a dividend has cash a share, above 0; a delisting may; any other action has none"
    if (kind is ActivityKind.SYMBOL_CHANGE) != bool(action.new_symbol) or action.new_symbol == action.symbol:
        return "new_symbol", "a symbol change names another ticker; any other action names none"
    return None


def action_order(action: CorporateAction) -> tuple[date, int, str]:
    """Oldest first, then as they take effect on one date, then by ticker."""
    return action.ex_date, ACTION_KINDS.index(action.kind), action.symbol


def exact_ratio(new: int | float | str | Decimal) -> Decimal:
    """A split ratio as an exact number: 7, 0.125, "7:1", "1:3", or a float that means a simple fraction.

    Raises ValueError for what is no ratio.
    """
    try:
        if isinstance(new, str) and ":" in new:
            above, below = new.split(":")
            told = Fraction(above.strip()) / Fraction(below.strip())
        else:
            told = Fraction(str(new))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{new!r} is no split ratio: give new shares for one old one, such as 7, 0.1 or 1:3") from None
    simple = told.limit_denominator(_LARGEST_DENOMINATOR)
    if abs(simple - told) <= _CLOSE * abs(told):
        told = simple
    return Decimal(told.numerator) / Decimal(told.denominator)


def restated_qty(qty: Decimal, ratio: Decimal) -> Decimal:
    """A quantity after a split, to eight places, so that thirds come out whole where they are."""
    return (qty * ratio).quantize(_PLACES).normalize() + ZERO


def whole_lots(qty: Decimal, instrument: Instrument) -> Decimal:
    """What of a signed quantity can go on being held: whole lots, or all of it where fractions can be held."""
    return qty if instrument.fractional else toward_zero(qty, instrument.lot_size) + ZERO


def restated_leaves(leaves: Decimal, ratio: Decimal, instrument: Instrument) -> Decimal:
    """What is left of a resting order after a split: whole lots, 0 where less than one remains."""
    return whole_lots(restated_qty(leaves, ratio), instrument)


def restated_mark(px: Decimal, ratio: Decimal) -> Decimal:
    """A price that was printed before a split, in new shares; to eight places."""
    return (px / ratio).quantize(_PLACES)


def restated_px(px: Decimal, ratio: Decimal, side: Side, ord_type: OrdType, instrument: Instrument) -> Decimal:
    """The price of a resting order after a split, on tick and never nearer to the market than it was.

    A stop rounds to where it gives more room (a sell stop down, a buy stop up), a limit to where it is harder to reach
    (a sell limit up, a buy limit down): the split alone never makes an order trade. Never below one tick.
    """
    exact = px / ratio
    down = (side is Side.SELL) == (ord_type is OrdType.STOP)
    return (instrument.tick_down(exact) if down else instrument.tick_up(exact)) or instrument.tick_at(exact)
