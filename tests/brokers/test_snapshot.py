"""A snapshot is whole, of one moment, or says that it is not."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from qmworkbench.brokers.faulty import Call, Fault, FaultPlan, FaultyBroker, PlannedFault
from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.execution import BrokerPosition
from qmworkbench.ports import BrokerUnreachable
from tests.venue.worlds import World, bracket

NOON = datetime(2018, 3, 2, 17, 0, tzinfo=UTC)


def trading_world() -> World:
    world = World()
    world.bars((100, 100, 100, 100))
    world.buy("in", legs=bracket("in", stop=95))
    world.bars((100, 100, 100, 100))
    return world


@pytest.mark.parametrize("call", [Call.REPORTS, Call.OPEN_ORDERS, Call.POSITIONS, Call.ACCOUNT])
def test_one_failed_read_makes_the_whole_incomplete(call: Call) -> None:
    plan = FaultPlan((PlannedFault(call=call, fault=Fault.UNREACHABLE),))
    seen = snapshot(FaultyBroker(SimulatedBroker(trading_world().exchange), plan), 3, at=NOON)
    assert not seen.complete
    assert call.value in seen.error
    assert (seen.cursor, seen.as_of, seen.positions, seen.open_orders, seen.account) == (3, NOON, (), (), None)


def test_a_failure_of_the_last_read_counts_too() -> None:
    plan = FaultPlan((PlannedFault(call=Call.ACCOUNT, fault=Fault.UNREACHABLE, first=2),))
    assert not snapshot(FaultyBroker(SimulatedBroker(trading_world().exchange), plan), 0).complete


class Restless(SimulatedBroker):
    """Trades while it is being read, a number of times."""

    def __init__(self, world: World, times: int) -> None:
        super().__init__(world.exchange)
        self.world = world
        self.times = times

    def positions(self) -> Sequence[BrokerPosition]:
        found = super().positions()
        if self.times:
            self.times -= 1
            self.world.buy(f"more{self.times}", 1)
            self.world.bars((100, 100, 100, 100))
        return found


def test_a_broker_that_moves_meanwhile_is_read_again() -> None:
    world = trading_world()
    seen = snapshot(Restless(world, 2), 0)
    assert seen.complete
    assert [held.qty for held in seen.positions] == [D(102)]
    assert seen.account == world.exchange.account()


def test_a_broker_that_never_holds_still_is_not_concluded_from() -> None:
    seen = snapshot(Restless(trading_world(), 99), 0)
    assert not seen.complete
    assert "moved during each of 3 readings" in seen.error


def test_a_venue_whose_file_is_gone_is_unreachable() -> None:
    world = trading_world()
    broker = SimulatedBroker(world.exchange)
    world.exchange.close()
    assert not snapshot(broker, 0).complete
    for read in (lambda: broker.order("in"), broker.open_orders, broker.positions, lambda: broker.reports(0)):
        with pytest.raises(BrokerUnreachable, match="cannot be read"):
            read()
