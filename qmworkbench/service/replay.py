"""The replay: a book's sessions in a plain loop, in memory, decided as in any other shell (§2 Backtesting).

Kernel, venue model, signals and the steps of a day are those of every shell. What a replay leaves out is what surrounds
them: disk, evidence, telemetry, health, projections, page. Its decisions are those of the full day in environment
backtest, event for event, but for `checks_hash` and `failed` of `session.preflight_recorded`: its checklist has one
line. A day of environment local differs by that word as well, where it is opened and where the Risk Manager names it,
and compares with the broker more often where bars are long (trading/reconciliation.py).
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from qmworkbench.brokers.select import broker_for
from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.session import ServiceReady
from qmworkbench.domain.instruments import Instrument
from qmworkbench.market.feed import Delivery
from qmworkbench.ports import Journal
from qmworkbench.service.analytics_watch import AnalyticsWatch
from qmworkbench.service.blocking import complete
from qmworkbench.service.boundary import close_boundary, compute_and_decide
from qmworkbench.service.day import (
    market_session,
    pre_market,
    pre_start,
    reconcile_and_review,
    shut_down,
    verify_health,
)
from qmworkbench.service.frames import Frames, raw_bars
from qmworkbench.service.ground import ground_of
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.result import DayResult, result_of
from qmworkbench.service.shell import Shell
from qmworkbench.service.stage import Stage
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.strategies.period import PeriodSignals
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.phases import STARTUP_ORDER
from qmworkbench.venue.exchange import Exchange

_NOTHING_AT_STAKE: Final = Check(
    check_id="replay.nothing_at_stake",
    section="§2 Backtesting",
    title="nothing is at stake in a replay",
    status=CheckStatus.PASS,
    looked_at="the shell",
    value="recorded bars, a venue in memory",
    expectation="no broker can be reached",
)


class Replay:
    """A book in memory, whose sessions are run one after another. `instruments` are those of all its sessions.

    `journal` takes the decisions, one in memory where none is given; nothing waits for it. `on_boundary` is called
    after each boundary. Raises NoBroker in an environment that has a real broker, VenueError.
    """

    def __init__(
        self,
        first: DayPlan,
        instruments: Iterable[Instrument],
        *,
        journal: Journal | None = None,
        on_boundary: Callable[[Delivery], None] | None = None,
    ) -> None:
        self.journal: Journal = journal if journal is not None else MemoryJournal(book=first.book)
        self._opened = ExitStack()
        exchange = Exchange(None, instruments, first.venue_model, first.account_currency, first.initial_cash)
        self.exchange = self._opened.enter_context(exchange)
        self._on_boundary = on_boundary
        self._stage: ReplayStage | None = None
        self.shell = Shell(
            Kernel(),
            self.journal,
            broker_for(first.environment, self.exchange),
            snapshot=snapshot,
            horizon=lambda: self._stage.monitor.awaited if self._stage is not None else None,
            decided=self._decided,
        )

    def session(self, plan: DayPlan, signals: PeriodSignals | None = None) -> DayResult:
        """Run the day of `plan` to its close. `signals`: those of a period it is part of, where they were computed.

        Raises what run_headless raises of the decisions: DayRefused, ShellStopped, SessionRefused.
        """
        self._stage = ReplayStage(self, plan, signals, self._on_boundary)
        return complete(replayed_day(self._stage))

    def _decided(self, events: Sequence[Event]) -> None:
        if self._stage is not None:
            self._stage.hear(events)

    def close(self) -> None:
        """Let the venue go; twice is fine."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ReplayStage(Stage):
    """One session of a replay: the steps' needs, and nothing besides."""

    def __init__(
        self,
        replay: Replay,
        plan: DayPlan,
        signals: PeriodSignals | None,
        on_boundary: Callable[[Delivery], None] | None,
    ) -> None:
        super().__init__(plan, replay.exchange, replay.shell.broker, ground_of(plan.data))
        self.shell = replay.shell
        self.journal = replay.journal
        self.monitor.state = self.state.feed
        self.analytics = AnalyticsWatch(plan.analytics, shows=False)
        self.signals = signals
        self._on_boundary = on_boundary

    async def take(self, delivery: Delivery) -> None:
        await close_boundary(self, delivery)
        await compute_and_decide(self, delivery.frame)
        if self._on_boundary is not None:
            self._on_boundary(delivery)

    def critical_down(self) -> tuple[str, ...]:
        return ()

    def found_of(self, component: str) -> str:
        return ""


async def replayed_day(stage: ReplayStage) -> DayResult:
    """The steps of a day, from opening to close."""
    stage.audit.begin(stage.state)
    await stage.shell.feed(stage.plan.opened(max(stage.plan.starts_at, stage.state.now or stage.plan.starts_at)))
    await pre_start(stage, _looked_at)
    await start(stage)
    await verify_health(stage)
    await pre_market(stage, _looked_at)
    await market_session(stage)
    await shut_down(stage)
    await reconcile_and_review(stage)
    return result_of(stage, stage.journal.head[1], stage.plan.data.bars)


async def start(stage: ReplayStage) -> None:
    """The services of §6 in their order: there is nothing to start but the computation of frames."""
    plan, shell = stage.plan, stage.shell
    for position, service in enumerate(STARTUP_ORDER, start=1):
        if service == "market_data":
            for quarantined in plan.data.quarantine_events(shell.now()):
                await shell.feed(quarantined)
        elif service == "radar":
            bars = raw_bars(plan.data) if plan.compute == "one-pass" and stage.signals is None else None
            stage.frames = Frames(stage.ground, stage.day, bars, stage.signals, known=plan.data.frames)
        await shell.feed(ServiceReady(at=shell.now(), service=service, position=position))


def _looked_at(stage: Stage, phase: str) -> Sequence[Check]:
    return (_NOTHING_AT_STAKE,)
