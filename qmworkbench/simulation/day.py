"""The course of a simulated day: opening, boundaries under fire, healing, close (§4, §6, §12, §16).

What a person or the day's driver would do again after a crash is done again here: each step looks at where the session
stands, and does what is next.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from qmworkbench.domain import commands
from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.market import BoundaryClosed, FeedChanged, FeedState, StrategyFaulted
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged
from qmworkbench.domain.events.session import (
    HealthObserved,
    PreflightRecorded,
    RunSpec,
    ServiceReady,
    SessionEnding,
    SessionOpened,
    SessionSummarized,
)
from qmworkbench.domain.orders import Side
from qmworkbench.domain.sessions import Environment, Phase, SessionWindow, TradingState
from qmworkbench.simulation import operators, whole_books
from qmworkbench.simulation.ledger import EXTERNAL
from qmworkbench.simulation.loop import MINUTE, OPEN, SECOND, at
from qmworkbench.simulation.market import frame_of
from qmworkbench.simulation.process import Process
from qmworkbench.trading.phases import STARTUP_ORDER
from qmworkbench.venue.drill import ForeignFill

if TYPE_CHECKING:
    from qmworkbench.simulation.session import SimSession

SESSION_ID: Final = f"sim-{OPEN:%Y-%m-%d}"
_TICK_MS: Final = 10 * SECOND
_SETTLE_ROUNDS: Final = 60


class Day:
    """Drives a session from before the open to its end. `over` is set once everything has been compared."""

    def __init__(self, sim: "SimSession") -> None:
        self.sim = sim
        self.over = False
        self.closed = False
        self.opening = True
        world = sim.plan.world
        self.last = world.boundaries + world.healing
        self._muted_until = 0
        self._rounds = 0
        self._asked = 0

    @property
    def process(self) -> Process:
        return self.sim.process

    def begin(self) -> None:
        """Everything that is due at a known time."""
        loop = self.sim.loop
        self.sim.exchange.open_session(SESSION_ID, at(loop.now))
        loop.call(0, self.open_up)
        for number in range(1, self.last + 1):
            loop.call(number * MINUTE - loop.now, self.boundary, number)
        loop.call(_TICK_MS, self.tick)

    def resumed(self) -> None:
        """A process has taken over: the boundary that closed and was not decided on is decided now."""
        process = self.process
        if not self.opening:
            self.open_up()
        if process.state.session is None or process.state.day.phase is not Phase.MARKET_SESSION:
            return
        day = process.state.day
        if day.boundary and day.boundary_at != day.frame_at:
            self.computed(process, day.boundary)

    # --- before the open --------------------------------------------------------------------------------------

    def open_up(self) -> None:
        """The next thing on the way to the market session; again a moment later until it is reached."""
        process = self.process
        state = process.state
        self.opening = not self.closed and (state.session is None or state.day.phase in _BEFORE)
        if not self.opening:
            return
        self.sim.loop.call(SECOND, self.open_up)
        if process.works:
            self._open_step(process)

    def _open_step(self, process: Process) -> None:
        state, now = process.state, process.now()
        go = {"verdict": Verdict.GO, "checks_hash": "", "confirmed_by": "policy:unattended"}
        if state.session is None:
            process.decide(self._opened(process))
            return
        day = state.day
        if not state.connected:
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
            elif state.reconciliation.pending is None or self._rounds % 10 == 9:
                self.sim.operators.give(process, commands.Reconcile(reason="start again"))
            self._rounds += 1
        elif day.phase is Phase.PRE_MARKET:
            process.decide(PreflightRecorded(at=now, phase="pre-market", **go))  # type: ignore[arg-type]

    def _opened(self, process: Process) -> SessionOpened:
        sim, world = self.sim, self.sim.plan.world
        window = SessionWindow(
            date=f"{OPEN:%Y-%m-%d}",
            opens_at=OPEN.isoformat(),
            closes_at=at(self.last * MINUTE).isoformat(),
            interval_s=60,
            regular_boundaries=self.last,
            half_day=False,
        )
        runs = tuple(
            RunSpec(
                strategy_id=name,
                definition_id="simulated",
                version="1",
                owner="simulation",
                status="experimental",
                asset_classes=("equity",),
                params={},
                params_hash="0" * 16,
                budget_pct=Decimal(world.budget_pct),
                max_symbols=4,
                flat_policy="carry" if world.carry else "at_close",
            )
            for name in sim.market.strategies
        )
        return SessionOpened(
            at=process.now(),
            book="sim",
            session_id=SESSION_ID,
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

    # --- the market session -----------------------------------------------------------------------------------

    def boundary(self, number: int) -> None:
        """A minute is over: the venue trades its bars, and the feed tells us."""
        sim = self.sim
        if self.closed:
            return
        frame = sim.market.bar(number)
        sim.exchange.on_frame(frame, sim.market.universe)
        sim.look_at_the_venue()
        if number > sim.plan.world.boundaries:
            self.heal()
        self._trouble(number)
        if number == self.last:
            sim.loop.call(500, self.close)
        if sim.loop.now < self._muted_until:
            return
        sim.loop.call(sim.faults.chance.whole("feed", str(number), 20, 400), self.told, number)

    def _trouble(self, number: int) -> None:
        """What goes wrong by the clock: people, feed, machine."""
        sim, faults, loop, key = self.sim, self.sim.faults, self.sim.loop, str(number)
        chance = faults.chance
        for which in ("first", "second"):
            if faults.strikes("command", f"{which} {key}"):
                kind = chance.one_of("command/kind", f"{which} {key}", operators.COMMANDS)
                loop.call(chance.whole("command/ms", f"{which} {key}", 0, MINUTE - 1), self.command, kind, key)
        if faults.strikes("emergency", key):
            loop.call(chance.whole("emergency/ms", key, 0, MINUTE - 1), self.command, "emergency", key)
        if faults.strikes("feed_mute", key):
            self._muted_until = loop.now + chance.whole("feed_mute/ms", key, 1, 4) * MINUTE
            loop.call(0, self.feed, FeedState.STALE)
        if faults.strikes("feed_down", key):
            self._muted_until = loop.now + chance.whole("feed_down/ms", key, 1, 3) * MINUTE
            loop.call(0, self.feed, FeedState.DISCONNECTED)
        if faults.strikes("quotes_crossed", key):
            loop.call(chance.whole("crossed/ms", key, 0, MINUTE), self.feed, _CROSSED)
        if faults.strikes("foreign_fill", key):
            loop.call(chance.whole("foreign/ms", key, 0, MINUTE), self.foreign_fill, key)
        if faults.strikes("clock_jump", key):
            self.jump(chance.whole("clock_jump/ms", key, -90 * SECOND, 90 * SECOND))
        if faults.strikes("component_down", key):
            loop.call(chance.whole("component/ms", key, 0, MINUTE), self.health, ("risk_manager",))
            loop.call(chance.whole("component/back", key, MINUTE, 3 * MINUTE), self.health, ())
        if faults.strikes("strategy_fault", key):
            loop.call(chance.whole("fault/ms", key, 0, MINUTE), self.strategy_fault, key)
        if number % 4 == 0:
            loop.call(30 * SECOND, sim.checkpoint)
        if number % 2 == 0:
            loop.call(40 * SECOND, self.routine)

    def told(self, number: int) -> None:
        """The feed's bars arrive; what they come to is computed a moment later."""
        sim, process = self.sim, self.process
        if not process.works or process.state.session is None or process.state.day.phase in _BEFORE:
            return
        if process.state.feed is not FeedState.GOOD:
            process.decide(FeedChanged(at=process.now(), state=FeedState.GOOD, detail="bars arrive again"))
        frame = sim.market.frames[number]
        process.decide(
            BoundaryClosed(at=process.now(), frame_hash=frame.content_hash, rows=len(frame), boundary=number)
        )
        late = sim.faults.strikes("frame_late", str(number))
        sim.loop.call(70 * SECOND if late else 250, self.computed, process, number)

    def computed(self, process: Process, number: int) -> None:
        """Radar, scanner and strategies have made a frame of the bars."""
        sim = self.sim
        if process is not self.process or not process.works or process.state.day.boundary_at is None:
            return
        stale = sim.faults.strikes("quotes_stale", str(number))
        as_of = number * MINUTE - (10 * MINUTE if stale else 0)
        signals = number <= sim.plan.world.boundaries
        frame_hash = sim.market.frames[number].content_hash
        fields = sim.market.computed(number, as_of, frame_hash, signals=signals)
        process.decide(frame_of(process.now(), fields, process.state.day.boundary_at))

    def feed(self, state: FeedState) -> None:
        process = self.process
        if process.works and process.state.session is not None:
            process.decide(FeedChanged(at=process.now(), state=state, detail="simulated"))

    def foreign_fill(self, key: str) -> None:
        """Somebody trades in this account by hand, past the platform."""
        sim, chance = self.sim, self.sim.faults.chance
        symbol = chance.one_of("foreign/symbol", key, sim.market.symbols)
        if not sim.market.closes or self.closed:
            return
        px = sim.market.closes[max(sim.market.closes)][symbol]
        side = Side.BUY if chance.unit("foreign/side", key) < 0.5 else Side.SELL
        fill = ForeignFill(
            cl_ord_id=f"by-hand-{key}", side=side, qty=Decimal(chance.whole("foreign/qty", key, 1, 20)), px=px
        )
        sim.checker.planted.add(symbol)
        sim.exchange.plant_break(symbol, execution=fill)
        sim.look_at_the_venue()

    def health(self, down: tuple[str, ...]) -> None:
        process = self.process
        if process.works and process.state.session is not None:
            process.decide(HealthObserved(at=process.now(), critical_down=down))

    def strategy_fault(self, key: str) -> None:
        process, chance = self.process, self.sim.faults.chance
        if process.works and process.state.session is not None:
            name = chance.one_of("fault/which", key, self.sim.market.strategies)
            process.decide(StrategyFaulted(at=process.now(), strategy_id=name, detail="simulated"))

    def jump(self, by_ms: int) -> None:
        """The machine's clock is set; the platform's time never goes back."""
        self.sim.clock_ahead_ms += by_ms
        self.process.clock_ahead_ms = self.sim.clock_ahead_ms

    def command(self, kind: str, key: str) -> None:
        process = self.process
        if not process.works or process.state.session is None:
            return
        command = operators.drawn(kind, key, self.sim.faults.chance, process.state)
        if command is not None:
            self.sim.operators.give(process, command)

    def routine(self) -> None:
        """What a person who attends to the session does every other minute: see that it goes on."""
        process, give = self.process, self.sim.operators.give
        if not process.works or process.state.session is None or process.state.day.phase is not Phase.MARKET_SESSION:
            return
        if process.state.halt.state is TradingState.REDUCING:
            give(process, commands.Reconcile(reason="before going on"))
            self.sim.loop.call(5 * SECOND, self.go_on)
        elif process.state.day.entries_held and not process.state.day.ending:
            give(process, commands.ReleaseEntries(reason="looked at"))

    def go_on(self) -> None:
        process = self.process
        if process.works and process.state.session is not None and process.state.halt.state is TradingState.REDUCING:
            self.sim.operators.give(process, operators.resume())

    def tick(self) -> None:
        """Time passes where something waits for it; the broker is asked what it has said."""
        process, sim = self.process, self.sim
        sim.loop.call(_TICK_MS if not self.closed else SECOND, self.tick)
        if not process.works:
            if process.alive:
                self._broken()
            return
        state = process.state
        if state.session is None:
            return
        if self._waiting(process):
            process.decide(ClockTicked(at=process.now()))
            process.hear()

    def _waiting(self, process: Process) -> bool:
        state = process.state
        return bool(
            self.closed
            or not state.connected
            or state.unsettled
            or state.leaving
            or state.day.decisions
            or state.reconciliation.pending is not None
            or state.reconciliation.unresolved
            or state.day.recovering
            or (state.emergency is not None and state.emergency.running)
            or self.sim.truth.cursor > state.exec_cursor
            or self.sim.faults.calm
        )

    def _broken(self) -> None:
        """The journal has failed: a person frees the disk and starts the platform again."""
        self.sim.crash()

    # --- healing and the end ------------------------------------------------------------------------------------

    def heal(self) -> None:
        """No more trouble: from here on everything has to come right by itself, and a person asks for it."""
        sim = self.sim
        first = not sim.faults.calm
        sim.faults.calm = True
        sim.network.down_until = sim.loop.now
        self._muted_until = 0
        if first:
            self.jump(-sim.clock_ahead_ms)
            self.health(())
        sim.loop.call(20 * SECOND, self.reconcile)

    def reconcile(self) -> None:
        """A person looks whether the books agree, and releases what is held."""
        process = self.process
        if not process.works or process.state.session is None or self.closed:
            return
        self.sim.operators.give(process, commands.Reconcile(reason="after the trouble"))
        for held in list(process.state.positions.values()):
            if held.strategy_id == EXTERNAL and not held.exit_wanted:
                close = commands.ClosePosition(reason="not ours", strategy_id=EXTERNAL, symbol=held.symbol)
                self.sim.operators.give(process, close)

    def close(self) -> None:
        """The market closes; what follows runs to the end of the day."""
        sim, process = self.sim, self.process
        if not self.closed:
            self.closed = True
            sim.exchange.close_session(at(sim.loop.now))
            sim.look_at_the_venue()
        process.hear()
        sim.loop.call(2 * SECOND, self.ending)
        sim.loop.call(3 * SECOND, self.conclude)

    def ending(self) -> None:
        process = self.process
        if process.works and process.state.session is not None and not process.state.day.ending:
            process.decide(SessionEnding(at=process.now(), reason="the market closed"))

    def conclude(self) -> None:
        """Once the session has come to its review, or will not, everything is compared."""
        sim, process = self.sim, self.process
        self._asked += 1
        settled = (
            process.works
            and process.state.session is not None
            and process.state.day.phase in (Phase.REVIEW, Phase.CLOSED)
            and process.quiet
        )
        if not settled and self._asked < _SETTLE_ROUNDS:
            self.ending()
            sim.loop.call(2 * SECOND, self.conclude)
            return
        day = process.state.day
        process.decide(
            SessionSummarized(
                at=process.now(),
                trades=day.trades,
                orders=day.orders,
                fills=day.fills,
                breaks=day.breaks,
                net_pnl=day.realized_pnl - day.fees,
                recovered=day.recovered,
            )
        )
        sim.checker.now_ms = sim.loop.now
        whole_books.at_the_end(
            sim.checker, process.state, process.journal, sim.exchange, carry=sim.plan.world.carry
        )
        self.over = True


_CROSSED: Final = FeedState.__members__.get("CROSSED", FeedState.GAPPED)
_BEFORE: Final = (Phase.PRE_START, Phase.STARTUP, Phase.HEALTH_VERIFICATION, Phase.PRE_MARKET)
