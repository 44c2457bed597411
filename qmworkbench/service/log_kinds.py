"""Which of §21's thirteen kinds each event of the journal is logged as, and what a log line says of it (§21)."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.domain.events import Event, control, market, orders, reconciliation, session
from qmworkbench.domain.execution import BrokerSnapshot, OrderRequest
from qmworkbench.domain.sessions import Priority


class LogKind(StrEnum):
    """§21's thirteen in its order, then three that it does not ask for: market data, people's orders, alerts."""

    STARTUP_SHUTDOWN = "startup_shutdown"
    CONFIGURATION = "configuration"
    BROKER_CONNECTION = "broker_connection"
    SCANNER_RUN = "scanner_run"
    STRATEGY_ASSIGNMENT = "strategy_assignment"
    SIGNAL = "signal"
    RISK_DECISION = "risk_decision"
    ORDER_COMMAND = "order_command"
    BROKER_ACK = "broker_ack"
    FILL = "fill"
    RECONCILIATION = "reconciliation"
    EMERGENCY = "emergency"
    ANALYTICS = "analytics"
    MARKET_DATA = "market_data"
    OPERATOR = "operator"
    ALERT = "alert"


REQUIRED: Final = tuple(LogKind)[:13]

_K = LogKind
KIND_OF: Final[Mapping[str, LogKind]] = {
    "session.opened": _K.CONFIGURATION,
    "session.preflight_recorded": _K.STARTUP_SHUTDOWN,
    "session.phase_entered": _K.STARTUP_SHUTDOWN,
    "session.phase_refused": _K.STARTUP_SHUTDOWN,
    "session.service_ready": _K.STARTUP_SHUTDOWN,
    "session.service_stopped": _K.STARTUP_SHUTDOWN,
    "session.health_observed": _K.STARTUP_SHUTDOWN,
    "session.ending": _K.STARTUP_SHUTDOWN,
    "session.closed": _K.STARTUP_SHUTDOWN,
    "session.recovered": _K.STARTUP_SHUTDOWN,
    "fallback.imported": _K.EMERGENCY,
    "session.recovery_completed": _K.STARTUP_SHUTDOWN,
    "run.started": _K.STARTUP_SHUTDOWN,
    "run.ended": _K.STARTUP_SHUTDOWN,
    "run.faulted": _K.STARTUP_SHUTDOWN,
    "clock.ticked": _K.MARKET_DATA,
    "broker.connection_changed": _K.BROKER_CONNECTION,
    "feed.changed": _K.MARKET_DATA,
    "feed.bars_quarantined": _K.MARKET_DATA,
    "feed.boundary_closed": _K.MARKET_DATA,
    "frame.computed": _K.SCANNER_RUN,
    "frame.dropped": _K.SCANNER_RUN,
    "scanner.near_miss": _K.SCANNER_RUN,
    "scanner.pre_open": _K.SCANNER_RUN,
    "watchlist.changed": _K.SCANNER_RUN,
    "allocator.assigned": _K.STRATEGY_ASSIGNMENT,
    "allocator.declined": _K.STRATEGY_ASSIGNMENT,
    "allocator.ended": _K.STRATEGY_ASSIGNMENT,
    "signal.raised": _K.SIGNAL,
    "signal.ignored": _K.SIGNAL,
    "exit.requested": _K.SIGNAL,
    "risk.decided": _K.RISK_DECISION,
    "risk.violated": _K.RISK_DECISION,
    "state.changed": _K.RISK_DECISION,
    "entries.held": _K.RISK_DECISION,
    "entries.released": _K.RISK_DECISION,
    "order.denied": _K.RISK_DECISION,
    "order.intended": _K.ORDER_COMMAND,
    "order.submit_observed": _K.ORDER_COMMAND,
    "order.cancel_requested": _K.ORDER_COMMAND,
    "order.cancel_observed": _K.ORDER_COMMAND,
    "order.replace_requested": _K.ORDER_COMMAND,
    "order.replace_observed": _K.ORDER_COMMAND,
    "order.query_requested": _K.ORDER_COMMAND,
    "order.queried": _K.BROKER_ACK,
    "order.changed": _K.BROKER_ACK,
    "broker.execution_reported": _K.BROKER_ACK,
    "broker.report_quarantined": _K.BROKER_ACK,
    "fill.recorded": _K.FILL,
    "fill.reversed": _K.FILL,
    "position.offset": _K.FILL,
    "broker.activities_observed": _K.RECONCILIATION,
    "position.restated": _K.RECONCILIATION,
    "order.restated": _K.RECONCILIATION,
    "cash.booked": _K.RECONCILIATION,
    "broker.snapshot_observed": _K.RECONCILIATION,
    "broker.account_observed": _K.RECONCILIATION,
    "session.equity_set": _K.RECONCILIATION,
    "reconciliation.started": _K.RECONCILIATION,
    "reconciliation.break_found": _K.RECONCILIATION,
    "reconciliation.repair_applied": _K.RECONCILIATION,
    "reconciliation.order_adopted": _K.RECONCILIATION,
    "reconciliation.completed": _K.RECONCILIATION,
    "emergency.started": _K.EMERGENCY,
    "emergency.step": _K.EMERGENCY,
    "emergency.completed": _K.EMERGENCY,
    "trade.closed": _K.ANALYTICS,
    "analytics.observed": _K.ANALYTICS,
    "session.audit_recorded": _K.RISK_DECISION,
    "session.summarized": _K.ANALYTICS,
    "note.added": _K.OPERATOR,
    "command.received": _K.OPERATOR,
    "command.accepted": _K.OPERATOR,
    "command.refused": _K.OPERATOR,
    "symbol.blocked": _K.OPERATOR,
    "symbol.unblocked": _K.OPERATOR,
    "decision.required": _K.OPERATOR,
    "decision.escalated": _K.OPERATOR,
    "decision.recorded": _K.OPERATOR,
    "alert.raised": _K.ALERT,
    "alert.cleared": _K.ALERT,
    "telemetry.process_started": _K.STARTUP_SHUTDOWN,
    "telemetry.process_ended": _K.STARTUP_SHUTDOWN,
    "telemetry.boundary_timed": _K.MARKET_DATA,
    "telemetry.health_sampled": _K.STARTUP_SHUTDOWN,
    "telemetry.timing_drifted": _K.SCANNER_RUN,
}

# By which names an event says what it belongs to, the most telling first.
_CORRELATION: Final = (
    "cl_ord_id",
    "signal_id",
    "command_id",
    "emergency_id",
    "break_id",
    "decision_id",
    "alert_id",
    "trade_id",
)


def kind_of(name: str) -> LogKind:
    """The kind of a wire name. Raises KeyError for an event that nobody has filed: a test keeps the table complete."""
    return KIND_OF[name]


def level_of(event: Event) -> str:
    """How loud a line is: error for P0 and P1, warning for what was refused, dropped or broke, info otherwise."""
    if isinstance(event, control.AlertRaised):
        return "error" if event.alert.priority in (Priority.P0, Priority.P1) else "warning"
    if isinstance(event, reconciliation.BreakFound):
        return "error" if event.severity in (Priority.P0, Priority.P1) else "warning"
    if isinstance(event, orders.RiskDecided):
        return "info" if event.allowed else "warning"
    return "warning" if isinstance(event, _LOUD) else "info"


_LOUD: Final = (
    control.CommandRefused,
    control.EmergencyStarted,
    control.EmergencyStepTaken,
    control.DecisionRequired,
    control.DecisionEscalated,
    control.RiskViolated,
    market.BarsQuarantined,
    market.FrameDropped,
    market.StrategyFaulted,
    orders.FillReversed,
    orders.OrderDenied,
    orders.ReportQuarantined,
    reconciliation.FallbackImported,
    reconciliation.SessionRecovered,
    session.PhaseRefused,
)


def correlation_of(fields: Mapping[str, Any]) -> str:
    """The id that joins this line to others about the same order, signal, command or incident; "" without one."""
    for name in _CORRELATION:
        found = fields.get(name)
        if found:
            return str(found)
    return ""


def fields_of(event: Event) -> dict[str, Any]:
    """What a line says of an event: its fields in plain types, whole universes cut down to what a reader looks for."""
    tell = _TELL.get(type(event))
    if tell is not None:
        return tell(event)
    fields: dict[str, Any] = msgspec.to_builtins(event)
    del fields["type"], fields["at"]
    return fields


def _opened(event: session.SessionOpened) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(event, instruments=(), runs=()))
    del fields["type"], fields["at"]
    runs = [f"{run.strategy_id} = {run.definition_id} {run.version} ({run.params_hash})" for run in event.runs]
    return fields | {"instruments": len(event.instruments), "runs": runs}


def _computed(event: market.FrameComputed) -> dict[str, Any]:
    return {
        "as_of": event.as_of,
        "candidates": [candidate.symbol for candidate in event.candidates],
        "near_misses": [miss.symbol for miss in event.near_misses],
        "signals": len(event.signals),
        "silenced": event.silenced,
        "radar_hash": event.radar_hash,
    }


def _missed(event: market.NearMissSeen) -> dict[str, Any]:
    return {"symbol": event.symbol, "rank": event.rank, "failed": _sentences(event.failed)}


def _watched(event: market.WatchlistChanged) -> dict[str, Any]:
    return {"symbol": event.symbol, "state": event.state, "rank": event.rank, "reason": event.reason}


def _judged(event: orders.RiskDecided) -> dict[str, Any]:
    return {
        "cl_ord_id": event.cl_ord_id,
        "strategy_id": event.strategy_id,
        "symbol": event.symbol,
        "leg": event.leg,
        "allowed": event.allowed,
        "failed": [f"{rule.code}: {rule.value} (limit {rule.limit})" for rule in event.failed],
        "rules": len(event.rules),
        "limits_hash": event.limits_hash,
    }


def _ordered(event: orders.OrderIntended | orders.OrderDenied) -> dict[str, Any]:
    return {
        **_request(event.request),
        "strategy_id": event.strategy_id,
        "leg": event.leg,
        "signal_id": event.signal_id,
        "decision_px": event.decision_px,
        "reason": event.reason,
    }


def _request(request: OrderRequest) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(request, legs=()))
    fields["legs"] = [f"{leg.leg} {leg.cl_ord_id}" for leg in request.legs]
    return fields


def _reported(event: orders.ExecutionReported) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(event.report)
    return fields


def _snapshot(event: reconciliation.BrokerSnapshotObserved) -> dict[str, Any]:
    snapshot: BrokerSnapshot = event.snapshot
    return {
        "trigger": event.trigger,
        "complete": snapshot.complete,
        "cursor": snapshot.cursor,
        "positions": len(snapshot.positions),
        "open_orders": len(snapshot.open_orders),
        "executions": len(snapshot.executions),
        "equity": snapshot.account.equity if snapshot.account else None,
        "error": snapshot.error,
    }


def _commanded(event: control.CommandReceived) -> dict[str, Any]:
    given: dict[str, Any] = msgspec.to_builtins(event.command)
    return {
        "command_id": event.command_id,
        "operator": event.operator,
        "origin": event.origin,
        "command": given.pop("command"),
        "given": given,
    }


def _audited(event: session.AuditRecorded) -> dict[str, Any]:
    findings = [f"{line.rule}: {line.subject}, {line.detail}" for line in event.findings]
    return {"up_to_seq": event.seq, "checked": event.checked, "findings": findings}


def _alerted(event: control.AlertRaised) -> dict[str, Any]:
    alert: dict[str, Any] = msgspec.to_builtins(event.alert)
    alert["alert_kind"] = alert.pop("kind")
    return alert


def _noted(event: control.NoteAdded) -> dict[str, Any]:
    return {"note_id": event.note_id, "note_kind": event.kind, "text": event.text, "by": event.by}


def _broken(event: reconciliation.BreakFound | reconciliation.RepairApplied) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(event)
    fields["break_kind"] = fields.pop("kind")
    del fields["type"], fields["at"]
    return fields


def _renamed_kind(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(event)
    fields["what"] = fields.pop("kind")
    del fields["type"], fields["at"]
    return fields


def _sentences(verdicts: tuple[FilterVerdict, ...]) -> list[str]:
    return [verdict.sentence() for verdict in verdicts]


# `kind` is the line's own; an event that has one of its own says it under another name.
_TELL: Final[dict[type[Event], Callable[[Any], dict[str, Any]]]] = {
    session.SessionOpened: _opened,
    session.AuditRecorded: _audited,
    market.FrameComputed: _computed,
    market.NearMissSeen: _missed,
    market.WatchlistChanged: _watched,
    market.SignalRaised: _renamed_kind,
    orders.RiskDecided: _judged,
    orders.OrderIntended: _ordered,
    orders.OrderDenied: _ordered,
    orders.ExecutionReported: _reported,
    orders.ReportQuarantined: _renamed_kind,
    reconciliation.BrokerSnapshotObserved: _snapshot,
    reconciliation.BreakFound: _broken,
    reconciliation.RepairApplied: _broken,
    control.CommandReceived: _commanded,
    control.AlertRaised: _alerted,
    control.NoteAdded: _noted,
}
