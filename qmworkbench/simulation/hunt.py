"""Hunting planted bugs: how many seeds it takes until each is noticed (§13, §19)."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

import msgspec

from qmworkbench.simulation.invariants import Violation
from qmworkbench.simulation.mutants import MUTANTS, planted
from qmworkbench.simulation.plan import drawn
from qmworkbench.simulation.session import run


class Hunted(msgspec.Struct, frozen=True, kw_only=True):
    """One mutant: the seed that caught it and what it violated there; `seed` None: it got away."""

    mutant: str
    tried: int
    seed: int | None = None
    violation: Violation | None = None


def hunt_one(mutant: str, seeds: Sequence[int]) -> Hunted:
    """Run seeds with the bug planted until one is noticed.

    A seed that fails without the bug as well has not caught it, and is passed over.
    """
    tried = 0
    for seed in seeds:
        tried += 1
        with planted(mutant):
            outcome = run(drawn(seed))
        if outcome.violation is not None and run(drawn(seed)).violation is None:
            return Hunted(mutant=mutant, tried=tried, seed=seed, violation=outcome.violation)
    return Hunted(mutant=mutant, tried=tried)


def hunt(
    seeds: Sequence[int],
    *,
    names: Sequence[str] = tuple(MUTANTS),
    workers: int | None = None,
    told: Callable[[Hunted], None] = lambda hunted: None,
) -> list[Hunted]:
    """Every mutant by itself, in the order of their list."""
    count = workers or os.cpu_count() or 1
    found: list[Hunted] = []
    if count == 1:
        for name in names:
            found.append(hunt_one(name, seeds))
            told(found[-1])
        return found
    with ProcessPoolExecutor(count) as pool:
        for hunted in pool.map(hunt_one, names, [seeds] * len(names)):
            found.append(hunted)
            told(hunted)
    return found
