"""What the venue books when a session opens: corporate actions and financing since the last one (§14).

In this order: financing of pairs for the nights past, interest on shares sold short, then date by date what was
announced: dividends on the evening's holdings, splits, ticker changes, delistings. Each entry has its own transaction
number. A resting order goes on in new shares: its leaves in whole lots, rounded down, its prices on tick and never
nearer to the market (restated_px); one with less than a lot left is called off. Nobody is sent a report of that: the
activity says it.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby

import msgspec

from qmworkbench.domain.corporate_actions import (
    CorporateAction,
    action_order,
    restated_leaves,
    restated_mark,
    restated_px,
    restated_qty,
    whole_lots,
)
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import OrdStatus, OrdType
from qmworkbench.venue import brackets, financing
from qmworkbench.venue.accounting import money, paid_in_full
from qmworkbench.venue.activities import post
from qmworkbench.venue.bars import Print
from qmworkbench.venue.books import Books
from qmworkbench.venue.orders import Ending, VenueOrder
from qmworkbench.venue.records import Holding, VenueError
from qmworkbench.venue.statements import market_px


class Overnight:
    """The opening of the session of `day` at `at`, in books whose account still stands at the last one's date."""

    def __init__(self, books: Books, day: date, at: datetime) -> None:
        self._books = books
        self._day = day
        self._at = at

    def book(self, actions: Iterable[CorporateAction]) -> None:
        """Book everything since the last session, and move the account's date on.

        The first dated session books nothing, nor does one that is not after the last. Raises VenueError where what
        is held has no rate, or where ticker changes of one date go in a circle.
        """
        account = self._books.account
        before = date.fromisoformat(account.session_date) if account.session_date else None
        if before is not None and self._day <= before:
            return
        account.session_date = self._day.isoformat()
        if before is None:
            return
        self._finance(before)
        self._borrow((self._day - before).days)
        due = sorted((a for a in actions if before < a.ex_date <= self._day), key=action_order)
        for _, on_one_date in groupby(due, key=lambda action: action.ex_date):
            self._take_effect(list(on_one_date))

    def _take_effect(self, actions: list[CorporateAction]) -> None:
        for action in actions:
            if action.kind is ActivityKind.DIVIDEND:
                self._dividend(action)
            elif action.kind is ActivityKind.SPLIT:
                self._split(action)
        for action in _in_turn([action for action in actions if action.kind is ActivityKind.SYMBOL_CHANGE]):
            self._rename(action)
        for action in actions:
            if action.kind is ActivityKind.DELISTING:
                self._delist(action)

    def _rate(self, symbol: str) -> Decimal:
        currency = self._books.instruments[symbol].currency
        rate = self._books.rate(currency)
        if rate is None:
            raise VenueError(
                f"no rate from {currency} to {self._books.account.currency} to book what happened to {symbol} "
                "overnight: set a rate, or feed the pair's bars"
            )
        return rate

    def _orders(self, symbol: str) -> list[VenueOrder]:
        return list(self._books.by_symbol.get(symbol, {}).values())

    # ── money ───────────────────────────────────────────────────────────────────────────────────────────────

    def _finance(self, last: date) -> None:
        books, terms = self._books, self._books.model.financing
        if not terms.charged:
            return
        for symbol, held in sorted(books.positions.items()):
            instrument = books.instruments[symbol]
            if not financing.is_financed(instrument):
                continue
            nights = financing.nights_between(instrument, last, self._day)
            px = market_px(books, held)
            interest = terms.interest(instrument, held.qty, px, nights)
            post(
                books,
                ActivityKind.FINANCING,
                symbol,
                self._at,
                qty_before=held.qty,
                qty_after=held.qty,
                amount=money(interest, self._rate(symbol)).quantize(financing.PLACES),
                effective=self._day.isoformat(),
                px=px,
                detail=terms.told(instrument, held.qty, nights),
            )

    def _borrow(self, nights: int) -> None:
        """Interest on shares sold short, for every calendar day since the last session."""
        books, terms = self._books, self._books.model.borrowing
        for symbol, held in sorted(books.positions.items()):
            if held.qty >= 0 or financing.is_financed(books.instruments[symbol]) or not terms.rate(symbol):
                continue
            px = market_px(books, held)
            fee = terms.fee(symbol, -held.qty, px, nights)
            post(
                books,
                ActivityKind.BORROW_FEE,
                symbol,
                self._at,
                qty_before=held.qty,
                qty_after=held.qty,
                amount=-money(fee, self._rate(symbol)).quantize(financing.PLACES),
                effective=self._day.isoformat(),
                px=px,
                detail=f"{nights} day{'s' * (nights != 1)} at {terms.rate(symbol)} % a year of {terms.day_count} days",
            )

    def _dividend(self, action: CorporateAction) -> None:
        """On what was held in the evening before the ex-date; who is short owes it."""
        held = self._books.positions.get(action.symbol)
        if held is None:
            return
        post(
            self._books,
            ActivityKind.DIVIDEND,
            action.symbol,
            self._at,
            qty_before=held.qty,
            qty_after=held.qty,
            amount=money(held.qty * action.amount, self._rate(action.symbol)),
            effective=action.ex_date.isoformat(),
            px=action.amount,
            detail=_said(f"{action.amount} a share", action),
        )

    # ── shares ──────────────────────────────────────────────────────────────────────────────────────────────

    def _split(self, action: CorporateAction) -> None:
        """Quantity times ratio for the same money; what is no whole lot is paid out at the last price."""
        books, symbol, ratio = self._books, action.symbol, action.ratio
        last, held, orders = books.marks.get(symbol), books.positions.get(symbol), self._orders(symbol)
        if last is not None:
            books.mark(symbol, Print(restated_mark(last.px, ratio), last.at))
        quote = books.quotes.get(symbol)
        if quote is not None:
            bid, ask = restated_mark(quote.bid, ratio), restated_mark(quote.ask, ratio)
            books.quote(msgspec.structs.replace(quote, bid=bid, ask=ask))
        if held is None and not orders:
            return
        qty = held.qty if held is not None else ZERO
        after = restated_qty(qty, ratio)
        effective, px = action.ex_date.isoformat(), ZERO
        if held is not None:
            books.hold(Holding(symbol=symbol, qty=after, cost=held.cost))
            px = market_px(books, books.positions[symbol])
        post(
            books,
            ActivityKind.SPLIT,
            symbol,
            self._at,
            qty_before=qty,
            qty_after=after,
            effective=effective,
            ratio=ratio,
            px=px,
            detail=_said(f"{ratio.normalize():f} new for one old", action),
        )
        for order in orders:
            self._restate(order, ratio)
        if held is not None:
            self._pay_fraction(books.positions[symbol], px, effective)

    def _pay_fraction(self, held: Holding, px: Decimal, effective: str) -> None:
        books, symbol = self._books, held.symbol
        instrument = books.instruments[symbol]
        whole = whole_lots(held.qty, instrument)
        fraction = held.qty - whole
        if not fraction:
            return
        rate, cost = self._rate(symbol), held.cost * fraction / held.qty if whole else held.cost
        realized = money(fraction * px - cost, rate)
        books.hold(Holding(symbol=symbol, qty=whole, cost=held.cost - cost))
        post(
            books,
            ActivityKind.CASH_IN_LIEU,
            symbol,
            self._at,
            qty_before=held.qty,
            qty_after=whole,
            amount=money(fraction * px, rate) if paid_in_full(instrument) else realized,
            realized_pnl=realized,
            effective=effective,
            px=px,
            detail=f"{fraction.normalize():f} of a share paid at {px}",
        )
        brackets.follow_position(books, symbol, self._at)

    def _restate(self, order: VenueOrder, ratio: Decimal) -> None:
        """An order as though it had been placed in new shares."""
        books, instrument = self._books, self._books.instruments[order.symbol]
        leaves = order.order_qty - order.cum_qty
        order.cum_qty = restated_qty(order.cum_qty, ratio)
        covered = order.cum_qty - restated_qty(order.exited_qty, ratio)
        order.exited_qty = order.cum_qty - whole_lots(covered, instrument)
        if order.is_open:
            left = restated_leaves(leaves, ratio, instrument)
            order.order_qty = order.cum_qty + left
            order.limit_px = _restated(order, OrdType.LIMIT, order.limit_px, ratio, books)
            order.stop_px = _restated(order, OrdType.STOP, order.stop_px, ratio, books)
            order.peak_px = None if order.peak_px is None else order.peak_px / ratio
            order.reserve_px = order.reserve_px / ratio
            if not left:
                books.end(order, OrdStatus.CANCELED, Ending.CORPORATE_ACTION, self._at)
                if not order.is_exit:
                    brackets.entry_ended(books, order, self._at)
        else:
            order.order_qty = restated_qty(order.order_qty, ratio)
        books.touch(order)

    def _rename(self, action: CorporateAction) -> None:
        books, symbol, new = self._books, action.symbol, action.new_symbol
        held, orders, last = books.positions.get(symbol), self._orders(symbol), books.marks.get(symbol)
        if held is None and not orders:
            return
        # Under the same terms, unless the new name has terms of its own.
        books.instruments.setdefault(new, msgspec.structs.replace(books.instruments[symbol], symbol=new))
        qty = held.qty if held is not None else ZERO
        post(
            books,
            ActivityKind.SYMBOL_CHANGE,
            symbol,
            self._at,
            qty_before=qty,
            qty_after=qty,
            effective=action.ex_date.isoformat(),
            new_symbol=new,
            detail=_said(f"{symbol} is {new} from now on", action),
        )
        if held is not None:
            other = books.positions.get(new) or Holding(symbol=new, qty=ZERO, cost=ZERO)
            books.hold(Holding(symbol=symbol, qty=ZERO, cost=ZERO))
            books.hold(Holding(symbol=new, qty=other.qty + held.qty, cost=other.cost + held.cost))
        books.rename_orders(symbol, new)
        if last is not None:
            books.mark(new, last)
        if symbol in books.quotes:
            books.quote(msgspec.structs.replace(books.quotes[symbol], symbol=new))
        if symbol in books.halted:
            books.set_halted(symbol, False)
            books.set_halted(new, True)

    def _delist(self, action: CorporateAction) -> None:
        """What is held is paid out at what was announced, or at the last price; what rests is called off."""
        books, symbol = self._books, action.symbol
        held, orders = books.positions.get(symbol), self._orders(symbol)
        if held is not None:
            px = action.amount or market_px(books, held)
            rate = self._rate(symbol)
            realized = money(held.qty * px - held.cost, rate)
            books.hold(Holding(symbol=symbol, qty=ZERO, cost=ZERO))
            full = paid_in_full(books.instruments[symbol])
            post(
                books,
                ActivityKind.DELISTING,
                symbol,
                self._at,
                qty_before=held.qty,
                qty_after=ZERO,
                amount=money(held.qty * px, rate) if full else realized,
                realized_pnl=realized,
                effective=action.ex_date.isoformat(),
                px=px,
                detail=_said(f"paid out at {px}" if action.amount else f"paid out at the last price, {px}", action),
            )
        for order in orders:
            if order.is_open:
                books.end(order, OrdStatus.CANCELED, Ending.DELISTED, self._at)


def _restated(order: VenueOrder, kind: OrdType, px: Decimal | None, ratio: Decimal, books: Books) -> Decimal | None:
    return None if px is None else restated_px(px, ratio, order.side, kind, books.instruments[order.symbol])


def _in_turn(renames: list[CorporateAction]) -> list[CorporateAction]:
    """Ticker changes of one date so that a name is free before another takes it."""
    waiting = {action.symbol: action for action in renames}
    turn: list[CorporateAction] = []
    while waiting:
        free = next((symbol for symbol, action in sorted(waiting.items()) if action.new_symbol not in waiting), None)
        if free is None:
            named = ", ".join(f"{action.symbol} to {action.new_symbol}" for action in waiting.values())
            raise VenueError(f"ticker changes go in a circle ({named}): correct the table of actions")
        turn.append(waiting.pop(free))
    return turn


def _said(text: str, action: CorporateAction) -> str:
    return f"{text} ({action.source})" if action.source else text
