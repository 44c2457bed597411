"""The venue's books: orders, and every transaction under its own rising number (§13, §14)."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import OrdStatus, Side
from qmworkbench.domain.positions import fill_delta
from qmworkbench.venue import day_trades
from qmworkbench.venue.accounting import fill_fee, money, paid_in_full
from qmworkbench.venue.faults import Fault, FaultKind
from qmworkbench.venue.ledger import NEVER, Ledger
from qmworkbench.venue.orders import Ending, VenueOrder
from qmworkbench.venue.records import Entry, Holding, Scheduled, VenueError

_ENDS = {OrdStatus.CANCELED: ExecType.CANCELED, OrdStatus.EXPIRED: ExecType.EXPIRED}


class Books(Ledger):
    """The ledger and what happens to the orders in it."""

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────────────

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def add(self, order: VenueOrder) -> None:
        """Take a new order into the books."""
        self._keep_terms(order.symbol)
        self._index(order)
        self.touch(order)

    def touch(self, order: VenueOrder) -> None:
        """`order` was changed in place."""
        self._batch.orders[order.cl_ord_id] = order
        self._batch.binding = True
        self.zones.pop(order.symbol, None)
        self.idle.pop(order.cl_ord_id, None)

    def working(self, symbol: str) -> list[VenueOrder]:
        """Orders of `symbol` that may trade, by arrival."""
        return [order for order in self.by_symbol.get(symbol, {}).values() if order.is_working]

    def touch_peak(self, order: VenueOrder) -> None:
        """Only the peak of `order` has moved, as on most bars."""
        self.zones.pop(order.symbol, None)
        if order.cl_ord_id not in self._batch.orders:
            self._batch.peaks[order.cl_ord_id] = order.peak_px

    def tracked(self) -> list[str]:
        """Symbols with an open order or a position, alphabetically."""
        return sorted(set(self.by_symbol) | set(self.positions))

    def find(self, cl_ord_id: str) -> VenueOrder | None:
        """Any order ever taken, by any id it ever had."""
        known = self.orders.get(cl_ord_id)
        if known is not None:
            return known
        stored = self._store.order(cl_ord_id)
        # Under a later id, or ended: the books' own copy counts while it is open.
        return stored if stored is None else self.orders.get(stored.cl_ord_id, stored)

    def used(self, cl_ord_ids: list[str]) -> str | None:
        """The first of these ids that an order bears or bore."""
        return self._store.knows(cl_ord_ids)

    # ── what happens to them ────────────────────────────────────────────────────────────────────────────────

    def say(self, order: VenueOrder, exec_type: ExecType, at: datetime, *, reason: str = "", **other: Any) -> None:
        """Report something about `order` that moves no money, under the next transaction number.

        `other`: fields of the report that are not as the order has them, `cl_ord_id` of a refused request for one.
        """
        order.transact_time = at
        self.touch(order)
        self._enter(order, Entry(report=self._report(order, exec_type, at, reason=reason, **other)))

    def refuse(self, order: VenueOrder, exec_type: ExecType, reason: str, **other: Any) -> None:
        """Answer a request about `order` with no; nothing about the order changes."""
        said = order.transact_time
        self.say(order, exec_type, self.now, reason=reason, **other)
        order.transact_time = said

    def to_the_back(self, order: VenueOrder) -> None:
        """`order` has lost its place: it stands behind everything that has come so far."""
        order.seq = self.next_seq()
        order.ahead_qty = None
        for index in (self.orders, self.by_symbol[order.symbol]):
            index[order.cl_ord_id] = index.pop(order.cl_ord_id)
        if order.parent_id is not None:
            self.legs[order.parent_id].sort(key=lambda leg: leg.seq)
        self.touch(order)

    def rename(self, order: VenueOrder, cl_ord_id: str) -> None:
        """`order` goes on under this id; the ones it had still find it."""
        order.replaced_id, order.working_id = order.told_id, cl_ord_id
        self._batch.order_ids[cl_ord_id] = order.cl_ord_id
        self.touch(order)

    def end(self, order: VenueOrder, status: OrdStatus, reason: Ending, at: datetime) -> None:
        """`order` is over without filling what was left of it: CANCELED or EXPIRED."""
        order.status = status
        order.held = False
        order.reason = reason.value
        self.say(order, _ENDS[status], at, reason=reason.value)

    def trade(self, order: VenueOrder, qty: Decimal, px: Decimal, at: datetime) -> Decimal:
        """As fill, with what may go wrong with it; returns the quantity that did trade."""
        if self.faults is not None and qty == order.leaves_qty:
            over = self.draw(FaultKind.OVERFILL, order)
            if over is not None:
                qty += over.qty or self.instruments[order.symbol].lot_size
        exec_id = self.fill(order, qty, px, at)
        if self.faults is not None:
            busted = self.draw(FaultKind.BUST, order)
            if busted is not None:
                self.schedule(FaultKind.BUST, exec_id, busted.frames)
        return qty

    def fill(self, order: VenueOrder, qty: Decimal, px: Decimal, at: datetime) -> str:
        """`qty` of `order` trades at `px`: order, position, cash and fees move together. Returns the execution's id."""
        instrument = self.instruments[order.symbol]
        rate = self.rate(instrument.currency)
        if rate is None:
            raise VenueError(
                f"no rate from {instrument.currency} to {self.account.currency} to settle {order.cl_ord_id}"
            )
        held = self.positions.get(order.symbol) or Holding(symbol=order.symbol, qty=ZERO, cost=ZERO)
        delta = fill_delta(held.qty, held.cost, order.side, qty, px)
        value = qty * px
        order.cum_qty += qty
        order.cum_value += value
        if order.is_open:  # what has ended stays ended, whatever still comes in
            order.status = OrdStatus.FILLED if order.cum_qty >= order.order_qty else OrdStatus.PARTIALLY_FILLED
        order.transact_time = at
        fee = fill_fee(self.model.schedule(instrument).fees, order, qty, value, rate)
        if order.symbol in self.model.locates and order.side is Side.SELL:
            fee += self.model.locates[order.symbol].fee_per_share * delta.opened_qty
        order.fees += fee
        self.touch(order)
        if instrument.day_trade_rule:
            day_trades.count(self, order.symbol, delta, first=order.cum_qty == qty)
        realized = money(delta.realized_pnl, rate)
        flow = money(-order.side.sign * value, rate) if paid_in_full(instrument) else realized
        report = self._report(order, ExecType.TRADE, at, last_qty=qty, last_px=px, fee=fee, rate=rate)
        self._enter(order, Entry(report=report, cash_delta=flow - fee, realized_pnl=realized))
        self.move_cash(flow - fee)
        self.account.realized_pnl += realized
        self.account.fees += fee
        self.hold(Holding(symbol=order.symbol, qty=delta.qty, cost=delta.cost))
        return report.exec_id

    def take_back(self, order: VenueOrder, entry: Entry, at: datetime) -> None:
        """An execution of `order` is undone: what was paid and charged for it comes back, at its own price and rate.

        The position loses its quantity and cost, so that nothing is realized; where it is flat then and some of the
        cost is left over, because the average it was closed at counted this execution, that is realized.
        """
        said, instrument = entry.report, self.instruments[order.symbol]
        rate, signed = said.conversion_rate, -order.side.sign * said.last_qty
        order.cum_qty -= said.last_qty
        order.cum_value -= said.last_qty * said.last_px
        order.fees -= said.fee
        if order.is_open:
            order.status = OrdStatus.PARTIALLY_FILLED if order.cum_qty > 0 else OrdStatus.ACCEPTED
        self.touch(order)
        held = self.positions.get(order.symbol) or Holding(symbol=order.symbol, qty=ZERO, cost=ZERO)
        qty, cost = held.qty + signed, held.cost + signed * said.last_px
        realized = ZERO if qty else money(-cost, rate)
        full = paid_in_full(instrument)
        back = said.fee + (money(-signed * said.last_px, rate) if full else realized)
        report = self._report(
            order,
            ExecType.TRADE_CANCEL,
            at,
            last_qty=said.last_qty,
            last_px=said.last_px,
            fee=said.fee,
            rate=rate,
            ref_exec_id=said.exec_id,
        )
        self._enter(order, Entry(report=report, cash_delta=back, realized_pnl=realized))
        self.move_cash(back)
        self.account.realized_pnl += realized
        self.account.fees -= said.fee
        self.hold(Holding(symbol=order.symbol, qty=qty, cost=cost if qty else ZERO))

    def execution(self, exec_id: str) -> Entry | None:
        """A trade by its execution id, None where there is none or it was taken back."""
        found = self._store.execution(exec_id)
        return None if found is None or self._store.taken_back(exec_id) else found

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────

    def draw(self, kind: FaultKind, order: VenueOrder) -> Fault | None:
        """Whether something goes wrong with `order` now: the next occasion of this kind."""
        if self.faults is None:
            return None
        nth = self.counters.get(kind, 0) + 1
        self.counters[kind] = self._batch.counters[kind] = nth
        self._batch.binding = True
        return self.faults.draw(kind, nth, order.told_id)

    def schedule(self, kind: str, ref: str, frames: int, number: int = 0) -> None:
        """Let something happen at the beginning of the matched frame that many from now; 0: it has happened."""
        item = Scheduled(id=number or max(self.scheduled, default=0) + 1, kind=kind, ref=ref, frames=frames)
        self._batch.scheduled[item.id] = item
        if frames:
            self.scheduled[item.id] = item
        else:
            del self.scheduled[item.id]
        self._batch.binding = True

    def _enter(self, order: VenueOrder, entry: Entry) -> None:
        """Put a transaction on record; a fault may say it twice, or have the next one come first."""
        self._batch.entries.append(entry)
        if self.faults is None:
            return
        if self.draw(FaultKind.REORDER_REPORTS, order) is not None:
            self._batch.behind_next.append(len(self._batch.entries) - 1)
        if self.draw(FaultKind.DUPLICATE_REPORT, order) is not None:
            again = msgspec.structs.replace(entry.report, cursor=self.next_cursor())
            self._batch.entries.append(Entry(report=again, repeated=True))

    def rename_orders(self, symbol: str, new_symbol: str) -> None:
        """Every order of `symbol` goes on under another name."""
        for order in self.by_symbol.pop(symbol, {}).values():
            order.symbol = new_symbol
            self._index(order)
            self.touch(order)

    def _report(
        self,
        order: VenueOrder,
        exec_type: ExecType,
        at: datetime,
        *,
        last_qty: Decimal = ZERO,
        last_px: Decimal = ZERO,
        fee: Decimal = ZERO,
        rate: Decimal = ONE,
        reason: str = "",
        cl_ord_id: str = "",
        **other: Any,
    ) -> ExecutionReport:
        said = ExecutionReport(
            cursor=self.next_cursor(),
            exec_id=f"{self.account.venue}-{self.cursor:08d}",
            exec_type=exec_type,
            cl_ord_id=cl_ord_id or order.told_id,
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            ord_status=order.status,
            order_qty=order.order_qty,
            cum_qty=order.cum_qty,
            transact_time=at,
            avg_px=order.avg_px,
            last_qty=last_qty,
            last_px=last_px,
            fee=fee,
            parent_id=order.parent_id,
            reason=reason,
            conversion_rate=rate,
        )
        return msgspec.structs.replace(said, **other) if other else said


__all__ = ["NEVER", "Books"]
