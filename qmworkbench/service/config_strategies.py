"""What is wrong with configured strategy instances and their owners, and whether the day goes on without (§3, §8)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from qmworkbench.domain.sessions import Environment
from qmworkbench.service.config_orders import order_problems
from qmworkbench.service.config_problems import ConfigProblem, Path_, dotted, nearest, shown
from qmworkbench.service.config_reading import place
from qmworkbench.service.config_schema import Settings, StrategySection
from qmworkbench.service.config_sources import Layer

_WHOLE_ACCOUNT_PCT: Final = Decimal(100)
# Where no account is at stake a day goes on without an instance that cannot run; elsewhere a person decides first.
GOES_ON_WITHOUT: Final = frozenset({Environment.BACKTEST, Environment.LOCAL})
# An id that two entries share does not say which of the two was meant: that is never left out, always refused.
_OF_ONE_INSTANCE: Final = re.compile(r"strategies\[(\d+)\]\.(?!id$)")


def left_out_of(settings: Settings, problems: Sequence[ConfigProblem]) -> Mapping[str, tuple[ConfigProblem, ...]]:
    """The instances that a day can go on without, by id, with what is wrong with each; none where it must not.

    It must not in paper and live, where a problem is of no single instance, or where no sound one would be left.
    """
    of: dict[str, list[ConfigProblem]] = {}
    entries = settings.strategies or ()
    for problem in problems:
        found = _OF_ONE_INSTANCE.match(problem.key)
        if found is None:
            return {}
        of.setdefault(entries[int(found[1])].id, []).append(problem)
    if settings.environment not in GOES_ON_WITHOUT or len(of) == len(entries):
        return {}
    return {name: tuple(found) for name, found in of.items()}


def strategy_problems(settings: Settings, layers: Sequence[Layer]) -> list[ConfigProblem]:
    """Every problem of every instance; none where the market's usual instances are to run."""
    problems: list[ConfigProblem] = []
    first: dict[str, int] = {}
    for number, entry in enumerate(settings.strategies or ()):
        if entry.id in first:
            problem = f"is the id of strategies[{first[entry.id]}] as well"
            problems.append(_problem(number, "id", entry.id, problem, "give each instance an id of its own", layers))
        first.setdefault(entry.id, number)
        problems += _of_entry(number, entry, layers)
    return [*problems, *_of_owners(settings, layers)]


def _of_owners(settings: Settings, layers: Sequence[Layer]) -> Iterator[ConfigProblem]:
    """Signatures listed for an owner nobody is would never count."""
    if not settings.owners:
        return
    from qmworkbench.strategies import catalog

    known = sorted({definition.owner for definition in catalog.catalog().values()})
    for owner, people in settings.owners.items():
        if owner not in known:
            close = nearest(owner, known)
            meant = f"did you mean {close}? " if close else ""
            yield ConfigProblem(
                key=f'owners."{owner}"',
                value=shown(people),
                source=place(layers, ("owners", owner)),
                problem="owns no strategy of the catalog",
                remedy=f"{meant}Its owners are {', '.join(known)}",
            )


def _of_entry(number: int, entry: StrategySection, layers: Sequence[Layer]) -> Iterator[ConfigProblem]:
    from qmworkbench.strategies import catalog  # polars comes with it, and most commands do without

    share = entry.budget_pct * entry.max_symbols
    if share > _WHOLE_ACCOUNT_PCT:
        problem = f"for each of {entry.max_symbols} symbols is {share} % of the account"
        remedy = "lower budget_pct or max_symbols until their product is at most 100"
        yield _problem(number, "budget_pct", entry.budget_pct, problem, remedy, layers)
    if len(set(entry.symbols)) < len(entry.symbols):
        yield _problem(number, "symbols", entry.symbols, "names a symbol twice", "name each symbol once", layers)
    for name, value, problem, remedy in order_problems(entry.orders):
        yield _problem(number, name, value, problem, remedy, layers)
    if entry.strategy not in catalog.ids():
        close = nearest(entry.strategy, catalog.ids())
        remedy = f"{f'did you mean {close}? ' if close else ''}The catalog has {', '.join(catalog.ids())}"
        yield _problem(number, "strategy", entry.strategy, "is not in the catalog", remedy, layers)
        return
    yield from _of_parameters(number, entry, layers)


def _of_parameters(number: int, entry: StrategySection, layers: Sequence[Layer]) -> Iterator[ConfigProblem]:
    """One parameter at a time, so that a refusal has its own line; then all together, for contradictions."""
    from qmworkbench.strategies import catalog
    from qmworkbench.strategies.parameters import ParameterError, ParameterSpec

    definition = catalog.get(entry.strategy)
    specs: dict[str, ParameterSpec] = {spec.name: spec for spec in definition.parameter_specs}
    faulty = False
    for name, value in entry.params.items():
        if name not in specs:
            faulty = True
            close = nearest(name, tuple(specs))
            remedy = f"did you mean {close}? " if close else ""
            problem = f"is no parameter of {entry.strategy}"
            yield _problem(number, f"params.{name}", None, problem, f"{remedy}It has {', '.join(specs)}", layers)
        elif (refusal := specs[name].refusal(value)) is not None:
            faulty = True
            remedy = f"{specs[name].kind}: {specs[name].range_text} (approved: {specs[name].approved})"
            yield _problem(number, f"params.{name}", value, refusal, remedy, layers)
    if faulty:
        return
    try:
        definition.parameters(entry.params)
    except ParameterError as error:
        for sentence in error.problems:
            remedy = f"change one of them; `qm strategy card {entry.strategy}` lists every parameter"
            yield _problem(number, "params", entry.params, f"contradict each other: {sentence}", remedy, layers)


def _problem(number: int, key: str, value: object, problem: str, remedy: str, layers: Sequence[Layer]) -> ConfigProblem:
    path: Path_ = ("strategies", number, *key.split("."))
    # What an entry does not say itself is laid to the entry.
    source = place(layers, path) if place(layers, path) != "default" else place(layers, path[:2])
    text = "" if value is None else shown(value)
    return ConfigProblem(key=dotted(path), value=text, source=source, problem=problem, remedy=remedy)
