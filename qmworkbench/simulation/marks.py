"""Marks: names for what rarely happens, so that a run can say what it has never seen (§13, §15, §19)."""

from typing import Any, Final

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import (
    AlertRaised,
    CommandAccepted,
    CommandReceived,
    CommandRefused,
    EmergencyStepTaken,
    TradingStateChanged,
)
from qmworkbench.domain.events.orders import OrderChanged, OrderIntended, OrderQueried, ReportQuarantined, RiskDecided
from qmworkbench.domain.events.reconciliation import BreakFound, ReconciliationCompleted, RepairApplied
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.simulation.device import SimJournal
from qmworkbench.simulation.plan import KINDS, Faults
from qmworkbench.trading.state import State


class Marks:
    """What one session has seen."""

    def __init__(self) -> None:
        self.hit: set[str] = set()
        self._commands: dict[str, str] = {}

    def decided(self, events: list[Event], state: State) -> None:
        """Marks of the events of one step."""
        for event in events:
            marker = _MARKERS.get(type(event))
            if marker is not None:
                marker(self, event, state)

    def crashed(self, state: State) -> None:
        self.hit.add("crash")
        if state.emergency is not None and state.emergency.running:
            self.hit.add("crash.in_emergency")
        if any(order.is_in_doubt for order in state.working()):
            self.hit.add("crash.with_orders_in_doubt")

    def restored(self, journal: SimJournal, from_checkpoint: int) -> None:
        if journal.torn_bytes:
            self.hit.add("restart.torn_record")
        self.hit.add("restart.from_checkpoint" if from_checkpoint else "restart.from_genesis")

    def ended(self, state: State, faults: Faults) -> None:
        self.hit.update(f"fault.{strike.kind}" for strike in faults.struck)

    def opened(self, event: SessionOpened, state: State) -> None:
        """A session began; what a night has left is told by what is held."""
        runs = {spec.strategy_id for spec in event.runs}
        holders = {position.strategy_id for position in state.positions.values()}
        if holders:
            self.hit.add("overnight.held")
        if holders - runs:
            self.hit.add("overnight.orphaned")

    def _changed(self, event: OrderChanged, state: State) -> None:
        self.hit.add(f"order.{event.arc}.{event.status}")

    def _judged(self, event: RiskDecided, state: State) -> None:
        self.hit.update(f"denied.{rule.code}" for rule in event.rules if not rule.passed)

    def _received(self, event: CommandReceived, state: State) -> None:
        self._commands[event.command_id] = str(event.command.__struct_config__.tag)

    def _accepted(self, event: CommandAccepted, state: State) -> None:
        self.hit.add(f"command.{self._commands.get(event.command_id, '?')}.accepted")

    def _refused(self, event: CommandRefused, state: State) -> None:
        self.hit.add(f"command.{self._commands.get(event.command_id, '?')}.refused")


_MARKERS: Final[dict[type[Event], Any]] = {
    OrderChanged: Marks._changed,
    RiskDecided: Marks._judged,
    CommandReceived: Marks._received,
    CommandAccepted: Marks._accepted,
    CommandRefused: Marks._refused,
    OrderIntended: lambda m, e, s: m.hit.add(f"sent.{e.request.ord_type}.{e.request.time_in_force}"),
    OrderQueried: lambda m, e, s: m.hit.add(
        "query.failed" if not e.complete else "query.absent" if e.found is None else "query.found"
    ),
    ReportQuarantined: lambda m, e, s: m.hit.add(f"quarantined.{e.kind}"),
    BreakFound: lambda m, e, s: m.hit.add(f"break.{e.kind}"),
    RepairApplied: lambda m, e, s: m.hit.add(f"repair.{e.kind}"),
    ReconciliationCompleted: lambda m, e, s: m.hit.add(f"reconciled.{e.trigger}.{e.result}"),
    EmergencyStepTaken: lambda m, e, s: m.hit.add(f"emergency.{e.step}"),
    TradingStateChanged: lambda m, e, s: m.hit.add(f"state.{e.code}"),
    AlertRaised: lambda m, e, s: m.hit.add(f"alarm.{e.alert.kind}"),
    SessionOpened: lambda m, e, s: m.opened(e, s),
}
# What a large enough run has to have seen at least once: the branches that are rare and matter.
_EXPECTED: Final = frozenset(
    """
    crash crash.in_emergency crash.with_orders_in_doubt
    direct.flat direct.killed direct.carried_on direct.recorded direct.unrecorded restart.took_over
    overnight.dividend overnight.split overnight.cash_in_lieu overnight.financing overnight.held overnight.orphaned
    sent.market.ioc sent.market.day sent.market.gtc sent.limit.day sent.limit.gtc sent.limit.ioc sent.stop.day
    sent.stop.gtc sent.stop_limit.day sent.stop_limit.gtc
    restart.torn_fallback restart.torn_record restart.from_checkpoint restart.from_genesis
    query.failed query.absent query.found
    order.abandon.canceled order.ack.canceled order.ack.filled order.ack.pending_cancel order.bust.canceled
    order.bust.filled order.cancel.canceled order.cancel_reject.accepted order.cancel_reject.canceled
    order.cancel_reject.filled order.cancel_request.intended order.cancel_request.pending_cancel
    order.expire.expired order.fill.canceled order.fill.filled order.fill.partially_filled order.lose.unknown
    order.reject.rejected order.replace.accepted order.replace_reject.accepted
    order.replace_request.pending_replace order.restate.accepted order.submit.submitted order.withhold.canceled
    quarantined.exec_id_reused quarantined.over_exit quarantined.over_fill quarantined.unknown_order
    break.position_qty break.order_missing_at_broker repair.position_qty repair.order_missing_at_broker
    reconciled.continuous.clean reconciled.continuous.incomplete reconciled.continuous.repaired
    reconciled.emergency.clean reconciled.emergency.incomplete reconciled.end_of_session.clean
    reconciled.operator.clean reconciled.order_incident.clean reconciled.reconnect.clean
    reconciled.recovery.clean reconciled.recovery.incomplete reconciled.recovery.unresolved
    reconciled.startup.clean reconciled.startup.incomplete
    emergency.close_sent emergency.exits_canceled emergency.flat emergency.overdue emergency.queued
    state.emergency state.max_daily_loss state.operator_pause state.operator_stop state.resume state.strategy_fault
    denied.broker_connected denied.critical_health denied.entries_released denied.feed_quality
    denied.max_daily_loss denied.max_open_positions denied.max_position_equity_pct denied.max_position_notional
    denied.max_strategy_equity_pct denied.max_trades_per_day denied.ownership denied.price_collar denied.reconciled
    denied.run_active denied.session_window denied.stale_quote denied.trading_state denied.blocked_symbol
    break.cash repair.cash command.accept_break.accepted
    command.block.accepted command.cancel_order.accepted command.close_position.accepted command.decide.accepted
    command.drop_candidate.accepted command.emergency.accepted command.end_session.accepted command.pause.accepted
    command.reconcile.accepted command.release_entries.accepted command.release_entries.refused
    command.replace_order.accepted command.replace_order.refused command.restart_strategy.accepted
    command.restart_strategy.refused command.resume.accepted command.resume.refused command.stop_strategy.accepted
    command.unblock.accepted
    """.split()
)


def known() -> frozenset[str]:
    """Every mark a run is measured by: one for each kind of trouble, and those of rare branches."""
    return _EXPECTED | frozenset(f"fault.{kind}" for kind in KINDS)
