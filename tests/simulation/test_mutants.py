"""Planted bugs are noticed, failing seeds become small, and a patch leaves nothing behind (§13, §19)."""

import pytest

from qmworkbench.simulation.hunt import hunt_one
from qmworkbench.simulation.mutants import MUTANTS, planted
from qmworkbench.simulation.plan import Plan, Strike, drawn
from qmworkbench.simulation.session import Outcome, run
from qmworkbench.simulation.shrink import as_test, shrink

# Those that a handful of seeds catches; `qm simulate --mutants` hunts every one of them.
QUICK = (
    "no dedupe",
    "resubmit with new id",
    "halt not asked at entry",
    "limits never deny",
    "denial unrecorded",
    "exit not reduce-only",
    "halt not persisted",
    "fsync skipped",
    "sent before it is durable",
    "goes on after a failed append",
    "direct close before its record",
    "direct close larger than what is held",
    "fallback log forgotten",
    "a strategy's stop ends with the day",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_caught(name: str) -> None:
    hunted = hunt_one(name, range(1, 40))
    assert hunted.seed is not None, f"{name} got away"
    assert hunted.violation is not None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_patch_finds_its_place_and_leaves_nothing_behind(name: str) -> None:
    before = run(drawn(6)).head
    with planted(name):
        pass
    assert run(drawn(6)).head == before


def test_a_failing_seed_is_shrunk_to_what_it_takes() -> None:
    with planted("resubmit with new id"):
        plan = next(drawn(seed) for seed in range(1, 40) if run(drawn(seed)).violation is not None)
        outcome = run(plan)
        small, again = shrink(plan, outcome, run)
    assert again.violation is not None
    assert outcome.violation is not None
    assert again.violation.invariant == outcome.violation.invariant
    assert small.strikes is not None
    assert 1 <= len(small.strikes) <= 2
    assert small.world.boundaries <= plan.world.boundaries
    assert "tests/simulation/cases" in as_test(small, again)


def test_what_cannot_be_shrunk_is_given_back() -> None:
    plan = drawn(1)
    held = run(plan)
    assert held.violation is None
    assert shrink(plan, held, run) == (plan, held)


def test_shrinking_keeps_the_invariant_it_began_with() -> None:
    """A smaller plan that fails for another reason is another case."""
    tried: list[tuple[Strike, ...]] = []

    def fake(plan: Plan) -> Outcome:
        tried.append(plan.strikes or ())
        return real(plan)

    with planted("halt not asked at entry"):
        real = run
        plan = next(drawn(seed) for seed in range(1, 60) if run(drawn(seed)).violation is not None)
        outcome = run(plan)
        _, again = shrink(plan, outcome, fake, tries=60)
    assert 1 <= len(tried) <= 60
    assert outcome.violation is not None
    assert again.violation is not None
    assert again.violation.invariant == outcome.violation.invariant
