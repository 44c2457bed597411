"""Reconciliation: compare with the broker, follow it on exposure, record every break and repair (§14, §17).

It runs at startup, after a reconnect, after an order incident, at the end of the session, when a person asks, and
continuously: every so many boundaries, and when the last comparison has grown too old (ReconciliationSettings). A
backtest of long bars goes by boundaries alone.

1. A failed query concludes nothing and is asked again later, each time after twice the wait.
2. A reading that is older than what we have heard, or newer than what has reached us, is not compared: news would look
   like a difference.
3. Executions are booked before anything is compared, and a second look reads all of the session's, so that what was
   lost on the way explains the difference under the broker's own ids.
4. An answer that erases exposure is not believed at once (`trading/repairs.py`); until then entries are blocked.
"""

from datetime import timedelta
from typing import Final

from qmworkbench.domain.events.orders import ExecutionReported
from qmworkbench.domain.events.reconciliation import (
    AccountObserved,
    BreakFound,
    BreakKind,
    BrokerConnectionChanged,
    BrokerSnapshotObserved,
    ReconciliationCompleted,
    ReconciliationResult,
    Trigger,
)
from qmworkbench.domain.execution import BrokerSnapshot
from qmworkbench.domain.safety import MustHalt
from qmworkbench.domain.sessions import Environment, Phase, Priority, TradingState
from qmworkbench.trading import emergency, foreign, oms, repairs
from qmworkbench.trading.comparison import Tolerances, compare, compare_executions
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.phases import set_equity
from qmworkbench.trading.state import Session

TOLERANCES: Final = Tolerances()
# Readings begun at one moment: what is not settled by then needs time, not another look.
MAX_READS_AT_ONCE: Final = 4
# Comparisons in a row that may find the broker behind of what it has told us.
_BEHIND_TRIES: Final = 3
_SETTLED: Final = (ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED)
# What news may settle before the next reading. Money never does: a person finds the cause.
_BY_NEWS: Final = (
    BreakKind.POSITION_QTY,
    BreakKind.POSITION_SIDE,
    BreakKind.AVG_PX,
    BreakKind.ORDER_MISSING_AT_BROKER,
    BreakKind.ORDER_UNKNOWN_TO_US,
    BreakKind.ORDER_QTY,
    BreakKind.ORDER_PX,
    BreakKind.EXECUTION_MISSING_HERE,
)


def start(decision: Decision, trigger: Trigger) -> None:
    """Ask for a snapshot, unless one is on its way already."""
    if decision.state.reconciliation.pending is None:
        decision.ask_broker(trigger)


def after_incident(decision: Decision) -> None:
    """§14 after an order incident; but what a look has just left open is not looked at again within the same seconds:
    the watch comes back to it.
    """
    last, pace = decision.state.reconciliation, decision.state.day.reconciliation.in_flight_after
    fresh = last.completed_at is not None and decision.at - last.completed_at < pace
    if last.result in _SETTLED or not fresh:
        start(decision, Trigger.ORDER_INCIDENT)


def on_account(decision: Decision, event: AccountObserved) -> None:
    """A fresh account statement."""
    decision.emit(event)
    set_equity(decision)


def on_connection(decision: Decision, event: BrokerConnectionChanged) -> None:
    """§12 Execution Broker Disconnect: no new orders, P0 while anything is held; reconcile once it is back."""
    state, was = decision.state, decision.state.connected
    decision.emit(event)
    if event.connected:
        decision.all_clear("execution_broker_disconnect", "broker", "the broker answers again")
        if not was and state.session is not None and state.day.phase in (Phase.MARKET_SESSION, Phase.SHUTDOWN):
            start(decision, Trigger.RECONNECT)
        return
    exposed = bool(state.positions) or bool(state.open_orders)
    decision.alarm(
        "execution_broker_disconnect",
        "broker",
        Priority.P0 if exposed else Priority.P1,
        f"the execution broker does not answer: {event.detail}",
        "verify positions at the broker directly; entries wait until it is back and reconciled",
    )


def watch(decision: Decision) -> None:
    """Whether it is time to compare again: a look that settled nothing is repeated, one that has grown old renewed."""
    state, last = decision.state, decision.state.reconciliation
    if last.pending is not None or last.completed_at is None or not state.connected:
        return
    age, day = decision.at - last.completed_at, state.day
    if last.result not in _SETTLED:
        if age >= _pause(decision) and last.trigger is not None:
            start(decision, last.trigger)
    elif day.phase is Phase.RECONCILIATION:
        if last.trigger is not Trigger.END_OF_SESSION and not day.recovering:
            start(decision, Trigger.END_OF_SESSION)
    elif age and day.phase is Phase.MARKET_SESSION:
        settings = day.reconciliation
        too_old_s = min(settings.open_check_s, settings.position_check_s)
        if not _counts_boundaries(day, too_old_s) and age.total_seconds() >= too_old_s:
            start(decision, Trigger.CONTINUOUS)


def _counts_boundaries(day: Session, too_old_s: int) -> bool:
    """Whether a comparison's age says nothing: in a backtest no time passes but bar by bar, and where one bar takes
    longer than a comparison may grow old, each would be too old at once. There the count of boundaries alone paces it
    (vigilance.continuous). Everywhere else time goes on between the bars, and the age counts.
    """
    return day.environment is Environment.BACKTEST and day.window.interval_s >= too_old_s


def _pause(decision: Decision) -> timedelta:
    """How long to wait before the next look: doubled each time, never beyond the pace of the continuous one."""
    settings, tries = decision.state.day.reconciliation, decision.state.reconciliation.tries
    doubled = settings.in_flight_after_s * 2 ** min(tries - 1, 20)
    return timedelta(seconds=min(doubled, max(settings.position_check_s, settings.in_flight_after_s)))


def on_snapshot(decision: Decision, event: BrokerSnapshotObserved) -> None:
    """The broker's books as read. Executions first, then the account, then the comparison."""
    state, snapshot = decision.state, event.snapshot
    decision.emit(event)
    if not snapshot.complete:
        _complete(decision, event.trigger, ReconciliationResult.INCOMPLETE, [], 0, snapshot.error, read_whole=False)
        return
    before = dict(state.reconciliation.unresolved)
    # At the end of the session every execution of the day is compared; before that, only what is new is read.
    found = compare_executions(state, snapshot) if event.trigger is Trigger.END_OF_SESSION else []
    # Executions the stream has left out are booked under the broker's own ids; known ones are dropped. Newer ones come
    # by the stream: to book them now would be to call heard what was said between them, about orders that ended.
    heard = state.exec_cursor
    for report in snapshot.executions:
        if report.cursor <= heard:
            oms.on_execution(decision, ExecutionReported(at=decision.at, report=report))
    set_equity(decision)
    if not _of_one_moment(decision, snapshot):
        _out_of_step(decision, event, [item for item in found if item.break_id not in before])
        return
    found += compare(state, snapshot, TOLERANCES)
    for item in found:
        if item.break_id not in before:
            decision.emit(item)
    emergency.on_positions(decision, snapshot)
    settled = [
        repairs.repair(decision, item, snapshot, TOLERANCES, seen_before=item.break_id in before) for item in found
    ]
    settled.append(repairs.realized(decision, found, snapshot, before))
    gone = _explain(decision, before, found)
    emergency.offset_remains(decision, snapshot)
    _conclude(decision, event.trigger, found, sum(settled), gone)
    if any(repairs.needs_second_look(item) and item.break_id not in before for item in found):
        _look_again(decision, event.trigger)


def _of_one_moment(decision: Decision, snapshot: BrokerSnapshot) -> bool:
    """Whether the reading can be compared with what has reached us. One that stays behind however often it is taken
    is believed in the end: then it was what we heard that was ahead of the broker.
    """
    heard = decision.state.heard_cursor
    if snapshot.cursor >= heard or decision.state.reconciliation.tries < _BEHIND_TRIES:
        return snapshot.cursor == heard
    decision.alarm(
        "broker_cursor",
        "broker",
        Priority.P1,
        f"reports were numbered up to {heard}, and the broker's books stand at {snapshot.cursor}",
        "a report was misnumbered, or the broker began anew: compare with its own history, then end the session",
    )
    return True


def _out_of_step(decision: Decision, event: BrokerSnapshotObserved, found: list[BreakFound]) -> None:
    """The reading and what has reached us are not of one moment: comparing now would call news a difference."""
    state, cursor = decision.state, event.snapshot.cursor
    for item in found:
        decision.emit(item)
    if cursor > state.heard_cursor:
        detail = f"transactions {state.heard_cursor + 1} to {cursor} have not been read yet"
    else:
        detail = f"the reading is of transaction {cursor}, and {state.heard_cursor} has been heard since"
    emergency.out_of_step(decision, event.snapshot)
    _complete(decision, event.trigger, ReconciliationResult.INCOMPLETE, found, 0, detail)
    _look_again(decision, event.trigger)


def _look_again(decision: Decision, trigger: Trigger) -> None:
    """At once where that may help, a few times in a row; else the watch comes back to it, at a pace. A broker whose
    books never come into step with its news would be read without end.
    """
    last = decision.state.reconciliation
    if max(last.reads, last.tries) < MAX_READS_AT_ONCE:
        start(decision, trigger)


def _explain(decision: Decision, before: dict[str, BreakFound], found: list[BreakFound]) -> int:
    """Breaks of an earlier reading that are gone because something was booked or told; returns how many."""
    standing = {item.break_id for item in found}
    gone = [item for item in before.values() if item.break_id not in standing and item.kind in _BY_NEWS]
    for item in gone:
        repairs.explained(decision, item)
    return len(gone)


def _conclude(decision: Decision, trigger: Trigger, found: list[BreakFound], settled: int, gone: int) -> None:
    if len(found) > settled:
        result = ReconciliationResult.UNRESOLVED
    else:
        result = ReconciliationResult.REPAIRED if settled or gone else ReconciliationResult.CLEAN
    _complete(decision, trigger, result, found, settled + gone, "")
    foreign.all_clear(decision)
    _alarm_breaks(decision, found)


def _complete(
    decision: Decision,
    trigger: Trigger,
    result: ReconciliationResult,
    found: list[BreakFound],
    repaired: int,
    detail: str,
    *,
    read_whole: bool = True,
) -> None:
    state = decision.state
    still = tuple(b.break_id for b in found if b.break_id in state.reconciliation.unresolved)
    if result is ReconciliationResult.INCOMPLETE:
        still = tuple(state.reconciliation.unresolved)
    if not read_whole:
        decision.alarm(
            "reconciliation_incomplete",
            "broker",
            Priority.P1,
            f"the broker could not be read whole: {detail}",
            "nothing was concluded from it; the comparison runs again",
        )
    else:
        decision.all_clear("reconciliation_incomplete", "broker", "the broker was read whole")
    decision.emit(
        ReconciliationCompleted(
            at=decision.at,
            trigger=trigger,
            result=result,
            breaks=len(found),
            repaired=repaired,
            unresolved=still,
            detail=detail,
        )
    )


def _alarm_breaks(decision: Decision, found: list[BreakFound]) -> None:
    """§23: a position mismatch stops entries by itself, in any phase and until a person resumes; never liquidates."""
    if not found:
        decision.all_clear("reconciliation_mismatch", "book", "the books agree")
        return
    worst = min(found, key=lambda b: (b.severity, b.symbol))
    text = (
        f"{len(found)} break(s) against the broker; first: {worst.kind} {worst.symbol} {worst.before} -> {worst.after}"
    )
    decision.alarm(
        "reconciliation_mismatch",
        "book",
        worst.severity,
        text,
        "treat the broker as right about exposure; see `qm reconcile`, then find the cause before resuming",
    )
    if any(b.severity is Priority.P0 for b in found):
        decision.restrict("book", TradingState.REDUCING, MustHalt.POSITION_MISMATCH.value, text, "reconciliation")
