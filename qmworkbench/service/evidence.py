"""Gathers what the preflight judges: facts of a platform that is open, before its start and before the market (§5, §8).

Nothing is judged here. What could not be looked at is handed on as such, so that the checklist says "not looked at" and
never a silent pass. Each preflight is kept beside its session, whole, as the report shows it.
"""

import importlib.util
import os
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.domain.chain import ChainBroken
from qmworkbench.domain.checks import Check
from qmworkbench.operations import evidence as seen
from qmworkbench.operations.preflight import PreflightPhase, PreflightRecord, preflight
from qmworkbench.service.config import Config
from qmworkbench.service.evidence_parts import (
    blocklist_of,
    broker_of,
    clock_of,
    data_of,
    limits_of,
    page_of,
    signatures_of,
)
from qmworkbench.service.market_evidence import gather_pre_market
from qmworkbench.service.platform import Platform
from qmworkbench.service.strategies_seen import strategies_seen
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.trading.state import decode_state

_MEGABYTE: Final = 1024 * 1024
_KEPT_FOR_GOOD_DAYS: Final = 36_500


def platform_preflight(config: Config) -> Callable[[Platform, str], Sequence[Check]]:
    """The preflight of a day: gathers, judges and keeps each phase's checks. Give it to trading_day."""

    def look(platform: Platform, phase: str) -> Sequence[Check]:
        began = time.perf_counter()
        at = platform.wall()
        which = PreflightPhase(phase)
        if which is PreflightPhase.PRE_START:
            checks = preflight(which, gather_pre_start(config, platform))
        else:
            checks = preflight(which, gather_pre_market(config, platform))
        record = PreflightRecord(
            phase=which,
            session_id=platform.plan.session_id,
            environment=platform.plan.environment.value,
            taken_at=at.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - began, 3),
            checks=tuple(checks),
        )
        _keep(platform.session_paths.preflight(phase), record)
        return checks

    return look


def _keep(path: Path, record: PreflightRecord) -> None:
    """Beside the session, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    os.replace(half, path)


def recorded(path: Path) -> PreflightRecord | None:
    """A preflight as it was kept, None where there was none. Raises msgspec.ValidationError if it was edited."""
    return msgspec.json.decode(path.read_bytes(), type=PreflightRecord) if path.exists() else None


# --- before the start ------------------------------------------------------------------------------------


def gather_pre_start(config: Config, platform: Platform) -> seen.PreStartEvidence:
    """Everything §5 asks of this day."""
    plan = platform.plan
    return seen.PreStartEvidence(
        environment=plan.environment,
        environment_source=config.source("environment"),
        signatures=signatures_of(platform),
        session_id=plan.session_id,
        config_faults=(),  # a configuration with faults never becomes a platform; `qm preflight` shows them
        credentials=seen.Credentials(needed=False, detail=f"{plan.environment} reaches no broker that asks for any"),
        data=data_of(config, platform),
        broker=broker_of(platform),
        page=page_of(platform),
        live_armed=False,  # arming does not exist in this version: live is refused by the configuration
        limits=limits_of(config, platform),
        blocklist=blocklist_of(platform),
        bus=seen.BusSeen(kind="in process", reachable=True),
        store=_store(platform),
        api=_api_before_the_start(config, platform),
        jobs=_jobs(config, platform),
        lease=_lease(platform),
        previous=_previous(platform),
        clock=clock_of(platform),
        retention=_retention(config),
        strategies=strategies_seen(platform.plan, decode_state(platform.as_found)),
    )


def _store(platform: Platform) -> seen.StoreSeen:
    facts = platform.journal.durability()
    verified, detail = True, ""
    try:
        platform.proven.update(platform.journal.verify(platform.proven))
    except (ChainBroken, StorageRefused) as error:
        verified, detail = False, str(error)
    return seen.StoreSeen(
        kind=platform.plan.store.kind,
        journal_mode=facts.get("journal_mode", ""),
        synchronous=facts.get("synchronous") or facts.get("synchronous_commit", ""),
        verified=verified,
        records=platform.journal.head[0],
        anchor=platform.anchored,
        free_mb=shutil.disk_usage(platform.plan.paths.root).free // _MEGABYTE,
        detail=detail,
    )


def _api_before_the_start(config: Config, platform: Platform) -> seen.ApiSeen:
    """Whether the address can be bound; it is let go of at once, and taken for good at startup."""
    if platform.start_api is None:
        return seen.ApiSeen(served=False, detail="headless: nobody asks this process over the network")
    service = config.settings.service
    address = f"{service.host}:{service.port or 'any free port'}"
    family = socket.AF_INET6 if ":" in service.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((service.host, service.port))
    except OSError as error:
        return seen.ApiSeen(served=True, starts=False, address=address, detail=f"{address}: {error.strerror or error}")
    return seen.ApiSeen(served=True, starts=True, address=address)


def _jobs(config: Config, platform: Platform) -> tuple[seen.Job, ...]:
    projections = platform.projections
    running = projections is not None and not projections.error
    wanted = config.settings.reports.enabled
    possible = importlib.util.find_spec("papermill") is not None
    return (
        seen.Job(
            name="projections",
            expected=True,
            enabled=running,
            detail=str(projections.error or "") if projections is not None else "not started",
        ),
        seen.Job(name="reports", expected=wanted, enabled=wanted and possible, detail="papermill is not installed"),
    )


def _lease(platform: Platform) -> seen.LeaseSeen:
    holder = platform.lease.holder
    before = platform.lease.took_over
    detail = f"taken over from a process that ended without letting go: {before.sentence()}" if before else ""
    return seen.LeaseSeen(ours=True, holder=holder.process_id, detail=detail)


def _previous(platform: Platform) -> seen.PreviousSession:
    """The book as this process found it, before it opened anything."""
    state = decode_state(platform.as_found)
    if state.session is None:
        return seen.PreviousSession()
    breaks = list(state.reconciliation.unresolved.values())
    session, resuming = state.session, platform.restored.unfinished == platform.plan.session_id
    return seen.PreviousSession(
        session_id=session.session_id,
        closed=session.session_id in state.closed_sessions,
        resuming=resuming,
        open_runs=tuple(name for name, run in session.runs.items() if not run.ended),
        unresolved=tuple(f"{b.kind} {b.symbol}: {b.before} -> {b.after}" for b in breaks),
        decisions_waiting=tuple(d.question for d in list(session.decisions.values())),
        trading_state=state.halt.state.value,
        halt_reason=state.halt.reason,
        alerts=tuple(alert.text for alert in list(state.alerts.values())),
    )


def _retention(config: Config) -> seen.RetentionSeen:
    kept = config.settings.retention

    def days(value: int) -> int:
        return value or _KEPT_FOR_GOOD_DAYS  # 0 keeps for good

    sources = {config.source(f"retention.{kind}") for kind in ("radar", "momentum", "logs", "bars")}
    return seen.RetentionSeen(
        snapshots_days=min(days(kept.radar), days(kept.momentum)),
        logs_days=days(kept.logs),
        bars_days=days(kept.bars),
        source=", ".join(sorted(sources)),
    )
