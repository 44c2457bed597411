"""Where one order trades on one bar: pure price decisions of the fill model (§2, §13).

The order of things on a bar, which crossing.py walks:

1. Open. A stop or target that the open has passed fills at the open, and everything else pending in that symbol is
   canceled. Otherwise orders waiting for the open trade at it.
2. Range. Stops, then targets, at their own level. The bar an entry filled on counts.
3. Close. Only the session's last close trades, and only with AT_CLOSE orders.

A trailing stop is tested against the best price known before, which then rises: fill, open, test range, high (low for
a short). Its level rounds away from the market. What a bar cannot tell is resolved against us: an entry at a limit
within the bar may be stopped out on it and cannot reach its target on it.

A stop with a limit that is touched goes on as a limit order. Where the market stands within its limit then, it trades
at once, as a stop would; where not, it rests, and trades on the same bar only if the bar is sure to have come back: it
was touched at the open, or the close lies within the limit.
"""

from collections.abc import Iterable
from decimal import Decimal

from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import BPS
from qmworkbench.domain.orders import Leg, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.venue.bars import Bar
from qmworkbench.venue.costs import CostSchedule
from qmworkbench.venue.orders import Ending, VenueOrder


def stop_level(order: VenueOrder, instrument: Instrument) -> Decimal | None:
    """The price at which a stop triggers now; None for other orders, and for a trailing leg that has not begun.

    A fixed and a trailing level together: the one nearer to the market, so that trailing only ever tightens.
    """
    return _level(order, order.peak_px, instrument)


def _level(order: VenueOrder, peak_px: Decimal | None, instrument: Instrument) -> Decimal | None:
    if order.trail_bps is None or peak_px is None:
        return order.stop_px
    if order.side is Side.SELL:
        trailed = instrument.tick_down(peak_px * (1 - order.trail_bps * BPS))
        return trailed if order.stop_px is None else max(order.stop_px, trailed)
    trailed = instrument.tick_up(peak_px * (1 + order.trail_bps * BPS))
    return trailed if order.stop_px is None else min(order.stop_px, trailed)


def works_as(order: VenueOrder) -> OrdType:
    """What the order is now: a stop that was touched is a market order, one with a limit a limit order."""
    if not order.triggered:
        return order.ord_type
    return OrdType.LIMIT if order.ord_type is OrdType.STOP_LIMIT else OrdType.MARKET


def is_stop(kind: OrdType) -> bool:
    """Whether it waits for a price to go against it."""
    return kind in (OrdType.STOP, OrdType.STOP_LIMIT)


def within_limit(order: VenueOrder, px: Decimal) -> bool:
    """Whether a market at `px` is at the order's limit or better."""
    limit = order.limit_px
    return limit is not None and (px >= limit if order.side is Side.SELL else px <= limit)


def touches(order: VenueOrder, px: Decimal, instrument: Instrument) -> bool:
    """Whether a market at `px` sets the order off: a stop at or beyond its level, a limit at it or better."""
    kind = works_as(order)
    if kind is OrdType.MARKET:
        return True
    if is_stop(kind):
        level = stop_level(order, instrument)
        return level is not None and (px <= level if order.side is Side.SELL else px >= level)
    return within_limit(order, px)


def range_px(order: VenueOrder, bar: Bar, instrument: Instrument, from_px: Decimal) -> Decimal | None:
    """The level at which a stop or limit trades within the bar, None when it is not reached; touching is enough.

    `from_px` is where the market stood when the order began to work on this bar. A stop that lies behind it, because
    its entry paid more in costs than it trails, trades there and not at a level the market has left.
    """
    kind = works_as(order)
    if kind is OrdType.MARKET:
        return None
    favours_high = (order.side is Side.SELL) == (kind is OrdType.LIMIT)
    if not touches(order, bar.high if favours_high else bar.low, instrument):
        return None
    level = stop_level(order, instrument)
    if kind is OrdType.LIMIT or level is None:
        return order.limit_px
    return min(level, from_px) if order.side is Side.SELL else max(level, from_px)


def stirs(order: VenueOrder, bar: Bar, instrument: Instrument) -> bool:
    """Whether the bar can do anything to the order but raise its peak: most bars do not, and cost little then."""
    kind = works_as(order)
    if kind is OrdType.MARKET or order.time_in_force is TimeInForce.IOC:
        return True
    if kind is OrdType.LIMIT:
        return touches(order, bar.high if order.side is Side.SELL else bar.low, instrument)
    level = _level(order, raised_peak(order, bar.open), instrument)
    return level is not None and (bar.low <= level if order.side is Side.SELL else bar.high >= level)


def fill_px(order: VenueOrder, market_px: Decimal, schedule: CostSchedule, instrument: Instrument) -> Decimal:
    """What the order pays or gets with the market at `market_px`: costs on top, a plain limit never exceeded."""
    paid = schedule.adverse(market_px, order.side, instrument)
    if order.limit_px is None:
        return paid
    if order.leg is Leg.TARGET and schedule.targets_slip:
        return paid
    return min(paid, order.limit_px) if order.side is Side.BUY else max(paid, order.limit_px)


def raised_peak(order: VenueOrder, px: Decimal) -> Decimal | None:
    """The best price a trailing stop has seen, `px` included; None where the order does not trail."""
    if order.trail_bps is None or order.peak_px is None:
        return order.peak_px
    return max(order.peak_px, px) if order.side is Side.SELL else min(order.peak_px, px)


def wrong_side(legs: Iterable[VenueOrder], px: Decimal, instrument: Instrument) -> Ending | None:
    """Why an entry at `px` must not fill: one of its exits would go off at once. None when all are on their side."""
    for leg in legs:
        if leg.ord_type is not OrdType.MARKET and touches(leg, px, instrument):
            return Ending.STOP_ON_WRONG_SIDE if is_stop(leg.ord_type) else Ending.TARGET_ON_WRONG_SIDE
    return None


def priority(order: VenueOrder) -> tuple[int, int]:
    """Exits before entries, stops before targets, then by arrival."""
    if order.position_effect is PositionEffect.OPEN:
        return (2, order.seq)
    return (0 if order.triggered or order.ord_type is not OrdType.LIMIT else 1, order.seq)
