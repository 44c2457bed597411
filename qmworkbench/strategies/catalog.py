"""The catalog: every strategy by id, and the instances that run when nothing else is configured (§3, §8)."""

import difflib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import donchian, opening_range, rsi_reversion, sma_cross
from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance


class UnknownStrategy(LookupError):
    """No strategy of that id in the catalog; the message lists those there are and the nearest."""


class Catalog(Mapping[str, StrategyDefinition]):
    """Definitions by id, in order of id. Asking for an unknown id raises UnknownStrategy."""

    def __init__(self, *definitions: StrategyDefinition) -> None:
        self._by_id = {entry.strategy_id: entry for entry in sorted(definitions, key=lambda entry: entry.strategy_id)}
        if len(self._by_id) < len(definitions):
            raise ValueError("two catalog entries share one strategy id")

    def __getitem__(self, strategy_id: str) -> StrategyDefinition:
        if strategy_id not in self._by_id:
            close = difflib.get_close_matches(strategy_id, list(self._by_id), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UnknownStrategy(f"no strategy {strategy_id!r} in the catalog ({', '.join(self._by_id)}){hint}")
        return self._by_id[strategy_id]

    def __contains__(self, strategy_id: object) -> bool:
        return strategy_id in self._by_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)


_CATALOG: Final = Catalog(
    opening_range.DEFINITION,
    donchian.DEFINITION,
    rsi_reversion.DEFINITION,
    sma_cross.DEFINITION,
)

_DEFAULTS: Final = (
    StrategyInstance(
        instance_id="opening-range-us",
        strategy_id="opening-range",
        asset_class=AssetClass.EQUITY,
        capital_fraction=Decimal("0.5"),
        max_symbols=10,
    ),
    StrategyInstance(
        instance_id="donchian-us",
        strategy_id="donchian",
        asset_class=AssetClass.EQUITY,
        capital_fraction=Decimal("0.4"),
        max_symbols=10,
        params={
            "entry_bars": 60,
            "exit_bars": 30,
            "stop_atr": 3.0,
            "min_atr_bps": 5.0,
            "from_bar": 15,
            "min_bars_left": 30,
            "short": False,
        },
    ),
    StrategyInstance(
        instance_id="donchian-fx",
        strategy_id="donchian",
        asset_class=AssetClass.FOREX,
        capital_fraction=Decimal("0.9"),
        max_symbols=9,
        params={"entry_bars": 55, "exit_bars": 20, "stop_atr": 3.0, "flat": "carry"},
    ),
)


def catalog() -> Catalog:
    """Every strategy, by id."""
    return _CATALOG


def ids() -> tuple[str, ...]:
    """The ids of every strategy, in order."""
    return tuple(_CATALOG)


def get(strategy_id: str) -> StrategyDefinition:
    """The strategy of that id; raises UnknownStrategy naming those there are and the nearest."""
    return _CATALOG[strategy_id]


def default_instances(asset_class: AssetClass) -> tuple[StrategyInstance, ...]:
    """What runs on a market when the configuration names no instances, in order of id."""
    chosen = (instance for instance in _DEFAULTS if instance.asset_class is asset_class)
    return tuple(sorted(chosen, key=lambda instance: instance.instance_id))
