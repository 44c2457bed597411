"""The platform's process: kernel, journal and outbox, with the rules of the real shell (service/shell.py) (§13, §19).

Nothing leaves before the event that asked for it is durable, in the order in which it was decided; every answer comes
back as an input, whenever it comes. One lane carries requests, another one readings, so that an answer may meet
anything. A process that crashes is gone with all that it waited for; what it sent is still under way.

The shell itself is not run here: it waits for each answer, on an event loop and a machine's clock, and what has to be
tried is that something happens between any two of its lines. Every wait of the shell's is an entry of the heap here.
What can be shared is: what may still be sent, what an event asks for, how the broker is read, how a state is restored.
That both answer each effect with the same input is a test (tests/simulation/test_process.py).
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.events import Event, Input
from qmworkbench.domain.events.orders import (
    ExecutionReported,
    OrderQueried,
)
from qmworkbench.domain.events.overnight import ActivitiesObserved
from qmworkbench.domain.events.reconciliation import (
    AccountObserved,
    BrokerConnectionChanged,
    BrokerSnapshotObserved,
)
from qmworkbench.domain.execution import (
    Account,
    AccountActivity,
    BrokerOrder,
    BrokerSnapshot,
    ExecType,
    ExecutionReport,
    SubmitOutcome,
)
from qmworkbench.simulation import mail
from qmworkbench.simulation.device import SimJournal
from qmworkbench.simulation.loop import SECOND, Loop, at
from qmworkbench.simulation.network import Network
from qmworkbench.simulation.plan import Faults
from qmworkbench.trading.effects import (
    CancelOrder,
    Effect,
    NotifyPeople,
    QueryBroker,
    QueryOrder,
    ReplaceOrder,
    SubmitOrder,
    effects_of,
)
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.sending import withheld
from qmworkbench.trading.state import State

_SENDS: Final = (SubmitOrder, CancelOrder, ReplaceOrder)
_EXECUTED: Final = (ExecType.TRADE, ExecType.TRADE_CANCEL)


class Crash(Exception):
    """The process dies here."""


class Watcher(Protocol):
    """What looks on, and is told in time to object (invariants.py)."""

    def decided(self, seq: int, events: list[Event], state: State) -> None: ...

    def sending(self, effect: Effect, durable: int) -> None: ...


class Process:
    """One life of the platform."""

    def __init__(
        self,
        loop: Loop,
        faults: Faults,
        network: Network,
        broker: SimulatedBroker,
        *,
        journal: SimJournal,
        kernel: Kernel,
        watcher: Watcher,
        clock_ahead_ms: int = 0,
    ) -> None:
        self.loop = loop
        self.faults = faults
        self.network = network
        self.broker = broker
        self.journal = journal
        self.kernel = kernel
        self.watcher = watcher
        self.clock_ahead_ms = clock_ahead_ms
        self.alive = True
        self.failed = ""
        self.lied_to = False  # a sync was said to have worked, and had not
        self.unrecorded = False  # the kernel knows more than was ever appended
        self._lanes: dict[str, deque[tuple[int, Effect]]] = {"send": deque(), "read": deque()}
        self._busy: dict[str, bool] = {"send": False, "read": False}
        self._syncing = False
        self._polling = False
        self._poll_again = False
        self._reads = 0

    # --- deciding -----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.kernel.state

    @property
    def works(self) -> bool:
        """Alive, and its journal takes what it decides."""
        return self.alive and not self.failed

    @property
    def quiet(self) -> bool:
        """Nothing is waiting to leave, and no answer is waited for."""
        return not (self._lanes["send"] or self._lanes["read"] or any(self._busy.values()) or self._syncing)

    def now(self) -> datetime:
        """The machine's clock, and never before the newest input."""
        told, newest = at(self.loop.now + self.clock_ahead_ms), self.kernel.state.now
        return told if newest is None or told > newest else newest

    def decide(self, given: Input) -> list[Event]:
        """One input and what follows from it; nothing leaves yet."""
        if not self.works:
            return []
        events = self.kernel.step(given)
        if not events:
            return events
        if self.faults.strikes("disk_full", "journal") or self._fails_in_emergency():
            self.unrecorded = True
            self._poisoned("no space left on device")
            return []
        if self.faults.strikes("crash_deciding", "kernel"):
            self.unrecorded = True
            raise Crash
        seq = self.journal.append(events)
        self.watcher.decided(seq, events, self.kernel.state)
        for effect in effects_of(events):
            if not isinstance(effect, NotifyPeople):
                self._lanes["send" if isinstance(effect, _SENDS) else "read"].append((seq, effect))
        self._pump()
        return events

    def _fails_in_emergency(self) -> bool:
        emergency = self.kernel.state.emergency
        return emergency is not None and emergency.running and self.faults.strikes("emergency_disk_full", "journal")

    def _poisoned(self, why: str) -> None:
        """Nothing is decided or sent any more: the journal no longer holds what the kernel knows."""
        self.journal.fail(why)
        self.failed = why
        for lane in self._lanes.values():
            lane.clear()

    # --- the outbox -----------------------------------------------------------------------------------------

    def _pump(self) -> None:
        for name in ("send", "read"):
            lane = self._lanes[name]
            if not self.works or not lane or self._busy[name]:
                continue
            seq, effect = lane[0]
            if self.journal.durable_seq < seq:
                self._sync()
                continue
            lane.popleft()
            self._busy[name] = True
            self._carry_out(effect, name)

    def make_durable(self) -> None:
        """Ask for a sync although nothing waits to leave, as the day's driver does after a preflight."""
        if self.works:
            self._sync()

    def sync_at_once(self) -> None:
        """Wait for the disk before anything else goes on, as a start does that takes over a fallback log."""
        if self.works:
            self._begin_sync()
            self._synced()

    def _sync(self) -> None:
        if self._syncing:
            return
        self._begin_sync()
        takes_ms = self.faults.chance.whole("fsync", str(self.journal.head[0]), 1, 12)
        if self.faults.strikes("fsync_slow", "journal"):
            takes_ms = self.faults.chance.whole("fsync_slow/ms", self.faults.last_key(), SECOND, 40 * SECOND)
        self.loop.call(takes_ms, self._synced)

    def _begin_sync(self) -> None:
        if self.faults.strikes("crash_before_fsync", "journal"):
            raise Crash
        self._syncing = True
        self.journal.sync_begins()

    def _synced(self) -> None:
        if not self.works:
            return
        self._syncing = False
        if self.faults.strikes("fsync_error", "journal"):
            self._poisoned("input/output error")
            return
        lies = self.faults.strikes("fsync_lost", "journal")
        self.lied_to |= lies
        self.journal.sync_ends(really=not lies)
        if self.faults.strikes("crash_after_fsync", "journal"):
            raise Crash
        self._pump()

    def _done(self, lane: str, answer: Input | None) -> None:
        """An effect has been answered: the lane is free again."""
        if not self.works:
            return
        self._busy[lane] = False
        if answer is not None:
            self.decide(answer)
        self._pump()

    def _carry_out(self, effect: Effect, lane: str) -> None:
        if not isinstance(effect, _SENDS):
            self._look(effect, lane)
            return
        subject = mail.subject(effect)
        if isinstance(effect, SubmitOrder) and (why := withheld(self.state, effect.request)):
            self.network.dropped(subject)
            _, answer = mail.request(effect, self.broker, self.now)
            self._done(lane, answer(SubmitOutcome.WITHHELD, why))
            return
        if self.faults.strikes("crash_before_send", subject):
            raise Crash
        self.watcher.sending(effect, self.journal.truly_durable())
        perform, answer = mail.request(effect, self.broker, self.now)
        self.network.request(
            subject, perform, lambda outcome, detail: self._done(lane, answer(outcome, detail)) if self.works else None
        )
        if self.faults.strikes("crash_after_send", subject):
            raise Crash

    # --- reading --------------------------------------------------------------------------------------------

    def _look(self, effect: Effect, lane: str) -> None:
        self._reads += 1
        if isinstance(effect, QueryOrder):
            name, called = effect.cl_ord_id, mail.working_id(effect)
            self.network.read(
                f"query {name}", lambda: self.broker.order(called), lambda got, why: self._queried(lane, name, got, why)
            )
            return
        assert isinstance(effect, QueryBroker)
        # What the broker has said by now belongs before the reading: else news on its way looks like a break.
        self._poll(then=lambda: self._snapshot(effect, lane))

    def _queried(self, lane: str, name: str, got: tuple[BrokerOrder | None, int] | None, why: str) -> None:
        if not self.works:
            return
        found, cursor = got if got is not None else (None, 0)
        answer = OrderQueried(
            at=self.now(), cl_ord_id=name, complete=got is not None, cursor=cursor, found=found, error=why
        )
        self._done(lane, answer)

    def _snapshot(self, effect: QueryBroker, lane: str) -> None:
        if not self.works:
            return

        def told(both: tuple[Sequence[AccountActivity], BrokerSnapshot] | None, why: str) -> None:
            if not self.works:
                return
            booked, got = both if both is not None else ((), None)
            if booked and self.network.tells_activities:
                self.decide(ActivitiesObserved(at=self.now(), activities=tuple(booked)))
            if got is not None and got.positions and self.faults.strikes("read_hollow", str(effect.trigger)):
                got = msgspec.structs.replace(got, positions=())
            nothing = BrokerSnapshot(complete=False, cursor=effect.after_cursor, as_of=self.now(), error=why)
            self._done(lane, BrokerSnapshotObserved(at=self.now(), trigger=effect.trigger, snapshot=got or nothing))

        def look() -> tuple[Sequence[AccountActivity], BrokerSnapshot]:
            return self.broker.activities(self.state.activity_cursor), snapshot(self.broker, effect.after_cursor)

        self.network.read(f"snapshot {effect.trigger}", look, told)

    def hear(self) -> None:
        """Ask what the broker has said, now or once the question under way is answered."""
        if not self.works or self.state.session is None:
            return
        if self._polling:
            self._poll_again = True
            return
        self._poll()

    def _poll(self, then: Callable[[], None] | None = None) -> None:
        self._polling, self._poll_again = True, False
        after = self.state.exec_cursor
        self.network.read(
            "reports",
            lambda: (self.broker.reports(after), self.broker.account()),
            lambda got, why: self._heard(got, why, then),
        )

    def _heard(
        self, got: tuple[list[ExecutionReport], Account] | None, why: str, then: Callable[[], None] | None
    ) -> None:
        if not self.works:
            return
        self._polling = False
        if got is None:
            if self.state.connected:
                self.decide(BrokerConnectionChanged(at=self.now(), connected=False, detail=why))
        else:
            if not self.state.connected:
                self.decide(BrokerConnectionChanged(at=self.now(), connected=True, detail="answers again"))
            self._take(*got)
        if then is not None:
            then()
        elif self._poll_again:
            self.hear()

    def _take(self, reports: list[ExecutionReport], account: Account) -> None:
        """Reports as the line delivers them: mostly in order, mostly once."""
        delivered, late = mail.delivery(self.faults, reports)
        for report in delivered:
            self.decide(ExecutionReported(at=self.now(), report=report))
        for after_ms, report in late:
            self.loop.call(after_ms, self._one, report)
        if any(report.exec_type in _EXECUTED for report in reports) and self.works:
            self.decide(AccountObserved(at=self.now(), account=account))

    def _one(self, report: ExecutionReport) -> None:
        if self.works:
            self.decide(ExecutionReported(at=self.now(), report=report))
