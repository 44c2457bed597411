"""A broker whose books never come into step with its news is read at a pace, not without end (§14; Qubx #434)."""

from datetime import timedelta
from itertools import pairwise

import msgspec

from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.commands import Reconcile
from qmworkbench.domain.events.control import ClockTicked, CommandReceived
from qmworkbench.domain.events.reconciliation import BrokerSnapshotObserved, ReconciliationStarted
from qmworkbench.domain.execution import BrokerSnapshot
from qmworkbench.trading.reconciliation import MAX_READS_AT_ONCE
from tests.trading.world import World


def ahead(world: World) -> BrokerSnapshot:
    """The broker's books at a transaction that no report tells of: one of its account activities, say."""
    whole = snapshot(world.broker, world.state.exec_cursor)
    assert whole.account is not None
    cursor = world.state.heard_cursor + 1
    return msgspec.structs.replace(whole, cursor=cursor, account=msgspec.structs.replace(whole.account, cursor=cursor))


def test_it_is_read_a_few_times_in_a_row_and_then_at_a_growing_pace() -> None:
    world = World(seed=1)
    world.open()
    reads: list[float] = []
    begun, now = world.at(), world.at()
    given = world.kernel.step(
        CommandReceived(at=now, command_id="look", command=Reconcile(reason="look"), operator="ann", origin="test")
    )
    while now - begun < timedelta(minutes=10):
        asked = [event for event in given if isinstance(event, ReconciliationStarted)]
        now += timedelta(milliseconds=150)  # the broker answers at once: each answer is a moment of its own
        if asked:
            reads.append((now - begun).total_seconds())
            given = world.kernel.step(BrokerSnapshotObserved(at=now, trigger=asked[-1].trigger, snapshot=ahead(world)))
        else:
            given = world.kernel.step(ClockTicked(at=now))
    assert MAX_READS_AT_ONCE <= len(reads) < 30
    at_once = [at for at in reads if at < 2.0]
    assert len(at_once) == MAX_READS_AT_ONCE
    waits = [later - earlier for earlier, later in pairwise(reads[MAX_READS_AT_ONCE:])]
    assert min(waits) >= 5.0
