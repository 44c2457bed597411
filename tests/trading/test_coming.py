"""The sums of what is on its way are those of the orders themselves, whatever has just happened."""

from dataclasses import dataclass, field

import pytest

from qmworkbench.domain.events import Event, Input
from qmworkbench.domain.numbers import ZERO
from qmworkbench.trading.coming import Coming, coming, forget, may_open
from qmworkbench.trading.fold import apply, fold
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.state import State, decode_state, encode_state
from tests.trading.world import Faults, World

SEEDS = range(6)


def afresh(state: State) -> Coming:
    made = Coming()
    for order, qty in may_open(state):
        made.add(state, order, qty)
    return made


def same(kept: Coming, made: Coming) -> bool:
    lists = [
        {symbol: sorted((o.cl_ord_id, qty, px) for o, qty, px in told) for symbol, told in one.by_symbol.items()}
        for one in (kept, made)
    ]
    return (kept.count, kept.everybody, kept.by_owner, lists[0]) == (
        made.count,
        made.everybody,
        made.by_owner,
        lists[1],
    )


@dataclass
class Watched(World):
    """Asks for the sums after every step, and holds them against the orders whenever they are kept."""

    kept: int = field(default=0, init=False)

    def feed(self, given: Input) -> list[Event]:
        step = self.kernel.step

        def watched(one: Input) -> list[Event]:
            events = step(one)
            if self.state.session is not None:
                kept = self.state.__dict__.get("coming")
                if kept is not None:
                    self.kept += 1
                    assert same(kept, afresh(self.state))
                coming(self.state)
            return events

        self.kernel.step = watched  # type: ignore[method-assign]
        try:
            return super().feed(given)
        finally:
            self.kernel.step = step  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sums_follow_every_step(seed: int) -> None:
    faults = Faults(lost_ack=0.1, refused=0.1) if seed % 2 else Faults()
    world = Watched(seed=seed, faults=faults, signal_rate=0.6, shared=seed % 3 == 0)
    world.run()
    assert world.kept, "sums were kept over steps"


def test_an_intended_order_is_added_and_anything_else_makes_them_forgotten() -> None:
    world = World(seed=1, signal_rate=0.6).run()
    state = fold(decoded(world))
    assert "coming" not in state.__dict__
    replayed = State()
    for event in decoded(world):
        if replayed.session is not None:
            coming(replayed)
        apply(replayed, event)
        kept = replayed.__dict__.get("coming")
        if kept is not None:
            assert same(kept, afresh(replayed))
    assert encode_state(replayed) == encode_state(state), "they are no part of the state"


def test_a_checkpoint_carries_no_sums() -> None:
    world = World(seed=2).run()
    coming(world.state)
    again = decode_state(encode_state(world.state))
    assert "coming" not in again.__dict__
    assert Kernel(again).state == world.state


def test_without_any_order_there_is_nothing() -> None:
    world = World()
    world.open()
    forget(world.state)
    found = coming(world.state)
    assert (found.count, found.by_symbol, found.everybody) == (0, {}, {})
    assert sum((qty for told in found.by_symbol.values() for _, qty, _ in told), ZERO) == 0


def decoded(world: World) -> list[Event]:
    from qmworkbench.domain.events import decode

    return [decode(line) for line in world.journal]
