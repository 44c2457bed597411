"""What types cannot tell: limits without sense, environments out of reach (§2, §5, §11)."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from qmworkbench.analytics.signal_settings import SignalSettings
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.safety import ReconciliationSettings
from qmworkbench.domain.sessions import Environment
from qmworkbench.service.config_problems import ConfigProblem, Path_, dotted, shown
from qmworkbench.service.config_reading import place
from qmworkbench.service.config_schema import Settings
from qmworkbench.service.config_section import Section
from qmworkbench.service.config_sources import Layer
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.venue import costs
from qmworkbench.venue.financing import Financing

_UNREACHABLE: Final = {
    Environment.LIVE: (
        "is refused: live trading is not armed, and this version cannot arm it",
        "arming takes all of: live credentials from the live profile, a limits and parameters file whose hash an owner "
        "approved, strategies whose catalog status is live-approved, error budgets that permit it, and a typed "
        "confirmation on record with the operator's name. "
        "Use local or backtest until then",
    ),
    Environment.PAPER: (
        "is refused: this version reaches no broker but the simulated venue, and that is not a paper account",
        "use local, which trades at the simulated venue",
    ),
}


def environment_problems(settings: Settings, layers: Sequence[Layer]) -> list[ConfigProblem]:
    """Live and paper are refused with what they would take."""
    if settings.environment not in _UNREACHABLE:
        return []
    problem, remedy = _UNREACHABLE[settings.environment]
    source = place(layers, ("environment",))
    return [
        ConfigProblem(
            key="environment", value=settings.environment.value, source=source, problem=problem, remedy=remedy
        )
    ]


def value_problems(settings: Settings, layers: Sequence[Layer]) -> list[ConfigProblem]:
    """What limits, scan, venue, reconciliation and analytics say of their values themselves, each on its own."""
    problems: list[ConfigProblem] = []
    for path, section, build in (
        (("limits",), settings.limits, lambda values: Limits(**values)),
        (("scan", "equity"), settings.scan.equity, lambda values: ScanSettings(**values)),
        (("scan", "forex"), settings.scan.forex, lambda values: ScanSettings(**values)),
        (("venue", "equity"), settings.venue.equity, cost_schedule),
        (("venue", "forex"), settings.venue.forex, cost_schedule),
        (("venue", "financing"), settings.venue.financing, lambda values: Financing(**values)),
        (("reconciliation",), settings.reconciliation, lambda values: ReconciliationSettings(**values)),
        (("analytics",), settings.analytics, lambda values: SignalSettings(**values)),
    ):
        problems += _complaints(path, plain(section), build, layers)
    return problems


def plain(section: Section) -> dict[str, Any]:
    """A section's values by name, inner sections as mappings."""
    return {
        name: plain(value) if isinstance(value := getattr(section, name), Section) else value
        for name in type(section).model_fields
    }


def cost_schedule(values: Mapping[str, Any]) -> costs.CostSchedule:
    """The venue's terms for one kind of instrument. Raises ModelInvalid for numbers that make no sense."""
    return costs.CostSchedule(
        **{**values, "fees": costs.FeeSchedule(**values["fees"])} if "fees" in values else dict(values)
    )


def _complaints(
    path: Path_, values: dict[str, Any], build: Callable[[dict[str, Any]], msgspec.Struct], layers: Sequence[Layer]
) -> list[ConfigProblem]:
    """Build until nothing is refused any more, each time without the value that was. Somebody's value is to blame,
    never
    a default."""
    problems: list[ConfigProblem] = []
    while True:
        text = _refusal(build, values)
        if text is None:
            return problems
        names = list(_names(values))
        named = min((name for name in names if name[-1] in text), key=lambda name: text.index(name[-1]), default=None)
        given = [name for name in names if place(layers, path + name) != "default"]
        blamed = (
            named
            if named in given
            else next((name for name in given if _refusal(build, _without(values, name)) != text), named)
        )
        if blamed is None:
            key = dotted(path)
            return [
                *problems,
                ConfigProblem(key=key, source=place(layers, path), problem=text, remedy=f"correct [{key}]"),
            ]
        problems.append(
            _complaint(path + blamed, _at(values, blamed), text, place(layers, path + blamed), own=blamed == named)
        )
        if blamed not in given:
            return problems
        values = _without(values, blamed)


def _complaint(path: Path_, value: object, text: str, source: str, *, own: bool) -> ConfigProblem:
    """`text` is the refusal as its owner worded it: what is wrong, a colon, the remedy."""
    found, _, remedy = text.partition(": ")
    # Key and value are named anyway; what a refusal says beyond them is kept.
    repeated = re.fullmatch(r"(?:[a-z]+\.)?[\w.]+ (?:=|is) \S+(?: makes no sense)?", found) is not None
    found = found.removesuffix(" makes no sense")
    problem = (
        "makes no sense" if own and repeated else f"makes no sense: {found}" if own else f"does not go with {found}"
    )
    return ConfigProblem(
        key=dotted(path), value=shown(value), source=source, problem=problem, remedy=remedy or "give another value"
    )


def _refusal(build: Callable[[dict[str, Any]], msgspec.Struct], values: dict[str, Any]) -> str | None:
    try:
        build(values)
    except ValueError as error:
        return str(error)
    return None


def _names(values: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((name, *inner) for inner in _names(value))
        else:
            yield (name,)


def _at(values: Any, name: tuple[str, ...]) -> Any:
    for part in name:
        values = values[part]
    return values


def _without(values: dict[str, Any], name: tuple[str, ...]) -> dict[str, Any]:
    """The same values with one left to its own default."""
    if len(name) == 1:
        return {key: value for key, value in values.items() if key != name[0]}
    return {**values, name[0]: _without(values[name[0]], name[1:])}
