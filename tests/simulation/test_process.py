"""The simulated process beside the real shell: for each effect the same request at the broker, and the same answer."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.orders import CancelRequested, OrderIntended, OrderQueryRequested, ReplaceRequested
from qmworkbench.domain.events.reconciliation import ReconciliationStarted, Trigger
from qmworkbench.domain.execution import ReplaceRequest
from qmworkbench.domain.numbers import ONE
from qmworkbench.domain.orders import Leg, Order, OrdStatus
from qmworkbench.domain.sessions import TradingState
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown, RequestRefused
from qmworkbench.service.blocking import complete
from qmworkbench.service.shell import Shell
from qmworkbench.simulation.device import Device, SimJournal
from qmworkbench.simulation.loop import Loop
from qmworkbench.simulation.network import Network
from qmworkbench.simulation.plan import Faults, Plan, World
from qmworkbench.simulation.process import Process
from qmworkbench.trading.effects import Effect
from tests.service.fakes import NOON, DiaryBroker, SlowJournal, TableKernel, report, request

INTENDED = OrderIntended(
    at=NOON,
    request=request("qm-1"),
    strategy_id="s",
    leg=Leg.ENTRY,
    signal_id="sig",
    attempt=1,
    decision_px=ONE,
    reserve_notional=ONE,
)
REPLACE = ReplaceRequested(
    at=NOON,
    order="qm-1",
    request=ReplaceRequest(cl_ord_id="qm-2", orig_cl_ord_id="qm-1", order_qty=ONE),
    reason="smaller",
)
ASKED: dict[str, Event] = {
    "submit": INTENDED,
    "cancel": CancelRequested(at=NOON, cl_ord_id="qm-1", reason="x", working_id="qm-1b"),
    "replace": REPLACE,
    "order": OrderQueryRequested(at=NOON, cl_ord_id="qm-1", reason="x"),
}
READING = ReconciliationStarted(at=NOON, trigger=Trigger.OPERATOR, after_cursor=0)
TROUBLES: dict[str, Exception | None] = {
    "": None,
    "refused": RequestRefused("no_locate: none"),
    "lost": OutcomeUnknown("timed out"),
    "unreachable": BrokerUnreachable("no route"),
}


class Onlooker:
    def decided(self, seq: int, events: list[Event], state: Any) -> None: ...

    def sending(self, effect: Effect, durable: int) -> None: ...


def prepared(asked: Sequence[Event], halted: bool, status: OrdStatus | None) -> TableKernel:
    kernel = TableKernel({ClockTicked: lambda _: asked})
    state = kernel.state
    state.now, state.connected = NOON, True
    state.session = SimpleNamespace(runs={}, entries_held="")  # type: ignore[assignment]
    if halted:
        state.halt.state = TradingState.HALTED
    if status is not None:
        wanted = INTENDED.request
        state.orders[wanted.cl_ord_id] = Order(
            cl_ord_id=wanted.cl_ord_id,
            strategy_id="s",
            symbol=wanted.symbol,
            side=wanted.side,
            position_effect=wanted.position_effect,
            ord_type=wanted.ord_type,
            order_qty=wanted.order_qty,
            time_in_force=wanted.time_in_force,
            leg=Leg.ENTRY,
            intended_at=NOON,
            status=status,
        )
    return kernel


def broker(what: str = "", trouble: Exception | None = None, *, news: bool = False) -> DiaryBroker:
    made = DiaryBroker(lambda: 0)
    made.waiting = [report(1)] if news else []
    if trouble is not None:
        made.failing = {what: trouble} | ({"reports": trouble} if what == "account" else {})
    return made


def by_shell(kernel: TableKernel, at: DiaryBroker) -> None:
    shell = Shell(kernel, SlowJournal(), at, snapshot=snapshot)
    complete(shell.feed(ClockTicked(at=NOON)))


def by_process(kernel: TableKernel, at: DiaryBroker) -> None:
    loop, faults = Loop(0), Faults(Plan(seed=1, world=World()))
    made: Any = Process(
        loop,
        faults,
        Network(loop, faults),
        at,  # type: ignore[arg-type]
        journal=SimJournal(Device()),
        kernel=kernel,  # type: ignore[arg-type]
        watcher=Onlooker(),
    )
    made.decide(ClockTicked(at=NOON))
    while loop.step():
        pass
    assert made.quiet


def plainly(kernel: TableKernel) -> list[tuple[str, dict[str, Any]]]:
    """What the kernel was told, without the times, which are the machine's."""
    told = [(type(given).__name__, msgspec.to_builtins(given)) for given in kernel.steps]
    for _, fields in told:
        fields.pop("at")
    return told


@pytest.mark.parametrize("status", [None, OrdStatus.INTENDED, OrdStatus.CANCELED])
@pytest.mark.parametrize("halted", [False, True])
@pytest.mark.parametrize(
    ("what", "trouble"),
    [(what, trouble) for what in ASKED for trouble in TROUBLES if what != "order" or trouble in ("", "unreachable")],
)
def test_each_effect_comes_to_the_same(what: str, trouble: str, halted: bool, status: OrdStatus | None) -> None:
    seen = []
    for run in (by_shell, by_process):
        kernel, at = prepared([ASKED[what]], halted, status), broker(what, TROUBLES[trouble])
        run(kernel, at)
        seen.append((plainly(kernel), at.diary))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 2, "one input, and its answer"


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("", ["ClockTicked", "ExecutionReported", "BrokerSnapshotObserved True"]),
        ("unreachable", ["ClockTicked", "BrokerConnectionChanged", "BrokerSnapshotObserved False"]),
    ],
)
def test_what_the_broker_has_said_by_then_comes_before_a_reading(trouble: str, told: list[str]) -> None:
    for run in (by_shell, by_process):
        kernel = prepared([READING], halted=False, status=None)
        run(kernel, broker("account", TROUBLES[trouble], news=True))
        seen = [
            f"{name} {fields['snapshot']['complete']}" if name == "BrokerSnapshotObserved" else name
            for name, fields in plainly(kernel)
        ]
        assert seen == told, run.__name__
