"""Our side by plain arithmetic: what the journal's own records come to, without a line of the code that wrote them.

Positions are sums of unique executions and recorded adjustments, orders are what was intended. `take` follows events
one by one; a crash rebuilds the ledger from what survived.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.domain.events import Event, decode
from qmworkbench.domain.events.control import EmergencyStarted, EntriesReleased, TradingStateChanged
from qmworkbench.domain.events.market import FrameComputed
from qmworkbench.domain.events.orders import (
    CancelRequested,
    ExecutionReported,
    OrderIntended,
    PositionsOffset,
    ReplaceRequested,
)
from qmworkbench.domain.events.overnight import OrderRestated, PositionRestated
from qmworkbench.domain.events.reconciliation import FallbackImported, RepairApplied, SessionRecovered
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.simulation.mail import HOSTILE
from qmworkbench.simulation.margin import Costs, on_margin, rate

ZERO: Final = Decimal(0)
EXTERNAL: Final = "EXTERNAL"
BOOK: Final = "book"


class OurOrder(msgspec.Struct, kw_only=True):
    """An order as it was intended."""

    owner: str
    symbol: str
    sign: int
    qty: Decimal
    leg: str
    entry: bool
    decision_px: Decimal
    signal_id: str
    rate: Decimal | None = None
    parent: str = ""
    filled: Decimal = ZERO


class Execution(msgspec.Struct, kw_only=True):
    """One execution in our books: signed quantity and what it did to cash."""

    owner: str
    symbol: str
    qty: Decimal
    cash: Decimal


class Ledger:
    """What is held, by whom, and who may enter."""

    def __init__(self) -> None:
        self.orders: dict[str, OurOrder] = {}
        self.held: dict[tuple[str, str], Decimal] = {}
        self.executions: dict[str, Execution] = {}
        self.seen: set[str] = set()
        self.heard_of: set[str] = set()  # orders that some report was about
        self.busted: set[str] = set()
        self.imported: set[tuple[int, str]] = set()  # records of a fallback log that were taken over
        self.cancelled: set[str] = set()  # orders a cancel was asked for
        self.halted: dict[str, str] = {}
        self._halted_by: dict[str, str] = {}
        self.awaiting_release = False
        self.emergency_since = False
        self.adjusted = False
        self.carried = False  # the session began with something held
        self.entries = 0
        self.cash = ZERO
        self.marks: dict[str, Decimal] = {}
        self.costs = Costs()
        self._on: dict[type[Event], Any] = {
            OrderIntended: self._intended,
            FallbackImported: self._imported,
            ReplaceRequested: self._replace,
            ExecutionReported: self._reported,
            RepairApplied: self._repaired,
            PositionsOffset: self._offset,
            TradingStateChanged: self._state,
            EmergencyStarted: self._emergency,
            CancelRequested: self._cancel,
            SessionOpened: self._opened,
            PositionRestated: self._restated,
            OrderRestated: self._order_restated,
            SessionRecovered: self._recovered,
            EntriesReleased: self._released,
            FrameComputed: self._frame,
        }

    def take(self, event: Event) -> str:
        """Follow one event; returns the symbol whose holdings it moved, "" where none."""
        then = self._on.get(type(event))
        return then(event) or "" if then is not None else ""

    # --- orders -----------------------------------------------------------------------------------------

    def _intended(self, event: OrderIntended, owner: str = "") -> None:
        request = event.request
        sign = 1 if request.side == "buy" else -1
        owner = owner or event.strategy_id
        entry = request.position_effect == "open"
        self.entries += entry
        self.orders[request.cl_ord_id] = OurOrder(
            owner=owner,
            symbol=request.symbol,
            sign=sign,
            qty=request.order_qty,
            leg=event.leg,
            entry=entry,
            decision_px=event.decision_px,
            signal_id=event.signal_id,
            rate=rate(request.symbol, self.marks),
        )
        for leg in request.legs:
            self.orders[leg.cl_ord_id] = OurOrder(
                owner=owner,
                symbol=request.symbol,
                sign=-sign,
                qty=request.order_qty,
                leg=leg.leg,
                entry=False,
                decision_px=event.decision_px,
                signal_id=event.signal_id,
                parent=request.cl_ord_id,
            )

    def _imported(self, event: FallbackImported) -> None:
        self.imported.add((event.n, event.record))
        original = decode(event.record.encode())
        if isinstance(original, EmergencyStarted):
            self.emergency_since = True
        if isinstance(original, OrderIntended) and original.request.cl_ord_id not in self.orders:
            self._intended(original, event.strategy_id or original.strategy_id)

    def _replace(self, event: ReplaceRequested) -> None:
        """The new id is the same order."""
        if event.order in self.orders:
            self.orders[event.request.cl_ord_id] = self.orders[event.order]

    # --- holdings ---------------------------------------------------------------------------------------

    def _move(self, owner: str, symbol: str, qty: Decimal) -> None:
        held = self.held.get((owner, symbol), ZERO) + qty
        if held:
            self.held[owner, symbol] = held
        else:
            self.held.pop((owner, symbol), None)

    def _reported(self, event: ExecutionReported) -> str:
        report = event.report
        self.heard_of.add(report.cl_ord_id)
        if report.exec_id in self.seen or report.exec_id.startswith(HOSTILE):
            return ""
        self.seen.add(report.exec_id)
        if report.exec_type is ExecType.TRADE:
            return self._trade(report)
        if report.exec_type is ExecType.TRADE_CANCEL:
            return self._bust(report)
        return ""

    def _trade(self, report: ExecutionReport) -> str:
        order = self.orders.get(report.cl_ord_id)
        sign = 1 if report.side == "buy" else -1
        owner = order.owner if order is not None else EXTERNAL
        qty = sign * report.last_qty
        if on_margin(report.symbol):
            cash = self.costs.fill((owner, report.symbol), qty, report.last_px) * report.conversion_rate - report.fee
        else:
            cash = -(qty * report.last_px * report.conversion_rate) - report.fee
        self.executions[report.exec_id] = Execution(owner=owner, symbol=report.symbol, qty=qty, cash=cash)
        self.cash += cash
        if order is not None:
            order.filled += report.last_qty
        self._move(owner, report.symbol, qty)
        return report.symbol

    def _bust(self, report: ExecutionReport) -> str:
        done = self.executions.get(report.ref_exec_id or "")
        if done is None or report.ref_exec_id in self.busted:
            return ""
        self.busted.add(report.ref_exec_id or "")
        self.adjusted |= on_margin(done.symbol)  # what is realized comes out otherwise then
        self.cash -= done.cash
        order = self.orders.get(report.cl_ord_id)
        if order is not None:
            order.filled -= abs(done.qty)
        self._move(done.owner, done.symbol, -done.qty)
        return done.symbol

    def _repaired(self, event: RepairApplied) -> str:
        if not event.qty:
            return ""
        self.adjusted = True
        self._move(event.strategy_id, event.symbol, Decimal(event.qty) - self.of(event.strategy_id, event.symbol))
        return event.symbol

    def _opened(self, event: SessionOpened) -> None:
        """Another day: what is held stays, what is counted by the day begins anew."""
        self.entries, self.cash, self.marks = 0, ZERO, {}
        self.carried = bool(self.held)
        ended = {"strategy_fault"} | ({"repeated_rejection"} if event.unattended else set())
        for scope in [scope for scope, code in self._halted_by.items() if code in ended and scope != BOOK]:
            self.halted.pop(scope, None)

    def _restated(self, event: PositionRestated) -> str:
        self.held.pop((event.strategy_id, event.symbol), None)
        self._move(event.strategy_id, event.new_symbol or event.symbol, event.qty_after)
        return event.new_symbol or event.symbol

    def _order_restated(self, event: OrderRestated) -> None:
        order = self.orders.get(event.cl_ord_id)
        if order is not None:
            order.qty = event.order_qty

    def _offset(self, event: PositionsOffset) -> str:
        self.adjusted |= on_margin(event.symbol)  # each part realizes against its own cost
        for owner in event.strategy_ids:
            self.held.pop((owner, event.symbol), None)
        return event.symbol

    def of(self, owner: str, symbol: str) -> Decimal:
        """What one owner holds of a symbol."""
        return self.held.get((owner, symbol), ZERO)

    def day_pnl(self) -> Decimal | None:
        """What the session made, at the last marks; None where a mark is missing, or something was carried into it."""
        if self.carried:
            return None
        total = self.cash
        for (owner, symbol), qty in self.held.items():
            worth = rate(symbol, self.marks)
            if symbol not in self.marks or worth is None:
                return None
            px = self.marks[symbol]
            total += (self.costs.unrealized((owner, symbol), px) if on_margin(symbol) else qty * px) * worth
        return total

    # --- who may enter ----------------------------------------------------------------------------------

    def _state(self, event: TradingStateChanged) -> None:
        self._halted_by[event.scope] = event.code
        if event.after == "active":
            self.halted.pop(event.scope, None)
        else:
            self.halted[event.scope] = event.after
        if event.scope == BOOK and event.after == "active":
            self.emergency_since = False

    def _emergency(self, event: EmergencyStarted) -> None:
        self.emergency_since = True

    def _cancel(self, event: CancelRequested) -> None:
        self.cancelled.add(event.cl_ord_id)

    def _recovered(self, event: SessionRecovered) -> None:
        self.awaiting_release = True

    def _released(self, event: EntriesReleased) -> None:
        self.awaiting_release = False

    def _frame(self, event: FrameComputed) -> None:
        for mark in event.marks:
            self.marks[mark.symbol] = mark.px
