"""The simulated venue behind the broker port: refusals, and what happens when its own disk fails."""

import sqlite3
from pathlib import Path

import pytest

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.ports import OutcomeUnknown, RequestRefused
from tests.venue.test_door import good
from tests.venue.worlds import World


def test_a_refusal_begins_with_its_code() -> None:
    world = World()
    world.bars((100, 100, 100, 100))
    with pytest.raises(RequestRefused, match=r"^unknown_symbol: 'ZZZ'"):
        SimulatedBroker(world.exchange).submit(good(symbol="ZZZ"))


def test_a_venue_that_cannot_write_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    world = World(path=tmp_path / "venue.db")
    world.bars((100, 100, 100, 100))
    broker = SimulatedBroker(world.exchange)
    broker.submit(good(cl_ord_id="first"))
    world.exchange._store._db.execute("PRAGMA busy_timeout = 10")
    blocker = sqlite3.connect(world.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutcomeUnknown, match=r"submit a: .* would not take a write"):
        broker.submit(good())
    with pytest.raises(OutcomeUnknown, match=r"cancel first: .* would not take a write"):
        broker.cancel("first")
    blocker.execute("ROLLBACK")
    blocker.close()
    assert [order.cl_ord_id for order in broker.open_orders()] == ["first"]
