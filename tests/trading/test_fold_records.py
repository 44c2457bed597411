"""Folding from records gives the state that folding decoded events gives, and nothing where the chain does not hold."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.chain import GENESIS, ChainBroken, Record
from qmworkbench.domain.events import Event, decode
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.limits import Limits
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.trading.fold import fold
from qmworkbench.trading.fold_records import fold_verified
from qmworkbench.trading.state import State, decode_state, encode_state, state_hash
from tests.trading.world import Faults, World


def journal_of(seed: int, **kwargs: Any) -> tuple[MemoryJournal, list[Event]]:
    world = World(seed=seed, boundaries=20, signal_rate=0.5, limits=Limits(entry_cutoff_min=1), **kwargs).run()
    events = [decode(line) for line in world.journal]
    journal = MemoryJournal()
    journal.append(events)
    return journal, events


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_same_state_from_genesis_and_from_any_place(seed: int) -> None:
    journal, events = journal_of(seed, faults=Faults(crash=0.01 if seed % 2 else 0.0, lost_ack=0.05))
    whole = state_hash(fold(events))
    state = State()
    assert fold_verified(journal.records(), state, (0, GENESIS)) == journal.head
    assert state_hash(state) == whole
    for place in (1, len(events) // 3, len(events) - 1):
        begun = fold(events[:place])
        begun = decode_state(encode_state(begun))
        fold_verified(journal.records(place), begun, (place, journal.hash_at(place) or ""))
        assert state_hash(begun) == whole


def test_the_time_of_a_fact_that_changes_nothing_counts() -> None:
    journal, events = journal_of(0)
    later = events[-1].at + timedelta(hours=1)
    journal.append([ClockTicked(at=later)])
    state = State()
    fold_verified(journal.records(), state, (0, GENESIS))
    assert state.now == later


def test_nothing_follows_from_nothing() -> None:
    state = State()
    assert fold_verified((), state, (7, "abc")) == (7, "abc")
    assert state_hash(state) == state_hash(State())


def bent(records: Iterator[Record], at: int, **changes: Any) -> list[Record]:
    return [msgspec.structs.replace(r, **changes) if r.seq == at else r for r in records]


def test_a_record_that_does_not_follow_stops_the_fold() -> None:
    journal, _ = journal_of(0)
    for changes in ({"payload": b'{"type":"clock.ticked"}'}, {"hash": "0" * 64}, {"prev_hash": "0" * 64}):
        with pytest.raises(ChainBroken):
            fold_verified(bent(journal.records(), 20, **changes), State(), (0, GENESIS))
    missing = [record for record in journal.records() if record.seq != 20]
    with pytest.raises(ChainBroken, match="missing"):
        fold_verified(missing, State(), (0, GENESIS))
    with pytest.raises(ChainBroken):
        fold_verified(journal.records(), State(), (0, "0" * 63 + "1"))


def test_a_column_that_lies_about_the_kind_hides_nothing() -> None:
    """The column is not in the chain: a fill filed as a tick of the clock is folded as what it is."""
    journal, events = journal_of(0)
    lying = [msgspec.structs.replace(record, type="clock.ticked") for record in journal.records()]
    state = State()
    fold_verified(lying, state, (0, GENESIS))
    assert state_hash(state) == state_hash(fold(events))
