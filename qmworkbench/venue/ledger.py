"""What the venue's books rest on: the store, the account and its money, positions, marks, rates, the clock (§13, §14).

Changes gather in memory and become durable with commit(), before anybody is answered; rollback() forgets them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from qmworkbench.domain.execution import AccountActivity, ExecutionReport
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Side
from qmworkbench.venue.bars import Print
from qmworkbench.venue.costs import VenueModel
from qmworkbench.venue.faults import FaultSource
from qmworkbench.venue.memory_store import MemoryStore
from qmworkbench.venue.orders import VenueOrder
from qmworkbench.venue.records import (
    AccountRow,
    Batch,
    Booked,
    Holding,
    Quote,
    Rate,
    RoundTrips,
    Scheduled,
    Valuation,
    VenueError,
)
from qmworkbench.venue.store import Store

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Ledger:
    """What the venue knows of one account, in memory and in its store; its orders are books.Books' to handle.

    `orders` holds open orders and entries whose legs are still open; older ones are in the store alone.
    """

    def __init__(
        self,
        store: Store | MemoryStore,
        instruments: Mapping[str, Instrument],
        model: VenueModel,
        *,
        venue: str,
        currency: str,
        initial_cash: Decimal,
        faults: FaultSource | None = None,
    ) -> None:
        self._store = store
        self.faults = faults if faults is not None else (model.faults if model.faults.planned else None)
        self._clock: datetime | None = None
        self.instruments = dict(instruments)
        self._given = frozenset(instruments)
        self.model = model
        self.account: AccountRow
        self.orders: dict[str, VenueOrder]
        self.by_symbol: dict[str, dict[str, VenueOrder]]
        self.positions: dict[str, Holding]
        self.marks: dict[str, Print]
        self.rates: dict[str, Rate]
        self.halted: set[str]
        self.cursor: int
        self.quotes: dict[str, Quote]
        self.round_trips: dict[tuple[int, str], RoundTrips]
        self.counters: dict[str, int]
        self.scheduled: dict[int, Scheduled]
        # Worked out from the rest, and kept until it changes: statements.py, crossing.py.
        self.legs: dict[str, list[VenueOrder]]
        self.entries: dict[str, VenueOrder]
        self.worth: Valuation | None
        self.idle: dict[str, Decimal]
        self.zones: dict[str, tuple[float, float] | None]
        self.counts_day_trades: bool
        if store.account() is None:
            opened = AccountRow(venue=venue, currency=currency, initial_cash=initial_cash, cash=initial_cash)
            store.write(Batch(account=opened, binding=True))
        self.load()
        if (self.account.venue, self.account.currency) != (venue, currency):
            raise VenueError(
                f"{store.path} holds the books of {self.account.venue!r} in {self.account.currency}, "
                f"not of {venue!r} in {currency}: name its own file, or start with fresh books"
            )

    def load(self) -> None:
        """Take everything from the store; what was not committed is gone."""
        account = self._store.account()
        if account is None:
            raise VenueError(f"{self._store.path} has lost its account row: restore it, or start with fresh books")
        self.account = account
        self.orders, self.by_symbol, self.legs, self.entries = {}, {}, {}, {}
        self.worth, self.idle, self.zones = None, {}, {}
        for order in self._store.live_orders():
            self._index(order)
        self.positions = {held.symbol: held for held in self._store.positions()}
        self.marks = self._store.marks()
        self.rates = {rate.currency: rate for rate in self._store.rates()}
        self.halted = set(self._store.halted())
        self.quotes = self._store.quotes()
        self.round_trips = {(trips.session_no, trips.symbol): trips for trips in self._store.round_trips()}
        self.counters = self._store.counters()
        self.scheduled = {item.id: item for item in self._store.scheduled()}
        self.cursor = self._store.last_cursor()
        self._seq = self._store.last_seq()
        self._batch = Batch()
        self._seen_version = self._store.data_version
        known = self._store.listings()
        self._listed = set(known)
        # What is held goes on under the terms it had, whatever is traded today.
        self.instruments.update({symbol: terms for symbol, terms in known.items() if symbol not in self._given})
        self.counts_day_trades = any(terms.day_trade_rule for terms in self.instruments.values())
        unknown = sorted((set(self.positions) | set(self.by_symbol)) - set(self.instruments))
        if unknown:
            raise VenueError(f"{self._store.path} holds {', '.join(unknown)}, not among the instruments: add them")

    def refresh(self) -> None:
        """Believe the file where somebody else has edited it."""
        if self._store.data_version != self._seen_version:
            self.load()

    def commit(self) -> None:
        """Make all changes since the last commit durable, or forget them and raise VenueError."""
        if not self._batch:
            return
        batch, self._batch = self._batch, Batch()
        batch.reorder()
        try:
            self._store.write(batch)
        except VenueError:
            self.load()
            raise
        for order in batch.orders.values():
            self._prune(order)

    def rollback(self, clock: datetime | None) -> None:
        """Forget all changes since the last commit, when the clock stood at `clock`."""
        self._clock = clock
        if self._batch:
            self.load()

    def _index(self, order: VenueOrder) -> None:
        self.orders[order.cl_ord_id] = order
        self.by_symbol.setdefault(order.symbol, {})[order.cl_ord_id] = order
        self.zones.pop(order.symbol, None)
        if not order.is_exit:
            self.entries[order.cl_ord_id] = order
        if order.parent_id is not None:
            legs = self.legs.setdefault(order.parent_id, [])
            if not any(leg is order for leg in legs):
                legs.append(order)

    def _prune(self, order: VenueOrder) -> None:
        """Drop an ended order from memory once none of its legs is open; a leg takes its entry along."""
        if order.is_open or order.fills_late or order.cl_ord_id not in self.orders or self.legs_of(order):
            return
        del self.orders[order.cl_ord_id]
        self.idle.pop(order.cl_ord_id, None)
        self.entries.pop(order.cl_ord_id, None)
        self.legs.pop(order.cl_ord_id, None)
        rest = self.by_symbol[order.symbol]
        del rest[order.cl_ord_id]
        if not rest:
            del self.by_symbol[order.symbol]
        entry = self.orders.get(order.parent_id) if order.parent_id else None
        if entry is not None:
            self._prune(entry)

    def legs_of(self, entry: VenueOrder) -> list[VenueOrder]:
        """The open legs of an entry, held ones included."""
        legs = self.legs.get(entry.cl_ord_id)
        return [order for order in legs if order.is_open] if legs else []

    # ── money and positions ─────────────────────────────────────────────────────────────────────────────────

    def next_cursor(self) -> int:
        """The number of the next transaction."""
        self.cursor += 1
        return self.cursor

    def hold(self, held: Holding) -> None:
        """The position of a symbol is now this; flat ones leave the books."""
        self._keep_terms(held.symbol)
        self.worth = None
        self._batch.positions[held.symbol] = held
        self._batch.binding = True
        if held.qty:
            self.positions[held.symbol] = held
        else:
            self.positions.pop(held.symbol, None)

    def _keep_terms(self, symbol: str) -> None:
        if symbol not in self._listed:
            self._listed.add(symbol)
            self._batch.listings[symbol] = self.instruments[symbol]

    def book(self, activity: AccountActivity, realized_pnl: Decimal) -> None:
        """Something happened without an order, under `next_cursor()`; its amount of cash moves with it."""
        self._batch.activities.append(Booked(activity=activity, realized_pnl=realized_pnl))
        self.move_cash(activity.amount)

    def move_cash(self, delta: Decimal) -> None:
        self.account.cash += delta
        self.worth = None
        self.keep_account()

    def keep_account(self) -> None:
        """The account row was changed in place."""
        self.keep_clock()
        self._batch.binding = True

    def keep_clock(self) -> None:
        """What happened depends on where the clock stands: it goes to disk along with it."""
        self.account.last_as_of = self.last_as_of
        self._batch.account = self.account

    # ── marks, rates, halts, drills ─────────────────────────────────────────────────────────────────────────

    def mark(self, symbol: str, last: Print) -> None:
        self.marks[symbol] = last
        if symbol in self.positions:
            self.worth = None
        self._batch.marks[symbol] = last

    def keep_round_trips(self, trips: RoundTrips) -> None:
        self.round_trips[trips.session_no, trips.symbol] = trips
        self._batch.round_trips[trips.session_no, trips.symbol] = trips
        self._batch.binding = True

    def quote(self, quote: Quote) -> None:
        self.quotes[quote.symbol] = self._batch.quotes[quote.symbol] = quote
        self.worth = None

    def last_px(self, symbol: str, side: Side) -> Decimal | None:
        """What a market order on this side would last have met: the last print, or the far side of a later quote."""
        last, quote = self.marks.get(symbol), self.quotes.get(symbol)
        if quote is not None and (last is None or quote.at > last.at):
            return quote.ask if side is Side.BUY else quote.bid
        return None if last is None else last.px

    def record_rate(self, rate: Rate) -> None:
        known = self.rates.get(rate.currency)
        if known is None or (known.rate, known.source) != (rate.rate, rate.source):
            self.rates[rate.currency] = rate
            self.worth = None
            self._batch.rates[rate.currency] = rate

    def rate(self, currency: str) -> Decimal | None:
        """What one unit of `currency` is worth in account currency; None when nobody ever said."""
        if currency == self.account.currency:
            return ONE
        known = self.rates.get(currency)
        return known.rate if known is not None else None

    def set_halted(self, symbol: str, halted: bool) -> None:
        (self.halted.add if halted else self.halted.discard)(symbol)
        self._batch.halts[symbol] = halted
        self._batch.binding = True

    def note_drill(self, kind: str, symbol: str, detail: str) -> None:
        """A break was planted on purpose: on record, so that nobody takes it for a fault."""
        self._batch.drills.append((kind, symbol, detail))
        self._batch.binding = True

    # ── what is known ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> datetime:
        """The venue's clock: the last frame it was shown, or when the session opened."""
        return max(self.last_as_of or NEVER, self.account.opened_at or NEVER)

    @property
    def last_as_of(self) -> datetime | None:
        """The last frame of an open session, None before the first. Quiet frames move it in memory alone."""
        known = self.account.last_as_of
        return known if self._clock is None or (known is not None and known > self._clock) else self._clock

    def advance(self, as_of: datetime) -> None:
        """The venue's clock stands at `as_of` now; on disk with the next change that depends on it."""
        self._clock = as_of

    def position_qty(self, symbol: str) -> Decimal:
        held = self.positions.get(symbol)
        return held.qty if held is not None else ZERO

    def reports(self, after_cursor: int) -> list[ExecutionReport]:
        return [] if after_cursor >= self.cursor else self._store.reports(after_cursor)

    def activities(self, after_cursor: int) -> list[AccountActivity]:
        return [] if after_cursor >= self.cursor else self._store.activities(after_cursor)
