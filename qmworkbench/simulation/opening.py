"""Before the open: preflight, services, health, the first comparison, as a day's driver does them (§4, §5, §6)."""

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from qmworkbench.domain import commands
from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged
from qmworkbench.domain.events.session import HealthObserved, PreflightRecorded, RunSpec, ServiceReady, SessionOpened
from qmworkbench.domain.orders import OrderStyle, OrdType, TimeInForce
from qmworkbench.domain.sessions import Environment, Phase, SessionWindow
from qmworkbench.simulation import fallback, operators, overnight
from qmworkbench.simulation.loop import MINUTE, at
from qmworkbench.simulation.process import Process
from qmworkbench.trading.phases import STARTUP_ORDER

if TYPE_CHECKING:
    from qmworkbench.simulation.session import SimSession

BEFORE: Final = (Phase.PRE_START, Phase.STARTUP, Phase.HEALTH_VERIFICATION, Phase.PRE_MARKET)


def step(sim: "SimSession", process: Process, rounds: int) -> None:
    """The next thing on the way to the market session."""
    state, now = process.state, process.now()
    go = {"verdict": Verdict.GO, "checks_hash": "", "confirmed_by": "policy:unattended"}
    if state.session is None or state.day.session_id != sim.day.session_id:
        process.decide(_opened(sim, process))
        if not overnight.hear(sim, process):
            sim.refused()
            return
        fallback.take_over(sim, process)  # beside an empty journal it had to wait for this
        return
    day = state.day
    if not state.connected:
        if not overnight.hear(sim, process):
            sim.refused()
            return
        process.decide(BrokerConnectionChanged(at=now, connected=True, detail="account and orders answer"))
    if day.phase is Phase.PRE_START:
        process.decide(PreflightRecorded(at=now, phase="pre-start", **go))  # type: ignore[arg-type]
    elif day.phase is Phase.STARTUP:
        for position, service in enumerate(STARTUP_ORDER, start=1):
            if process.works and service not in process.state.day.services:
                process.decide(ServiceReady(at=process.now(), service=service, position=position))
    elif day.phase is Phase.HEALTH_VERIFICATION:
        if day.critical_down:
            process.decide(HealthObserved(at=now, critical_down=()))
        elif state.reconciliation.pending is None or rounds % 10 == 9:
            for word in operators.understood(state):
                sim.operators.give(process, word)
            sim.operators.give(process, commands.Reconcile(reason="start again"))
    elif day.phase is Phase.PRE_MARKET:
        process.decide(PreflightRecorded(at=now, phase="pre-market", **go))  # type: ignore[arg-type]
        process.make_durable()


def _opened(sim: "SimSession", process: Process) -> SessionOpened:
    world, opens = sim.plan.world, at(sim.day.first * MINUTE)
    window = SessionWindow(
        date=f"{opens:%Y-%m-%d}",
        opens_at=opens.isoformat(),
        closes_at=at(sim.day.last * MINUTE).isoformat(),
        interval_s=60,
        regular_boundaries=sim.day.last - sim.day.first,
        half_day=False,
    )
    runs = tuple(
        RunSpec(
            strategy_id=name,
            definition_id="simulated",
            version="1",
            owner="simulation",
            status="experimental",
            asset_classes=("forex" if world.forex else "equity",),
            params={},
            params_hash="0" * 16,
            budget_pct=Decimal(world.budget_pct),
            max_symbols=4,
            flat_policy="carry" if world.carry else "at_close",
            order_style=_style(sim, name),
        )
        for name in overnight.running(sim)
    )
    return SessionOpened(
        at=process.now(),
        book="sim",
        session_id=sim.day.session_id,
        environment=Environment.LOCAL,
        window=window,
        account_currency="USD",
        code_version="simulation",
        config_hash="",
        limits=sim.limits,
        limits_hash=sim.limits.content_hash,
        scan_settings={},
        runs=runs,
        instruments=sim.market.instruments,
        data_source="simulation",
        data_hash="",
        reference_hash="",
        unattended=world.unattended,
        max_owned=len(runs) * world.symbols,
        shared_symbols=world.shared,
    )


def _style(sim: "SimSession", strategy_id: str) -> OrderStyle:
    """How a strategy's orders are made: at the market, or resting with a time to live, drawn by strategy."""
    if not sim.plan.world.limit_entries:
        return OrderStyle()
    chance = sim.faults.chance
    entries = (OrdType.LIMIT, OrdType.STOP, OrdType.STOP_LIMIT, OrdType.MARKET)
    exits = (OrdType.LIMIT, OrdType.MARKET)
    entry_type = entries[chance.whole("style/entry", strategy_id, 0, 3)]
    exit_type = exits[chance.whole("style/exit", strategy_id, 0, 1)]
    rests = exit_type is OrdType.LIMIT
    lasting = entry_type in (OrdType.STOP, OrdType.STOP_LIMIT)  # what waits to be touched cannot be at once or never
    forces = (TimeInForce.DAY, TimeInForce.GTC) if lasting else (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC)
    patient = chance.unit("style/patient", strategy_id) < 0.3  # rests until the session is over
    offset = 0 if entry_type is OrdType.MARKET else chance.whole("style/offset", strategy_id, 1, 20)
    return OrderStyle(
        entry_type=entry_type,
        entry_offset_bps=offset,
        entry_time_in_force=forces[int(chance.unit("style/rests", strategy_id) * len(forces))],
        entry_timeout_s=None if patient else chance.whole("style/timeout", strategy_id, 20, 200),
        exit_type=exit_type,
        exit_offset_bps=chance.whole("style/exit_offset", strategy_id, 0, 20) if rests else 0,
        exit_timeout_s=chance.whole("style/exit_timeout", strategy_id, 20, 100) if rests else None,
    )
