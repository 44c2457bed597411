"""What it costs to hold a currency pair overnight: the roll at 17:00 New York (§14, FILLS "Overnight").

A pair held past the roll is swapped from its value date to the next session's: so many nights of interest are earned
on the currency that is held and paid on the one that is owed, less the broker's markup on both sides. Value dates are
two days of the market after the trade (USDCAD: one), and the market is closed at weekends, on New Year's Day and at
Christmas. So a Wednesday counts three nights (USDCAD: Thursday) and a holiday moves into the roll before it; over any
stretch the nights add up to its calendar days. Holidays of single currencies are not known and not counted.

The default rates are an assumption: policy rates as they stood on 2018-12-31, the end of the longest recorded bars
here, one table for all years. Metals bear none. What a broker really charged differed from day to day.
"""

from datetime import date
from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ZERO
from qmworkbench.market.calendars import FOREX, SessionCalendar
from qmworkbench.venue.invalid import ModelInvalid

RATES_AS_OF: Final = date(2018, 12, 31)
# Percent a year. SGD, HKD: the three-month money market, for want of a policy rate.
_POLICY_RATES: Final = (
    "AUD 1.50, CAD 1.75, CHF -0.75, CZK 1.75, DKK -0.65, EUR 0, GBP 0.75, HKD 2.30, HUF 0.90, JPY -0.10, MXN 8.25, "
    "NOK 0.75, NZD 1.75, PLN 1.50, SEK -0.50, SGD 1.90, TRY 24, USD 2.50, XAG 0, XAU 0, ZAR 6.75"
)
DEFAULT_RATES: Final = {pair.split()[0]: Decimal(pair.split()[1]) for pair in _POLICY_RATES.split(", ")}
PLACES: Final = Decimal("0.00000001")
_DAYS: Final = 365
_PERCENT: Final = Decimal("0.01")
_SPOT_LAG: Final = 2
_SHORTER_LAG: Final = {"USDCAD": 1}


class Financing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Overnight interest on pairs: `annual_pct` a year by currency (laid over DEFAULT_RATES), less `markup_pct` a year
    of the position's value whichever side it is on. `charged` False: holding costs nothing.
    """

    charged: bool = True
    markup_pct: Decimal = Decimal(1)
    annual_pct: dict[str, Decimal] = {}

    def __post_init__(self) -> None:
        if not self.markup_pct.is_finite() or not 0 <= self.markup_pct <= 100:
            raise ModelInvalid(f"venue.financing.markup_pct = {self.markup_pct} makes no sense: give 0 to 100")
        for currency, rate in self.annual_pct.items():
            if currency not in DEFAULT_RATES or not rate.is_finite() or abs(rate) > 1000:
                raise ModelInvalid(
                    f"venue.financing.annual_pct.{currency} = {rate} makes no sense: give percent a year for one of "
                    f"{', '.join(sorted(DEFAULT_RATES))}"
                )

    def rate(self, currency: str) -> Decimal:
        """Percent a year; 0 for a currency nobody gave one for."""
        return self.annual_pct.get(currency, DEFAULT_RATES.get(currency, ZERO))

    def interest(self, instrument: Instrument, qty: Decimal, px: Decimal, nights: int) -> Decimal:
        """What `nights` bring (or cost, below zero) on a position of signed `qty` at `px`, in the quote currency."""
        spread = self.rate(instrument.base_currency) - self.rate(instrument.currency)
        annual = px * (qty * spread - abs(qty) * self.markup_pct) * _PERCENT
        return annual * nights / _DAYS

    def told(self, instrument: Instrument, qty: Decimal, nights: int) -> str:
        """The terms in words."""
        base, quote = instrument.base_currency, instrument.currency
        earned, paid = (base, quote) if qty > 0 else (quote, base)
        return (
            f"{nights} night{'s' * (nights != 1)}: earns {earned} {self.rate(earned)} %, pays {paid} "
            f"{self.rate(paid)} %, markup {self.markup_pct} % a year"
        )


NONE: Final = Financing(charged=False)


def is_financed(instrument: Instrument) -> bool:
    """Whether holding it overnight bears interest: a pair of two currencies."""
    return bool(instrument.base_currency)


def value_date(instrument: Instrument, session: date) -> date:
    """When a trade of that session is settled."""
    market, day = SessionCalendar(FOREX), session
    for _ in range(_SHORTER_LAG.get(instrument.symbol, _SPOT_LAG)):
        day = market.next_session(day)
    return day


def nights_between(instrument: Instrument, last: date, session: date) -> int:
    """Nights of interest on what was held from the end of session `last` to the opening of `session`."""
    return (value_date(instrument, session) - value_date(instrument, last)).days
