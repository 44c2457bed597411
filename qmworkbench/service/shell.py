"""The shell around the kernel: decide, make durable, carry out, feed the answer back (§13, §19, DESIGN "Durability").

Nothing reaches the broker before the event that asked for it is on disk, in the order in which it was decided; only
where the broker hangs does what leads out of the market go first (service/lanes.py). A sync is waited for only where an
effect or an acknowledgement needs it, so quiet boundaries share a commit. Once an append or a sync has failed no effect
leaves any more: the emergency executor (service/direct_emergency.py) works without the kernel and is the only thing
that still reaches the broker.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol, TypeVar

from qmworkbench.domain.events import Alert, Event, Input
from qmworkbench.domain.events.orders import (
    CancelObserved,
    ExecutionReported,
    ReplaceObserved,
    SubmitObserved,
)
from qmworkbench.domain.events.overnight import ActivitiesObserved
from qmworkbench.domain.events.reconciliation import (
    AccountObserved,
    BrokerConnectionChanged,
    BrokerSnapshotObserved,
)
from qmworkbench.domain.execution import BrokerSnapshot, ExecType, ExecutionReport, SubmitOutcome
from qmworkbench.ports import (
    Broker,
    BrokerUnreachable,
    Bus,
    Journal,
    JournalFailed,
    Notifier,
)
from qmworkbench.service.asking import order_queried, requested
from qmworkbench.service.blocking import BesideTheLoop, Blocking, InLine
from qmworkbench.service.lanes import Lanes
from qmworkbench.service.lease import LeaseLost
from qmworkbench.trading.effects import (
    CancelOrder,
    Effect,
    QueryBroker,
    QueryOrder,
    ReplaceOrder,
    SubmitOrder,
    effects_of,
)
from qmworkbench.trading.phases import SessionRefused
from qmworkbench.trading.sending import withheld
from qmworkbench.trading.state import State

T = TypeVar("T")

CASCADE_LIMIT: Final = 20_000  # more effects out of one input are a kernel answering itself, not a market
_BOOKED: Final = frozenset({ExecType.TRADE, ExecType.TRADE_CANCEL})


class Deciding(Protocol):
    """trading.kernel.Kernel, as far as the shell knows it."""

    @property
    def state(self) -> State: ...

    def step(self, event: Input) -> list[Event]: ...


class ShellStopped(RuntimeError):
    """The kernel failed, or one input led to effects without end: nothing is decided or sent any more."""


_STOPPED: Final = "nothing further is sent; use `qm emergency --direct` if positions are open, and report the journal"


SnapshotReader = Callable[[Broker, int], BrokerSnapshot]


class Shell:
    """Drives one kernel with one journal and one broker. Owned by one thread or one event loop; never shared.

    `snapshot` reads positions, orders, executions and account together from the broker, from a cursor on
    (brokers/snapshot.py). `bus` hears of events once they are durable, `notifier` of alerts. `work` says
    where blocking calls are done. `now` is the clock inputs are dated with, None where that is the newest input's time;
    `horizon` the close of the next bars to come, None where there is none. `decided` hears of events once they are
    decided, in their order, durable or not.
    """

    def __init__(
        self,
        kernel: Deciding,
        journal: Journal,
        broker: Broker,
        *,
        snapshot: SnapshotReader,
        now: Callable[[], datetime] | None = None,
        work: Blocking | None = None,
        bus: Bus | None = None,
        notifier: Notifier | None = None,
        horizon: Callable[[], datetime | None] = lambda: None,
        decided: Callable[[Sequence[Event]], None] = lambda events: None,
    ) -> None:
        self.kernel = kernel
        self.journal = journal
        self.broker = broker
        self.failed: Exception | None = None
        self.notices_lost: list[str] = []
        self.waited_s = 0.0  # seconds spent waiting for the disk, for whoever wants to time a boundary
        self._snapshot = snapshot
        self._now = now
        self._work = work if work is not None else InLine()
        self._bus = bus
        self._notifier = notifier
        self._horizon = horizon
        self._decided = decided
        self._lanes = Lanes(self._carry_out, overlaps=isinstance(self._work, BesideTheLoop))
        self._unpublished: deque[tuple[int, list[Event]]] = deque()
        self._settling = asyncio.Lock()
        self._account_stale = False
        self._unreachable = ""

    # --- what a shell's owner calls --------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.kernel.state

    def now(self) -> datetime:
        """The time of an input observed now: the clock's, and never before the newest input's."""
        newest = self.kernel.state.now
        if self._now is None:
            return self.kernel.state.clock()
        told = self._now()
        return told if newest is None or told > newest else newest

    def decide(self, given: Input) -> list[Event]:
        """Let the kernel answer one input and queue what it decided for disk and outbox; nothing leaves yet.

        Never suspends, so the journal's order is the order in which the state changed. Raises JournalFailed, now and
        from then on, when the journal did not take the events.
        """
        self._refuse_if_failed()
        try:
            events = self.kernel.step(given)
        except SessionRefused:
            raise  # said no before it changed anything
        except Exception as error:
            # Half a decision may be in the state and none of it on record: what follows from it must not leave.
            self.failed = ShellStopped(
                f"the kernel failed on {type(given).__name__} ({type(error).__name__}: {error}): {_STOPPED}"
            )
            raise self.failed from error
        if not events:
            return events
        try:
            seq = self.journal.append(events)
        except JournalFailed as error:
            self.failed = error
            raise
        self._decided(events)
        if self._bus is not None:
            self._unpublished.append((seq, events))
        self._lanes.put(seq, effects_of(events))
        return events

    async def feed(self, given: Input) -> list[Event]:
        """Decide, then carry out whatever follows until nothing is left to do; returns the first decision's events."""
        events = self.decide(given)
        await self.settle()
        return events

    async def settle(self) -> None:
        """Carry out the outbox in order, feed every answer back, and read what the broker has to say, until quiet.

        Where that is being done already, and hangs, the way out overtakes at once.
        """
        if self._settling.locked():
            self._lanes.overtake()
        async with self._settling:
            carried = 0
            while True:
                while self._lanes:
                    carried += 1
                    if carried > CASCADE_LIMIT:
                        self._run_away(self._lanes.first)
                    await self._lanes.take_turn()
                if not await self._lanes.patiently(self._hear_the_broker()):
                    await self._lanes.quiet()
                    self._refuse_if_failed()
                    if not self._lanes:
                        break
        self._publish()

    async def hear_activities(self) -> None:
        """Take in what the broker booked without an order since we last heard. Raises BrokerUnreachable."""
        if told := await self._work.do(lambda: self.broker.activities(self.state.activity_cursor)):
            self.decide(ActivitiesObserved(at=self.now(), activities=tuple(told)))

    async def durable(self) -> int:
        """Wait until everything decided so far is on disk; returns the durable sequence. Raises JournalFailed."""
        self._refuse_if_failed()
        started = time.perf_counter()
        try:
            reached = await self._work.durable(self.journal)
        except JournalFailed as error:
            self.failed = error
            raise
        self.waited_s += time.perf_counter() - started
        self._publish()
        return reached

    async def at_the_venue(self, work: Callable[[], T]) -> T:
        """Do something with the broker's own machinery while no effect is under way (a replayed venue's next bar)."""
        async with self._settling:
            return await self._lanes.patiently(self._work.do(work))

    async def beside(self, work: Callable[[], T]) -> T:
        """Do blocking work that needs neither kernel nor broker; effects and commands do not wait for it."""
        return await self._work.do(work)

    async def notify(self, alert: Alert) -> None:
        """Carry an alert beyond the screen. A dead pager stops nothing: the alert stands on screen and record."""
        notifier = self._notifier
        if notifier is None:
            return
        try:
            await self._work.do(lambda: notifier.notify((alert,)))
        except Exception as error:  # whatever a pager raises
            self.notices_lost.append(f"{alert.kind}: {type(error).__name__}: {error}")

    def telemetry(self, events: Sequence[Event]) -> None:
        """Put facts of the machine on their own stream; dropped once the journal has failed."""
        if self.failed is not None:
            return
        try:
            self.journal.append_telemetry(events)
        except JournalFailed as error:
            self.failed = error

    # --- effects and their answers -----------------------------------------------------------------------

    def _refuse_if_failed(self) -> None:
        if self.failed is None:
            return
        if isinstance(self.failed, JournalFailed):
            raise JournalFailed(str(self.failed)) from self.failed
        raise ShellStopped(str(self.failed)) from self.failed

    def _run_away(self, effect: Effect) -> None:
        self._lanes.clear()
        self.failed = ShellStopped(
            f"more than {CASCADE_LIMIT} effects followed from one input, the last {type(effect).__name__}: {_STOPPED}"
        )
        raise self.failed

    async def _carry_out(self, seq: int, effect: Effect) -> None:
        if self.journal.durable_seq < seq:
            await self.durable()
        self._refuse_if_failed()
        answer = await self._carried_out(effect)
        if answer is not None:
            self.decide(answer)

    async def _carried_out(self, effect: Effect) -> Input | None:
        if isinstance(effect, SubmitOrder):
            request = effect.request
            outcome, detail = SubmitOutcome.WITHHELD, withheld(self.state, request)
            if not detail:
                outcome, detail = await self._requested(lambda: self.broker.submit(request))
            return SubmitObserved(at=self.now(), cl_ord_id=request.cl_ord_id, outcome=outcome, detail=detail)
        if isinstance(effect, CancelOrder):
            name = effect.cl_ord_id
            outcome, detail = await self._requested(lambda: self.broker.cancel(name))
            return CancelObserved(at=self.now(), cl_ord_id=name, outcome=outcome, detail=detail)
        if isinstance(effect, ReplaceOrder):
            asked, order = effect.request, effect.order
            name = asked.cl_ord_id
            outcome, detail = await self._requested(lambda: self.broker.replace(asked))
            return ReplaceObserved(at=self.now(), order=order, cl_ord_id=name, outcome=outcome, detail=detail)
        if isinstance(effect, QueryOrder):
            return await order_queried(self._work, self.broker, effect.cl_ord_id, self.now)
        if isinstance(effect, QueryBroker):
            return await self._broker_queried(effect)
        await self.notify(effect.alert)
        return None

    async def _requested(self, request: Callable[[], None]) -> tuple[SubmitOutcome, str]:
        try:
            return await requested(self._work, request)
        except LeaseLost as error:
            # Somebody else may be sending for this book. What was not sent stays in doubt for whoever recovers it.
            self._lanes.clear()
            self.failed = ShellStopped(f"{error}; nothing is decided or sent by this process any more")
            raise self.failed from error

    async def _broker_queried(self, query: QueryBroker) -> BrokerSnapshotObserved:
        # What the broker has said by now belongs before the reading: else news on its way looks like a break.
        with suppress(BrokerUnreachable):  # the reading that follows says so
            await self.hear_activities()
        await self._hear_the_broker()
        snapshot = await self._work.do(lambda: self._snapshot(self.broker, query.after_cursor))
        return BrokerSnapshotObserved(at=self.now(), trigger=query.trigger, snapshot=snapshot)

    # --- what the broker says by itself -------------------------------------------------------------------

    async def _hear_the_broker(self) -> bool:
        """Feed new execution reports, and the account after executions; says whether there was anything."""
        after = self.state.exec_cursor
        try:
            reports = await self._work.do(lambda: self.broker.reports(after))
            self._reconnected()
            for report in reports:
                self.decide(ExecutionReported(at=self._heard_at(report), report=report))
                self._account_stale |= report.exec_type in _BOOKED
            if self._account_stale:
                account = await self._work.do(self.broker.account)
                self._account_stale = False
                self.decide(AccountObserved(at=self.now(), account=account))
        except BrokerUnreachable as error:
            return self._disconnected(str(error))
        return bool(self._lanes)

    def _heard_at(self, report: ExecutionReport) -> datetime:
        """When it happened, but never beyond the next bars: a venue that went on while we were down has traded more."""
        horizon = self._horizon()
        at = report.transact_time if horizon is None else min(report.transact_time, horizon)
        return max(self.now(), at)

    def _disconnected(self, detail: str) -> bool:
        if self._unreachable or self.state.session is None:
            return False
        self._unreachable = detail or "no answer"
        self.decide(BrokerConnectionChanged(at=self.now(), connected=False, detail=self._unreachable))
        return True

    def _reconnected(self) -> None:
        if self._unreachable:
            self._unreachable = ""
            self.decide(BrokerConnectionChanged(at=self.now(), connected=True, detail="answers again"))

    # --- telling others --------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Tell the bus what has become durable since the last time."""
        durable = self.journal.durable_seq if self._unpublished else 0
        while self._bus is not None and self._unpublished and self._unpublished[0][0] <= durable:
            self._bus.publish(*self._unpublished.popleft())
