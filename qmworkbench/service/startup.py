"""The startup order, service by service, each with its own proof of readiness (§6)."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

import msgspec
import polars as pl

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.session import ServiceReady
from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.orders import Leg, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.ports import BrokerUnreachable
from qmworkbench.service.frames import Frames, raw_bars
from qmworkbench.service.ground import keep_ground
from qmworkbench.service.platform import Platform
from qmworkbench.service.resume import catch_up
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.storage.migrations import HEAD
from qmworkbench.storage.quarantine import add_quarantined
from qmworkbench.trading import risk
from qmworkbench.trading.phases import STARTUP_ORDER
from qmworkbench.trading.scanner_settings import ScanSettings

# What a commit has to survive, in each store's own words.
_DURABLE: Final = {
    "sqlite": {"journal_mode": "wal", "synchronous": "full"},
    "postgres": {"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"},
}


class StartupFailed(Exception):
    """A service did not come up. The message names the service, what was found and the remedy; later ones were not
    started.
    """

    def __init__(self, service: str, position: int, found: str) -> None:
        super().__init__(f"startup stopped at service {position} of {len(STARTUP_ORDER)}, {service}: {found}")
        self.service = service


class NotReady(Exception):
    """What a service's proof found."""


async def start_services(platform: Platform) -> None:
    """Start the services in §6's order; each is on record as ready once it has proved it.

    A resumed session starts them all again and notes only those that were not up before. Raises StartupFailed.
    """
    for position, service in enumerate(STARTUP_ORDER, start=1):
        platform.safe_point()
        try:
            detail = await _START[service](platform)
        except (NotReady, BrokerUnreachable) as error:
            raise StartupFailed(service, position, str(error)) from error
        platform.readiness[service] = detail
        component = _COMPONENT.get(service)
        if component is not None:
            platform.board.succeeded(component, platform.wall(), detail=detail)
        if service not in platform.day.services:
            await platform.shell.feed(ServiceReady(at=platform.shell.now(), service=service, position=position))


async def _config(platform: Platform) -> str:
    day = platform.day
    if day.limits.content_hash != day.limits_hash:
        raise NotReady(
            f"the limits on record hash to {day.limits.content_hash}, noted was {day.limits_hash}: "
            "the journal was edited"
        )
    return f"limits {day.limits_hash}, {len(day.runs)} runs, environment {day.environment}"


async def _store(platform: Platform) -> str:
    found = await platform.shell.beside(platform.journal.durability)
    needed = _DURABLE[platform.plan.store.kind]
    if found != needed:
        raise NotReady(f"the journal runs with {found}, needed is {needed}: put the book where that can be had")
    reached = await platform.shell.durable()
    await platform.shell.beside(lambda: FallbackLog.reserve(platform.plan.paths.fallback))
    told = ", ".join(f"{name} {value}" for name, value in found.items())
    schema = f"schema revision {HEAD}"
    if platform.journal.upgraded_from:
        schema += f", until now {platform.journal.upgraded_from}"
    return f"{platform.plan.store.kind}: {told}; {schema}; durable up to {reached}"


async def _bus(platform: Platform) -> str:
    """A message sent is a message heard. The probe is no decision and goes to the probe's own receiver alone."""
    heard: list[int] = []

    def listen(seq: int, events: object) -> None:
        heard.append(seq)

    leave = platform.bus.follow(listen)
    probe: list[Event] = []
    platform.bus.publish(platform.journal.durable_seq, probe)
    leave()
    if not heard:
        raise NotReady("a message published in process was not heard: restart the platform")
    here = f"{platform.bus.receivers} receivers in process"
    if not platform.plan.bus_url:
        return here
    from qmworkbench.bus.redis_streams import RedisBus, RedisError

    assert isinstance(platform.bus, RedisBus)
    try:
        version = await platform.shell.beside(platform.bus.answers)
    except RedisError as error:
        raise NotReady(f"Redis does not answer ({error}): start it, or set store.bus to in-process") from error
    return f"{here}, and Redis {version} for those elsewhere"


async def _api(platform: Platform) -> str:
    if platform.start_api is None:
        return "not served: a headless run has nobody to ask it"
    return await platform.start_api()


async def _market_data(platform: Platform) -> str:
    """The session's bars can be written, what they stand on is kept, and what was kept out is on record."""
    data = platform.plan.data
    await platform.shell.beside(lambda: platform.bars.begin(data.universe.symbols, data.interval_s))
    await platform.shell.beside(lambda: keep_ground(platform.bars, platform.ground))
    quarantine = platform.session_paths.quarantine
    if data.quarantined.height and not quarantine.exists():
        await platform.shell.beside(lambda: add_quarantined(quarantine, data.quarantined))
    if "market_data" not in platform.day.services:
        for quarantined in data.quarantine_events(platform.shell.now()):
            await platform.shell.feed(quarantined)
    return f"{data.source}: {len(data.universe)} symbols, {len(data.boundaries)} boundaries of {data.interval_s} s"


async def _radar(platform: Platform) -> str:
    """Radar and signals stand where the record stands, at the minute boundary."""
    platform.frames = await platform.shell.beside(lambda: Frames(platform.ground, platform.day, bars_of(platform)))
    if platform.day.boundary_at is None:
        return (
            f"{len(platform.plan.data.universe)} symbols, first boundary {platform.plan.data.boundaries[0].isoformat()}"
        )
    return await catch_up(platform)


def bars_of(platform: Platform) -> pl.DataFrame | None:
    """The whole session's bars where signals are computed in one pass over them."""
    return raw_bars(platform.plan.data) if platform.plan.compute == "one-pass" else None


async def _scanner(platform: Platform) -> str:
    settings = msgspec.convert(platform.day.scan_settings, ScanSettings)
    return f"mode {settings.mode}, from {settings.window_open_min:g} min after the open"


async def _allocator(platform: Platform) -> str:
    day = platform.day
    markets = {instrument.asset_class for instrument in day.instruments.values()}
    serving = [name for name, run in day.runs.items() if markets & set(run.spec.asset_classes)]
    if not serving:
        raise NotReady(
            f"no strategy instance trades {', '.join(sorted(markets))}: configure one under [[strategies]], or "
            "leave that out to take the catalog's own"
        )
    return f"{', '.join(serving)}; at most {day.max_owned} symbols"


async def _risk_manager(platform: Platform) -> str:
    """It says no where it must: an order of nothing, by nobody, is put to it."""
    probe = risk.Intent(
        request=OrderRequest(
            cl_ord_id="probe",
            symbol="",
            side=Side.BUY,
            position_effect=PositionEffect.OPEN,
            ord_type=OrdType.MARKET,
            order_qty=Decimal(0),
            time_in_force=TimeInForce.DAY,
            decided_at=platform.shell.now(),
        ),
        strategy_id="probe",
        leg=Leg.ENTRY,
        decision_px=Decimal(0),
    )
    verdicts = risk.judge(platform.state, probe)
    denied = [verdict.code for verdict in verdicts if not verdict.passed]
    failed = [verdict.value for verdict in verdicts if verdict.code == risk.RULE_FAILED]
    if failed:
        raise NotReady(f"{len(failed)} of its rules cannot answer ({failed[0]}): do not trade, report the version")
    if not denied:
        raise NotReady("it let an order of nothing by nobody pass: do not trade, report the version")
    return f"{len(verdicts)} rules answer, {len(denied)} of them deny the probe"


async def _execution(platform: Platform) -> str:
    account = await platform.shell.at_the_venue(platform.broker.account)
    platform.board.succeeded("execution_broker", platform.wall(), detail=f"account in {account.currency} answers")
    return f"account in {account.currency}, transaction {account.cursor}"


async def _ui(platform: Platform) -> str:
    if platform.start_page is None:
        return "left out of a headless run"
    return await platform.start_page()


_START: Final[dict[str, Callable[[Platform], Awaitable[str]]]] = {
    "config": _config,
    "store": _store,
    "bus": _bus,
    "api": _api,
    "market_data": _market_data,
    "radar": _radar,
    "scanner": _scanner,
    "allocator": _allocator,
    "risk_manager": _risk_manager,
    "execution": _execution,
    "ui": _ui,
}
assert tuple(_START) == STARTUP_ORDER, "every service of the startup order has its proof, in that order"

_COMPONENT: Final = {
    "store": "store",
    "bus": "bus",
    "api": "api",
    "market_data": "market_data",
    "scanner": "scanner",
    "allocator": "allocator",
    "risk_manager": "risk_manager",
    "execution": "execution",
}
