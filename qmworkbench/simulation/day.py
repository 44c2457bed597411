"""The course of a simulated day: opening, boundaries under fire, healing, close (§4, §6, §12, §16).

What a person or the day's driver would do again after a crash is done again here: each step looks at where the session
stands, and does what is next.
"""

from typing import TYPE_CHECKING, Final

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.market import BoundaryClosed, FeedChanged, FeedState
from qmworkbench.domain.events.session import (
    SessionEnding,
    SessionSummarized,
)
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.simulation import opening, operators, overnight, whole_books
from qmworkbench.simulation.ledger import EXTERNAL
from qmworkbench.simulation.loop import DAY_MINUTES, MINUTE, SECOND, at
from qmworkbench.simulation.market import frame_of
from qmworkbench.simulation.process import Process
from qmworkbench.simulation.troubles import Troubles

if TYPE_CHECKING:
    from qmworkbench.simulation.session import SimSession

_TICK_MS: Final = 10 * SECOND
_SETTLE_ROUNDS: Final = 60


class Day:
    """Drives a session from before the open to its end. `over` is set once everything has been compared.

    `first` is the minute of its open, counted from the first day's, `last` the one of its last boundary.
    """

    def __init__(self, sim: "SimSession", index: int = 0) -> None:
        self.sim = sim
        self.index = index
        self.first = index * DAY_MINUTES
        self.session_id = f"sim-{at(self.first * MINUTE):%Y-%m-%d}"
        self.last_dropped = bool(index) and sim.faults.strikes("run_dropped", str(index))
        self.over = False
        self.closed = False
        self.opening = True
        world = sim.plan.world
        self.under_fire = self.first + world.boundaries
        self.last = self.under_fire + world.healing
        self.troubles = Troubles(sim)
        self._rounds = 0
        self._asked = 0

    @property
    def process(self) -> Process:
        return self.sim.process

    def begin(self) -> None:
        """Everything that is due at a known time."""
        loop = self.sim.loop
        overnight.open_the_venue(self.sim)
        loop.call(0, self.open_up)
        for number in range(self.first + 1, self.last + 1):
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
            self.computed(process, self.first + day.boundary)

    # --- before the open --------------------------------------------------------------------------------------

    def open_up(self) -> None:
        """The next thing on the way to the market session; again a moment later until it is reached."""
        process = self.process
        state = process.state
        begun = state.session is not None and state.day.session_id == self.session_id
        self.opening = not self.closed and (not begun or state.day.phase in opening.BEFORE)
        if not self.opening:
            return
        self.sim.loop.call(SECOND, self.open_up)
        if process.works:
            opening.step(self.sim, process, self._rounds)
            self._rounds += 1

    # --- the market session -----------------------------------------------------------------------------------

    def boundary(self, number: int) -> None:
        """A minute is over: the venue trades its bars, and the feed tells us."""
        sim = self.sim
        if self.closed:
            return
        frame = sim.market.bar(number)
        sim.exchange.on_frame(frame, sim.market.universe)
        sim.look_at_the_venue()
        if number > self.under_fire:
            self.heal()
        self.troubles.at_boundary(number)
        if number % 4 == 0:
            sim.loop.call(30 * SECOND, sim.checkpoint)
        if number % 2 == 0:
            sim.loop.call(40 * SECOND, self.routine)
        if number == self.last:
            sim.loop.call(500, self.close)
        if sim.loop.now < self.troubles.muted_until:
            return
        sim.loop.call(sim.faults.chance.whole("feed", str(number), 20, 400), self.told, number)

    def told(self, number: int) -> None:
        """The feed's bars arrive; what they come to is computed a moment later."""
        sim, process = self.sim, self.process
        if not process.works or self.opening or process.state.session is None:
            return
        if process.state.day.phase in opening.BEFORE:
            return
        if process.state.feed is not FeedState.GOOD:
            process.decide(FeedChanged(at=process.now(), state=FeedState.GOOD, detail="bars arrive again"))
        frame = sim.market.frames[number]
        process.decide(
            BoundaryClosed(
                at=process.now(), frame_hash=frame.content_hash, rows=len(frame), boundary=number - self.first
            )
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
        # Before a night strategies go on to the last, so that something is carried through it.
        wishes = number <= self.under_fire or self.index + 1 < sim.plan.world.days
        speaking = overnight.running(sim) if wishes else ()
        frame_hash, unmarked = sim.market.frames[number].content_hash, ""
        if sim.faults.strikes("mark_missing", str(number)):
            unmarked = sim.faults.chance.one_of("mark_missing/which", str(number), sim.market.symbols)
        fields = sim.market.computed(number, as_of, frame_hash, speaking, unmarked)
        process.decide(frame_of(process.now(), fields, process.state.day.boundary_at))

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
        if self.over:
            return
        sim.loop.call(_TICK_MS if not self.closed else SECOND, self.tick)
        if not process.works:
            if process.alive:
                sim.broken()
            return
        state = process.state
        if state.session is None:
            return
        if self._waiting(process):
            process.decide(ClockTicked(at=process.now()))
            if sim.truth.cursor > state.exec_cursor or not state.connected:
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
        )

    # --- healing and the end ------------------------------------------------------------------------------------

    def heal(self) -> None:
        """No more trouble: from here on everything has to come right by itself, and a person asks for it."""
        sim = self.sim
        first = not sim.faults.calm
        sim.faults.calm = True
        sim.network.down_until = sim.network.activities_down_until = sim.loop.now
        self.troubles.muted_until = 0
        if first:
            self.troubles.jump(-sim.clock_ahead_ms)
            self.troubles.health(())
        if first or (self.last - sim.loop.now // MINUTE) % 2 == 1:
            sim.loop.call(20 * SECOND, self.reconcile)

    def reconcile(self) -> None:
        """A person looks whether the books agree, and releases what is held."""
        process = self.process
        if not process.works or process.state.session is None or self.closed:
            return
        for word in operators.understood(process.state):
            self.sim.operators.give(process, word)
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
        whole_books.at_the_end(sim.checker, process.state, process.journal, sim.exchange, carry=sim.plan.world.carry)
        self.over = True
        if self.index + 1 < sim.plan.world.days:
            sim.next_day()
