"""Pre-start checks of system and data: servers, store, processes, clock and the bars themselves (§5)."""

from typing import Final

from qmworkbench.domain.checks import Check
from qmworkbench.operations.evidence import ClockSeen, DataFault, DataSeen, LimitsSeen, PreStartEvidence
from qmworkbench.operations.lines import Line, listed

_SYSTEM: Final = "§5 System Check"
_DATA: Final = "§5 Data Check"
_LEAST_FREE_MB: Final = 200

REDIS = Line(
    check_id="preflight.redis",
    section=_SYSTEM,
    title="Redis is reachable",
    looked_at="the configured bus",
    expectation="answers, where the bus is Redis",
    remedy="start Redis, or correct its address",
)
POSTGRESQL = Line(
    check_id="preflight.postgresql",
    section=_SYSTEM,
    title="PostgreSQL is reachable",
    looked_at="the configured store",
    expectation="answers at the expected schema revision, where the store is PostgreSQL",
    remedy="start PostgreSQL, or correct its address; run the migrations",
)
STORE_DURABLE = Line(
    check_id="preflight.store_durable",
    section="M: Pre-Flight 3",
    title="The store is durable as configured",
    looked_at="the journal's writing connection",
    expectation="SQLite: journal_mode wal and synchronous FULL; PostgreSQL: synchronous_commit on",
    remedy="nothing may be sent that is not durable: move the book to a local disk and start again",
)
JOURNAL_VERIFIED = Line(
    check_id="preflight.journal_verified",
    section="M: Pre-Flight 1 (no gaps)",
    title="The journal is whole",
    looked_at="every record's hash, from the first one, and the head that was signed outside the book",
    expectation="an unbroken chain that holds what was anchored",
    remedy="restore the book from its last backup, or start a new one with --fresh; never edit a journal",
)
DISK_SPACE = Line(
    check_id="preflight.disk_space",
    section=_SYSTEM,
    title="The disk has room for the session",
    looked_at="free space where the book lies",
    expectation="enough for a day's journal, bars and logs",
    remedy="free some space, or shorten the retention",
)
API_STARTS = Line(
    check_id="preflight.api_starts",
    section=_SYSTEM,
    title="The API service starts cleanly",
    looked_at="the Core API and the address it binds",
    expectation="built and bound",
    remedy="free the port, or set service.port = 0 to take any",
)
BACKGROUND_JOBS = Line(
    check_id="preflight.background_jobs",
    section=_SYSTEM,
    title="Background jobs run as configured",
    looked_at="jobs of this process against the configuration",
    expectation="each on or off as configured",
    remedy="correct the configuration of the job, or restart the platform",
)
NO_STUCK_PROCESSES = Line(
    check_id="preflight.no_stuck_processes",
    section=_SYSTEM,
    title="No process of an earlier session is left",
    looked_at="the book's lease and the processes of its last sessions",
    expectation="the lease is ours and nobody else writes this book",
    remedy="let that process finish, or end it by its id; then start again",
)
DATA_LATENCY = Line(
    check_id="preflight.data_latency",
    section=_DATA,
    title="The data provider's latency is acceptable",
    looked_at="time to the first bar",
    expectation="bars arrive well before they are stale",
    remedy="move the file to a faster disk, or change the provider",
)
DATA_USABLE = Line(
    check_id="preflight.data_usable",
    section=_DATA,
    title="The market data can be traded from",
    looked_at="every row of the session's data",
    expectation="a session's bars; faulty rows set aside on record",
    remedy="see the findings; each names its rows and its remedy",
)
CLOCK = Line(
    check_id="preflight.clock",
    section=_DATA,
    title="The clock is synchronized",
    looked_at="offset against a time source",
    expectation="within limits.max_clock_skew_ms",
    remedy="start the system's time service (chrony, systemd-timesyncd) and wait until it is in step",
)
RADAR_TIMING = Line(
    check_id="preflight.radar_timing",
    section=_DATA,
    title="The radar looks at every bar boundary",
    looked_at="radar interval against the bars' interval",
    expectation="equal, on whole boundaries",
    remedy="give bars of the interval the radar is configured for",
)
RETENTION = Line(
    check_id="preflight.retention",
    section=_DATA,
    title="Retention rules for history are active",
    looked_at="retention settings",
    expectation="snapshots, logs and bars are each kept for a number of days",
    remedy="set retention.radar, retention.momentum, retention.logs and retention.bars, in days",
)


def system_checks(seen: PreStartEvidence) -> list[Check]:
    """§5 System Check, with the store."""
    return [*_servers(seen), *_store(seen), _api_starts(seen), _jobs(seen), _stuck(seen)]


def data_checks(seen: PreStartEvidence) -> list[Check]:
    """§5 Data Check."""
    stale_s = seen.limits.limits.stale_quote_s if seen.limits else None
    return [
        _usable(seen.data),
        _latency(seen.data, stale_s),
        clock_check(CLOCK, seen.clock, seen.limits),
        _radar_timing(seen.data),
        _retention(seen),
    ]


def _servers(seen: PreStartEvidence) -> list[Check]:
    bus, store = seen.bus, seen.store
    redis = (
        REDIS.judged(bus.reachable, "reachable" if bus.reachable else "not reachable", detail=bus.detail)
        if bus.kind == "redis"
        else REDIS.not_applicable(
            f"the bus of {seen.environment} is {bus.kind}; no Redis is configured", value=bus.kind
        )
    )
    postgresql = (
        POSTGRESQL.judged(store.reachable, "reachable" if store.reachable else "not reachable", detail=store.detail)
        if store.kind == "postgresql"
        else POSTGRESQL.not_applicable(
            f"the store of {seen.environment} is {store.kind}; no PostgreSQL is configured", value=store.kind
        )
    )
    return [redis, postgresql]


def _store(seen: PreStartEvidence) -> list[Check]:
    store = seen.store
    if store.kind == "memory":
        durable = STORE_DURABLE.not_applicable("a backtest in memory keeps nothing and sends nothing", value="memory")
    else:
        mode = (
            f"journal_mode {store.journal_mode or '?'}, synchronous" if store.kind == "sqlite" else "synchronous_commit"
        )
        value = f"{store.kind}: {mode} {store.synchronous or '?'}"
        sqlite = store.journal_mode.lower() == "wal" and store.synchronous.lower() in ("full", "extra", "2", "3")
        holds = sqlite if store.kind == "sqlite" else store.synchronous.lower() == "on"
        durable = STORE_DURABLE.judged(
            holds,
            value,
            threshold="wal, FULL" if store.kind == "sqlite" else "synchronous_commit on",
            threshold_source="DESIGN: durable before any effect",
            detail=store.detail,
        )
    if store.verified is None:
        whole = JOURNAL_VERIFIED.not_looked_at(store.detail or "the chain was not walked")
    else:
        value = f"{store.records:,} records" + (f", {store.anchor}" if store.anchor else "")
        whole = JOURNAL_VERIFIED.judged(store.verified, value, detail=store.detail)
    if store.free_mb is None:
        space = DISK_SPACE.not_applicable("the system does not tell its free space")
    else:
        space = DISK_SPACE.judged(
            store.free_mb >= _LEAST_FREE_MB,
            f"{store.free_mb:,} MB free",
            threshold=f"{_LEAST_FREE_MB} MB",
            threshold_source="built in",
        )
    return [durable, whole, space]


def _api_starts(seen: PreStartEvidence) -> Check:
    api = seen.api
    if not api.served:
        return API_STARTS.not_applicable(api.detail or "this process serves no API", value="no API")
    return API_STARTS.judged(api.starts, api.address if api.starts else "could not start", detail=api.detail)


def _jobs(seen: PreStartEvidence) -> Check:
    wrong = [job for job in seen.jobs if job.expected != job.enabled]
    value = ", ".join(f"{job.name} {'on' if job.enabled else 'off'}" for job in seen.jobs) or "none configured"
    return BACKGROUND_JOBS.judged(
        not wrong, value, detail="; ".join(f"{job.name}: {job.detail or 'not as configured'}" for job in wrong)
    )


def _stuck(seen: PreStartEvidence) -> Check:
    lease = seen.lease
    if lease.leftovers:
        return NO_STUCK_PROCESSES.judged(False, f"left over: {listed(lease.leftovers)}", detail=lease.detail)
    if not lease.ours and lease.holder:
        return NO_STUCK_PROCESSES.judged(False, f"the book is held by {lease.holder}", detail=lease.detail)
    value = "the lease is ours" if lease.ours else "nobody holds the book"
    return NO_STUCK_PROCESSES.judged(True, value, detail=lease.detail)


def _ended(fault: DataFault) -> str:
    return fault.message.rstrip(".")


def _usable(data: DataSeen) -> Check:
    refused = [fault for fault in data.faults if fault.severity == "refuse"]
    aside = [fault for fault in data.faults if fault.severity == "quarantine"]
    if not data.readable:
        said = (
            "; ".join(f"{fault.code}: {fault.message.rstrip('.')}" for fault in refused)
            or "the source could not be opened"
        )
        remedies = " ".join(dict.fromkeys(fault.remedy for fault in refused if fault.remedy))
        return DATA_USABLE.judged(False, f"{data.source}: refused", detail=said, remedy=remedies)
    half = ", a half-day" if data.half_day else ""
    value = (
        f"{data.bars:,} bars of {data.symbols:,} symbols on {data.session_date}{half}, {data.history_days} history days"
    )
    looked_at = f"{data.source} ({data.data_hash})" if data.data_hash else data.source
    if aside:
        rows = sum(fault.rows for fault in aside)
        said = "; ".join(f"{fault.code}: {fault.message.rstrip('.')}" for fault in aside)
        return DATA_USABLE.warned(
            value, f"{rows:,} rows set aside: {said}", remedy=aside[0].remedy, looked_at=looked_at
        )
    notes = "; ".join(_ended(fault) for fault in data.faults)
    return DATA_USABLE.judged(True, value, detail=notes, looked_at=looked_at)


def _latency(data: DataSeen, stale_s: int | None) -> Check:
    if data.latency_ms is None or stale_s is None:
        return DATA_LATENCY.not_looked_at("no bar was read" if data.latency_ms is None else "no limits are in force")
    return DATA_LATENCY.judged(
        data.latency_ms <= stale_s * 1000,
        f"{data.latency_ms:,.1f} ms to the first bar",
        threshold=f"{stale_s} s",
        threshold_source="limits.stale_quote_s",
    )


def clock_check(line: Line, clock: ClockSeen, limits: LimitsSeen | None) -> Check:
    """Whether this machine's time may be traded by; used before the start and before the market."""
    if clock.replay:
        return line.not_applicable("a replay's clock is the bars' own", value="bars' clock")
    if clock.offset_ms is None or limits is None:
        return line.not_looked_at("no time source answered" if clock.offset_ms is None else "no limits are in force")
    most = limits.limits.max_clock_skew_ms
    return line.judged(
        abs(clock.offset_ms) <= most,
        f"{clock.offset_ms:+.1f} ms against {clock.source}",
        threshold=f"{most} ms",
        threshold_source=f"limits.max_clock_skew_ms ({limits.source('max_clock_skew_ms')})",
    )


def _radar_timing(data: DataSeen) -> Check:
    if not data.readable:
        return RADAR_TIMING.not_looked_at("there are no bars to take the interval from")
    detail = "" if data.interval_s == 60 else f"the runbook's minute boundary becomes the bars' own {data.interval_s} s"
    return RADAR_TIMING.judged(
        data.interval_s > 0 and data.radar_interval_s == data.interval_s,
        f"radar every {data.radar_interval_s} s, bars every {data.interval_s} s",
        detail=detail,
    )


def _retention(seen: PreStartEvidence) -> Check:
    kept = seen.retention
    value = f"snapshots {kept.snapshots_days}, logs {kept.logs_days}, bars {kept.bars_days} days; the journal for good"
    return RETENTION.judged(
        min(kept.snapshots_days, kept.logs_days, kept.bars_days) >= 1,
        value,
        threshold="1 day",
        threshold_source=kept.source,
    )
