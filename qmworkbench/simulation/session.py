"""One simulated session: a world, a process that may die at any moment, and those who look on (§13, §19)."""

from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged, SessionRecovered
from qmworkbench.domain.limits import Limits
from qmworkbench.service.recovery import restore
from qmworkbench.simulation import direct, fallback, overnight, whole_books
from qmworkbench.simulation.broker_truth import BrokerTruth
from qmworkbench.simulation.day import Day
from qmworkbench.simulation.device import Device, SimCheckpoints, SimJournal
from qmworkbench.simulation.direct_checks import DirectChecks
from qmworkbench.simulation.invariants import Checker, Violated, Violation
from qmworkbench.simulation.loop import MINUTE, SECOND, Loop
from qmworkbench.simulation.market import Market
from qmworkbench.simulation.marks import Marks
from qmworkbench.simulation.network import Network
from qmworkbench.simulation.operators import Operators
from qmworkbench.simulation.plan import Faults, Plan, Strike, World
from qmworkbench.simulation.process import Crash, Process
from qmworkbench.simulation.venue_faults import VenueFaults
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.state import State, encode_state, state_hash
from qmworkbench.venue.costs import VenueModel, costed, ideal
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.faults import FaultKind

CASH: Final = Decimal(100_000)
# More steps than this for one boundary is a platform answering itself without end.
_STEPS_PER_BOUNDARY: Final = 6_000


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one session."""

    seed: int
    head: str
    records: int
    orders: int
    crashes: int
    steps: int
    struck: tuple[Strike, ...]
    marks: frozenset[str]
    violation: Violation | None = None


def limits_of(world: World) -> Limits:
    """The limits of a small world; what is not drawn is out of the way."""
    return Limits(
        max_daily_loss=world.max_daily_loss,
        max_position_equity_pct=Decimal(world.position_pct),
        max_strategy_equity_pct=Decimal(60),
        max_position_notional=Decimal(20_000),
        max_trades_per_day=world.max_trades,
        max_open_positions=world.max_open,
        max_submits_per_minute=60,
        entry_cutoff_min=1,
    )


class SimSession:
    """Runs one plan. `trace` hears of everything that happens, as lines of text."""

    def __init__(self, plan: Plan, trace: list[str] | None = None) -> None:
        self.plan = plan
        self.trace = trace
        self.loop = Loop(-3 * MINUTE)
        self.faults = Faults(plan)
        self.market = Market(plan.world, self.faults.chance)
        self.limits = limits_of(plan.world)
        venue_faults = VenueFaults(self.faults, self._planted)
        self.exchange = Exchange(
            None, self.market.instruments, self.model(plan.world), "USD", CASH, faults=venue_faults
        )
        self.broker = SimulatedBroker(self.exchange)
        self.network = Network(self.loop, self.faults)
        self.truth = BrokerTruth(CASH)
        self.checker = Checker(self.limits, self.truth)
        self.network.dropped, self.network.arrived = self.checker.dropped, self.look_at_the_venue
        self.checker.under_way = lambda name: self.network.under_way(f"submit {name}")
        self.direct = DirectChecks(self.checker)
        self.marks = Marks()
        self.operators = Operators()
        self.device = Device()
        self.checkpoints = SimCheckpoints()
        self.fallback = fallback.SimFile(self.faults)
        self.crashes = 0
        self.clock_ahead_ms = 0
        self.process = self._new_process(SimJournal(self.device), Kernel())
        self.day = Day(self)

    @staticmethod
    def model(world: World) -> VenueModel:
        return costed() if world.costed else ideal()

    def _new_process(self, journal: SimJournal, kernel: Kernel) -> Process:
        return Process(
            self.loop,
            self.faults,
            self.network,
            self.broker,
            journal=journal,
            kernel=kernel,
            watcher=self,
            clock_ahead_ms=self.clock_ahead_ms,
        )

    # --- looking on -----------------------------------------------------------------------------------------

    def decided(self, seq: int, events: list, state: State) -> None:  # type: ignore[type-arg]
        """process.Watcher: what was appended is checked and marked."""
        self.checker.now_ms = self.loop.now
        if self.trace is not None:
            self.trace += [
                f"{self.loop.now / 1000:9.3f} {seq - len(events) + 1 + i:5} {e}" for i, e in enumerate(events)
            ]
        self.marks.decided(events, state)
        self.checker.decided(seq, events, state)

    def sending(self, effect: object, durable: int) -> None:
        """process.Watcher: a request is about to leave."""
        self.checker.now_ms = self.loop.now
        self.checker.lying_disk |= self.process.lied_to
        self.note(f"send {effect}")
        self.checker.sending(effect, durable)  # type: ignore[arg-type]

    def _planted(self, kind: FaultKind, cl_ord_id: str) -> None:
        """The venue is about to do to an order what nobody asked for."""
        order = self.truth.orders.get(cl_ord_id) or self.checker.ledger.orders.get(cl_ord_id)
        self.checker.planted.add(order.symbol if order is not None else cl_ord_id)
        if kind is FaultKind.OVERFILL:
            self.truth.over_filled.add(cl_ord_id)

    def note(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.loop.now / 1000:9.3f}       {text}")

    def look_at_the_venue(self) -> None:
        """Follow the broker's own reports, and let the platform know that there is news."""
        news = self.exchange.reports(self.truth.cursor)
        if not news:
            return
        self.checker.now_ms = self.truth.now_ms = self.loop.now
        wrong = self.truth.take(news)
        self.checker.demand(not wrong, 2, "; ".join(wrong))
        self.loop.call(self.faults.chance.whole("push", str(self.truth.cursor), 5, 150), self._pushed)

    def _pushed(self) -> None:
        self.process.hear()

    # --- the life of the process ----------------------------------------------------------------------------

    def crash(self) -> None:
        """The process dies, and another one takes over after a while."""
        sure = self.die()
        down_ms = SECOND
        if not self.faults.calm:
            down_ms = self.faults.chance.whole("crash/down", str(self.crashes), 200, 100 * SECOND)
        self.loop.call(down_ms, self.boot, self.process, sure)

    def die(self) -> int:
        """What was not on disk may be gone, what was sent is under way. Returns how many records surely survive."""
        self.crashes += 1
        process = self.process
        process.alive = False
        key = str(self.crashes)
        torn = self.faults.chance.unit("crash/torn", key)
        kept = 0.0 if torn < 0.5 else 1.0 if torn > 0.9 else (torn - 0.5) / 0.4
        sure = process.journal.truly_durable()
        self.device.crash(kept)
        self.note(f"crash {key}")
        self.marks.crashed(process.state)
        return sure

    def refused(self) -> None:
        """The platform does not start as things are; somebody starts it again once they are better."""
        sure = self.die()
        self.note("refused to start")
        self.loop.call(max(SECOND, self.network.activities_down_until - self.loop.now), self.boot, self.process, sure)

    def broken(self) -> None:
        """The journal has failed: a person frees the disk and starts again, maybe out of the market by then."""
        dead = self.process
        emergency = dead.state.emergency
        under_way = emergency is not None and emergency.running
        asked = dead.state.session is not None and self.faults.strikes("direct_emergency", str(self.crashes))
        if not under_way and not asked:
            self.crash()
            return
        if under_way:
            self.marks.hit.add("direct.carried_on")
        self.get_out(dead, "goes on without the journal" if under_way else "the database is down")

    def get_out(self, dead: Process, why: str) -> None:
        """Everything is cancelled and closed past the platform; then it starts again."""
        sure = self.die()
        direct.liquidate(self, dead, why)
        self.loop.call(SECOND, self.boot, dead, sure)

    def boot(self, dead: Process, sure: int) -> None:
        """A new process takes over what survived."""
        self.checker.now_ms = self.loop.now
        self.checker.lying_disk |= dead.lied_to
        journal = SimJournal(self.device)
        restored = restore(journal, self.checkpoints)  # type: ignore[arg-type]
        live = None if dead.unrecorded else dead.state
        whole_books.after_crash(self.checker, dead.journal, journal, live, restored.state, sure)
        self.checker.rebuild(journal.head[0])
        whole_books.halted_after_emergency(self.checker, restored.state)
        self.marks.restored(journal, restored.from_checkpoint)
        self.note(f"restart at record {journal.head[0]}, from checkpoint {restored.from_checkpoint}")
        process = self.process = self._new_process(journal, Kernel(restored.state))
        log = self.fallback.text()
        fallback.take_over(self, process)
        if process.works and process.state.now is not None:
            self.direct.taken_over(log, process.state, self.loop.now)
        if restored.unfinished:
            if not overnight.hear(self, process):
                self.refused()
                return
            in_doubt = sum(order.is_in_doubt for order in process.state.working())
            process.decide(SessionRecovered(at=process.now(), from_seq=restored.seq, in_doubt=in_doubt))
            process.decide(
                BrokerConnectionChanged(at=process.now(), connected=True, detail="account and orders answer")
            )
        self.day.resumed()

    def next_day(self) -> None:
        """The night: the process ends with its session, and another one opens the next from the record."""
        dead, journal = self.process, self.process.journal
        journal.sync()
        dead.alive = False
        self.faults.calm = False
        morning = SimJournal(self.device)
        restored = restore(morning, self.checkpoints)  # type: ignore[arg-type]
        whole_books.after_crash(self.checker, journal, morning, dead.state, restored.state, journal.head[0])
        self.checker.demand(not restored.unfinished, 9, f"session {restored.unfinished} was left unfinished")
        self.process = self._new_process(morning, Kernel(restored.state))
        self.day = Day(self, self.day.index + 1)
        self.loop.call((self.day.first - 3) * MINUTE - self.loop.now, self.day.begin)

    def checkpoint(self) -> None:
        """What the platform writes now and then, once it is durable."""
        process = self.process
        if not process.works or process.state.session is None:
            return
        process.journal.sync()
        seq, head = process.journal.head
        if seq == process.journal.truly_durable():
            state = encode_state(process.state)
            self.checkpoints.write(seq, head, state, state_hash(process.state))

    def run_for(self, ms: int) -> None:
        """Let the world go on for a while, in the middle of something that waits."""
        until = self.loop.now + ms
        while (due := self.loop.next_ms) is not None and due <= until:
            self.loop.step()
        self.loop.now = until

    # --- running --------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """The whole session; the outcome says which invariant was violated first, if one was."""
        violation = None
        try:
            self.day.begin()
            self._turn()
        except Violated as found:
            violation = found.violation
        process = self.process
        self.marks.ended(process.state, self.faults)
        return Outcome(
            seed=self.plan.seed,
            head=process.journal.head[1],
            records=process.journal.head[0],
            orders=len(process.state.orders),
            crashes=self.crashes,
            steps=self.loop.steps,
            struck=tuple(self.faults.struck),
            marks=frozenset(self.marks.hit),
            violation=violation,
        )

    def _turn(self) -> None:
        world = self.plan.world
        most = _STEPS_PER_BOUNDARY * (world.boundaries + world.healing) * world.days
        while not self.day.over:
            self.checker.demand(self.loop.steps < most, 0, f"more than {most} steps: the session does not end")
            try:
                more = self.loop.step()
            except Crash:
                self.crash()
                continue
            except Violated:
                raise
            except Exception as error:
                where = error.__traceback__
                while where is not None and where.tb_next is not None:
                    where = where.tb_next
                place = f"{where.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{where.tb_lineno}" if where else "?"
                self.checker.now_ms = self.loop.now
                self.checker.demand(False, 0, f"{type(error).__name__} at {place}: {error}")
            if not more:
                break
        self.checker.demand(self.day.over, 0, "the session came to a standstill")


def run(plan: Plan, trace: list[str] | None = None) -> Outcome:
    """Simulate one session."""
    return SimSession(plan, trace).run()
