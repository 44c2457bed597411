"""Whatever the broker says, in whatever order: the kernel does not fall over, and the books stay sound (§13)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qmworkbench.domain.events import Input, decode, encode
from qmworkbench.domain.events.orders import (
    CancelObserved,
    ExecutionReported,
    FillRecorded,
    FillReversed,
    OrderChanged,
    OrderQueried,
    ReplaceObserved,
    ReportQuarantined,
    SubmitObserved,
)
from qmworkbench.domain.execution import BrokerOrder, ExecType, ExecutionReport, SubmitOutcome
from qmworkbench.domain.orders import TERMINAL, Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_all
from qmworkbench.trading.fold import fold
from qmworkbench.trading.holdings import unsound
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.replacing import request_replace
from qmworkbench.trading.state import State, decode_state, encode_state, state_hash
from tests.trading.oms_cases import D, Desk, desk, held

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def seen() -> tuple[bytes, tuple[str, ...]]:
    """A book that holds something, with resting legs, as a checkpoint; and the ids of its orders."""
    built = held()
    return encode_state(built.state), tuple(built.state.orders)


numbers = st.one_of(
    st.sampled_from([D(0), D(1), D(10), D(20), D("20.01"), D(100), D(-1), D("1e12"), D("1e13"), D("1e-30")]),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from([D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity"), D("1e9999"), D("-0")]),
)
names = st.one_of(st.text(max_size=8), st.sampled_from(["AAA", "BBB", "ZZZ", ""]))


@st.composite
def reports(draw: Any, ids: tuple[str, ...] = ()) -> ExecutionReport:
    """Any report a type checker would let through, most of them about something we know."""
    name = st.one_of(st.sampled_from(ids), names) if ids else names
    maybe = st.one_of(st.none(), name)
    return ExecutionReport(
        cursor=draw(st.integers(-5, 2000)),
        exec_id=draw(st.one_of(st.sampled_from(["e1", "e2", ""]), st.text(max_size=6))),
        exec_type=draw(st.sampled_from(ExecType)),
        cl_ord_id=draw(name),
        order_id=draw(st.text(max_size=4)),
        symbol=draw(st.sampled_from(["AAA", "AAA", "AAA", "BBB", "ZZZ", ""])),
        side=draw(st.sampled_from(Side)),
        ord_status=draw(st.sampled_from(OrdStatus)),
        order_qty=draw(numbers),
        cum_qty=draw(numbers),
        transact_time=draw(st.sampled_from([AT, AT.replace(tzinfo=None), AT - timedelta(days=4000)])),
        avg_px=draw(numbers),
        last_qty=draw(numbers),
        last_px=draw(numbers),
        fee=draw(numbers),
        parent_id=draw(maybe),
        ref_exec_id=draw(st.one_of(st.none(), st.sampled_from(["e1", "b-1", "b-2"]), st.text(max_size=4))),
        reason=draw(st.text(max_size=10)),
        conversion_rate=draw(numbers),
        orig_cl_ord_id=draw(maybe),
        leg=draw(st.one_of(st.none(), st.sampled_from(Leg))),
    )


def sane(state: State) -> None:
    """What holds of the books after any news."""
    assert not unsound(state)
    for order in state.orders.values():
        assert order.cum_qty >= 0
        assert order.leaves_qty >= 0 or order.cum_qty > order.order_qty
    for held_ in state.positions.values():
        assert held_.qty.is_finite()
        assert held_.cost.is_finite()
    for net in state.net.values():
        assert net.qty.is_finite()
        assert net.cost.is_finite()
    assert state.day.fees.is_finite()


@QUICK
@given(data=st.data())
def test_no_report_whatever_it_says_raises_out_of_the_kernel(data: Any, seen: tuple[bytes, tuple[str, ...]]) -> None:
    saved, ids = seen
    kernel = Kernel(decode_state(saved))
    for _ in range(data.draw(st.integers(1, 6))):
        at = kernel.state.clock()
        events = kernel.step(ExecutionReported(at=at, report=data.draw(reports(ids))))
        read = [decode(encode(event)) for event in events]
        assert [type(e) for e in read] == [type(e) for e in events], "what is recorded can be read again"
        sane(kernel.state)


@QUICK
@given(data=st.data())
def test_no_answer_whatever_it_says_raises_out_of_the_kernel(data: Any, seen: tuple[bytes, tuple[str, ...]]) -> None:
    saved, ids = seen
    kernel = Kernel(decode_state(saved))
    name = data.draw(st.one_of(st.sampled_from(ids), names))
    at, detail = kernel.state.clock(), data.draw(st.text(max_size=20))
    outcome = data.draw(st.sampled_from(SubmitOutcome))
    found = BrokerOrder(
        cl_ord_id=data.draw(st.one_of(st.just(name), names)),
        order_id="b",
        symbol=data.draw(st.sampled_from(["AAA", "BBB"])),
        side=data.draw(st.sampled_from(Side)),
        position_effect=data.draw(st.sampled_from(PositionEffect)),
        ord_type=data.draw(st.sampled_from(OrdType)),
        time_in_force=data.draw(st.sampled_from(TimeInForce)),
        ord_status=data.draw(st.sampled_from(OrdStatus)),
        order_qty=data.draw(numbers),
        cum_qty=data.draw(numbers),
        leaves_qty=data.draw(numbers),
        avg_px=data.draw(numbers),
        transact_time=AT,
    )
    answers: list[Input] = [
        SubmitObserved(at=at, cl_ord_id=name, outcome=outcome, detail=detail),
        CancelObserved(at=at, cl_ord_id=name, outcome=outcome, detail=detail),
        ReplaceObserved(at=at, order=name, cl_ord_id=name, outcome=outcome, detail=detail),
        OrderQueried(at=at, cl_ord_id=name, complete=data.draw(st.booleans()), cursor=data.draw(st.integers(0, 99))),
        OrderQueried(at=at, cl_ord_id=name, complete=True, cursor=99, found=found),
    ]
    kernel.step(data.draw(st.sampled_from(answers)))
    sane(kernel.state)


class OrderLife(RuleBasedStateMachine):
    """One entry of 100, and a broker that fills, ends, replaces, refuses, repeats and forgets, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.desk: Desk = desk(accepted=False)
        self.start = encode_state(self.desk.state)
        self.ended: set[str] = set()
        self.told: list[ExecutionReport] = []
        self.broker_cum = D(0)

    def say(self, report: ExecutionReport) -> None:
        self.told.append(report)
        self.desk.step(ExecutionReported(at=self.desk.world.at(), report=report))

    @rule()
    def acknowledge(self) -> None:
        self.say(self.desk.report(ExecType.NEW, cum_qty=D(0)))

    @rule(qty=st.integers(1, 60))
    def fill(self, qty: int) -> None:
        if self.broker_cum + qty > self.desk.order.order_qty:
            return
        self.broker_cum += qty
        self.say(self.desk.report(ExecType.TRADE, last_qty=D(qty), last_px=D("20.00"), cum_qty=self.broker_cum))

    @rule(kind=st.sampled_from([ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED, ExecType.CANCEL_REJECTED]))
    def end(self, kind: ExecType) -> None:
        self.say(self.desk.report(kind, cum_qty=self.broker_cum, reason="said so"))

    @rule(data=st.data())
    @precondition(lambda self: self.told)
    def repeat(self, data: Any) -> None:
        before = state_hash(self.desk.state)
        report = data.draw(st.sampled_from(self.told))
        assert self.desk.step(ExecutionReported(at=self.desk.world.at(), report=report)) == []
        assert state_hash(self.desk.state) == before

    @rule(qty=st.integers(1, 120))
    def ask_to_replace(self, qty: int) -> None:
        decision = Decision(self.desk.state, self.desk.world.at())
        request_replace(decision, self.desk.order, order_qty=D(qty), limit_px=None, stop_px=None, reason="test")
        self.desk.events += decision.events

    @rule(confirm=st.booleans())
    @precondition(lambda self: self.desk.order.replacing is not None)
    def answer_replace(self, confirm: bool) -> None:
        wanted = self.desk.order.replacing
        assert wanted is not None
        if confirm and wanted.order_qty < self.broker_cum:
            return
        kind = ExecType.REPLACED if confirm else ExecType.REPLACE_REJECTED
        ids = {"cl_ord_id": wanted.cl_ord_id, "orig_cl_ord_id": self.desk.order.broker_id}
        qty = wanted.order_qty if confirm else self.desk.order.order_qty
        self.say(self.desk.report(kind, order_qty=qty, cum_qty=self.broker_cum, **ids))

    @rule(outcome=st.sampled_from(SubmitOutcome))
    def observe(self, outcome: SubmitOutcome) -> None:
        order, at = self.desk.order, self.desk.world.at()
        self.desk.step(SubmitObserved(at=at, cl_ord_id=order.cl_ord_id, outcome=outcome))
        self.desk.step(CancelObserved(at=at, cl_ord_id=order.broker_id, outcome=outcome))
        asked = order.replacing.cl_ord_id if order.replacing is not None else "none"
        self.desk.step(ReplaceObserved(at=at, order=order.cl_ord_id, cl_ord_id=asked, outcome=outcome))

    @rule()
    def ask_to_cancel(self) -> None:
        decision = Decision(self.desk.state, self.desk.world.at())
        cancel_all(decision, [self.desk.order], "test")
        self.desk.events += decision.events

    @rule(known=st.booleans(), status=st.sampled_from(OrdStatus))
    def answer_query(self, known: bool, status: OrdStatus) -> None:
        order = self.desk.order
        left = D(0) if status in TERMINAL else max(D(0), order.order_qty - self.broker_cum)
        found = self.desk.as_told(ord_status=status, cum_qty=self.broker_cum, leaves_qty=left)
        self.desk.answer(found=found if known else None)

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.desk.later(seconds)

    @invariant()
    def filled_is_never_above_the_quantity(self) -> None:
        order = self.desk.order
        assert order.cum_qty <= D(100)
        if order.status is not OrdStatus.REJECTED:
            assert order.cum_qty == self.broker_cum, "every unique execution counts, once"

    @invariant()
    def no_order_reopens(self) -> None:
        for name, order in self.desk.state.orders.items():
            assert not (name in self.ended and order.is_open)
            if not order.is_open:
                self.ended.add(name)

    @invariant()
    def one_live_order_under_each_id(self) -> None:
        state = self.desk.state
        live = [o.broker_id for o in state.working()]
        assert len(live) == len(set(live))
        assert sum(o.leg is Leg.ENTRY for o in state.orders.values()) == 1
        assert all(owner in state.orders for owner in state.working_ids.values())

    @invariant()
    def an_unanswered_replace_reserves_the_larger_quantity(self) -> None:
        order = self.desk.order
        if order.replacing is not None and order.is_open:
            assert order.leaves_qty == max(order.order_qty, order.replacing.order_qty) - order.cum_qty

    @invariant()
    def the_position_is_the_sum_of_its_executions(self) -> None:
        events = self.desk.events
        bought = sum((e.last_qty for e in events if isinstance(e, FillRecorded)), D(0))
        back = sum((e.last_qty for e in events if isinstance(e, FillReversed)), D(0))
        assert self.desk.state.net_qty("AAA") == bought - back
        sane(self.desk.state)

    @invariant()
    def the_fold_of_the_record_is_the_state(self) -> None:
        if len(self.desk.events) < 60:
            again = fold((decode(encode(e)) for e in self.desk.events), decode_state(self.start))
            assert state_hash(again) == state_hash(self.desk.state)

    def teardown(self) -> None:
        changes = [e for e in self.desk.events if isinstance(e, OrderChanged)]
        assert all(e.cum_qty <= D(100) for e in changes)
        odd = [e.kind for e in self.desk.events if isinstance(e, ReportQuarantined)]
        assert "over_fill" not in odd or OrdStatus.REJECTED in {o.status for o in self.desk.state.orders.values()}


TestOrderLife = OrderLife.TestCase
TestOrderLife.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
