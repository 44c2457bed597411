"""`qm simulate`: whole sessions of the real kernel under every trouble there is, one from each seed (§13, §14, §19)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.simulation.session import Outcome

_SHOWN_FAILURES = 3


def simulate(
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="A:B",
            help="The seeds to run, both ends included (1:200; for planted bugs 1:1000).",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="One seed alone.", show_default=False)] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="One session from a plan.", show_default=False)
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="With --seed or --plan: everything that happened.")] = False,
    shrink: Annotated[bool, typer.Option("--shrink/--no-shrink", help="Make what fails small.")] = True,
    mutants: Annotated[bool, typer.Option("--mutants", help="Plant bugs, and see that each is caught.")] = False,
    orders: Annotated[int, typer.Option("--orders", metavar="N", help="About how many orders a session has.")] = 30,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes; one for each core.", show_default=False)
    ] = None,
    json: AsJson = False,
) -> None:
    """Simulate sessions under fire, and hold what order safety promises in every one of them.

    Kernel, journal codec, chain, checkpoint and recovery are the real ones; disk, network, broker, clock and people are
    simulated, and all of them fail. The same seed is the same session, anywhere.

    A seed that violates an invariant is made small and printed as a plan, which `--plan FILE` runs again.
    """
    out = begin(json=json)
    if seed is not None or plan is not None:
        _one(out, seed, plan, trace, shrink, orders)
    elif mutants:
        _mutants(out, _range(seeds or "1:1000"), workers)
    else:
        _sweep(out, _range(seeds or "1:200"), orders, workers, shrink)


def _range(text: str) -> range:
    first, _, last = text.partition(":")
    try:
        found = range(int(first), int(last or first) + 1)
    except ValueError:
        raise Cannot(f"--seeds {text!r} is no range of seeds", "give it as A:B, such as 1:1000") from None
    if not found or found.start < 0:
        raise Cannot(f"--seeds {text!r} has no seed in it", "give it as A:B with 0 <= A <= B, such as 1:1000")
    return found


def _one(out: Output, seed: int | None, plan: Path | None, trace: bool, shrink: bool, orders: int) -> None:
    from qmworkbench.simulation.plan import SimPlanInvalid, drawn, load
    from qmworkbench.simulation.session import run
    from qmworkbench.simulation.shrink import as_test
    from qmworkbench.simulation.shrink import shrink as smaller

    try:
        given = load(plan) if plan is not None else drawn(seed or 0, orders=orders)
    except SimPlanInvalid as error:
        raise Cannot(str(error), "see docs/simulation.md for what a plan holds") from error
    lines: list[str] | None = [] if trace else None
    outcome = run(given, lines)
    for line in lines or ():
        out.say(line)
    if outcome.violation is not None and shrink:
        out.say(as_test(*smaller(given, outcome, run)))
    out.result(_facts(outcome), lambda: out.line(_line(outcome)))
    if outcome.violation is not None:
        raise typer.Exit(1)


def _sweep(out: Output, seeds: range, orders: int, workers: int | None, shrink: bool) -> None:
    from qmworkbench.simulation.shrink import as_test
    from qmworkbench.simulation.sweep import smallest, sweep

    def told(outcome: "Outcome") -> None:
        if outcome.violation is not None:
            out.say(_line(outcome))

    swept = sweep(seeds, orders=orders, workers=workers, told=told)
    if shrink:
        for outcome in swept.failed[:_SHOWN_FAILURES]:
            out.say(as_test(*smallest(outcome.seed, orders=orders)))
    unhit = swept.unhit()
    violations = len(swept.failed)
    summary = (
        f"{swept.seeds} sessions, {violations} violations, {swept.sessions_per_s:.1f} sessions/s, "
        f"{swept.orders / max(1, swept.seeds):.0f} orders and {swept.records / max(1, swept.seeds):.0f} records each, "
        f"{swept.crashes} crashes; {len(swept.marks)} marks hit, {len(unhit)} never: {', '.join(unhit) or 'none'}"
    )
    out.result(
        {
            "seeds": swept.seeds,
            "violations": [_facts(outcome) for outcome in swept.failed],
            "sessions_per_s": round(swept.sessions_per_s, 1),
            "marks_hit": dict(sorted(swept.marks.items())),
            "marks_unhit": unhit,
        },
        lambda: out.line(summary),
    )
    if violations:
        raise typer.Exit(1)


def _mutants(out: Output, seeds: range, workers: int | None) -> None:
    from qmworkbench.simulation.hunt import Hunted, hunt

    def told(hunted: Hunted) -> None:
        how = f"seed {hunted.seed}: {hunted.violation}" if hunted.seed is not None else "NOT CAUGHT"
        out.say(f"{hunted.mutant}: {hunted.tried} seeds tried, {how}")

    found = hunt(seeds, workers=workers, told=told)
    missed = [hunted.mutant for hunted in found if hunted.seed is None]
    summary = f"{len(found)} planted bugs, {len(found) - len(missed)} caught, missed: {', '.join(missed) or 'none'}"
    out.result(
        {
            "mutants": len(found),
            "caught": {h.mutant: {"seed": h.seed, "tried": h.tried} for h in found if h.seed is not None},
            "missed": missed,
        },
        lambda: out.line(summary),
    )
    if missed:
        raise typer.Exit(1)


def _line(outcome: "Outcome") -> str:
    struck = len(outcome.struck)
    what = f"VIOLATES {outcome.violation}" if outcome.violation is not None else "holds"
    return (
        f"seed {outcome.seed}: {what}; {struck} troubles, {outcome.crashes} crashes, {outcome.orders} orders, "
        f"{outcome.records} records, head {outcome.head[:16]}"
    )


def _facts(outcome: "Outcome") -> dict[str, Any]:
    violation = outcome.violation
    return {
        "seed": outcome.seed,
        "head": outcome.head,
        "records": outcome.records,
        "orders": outcome.orders,
        "crashes": outcome.crashes,
        "troubles": len(outcome.struck),
        "invariant": None if violation is None else violation.invariant,
        "detail": None if violation is None else violation.detail,
    }
