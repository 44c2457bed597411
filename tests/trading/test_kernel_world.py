"""Whole days of the real kernel against the real venue, seeded, with faults and crashes: the invariants must hold."""

from decimal import Decimal

import pytest

from qmworkbench.domain.events import Input, decode, encode
from qmworkbench.domain.events.orders import ReportQuarantined, RiskDecided
from qmworkbench.domain.events.reconciliation import BreakFound, RepairApplied
from qmworkbench.domain.numbers import ZERO
from qmworkbench.trading.fold import fold
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.state import encode_state, state_hash
from tests.trading.world import Faults, World

FAULTY = {
    "lost acks": Faults(lost_ack=0.2),
    "lost requests": Faults(lost_request=0.2),
    "refusals": Faults(refused=0.2),
    "unreachable": Faults(unreachable=0.2),
    "crashes": Faults(crash=0.02),
    "everything": Faults(lost_request=0.05, lost_ack=0.05, refused=0.05, unreachable=0.05, crash=0.01),
}


def check_invariants(world: World) -> None:
    """What must hold after any day, however it went."""
    state, exchange = world.state, world.exchange
    theirs = {p.symbol: p.qty for p in exchange.positions()}
    ours = {s: state.net_qty(s) for s in state.held_symbols()}
    assert ours == theirs, "positions equal the venue's"
    intents = world.intents()
    parents = {leg.cl_ord_id for intent in intents.values() for leg in intent.request.legs}
    for report in exchange.reports(0):
        assert report.cl_ord_id in intents or report.cl_ord_id in parents, "nothing at the broker without an intent"
        assert report.cum_qty <= report.order_qty, "never filled beyond the quantity"
    decided = [e for e in map(decode, world.journal) if isinstance(e, RiskDecided)]
    allowed = {e.cl_ord_id for e in decided if e.allowed}
    assert set(intents) <= allowed, "every intent has its risk decision"
    # A request may be repeated only if the broker never took the first one: one order per id, ever.
    taken = [r.cl_ord_id for r in exchange.reports(0) if r.exec_type == "new"]
    assert len(taken) == len(set(taken)), "one live order per cl_ord_id"
    assert len(world.sent) == len(set(world.sent)), "no request was sent twice"
    assert state_hash(fold(map(decode, world.journal))) == state_hash(state), "fold(journal) is the live state"
    # The broker of these days is honest: nothing it says may look like a contradiction, and nothing needs repair.
    assert not [e for e in map(decode, world.journal) if isinstance(e, ReportQuarantined | RepairApplied)]
    account = exchange.account()
    assert abs(account.realized_pnl - state.day.realized_pnl) < Decimal("0.01")
    assert abs(account.fees - state.day.fees) < Decimal("0.01")
    assert not [o for o in state.working()], "every order ended"
    assert state.day.phase == "closed"


@pytest.mark.parametrize("seed", range(12))
def test_a_clean_day_has_no_breaks_and_ends_flat(seed: int) -> None:
    world = World(seed=seed).run()
    check_invariants(world)
    assert not [e for e in map(decode, world.journal) if isinstance(e, BreakFound)]
    assert not world.state.positions
    assert world.state.day.trades > 0
    assert world.state.halt.state == "active"
    assert not world.state.alerts


@pytest.mark.parametrize("kind", FAULTY)
@pytest.mark.parametrize("seed", range(12))
def test_a_faulty_day_keeps_every_invariant(kind: str, seed: int) -> None:
    world = World(seed=1000 + seed, faults=FAULTY[kind]).run()
    check_invariants(world)


@pytest.mark.parametrize("seed", range(4))
def test_the_inputs_of_a_journal_give_its_decisions_again(seed: int) -> None:
    world = World(seed=seed, faults=FAULTY["lost acks"]).run()
    again = Kernel()
    replayed = [
        encode(e) for given in map(decode, world.journal) if isinstance(given, Input) for e in again.step(given)
    ]
    assert replayed == world.journal
    assert encode_state(again.state) == encode_state(world.state)


def test_money_adds_up() -> None:
    world = World(seed=5).run()
    account = world.exchange.account()
    day = world.state.day
    assert day.start_equity is not None
    assert account.equity == day.start_equity + day.realized_pnl - day.fees
    assert sum((p.qty for p in world.exchange.positions()), ZERO) == 0
