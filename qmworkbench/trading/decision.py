"""A decision in progress: each event is applied as it is emitted, so the next rule sees it (DESIGN "Kernel")."""

from datetime import datetime
from typing import Final

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import Alert, AlertCleared, AlertRaised, TradingStateChanged
from qmworkbench.domain.events.market import FrameComputed, WatchlistChanged
from qmworkbench.domain.events.orders import (
    CancelRequested,
    FillRecorded,
    FillReversed,
    OrderQueryRequested,
    PositionsOffset,
    TradeClosed,
)
from qmworkbench.domain.events.overnight import CashBooked, PositionRestated
from qmworkbench.domain.events.reconciliation import (
    ReconciliationStarted,
    RepairApplied,
    SessionEquitySet,
    SessionRecovered,
    Trigger,
)
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.orders import Order
from qmworkbench.domain.sessions import Priority, TradingState, worse
from qmworkbench.trading.fold import apply
from qmworkbench.trading.fold_reconciliation import WHOLE_DAY
from qmworkbench.trading.state import State

UNATTENDED = "policy:unattended"

# After these, what is held, what it is worth or who is watched may be another: the watches over it look again.
_MOVES_EXPOSURE: Final = frozenset(
    {
        CashBooked,
        FillRecorded,
        FillReversed,
        FrameComputed,
        PositionRestated,
        PositionsOffset,
        RepairApplied,
        SessionEquitySet,
        SessionRecovered,
        TradeClosed,
        WatchlistChanged,
    }
)


class Decision:
    """Collects the events of one step. `at` is the time of the input that is being answered."""

    def __init__(self, state: State, at: datetime) -> None:
        self.state = state
        self.at = at
        self.events: list[Event] = []
        # Set by rules that found an order incident; the kernel starts one reconciliation for all of them.
        self.want_reconciliation = False
        # Set while the summary that ends a session is being answered.
        self.summarized = False
        # Whether anything of this step touched holdings, prices or the watchlist.
        self.exposure_moved = False
        # Whether this input is later than all before it.
        self.time_moved = state.now is None or at > state.now
        # The symbol and its owner, where all that happened is that one of its orders was sent, acknowledged or filled a
        # little more.
        self.quiet = ""
        self.quiet_owner = ""

    def emit(self, event: Event) -> None:
        """Apply `event` and keep it for the journal."""
        apply(self.state, event)
        self.events.append(event)
        if type(event) in _MOVES_EXPOSURE:
            self.exposure_moved = True

    def nothing_but(self, order: Order) -> None:
        """All that happened is that `order` was sent, acknowledged or filled a little more (quiet_steps.py)."""
        self.quiet, self.quiet_owner = order.symbol, order.strategy_id

    def alarm(self, kind: str, key: str, priority: Priority, text: str, remedy: str) -> None:
        """Raise an alert once: the same kind about the same key stays one alert until it is cleared."""
        alert_id = content_id(kind, key)
        if alert_id in self.state.alerts:
            return
        alert = Alert(alert_id=alert_id, priority=priority, kind=kind, key=key, text=text, remedy=remedy)
        self.emit(AlertRaised(at=self.at, alert=alert))

    def all_clear(self, kind: str, key: str, reason: str) -> None:
        """Clear an alert if it stands."""
        if not self.state.alerts:
            return
        alert_id = content_id(kind, key)
        if alert_id in self.state.alerts:
            self.emit(AlertCleared(at=self.at, alert_id=alert_id, reason=reason))

    def restrict(self, scope: str, state: TradingState, code: str, reason: str, by: str) -> bool:
        """Make the book or a strategy stricter, never looser; says whether anything changed.

        A book that is strict enough already takes note of a cause it did not have: leaving a halt answers all of them.
        """
        held = self.state
        before = held.halt.state if scope == "book" else held.day.runs[scope].state
        after = worse(before, state)
        new_cause = scope == "book" and state is not TradingState.ACTIVE and code not in held.halt.causes
        if after is before and not new_cause:
            return False
        self.emit(
            TradingStateChanged(at=self.at, scope=scope, before=before, after=after, code=code, reason=reason, by=by)
        )
        return True

    def cancel(self, order: Order, reason: str) -> None:
        """Ask the broker to cancel, by the id it has the order under. Cancels are never judged by risk."""
        self.emit(CancelRequested(at=self.at, cl_ord_id=order.cl_ord_id, reason=reason, working_id=order.working_id))

    def recancel(self, cl_ord_id: str, reason: str) -> None:
        """Ask for a cancel again, although it was asked before: harmless at the broker, needed after a crash."""
        order = self.state.order_named(cl_ord_id)
        if order is not None:
            self.cancel(order, reason)
        else:
            self.emit(CancelRequested(at=self.at, cl_ord_id=cl_ord_id, reason=reason))

    def query(self, order: Order, reason: str) -> None:
        """Ask the broker what it knows of an order; nothing is concluded before it answers."""
        self.emit(
            OrderQueryRequested(at=self.at, cl_ord_id=order.cl_ord_id, reason=reason, working_id=order.working_id)
        )

    def ask_broker(self, trigger: Trigger) -> None:
        """Ask for a snapshot of the broker's books, even if one was pending: after a crash its asker is gone."""
        whole = trigger in WHOLE_DAY or bool(self.state.reconciliation.unresolved)
        after_cursor = self.state.day.first_cursor if whole else self.state.exec_cursor
        self.emit(ReconciliationStarted(at=self.at, trigger=trigger, after_cursor=after_cursor))
