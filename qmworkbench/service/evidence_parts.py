"""What both phases of the preflight look at: data, broker, page, limits, blocks (§5, §8)."""

import time

import polars as pl

from qmworkbench.domain.execution import Account
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import BlockScope, Environment
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.store.reading import open_bar_path
from qmworkbench.operations import evidence as seen
from qmworkbench.operations.lines import Signatures
from qmworkbench.ports import BrokerUnreachable
from qmworkbench.service.config import Config
from qmworkbench.service.platform import Platform
from qmworkbench.trading.state import decode_state

_SIMULATED = "simulated venue"


def signatures_of(platform: Platform) -> Signatures:
    """Who may sign the lines that need a person."""
    return Signatures(environment=platform.plan.environment, unattended=platform.plan.unattended)


def clock_of(platform: Platform) -> seen.ClockSeen:
    """A replay has no clock of its own to be wrong."""
    replay = platform.plan.environment in (Environment.BACKTEST, Environment.LOCAL)
    return seen.ClockSeen(replay=replay)


def data_of(config: Config, platform: Platform) -> seen.DataSeen:
    """The session's market data as it was opened, with every finding."""
    data = platform.plan.data
    frames = data.frames
    first_ms = _first_bar_ms(config) if frames else None
    return seen.DataSeen(
        source=data.source,
        approved_sources=("file", "demo"),
        readable=bool(frames),
        session_date=data.window.date.isoformat(),
        symbols=len(data.universe),
        bars=sum(len(frame) for frame in frames),
        boundaries=len(data.boundaries),
        half_day=data.window.half_day,
        history_days=data.reference.history_days,
        interval_s=data.interval_s,
        radar_interval_s=platform.ground.grid.interval_s,
        latency_ms=first_ms,
        data_hash=data.data_hash,
        faults=tuple(
            seen.DataFault(code=f.code, severity=f.severity.value, rows=f.rows, message=f.message, remedy=f.remedy)
            for f in data.findings
        ),
    )


def _first_bar_ms(config: Config) -> float | None:
    """How long the provider takes to give a bar: a file is asked once more, the demo market has its bars in memory."""
    began = time.perf_counter()
    if config.data_file is not None:
        try:
            open_bar_path(config.data_file).lazy.head(1).collect(engine="in-memory")
        except (DataRefused, OSError, pl.exceptions.PolarsError):
            return None
    return (time.perf_counter() - began) * 1e3


def broker_of(platform: Platform) -> seen.BrokerSeen:
    """Whether the execution broker answers, and how fast."""
    began = time.perf_counter()
    try:
        platform.broker.account()
    except BrokerUnreachable as error:
        return seen.BrokerSeen(name=_SIMULATED, simulated=True, reachable=False, detail=str(error))
    latency_ms = (time.perf_counter() - began) * 1e3
    model = platform.plan.venue_model.name
    return seen.BrokerSeen(
        name=_SIMULATED, simulated=True, reachable=True, latency_ms=latency_ms, detail=f"{model} fills, in its own file"
    )


def page_of(platform: Platform) -> seen.PageSeen:
    """Whether a page was asked for, and the mode it shows."""
    wanted = platform.start_page is not None
    mode = platform.plan.environment.value if wanted else ""
    return seen.PageSeen(
        wanted=wanted, shown_mode=mode, detail="the page shows what the Core API says" if wanted else ""
    )


def limits_of(config: Config, platform: Platform) -> seen.LimitsSeen:
    """The limits in force, and where each was set."""
    limits = platform.plan.limits
    names = limits.__struct_fields__
    account = account_of(platform)
    return seen.LimitsSeen(
        limits=limits,
        limits_hash=limits.content_hash,
        sources={name: config.source(f"limits.{name}") for name in names},
        equity=account.equity if account is not None else None,
        currency=platform.plan.account_currency,
        before=_limits_before(platform),
    )


def _limits_before(platform: Platform) -> Limits | None:
    """The limits of the session before this one; of this one, where it is being resumed."""
    session = decode_state(platform.as_found).session
    return None if session is None else session.limits


def account_of(platform: Platform) -> Account | None:
    """The account as the broker states it; None where it does not answer."""
    try:
        return platform.broker.account()
    except BrokerUnreachable:
        return None


def blocklist_of(platform: Platform) -> seen.Blocklist:
    """Blocks as configured, on record before this session, and in force."""
    found, blocked = decode_state(platform.as_found).blocked, platform.state.blocked
    permanent = sorted(symbol for symbol, block in found.items() if block.scope is BlockScope.PERMANENT)
    return seen.Blocklist(
        configured=platform.plan.limits.blocked_symbols, recorded=tuple(permanent), in_force=tuple(sorted(blocked))
    )
