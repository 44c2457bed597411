"""A trading day from preflight to close, in the order in which it happens (§4, §5, §6, §7, §8, §14, §16).

Read `trading_day` from top to bottom: it is the runbook's lifecycle. Each step looks at the journaled phase first, so a
day that was cut off anywhere goes on where it was. The same steps run in a plain loop and beside an event loop
(service/blocking.py), with the same inputs in the same order.
"""

import gc
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged
from qmworkbench.domain.events.session import (
    HealthObserved,
    PreflightRecorded,
    ServiceStopped,
    SessionEnding,
    SessionSummarized,
)
from qmworkbench.domain.numbers import cents
from qmworkbench.domain.sessions import Phase
from qmworkbench.operations.preflight import checks_hash
from qmworkbench.operations.recovery import recovery_checks
from qmworkbench.ports import BrokerUnreachable
from qmworkbench.service import pre_open, resume, startup
from qmworkbench.service.boundary import checkpoint, compute_and_decide
from qmworkbench.service.day_record import keep_line, line_of
from qmworkbench.service.overnight import let_blocks_follow, open_the_venue
from qmworkbench.service.plan import DayRefused
from qmworkbench.service.platform import Platform
from qmworkbench.service.recovery import import_fallback, rooted_elsewhere
from qmworkbench.service.recovery_evidence import gather_recovery
from qmworkbench.service.result import DayResult, result_of
from qmworkbench.service.stage import Stage
from qmworkbench.trading.decision import UNATTENDED
from qmworkbench.trading.phases import STOP_ORDER

S = TypeVar("S", bound=Stage)
Look = Callable[[S, str], Sequence[Check]]
"""The checks of a phase ("pre-start" or "pre-market") on a stage, with their evidence (operations/preflight.py)."""
Preflight = Look[Platform]

# Market seconds that orders are given to settle after the close, and a recovery or startup comparison to pass.
SETTLE_S: Final = 600
COMPARE_S: Final = 30


async def trading_day(platform: Platform, preflight: Preflight) -> DayResult:
    """Run the day of `platform` to its close, or on from where it was cut off.

    Raises DayRefused where a checklist says NO-GO, StartupFailed where a service does not come up, StopRequested at
    the next safe point after a stop; the journal holds everything up to there and the day can be resumed.
    """
    await open_or_resume(platform)
    await pre_start(platform, preflight)
    await startup.start_services(platform)
    await accept_recovery(platform)
    await verify_health(platform)
    await pre_market(platform, preflight)
    await market_session(platform)
    await shut_down(platform)
    await reconcile_and_review(platform)
    return await put_away(platform)


async def open_or_resume(platform: Platform) -> None:
    """Put the session on record, or take over the one another process left unfinished (§19)."""
    resumes = bool(platform.restored.unfinished) and platform.day.phase is not Phase.PRE_START
    if not resumes:
        platform.audit.begin(platform.state)
    platform.notes += filter(None, [rooted_elsewhere(platform.journal, platform.plan.paths.fallback)])
    taken_over = await import_fallback(platform.shell, platform.plan.paths.fallback)
    if resumes:
        await resume.resume(platform)
    else:
        at = max(platform.plan.starts_at, platform.state.now or platform.plan.starts_at)
        await platform.shell.feed(platform.plan.opened(at))
        # An empty journal has no time to date it by before: its first record is the opening.
        taken_over += await import_fallback(platform.shell, platform.plan.paths.fallback)
    if taken_over:
        platform.notes.append(f"{taken_over} records of a direct emergency were taken over from the fallback log")
    gc.collect()
    gc.freeze()  # what is alive now stays for the day: the collector need not look at it again


async def pre_start(stage: S, preflight: Look[S]) -> None:
    """Connect to the broker, then the pre-start checklist: GO opens the startup (§5)."""
    if stage.reached(Phase.STARTUP):
        return
    await connect(stage)
    await checklist(stage, preflight, "pre-start", Phase.STARTUP)


async def connect(stage: Stage) -> None:
    """Open the venue's session, see that the broker answers, and take in what it booked overnight."""
    shell = stage.shell
    try:
        await open_the_venue(stage)
    except BrokerUnreachable as error:
        raise DayRefused(
            f"the execution broker does not answer ({error}): restore the connection and start again"
        ) from error
    await shell.feed(BrokerConnectionChanged(at=shell.now(), connected=True, detail="account and orders answer"))
    await let_blocks_follow(stage)


async def checklist(stage: S, preflight: Look[S], name: str, opens: Phase) -> None:
    """Go through a checklist, put its verdict on record, and stop the day on anything but GO."""
    stage.safe_point()
    checks = await stage.shell.beside(lambda: preflight(stage, name))
    verdict = verdict_of(checks)
    failed = tuple(check.check_id for check in checks if check.status is CheckStatus.FAIL)
    await stage.shell.feed(
        PreflightRecorded(
            at=stage.shell.now(),
            phase=name,
            verdict=verdict,
            checks_hash=checks_hash(checks),
            failed=failed,
            confirmed_by=UNATTENDED if stage.plan.unattended else "",
        )
    )
    await stage.shell.durable()
    stage.verdicts[name] = verdict
    if verdict is not Verdict.GO:
        wrong = [
            f"{check.title}: {check.value}. {check.remedy}" for check in checks if check.status is CheckStatus.FAIL
        ]
        raise DayRefused(f"{name} preflight says {verdict}: {'; '.join(wrong) or 'nothing was looked at'}")
    if not stage.reached(opens):
        raise DayRefused(f"{name} preflight says GO, yet the session stays in {stage.day.phase}: see its alerts")


async def accept_recovery(platform: Platform) -> None:
    """§19's acceptance criteria, after a session was taken over: kept with the session, and entries wait where one
    fails.
    """
    if not platform.day.recovered or not platform.restored.unfinished:
        return
    await until(platform, lambda: not platform.day.recovering, COMPARE_S)
    radar = "; ".join(note for note in platform.notes if note.startswith("the radar rebuilt"))
    look = partial(gather_recovery, platform.state, platform.broker, platform.journal, radar)
    seen = await platform.shell.at_the_venue(look)
    platform.recovery = recovery_checks(seen)
    await platform.shell.beside(platform.keep_recovery)
    platform.verdicts["recovery"] = verdict_of(platform.recovery)
    down = platform.critical_down()
    # Either way: what was down when the last process ended, and is well again, must not keep entries out.
    if platform.reached(Phase.PRE_MARKET) and down != platform.day.critical_down:
        await platform.shell.feed(HealthObserved(at=platform.shell.now(), critical_down=down))


async def verify_health(stage: Stage) -> None:
    """§7: every critical component healthy, and the comparison with the broker left no break open."""
    if stage.reached(Phase.PRE_MARKET):
        return
    stage.safe_point()
    await stage.shell.feed(HealthObserved(at=stage.shell.now(), critical_down=stage.critical_down()))
    await until(stage, lambda: stage.reached(Phase.PRE_MARKET), COMPARE_S)
    if stage.reached(Phase.PRE_MARKET):
        return
    down, breaks = stage.day.critical_down, stage.state.reconciliation.unresolved
    found = [f"{name} is not healthy ({stage.found_of(name)})" for name in down]
    found += [f"{b.kind} {b.symbol}".strip() + f": we hold {b.before}, the broker {b.after}" for b in breaks.values()]
    raise DayRefused(
        f"the platform is not ready to trade: {'; '.join(found) or 'the startup reconciliation did not complete'}. "
        "Settle it (`qm reconcile`), then start again; the session resumes here"
    )


async def pre_market(stage: S, preflight: Look[S]) -> None:
    """Bars before the open, the scheduled scan over them, then the checklist: GO opens the market session (§8)."""
    if stage.reached(Phase.MARKET_SESSION):
        return
    early = [frame for frame in stage.plan.data.frames if frame.extended]
    if early and (stage.day.boundary_at is None or stage.day.boundary_at < early[-1].as_of):
        for delivery in stage.deliveries(until=early[-1].as_of):
            await stage.pace.wait(delivery)
            stage.safe_point()
            await stage.take(delivery)
    await scan_before_the_open(stage)
    await checklist(stage, preflight, "pre-market", Phase.MARKET_SESSION)


async def scan_before_the_open(stage: Stage) -> None:
    """The scheduled scan, once a session, where the settings ask for one (§8)."""
    if stage.day.pre_open is None:
        found = pre_open.scan_of(stage.plan.data, stage.state, stage.shell.now())
        if found is not None:
            await stage.shell.feed(found)


async def market_session(stage: Stage) -> None:
    """Boundary after boundary, until the close, the end of the feed, or a person's early end (§9)."""
    if stage.reached(Phase.SHUTDOWN):
        return
    stage.trading(True)
    if resume.unfinished_frame(stage) is not None:
        await decide_late(stage)
    last = stage.plan.data.boundaries[-1]
    if stage.day.boundary_at is None or stage.day.boundary_at < last:
        for delivery in stage.deliveries(until=last):
            await stage.pace.wait(delivery)
            stage.safe_point()
            await stage.take(delivery)
            if stage.end_early and not _still_leaving(stage):
                break


async def decide_late(stage: Stage) -> None:
    """Decide on the boundary that had closed when the last process ended: its exits must not be missed."""
    boundary_at = stage.day.boundary_at
    for frame in stage.plan.data.frames:
        if frame.as_of == boundary_at:
            await compute_and_decide(stage, frame)


def _still_leaving(stage: Stage) -> bool:
    """After an early end: something is still on its way out, and there are bars left to leave by."""
    return any(held.flat_policy == "at_close" for held in stage.state.positions.values())


async def shut_down(stage: Stage) -> None:
    """§16: no new candidates, open orders settle, positions end as the policy says, services stop in order."""
    shell, state = stage.shell, stage.state
    stage.safe_point()
    stage.trading(True)
    if not stage.reached(Phase.RECONCILIATION):
        closes_at = max(stage.day.closes_at, shell.now()) if not stage.end_early else shell.now()
        await shell.at_the_venue(lambda: stage.exchange.close_session(closes_at))
        await shell.settle()
        if not stage.day.ending:
            reason = f"ended early: {stage.end_early}" if stage.end_early else "the market closed"
            await shell.feed(SessionEnding(at=max(closes_at, shell.now()), reason=reason))
        await stop_services(stage, upto="exit_logic")
        await until(stage, lambda: stage.reached(Phase.RECONCILIATION), SETTLE_S)
    if not stage.reached(Phase.RECONCILIATION):
        live = ", ".join(f"{order.cl_ord_id} ({order.status})" for order in state.working())
        raise DayRefused(
            f"orders have not settled {SETTLE_S} s after the close: {live}. Look at them at the broker, then run "
            "the day again: it resumes here"
        )


async def reconcile_and_review(stage: Stage) -> None:
    """§14, §17: compare with the broker once more, summarize, close."""
    shell, day = stage.shell, stage.day
    stage.safe_point()
    if not stage.reached(Phase.REVIEW):
        await until(stage, lambda: stage.reached(Phase.REVIEW), COMPARE_S)
    if not stage.reached(Phase.REVIEW):
        raise DayRefused("the end-of-session reconciliation could not be completed: run the day again, it resumes here")
    await stop_services(stage, upto="risk_manager")
    if not stage.reached(Phase.CLOSED):
        news = stage.analytics.conclude(shell.state)
        if news is not None:
            await shell.feed(news)
        await shell.feed(stage.audit.recorded(shell.now(), shell.journal.head[0], shell.state))
        await shell.feed(
            SessionSummarized(
                at=shell.now(),
                trades=day.trades,
                orders=day.orders,
                fills=day.fills,
                breaks=day.breaks,
                net_pnl=cents(day.realized_pnl - day.fees),
                recovered=day.recovered,
            )
        )
    stage.trading(False)


async def put_away(platform: Platform) -> DayResult:
    """Keep what the next day starts from and what this one came to; make the session's files final (§5, §16, §19)."""
    await checkpoint(platform)
    await platform.shell.beside(platform.put_away)
    result = result_of(platform, platform.journal.head[1], platform.chronicle.bars)
    line = line_of(result, platform.day.window.date)
    await platform.shell.beside(lambda: keep_line(platform.session_paths.root, line))
    return result


async def stop_services(stage: Stage, *, upto: str) -> None:
    """Note the services that stop, in §16's order, up to and including one; those noted before are not noted again.

    API and page stop last, after the session is closed, and only where nobody wants to look at it (§16 "if needed").
    """
    for position, service in enumerate(STOP_ORDER, start=1):
        if service not in stage.stopped:
            stage.stopped.append(service)
            await stage.shell.feed(ServiceStopped(at=stage.shell.now(), service=service, position=position))
        if service == upto:
            return


async def until(stage: Stage, holds: Callable[[], bool], patience_s: int) -> None:
    """Let market time pass, a second at a time, until something holds, the patience ends or the next bars are due."""
    shell = stage.shell
    for _ in range(patience_s):
        await shell.settle()
        if holds():
            return
        stage.safe_point()
        await stage.pace.second()
        at, awaited = shell.now() + timedelta(seconds=1), stage.monitor.awaited
        if awaited is not None and at >= awaited:
            return
        await shell.feed(ClockTicked(at=at))
