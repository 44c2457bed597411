"""What can be traded, as data: tick, lot, currency, calendar, short and fractional rules (§2, DESIGN §5)."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from qmworkbench.domain.numbers import ONE, ceil_to, floor_to


class AssetClass(StrEnum):
    """The market an instrument belongs to; rules never branch on it, they read the instrument's fields."""

    EQUITY = "equity"
    FOREX = "forex"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable symbol and the rules its venue enforces.

    `tick_size` applies at and above one unit of currency; `sub_unit_tick_size`, where given, below it
    (US equities under a dollar quote in hundredths of a cent, Reg NMS Rule 612).
    `currency` is what price, P&L and fees are counted in. `calendar` is an exchange_calendars name,
    or "FX" for the 24-hour week that rolls at 17:00 New York.
    `min_notional` is the least value of an order, in `currency` (0: none). A symbol that is not `easy_to_borrow` needs
    a locate before it is sold short. `day_trade_rule`: same-day round trips are counted (FINRA 4210, US margin
    accounts). `margin_rate` is the share of notional that an open position ties up (1 = fully paid).
    """

    symbol: str
    asset_class: AssetClass
    currency: str
    calendar: str
    tick_size: Decimal
    sub_unit_tick_size: Decimal | None = None
    lot_size: Decimal = ONE
    min_qty: Decimal = ONE
    min_notional: Decimal = Decimal(0)
    shortable: bool = True
    easy_to_borrow: bool = True
    day_trade_rule: bool = False
    fractional: bool = False
    margin_rate: Decimal = ONE

    @property
    def base_currency(self) -> str:
        """What one unit of a pair is: EUR of EURUSD; "" for what is no pair."""
        return self.symbol[:3] if self.asset_class is AssetClass.FOREX else ""

    @property
    def pip_size(self) -> Decimal:
        """What people count a pair's price in: 0.01 for yen and metals, else 0.0001; the tick of a share."""
        if self.asset_class is not AssetClass.FOREX:
            return self.tick_size
        return Decimal("0.01") if self.currency == "JPY" or self.base_currency in _METALS else Decimal("0.0001")

    def tick_at(self, px: Decimal) -> Decimal:
        """The price increment in force at price `px`."""
        if self.sub_unit_tick_size is not None and px < 1:
            return self.sub_unit_tick_size
        return self.tick_size

    def tick_down(self, px: Decimal) -> Decimal:
        """`px` on the tick grid, never above `px`."""
        return floor_to(px, self.tick_at(px))

    def tick_up(self, px: Decimal) -> Decimal:
        """`px` on the tick grid, never below `px`."""
        return ceil_to(px, self.tick_at(px))

    def lot_down(self, qty: Decimal) -> Decimal:
        """The largest quantity the venue accepts that is not above `qty`; 0 if that is under the minimum."""
        lots = floor_to(qty, self.lot_size)
        return lots if lots >= self.min_qty else Decimal(0)


def us_equity(symbol: str) -> Instrument:
    """A US-listed share: cents above a dollar, whole shares, New York hours."""
    return Instrument(
        symbol=symbol,
        asset_class=AssetClass.EQUITY,
        currency="USD",
        calendar="XNYS",
        tick_size=Decimal("0.01"),
        sub_unit_tick_size=Decimal("0.0001"),
    )


def forex_pair(symbol: str) -> Instrument:
    """A currency pair named by its six letters; quoted to a tenth of a pip, 3.33 % margin (OANDA, ESMA majors)."""
    quote = symbol[3:6]
    return Instrument(
        symbol=symbol,
        asset_class=AssetClass.FOREX,
        currency=quote,
        calendar="FX",
        tick_size=Decimal("0.001") if quote == "JPY" else Decimal("0.00001"),
        margin_rate=Decimal("0.0333"),
    )


_METALS = frozenset({"XAG", "XAU"})
_CURRENCIES = frozenset("AUD CAD CHF CZK DKK EUR GBP HKD HUF JPY MXN NOK NZD PLN SEK SGD TRY USD XAG XAU ZAR".split())


def instrument_for(symbol: str) -> Instrument:
    """The instrument a bare symbol means: six letters made of two currencies are a pair, all else a US share."""
    if len(symbol) == 6 and symbol[:3] in _CURRENCIES and symbol[3:] in _CURRENCIES:
        return forex_pair(symbol)
    return us_equity(symbol)
