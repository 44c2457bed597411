"""The kernel: one input in, the events it leads to out; nothing else decides anything (DESIGN "Kernel").

Each input type has one rule. After it, the standing watches look at the whole state, and the session advances through
its phases where conditions allow. Events are applied as they are emitted; the returned list, input first, is what the
shell must make durable before it carries out an effect.
"""

from collections.abc import Callable
from typing import Any, Final

from qmworkbench.domain.events import (
    DECISION_TYPES,
    Event,
    Input,
    analytics,
    control,
    market,
    orders,
    overnight,
    session,
)
from qmworkbench.domain.events import reconciliation as recon
from qmworkbench.trading import (
    analytics_watch,
    auditing,
    broker_trouble,
    corporate_actions,
    duplicates,
    feed_quality,
    importing,
    intake,
    must_halt,
    oms,
    order_timeouts,
    phases,
    pre_open,
    reconciliation,
    replacing,
    resuming,
    vigilance,
)
from qmworkbench.trading import control as commands
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.quiet_steps import QuietSteps
from qmworkbench.trading.state import State

Handler = Callable[[Decision, Any], None]


def _record(decision: Decision, event: Event) -> None:
    decision.emit(event)


def _on_frame(decision: Decision, event: market.FrameComputed) -> None:
    intake.on_frame(decision, event)
    vigilance.continuous(decision)


def _on_snapshot(decision: Decision, event: recon.BrokerSnapshotObserved) -> None:
    reconciliation.on_snapshot(decision, event)
    duplicates.look(decision, event.snapshot)


def _on_preflight(decision: Decision, event: session.PreflightRecorded) -> None:
    phases.on_preflight(decision, event)
    resuming.on_new_session(decision)


RULES: Final[dict[type[Input], Handler]] = {
    session.SessionOpened: phases.on_session_opened,
    session.PreflightRecorded: _on_preflight,
    session.ServiceReady: phases.on_service_ready,
    session.ServiceStopped: _record,
    session.HealthObserved: phases.on_health,
    session.SessionEnding: phases.on_session_ending,
    session.SessionSummarized: phases.on_summary,
    session.AuditRecorded: auditing.on_recorded,
    market.FeedChanged: feed_quality.on_changed,
    market.BarsQuarantined: _record,
    market.BoundaryClosed: intake.on_boundary,
    market.FrameComputed: _on_frame,
    market.StrategyFaulted: intake.on_strategy_fault,
    market.PreOpenScanned: pre_open.on_scanned,
    orders.SubmitObserved: oms.on_submit_observed,
    orders.CancelObserved: oms.on_cancel_observed,
    orders.ReplaceObserved: replacing.on_replace_observed,
    orders.ExecutionReported: oms.on_execution,
    orders.OrderQueried: oms.on_query_answer,
    recon.BrokerSnapshotObserved: _on_snapshot,
    recon.AccountObserved: reconciliation.on_account,
    recon.BrokerConnectionChanged: reconciliation.on_connection,
    recon.SessionRecovered: vigilance.on_recovered,
    recon.FallbackImported: importing.on_imported,
    overnight.ActivitiesObserved: corporate_actions.on_activities,
    analytics.AnalyticsObserved: analytics_watch.on_observed,
    control.CommandReceived: commands.on_command,
    control.ClockTicked: _record,
}
assert set(RULES) == {kind for kind in DECISION_TYPES if kind.IS_INPUT}, "every input has a rule, and only inputs have"


class Kernel:
    """The driver. `state` is the live state; treat it as read-only outside."""

    def __init__(self, state: State | None = None) -> None:
        self.state = State() if state is None else state
        self._quiet = QuietSteps()

    def step(self, event: Input) -> list[Event]:
        """Decide on one input. Returns the events in order, empty when the input was old news.

        Raises ValueError when the input is older than the last one: time never goes back in here. Raises
        SessionRefused when a session may not be opened.
        """
        if self.state.now is not None and event.at < self.state.now:
            raise ValueError(
                f"{type(event).__name__} at {event.at} is older than the state, which stands at {self.state.now}"
            )
        decision = Decision(self.state, event.at)
        RULES[type(event)](decision, event)
        if decision.quiet and not decision.time_moved and self._quiet.settles(decision):
            return decision.events
        self._quiet.forget()
        if decision.events:
            must_halt.watch(decision)
            broker_trouble.watch(decision)
            order_timeouts.watch(decision)
            vigilance.watch(decision)
            if self.state.session is not None:
                phases.advance(decision)
        return decision.events
