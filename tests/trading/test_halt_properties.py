"""Whatever comes in whatever order: a halt halts, an emergency only ever gets smaller, and nobody leaves a halt without
a comparison and a decision (§15, §23).

What is sent is watched by the world itself (halts.py): no order that adds risk while the book is not ACTIVE, no
liquidation above the broker's position less what else may close it.
"""

from collections.abc import Callable
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain import commands
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.control import EmergencyCompleted, EmergencyStarted
from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.trading import emergency
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State, state_hash
from tests.trading.halts import YES, Halts, entries_after_an_emergency, left_halts, trading
from tests.trading.world import Faults

Act = Callable[[Halts], object]


def _order(world: Halts, nth: int) -> str:
    known = list(world.state.orders)
    return known[nth % len(known)] if known else "none"


def _replace(world: Halts, nth: int, px: int) -> object:
    name = _order(world, nth)
    order = world.state.orders.get(name)
    given = {"stop_px": Decimal(px)} if order is not None and order.stop_px is not None else {"limit_px": Decimal(px)}
    return world.command(commands.ReplaceOrder(reason="drawn", cl_ord_id=name, **given))  # type: ignore[arg-type]


def _close(world: Halts, symbol: str) -> object:
    owner = next((p.strategy_id for p in world.state.holders(symbol)), "test-1")
    return world.command(commands.ClosePosition(reason="drawn", strategy_id=owner, symbol=symbol))


def _bar(world: Halts) -> None:
    if world.state.day.boundary < world.boundaries - 2:
        world.boundary(world.state.day.boundary + 1)


def _say(world: Halts, command: commands.AnyCommand) -> object:
    return world.command(command)


def _connection(world: Halts, connected: bool) -> object:
    return world.survive(BrokerConnectionChanged(at=world.at(), connected=connected, detail="drawn"))


_WHY = {"reason": "drawn"}
ACTS: dict[str, st.SearchStrategy[Act]] = {
    "bar": st.just(_bar),
    "another bar": st.just(_bar),
    "seconds": st.integers(1, 40).map(lambda s: lambda w: w.tick(s)),
    "pause": st.just(lambda w: _say(w, commands.Pause(**_WHY))),
    "resume": st.just(lambda w: _say(w, commands.Resume(**_WHY, incident="drawn", **YES))),
    "half a resume": st.just(
        lambda w: _say(w, commands.Resume(**_WHY, incident="", **{**YES, "cause_understood": False}))
    ),
    "reconcile": st.just(lambda w: _say(w, commands.Reconcile(**_WHY))),
    "release": st.just(lambda w: _say(w, commands.ReleaseEntries(**_WHY))),
    "stop": st.just(lambda w: _say(w, commands.StopStrategy(**_WHY, strategy_id="test-1"))),
    "restart strategy": st.just(lambda w: _say(w, commands.RestartStrategy(**_WHY, strategy_id="test-1"))),
    "cancel": st.integers(0, 30).map(lambda n: lambda w: _say(w, commands.CancelOrder(**_WHY, cl_ord_id=_order(w, n)))),
    "replace": st.tuples(st.integers(0, 30), st.integers(15, 40)).map(lambda p: lambda w: _replace(w, *p)),
    "close": st.sampled_from(("AAA", "BBB", "CCC", "DDD")).map(lambda s: lambda w: _close(w, s)),
    "feed": st.sampled_from(list(FeedState)).map(lambda s: lambda w: w.feed_is(s)),
    "health": st.sampled_from(((), ("risk_manager",))).map(lambda d: lambda w: w.health(*d)),
    "connection": st.booleans().map(lambda c: lambda w: _connection(w, c)),
    "process dies": st.just(lambda w: w._recover()),
    "emergency": st.just(lambda w: w.emergency()),
}
_act = st.sampled_from(sorted(ACTS)).flatmap(lambda name: st.tuples(st.just(name), ACTS[name]))
_faults = st.builds(
    Faults,
    lost_request=st.sampled_from((0.0, 0.1)),
    lost_ack=st.sampled_from((0.0, 0.1)),
    refused=st.sampled_from((0.0, 0.1)),
    unreachable=st.sampled_from((0.0, 0.1)),
    crash=st.sampled_from((0.0, 0.02)),
)


def demand_sound(world: Halts, before: State) -> None:
    """What holds after every act."""
    halt = world.state.halt
    assert (halt.state is TradingState.ACTIVE) == (not halt.causes), "a halt has its causes, and only a halt has"
    folded = fold(decode(line) for line in world.journal)
    assert state_hash(folded) == state_hash(world.state), "what is on record is what is"
    assert folded.halt == halt, "a halt survives a restart"


def heal(world: Halts) -> None:
    """The faults are over, bars come and time passes."""
    world.faults = Faults()
    world.survive(BrokerConnectionChanged(at=world.at(), connected=True, detail=""))
    for _ in range(8):
        if world.state.day.boundary < world.boundaries - 1:
            world.quiet()
        for _ in range(5):
            world.tick(8)


@settings(max_examples=60, deadline=None)
@given(acts=st.lists(_act, min_size=3, max_size=14), faults=_faults, seed=st.integers(0, 999))
def test_no_sequence_of_inputs_leaves_a_halt_without_comparison_and_decision(
    acts: list[tuple[str, Act]], faults: Faults, seed: int
) -> None:
    world = trading(seed=seed, signal_rate=0.6, boundaries=60)
    world.faults = faults
    for _, act in acts:
        before = world.state
        act(world)
        demand_sound(world, before)
    for left, rightly in left_halts(world.record()):
        assert rightly, f"the book became ACTIVE at {left.at} by {left.by}: {left.reason}"
    assert not entries_after_an_emergency(world.record())


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(_act, max_size=6),
    after=st.lists(_act, max_size=8),
    faults=_faults,
    seed=st.integers(0, 999),
)
def test_after_an_emergency_nothing_that_adds_risk_is_sent_and_it_ends_flat_and_halted(
    before: list[tuple[str, Act]], after: list[tuple[str, Act]], faults: Faults, seed: int
) -> None:
    world = trading(seed=seed, signal_rate=0.6, boundaries=60)
    _bar(world)
    world.faults = faults
    for _, act in before:
        act(world)
    world.emergency()
    begun = bool(world.of(EmergencyStarted))
    for name, act in after:
        if name != "resume":
            act(world)
    assert not entries_after_an_emergency(world.record())
    if not begun or world.state.day.phase is not Phase.MARKET_SESSION:
        return
    heal(world)
    assert not world.exchange.positions(), "flat"
    assert not emergency.running(world.state)
    assert world.of(EmergencyCompleted)
    assert world.state.halt.state is TradingState.HALTED, "and still halted"
    world.restart()
    assert world.state.halt.state is TradingState.HALTED, "after any crash"
