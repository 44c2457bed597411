"""The audit of a session's journal: every send follows a decision on record, every fill an order (§13, §21)."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from qmworkbench.domain.events import Event, control, orders, reconciliation
from qmworkbench.domain.events.session import PhaseEntered
from qmworkbench.domain.execution import ExecType, SubmitOutcome
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.operations.post_session_evidence import AuditFinding
from qmworkbench.trading.state import EXTERNAL


class Audit:
    """What the walk found. `checked` counts the sends, cancels and fills that were looked at."""

    def __init__(self) -> None:
        self.findings: list[AuditFinding] = []
        self.checked = 0

    def found(self, rule: str, subject: str, detail: str) -> None:
        self.findings.append(AuditFinding(rule=rule, subject=subject, detail=detail))


def audit(events: Iterable[Event], *, carried_orders: Iterable[str] = ()) -> Audit:
    """Walk one session's events in order. `carried_orders` are orders that rested from an earlier session.

    The rules: an intent follows a risk decision that allowed it, and each is intended once; entries are intended only
    while the market session runs, entries are released and the book and the strategy are active; nothing is sent or
    cancelled that was not intended or asked for; a fill belongs to an order of ours and to an execution the broker
    reported, and each execution is booked once.
    """
    walk = _Walk(carried_orders)
    for event in events:
        walk.take(event)
    walk.finish()
    return walk.audit


class _Walk:
    def __init__(self, carried_orders: Iterable[str]) -> None:
        self.audit = Audit()
        self.allowed: set[str] = set()
        self.intended: set[str] = set()
        self.known = set(carried_orders)
        self.cancels: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.reported: set[str] = set()
        self.booked: set[str] = set()
        self.phase = Phase.PRE_START
        self.held = "the market session has not begun"
        self.state: dict[str, TradingState] = {}
        self._take: dict[type[Event], Callable[[Any], None]] = {
            PhaseEntered: self._phase,
            control.EntriesHeld: self._held,
            control.EntriesReleased: self._released,
            control.TradingStateChanged: self._state_changed,
            orders.RiskDecided: self._judged,
            orders.OrderIntended: self._intended,
            orders.CancelRequested: self._cancel_wanted,
            orders.SubmitObserved: self._sent,
            orders.CancelObserved: self._cancelled,
            orders.ExecutionReported: self._reported,
            reconciliation.BrokerSnapshotObserved: self._snapshot,
            orders.FillRecorded: self._filled,
        }

    def take(self, event: Event) -> None:
        """One event; those that say nothing of sends and fills are passed over."""
        handler = self._take.get(type(event))
        if handler is not None:
            handler(event)

    def _phase(self, event: PhaseEntered) -> None:
        self.phase = event.phase

    def _held(self, event: control.EntriesHeld) -> None:
        self.held = event.reason

    def _released(self, event: control.EntriesReleased) -> None:
        self.held = ""

    def _state_changed(self, event: control.TradingStateChanged) -> None:
        self.state[event.scope] = event.after

    def _judged(self, event: orders.RiskDecided) -> None:
        if event.allowed:
            self.allowed.add(event.cl_ord_id)

    def _cancel_wanted(self, event: orders.CancelRequested) -> None:
        self.cancels[event.cl_ord_id] += 1

    def _reported(self, event: orders.ExecutionReported) -> None:
        self.reported.add(event.report.exec_id)

    def _snapshot(self, event: reconciliation.BrokerSnapshotObserved) -> None:
        self.reported.update(r.exec_id for r in event.snapshot.executions if r.exec_type is ExecType.TRADE)

    def _intended(self, event: orders.OrderIntended) -> None:
        name = event.request.cl_ord_id
        if name not in self.allowed:
            self.audit.found("intent without risk decision", name, f"{event.request.symbol} {event.leg}")
        if name in self.intended:
            self.audit.found("intended twice", name, "the same client order id was used for a second order")
        self.intended.add(name)
        self.known.update((name, *(leg.cl_ord_id for leg in event.request.legs)))
        if event.leg is not Leg.ENTRY:
            return
        states = [self.state.get(scope, TradingState.ACTIVE) for scope in ("book", event.strategy_id)]
        if self.phase is not Phase.MARKET_SESSION:
            self.audit.found("entry outside the market session", name, f"phase {self.phase}")
        elif self.held:
            self.audit.found("entry while entries were held", name, self.held)
        elif any(state is not TradingState.ACTIVE for state in states):
            self.audit.found("entry while halted", name, " and ".join(state.shown for state in states))

    def _sent(self, event: orders.SubmitObserved) -> None:
        self.audit.checked += 1
        name = event.cl_ord_id
        if name not in self.intended and name not in self.known:
            self.audit.found("send without intent", name, f"the send was {event.outcome}")
        if event.outcome is SubmitOutcome.SENT:
            self.sent[name] += 1

    def _cancelled(self, event: orders.CancelObserved) -> None:
        self.audit.checked += 1
        if not self.cancels[event.cl_ord_id]:
            self.audit.found("cancel without request", event.cl_ord_id, f"the cancel was {event.outcome}")

    def _filled(self, event: orders.FillRecorded) -> None:
        self.audit.checked += 1
        if event.strategy_id == EXTERNAL or event.cl_ord_id not in self.known:
            what = f"{event.symbol} {event.side} {event.last_qty} at {event.last_px}"
            self.audit.found("fill without order", event.exec_id, f"{what} on {event.cl_ord_id or 'no order id'}")
        if event.exec_id not in self.reported:
            self.audit.found("fill without execution", event.exec_id, "no report of the broker brought it")
        if event.exec_id in self.booked:
            self.audit.found("fill booked twice", event.exec_id, f"on {event.cl_ord_id}")
        self.booked.add(event.exec_id)

    def finish(self) -> None:
        """What only shows once everything has gone by."""
        for name, times in self.sent.items():
            if times > 1:
                self.audit.found("sent twice", name, f"{times} sends were acknowledged for one client order id")
