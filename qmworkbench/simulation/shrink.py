"""A failing session made as small as it will go, and printed as a test (§13, §19).

First the troubles: those that are not needed are left out, halves first, then one by one. Then the world: fewer
boundaries, strategies, symbols, as long as the same invariant is violated.
"""

import json
from collections.abc import Callable, Iterator

import msgspec

from qmworkbench.simulation.plan import Plan, Strike, World
from qmworkbench.simulation.session import Outcome

Run = Callable[[Plan], Outcome]


def shrink(plan: Plan, outcome: Outcome, run: Run, *, tries: int = 400) -> tuple[Plan, Outcome]:
    """The smallest plan found that violates the same invariant, and what becomes of it."""
    if outcome.violation is None:
        return plan, outcome
    search = _Search(outcome.violation.invariant, run, tries)
    strikes = tuple(dict.fromkeys(outcome.struck))
    fixed = msgspec.structs.replace(plan, strikes=strikes, rates={})
    again = search.fails(fixed)
    if again is None:
        return plan, outcome  # not explained by its strikes alone: the seed itself is the case
    best = (fixed, again)
    best = search.fewer_strikes(*best)
    best = search.smaller_world(*best)
    return search.fewer_strikes(*best)


class _Search:
    def __init__(self, invariant: int, run: Run, tries: int) -> None:
        self.invariant = invariant
        self.run = run
        self.left = tries

    def fails(self, plan: Plan) -> Outcome | None:
        """What becomes of the plan where it still violates the invariant, None where it does not."""
        if self.left <= 0:
            return None
        self.left -= 1
        outcome = self.run(plan)
        return outcome if outcome.violation is not None and outcome.violation.invariant == self.invariant else None

    def fewer_strikes(self, plan: Plan, outcome: Outcome) -> tuple[Plan, Outcome]:
        """Leave out pieces of the list, large ones first."""
        # What never struck in the last run is not needed.
        strikes = [strike for strike in plan.strikes or () if strike in outcome.struck]
        size = max(1, len(strikes) // 2)
        best, told = msgspec.structs.replace(plan, strikes=tuple(strikes)), outcome
        while strikes:
            removed = False
            for start in range(0, len(strikes), size):
                fewer: list[Strike] = strikes[:start] + strikes[start + size :]
                tried = msgspec.structs.replace(plan, strikes=tuple(fewer))
                found = self.fails(tried)
                if found is not None:
                    strikes, best, told, removed = fewer, tried, found, True
                    break
            if not removed:
                if size == 1:
                    break
                size = max(1, size // 2)
        return best, told

    def smaller_world(self, plan: Plan, outcome: Outcome) -> tuple[Plan, Outcome]:
        """Take away what the session can do without."""
        best, told = plan, outcome
        progress = True
        while progress and self.left > 0:
            progress = False
            for world in _smaller(best.world):
                tried = msgspec.structs.replace(best, world=world)
                found = self.fails(tried)
                if found is not None:
                    best, told, progress = tried, found, True
                    break
        return best, told


def _smaller(world: World) -> Iterator[World]:
    replace = msgspec.structs.replace
    for boundaries in (world.boundaries // 2, world.boundaries - 1):
        if 1 <= boundaries < world.boundaries:
            yield replace(world, boundaries=boundaries)
    if world.days > 1:
        yield replace(world, days=world.days - 1)
    if world.strategies > 1:
        yield replace(world, strategies=world.strategies - 1)
    if world.symbols > 1:
        yield replace(world, symbols=world.symbols - 1)
    for name in ("shared", "costed", "carry", "limit_entries", "forex"):
        if getattr(world, name):
            yield replace(world, **{name: False})


def as_test(plan: Plan, outcome: Outcome) -> str:
    """A ready case for tests/simulation/cases: the plan, named after what it violates."""
    violation = outcome.violation
    title = "holds" if violation is None else str(violation)
    text = json.dumps(msgspec.to_builtins(plan), indent=1)
    where = f"save as tests/simulation/cases/seed-{plan.seed}.json; run it with `qm simulate --plan FILE`"
    return f"# seed {plan.seed}: {title}\n# {where}\n{text}"
