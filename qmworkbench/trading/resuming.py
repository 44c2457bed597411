"""Leaving a halt, and releasing held entries: §23 "Safe To Resume" as five lines, each checked or answered (§15, §19).

| line of §23 | who answers it |
|---|---|
| incident cause understood | the operator, and names the incident; a condition of §23 that still stands refuses it |
| broker state reconciled | the platform: a comparison that passed after the last cause of the halt |
| internal state repaired | the operator; a break that is open refuses it |
| risk controls verified | the operator; a Risk Manager that is down or a daily loss beyond its limit refuses it |
| operator decision recorded | the command itself: who, why, and of which incident |

Every line that is missing is named, with its remedy. Where nobody attends (backtest, headless local), a halt whose
causes end with the day, a bad feed or the daily loss, is left at the next market session by `policy:unattended`, if the
platform finds nothing against it. Nothing else in the platform makes a halted book ACTIVE.
"""

from typing import Final, NamedTuple

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import CommandReceived, EntriesReleased, TradingStateChanged
from qmworkbench.domain.events.reconciliation import Trigger
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.trading import emergency, must_halt, reconciliation
from qmworkbench.trading.decision import UNATTENDED, Decision
from qmworkbench.trading.refusal import Refused, demand_session
from qmworkbench.trading.state import State

CAUSE: Final = "incident cause understood"
BROKER: Final = "broker state reconciled"
REPAIRED: Final = "internal state repaired"
RISK: Final = "risk controls verified"
DECISION: Final = "operator decision recorded"
LINES: Final = (CAUSE, BROKER, REPAIRED, RISK, DECISION)

ASKED: Final = (CAUSE, REPAIRED, RISK)
_ENDS_WITH_THE_DAY: Final = frozenset({str(must_halt.MustHalt.DATA_DEGRADED), "max_daily_loss"})

Missing = tuple[str, str, str]
"""A line that is not met: the line, what is missing, the remedy."""


class Line(NamedTuple):
    """One line of §23 as it stands before anybody answers it: whether the operator is `asked`, what the platform finds
    `against` it, and the `remedies`.
    """

    line: str
    asked: bool
    against: tuple[str, ...]
    remedies: tuple[str, ...]


def readiness(state: State) -> tuple[Line, ...]:
    """The five lines in §23's order, for the form that a resume is."""
    found = _found(state) if state.halt.state is not TradingState.ACTIVE else []
    return tuple(
        Line(
            line,
            line in ASKED,
            tuple(what for of, what, _ in found if of == line),
            tuple(remedy for of, _, remedy in found if of == line),
        )
        for line in LINES
    )


def resume(decision: Decision, event: CommandReceived, command: commands.Resume) -> str:
    """Make the book ACTIVE again. Raises Refused naming every line of §23 that is missing."""
    state = decision.state
    if state.halt.state is TradingState.ACTIVE:
        raise Refused("the book is ACTIVE already", "nothing to resume; held entries are released with release_entries")
    if emergency.running(state):
        raise Refused("the emergency is not flat yet", "wait until every position is zero")
    missing = [*_answered(command), *_found(state)]
    if not _reconciled(state):
        reconciliation.start(decision, Trigger.OPERATOR)
    if missing:
        told = "; ".join(f"{line}: {what}" for line, what, _ in sorted(missing, key=lambda m: LINES.index(m[0])))
        remedies = dict.fromkeys(remedy for _, _, remedy in missing)
        raise Refused(f"not safe to resume: {told}", "; ".join(remedies))
    _active(decision, f"{command.reason} (incident: {command.incident})", event.operator)
    return "ACTIVE"


def _active(decision: Decision, reason: str, by: str) -> None:
    before = decision.state.halt.state
    decision.emit(
        TradingStateChanged(
            at=decision.at, scope="book", before=before, after=TradingState.ACTIVE, code="resume", reason=reason, by=by
        )
    )
    must_halt.ended(decision, f"resumed by {by}")
    for alert in [a for a in decision.state.alerts.values() if a.kind == emergency.ALERT]:
        decision.all_clear(alert.kind, alert.key, f"resumed by {by}")


def on_new_session(decision: Decision) -> None:
    """The market session begins: where nobody attends, what ended with the last day halts this one no longer."""
    state = decision.state
    halt, day = state.halt, state.day
    halted = halt.state is TradingState.REDUCING and not emergency.running(state)
    if not (day.unattended and halted and day.phase is Phase.MARKET_SESSION and not day.recovering):
        return
    of_before = all(cause.since < day.opens_at for cause in halt.causes.values())
    if not halt.causes or set(halt.causes) - _ENDS_WITH_THE_DAY or not of_before:
        return
    if not _found(state):
        _active(decision, f"a new session, reconciled; the last one's halt was: {halt.reason}", UNATTENDED)


def _answered(command: commands.Resume) -> list[Missing]:
    """What the operator has not answered with yes."""
    again = "answer every line of §23 Safe To Resume"
    found: list[Missing] = []
    if not command.incident.strip():
        found.append((DECISION, "the incident is not named", 'name the incident; "none: planned pause" is an answer'))
    if not command.cause_understood:
        found.append((CAUSE, "not answered with yes", again))
    if not command.internal_state_repaired:
        found.append((REPAIRED, "not answered with yes", again))
    if not command.risk_controls_verified:
        found.append((RISK, "not answered with yes", again))
    return found


def _found(state: State) -> list[Missing]:
    """What the platform itself finds against it."""
    found: list[Missing] = []
    for condition, reason in must_halt.standing(state, state.clock()):
        line = RISK if condition is must_halt.MustHalt.RISK_MANAGER_UNAVAILABLE else CAUSE
        found.append((line, f"it still stands: {reason}", must_halt.REMEDY[condition]))
    if not _reconciled(state):
        remedy = "one was started now: look at its result, then resume again"
        found.append((BROKER, "no reconciliation has passed since the halt", remedy))
    if state.reconciliation.unresolved:
        count = len(state.reconciliation.unresolved)
        found.append((REPAIRED, f"{count} break(s) are open", "resolve them first (`qm reconcile`)"))
    if state.session is not None and state.day.start_equity is not None:
        found += _loss(state)
    return found


def _loss(state: State) -> list[Missing]:
    """Nobody resumes beyond the daily loss, nor where it cannot be told what is lost."""
    pnl = state.day_pnl()
    if pnl is None:
        why = "; ".join(state.unvalued()) or "a price or a rate is missing"
        return [
            (RISK, f"the day's P&L is unknown while something is held: {why}", "wait for prices, or close it first")
        ]
    most = state.day.max_loss
    if most is not None and pnl <= -most:
        return [(RISK, "the daily loss is still beyond its limit", "the next session begins with a new limit")]
    return []


def _reconciled(state: State) -> bool:
    """Whether a comparison has passed that was asked for after the last cause of the halt."""
    return state.halt.compared == "passed" and not state.reconciliation.unresolved


def release(decision: Decision, event: CommandReceived, command: commands.ReleaseEntries) -> str:
    """§19: entries only after the recovery has reconciled."""
    state = decision.state
    demand_session(state)
    if state.day.recovering or state.reconciliation.unresolved:
        raise Refused("reconciliation has not passed", "resolve the breaks first (qm reconcile)")
    if not state.day.entries_held or state.day.ending:
        raise Refused("no entries are held, or the session is ending", "nothing to release")
    decision.emit(EntriesReleased(at=decision.at, by=event.operator, reason=command.reason))
    return "entries are released"
