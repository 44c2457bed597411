"""Steps that spare the watches: the same days come out with every watch looking after every input (§13)."""

from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain.events import Input
from qmworkbench.domain.events.control import TradingStateChanged
from qmworkbench.domain.events.orders import ExecutionReported, SubmitObserved
from qmworkbench.domain.execution import ExecType, SubmitOutcome
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.kernel import RULES, Kernel
from qmworkbench.trading.quiet_steps import QuietSteps
from qmworkbench.trading.state import decode_state, encode_state, state_hash
from tests.trading.oms_cases import D, Desk, desk
from tests.trading.test_kernel_world import FAULTY, SHARED
from tests.trading.world import World


class _Never(QuietSteps):
    """No step is quiet: everything is always looked at."""

    def settles(self, decision: Decision) -> bool:
        return False


class _Counting(QuietSteps):
    """How often a step was quiet."""

    def __init__(self) -> None:
        super().__init__()
        self.spared = 0

    def settles(self, decision: Decision) -> bool:
        settled = super().settles(decision)
        self.spared += settled
        return settled


def watchful(world: World) -> World:
    world.kernel._quiet = _Never()
    return world


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["none", "lost acks", "refusals", "unreachable"])
def test_the_same_days_come_out_with_every_watch_looking(kind: str, seed: int) -> None:
    says: dict[str, Any] = {"seed": seed} | ({"faults": FAULTY[kind]} if kind != "none" else {})
    quick, thorough = World(**says), watchful(World(**says))
    counting = quick.kernel._quiet = _Counting()
    quick.run()
    thorough.run()
    assert quick.journal == thorough.journal
    assert counting.spared > 0, "or this test says nothing"


def test_shared_symbols_come_out_the_same_too() -> None:
    quick, thorough = World(seed=3, **SHARED).run(), watchful(World(seed=3, **SHARED)).run()
    assert quick.journal == thorough.journal


@pytest.mark.parametrize("loss", [100, 130, 131, 140, 200, 1000])
def test_a_loss_that_a_fill_makes_is_seen_fill_by_fill(loss: int) -> None:
    """Each execution is a little worse: the one that crosses the limit halts, not the next boundary."""
    built = desk(qty=100)
    built.state.day.limits = Limits(max_daily_loss=Decimal(loss))
    again = Kernel(decode_state(encode_state(built.state)))
    again._quiet = _Never()
    mark = built.state.marks["AAA"].px
    halted = []
    for n in range(1, 21):
        report = built.report(ExecType.TRADE, last_qty=D(5), last_px=mark + n * D("0.13"), cum_qty=D(5 * n))
        given = ExecutionReported(at=built.world.at(), report=report)
        halted += [n for e in built.step(given) if isinstance(e, TradingStateChanged)]
        again.step(given)
        assert state_hash(again.state) == state_hash(built.state)
    assert (built.state.halt.state is TradingState.ACTIVE) == (not halted)
    assert bool(halted) == (loss < 137)


def spares(built: Desk, given: Input) -> bool:
    decision = Decision(built.state, built.world.at())
    RULES[type(given)](decision, given)
    return QuietSteps().settles(decision)


def test_a_position_that_is_left_goes_on_being_looked_at_and_no_other() -> None:
    for leaving, spared in (("", True), ("another|AAA", True), (f"{desk().order.strategy_id}|AAA", False)):
        built = desk(accepted=False)
        built.state.leaving.update(dict.fromkeys([leaving] if leaving else []))
        assert spares(built, ExecutionReported(at=built.world.at(), report=built.report(ExecType.NEW))) is spared


@pytest.mark.parametrize("outcome", SubmitOutcome)
def test_a_request_that_went_out_changes_nothing_that_is_watched(outcome: SubmitOutcome) -> None:
    built = desk(accepted=False)
    built.order.status = OrdStatus.INTENDED
    given = SubmitObserved(at=built.world.at(), cl_ord_id=built.order.cl_ord_id, outcome=outcome, detail="no answer")
    assert spares(built, given) is (outcome is SubmitOutcome.SENT)


def test_an_answer_that_comes_after_the_order_was_acknowledged_is_looked_at() -> None:
    built = desk()
    name = built.order.cl_ord_id
    assert not spares(built, SubmitObserved(at=built.world.at(), cl_ord_id=name, outcome=SubmitOutcome.SENT))
