"""Whole days of the real kernel against the real venue, seeded, with faults and crashes: the invariants must hold."""

from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain.events import Input, decode, encode
from qmworkbench.domain.events.orders import FillRecorded, OrderIntended, ReportQuarantined, RiskDecided, TradeClosed
from qmworkbench.domain.events.reconciliation import BreakFound, RepairApplied
from qmworkbench.domain.events.session import RunEnded, RunStarted
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg
from qmworkbench.trading.fold import fold
from qmworkbench.trading.holdings import unsound
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


BUSY = Limits(entry_cutoff_min=1, max_trades_per_day=500, max_submits_per_minute=500, max_position_qty=None)
SHARED: dict[str, Any] = {"shared": True, "strategies": ("long-1", "mean-2", "trend-3"), "limits": BUSY}


def check_invariants(world: World) -> None:
    """What must hold after any day, however it went."""
    state, exchange = world.state, world.exchange
    theirs = {p.symbol: p.qty for p in exchange.positions()}
    ours = {symbol: net.qty for symbol, net in state.net.items()}
    assert ours == theirs, "what the owners hold together is what the venue has"
    assert not unsound(state)
    check_exits(world)
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
    assert abs(account.realized_pnl - state.day.net_realized_pnl) < Decimal("0.01")
    assert abs(account.fees - state.day.fees) < Decimal("0.01")
    started, ended = (
        [e.run_id for e in map(decode, world.journal) if isinstance(e, k)] for k in (RunStarted, RunEnded)
    )
    assert sorted(ended) == sorted(started), "every run ends, once"
    assert not [o for o in state.working()], "every order ended"
    assert state.day.phase == "closed"


def check_exits(world: World) -> None:
    """No exit closes more than its own instance held, whatever the others hold; and the parts never drift apart."""
    legs = {e.request.cl_ord_id: e.leg for e in map(decode, world.journal) if isinstance(e, OrderIntended)}
    held: dict[tuple[str, str], Decimal] = {}
    for event in map(decode, world.journal):
        if not isinstance(event, FillRecorded):
            continue
        before, after = held.get((event.strategy_id, event.symbol), ZERO), event.position_qty
        held[event.strategy_id, event.symbol] = after
        assert after == before + event.side.sign * event.last_qty
        if legs.get(event.cl_ord_id) is not Leg.ENTRY:
            assert before * after >= 0, "an exit never turns a position around"
            assert abs(after) < abs(before), "an exit only shrinks its own position"


@pytest.mark.parametrize("seed", range(12))
def test_a_clean_day_has_no_breaks_and_ends_flat(seed: int) -> None:
    world = World(seed=seed).run()
    check_invariants(world)
    assert not [e for e in map(decode, world.journal) if isinstance(e, BreakFound)]
    assert not world.state.positions
    assert world.state.day.trades > 0
    assert world.state.halt.state == "active"
    assert not world.state.alerts


@pytest.mark.parametrize("seed", range(8))
def test_instances_that_share_symbols_hold_them_beside_and_against_each_other(seed: int) -> None:
    world = World(seed=seed, **SHARED)
    opposed = 0
    world.open()
    for number in range(1, world.boundaries + 1):
        world.boundary(number)
        sides: dict[str, set[bool]] = {}
        for held in world.state.positions.values():
            sides.setdefault(held.symbol, set()).add(held.qty > 0)
        opposed += any(len(both) > 1 for both in sides.values())
        assert not unsound(world.state)
        assert {p.symbol: p.qty for p in world.exchange.positions()} == {s: n.qty for s, n in world.state.net.items()}
    world.close()
    check_invariants(world)
    assert opposed > 3, "they held a pair against each other"
    assert not [e for e in map(decode, world.journal) if isinstance(e, BreakFound)]
    assert not world.state.positions
    assert not world.state.alerts
    closed = [e for e in map(decode, world.journal) if isinstance(e, TradeClosed)]
    assert sum(e.gross_pnl for e in closed) == pytest.approx(world.state.day.realized_pnl)
    # The same money on both counts, but for rates that moved between an instance's fills and the net's.
    assert world.state.day.realized_pnl == pytest.approx(world.state.day.net_realized_pnl, abs=Decimal(2))


@pytest.mark.parametrize("kind", FAULTY)
@pytest.mark.parametrize("seed", range(6))
def test_a_faulty_day_of_shared_symbols_keeps_every_invariant(kind: str, seed: int) -> None:
    world = World(seed=2000 + seed, faults=FAULTY[kind], **SHARED).run()
    check_invariants(world)


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
