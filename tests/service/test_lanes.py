"""A broker that hangs: the way out overtakes, an order's own effects keep their order, a replay knows nothing of it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.orders import (
    CancelObserved,
    CancelRequested,
    OrderIntended,
    OrderQueryRequested,
    ReplaceRequested,
    SubmitObserved,
)
from qmworkbench.domain.events.reconciliation import ReconciliationStarted, Trigger
from qmworkbench.domain.execution import OrderRequest, ReplaceRequest
from qmworkbench.domain.orders import Leg, PositionEffect
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown
from qmworkbench.service import lanes
from qmworkbench.service.blocking import BesideTheLoop, complete
from qmworkbench.service.shell import Shell
from qmworkbench.trading.effects import CancelOrder, QueryBroker, QueryOrder, ReplaceOrder, SubmitOrder, effects_of
from tests.service.fakes import NOON, DiaryBroker, SlowJournal, TableKernel, empty_snapshot, request


def intended(name: str, *, closes: bool = False) -> OrderIntended:
    effect = PositionEffect.CLOSE if closes else PositionEffect.OPEN
    return OrderIntended(
        at=NOON,
        request=msgspec.structs.replace(request(name), position_effect=effect),
        strategy_id="s",
        leg=Leg.EXIT if closes else Leg.ENTRY,
        signal_id="sig",
        attempt=1,
        decision_px=Decimal(10),
        reserve_notional=Decimal(100),
    )


def cancel(name: str) -> CancelRequested:
    return CancelRequested(at=NOON, cl_ord_id=name, reason="x")


def replacing(name: str) -> ReplaceRequested:
    asked = ReplaceRequest(cl_ord_id=f"{name}-2", orig_cl_ord_id=name, order_qty=Decimal(5))
    return ReplaceRequested(at=NOON, order=name, request=asked, reason="x")


class HangingBroker(DiaryBroker):
    """Calls named in `hangs` wait until they are let go, and then break off."""

    def __init__(self, durable: Callable[[], int], *hangs: str) -> None:
        super().__init__(durable)
        self.hangs = set(hangs)
        self.reached = threading.Event()
        self.let_go = threading.Event()
        self.done: list[str] = []

    def _note(self, what: str, which: str) -> None:
        super()._note(what, which)
        if f"{what} {which}" in self.hangs:
            self.reached.set()
            assert self.let_go.wait(300)
            self.done.append(f"{what} {which}")
            raise BrokerUnreachable("timed out") if what == "order" else OutcomeUnknown("timed out")


class Rig:
    """A shell beside a loop, whose broker hangs. `given` decides what each tick leads to, in turn."""

    def __init__(self, given: list[list[Event]], *hangs: str) -> None:
        answers = iter(given)
        self.kernel = TableKernel({ClockTicked: lambda _: next(answers, [])})
        self.journal = SlowJournal()
        self.broker = HangingBroker(lambda: self.journal.durable_seq, *hangs)
        self.shell = Shell(self.kernel, self.journal, self.broker, snapshot=empty_snapshot, work=BesideTheLoop())

    def tick(self) -> Coroutine[Any, Any, list[Event]]:
        return self.shell.feed(ClockTicked(at=NOON))

    @property
    def sent(self) -> list[str]:
        return [f"{what} {which}" for what, which, _ in self.broker.diary]

    async def until_sent(self, *wanted: str) -> None:
        """Wait, for as long as it takes within reason, until these have left."""
        async with asyncio.timeout(300):
            while not set(wanted) <= set(self.sent):  # noqa: ASYNC110  (the broker is in other threads)
                await asyncio.sleep(0.002)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody need wait a second for a broker that hangs by design."""
    monkeypatch.setattr(lanes, "HANGS_AFTER_S", 0.01)


@pytest.mark.parametrize("hanging", ["submit a", "order a"])
def test_a_hung_submit_or_query_delays_no_cancel_and_no_close_of_the_same_decision(hanging: str) -> None:
    first: Event = intended("a") if "submit" in hanging else OrderQueryRequested(at=NOON, cl_ord_id="a", reason="x")
    rig = Rig([[first, cancel("b"), intended("c", closes=True), intended("d")]], hanging)

    async def day() -> None:
        under_way = asyncio.create_task(rig.tick())
        await rig.until_sent(hanging, "cancel b", "submit c")
        assert rig.broker.done == [], "it still hangs"
        assert "submit d" not in rig.sent, "an entry keeps its turn"
        rig.broker.let_go.set()
        await under_way

    asyncio.run(day())
    assert rig.sent[-1] == "submit d"
    assert len(rig.sent) == 4, "each was sent once"
    assert all(durable >= 2 for _, _, durable in rig.broker.diary), "nothing left before it was on disk"


def test_a_command_given_while_the_broker_hangs_gets_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "HANGS_AFTER_S", 3600.0)
    reading = ReconciliationStarted(at=NOON, trigger=Trigger.EMERGENCY, after_cursor=0)
    rig = Rig([[intended("a")], [cancel("b"), reading]], "submit a")

    async def day() -> None:
        under_way = asyncio.create_task(rig.tick())
        await asyncio.to_thread(rig.broker.reached.wait)
        emergency = asyncio.create_task(rig.tick())
        await rig.until_sent("cancel b", "account ")
        assert rig.broker.done == []
        rig.broker.let_go.set()
        await asyncio.gather(under_way, emergency)

    asyncio.run(day())


def test_a_hung_cancel_holds_up_no_other_cancel() -> None:
    rig = Rig([[cancel("a"), cancel("b"), cancel("c")]], "cancel a")

    async def day() -> None:
        under_way = asyncio.create_task(rig.tick())
        await rig.until_sent("cancel b", "cancel c")
        assert rig.broker.done == []
        rig.broker.let_go.set()
        await under_way

    asyncio.run(day())


@pytest.mark.parametrize(("first", "hanging"), [(intended("a"), "submit a"), (replacing("a"), "replace a-2")])
def test_a_cancel_waits_for_the_answer_to_its_own_orders_submit_or_replace(first: Event, hanging: str) -> None:
    rig = Rig([[first, cancel("a"), cancel("b")]], hanging)

    async def day() -> None:
        under_way = asyncio.create_task(rig.tick())
        await rig.until_sent("cancel b")
        assert "cancel a" not in rig.sent, "it could reach the broker before the order"
        rig.broker.let_go.set()
        await under_way

    asyncio.run(day())
    assert rig.sent[-1] == "cancel a", "what is given up may be live: its cancel goes out"
    outcomes = [step for step in rig.kernel.steps if isinstance(step, SubmitObserved | CancelObserved)]
    assert outcomes[-1] == CancelObserved(at=NOON, cl_ord_id="a", outcome=outcomes[-1].outcome)


def test_what_an_answer_leads_to_overtakes_too() -> None:
    rig = Rig([[intended("a"), cancel("b")]], "submit a")
    follow = iter([[cancel("c")], []])
    rig.kernel.answers[CancelObserved] = lambda _: next(follow, [])

    async def day() -> None:
        under_way = asyncio.create_task(rig.tick())
        await rig.until_sent("cancel b", "cancel c")
        assert rig.broker.done == []
        rig.broker.let_go.set()
        await under_way

    asyncio.run(day())


def test_what_fails_beside_is_told_to_whoever_settles() -> None:
    rig = Rig([[intended("a"), cancel("b")]], "submit a")

    def breaks(_: object) -> list[Event]:
        raise AssertionError("an invariant does not hold")

    rig.kernel.answers[CancelObserved] = breaks

    async def day() -> None:
        under_way = asyncio.create_task(rig.tick())
        await rig.until_sent("cancel b")
        rig.broker.let_go.set()
        with pytest.raises(RuntimeError, match="an invariant does not hold"):
            await under_way

    asyncio.run(day())
    assert rig.shell.failed is not None


def test_without_a_loop_every_effect_keeps_its_turn() -> None:
    carried: list[str] = []

    async def carry(_seq: int, effect: Any) -> None:
        carried.append(type(effect).__name__)
        queue.overtake()

    queue = lanes.Lanes(carry, overlaps=False)
    queue.put(1, effects_of([intended("a"), cancel("b"), intended("c", closes=True)]))

    async def all_of_it() -> None:
        while queue:
            await queue.take_turn()
        await queue.quiet()

    complete(all_of_it())
    assert carried == ["SubmitOrder", "CancelOrder", "SubmitOrder"]
    assert queue.overtaken == 0


def test_what_leads_out_of_the_market() -> None:
    entry = request("a")
    close: OrderRequest = msgspec.structs.replace(entry, position_effect=PositionEffect.CLOSE)
    out = [CancelOrder("a"), SubmitOrder(close), QueryBroker(Trigger.EMERGENCY, 0)]
    turn = [SubmitOrder(entry), QueryOrder("a"), QueryBroker(Trigger.CONTINUOUS, 0), ReplaceOrder("a", _replace())]
    assert [lanes.is_way_out(effect) for effect in (*out, *turn)] == [True] * 3 + [False] * 4


def _replace() -> ReplaceRequest:
    return ReplaceRequest(cl_ord_id="a-2", orig_cl_ord_id="a", order_qty=Decimal(5))
