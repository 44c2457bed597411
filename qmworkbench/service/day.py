"""A trading day from preflight to close, in the order in which it happens (§4, §5, §6, §7, §8, §14, §16).

Read `trading_day` from top to bottom: it is the runbook's lifecycle. Each step looks at the journaled phase first, so a
day that was cut off anywhere goes on where it was. The same steps run in a plain loop and beside an event loop
(service/blocking.py), with the same inputs in the same order.
"""

import gc
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

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
from qmworkbench.service import resume, startup
from qmworkbench.service.boundary import checkpoint, compute_and_decide, take_boundary
from qmworkbench.service.plan import DayRefused
from qmworkbench.service.platform import Platform
from qmworkbench.service.recovery import import_fallback
from qmworkbench.service.recovery_evidence import gather_recovery
from qmworkbench.service.result import DayResult, result_of
from qmworkbench.trading.decision import UNATTENDED
from qmworkbench.trading.phases import STOP_ORDER

Preflight = Callable[[Platform, str], Sequence[Check]]
"""The checks of a phase ("pre-start" or "pre-market") on a platform, with their evidence (operations/preflight.py)."""

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
    return result_of(platform)


async def open_or_resume(platform: Platform) -> None:
    """Put the session on record, or take over the one another process left unfinished (§19)."""
    taken_over = await import_fallback(platform.shell, platform.plan.paths.fallback)
    if taken_over:
        platform.notes.append(f"{taken_over} records of a direct emergency were taken over from the fallback log")
    if platform.restored.unfinished and platform.day.phase is not Phase.PRE_START:
        await resume.resume(platform)
    else:
        at = max(platform.plan.starts_at, platform.state.now or platform.plan.starts_at)
        await platform.shell.feed(platform.plan.opened(at))
    gc.collect()
    gc.freeze()  # what is alive now stays for the day: the collector need not look at it again


async def pre_start(platform: Platform, preflight: Preflight) -> None:
    """Connect to the broker, then the pre-start checklist: GO opens the startup (§5)."""
    if platform.reached(Phase.STARTUP):
        return
    await connect(platform)
    await checklist(platform, preflight, "pre-start", Phase.STARTUP)


async def connect(platform: Platform) -> None:
    """Open the venue's session and see that the broker answers."""
    plan, shell = platform.plan, platform.shell
    try:
        await shell.at_the_venue(lambda: platform.exchange.open_session(plan.session_id, shell.now()))
        await shell.at_the_venue(platform.broker.account)
    except BrokerUnreachable as error:
        raise DayRefused(
            f"the execution broker does not answer ({error}): restore the connection and start again"
        ) from error
    await shell.feed(BrokerConnectionChanged(at=shell.now(), connected=True, detail="account and orders answer"))


async def checklist(platform: Platform, preflight: Preflight, name: str, opens: Phase) -> None:
    """Go through a checklist, put its verdict on record, and stop the day on anything but GO."""
    platform.safe_point()
    checks = await platform.shell.beside(lambda: preflight(platform, name))
    verdict = verdict_of(checks)
    failed = tuple(check.check_id for check in checks if check.status is CheckStatus.FAIL)
    await platform.shell.feed(
        PreflightRecorded(
            at=platform.shell.now(),
            phase=name,
            verdict=verdict,
            checks_hash=checks_hash(checks),
            failed=failed,
            confirmed_by=UNATTENDED if platform.plan.unattended else "",
        )
    )
    await platform.shell.durable()
    platform.verdicts[name] = verdict
    if verdict is not Verdict.GO:
        wrong = [
            f"{check.title}: {check.value}. {check.remedy}" for check in checks if check.status is CheckStatus.FAIL
        ]
        raise DayRefused(f"{name} preflight says {verdict}: {'; '.join(wrong) or 'nothing was looked at'}")
    if not platform.reached(opens):
        raise DayRefused(f"{name} preflight says GO, yet the session stays in {platform.day.phase}: see its alerts")


async def accept_recovery(platform: Platform) -> None:
    """§19's acceptance criteria, after a session was taken over: kept with the session, and entries wait where one
    fails.
    """
    if not platform.day.recovered or not platform.restored.unfinished:
        return
    await until(platform, lambda: not platform.day.recovering, COMPARE_S)
    seen = await platform.shell.at_the_venue(lambda: gather_recovery(platform))
    platform.recovery = recovery_checks(seen)
    await platform.shell.beside(platform.keep_recovery)
    platform.verdicts["recovery"] = verdict_of(platform.recovery)
    if platform.verdicts["recovery"] is not Verdict.GO and platform.reached(Phase.PRE_MARKET):
        await platform.shell.feed(HealthObserved(at=platform.shell.now(), critical_down=platform.critical_down()))


async def verify_health(platform: Platform) -> None:
    """§7: every critical component healthy, and the comparison with the broker left no break open."""
    if platform.reached(Phase.PRE_MARKET):
        return
    platform.safe_point()
    await platform.shell.feed(HealthObserved(at=platform.shell.now(), critical_down=platform.critical_down()))
    await until(platform, lambda: platform.reached(Phase.PRE_MARKET), COMPARE_S)
    if platform.reached(Phase.PRE_MARKET):
        return
    down, breaks = platform.day.critical_down, platform.state.reconciliation.unresolved
    found = [f"{name} is not healthy ({platform.board.of(name).detail})" for name in down]
    found += [f"{b.kind} {b.symbol}: we hold {b.before}, the broker {b.after}" for b in breaks.values()]
    raise DayRefused(
        f"the platform is not ready to trade: {'; '.join(found) or 'the startup reconciliation did not complete'}. "
        "Settle it (`qm reconcile`), then start again; the session resumes here"
    )


async def pre_market(platform: Platform, preflight: Preflight) -> None:
    """Bars before the open, then the pre-market checklist: GO opens the market session (§8)."""
    if platform.reached(Phase.MARKET_SESSION):
        return
    early = [frame for frame in platform.plan.data.frames if frame.extended]
    if early and (platform.day.boundary_at is None or platform.day.boundary_at < early[-1].as_of):
        for delivery in platform.deliveries(until=early[-1].as_of):
            await platform.pace.wait(delivery)
            platform.safe_point()
            await take_boundary(platform, delivery)
    await checklist(platform, preflight, "pre-market", Phase.MARKET_SESSION)


async def market_session(platform: Platform) -> None:
    """Boundary after boundary, until the close, the end of the feed, or a person's early end (§9)."""
    if platform.reached(Phase.SHUTDOWN):
        return
    platform.trading(True)
    if resume.unfinished_frame(platform) is not None:
        await decide_late(platform)
    last = platform.plan.data.boundaries[-1]
    if platform.day.boundary_at is None or platform.day.boundary_at < last:
        for delivery in platform.deliveries(until=last):
            await platform.pace.wait(delivery)
            platform.safe_point()
            await take_boundary(platform, delivery)
            if platform.end_early and not _still_leaving(platform):
                break


async def decide_late(platform: Platform) -> None:
    """Decide on the boundary that had closed when the last process ended: its exits must not be missed."""
    boundary_at = platform.day.boundary_at
    for frame in platform.plan.data.frames:
        if frame.as_of == boundary_at:
            await compute_and_decide(platform, frame)


def _still_leaving(platform: Platform) -> bool:
    """After an early end: something is still on its way out, and there are bars left to leave by."""
    return any(held.flat_policy == "at_close" for held in platform.state.positions.values())


async def shut_down(platform: Platform) -> None:
    """§16: no new candidates, open orders settle, positions end as the policy says, services stop in order."""
    shell, state = platform.shell, platform.state
    platform.safe_point()
    platform.trading(True)
    if not platform.reached(Phase.RECONCILIATION):
        closes_at = max(platform.day.closes_at, shell.now()) if not platform.end_early else shell.now()
        await shell.at_the_venue(lambda: platform.exchange.close_session(closes_at))
        await shell.settle()
        if not platform.day.ending:
            reason = f"ended early: {platform.end_early}" if platform.end_early else "the market closed"
            await shell.feed(SessionEnding(at=max(closes_at, shell.now()), reason=reason))
        await stop_services(platform, upto="exit_logic")
        await until(platform, lambda: platform.reached(Phase.RECONCILIATION), SETTLE_S)
    if not platform.reached(Phase.RECONCILIATION):
        live = ", ".join(f"{order.cl_ord_id} ({order.status})" for order in state.working())
        raise DayRefused(
            f"orders have not settled {SETTLE_S} s after the close: {live}. Look at them at the broker, then run "
            "the day again: it resumes here"
        )


async def reconcile_and_review(platform: Platform) -> None:
    """§14, §17: compare with the broker once more, summarize, close; then make room on disk."""
    shell, day = platform.shell, platform.day
    platform.safe_point()
    if not platform.reached(Phase.REVIEW):
        await until(platform, lambda: platform.reached(Phase.REVIEW), COMPARE_S)
    if not platform.reached(Phase.REVIEW):
        raise DayRefused("the end-of-session reconciliation could not be completed: run the day again, it resumes here")
    await stop_services(platform, upto="risk_manager")
    if not platform.reached(Phase.CLOSED):
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
    await checkpoint(platform)
    platform.trading(False)
    await shell.beside(platform.put_away)


async def stop_services(platform: Platform, *, upto: str) -> None:
    """Note the services that stop, in §16's order, up to and including one; those noted before are not noted again.

    API and page stop last, after the session is closed, and only where nobody wants to look at it (§16 "if needed").
    """
    for position, service in enumerate(STOP_ORDER, start=1):
        if service not in platform.stopped:
            platform.stopped.append(service)
            await platform.shell.feed(ServiceStopped(at=platform.shell.now(), service=service, position=position))
        if service == upto:
            return


async def until(platform: Platform, holds: Callable[[], bool], patience_s: int) -> None:
    """Let market time pass, a second at a time, until something holds, the patience ends or the next bars are due."""
    shell = platform.shell
    for _ in range(patience_s):
        await shell.settle()
        if holds():
            return
        platform.safe_point()
        await platform.pace.second()
        at, awaited = shell.now() + timedelta(seconds=1), platform.monitor.awaited
        if awaited is not None and at >= awaited:
            return
        await shell.feed(ClockTicked(at=at))
