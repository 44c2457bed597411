"""Who may own a symbol, one instance or several, market by market; and claims that cannot both stand (§8, §9)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.instruments import AssetClass, instrument_for
from qmworkbench.service.config_problems import ConfigProblem, Path_, dotted
from qmworkbench.service.config_reading import place
from qmworkbench.service.config_schema import Settings
from qmworkbench.service.config_sources import Layer

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

_SHARED_BY_DEFAULT: Final = frozenset({AssetClass.FOREX})
MAX_OWNED: Final = "allocator.max_owned"


def shares_symbols(settings: Settings, market: AssetClass) -> bool:
    """Whether several instances may own and hold one symbol of this market beside each other."""
    ownership = settings.allocator.ownership
    return market in _SHARED_BY_DEFAULT if ownership is None else ownership == "shared"


def most_owned(config: "Config", market: AssetClass, runs: Sequence[RunSpec]) -> int:
    """How many symbols may be owned over all instances, one that several own counting for each.

    Where symbols are shared and nothing else is set, what the instances may own between them.
    """
    chosen = config.settings.allocator.max_owned
    if config.source(MAX_OWNED) != "default" or not shares_symbols(config.settings, market):
        return chosen
    return max(chosen, sum(run.max_symbols for run in runs))


def ownership_problems(settings: Settings, layers: Sequence[Layer]) -> list[ConfigProblem]:
    """Instances that list a symbol which another has listed before, where a symbol has one owner."""
    problems: list[ConfigProblem] = []
    claimed: dict[str, int] = {}
    entries = settings.strategies or ()
    for number, entry in enumerate(entries):
        taken: dict[int, list[str]] = {}
        for symbol in dict.fromkeys(entry.symbols):
            market = instrument_for(symbol).asset_class
            first = claimed.setdefault(symbol, number)
            if first != number and not shares_symbols(settings, market):
                taken.setdefault(first, []).append(symbol)
        problems += [_claimed_twice(settings, number, first, symbols, layers) for first, symbols in taken.items()]
    return problems


def _claimed_twice(
    settings: Settings, number: int, first: int, symbols: Sequence[str], layers: Sequence[Layer]
) -> ConfigProblem:
    entries = settings.strategies or ()
    path: Path_ = ("strategies", number, "symbols")
    market = instrument_for(symbols[0]).asset_class
    return ConfigProblem(
        key=dotted(path),
        value=", ".join(symbols),
        source=place(layers, path),
        problem=(
            f"{entries[number].id} claims what {entries[first].id} (strategies[{first}]) has claimed: a symbol has one "
            f"owner in {market}"
        ),
        remedy=(
            f"list {', '.join(symbols)} with one of the two, leave both lists empty and let the scanner find them, or "
            'set ownership = "shared" under [allocator]'
        ),
    )
