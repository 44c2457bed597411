"""The catalog: every strategy by id, and the instances that run when nothing else is configured (§3, §8)."""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.numbers import floor_to
from qmworkbench.strategies import (
    donchian,
    high_of_day,
    opening_range,
    rsi_reversion,
    sma_cross,
    vwap_pullback,
    washout_reclaim,
)
from qmworkbench.strategies.completeness import EntryIncomplete
from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance
from qmworkbench.strategies.parameters import Value


class UnknownStrategy(LookupError):
    """No strategy of that id in the catalog; the message lists those there are and the nearest."""


class Catalog(Mapping[str, StrategyDefinition]):
    """Definitions by id, in order of id. Asking for an unknown id raises UnknownStrategy."""

    def __init__(self, *definitions: StrategyDefinition) -> None:
        self._by_id = {entry.strategy_id: entry for entry in sorted(definitions, key=lambda entry: entry.strategy_id)}
        if len(self._by_id) < len(definitions):
            counted = Counter(entry.strategy_id for entry in definitions)
            twice = ", ".join(sorted(name for name, count in counted.items() if count > 1))
            raise EntryIncomplete(f"two catalog entries share one strategy id: {twice}; give each an id of its own")

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
    vwap_pullback.DEFINITION,
    high_of_day.DEFINITION,
    washout_reclaim.DEFINITION,
)

_DEFAULTS: Final = (
    StrategyInstance(
        instance_id="opening-range-us",
        strategy_id="opening-range",
        asset_class=AssetClass.EQUITY,
        capital_fraction=Decimal("0.15"),
        max_symbols=3,
    ),
    StrategyInstance(
        instance_id="vwap-pullback-us",
        strategy_id="vwap-pullback",
        asset_class=AssetClass.EQUITY,
        capital_fraction=Decimal("0.15"),
        max_symbols=3,
    ),
    StrategyInstance(
        instance_id="washout-reclaim-us",
        strategy_id="washout-reclaim",
        asset_class=AssetClass.EQUITY,
        capital_fraction=Decimal("0.12"),
        max_symbols=3,
    ),
    StrategyInstance(
        instance_id="high-of-day-us",
        strategy_id="high-of-day",
        asset_class=AssetClass.EQUITY,
        capital_fraction=Decimal("0.25"),
        max_symbols=5,
    ),
    StrategyInstance(
        instance_id="donchian-us",
        strategy_id="donchian",
        asset_class=AssetClass.EQUITY,
        capital_fraction=Decimal("0.2"),
        max_symbols=5,
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
)

MAJOR_PAIRS: Final = ("AUDJPY", "AUDUSD", "EURGBP", "EURJPY", "GBPJPY", "GBPUSD", "USDCAD", "USDCHF", "USDJPY")

# Each set-up trades every pair by an instance of its own: (name, strategy, parameters).
_FOREX_SETUPS: Final[tuple[tuple[str, str, Mapping[str, Value]], ...]] = (
    (
        "donchian-fast",
        "donchian",
        {"entry_bars": 20, "exit_bars": 10, "atr_bars": 14, "min_bars_left": 4, "max_hold_bars": 20},
    ),
    ("donchian-slow", "donchian", {"entry_bars": 55, "exit_bars": 20, "stop_atr": 3.0, "flat": "carry"}),
    ("rsi-reversion", "rsi-reversion", {"min_bars_left": 4}),
    ("sma-cross", "sma-cross", {"enter_within_bars": 2, "flat": "carry"}),
)
# What one of them may spend: four on a pair stay within the position limits of the whole book on that pair.
_FOREX_SHARE: Final = Decimal("0.02")
_FOREX_SHARE_OF_ALL: Final = Decimal("0.9")


def catalog() -> Catalog:
    """Every strategy, by id."""
    return _CATALOG


def ids() -> tuple[str, ...]:
    """The ids of every strategy, in order."""
    return tuple(_CATALOG)


def get(strategy_id: str) -> StrategyDefinition:
    """The strategy of that id; raises UnknownStrategy naming those there are and the nearest."""
    return _CATALOG[strategy_id]


def default_instances(asset_class: AssetClass, symbols: Sequence[str] = MAJOR_PAIRS) -> tuple[StrategyInstance, ...]:
    """What runs on a market when the configuration names no instances, in order of id.

    Equity instances take what the scanner finds. A currency pair is known beforehand: each set-up has an instance for
    each of `symbols`, the session's universe, with an equal share of the capital.
    """
    chosen = _forex(symbols) if asset_class is AssetClass.FOREX else _DEFAULTS
    return tuple(sorted(chosen, key=lambda instance: instance.instance_id))


def _forex(pairs: Sequence[str]) -> list[StrategyInstance]:
    count = len(pairs) * len(_FOREX_SETUPS)
    share = min(_FOREX_SHARE, floor_to(_FOREX_SHARE_OF_ALL / max(count, 1), Decimal("0.000001")))
    return [
        StrategyInstance(
            instance_id=f"{name}-{pair.lower()}",
            strategy_id=strategy_id,
            asset_class=AssetClass.FOREX,
            capital_fraction=share,
            max_symbols=1,
            symbols=(pair,),
            params=dict(params),
        )
        for pair in pairs
        for name, strategy_id, params in _FOREX_SETUPS
    ]
