"""The auditor: every send follows a decision on record, every fill an order, every position its fills (§13, §20, §21).

It knows the journal alone. Neither the kernel nor the Risk Manager nor the fold has a part in it: what they decided is
held against the order in which it was put on record, and what is held is counted again (audit_positions.py). The rules:

1. An intent follows a risk decision that allowed it, for the same instance, symbol and leg, under the session's limits
   and with no rule failed; each is intended once. A refusal of ours follows a decision that denied it, and each denial
   is followed by its refusal.
2. Risk is only ever added in the market session, with entries released and book and strategy ACTIVE. Nothing is between
   a crash and the release that follows it. A replace that enlarges an entry adds risk too.
3. Nothing is sent, cancelled or replaced that was not intended or asked for, and nothing twice.
4. A fill belongs to an order on record, in its symbol and on its side, and to an execution the broker reported; each is
   booked once. A fill of an order that nobody here sent belongs to one that was taken into the books as such.
5. Positions are what fills, reversals, restatements, repairs and book entries make them, at each fill and at the end.

A finding is P0: something passed that nothing may pass (trading/auditing.py).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.analytics.audit_positions import PositionLedger
from qmworkbench.domain.events import Event, control, imported, orders, overnight, reconciliation, session
from qmworkbench.domain.execution import ExecType, OrderRequest, SubmitOutcome
from qmworkbench.domain.orders import PositionEffect, Side
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.operations.post_session_evidence import AuditFinding

_EXTERNAL: Final = "EXTERNAL"
_NOT_BEGUN: Final = "the market session has not begun"


class Audit:
    """What the walk found. `checked` counts the sends, cancels, replaces, fills and refusals that were looked at."""

    def __init__(self) -> None:
        self.findings: list[AuditFinding] = []
        self.checked = 0

    def found(self, rule: str, subject: str, detail: str) -> None:
        self.findings.append(AuditFinding(rule=rule, subject=subject, detail=detail))


class _Known(msgspec.Struct):
    """An order on record, as far as its fills are held against it. None: carried from before the walk, not known."""

    symbol: str | None = None
    side: Side | None = None
    qty: Decimal | None = None
    opens: bool = False
    strategy_id: str = ""


def audit(
    events: Iterable[Event],
    *,
    carried_orders: Iterable[str] = (),
    carried_positions: Mapping[str, Decimal] | None = None,
    positions: Mapping[str, Decimal] | None = None,
) -> Audit:
    """Walk events in order: a session's, or a book's from its beginning.

    `carried_orders` are ids of orders that rested from before the walk, `carried_positions` what was held then by
    "strategy|symbol" (None: not known), `positions` what the folded state holds at its end (None: not compared).
    """
    walk = Auditor(carried_orders=carried_orders, carried_positions=carried_positions)
    for event in events:
        walk.take(event)
    return walk.concluded(positions)


class Auditor:
    """The walk itself, for whoever has the events one by one."""

    def __init__(
        self,
        *,
        carried_orders: Iterable[str] = (),
        carried_positions: Mapping[str, Decimal] | None = None,
        book_state: TradingState = TradingState.ACTIVE,
    ) -> None:
        self.audit = Audit()
        self._ledger = PositionLedger(carried_positions)
        self._judged: dict[str, orders.RiskDecided] = {}
        self._denials: dict[str, None] = {}
        self._intended: dict[str, None] = {}
        self._known: dict[str, _Known] = {name: _Known() for name in carried_orders}
        self._cancels: dict[str, None] = {}
        self._replaces: dict[str, str] = {}
        self._sent: Counter[str] = Counter()
        self._reported: set[str] = set()
        self._booked: set[str] = set()
        self._phase = Phase.PRE_START
        self._held = _NOT_BEGUN
        self._state: dict[str, TradingState] = {"book": book_state}
        self._limits_hash: str | None = None
        self._take: dict[type[Event], Callable[[Any], None]] = {
            session.SessionOpened: self._opened,
            session.PhaseEntered: self._entered,
            control.EntriesHeld: self._entries_held,
            control.EntriesReleased: self._entries_released,
            control.TradingStateChanged: self._state_changed,
            reconciliation.SessionRecovered: self._recovered,
            orders.RiskDecided: self._decided,
            orders.OrderDenied: self._denied,
            orders.OrderIntended: self._wanted,
            orders.CancelRequested: self._cancel_wanted,
            orders.ReplaceRequested: self._replace_wanted,
            orders.SubmitObserved: self._submitted,
            orders.CancelObserved: self._cancelled,
            orders.ReplaceObserved: self._replaced,
            orders.OrderChanged: self._changed,
            overnight.OrderRestated: self._order_restated,
            reconciliation.OrderAdopted: self._adopted,
            reconciliation.FallbackImported: self._imported,
            orders.ExecutionReported: self._heard,
            reconciliation.BrokerSnapshotObserved: self._read,
            orders.FillRecorded: self._filled,
            orders.FillReversed: self._ledger.reversed,
            overnight.PositionRestated: self._restated,
            reconciliation.RepairApplied: self._ledger.repaired,
            orders.PositionsOffset: self._offset,
        }

    @property
    def types(self) -> frozenset[str]:
        """The wire names of the events it looks at."""
        return frozenset(str(kind.__struct_config__.tag) for kind in self._take)

    def begin_anew(self) -> None:
        """Keep what is known of orders and positions; what was found and counted so far is no part of what follows."""
        self.audit = Audit()
        self._sent.clear()
        self._denials.clear()

    def take(self, event: Event) -> None:
        """One event; those that say nothing of orders, states and positions are passed over."""
        self.take_all((event,))

    def take_all(self, events: Iterable[Event]) -> None:
        """Events in their order."""
        look = self._take.get
        for event in events:
            handler = look(type(event))
            if handler is not None:
                handler(event)

    def concluded(self, positions: Mapping[str, Decimal] | None = None) -> Audit:
        """What was found up to here, with what only shows once everything has gone by. May be asked again later."""
        result = Audit()
        result.findings, result.checked = list(self.audit.findings), self.audit.checked
        for name, times in self._sent.items():
            if times > 1:
                result.found("sent twice", name, f"{times} sends were acknowledged for one client order id")
        for name in self._denials:
            result.found("denial without refusal", name, "risk denied it, and no refusal is on record")
        for key, counted, folded in self._ledger.differing(positions) if positions is not None else ():
            strategy_id, _, symbol = key.partition("|")
            text = f"{strategy_id} holds {folded} by the folded state, the records make it {counted}"
            result.found("position without fills", symbol, text)
        return result

    # --- where the session stands ------------------------------------------------------------------------------

    def _opened(self, event: session.SessionOpened) -> None:
        self._phase, self._held, self._limits_hash = Phase.PRE_START, _NOT_BEGUN, event.limits_hash
        self._state = {"book": self._state["book"]}

    def _entered(self, event: session.PhaseEntered) -> None:
        self._phase = event.phase

    def _entries_held(self, event: control.EntriesHeld) -> None:
        self._held = event.reason

    def _entries_released(self, event: control.EntriesReleased) -> None:
        self._held = ""

    def _recovered(self, event: reconciliation.SessionRecovered) -> None:
        # Whatever the kernel made of it: after a crash nothing may be added before somebody releases it.
        self._held = "the session was recovered, and nobody has released entries since"

    def _state_changed(self, event: control.TradingStateChanged) -> None:
        self._state[event.scope] = event.after

    def _adds_risk(self, name: str, strategy_id: str) -> None:
        states = [self._state.get(scope, TradingState.ACTIVE) for scope in ("book", strategy_id)]
        if self._phase is not Phase.MARKET_SESSION:
            self.audit.found("entry outside the market session", name, f"phase {self._phase}")
        elif self._held:
            self.audit.found("entry while entries were held", name, self._held)
        elif any(state is not TradingState.ACTIVE for state in states):
            self.audit.found("entry while halted", name, " and ".join(state.shown for state in states))

    # --- risk decisions, intents, requests -----------------------------------------------------------------------

    def _decided(self, event: orders.RiskDecided) -> None:
        name = event.cl_ord_id
        self._judged[name] = event
        if not event.allowed:
            self._denials[name] = None
        elif event.failed:
            codes = ", ".join(rule.code for rule in event.failed)
            self.audit.found("allowed against a rule", name, f"{codes} did not pass")
        if self._limits_hash is not None and event.limits_hash != self._limits_hash:
            text = f"judged under limits {event.limits_hash}, the session has {self._limits_hash}"
            self.audit.found("judged under other limits", name, text)

    def _denied(self, event: orders.OrderDenied) -> None:
        self.audit.checked += 1
        name = event.request.cl_ord_id
        said = self._judged.get(name)
        if said is None or said.allowed:
            self.audit.found("refusal without risk decision", name, f"{event.request.symbol} {event.leg}")
        self._denials.pop(name, None)

    def _wanted(self, event: orders.OrderIntended) -> None:
        request = event.request
        name, said = request.cl_ord_id, self._judged.get(request.cl_ord_id)
        subject = (event.strategy_id, request.symbol, event.leg)
        if said is None or not said.allowed:
            self.audit.found("intent without risk decision", name, f"{request.symbol} {event.leg}")
        elif (said.strategy_id, said.symbol, said.leg) != subject:
            text = f"judged was {said.strategy_id} {said.symbol} {said.leg}, intended {' '.join(subject)}"
            self.audit.found("intent of another decision", name, text)
        if name in self._intended:
            self.audit.found("intended twice", name, "the same client order id was used for a second order")
        self._intended[name] = None
        self._know(request, event.strategy_id)
        if request.position_effect is PositionEffect.OPEN:
            self._adds_risk(name, event.strategy_id)

    def _know(self, request: OrderRequest, strategy_id: str) -> None:
        opens = request.position_effect is PositionEffect.OPEN
        self._known[request.cl_ord_id] = _Known(request.symbol, request.side, request.order_qty, opens, strategy_id)
        for leg in request.legs:
            self._known[leg.cl_ord_id] = _Known(request.symbol, request.side.opposite, None, False, strategy_id)

    def _cancel_wanted(self, event: orders.CancelRequested) -> None:
        self._cancels[event.cl_ord_id] = None

    def _replace_wanted(self, event: orders.ReplaceRequested) -> None:
        asked, order = event.request, self._known.get(event.order)
        self._replaces[asked.cl_ord_id] = event.order
        if order is None:
            self.audit.found("replace without order", asked.cl_ord_id, f"{event.order} is not on record")
            return
        self._known[asked.cl_ord_id] = order
        if order.opens and order.qty is not None and asked.order_qty > order.qty:
            self._adds_risk(asked.cl_ord_id, order.strategy_id)

    def _imported(self, event: reconciliation.FallbackImported) -> None:
        """What a direct emergency did past the platform: closes and cancels, and nothing else."""
        original = imported(event)
        if isinstance(original, orders.CancelRequested):
            self._cancel_wanted(original)
        elif isinstance(original, orders.OrderIntended):
            self._know(original.request, event.strategy_id or original.strategy_id)
            if original.request.position_effect is PositionEffect.OPEN:
                name = original.request.cl_ord_id
                self.audit.found("entry past the platform", name, "a direct emergency only ever closes")

    # --- what was sent ---------------------------------------------------------------------------------------------

    def _submitted(self, event: orders.SubmitObserved) -> None:
        self.audit.checked += 1
        name = event.cl_ord_id
        if name not in self._known:
            self.audit.found("send without intent", name, f"the send was {event.outcome}")
        if event.outcome is SubmitOutcome.SENT:
            self._sent[name] += 1

    def _cancelled(self, event: orders.CancelObserved) -> None:
        self.audit.checked += 1
        if event.cl_ord_id not in self._cancels:
            self.audit.found("cancel without request", event.cl_ord_id, f"the cancel was {event.outcome}")

    def _replaced(self, event: orders.ReplaceObserved) -> None:
        self.audit.checked += 1
        if self._replaces.get(event.cl_ord_id) != event.order:
            self.audit.found("replace without request", event.cl_ord_id, f"the replace was {event.outcome}")

    # --- orders and fills --------------------------------------------------------------------------------------------

    def _changed(self, event: orders.OrderChanged) -> None:
        order = self._known.get(event.cl_ord_id)
        if order is not None:
            order.qty = event.order_qty
            if event.working_id:
                self._known[event.working_id] = order

    def _order_restated(self, event: overnight.OrderRestated) -> None:
        order = self._known.get(event.cl_ord_id)
        if order is not None:
            order.symbol, order.qty = event.symbol, event.order_qty

    def _adopted(self, event: reconciliation.OrderAdopted) -> None:
        theirs = event.order
        self._known[theirs.cl_ord_id] = _Known(theirs.symbol, theirs.side, theirs.order_qty, False, event.strategy_id)

    def _heard(self, event: orders.ExecutionReported) -> None:
        self._reported.add(event.report.exec_id)

    def _read(self, event: reconciliation.BrokerSnapshotObserved) -> None:
        self._reported.update(r.exec_id for r in event.snapshot.executions if r.exec_type is ExecType.TRADE)

    def _filled(self, event: orders.FillRecorded) -> None:
        self.audit.checked += 1
        name, order = event.exec_id, self._known.get(event.cl_ord_id)
        what = f"{event.symbol} {event.side} {event.last_qty} at {event.last_px}"
        if order is None or (event.strategy_id == _EXTERNAL and order.strategy_id not in ("", _EXTERNAL)):
            self.audit.found("fill without order", name, f"{what} on {event.cl_ord_id or 'no order id'}")
        elif (order.symbol or event.symbol, order.side or event.side) != (event.symbol, event.side):
            text = f"{what} on {event.cl_ord_id}, which is {order.symbol} {order.side}"
            self.audit.found("fill of another order", name, text)
        if name not in self._reported:
            self.audit.found("fill without execution", name, "no report of the broker brought it")
        if name in self._booked:
            self.audit.found("fill booked twice", name, f"on {event.cl_ord_id}")
        self._booked.add(name)
        wrong = self._ledger.filled(event)
        if wrong:
            self.audit.found("position without fills", event.symbol, f"fill {name} {wrong}")

    def _restated(self, event: overnight.PositionRestated) -> None:
        wrong = self._ledger.restated(event)
        if wrong:
            self.audit.found("position without fills", event.symbol, f"activity {event.activity_id} {wrong}")

    def _offset(self, event: orders.PositionsOffset) -> None:
        wrong = self._ledger.offset(event)
        if wrong:
            self.audit.found("position without fills", event.symbol, wrong)
