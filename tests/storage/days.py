"""Whole days of the real kernel against the real venue, as journals to project and read."""

from functools import cache

from qmworkbench.domain.events import Event, decode
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State
from tests.trading.world import Faults, World

TROUBLED = Faults(lost_request=0.05, lost_ack=0.1, refused=0.03, unreachable=0.05, crash=0.01)


@cache
def day(seed: int = 1, *, troubled: bool = False, days: int = 1) -> tuple[Event, ...]:
    """Every decision of one book's first days, in order."""
    world = World(seed=seed, boundaries=25, signal_rate=0.4, faults=TROUBLED if troubled else Faults())
    world.run()
    for _ in range(days - 1):
        world.open_again()
        for number in range(1, world.boundaries + 1):
            world.boundary(number)
        world.close()
    return tuple(decode(line) for line in world.journal)


def folded(events: tuple[Event, ...]) -> State:
    """The kernel's own state after `events`: what projections must agree with."""
    return fold(events)
