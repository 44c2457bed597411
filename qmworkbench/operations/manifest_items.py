"""What the manifest's five items ask of the last session, the broker and the strategies (M: Pre-Flight)."""

from qmworkbench.domain.checks import Check
from qmworkbench.operations.evidence import PreStartEvidence
from qmworkbench.operations.lines import Line, listed, several
from qmworkbench.operations.strategy_lines import parameters_check, strategies_ready

__all__ = ["manifest_checks", "parameters_check", "strategies_ready", "unplanned"]

CONTROL_SUMMARY = Line(
    check_id="preflight.control_summary",
    section="M: Pre-Flight 1",
    title="The control summary is green",
    looked_at="trading state, alerts, gaps and stale runs on record",
    expectation="active, nothing open, no gaps",
    remedy="look at `qm status`; a halt is left with `qm resume` once a reconciliation has passed",
)
BROKER_REACHABLE = Line(
    check_id="preflight.broker_reachable",
    section="M: Pre-Flight 2",
    title="The broker account is reachable",
    looked_at="the account, read from the broker",
    expectation="an answer",
    remedy="check the broker's status and the connection; do not start without it",
)
PREVIOUS_SESSION = Line(
    check_id="preflight.previous_session",
    section="M: Pre-Flight 4",
    title="The last session was closed",
    looked_at="the journal's last session",
    expectation="closed, or the very session that is being resumed",
    remedy="resume that session first, so that it can be reconciled and closed",
)
RESIDUAL_RUNS = Line(
    check_id="preflight.residual_runs",
    section="M: Pre-Flight 4",
    title="No run is left from the last session",
    looked_at="runs without RUN_ENDED",
    expectation="none",
    remedy="resume the session they belong to; it ends them",
)
STRATEGIES_READY = Line(
    check_id="preflight.strategies_ready",
    section="M: Pre-Flight 5",
    title="The scheduled strategies are ready",
    looked_at="catalog, promotions, proposed changes, history",
    expectation="known, of a status this environment takes, no promotion or parameter change pending, enough history",
    remedy="see which one is not, and either complete it or take it out of the schedule",
)
OPEN_QUESTIONS = Line(
    check_id="preflight.open_questions",
    section="M: Pre-Flight 5",
    title="No reconciliation alert or decision is open",
    looked_at="breaks and required decisions on record",
    expectation="none",
    remedy="the startup reconciliation must settle them; entries wait for it",
)


def manifest_checks(seen: PreStartEvidence) -> list[Check]:
    """What the manifest's items ask beyond §5: control summary, broker, residual runs, strategies, open questions."""
    previous = seen.previous
    waiting = (*previous.unresolved, *previous.decisions_waiting)
    broker = seen.broker
    latency = f" in {broker.latency_ms:.1f} ms" if broker.latency_ms is not None else ""
    return [
        _control_summary(seen),
        BROKER_REACHABLE.judged(
            broker.reachable,
            f"{broker.name} answers{latency}" if broker.reachable else f"{broker.name} does not answer",
            detail=broker.detail,
        ),
        _previous_session(seen),
        RESIDUAL_RUNS.judged(
            not previous.open_runs or previous.resuming,
            listed(previous.open_runs),
            detail="they belong to the session being resumed" if previous.open_runs and previous.resuming else "",
        ),
        strategies_ready(STRATEGIES_READY, seen.strategies, seen.environment),
        OPEN_QUESTIONS.warned(listed(waiting), "open from the last session")
        if waiting
        else OPEN_QUESTIONS.judged(True, "none"),
    ]


def unplanned(why: str) -> Check:
    """The one line of a preflight whose day could not even be planned: with these strategies, or with this record."""
    remedy = "correct what is named and look again; `qm strategy instances` shows what the next session would run"
    return STRATEGIES_READY.judged(False, f"no day can be planned: {why}", remedy=remedy)


def _control_summary(seen: PreStartEvidence) -> Check:
    previous = seen.previous
    if previous.gaps:
        return CONTROL_SUMMARY.judged(False, f"{several(previous.gaps, 'gap')} on record")
    odd = []
    if previous.trading_state != "active":
        odd.append(f"the book is {previous.trading_state}: {previous.halt_reason or 'no reason on record'}")
    odd += [f"alert open: {alert}" for alert in previous.alerts]
    if odd:
        # The way out of a halt leads through a running platform, so it must be allowed to start; entries stay blocked.
        return CONTROL_SUMMARY.warned(listed(odd), "entries stay blocked until the book is active again")
    return CONTROL_SUMMARY.judged(True, "active, nothing open, no gaps")


def _previous_session(seen: PreStartEvidence) -> Check:
    previous = seen.previous
    if not previous.session_id:
        return PREVIOUS_SESSION.judged(True, "this is the book's first session")
    if previous.resuming:
        return PREVIOUS_SESSION.judged(True, f"{previous.session_id} is being resumed after an interruption")
    return PREVIOUS_SESSION.judged(
        previous.closed, f"{previous.session_id} is {'closed' if previous.closed else 'still open'}"
    )
