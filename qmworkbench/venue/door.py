"""What the venue demands of an order before it takes it (§11, §13).

A refusal is definitive and leaves no trace in the books; the id stays free. What only the market can tell (a level on
the wrong side of the open, no volume) is found at the match and ends an accepted order by report.
"""

from decimal import Decimal
from typing import Protocol

from qmworkbench.domain.execution import LegRequest, OrderRequest
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.venue import day_trades, statements
from qmworkbench.venue.books import Books
from qmworkbench.venue.orders import OrderRefused, Refusal, VenueOrder

_MAX_ID = 128
_ENTRY_LEGS = {
    Leg.STOP: (OrdType.STOP, OrdType.STOP_LIMIT),
    Leg.TARGET: (OrdType.LIMIT,),
    Leg.CLOSE: (OrdType.MARKET,),
}
_LIMITED = (OrdType.LIMIT, OrdType.STOP_LIMIT)
_STOPPED = (OrdType.STOP, OrdType.STOP_LIMIT)


class Priced(Protocol):
    """What has prices to check: a request, a leg of one, an order that is to go on otherwise."""

    @property
    def cl_ord_id(self) -> str: ...
    @property
    def ord_type(self) -> OrdType: ...
    @property
    def time_in_force(self) -> TimeInForce: ...
    @property
    def limit_px(self) -> Decimal | None: ...
    @property
    def stop_px(self) -> Decimal | None: ...
    @property
    def trail_bps(self) -> int | None: ...


def admit(books: Books, request: OrderRequest) -> None:
    """Check `request` against everything known before the market speaks. Raises OrderRefused."""
    _check_ids(books, request)
    instrument = books.instruments.get(request.symbol)
    if instrument is None:
        raise OrderRefused(Refusal.UNKNOWN_SYMBOL, f"{request.symbol!r} is not traded here")
    check_market(books, request.symbol)
    if request.decided_at.tzinfo is None:
        raise OrderRefused(Refusal.BAD_DECIDED_AT, f"decided_at {request.decided_at} has no time zone; give UTC")
    check_prices(request, instrument)
    _check_legs(request, instrument)
    if request.position_effect is PositionEffect.CLOSE:
        _check_exit(books, request, instrument)
    else:
        _check_entry(books, request, instrument)


def reference_px(books: Books, request: OrderRequest) -> Decimal:
    """The price an entry ties up buying power at: its own, or the last print for a market order."""
    own = own_px(request)
    return _last_px(books, request) if own is None else own


def _last_px(books: Books, request: OrderRequest) -> Decimal:
    last = books.last_px(request.symbol, request.side)
    if last is None:
        raise OrderRefused(
            Refusal.NO_MARKET_PRICE, f"nothing has traded in {request.symbol} yet, so {request.cl_ord_id} has no price"
        )
    return last


def orders_for(books: Books, request: OrderRequest) -> list[VenueOrder]:
    """The order and its legs as the books will hold them; legs wait (`held`) until the entry fills.

    An exit ties up nothing, and only a trailing one needs a price to start from.
    """
    order = _order(books, request, request)
    if not order.is_exit:
        order.reserve_px = reference_px(books, request)
    elif order.trail_bps is not None:
        order.peak_px = _last_px(books, request)
    return [order, *(_order(books, request, leg) for leg in request.legs)]


def _order(books: Books, request: OrderRequest, asked: OrderRequest | LegRequest) -> VenueOrder:
    """`asked` as an order of its own: the request itself, or one of its legs."""
    seq = books.next_seq()
    is_leg = isinstance(asked, LegRequest)
    effect = PositionEffect.CLOSE if is_leg else request.position_effect
    plain = Leg.EXIT if effect is PositionEffect.CLOSE else Leg.ENTRY
    return VenueOrder(
        seq=seq,
        cl_ord_id=asked.cl_ord_id,
        order_id=f"{books.account.venue}-O{seq:06d}",
        symbol=request.symbol,
        side=request.side.opposite if is_leg else request.side,
        position_effect=effect,
        ord_type=asked.ord_type,
        time_in_force=asked.time_in_force,
        leg=asked.leg if isinstance(asked, LegRequest) else plain,
        status=OrdStatus.ACCEPTED,
        order_qty=request.order_qty,
        decided_at=request.decided_at,
        transact_time=max(books.now, request.decided_at),
        limit_px=asked.limit_px,
        stop_px=asked.stop_px,
        trail_bps=asked.trail_bps,
        held=is_leg,
        parent_id=request.cl_ord_id if is_leg else None,
        netted=request.netted,
    )


def own_px(order: Priced) -> Decimal | None:
    """The worst price an entry names itself; None for one at market."""
    return order.limit_px if order.limit_px is not None else order.stop_px


def check_market(books: Books, symbol: str) -> None:
    """A session must be open, and `symbol` not halted."""
    if not books.account.session_open:
        raise OrderRefused(Refusal.MARKET_CLOSED, f"{symbol}: no session is open; send it when one is")
    if symbol in books.halted:
        raise OrderRefused(Refusal.HALTED, f"trading in {symbol} is halted; send it when it resumes")


def check_id(cl_ord_id: str) -> None:
    """An id that any wire can carry."""
    if not cl_ord_id or len(cl_ord_id) > _MAX_ID or not cl_ord_id.isascii() or not cl_ord_id.isprintable():
        raise OrderRefused(Refusal.BAD_CL_ORD_ID, f"{cl_ord_id!r}: give 1 to {_MAX_ID} printable ASCII characters")


def _check_ids(books: Books, request: OrderRequest) -> None:
    ids = [request.cl_ord_id, *(leg.cl_ord_id for leg in request.legs)]
    for cl_ord_id in ids:
        check_id(cl_ord_id)
    twice = next((cl_ord_id for cl_ord_id in ids if ids.count(cl_ord_id) > 1), None) or books.used(ids)
    if twice is not None:
        raise OrderRefused(Refusal.DUPLICATE_CL_ORD_ID, f"{twice} already names an order; ids are never used again")


def check_prices(order: Priced, instrument: Instrument) -> None:
    """Each type has the prices it needs and no other, above zero and on tick."""
    name, kind = order.cl_ord_id, order.ord_type
    if (order.limit_px is not None) != (kind in _LIMITED):
        raise OrderRefused(Refusal.BAD_PRICE, f"{name}: limit_px {order.limit_px} does not go with a {kind} order")
    stops = order.stop_px is not None or order.trail_bps is not None
    if stops != (kind in _STOPPED):
        raise OrderRefused(
            Refusal.BAD_PRICE,
            f"{name}: stop_px {order.stop_px}, trail_bps {order.trail_bps} do not go with a {kind} order",
        )
    for px in (order.limit_px, order.stop_px):
        if px is not None:
            _check_px(name, px, instrument)
    if order.trail_bps is not None and (kind is OrdType.STOP_LIMIT or not 0 < order.trail_bps < 10_000):
        raise OrderRefused(
            Refusal.BAD_TRAIL,
            f"{name}: trail_bps {order.trail_bps} of a {kind} order; a stop may have 1 to 9999",
        )
    if order.time_in_force is TimeInForce.AT_CLOSE and kind is not OrdType.MARKET:
        raise OrderRefused(Refusal.BAD_TIME_IN_FORCE, f"{name}: only market orders work at the close, not {kind}")


def _check_px(name: str, px: Decimal, instrument: Instrument) -> None:
    if not px.is_finite() or px <= 0:
        raise OrderRefused(Refusal.BAD_PRICE, f"{name}: {px} is not a price; give one above 0")
    if px % instrument.tick_at(px):
        raise OrderRefused(
            Refusal.PRICE_NOT_ON_TICK, f"{name}: {px} is not a multiple of {instrument.tick_at(px)}; round it"
        )


def _check_legs(request: OrderRequest, instrument: Instrument) -> None:
    if not request.legs:
        return
    name = request.cl_ord_id
    if request.position_effect is PositionEffect.CLOSE or request.time_in_force is TimeInForce.AT_CLOSE:
        raise OrderRefused(Refusal.BAD_LEGS, f"{name}: only an entry that trades before the close can carry legs")
    kinds = [leg.leg for leg in request.legs]
    for leg in request.legs:
        if leg.ord_type not in _ENTRY_LEGS.get(leg.leg, ()) or kinds.count(leg.leg) > 1:
            raise OrderRefused(
                Refusal.BAD_LEGS,
                f"{name}: at most one stop (limit or not), one target (limit order), one close (market order), "
                f"not {leg.leg} as {leg.ord_type} ({kinds.count(leg.leg)} of them)",
            )
        at_close = leg.time_in_force is TimeInForce.AT_CLOSE
        if at_close != (leg.leg is Leg.CLOSE) or leg.time_in_force is TimeInForce.IOC:
            raise OrderRefused(
                Refusal.BAD_TIME_IN_FORCE, f"{leg.cl_ord_id}: a {leg.leg} leg cannot be {leg.time_in_force}"
            )
        check_prices(leg, instrument)


def _check_exit(books: Books, request: OrderRequest, instrument: Instrument) -> None:
    """Reduce-only: there must be something to reduce. What exceeds the position is cut when it trades.

    The exit of a part of the position may well enlarge the net one: its size is its sender's to keep.
    """
    held = -request.side.sign * books.position_qty(request.symbol)
    check_qty(request.cl_ord_id, request.symbol, request.order_qty, instrument)
    if held <= 0 and not request.netted:
        raise OrderRefused(
            Refusal.NOTHING_TO_REDUCE,
            f"{request.side} {request.order_qty} {request.symbol} would reduce, but the position is "
            f"{books.position_qty(request.symbol)}",
        )
    if request.trail_bps is not None:
        _last_px(books, request)


def _check_entry(books: Books, request: OrderRequest, instrument: Instrument) -> None:
    symbol, side, qty = request.symbol, request.side, request.order_qty
    check_qty(request.cl_ord_id, symbol, qty, instrument)
    check_short(books, symbol, side, qty)
    _check_day_trades(books, instrument)
    if request.trail_bps is not None:
        raise OrderRefused(Refusal.BAD_TRAIL, f"{request.cl_ord_id}: an entry cannot trail; give it a stop_px")
    if books.rate(instrument.currency) is None:
        raise OrderRefused(
            Refusal.NO_CONVERSION_RATE,
            f"{symbol}: no rate from {instrument.currency} to {books.account.currency}; "
            "feed the pair's bars or set a rate",
        )
    px = reference_px(books, request)
    check_size(symbol, qty, px, instrument)
    check_power(books, symbol, side, qty, px)


def _check_day_trades(books: Books, instrument: Instrument) -> None:
    """An account with less than it takes to day-trade may not open what would make it a pattern day trader's."""
    least = books.model.day_trading_equity
    if least is None or not instrument.day_trade_rule:
        return
    made, equity = day_trades.day_trades(books) or 0, statements.valuation(books).equity
    if made >= day_trades.PATTERN - 1 and equity < least:
        raise OrderRefused(
            Refusal.PATTERN_DAY_TRADER,
            f"{made} day trades in five sessions and an equity of {equity}: {least} it takes; wait, or hold overnight",
        )


def check_qty(name: str, symbol: str, qty: Decimal, instrument: Instrument) -> None:
    """A number above zero, in whole lots."""
    if not qty.is_finite() or qty <= 0:
        raise OrderRefused(Refusal.BAD_QTY, f"{name}: {qty} is not a quantity; give one above 0")
    if qty % instrument.lot_size:
        raise OrderRefused(
            Refusal.QTY_NOT_ON_LOT, f"{qty} {symbol} is not a multiple of {instrument.lot_size}; round it down"
        )


def check_size(symbol: str, qty: Decimal, px: Decimal, instrument: Instrument) -> None:
    """The least an entry may be for, in units and in money."""
    if qty < instrument.min_qty:
        raise OrderRefused(Refusal.QTY_BELOW_MINIMUM, f"{qty} {symbol}: at least {instrument.min_qty}")
    if qty * px < instrument.min_notional:
        raise OrderRefused(
            Refusal.NOTIONAL_BELOW_MINIMUM,
            f"{qty} {symbol} at {px} is {qty * px} {instrument.currency}: at least {instrument.min_notional}",
        )


def check_short(books: Books, symbol: str, side: Side, qty: Decimal, *, instead_of: VenueOrder | None = None) -> None:
    """Whether `qty` may be sold short, in place of what is left of another entry."""
    if side is Side.BUY:
        return
    instrument, model = books.instruments[symbol], books.model
    if not instrument.shortable:
        raise OrderRefused(Refusal.NOT_SHORTABLE, f"{symbol} cannot be sold short")
    if not model.shorting_enabled:
        raise OrderRefused(Refusal.SHORTING_DISABLED, "this account sells nothing short")
    if instrument.easy_to_borrow:
        return
    located = model.locates[symbol].available if symbol in model.locates else ZERO
    others = [o for o in books.working(symbol) if not o.is_exit and o.side is Side.SELL and o is not instead_of]
    used = max(-books.position_qty(symbol), ZERO) + sum((order.leaves_qty for order in others), ZERO)
    if used + qty > located:
        raise OrderRefused(
            Refusal.NO_LOCATE,
            f"{qty} {symbol} short: {located} located, {used} of them taken; sell less",
        )


def check_power(
    books: Books, symbol: str, side: Side, qty: Decimal, px: Decimal, *, instead_of: VenueOrder | None = None
) -> None:
    """Whether the account can carry an entry, in place of what is left of another one."""
    needed = statements.tied_up(books, symbol, side.sign * qty, px)
    there = statements.buying_power(books, without=instead_of)
    if needed > there:
        raise OrderRefused(
            Refusal.INSUFFICIENT_BUYING_POWER,
            f"{qty} {symbol} ties up {needed} {books.account.currency}, there is {there}",
        )
