"""What selling short needs and costs at the venue: locates, borrowing overnight, margin for shorts (§11, §14).

A share that is not easy to borrow is sold short only out of what was located beforehand: `VenueModel.locates` says how
much of it there is, and what each located share costs, paid with the sale. Whoever is short overnight owes interest on
what was borrowed: its value at the last price, for every calendar day to the next session, at the symbol's own rate.

Under Regulation T (12 CFR 220.12) a short sale takes half of its value in equity besides the proceeds; FINRA 4210(c)
asks at least 5 dollars a share, and for a share below 5 dollars its whole value or 2.50, whichever is more.
"""

from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.numbers import ZERO
from qmworkbench.venue.invalid import ModelInvalid

_PERCENT: Final = Decimal("0.01")
_LOW_PRICED: Final = Decimal(5)


def _demand(holds: bool, name: str, value: object, remedy: str) -> None:
    if not holds:
        raise ModelInvalid(f"venue.{name} = {value} makes no sense: {remedy}")


class Locate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of one symbol that can be sold short, open shorts included, and what each costs when it is sold."""

    available: Decimal
    fee_per_share: Decimal = ZERO

    def __post_init__(self) -> None:
        _demand(self.available.is_finite() and self.available >= 0, "locates.available", self.available, "0 or more")
        fee = self.fee_per_share
        _demand(fee.is_finite() and fee >= 0, "locates.fee_per_share", fee, "give 0 or more")


class Borrowing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What borrowed shares cost, in percent a year of their value: `annual_pct` by symbol, `default_pct` for the rest.

    `day_count` is the days of the year that the rate is spread over: 360 in US money markets.
    """

    default_pct: Decimal = ZERO
    annual_pct: dict[str, Decimal] = {}
    day_count: int = 360

    def __post_init__(self) -> None:
        _demand(self.day_count in (360, 365), "borrowing.day_count", self.day_count, "give 360 or 365")
        for name, rate in {"default_pct": self.default_pct, **self.annual_pct}.items():
            fits = rate.is_finite() and 0 <= rate <= 1000
            _demand(fits, f"borrowing.{name}", rate, "give percent a year from 0 to 1000")

    def rate(self, symbol: str) -> Decimal:
        """Percent a year."""
        return self.annual_pct.get(symbol, self.default_pct)

    def fee(self, symbol: str, qty: Decimal, px: Decimal, nights: int) -> Decimal:
        """What `nights` of borrowing `qty` (unsigned) at `px` cost, in the instrument's currency."""
        return qty * px * self.rate(symbol) * _PERCENT * nights / self.day_count


class ShortMargin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The equity a short share takes: `rate` of its price, at least `min_per_share`; one below 5 dollars its whole
    price, at least `low_priced_min`.
    """

    rate: Decimal = Decimal("0.5")
    min_per_share: Decimal = Decimal(5)
    low_priced_min: Decimal = Decimal("2.50")

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            _demand(value.is_finite() and value >= 0, f"short_margin.{name}", value, "give 0 or more")
        _demand(self.rate > 0, "short_margin.rate", self.rate, "give a share of the value above 0, as 0.5")

    def per_share(self, px: Decimal) -> Decimal:
        """The equity one share sold short at `px` takes."""
        floor = max(px, self.low_priced_min) if px < _LOW_PRICED else self.min_per_share
        return max(self.rate * px, floor)


NO_BORROWING: Final = Borrowing()
REG_T_SHORTS: Final = ShortMargin()
