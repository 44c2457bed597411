"""Account activities that do not fit our books: breaks with before and after, and an alarm (§14)."""

from qmworkbench.domain.chain import content_digest
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind
from qmworkbench.domain.execution import AccountActivity
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.sessions import Environment, Priority
from qmworkbench.trading.decision import Decision


def fits(decision: Decision, activity: AccountActivity) -> bool:
    """Whether the broker booked it on what we hold; else a break says what each side had."""
    ours = decision.state.net_qty(activity.symbol)
    if ours == activity.qty_before:
        return True
    _break(
        decision,
        activity,
        before=f"{ours.normalize():f}",
        after=f"{activity.qty_before.normalize():f}",
        cause=f"the broker booked a {activity.kind.replace('_', ' ')} on another quantity than we hold",
    )
    return False


def contradiction(decision: Decision, activity: AccountActivity) -> None:
    """The broker said something else under an id we know: nothing of it is applied."""
    _break(
        decision,
        activity,
        before=f"{activity.activity_id} {decision.state.activity_ids.get(activity.activity_id, 'in the same answer')}",
        after=f"{activity.activity_id} {content_digest(activity)}",
        cause="the same activity id came with other content",
    )


def _break(decision: Decision, activity: AccountActivity, *, before: str, after: str, cause: str) -> None:
    state, kind = decision.state, BreakKind.POSITION_QTY
    decision.emit(
        BreakFound(
            at=decision.at,
            break_id=content_id(state.day.session_id, activity.activity_id, before, after),
            kind=kind,
            symbol=activity.symbol,
            severity=Priority.P0 if state.day.environment is Environment.LIVE else Priority.P1,
            before=before,
            after=after,
            cause=f"{cause}: {cause_of(activity)}",
            authority="broker",
        )
    )
    decision.alarm(
        "activity_does_not_fit",
        activity.activity_id,
        Priority.P1,
        f"{activity.symbol}: {cause} ({before} here, {after} there): {cause_of(activity)}",
        "compare the broker's activity statement with `qm reconcile`; the comparison that follows settles quantities",
    )


def cause_of(activity: AccountActivity) -> str:
    """The activity in words."""
    kind = activity.kind.replace("_", " ")
    return (
        f"{kind} of {activity.effective}: {activity.detail}" if activity.detail else f"{kind} of {activity.effective}"
    )
