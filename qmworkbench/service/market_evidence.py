"""Gathers what the pre-market preflight judges: the running platform and the broker's own books (§6, §7, §8, §23)."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.commands import EmergencyLiquidateAndHalt
from qmworkbench.domain.events.control import CommandReceived, EmergencyStarted
from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.execution import BrokerSnapshot
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.sessions import TradingState
from qmworkbench.operations import evidence as seen
from qmworkbench.operations import market_evidence as market
from qmworkbench.ports import BrokerUnreachable
from qmworkbench.service import health_watch
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
from qmworkbench.service.plan import as_plain, market_of
from qmworkbench.service.platform import Platform
from qmworkbench.service.strategies_seen import strategies_seen
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.phases import STARTUP_ORDER
from qmworkbench.trading.pre_open import window_of
from qmworkbench.trading.state import State, decode_state, encode_state, position_key


def gather_pre_market(config: Config, platform: Platform) -> market.PreMarketEvidence:
    """Everything §6, §7, §8 and §23 ask of the running platform."""
    state, plan, day = platform.state, platform.plan, platform.day
    # A plain loop has no watch of its own, and a served one may not have looked yet.
    health_watch.look(platform, serving=False, loop_lag_ms=0.0)
    read = _read_broker(platform)
    account = read.account if read is not None else None
    api, page = _api_and_page(platform)
    return market.PreMarketEvidence(
        environment=plan.environment,
        signatures=signatures_of(platform),
        session_id=plan.session_id,
        components=_components(platform),
        services=tuple(sorted(day.services, key=day.services.__getitem__)),
        services_expected=STARTUP_ORDER,
        api=api,
        page=page,
        account=market.AccountSeen(
            account=account,
            expected_cash=_expected_cash(platform),
            expected_source="the broker's last statement in our journal, and what is on record as booked since",
            leverage=plan.venue_model.leverage,
            detail="" if account is not None else "the broker could not be read",
        ),
        broker=broker_of(platform),
        data=data_of(config, platform),
        feed_state=state.feed.value if day.boundary_at is not None or state.feed is FeedState.GOOD else market.UNHEARD,
        positions=None if read is None else tuple(market.Holding(p.symbol, p.qty) for p in read.positions),
        positions_expected=_positions_expected(state),
        orders=None if read is None else tuple(market.Holding(o.cl_ord_id, o.leaves_qty) for o in read.open_orders),
        orders_expected=_orders_expected(state),
        reconciliation=state.reconciliation.result.value if state.reconciliation.result is not None else "",
        unresolved=tuple(f"{b.kind} {b.symbol}" for b in list(state.reconciliation.unresolved.values())),
        blocklist=blocklist_of(platform),
        limits=limits_of(config, platform),
        kernel_limits_hash=day.limits.content_hash,
        scan_settings=dict(day.scan_settings),
        scan_changes=_scan_changes(config, platform),
        scan_window=_scan_window(config, platform),
        pre_open=_pre_open(config, platform),
        strategies=strategies_seen(plan, decode_state(platform.as_found)),
        runs=tuple(name for name, run in day.runs.items() if not run.ended),
        alerts=_alerts(platform),
        emergency=_emergency(platform),
        clock=clock_of(platform),
        trading_state=state.halt.state.value,
        halt_reason=state.halt.reason,
        decisions_waiting=tuple(d.question for d in list(day.decisions.values())),
    )


def _read_broker(platform: Platform) -> BrokerSnapshot | None:
    read = snapshot(platform.broker, platform.state.exec_cursor)
    return read if read.complete else None


def _components(platform: Platform) -> tuple[market.ComponentSeen, ...]:
    return tuple(
        market.ComponentSeen(
            component=known.component,
            status=known.status.value,
            latency_ms=known.latency_ms,
            last_success=known.last_success.isoformat(timespec="seconds") if known.last_success else "",
            detail=known.detail,
            critical=known.critical,
        )
        for known in platform.board.components()
    )


def _api_and_page(platform: Platform) -> tuple[seen.ApiSeen, seen.PageSeen]:
    """What the API answers on its own socket, as anybody else would ask it."""
    page = page_of(platform)
    if platform.start_api is None:
        return seen.ApiSeen(served=False, detail="headless: nobody asks this process over the network"), page
    from qmworkbench.service.client import ApiError, CoreApi  # httpx: only where there is somebody to ask

    began = time.perf_counter()
    try:
        with CoreApi(platform.plan.paths) as api_client:
            health = api_client.health()
    except ApiError as error:
        return seen.ApiSeen(served=True, starts=True, detail=str(error)), page
    latency_ms = (time.perf_counter() - began) * 1e3
    status = str(health.get("status", ""))
    code = 503 if status == "failed" else 200
    api = seen.ApiSeen(served=True, starts=True, status_code=code, status=status, latency_ms=latency_ms)
    return api, msgspec.structs.replace(page, loads=platform.readiness.get("ui") is not None or None)


def _expected_cash(platform: Platform) -> Decimal | None:
    """Cash as the broker last stated it on our record, with what has gone on record as booked since: interest,
    dividends. None for a new book, and for a session taken over, whose fills have moved it.
    """
    account = decode_state(platform.as_found).account
    if account is None or platform.restored.unfinished:
        return None
    try:
        since = platform.broker.activities(account.cursor)
    except BrokerUnreachable:
        return account.cash
    return account.cash + sum((one.amount for one in since if one.cursor <= platform.state.activity_cursor), ZERO)


def _positions_expected(state: State) -> tuple[market.Holding, ...]:
    """What the broker should hold: carried positions among it, instances against each other counted together."""
    return tuple(market.Holding(symbol, state.net_qty(symbol)) for symbol in sorted(state.net))


def _orders_expected(state: State) -> tuple[market.Holding, ...]:
    """The exits that rest beside what is held; any other open order is one too many."""
    held = set(state.positions)
    return tuple(
        market.Holding(order.cl_ord_id, order.leaves_qty)
        for order in state.working()
        if position_key(order.strategy_id, order.symbol) in held and not order.is_in_doubt
    )


def _scan_changes(config: Config, platform: Platform) -> tuple[str, ...]:
    """What the configuration says against what the last session of this book was scanned with."""
    before = decode_state(platform.as_found).session
    if before is None or before.session_id == platform.plan.session_id:
        return ()
    now = as_plain(config.scan(market_of(platform.plan.data)))
    return tuple(
        f"{key}: {before.scan_settings.get(key)} -> {now[key]}"
        for key in now
        if before.scan_settings.get(key) != now[key]
    )


def _scan_window(config: Config, platform: Platform) -> market.ScanWindow:
    settings, window = platform.day.scan_settings, platform.plan.data.window
    section = f"scan.{market_of(platform.plan.data).value}"

    def at(moment: datetime, minutes: float) -> str:
        return (moment + timedelta(minutes=minutes)).isoformat()

    sources = {config.source(f"{section}.{name}") for name in ("window_open_min", "window_close_min")}
    return market.ScanWindow(
        from_at=at(window.opens_at, settings.get("window_open_min", 0.0)),
        until_at=at(window.closes_at, -settings.get("window_close_min", 0.0)),
        opens_at=window.opens_at.isoformat(),
        closes_at=window.closes_at.isoformat(),
        source=", ".join(sorted(sources)),
    )


def _pre_open(config: Config, platform: Platform) -> market.PreOpenSeen:
    """The window as the configuration means it now, beside the scan on record."""
    data = platform.plan.data
    intended = window_of(config.scan(market_of(data)), data.window.opens_at)
    if intended is None:
        return market.PreOpenSeen(wanted=False)
    seen_intended = market.PreOpenSeen(
        wanted=True, intended_from=intended.begins.isoformat(), intended_until=intended.ends.isoformat()
    )
    scan = platform.day.pre_open
    if scan is None:
        return seen_intended
    return msgspec.structs.replace(
        seen_intended,
        window_from=scan.window_from.isoformat(),
        window_until=scan.window_until.isoformat(),
        used_from=scan.used_from.isoformat() if scan.used_from else "",
        used_until=scan.used_until.isoformat() if scan.used_until else "",
        looked_at=scan.looked_at,
        found=tuple(f"{row.symbol} {row.gap_pct:+} %" for row in scan.rows if row.rank),
        detail=scan.detail,
    )


def _alerts(platform: Platform) -> market.AlertsSeen:
    """Every alert is an event: it reaches the journal, the log and, where one is served, the page."""
    channels = ["journal", "log"]
    if platform.start_page is not None:
        channels.append("command center")
    return market.AlertsSeen(channels=tuple(channels))


def _emergency(platform: Platform) -> market.EmergencySeen:
    """Each way to liquidate, tried without effect: the command on a copy of the kernel, the broker's reads that the
    direct executor stands on, its log, and the API where it is served.
    """
    ways: dict[str, Callable[[], None]] = {
        "kernel": lambda: _try_on_a_copy(platform),
        "broker": lambda: _read_for_emergency(platform),
        "fallback log": lambda: FallbackLog.reserve(platform.plan.paths.fallback),
    }
    if platform.start_api is not None:
        ways["api"] = lambda: _ask_the_api(platform)
    paths: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, attempt in ways.items():
        began = time.perf_counter()
        try:
            attempt()
        except (BrokerUnreachable, StorageRefused, OSError, RuntimeError) as error:
            failed[name] = str(error) or type(error).__name__
        else:
            paths[name] = (time.perf_counter() - began) * 1e3
    return market.EmergencySeen(needed=("kernel", "broker"), paths=paths, failed=failed)


def _try_on_a_copy(platform: Platform) -> None:
    """Give the command to a kernel that holds a copy of the state: entries must stop and the book must halt."""
    trial = Kernel(decode_state(encode_state(platform.state)))
    given = CommandReceived(
        at=platform.shell.now(),
        command_id="preflight-trial",
        command=EmergencyLiquidateAndHalt(reason="tried by the preflight, on a copy"),
        operator="policy:preflight",
        origin="preflight",
    )
    events = trial.step(given)
    if not any(isinstance(event, EmergencyStarted) for event in events):
        raise RuntimeError("the kernel did not start the emergency")
    if trial.state.halt.state is not TradingState.HALTED:
        raise RuntimeError(f"the kernel left the book {trial.state.halt.state}")


def _read_for_emergency(platform: Platform) -> None:
    platform.broker.positions()
    platform.broker.open_orders()


def _ask_the_api(platform: Platform) -> None:
    from qmworkbench.service.client import ApiError, CoreApi  # httpx: only where there is somebody to ask

    try:
        with CoreApi(platform.plan.paths) as asked:
            asked.health()
    except ApiError as error:
        raise RuntimeError(str(error)) from error
