"""What trading costs at the simulated venue, as data: slippage, spread, fees, participation (§2, §17).

Fee schedules and where their numbers come from:

- `IBKR_FIXED`: Interactive Brokers "Pro, Fixed" for US shares: 0.005 a share, at least 1.00 an order, at most
  1 % of the trade's value (interactivebrokers.com, Commissions: Stocks).
- `US_SELL_CHARGES_2018`: what a US broker without commission (Alpaca) passes on, on sales only: the SEC's
  Section 31 fee of 23.10 a million from 2017-07-04 to 2018-05-21, and FINRA's trading activity fee of
  0.000119 a share, at most 5.95 an execution.
- Forex: the price is all there is, so the cost is half the quoted spread; 0.7 bps is about 0.8 pip in EURUSD,
  half of what OANDA quotes on average in liquid hours.

Slippage and participation are assumptions, not facts of a venue; they are here so that they are seen and can
be changed.
"""

from decimal import Decimal

import msgspec

from qmworkbench.domain.instruments import AssetClass, Instrument
from qmworkbench.domain.numbers import BPS, ONE, ZERO, floor_to
from qmworkbench.domain.orders import Side
from qmworkbench.venue.borrowing import NO_BORROWING, Borrowing, Locate, ShortMargin
from qmworkbench.venue.faults import NO_FAULTS, FaultPlan
from qmworkbench.venue.financing import NONE as NO_FINANCING
from qmworkbench.venue.financing import Financing
from qmworkbench.venue.invalid import ModelInvalid

_HALF_HOUR_S = 1800
_THREE_HOURS_S = 10800


def _demand(holds: bool, name: str, value: object, remedy: str) -> None:
    if not holds:
        raise ModelInvalid(f"venue.{name} = {value} makes no sense: {remedy}")


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fees in account currency.

    `per_unit` per share or unit, at least `min_per_order`, at most `max_value_share` of the order's filled
    value (None: no ceiling; where floor and ceiling cross, the ceiling counts). On sales besides:
    `sell_value_rate` of the value, and `sell_per_unit`, at most `sell_per_unit_max` an execution (None: no
    ceiling).
    """

    per_unit: Decimal = ZERO
    min_per_order: Decimal = ZERO
    max_value_share: Decimal | None = None
    sell_value_rate: Decimal = ZERO
    sell_per_unit: Decimal = ZERO
    sell_per_unit_max: Decimal | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            _demand(value is None or (value.is_finite() and value >= 0), f"fees.{name}", value, "give 0 or more")

    def commission(self, cum_qty: Decimal, cum_value: Decimal) -> Decimal:
        """What an order owes once `cum_qty` has filled for `cum_value` (account currency); 0 before its first fill."""
        if cum_qty == 0:
            return ZERO
        owed = max(self.per_unit * cum_qty, self.min_per_order)
        return owed if self.max_value_share is None else min(owed, self.max_value_share * cum_value)

    def sale_charge(self, qty: Decimal, value: Decimal) -> Decimal:
        """What one sale of `qty` for `value` (account currency) costs besides the commission."""
        activity = self.sell_per_unit * qty
        if self.sell_per_unit_max is not None:
            activity = min(activity, self.sell_per_unit_max)
        return self.sell_value_rate * value + activity


FREE = FeeSchedule()
IBKR_FIXED = FeeSchedule(per_unit=Decimal("0.005"), min_per_order=ONE, max_value_share=Decimal("0.01"))
US_SELL_CHARGES_2018 = FeeSchedule(
    sell_value_rate=Decimal("0.0000231"), sell_per_unit=Decimal("0.000119"), sell_per_unit_max=Decimal("5.95")
)


class CostSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The terms for one kind of instrument.

    A fill costs `slippage_bps` + `half_spread_bps` of its price, against us. `targets_slip`: profit targets
    pay it too, as in research where one rate covers every fill (FILLS §6); False honours a target's limit to
    the tick. A plain limit order never fills worse than its limit. `round_to_tick` moves what results to the
    tick on the adverse side. `participation` is the share of a bar's volume that may be taken on each side
    (None: any size). A closing print older than `closing_print_max_age_s` at the close is none. `queue` is the volume
    that stands before a limit order when it begins to rest, as a share of the bar's: until as much has traded at its
    price, a bar that only touches it fills nothing (None: it is alone there).
    """

    slippage_bps: Decimal = ZERO
    half_spread_bps: Decimal = ZERO
    targets_slip: bool = True
    round_to_tick: bool = False
    fees: FeeSchedule = FREE
    participation: Decimal | None = None
    closing_print_max_age_s: int = _HALF_HOUR_S
    queue: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("slippage_bps", "half_spread_bps"):
            value = getattr(self, name)
            fits = value.is_finite() and 0 <= value < 10_000
            _demand(fits, name, value, "give basis points from 0 to below 10000")
        share = self.participation
        fits = share is None or (share.is_finite() and 0 < share <= 1)
        _demand(fits, "participation", share, "give a share above 0 and at most 1, or none for no cap")
        ahead = self.queue
        fits = ahead is None or (ahead.is_finite() and ahead >= 0)
        _demand(fits, "queue", ahead, "give the volume ahead in bars, 0 or more, or none for no queue")
        _demand(
            self.closing_print_max_age_s > 0,
            "closing_print_max_age_s",
            self.closing_print_max_age_s,
            "give seconds above 0",
        )

    def adverse(self, px: Decimal, side: Side, instrument: Instrument) -> Decimal:
        """The price paid (BUY) or got (SELL) when the market stands at `px`. Never below one tick."""
        cost = (self.slippage_bps + self.half_spread_bps) * BPS
        paid = px * (1 + side.sign * cost) if cost else px
        if not self.round_to_tick:
            return paid
        if side is Side.BUY:
            return instrument.tick_up(paid)
        return instrument.tick_down(paid) or instrument.tick_at(paid)

    def cap(self, volume: Decimal, instrument: Instrument) -> Decimal | None:
        """The most one side may take of a bar with `volume`, in whole lots; None where nothing is capped."""
        if self.participation is None:
            return None
        return floor_to(volume * self.participation, instrument.lot_size)


class VenueModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the venue treats an account: terms by kind of instrument, leverage, what holding costs, and what goes wrong.

    Buying power is equity times `leverage`, less what positions tie up and working entries reserve;
    `leverage` is the account's, an instrument's own comes from its `margin_rate`. Every kind in AssetClass
    has its schedule. `short_margin` is the equity a short share takes (None: its `margin_rate`, as a long one).
    `day_trading_equity` is what an account must have to be a pattern day trader's (FINRA: 25,000; None: not asked for).
    `locates` are needed to sell short what is not easy to borrow. `shorting_enabled` False: nothing is sold short.
    `replace_renames_order`: a replaced order goes on under a new order id, as at Alpaca.
    """

    name: str
    schedules: dict[AssetClass, CostSchedule]
    leverage: Decimal = ONE
    financing: Financing = NO_FINANCING
    borrowing: Borrowing = NO_BORROWING
    locates: dict[str, Locate] = {}
    short_margin: ShortMargin | None = None
    shorting_enabled: bool = True
    day_trading_equity: Decimal | None = None
    replace_renames_order: bool = False
    faults: FaultPlan = NO_FAULTS

    def __post_init__(self) -> None:
        missing = [kind.value for kind in AssetClass if kind not in self.schedules]
        _demand(
            not missing,
            "schedules",
            ", ".join(sorted(self.schedules)),
            f"add a schedule for {', '.join(missing)}",
        )
        _demand(
            self.leverage.is_finite() and self.leverage > 0,
            "leverage",
            self.leverage,
            "give a number above 0; 1 is a cash account",
        )

    def schedule(self, instrument: Instrument) -> CostSchedule:
        """The terms that apply to `instrument`."""
        return self.schedules[instrument.asset_class]


def ideal() -> VenueModel:
    """No slippage, spread, fees or cap, prices as printed: the yardstick that research and venue must agree on."""
    forex = CostSchedule(closing_print_max_age_s=_THREE_HOURS_S)
    return VenueModel(name="ideal", schedules={AssetClass.EQUITY: CostSchedule(), AssetClass.FOREX: forex})


def costed() -> VenueModel:
    """What a small account would meet, rounded against us at every step. The default of `qm day`.

    Forex has no cap: its recorded volume is a count of ticks, or absent.
    """
    equity = CostSchedule(slippage_bps=Decimal(2), round_to_tick=True, fees=IBKR_FIXED, participation=Decimal("0.10"))
    forex = CostSchedule(
        slippage_bps=Decimal("0.1"),
        half_spread_bps=Decimal("0.7"),
        round_to_tick=True,
        closing_print_max_age_s=_THREE_HOURS_S,
    )
    schedules = {AssetClass.EQUITY: equity, AssetClass.FOREX: forex}
    return VenueModel(name="costed", schedules=schedules, financing=Financing())
