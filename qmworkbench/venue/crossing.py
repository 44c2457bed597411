"""One bar against one symbol's orders: the open, then the range (§13; the rules are in matching.py).

An entry that is good for one match (IOC) takes what the bar's cap leaves it at the open and loses the rest. Day
orders that the cap cuts go on at later opens. Each side of a bar has its own cap: what buys take is not missing for
sells. Where the model has a queue, a limit order that has begun to rest fills on a bar that only touches it no sooner
than the volume ahead of it has traded; a market that goes through its price has taken all that stood there.
"""

from datetime import datetime
from decimal import Decimal

from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ZERO, decimal_of, floor_to
from qmworkbench.domain.orders import OrdStatus, OrdType, Side, TimeInForce
from qmworkbench.venue import brackets
from qmworkbench.venue.bars import Bar
from qmworkbench.venue.books import Books
from qmworkbench.venue.costs import CostSchedule
from qmworkbench.venue.matching import (
    fill_px,
    priority,
    raised_peak,
    range_px,
    stirs,
    touches,
    within_limit,
    works_as,
    wrong_side,
)
from qmworkbench.venue.orders import Ending, VenueOrder


class Crossing:
    """One symbol's match on one bar."""

    def __init__(self, books: Books, bar: Bar) -> None:
        self._books = books
        self._bar = bar
        self._at: datetime = bar.as_of
        self._instrument: Instrument = books.instruments[bar.symbol]
        self._schedule: CostSchedule = books.model.schedule(self._instrument)
        self._market: dict[Side, Decimal] = {Side.BUY: bar.open, Side.SELL: bar.open}
        self._left: dict[Side, Decimal | None] = {}
        self._turn: dict[str, Decimal | None] = {}  # what the queue before them leaves to limit orders; None: all
        self._within: dict[str, Decimal] = {}  # entries filled inside this bar's range, and where the market stood
        self._uncertain: set[str] = set()  # those whose targets the bar cannot prove

    def run(self) -> None:
        """Match everything that was decided before the bar closed."""
        orders = self._waiting()
        queued = self._schedule.queue is not None
        if self._called_off() or any(
            stirs(order, self._bar, self._instrument) or (queued and self._comes_new(order)) for order in orders
        ):
            cap = self._schedule.cap(decimal_of(self._bar.volume), self._instrument)
            self._left = {Side.BUY: cap, Side.SELL: cap}
            self._late_fills()
            self._open()
            self._range()
        else:
            self._raise_peaks(orders, None)

    # ── the open ────────────────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        orders = self._eligible()
        for order in orders:
            self._trigger(order)
        gapped = [order for order in orders if self._rests_as_exit(order) and self._trades_at_open(order)]
        for order in gapped:
            if order.is_working:
                self._exit(order, self._market[order.side])
        if gapped:
            self._cancel_pending()
        passed = {order.cl_ord_id for order in gapped}
        for order in orders:
            # After a gap exit only other parts of the position go on at this open.
            if gapped and (not order.netted or order.cl_ord_id in passed):
                continue
            if order.is_working and self._trades_at_open(order):
                px = self._market[order.side]
                self._exit(order, px) if order.is_exit else self._enter(order, px)
        for order in orders:
            if order.time_in_force is TimeInForce.IOC and order.is_working:
                self._end(order, self._why_unfilled(order))
        self._follow(self._market)

    def _trigger(self, order: VenueOrder) -> None:
        """A stop with a limit that the open has touched goes on as a limit order."""
        if works_as(order) is OrdType.STOP_LIMIT and touches(order, self._market[order.side], self._instrument):
            order.triggered = True
            self._books.touch(order)

    def _trades_at_open(self, order: VenueOrder) -> bool:
        """An open that only touches the price of a limit order in the queue is no more than the range there."""
        px = self._market[order.side]
        in_line = self._schedule.queue is not None and works_as(order) is OrdType.LIMIT and order.ahead_qty is not None
        return touches(order, px, self._instrument) and not (in_line and px == order.limit_px)

    def _why_unfilled(self, order: VenueOrder) -> Ending:
        if order.cum_qty:
            return Ending.UNFILLED_REMAINDER
        marketable = touches(order, self._market[order.side], self._instrument)
        return Ending.NO_LIQUIDITY if marketable else Ending.NOT_MARKETABLE

    def _cancel_pending(self) -> None:
        """A gap exit takes with it whatever else waited for this open: entries of any kind, and exits at market.

        Resting exits stay, should the cap have left something to protect; when nothing is held they are gone already.
        What belongs to another part of the position has nothing to do with this exit.
        """
        for order in self._eligible():
            if order.netted:
                continue
            if not order.is_exit or (order.ord_type is OrdType.MARKET and order.parent_id is None):
                self._end(order, Ending.EXIT_AT_OPEN)

    # ── the range ───────────────────────────────────────────────────────────────────────────────────────────

    def _range(self) -> None:
        orders = self._eligible()
        self._exits_in_range(orders)
        for order in orders:
            if order.is_exit or not order.is_working:
                continue
            # A stop is on the way to its target; what rested at a limit may have filled after the far extreme.
            on_the_way = works_as(order) is not OrdType.LIMIT
            px = self._reached(order, self._bar.open)
            if px is not None and self._enter(order, px):
                self._within[order.cl_ord_id] = px
                came_back = order.ord_type is OrdType.STOP_LIMIT and px == order.limit_px != order.stop_px
                if came_back or not on_the_way:
                    self._uncertain.add(order.cl_ord_id)
        if self._within:
            self._exits_in_range(self._eligible())
        self._follow(None)

    def _exits_in_range(self, orders: list[VenueOrder]) -> None:
        for order in orders:
            if not order.is_exit or not order.is_working:
                continue
            if order.ord_type is OrdType.LIMIT and order.parent_id in self._uncertain:
                continue
            since = self._within.get(order.parent_id or "", self._bar.open)
            px = self._reached(order, since)
            if px is not None:
                self._exit(order, px)

    def _reached(self, order: VenueOrder, since: Decimal) -> Decimal | None:
        """Where the order trades within the bar, None where it does not; a stop with a limit may come to rest here."""
        px = range_px(order, self._bar, self._instrument, since)
        if works_as(order) is OrdType.LIMIT and self._schedule.queue is not None:
            self._wait_in_line(order, touched=px is not None)
        if px is None or works_as(order) is not OrdType.STOP_LIMIT:
            return px
        order.triggered = True
        self._books.touch(order)
        if within_limit(order, px):
            return px
        return order.limit_px if within_limit(order, self._bar.close) else None

    # ── the queue ───────────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    def _comes_new(order: VenueOrder) -> bool:
        return works_as(order) is OrdType.LIMIT and order.ahead_qty is None

    def _wait_in_line(self, order: VenueOrder, *, touched: bool) -> None:
        """Take a place behind what stands at the price, and let the bar's volume work it off."""
        if order.cl_ord_id in self._turn:
            return
        self._turn[order.cl_ord_id] = None
        volume, ahead, limit = decimal_of(self._bar.volume), order.ahead_qty, order.limit_px
        if ahead is None:
            ahead = volume * (self._schedule.queue or ZERO)
        far = self._bar.high if order.side is Side.SELL else self._bar.low
        if touched and far != limit:
            ahead = ZERO
        elif touched:
            self._turn[order.cl_ord_id] = floor_to(max(volume - ahead, ZERO), self._instrument.lot_size)
            ahead = max(ahead - volume, ZERO)
        if ahead != order.ahead_qty:
            order.ahead_qty = ahead
            self._books.touch(order)

    # ── trading ─────────────────────────────────────────────────────────────────────────────────────────────

    def _enter(self, order: VenueOrder, px: Decimal) -> bool:
        """Try to open or add at `px`; says whether anything filled."""
        books = self._books
        if order.side.sign * books.position_qty(order.symbol) < 0 and not order.netted:
            self._end(order, Ending.OPPOSITE_POSITION)
            return False
        legs = [leg for leg in books.legs_of(order) if leg.held]
        wrong = wrong_side(legs, self._far_side(order, px), self._instrument)
        if wrong is not None:
            self._end(order, wrong)
            return False
        qty = self._affordable(order, order.leaves_qty)
        if qty == 0:
            return False
        paid, _ = self._fill(order, qty, px)
        brackets.entry_filled(books, order, paid, self._at)
        return True

    def _far_side(self, order: VenueOrder, px: Decimal) -> Decimal:
        """Where the exits of an entry at `px` are tested: within a bar there is one price for both sides."""
        market = self._market[order.side.opposite]
        return market if px == self._market[order.side] else px

    def _exit(self, order: VenueOrder, px: Decimal) -> None:
        """Try to close at `px`, at most what may be; a stop that was touched stays a market order until done."""
        books = self._books
        if order.ord_type is OrdType.STOP and not order.triggered:
            order.triggered = True
            books.touch(order)
        closable = brackets.closable(books, order)
        if closable == 0:
            self._end(order, Ending.NOTHING_TO_REDUCE)
            return
        qty = self._affordable(order, closable)
        if qty == 0:
            return
        _, closed = self._fill(order, qty, px)
        brackets.exit_filled(books, order, closed, self._at)

    def _fill(self, order: VenueOrder, qty: Decimal, market_px: Decimal) -> tuple[Decimal, Decimal]:
        """Trade, costs on top: the price paid and the quantity that did trade."""
        paid = fill_px(order, market_px, self._schedule, self._instrument)
        left = self._left[order.side]
        if left is not None:
            self._left[order.side] = left - qty
        turn = self._turn.get(order.cl_ord_id)
        if turn is not None:
            self._turn[order.cl_ord_id] = turn - qty
        return paid, self._books.trade(order, qty, paid, self._at)

    def _affordable(self, order: VenueOrder, qty: Decimal) -> Decimal:
        """As much of `qty` as the bar's cap leaves to this side, and the queue to this order."""
        left, turn = self._left[order.side], self._turn.get(order.cl_ord_id)
        # An over-fill or a late fill takes more than the cap: then nothing is left of it, never less.
        qty = qty if left is None else min(qty, max(left, ZERO))
        return qty if turn is None else min(qty, max(turn, ZERO))

    def _end(self, order: VenueOrder, reason: Ending) -> None:
        if order.is_open:
            self._books.end(order, OrdStatus.CANCELED, reason, self._at)
            if not order.is_exit:
                brackets.entry_ended(self._books, order, self._at)

    def _late_fills(self) -> None:
        """Orders that were called off and trade all the same, once (faults.py)."""
        for order in self._called_off():
            order.fills_late = False
            self._books.touch(order)
            px, qty = self._market[order.side], order.order_qty - order.cum_qty
            if qty > 0 and touches(order, px, self._instrument):
                _, closed = self._fill(order, qty, px)
                if order.is_exit:
                    brackets.exit_filled(self._books, order, closed, self._at)

    # ── which orders ────────────────────────────────────────────────────────────────────────────────────────

    def _waiting(self) -> list[VenueOrder]:
        """Orders this bar may match: decided before it closed, and not waiting for the session's close."""
        return [
            order
            for order in self._books.by_symbol[self._bar.symbol].values()
            if order.is_working and order.decided_at < self._at and order.time_in_force is not TimeInForce.AT_CLOSE
        ]

    def _called_off(self) -> list[VenueOrder]:
        if self._books.faults is None:
            return []
        return [order for order in self._books.by_symbol[self._bar.symbol].values() if order.fills_late]

    def _eligible(self) -> list[VenueOrder]:
        """The same in the order in which they are matched: exits first."""
        return sorted(self._waiting(), key=priority)

    @staticmethod
    def _rests_as_exit(order: VenueOrder) -> bool:
        return order.is_exit and (order.ord_type is not OrdType.MARKET or order.triggered)

    def _follow(self, market: dict[Side, Decimal] | None) -> None:
        if any(order.trail_bps is not None for order in self._books.by_symbol[self._bar.symbol].values()):
            self._raise_peaks(self._eligible(), market)

    def _raise_peaks(self, orders: list[VenueOrder], market: dict[Side, Decimal] | None) -> None:
        """Let trailing stops follow: the open, or (None) the bar's own extreme."""
        for order in orders:
            if order.trail_bps is None or order.triggered or order.parent_id in self._uncertain:
                continue
            best = self._bar.high if order.side is Side.SELL else self._bar.low
            peak = raised_peak(order, best if market is None else market[order.side])
            if peak != order.peak_px:
                order.peak_px = peak
                self._books.touch_peak(order)
