"""A fixed corpus of sessions under fire, and every case that once failed (§13, §14, §15, §19).

The cases are shrunken plans: what violated an invariant when it was found, and holds now.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qmworkbench.simulation.plan import drawn, load
from qmworkbench.simulation.session import run

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
CORPUS = range(1, 81)
_HEADS = "from qmworkbench.simulation.plan import drawn; from qmworkbench.simulation.session import run"


@pytest.mark.parametrize("seed", CORPUS)
def test_a_session_under_fire_holds(seed: int) -> None:
    outcome = run(drawn(seed))
    assert outcome.violation is None, f"{outcome.violation}; see `qm simulate --seed {seed}`"
    assert outcome.records > 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_once_failed_holds(case: Path) -> None:
    outcome = run(load(case))
    assert outcome.violation is None, f"{outcome.violation}; see `qm simulate --plan {case}`"


def test_without_trouble_nothing_is_amiss() -> None:
    for seed in range(1, 9):
        outcome = run(msgspec.structs.replace(drawn(seed), rates={}))
        assert outcome.violation is None
        assert outcome.crashes == 0
        assert not [mark for mark in outcome.marks if mark.startswith(("fault.", "break.", "repair.", "quarantined."))]


def test_a_session_with_many_orders_holds() -> None:
    outcome = run(drawn(2, orders=200))
    assert outcome.violation is None
    assert outcome.orders > 60


@pytest.mark.parametrize(
    ("world", "rates", "marks"),
    [
        ({"limit_entries": True}, {}, {"sent.limit.day", "sent.stop.day", "order.expire.expired"}),
        (
            {"days": 2, "boundaries": 6, "carry": True},
            {"dividend": 1.0, "split": 1.0},
            {"overnight.held", "overnight.split"},
        ),
        ({"forex": True, "days": 2, "boundaries": 6, "carry": True, "costed": True}, {}, {"overnight.financing"}),
        (
            {},
            {"hangs": 0.1, "direct_killed": 0.1, "fallback_full": 0.1},
            {"direct.killed", "direct.unrecorded", "direct.recorded"},
        ),
    ],
    ids=["resting orders", "a night", "pairs", "past the platform"],
)
def test_worlds_reach_what_they_are_for(world: dict[str, Any], rates: dict[str, float], marks: set[str]) -> None:
    hit: set[str] = set()
    for seed in range(1, 31):
        plan = drawn(seed)
        plan = msgspec.structs.replace(plan, world=msgspec.structs.replace(plan.world, **world), rates=rates)
        outcome = run(plan)
        assert outcome.violation is None, f"seed {seed}: {outcome.violation}"
        hit |= outcome.marks
        if marks <= hit:
            break
    assert marks <= hit


def test_the_same_seed_is_the_same_session_whatever_came_before() -> None:
    forwards = [run(drawn(seed)).head for seed in (11, 12, 13)]
    backwards = [run(drawn(seed)).head for seed in (13, 12, 11)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == 3


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_seed_is_the_same_session_under_any_hash_seed(hash_seed: str) -> None:
    code = f"{_HEADS}; print(*(run(drawn(seed)).head for seed in (3, 6)))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [run(drawn(seed)).head for seed in (3, 6)]


def test_a_recorded_list_of_strikes_makes_the_same_session_as_the_rates_it_was_drawn_from() -> None:
    for seed in (4, 6, 9):
        plan = drawn(seed)
        first = run(plan)
        again = run(msgspec.structs.replace(plan, rates={}, strikes=first.struck))
        assert (again.head, again.struck) == (first.head, first.struck)
