"""What the venue demands of an order before it takes it (§11, §13).

A refusal is definitive and leaves no trace in the books; the id stays free. What only the market can tell (a level on
the wrong side of the open, no volume) is found at the match and ends an accepted order by report.
"""

from decimal import Decimal

from qmworkbench.domain.execution import LegRequest, OrderRequest
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.orders import Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.venue import statements
from qmworkbench.venue.books import Books
from qmworkbench.venue.orders import OrderRefused, Refusal, VenueOrder

_MAX_ID = 128
_ENTRY_LEGS = {Leg.STOP: OrdType.STOP, Leg.TARGET: OrdType.LIMIT, Leg.CLOSE: OrdType.MARKET}


def admit(books: Books, request: OrderRequest) -> None:
    """Check `request` against everything known before the market speaks. Raises OrderRefused."""
    _check_ids(books, request)
    instrument = books.instruments.get(request.symbol)
    if instrument is None:
        raise OrderRefused(Refusal.UNKNOWN_SYMBOL, f"{request.symbol!r} is not traded here")
    if not books.account.session_open:
        raise OrderRefused(Refusal.MARKET_CLOSED, f"{request.symbol}: no session is open; send it when one is")
    if request.symbol in books.halted:
        raise OrderRefused(Refusal.HALTED, f"trading in {request.symbol} is halted; send it when it resumes")
    if request.decided_at.tzinfo is None:
        raise OrderRefused(Refusal.BAD_DECIDED_AT, f"decided_at {request.decided_at} has no time zone; give UTC")
    _check_prices(request, instrument)
    _check_legs(request, instrument)
    if request.position_effect is PositionEffect.CLOSE:
        _check_exit(books, request, instrument)
    else:
        _check_entry(books, request, instrument)


def reference_px(books: Books, request: OrderRequest) -> Decimal:
    """The price an entry ties up buying power at: its own, or the last print for a market order."""
    own = request.limit_px if request.ord_type is OrdType.LIMIT else request.stop_px
    if own is not None:
        return own
    return _last_px(books, request)


def _last_px(books: Books, request: OrderRequest) -> Decimal:
    last = books.marks.get(request.symbol)
    if last is None:
        raise OrderRefused(
            Refusal.NO_MARKET_PRICE, f"nothing has traded in {request.symbol} yet, so {request.cl_ord_id} has no price"
        )
    return last.px


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


def _check_ids(books: Books, request: OrderRequest) -> None:
    ids = [request.cl_ord_id, *(leg.cl_ord_id for leg in request.legs)]
    for cl_ord_id in ids:
        if not cl_ord_id or len(cl_ord_id) > _MAX_ID or not cl_ord_id.isascii() or not cl_ord_id.isprintable():
            raise OrderRefused(Refusal.BAD_CL_ORD_ID, f"{cl_ord_id!r}: give 1 to {_MAX_ID} printable ASCII characters")
    twice = next((cl_ord_id for cl_ord_id in ids if ids.count(cl_ord_id) > 1), None) or books.used(ids)
    if twice is not None:
        raise OrderRefused(Refusal.DUPLICATE_CL_ORD_ID, f"{twice} already names an order; ids are never used again")


def _check_prices(request: OrderRequest | LegRequest, instrument: Instrument) -> None:
    """Each type has the prices it needs and no other, above zero and on tick."""
    name, kind = request.cl_ord_id, request.ord_type
    if (request.limit_px is not None) != (kind is OrdType.LIMIT):
        raise OrderRefused(Refusal.BAD_PRICE, f"{name}: limit_px {request.limit_px} does not go with a {kind} order")
    stops = request.stop_px is not None or request.trail_bps is not None
    if stops != (kind is OrdType.STOP):
        raise OrderRefused(
            Refusal.BAD_PRICE,
            f"{name}: stop_px {request.stop_px}, trail_bps {request.trail_bps} do not go with a {kind} order",
        )
    for px in (request.limit_px, request.stop_px):
        if px is None:
            continue
        if not px.is_finite() or px <= 0:
            raise OrderRefused(Refusal.BAD_PRICE, f"{name}: {px} is not a price; give one above 0")
        if px % instrument.tick_at(px):
            raise OrderRefused(
                Refusal.PRICE_NOT_ON_TICK,
                f"{name}: {px} is not a multiple of {instrument.tick_at(px)}; round it",
            )
    if request.trail_bps is not None and not 0 < request.trail_bps < 10_000:
        raise OrderRefused(Refusal.BAD_TRAIL, f"{name}: trail_bps {request.trail_bps}; give 1 to 9999 basis points")
    if request.time_in_force is TimeInForce.AT_CLOSE and kind is not OrdType.MARKET:
        raise OrderRefused(Refusal.BAD_TIME_IN_FORCE, f"{name}: only market orders work at the close, not {kind}")


def _check_legs(request: OrderRequest, instrument: Instrument) -> None:
    if not request.legs:
        return
    name = request.cl_ord_id
    if request.position_effect is PositionEffect.CLOSE or request.time_in_force is TimeInForce.AT_CLOSE:
        raise OrderRefused(Refusal.BAD_LEGS, f"{name}: only an entry that trades before the close can carry legs")
    kinds = [leg.leg for leg in request.legs]
    for leg in request.legs:
        wanted = _ENTRY_LEGS.get(leg.leg)
        if wanted is not leg.ord_type or kinds.count(leg.leg) > 1:
            raise OrderRefused(
                Refusal.BAD_LEGS,
                f"{name}: at most one stop (stop order), one target (limit order), one close (market order), "
                f"not {leg.leg} as {leg.ord_type} ({kinds.count(leg.leg)} of them)",
            )
        at_close = leg.time_in_force is TimeInForce.AT_CLOSE
        if at_close != (leg.leg is Leg.CLOSE) or leg.time_in_force is TimeInForce.IOC:
            raise OrderRefused(
                Refusal.BAD_TIME_IN_FORCE, f"{leg.cl_ord_id}: a {leg.leg} leg cannot be {leg.time_in_force}"
            )
        _check_prices(leg, instrument)


def _check_exit(books: Books, request: OrderRequest, instrument: Instrument) -> None:
    """Reduce-only: there must be something to reduce. What exceeds the position is cut when it trades.

    The exit of a part of the position may well enlarge the net one: its size is its sender's to keep.
    """
    held = -request.side.sign * books.position_qty(request.symbol)
    _check_qty(request, instrument)
    if held <= 0 and not request.netted:
        raise OrderRefused(
            Refusal.NOTHING_TO_REDUCE,
            f"{request.side} {request.order_qty} {request.symbol} would reduce, but the position is "
            f"{books.position_qty(request.symbol)}",
        )
    if request.trail_bps is not None:
        _last_px(books, request)


def _check_entry(books: Books, request: OrderRequest, instrument: Instrument) -> None:
    _check_qty(request, instrument)
    if request.order_qty < instrument.min_qty:
        raise OrderRefused(
            Refusal.QTY_BELOW_MINIMUM, f"{request.order_qty} {request.symbol}: at least {instrument.min_qty}"
        )
    if request.side is Side.SELL and not instrument.shortable:
        raise OrderRefused(Refusal.NOT_SHORTABLE, f"{request.symbol} cannot be sold short")
    if request.trail_bps is not None:
        raise OrderRefused(Refusal.BAD_TRAIL, f"{request.cl_ord_id}: an entry cannot trail; give it a stop_px")
    if books.rate(instrument.currency) is None:
        raise OrderRefused(
            Refusal.NO_CONVERSION_RATE,
            f"{request.symbol}: no rate from {instrument.currency} to {books.account.currency}; "
            "feed the pair's bars or set a rate",
        )
    needed = statements.tied_up(books, request.symbol, request.order_qty, reference_px(books, request))
    there = statements.buying_power(books)
    if needed > there:
        raise OrderRefused(
            Refusal.INSUFFICIENT_BUYING_POWER,
            f"{request.order_qty} {request.symbol} ties up {needed} {books.account.currency}, there is {there}",
        )


def _check_qty(request: OrderRequest, instrument: Instrument) -> None:
    qty = request.order_qty
    if not qty.is_finite() or qty <= 0:
        raise OrderRefused(Refusal.BAD_QTY, f"{request.cl_ord_id}: {qty} is not a quantity; give one above 0")
    if qty % instrument.lot_size:
        raise OrderRefused(
            Refusal.QTY_NOT_ON_LOT,
            f"{qty} {request.symbol} is not a multiple of {instrument.lot_size}; round it down",
        )
