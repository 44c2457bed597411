"""The shell's promises: durable before any effect, every answer fed back, poisoned for good, never a runaway."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from qmworkbench.domain.events import Alert, Event, Input
from qmworkbench.domain.events.control import AlertRaised, ClockTicked
from qmworkbench.domain.events.orders import (
    CancelObserved,
    CancelRequested,
    ExecutionReported,
    OrderIntended,
    OrderQueried,
    OrderQueryRequested,
    SubmitObserved,
)
from qmworkbench.domain.events.reconciliation import (
    AccountObserved,
    BrokerConnectionChanged,
    BrokerSnapshotObserved,
    ReconciliationStarted,
    Trigger,
)
from qmworkbench.domain.execution import ExecType, SubmitOutcome
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import Priority
from qmworkbench.ports import BrokerUnreachable, JournalFailed, OutcomeUnknown, RequestRefused
from qmworkbench.service.blocking import BesideTheLoop, InLine, complete
from qmworkbench.service.shell import CASCADE_LIMIT, Shell, ShellStopped
from qmworkbench.trading.phases import SessionRefused
from tests.service.fakes import NOON, DiaryBroker, SlowJournal, TableKernel, empty_snapshot, report, request


def intended(cl_ord_id: str = "qm-1") -> OrderIntended:
    return OrderIntended(
        at=NOON,
        request=request(cl_ord_id),
        strategy_id="s",
        leg=Leg.ENTRY,
        signal_id="sig",
        attempt=1,
        decision_px=Decimal(10),
        reserve_notional=Decimal(100),
    )


class Rig:
    def __init__(self, **answers: Sequence[Event]) -> None:
        by_type = {ClockTicked: answers.get("on_tick", ()), SubmitObserved: answers.get("on_submit", ())}
        self.kernel = TableKernel({kind: lambda _, given=given: given for kind, given in by_type.items()})
        self.journal = SlowJournal()
        self.broker = DiaryBroker(lambda: self.journal.durable_seq)
        self.published: list[tuple[int, int, int]] = []
        self.shell = Shell(self.kernel, self.journal, self.broker, snapshot=empty_snapshot, bus=self)

    def publish(self, seq: int, events: Sequence[Event]) -> None:
        self.published.append((seq, len(events), self.journal.durable_seq))

    def follow(self, receiver: object) -> object:
        raise NotImplementedError

    def tick(self) -> list[Event]:
        return complete(self.shell.feed(ClockTicked(at=NOON)))

    def heard(self, kind: type[Input]) -> list[Input]:
        return [given for given in self.kernel.steps if isinstance(given, kind)]


def test_a_quiet_input_waits_for_no_disk() -> None:
    rig = Rig()
    rig.tick()
    assert rig.journal.head[0] == 1
    assert rig.journal.durable_seq == 0
    assert rig.published == []


def test_an_order_is_durable_before_it_is_sent_and_its_outcome_is_fed_back() -> None:
    rig = Rig(on_tick=[intended()])
    rig.tick()
    assert rig.broker.diary == [("submit", "qm-1", 2)]
    (observed,) = rig.heard(SubmitObserved)
    assert observed == SubmitObserved(at=NOON, cl_ord_id="qm-1", outcome=SubmitOutcome.SENT)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RequestRefused("no_buying_power"), SubmitOutcome.REFUSED),
        (OutcomeUnknown("timed out"), SubmitOutcome.LOST),
        (BrokerUnreachable("no route"), SubmitOutcome.LOST),
    ],
)
def test_only_a_definite_no_counts_as_refused(error: Exception, outcome: SubmitOutcome) -> None:
    rig = Rig(on_tick=[intended(), CancelRequested(at=NOON, cl_ord_id="qm-0", reason="x")])
    rig.broker.failing = {"submit": error, "cancel": error}
    rig.tick()
    for kind in (SubmitObserved, CancelObserved):
        (observed,) = rig.heard(kind)
        assert (observed.outcome, observed.detail) == (outcome, str(error))  # type: ignore[attr-defined]


def test_effects_leave_in_the_order_of_their_events_and_those_of_an_answer_after_them() -> None:
    rig = Rig(
        on_tick=[intended("a"), CancelRequested(at=NOON, cl_ord_id="b", reason="x")],
        on_submit=[OrderQueryRequested(at=NOON, cl_ord_id="c", reason="x")],
    )
    rig.tick()
    assert [(what, which) for what, which, _ in rig.broker.diary] == [("submit", "a"), ("cancel", "b"), ("order", "c")]
    assert all(durable >= 3 for _, _, durable in rig.broker.diary)


def test_an_unanswered_query_is_not_an_empty_answer() -> None:
    rig = Rig(on_tick=[OrderQueryRequested(at=NOON, cl_ord_id="c", reason="x")])
    rig.broker.failing["order"] = BrokerUnreachable("no route")
    rig.tick()
    (queried,) = rig.heard(OrderQueried)
    assert queried == OrderQueried(at=NOON, cl_ord_id="c", complete=False, cursor=0, error="no route")


def test_a_complete_answer_carries_its_cursor() -> None:
    rig = Rig(on_tick=[OrderQueryRequested(at=NOON, cl_ord_id="c", reason="x")])
    rig.tick()
    (queried,) = rig.heard(OrderQueried)
    assert queried == OrderQueried(at=NOON, cl_ord_id="c", complete=True, cursor=7)


def test_a_reconciliation_reads_the_broker_and_says_what_for() -> None:
    rig = Rig(on_tick=[ReconciliationStarted(at=NOON, trigger=Trigger.STARTUP, after_cursor=0)])
    rig.tick()
    (observed,) = rig.heard(BrokerSnapshotObserved)
    assert observed.trigger is Trigger.STARTUP  # type: ignore[attr-defined]
    assert observed.snapshot.complete  # type: ignore[attr-defined]


def test_reports_are_heard_in_order_dated_by_the_broker_and_followed_by_the_account() -> None:
    rig = Rig()
    rig.broker.waiting = [report(1), report(2, ExecType.TRADE), report(3)]
    rig.tick()
    assert [type(step) for step in rig.kernel.steps[1:]] == [ExecutionReported] * 3 + [AccountObserved]
    assert [step.report.cursor for step in rig.heard(ExecutionReported)] == [1, 2, 3]  # type: ignore[attr-defined]
    assert [step.at.second for step in rig.kernel.steps[1:]] == [1, 2, 3, 3]
    rig.tick()
    assert len(rig.kernel.steps) == 6, "what was heard once is not heard again"


def test_an_acknowledgement_alone_asks_for_no_account() -> None:
    rig = Rig()
    rig.broker.waiting = [report(1)]
    rig.tick()
    assert rig.heard(AccountObserved) == []


def test_the_account_is_asked_for_until_it_answers() -> None:
    rig = Rig()
    rig.broker.waiting = [report(1, ExecType.TRADE)]
    rig.broker.failing["account"] = BrokerUnreachable("no route")
    rig.tick()
    assert rig.heard(AccountObserved) == []
    rig.broker.failing.clear()
    rig.tick()
    assert len(rig.heard(AccountObserved)) == 1


def test_a_silent_broker_is_reported_once_and_so_is_its_return() -> None:
    rig = Rig()
    rig.kernel.state.session = object()  # type: ignore[assignment]
    rig.broker.failing["reports"] = BrokerUnreachable("no route")
    rig.tick()
    rig.tick()
    rig.broker.failing.clear()
    rig.tick()
    rig.tick()
    changes = rig.heard(BrokerConnectionChanged)
    assert [change.connected for change in changes] == [False, True]  # type: ignore[attr-defined]


def test_the_bus_hears_only_what_is_durable_and_everything_once() -> None:
    rig = Rig()
    rig.tick()
    rig.kernel.answers[ClockTicked] = lambda _: [intended()]
    rig.tick()
    assert [seq for seq, _, _ in rig.published] == [1, 3]
    assert all(seq <= durable for seq, _, durable in rig.published)
    complete(rig.shell.durable())
    assert [seq for seq, _, _ in rig.published] == [1, 3, 4]


@pytest.mark.parametrize("where", ["append", "sync"])
def test_after_the_journal_failed_no_effect_leaves_any_more(where: str) -> None:
    rig = Rig(on_tick=[intended()])
    rig.journal.break_at = where
    with pytest.raises(JournalFailed, match="the disk is full"):
        rig.tick()
    rig.journal.break_at = ""
    for _ in range(2):
        with pytest.raises(JournalFailed, match="the disk is full"):
            rig.tick()
    assert rig.broker.diary == []
    assert isinstance(rig.shell.failed, JournalFailed)
    rig.shell.telemetry([ClockTicked(at=NOON)])
    assert rig.journal.telemetry_head[0] == 0


def test_a_kernel_that_answers_itself_is_stopped() -> None:
    rig = Rig(on_tick=[intended()], on_submit=[intended()])
    with pytest.raises(ShellStopped, match="SubmitOrder"):
        rig.tick()
    assert len(rig.broker.diary) == CASCADE_LIMIT
    with pytest.raises(ShellStopped):
        rig.tick()


def test_a_kernel_that_fails_half_way_decides_nothing_more() -> None:
    rig = Rig(on_tick=[intended()])

    def fails(_: Input) -> Sequence[Event]:
        raise AssertionError("an invariant does not hold")

    rig.kernel.answers[ClockTicked] = fails
    with pytest.raises(ShellStopped, match=r"ClockTicked.*an invariant does not hold"):
        rig.tick()
    rig.kernel.answers.clear()
    with pytest.raises(ShellStopped):
        rig.tick()
    assert (rig.broker.diary, rig.journal.head[0]) == ([], 0)


def test_a_refused_session_leaves_the_shell_usable() -> None:
    rig = Rig()

    def refuses(_: Input) -> Sequence[Event]:
        raise SessionRefused("closed")

    rig.kernel.answers[ClockTicked] = refuses
    with pytest.raises(SessionRefused):
        rig.tick()
    rig.kernel.answers.clear()
    assert len(rig.tick()) == 1


def test_a_dead_pager_stops_nothing() -> None:
    alert = Alert(alert_id="1", priority=Priority.P1, kind="k", key="k", text="t", remedy="r")
    rig = Rig(on_tick=[AlertRaised(at=NOON, alert=alert), intended()])

    class DeadPager:
        def notify(self, alerts: object) -> None:
            raise ConnectionError("pager is gone")

    rig.shell = Shell(rig.kernel, rig.journal, rig.broker, snapshot=empty_snapshot, notifier=DeadPager())
    rig.tick()
    assert [what for what, _, _ in rig.broker.diary] == ["submit"]
    assert rig.shell.notices_lost == ["k: ConnectionError: pager is gone"]


def test_inputs_are_never_dated_before_the_newest() -> None:
    rig = Rig()
    rig.tick()
    early = NOON.replace(hour=1)
    shell = Shell(rig.kernel, rig.journal, rig.broker, snapshot=empty_snapshot, now=lambda: early)
    assert shell.now() == NOON


def test_the_same_steps_run_beside_a_loop_decide_the_same_and_let_a_command_in_between() -> None:
    def run(beside: bool) -> tuple[str, list[str]]:
        rig = Rig(on_tick=[intended()])
        rig.shell = Shell(
            rig.kernel, rig.journal, rig.broker, snapshot=empty_snapshot, work=BesideTheLoop() if beside else InLine()
        )
        if beside:
            asyncio.run(_twice(rig.shell))
        else:
            complete(_twice(rig.shell))
        return rig.journal.head[1], [type(step).__name__ for step in rig.kernel.steps]

    assert run(beside=True) == run(beside=False)


async def _twice(shell: Shell) -> None:
    await shell.feed(ClockTicked(at=NOON))
    await shell.feed(ClockTicked(at=NOON))


def test_two_flows_at_once_send_each_effect_once_and_in_order() -> None:
    rig = Rig(on_tick=[intended()])
    rig.shell = Shell(rig.kernel, rig.journal, rig.broker, snapshot=empty_snapshot, work=BesideTheLoop())

    async def many() -> None:
        await asyncio.gather(*(rig.shell.feed(ClockTicked(at=NOON)) for _ in range(20)))

    asyncio.run(many())
    assert [what for what, _, _ in rig.broker.diary] == ["submit"] * 20
    assert len(rig.heard(SubmitObserved)) == 20


def test_steps_that_need_a_loop_are_refused_without_one() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="event loop"):
        complete(waits())
