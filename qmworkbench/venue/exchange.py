"""The simulated exchange: plays the broker and forgets nothing when the platform crashes (§2, §13).

Time is what it is told: frames, and the moments a session opens and closes. Every public call takes effect
whole and durably before it returns, or not at all. Calls may come from any thread, one at a time.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Unpack

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.execution import (
    Account,
    AccountActivity,
    BrokerOrder,
    BrokerPosition,
    ExecutionReport,
    OrderRequest,
    ReplaceRequest,
)
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import decimal_of
from qmworkbench.domain.orders import OrdType
from qmworkbench.venue import busts, desk, door, drill, replacing, statements
from qmworkbench.venue.bars import Frame, Print, Universe, rows_of
from qmworkbench.venue.books import NEVER, Books
from qmworkbench.venue.closing import close_books, expire_day_orders
from qmworkbench.venue.costs import VenueModel
from qmworkbench.venue.crossing import Crossing
from qmworkbench.venue.faults import FaultSource
from qmworkbench.venue.matching import stop_level
from qmworkbench.venue.memory_store import MemoryStore
from qmworkbench.venue.orders import OrderRefused, VenueOrder
from qmworkbench.venue.overnight import Overnight
from qmworkbench.venue.pricing import Pricing, told
from qmworkbench.venue.quiet import is_quiet
from qmworkbench.venue.quotes import Quotes, match
from qmworkbench.venue.reached import CALLS, one_way
from qmworkbench.venue.records import StatementLine, VenueError
from qmworkbench.venue.store import Store
from qmworkbench.venue.turns import Turn


class Exchange:
    """One account at one simulated venue.

    `db_path` is the venue's own file; ":memory:" keeps nothing, and None not even tables (a replay's). `initial_cash`
    counts when the file is new; afterwards the books do. `name` goes into every order and execution id: the same venue
    fed the same things says the same. `faults` says what goes wrong, instead of the model's plan. Raises VenueError
    when the file is in use, is another venue's, or cannot be written.
    """

    def __init__(
        self,
        db_path: Path | str | None,
        instruments: Mapping[str, Instrument] | Iterable[Instrument],
        model: VenueModel,
        account_currency: str,
        initial_cash: Decimal,
        *,
        name: str = "sim",
        reached_by: str = CALLS,
        faults: FaultSource | None = None,
    ) -> None:
        if not initial_cash.is_finite() or initial_cash <= 0:
            raise VenueError(f"initial_cash = {initial_cash}: an account needs money; give an amount above 0")
        listed = list(instruments.values()) if isinstance(instruments, Mapping) else list(instruments)
        by_symbol = {instrument.symbol: instrument for instrument in listed}
        self._lock = threading.RLock()
        self._reached_by = reached_by
        self._pricing = Pricing(by_symbol, account_currency)
        self._store = MemoryStore() if db_path is None else Store(db_path)
        try:
            self._books = Books(
                self._store,
                by_symbol,
                model,
                venue=name,
                currency=account_currency,
                initial_cash=initial_cash,
                faults=faults,
            )
        except BaseException:
            self._store.close()
            raise

    def close(self) -> None:
        """Let go of the file. What was answered is on disk already."""
        with self._lock:
            self._store.close()

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _change(self) -> Turn:
        """One operation: all of it on disk when the block ends, none of it when it raises."""
        return Turn(self._lock, self._books, self._store.path, changes=True)

    def _reading(self) -> Turn:
        return Turn(self._lock, self._books, self._store.path, changes=False)

    # ── the session ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def session(self) -> tuple[str, bool]:
        """The last session's id ("" before the first) and whether it is open."""
        with self._reading() as books:
            return books.account.session_id, books.account.session_open

    @property
    def last_as_of(self) -> datetime | None:
        """Close time of the last frame of an open session, or its close; None before the first."""
        with self._reading() as books:
            return books.last_as_of

    def open_session(
        self, session_id: str, at: datetime, *, day: date | None = None, actions: Iterable[CorporateAction] = ()
    ) -> None:
        """Open for trading; P&L and fees count from zero. The last session's id again changes nothing.

        `day` is the session's date: what happened since the last one is booked first, `actions` and financing
        (overnight.py), all in one transaction. None: nothing is booked.
        """
        _demand_utc("open_session", at)
        if not session_id:
            raise VenueError("a session needs an id, for example its date")
        with self._change() as books:
            account = books.account
            reached_by = one_way(self._store.path, account.reached_by, self._reached_by)
            if session_id == account.session_id:
                return
            if at < books.now:
                raise VenueError(
                    f"session {session_id} opens at {at}, but these books are at {books.now} already: "
                    "time does not run backwards; start with fresh books"
                )
            account.reached_by = reached_by
            expire_day_orders(books, at)
            account.session_id, account.session_open, account.opened_at = session_id, True, at
            account.session_no += 1
            account.realized_pnl = account.fees = Decimal(0)
            books.keep_account()
            if day is not None:
                Overnight(books, day, at).book(actions)

    def close_session(self, as_of: datetime) -> None:
        """Trade AT_CLOSE orders at each symbol's last print, then expire day orders. Twice is harmless."""
        _demand_utc("close_session", as_of)
        with self._change() as books:
            if not books.account.session_open:
                return
            at = max(as_of, books.now)
            for symbol in books.tracked():
                self._pricing.bring_up(books, symbol)
            desk.session_ends(books, at)
            close_books(books, at)
            expire_day_orders(books, at)
            books.account.session_open = False
            books.advance(at)
            books.keep_account()

    # ── the market ──────────────────────────────────────────────────────────────────────────────────────────

    def on_frame(self, frame: Frame, universe: Universe) -> None:
        """Match the bars of one boundary.

        A frame that is not after the last one, is outside regular hours or finds no session open matches nothing.
        Raises BadBar, and changes nothing, when a bar that an order or a position depends on cannot be.
        """
        with self._change() as books:
            if frame.extended:
                return
            matches = books.account.session_open and frame.as_of > books.now
            tracked = books.tracked() if matches else []
            rows = rows_of([symbol for symbol in tracked if symbol not in books.halted], frame, universe)
            self._pricing.record(frame, universe)
            if not matches:
                return
            books.advance(frame.as_of)
            if not tracked and not books.scheduled:
                return
            desk.frame_begins(books, frame.as_of)
            for row in rows:
                if row.symbol in books.by_symbol and not is_quiet(books, row):
                    Crossing(books, row.bar(frame.as_of)).run()
                books.mark(row.symbol, Print(decimal_of(row.close), frame.as_of))
            desk.frame_ends(books, frame.as_of)
            self._pricing.bring_up_rates(books, {books.instruments[symbol].currency for symbol in tracked})
            books.keep_clock()

    def on_quotes(self, frame: Quotes, universe: Universe) -> None:
        """Match the quotes of one moment; bars' rules without a range (quotes.py).

        Quotes that are not after the last frame, or find no session open, match nothing.
        """
        with self._change() as books:
            if not books.account.session_open or frame.as_of <= books.now:
                return
            tracked = books.tracked()
            books.advance(frame.as_of)
            desk.frame_begins(books, frame.as_of)
            match(books, frame, universe)
            desk.frame_ends(books, frame.as_of)
            if tracked:
                books.keep_clock()

    def set_rates(self, rates: Mapping[str, Decimal], at: datetime) -> None:
        """Tell the venue what one unit of each currency is worth in account currency.

        A traded pair overrides it as it prints. Raises ValueError for a rate that is not above zero.
        """
        _demand_utc("set_rates", at)
        with self._change() as books:
            for rate in told(rates, at):
                books.record_rate(rate)
            books.keep_account()

    def halt(self, symbol: str) -> None:
        """Stop trading in `symbol`: nothing of it is taken or matched until resume()."""
        with self._change() as books:
            self._known(books, symbol)
            books.set_halted(symbol, True)

    def resume(self, symbol: str) -> None:
        """Trade `symbol` again."""
        with self._change() as books:
            self._known(books, symbol)
            books.set_halted(symbol, False)

    @staticmethod
    def _known(books: Books, symbol: str) -> None:
        if symbol not in books.instruments:
            raise VenueError(f"{symbol!r} is not traded here")

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, request: OrderRequest) -> None:
        """Take an order into the books. Raises OrderRefused, a definite no, with a coded reason."""
        with self._change() as books:
            instrument = books.instruments.get(request.symbol)
            if instrument is not None:
                self._pricing.bring_up(books, request.symbol)
                self._pricing.bring_up_rates(books, [instrument.currency])
            door.admit(books, request)
            order, *legs = door.orders_for(books, request)
            for each in (order, *legs):
                books.add(each)
            desk.acknowledge(books, order)
            books.keep_account()

    def cancel(self, cl_ord_id: str) -> None:
        """Cancel what is left of an order; one that has ended is answered by a CANCEL_REJECTED report.

        Raises OrderRefused for an id that no order ever had.
        """
        with self._change() as books:
            desk.cancel(books, cl_ord_id)

    def replace(self, request: ReplaceRequest) -> None:
        """Let an open order go on under a new id; REPLACED or REPLACE_REJECTED answers (replacing.py).

        Raises OrderRefused for an id that no order ever had.
        """
        with self._change() as books:
            replacing.replace(books, request)
            books.keep_account()

    # ── questions ───────────────────────────────────────────────────────────────────────────────────────────

    def reports(self, after_cursor: int = 0) -> Sequence[ExecutionReport]:
        """Everything said after `after_cursor`, oldest first."""
        with self._reading() as books:
            return books.reports(after_cursor)

    def activities(self, after_cursor: int = 0) -> Sequence[AccountActivity]:
        """Everything booked without an order after `after_cursor`, oldest first."""
        with self._reading() as books:
            return books.activities(after_cursor)

    def statement(self, after_cursor: int = 0) -> Sequence[StatementLine]:
        """Every line of the account's statement after `after_cursor`, oldest first."""
        with self._reading():
            return self._store.statement(after_cursor)

    def order(self, cl_ord_id: str) -> tuple[BrokerOrder | None, int]:
        """The order by its client id, and the transaction number at which that is exact."""
        with self._reading() as books:
            order = books.find(cl_ord_id)
            return (None if order is None else self._told(books, order)), books.cursor

    def open_orders(self) -> Sequence[BrokerOrder]:
        """Orders that may trade, by arrival; legs whose entry has not filled are not among them."""
        with self._reading() as books:
            working = [order for order in books.orders.values() if order.is_working]
            return [self._told(books, order) for order in sorted(working, key=lambda order: order.seq)]

    def positions(self) -> Sequence[BrokerPosition]:
        """Net positions, by symbol; flat ones are absent."""
        with self._reading() as books:
            return statements.positions(books)

    def account(self) -> Account:
        """The account as it stands at the venue's clock."""
        with self._reading() as books:
            return statements.account(books)

    @staticmethod
    def _told(books: Books, order: VenueOrder) -> BrokerOrder:
        instrument = books.instruments.get(order.symbol)
        stops = order.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT) and instrument is not None
        return order.as_told(stop_level(order, instrument) if stops and instrument is not None else order.stop_px)

    # ── what is put right afterwards ────────────────────────────────────────────────────────────────────────

    def bust(self, exec_id: str) -> None:
        """Take an execution back: TRADE_CANCEL, and the books as though it had not been (busts.py).

        Raises VenueError for one that never was, or was taken back already.
        """
        with self._change() as books:
            busts.bust(books, exec_id)

    def correct(self, exec_id: str, *, px: Decimal | None = None, qty: Decimal | None = None) -> str:
        """Take an execution back and book it anew at another price or quantity; returns the new execution's id."""
        with self._change() as books:
            return busts.correct(books, exec_id, px=px, qty=qty)

    # ── drills ──────────────────────────────────────────────────────────────────────────────────────────────

    def plant_break(self, symbol: str, **breaks: Unpack[drill.Breaks]) -> None:
        """Falsify the books on purpose (`qm drill`, tests): see drill.Breaks. Exactly one kind of break a call."""
        with self._change() as books:
            self._known(books, symbol)
            drill.plant(books, symbol, breaks)


def _demand_utc(what: str, at: datetime) -> None:
    if at.utcoffset() != timedelta(0):
        raise VenueError(f"{what}({at}): give an aware UTC time")


__all__ = ["NEVER", "Exchange", "OrderRefused", "VenueError"]
