"""Which strategy instances run, from configuration or catalog, and as the journal records them (§3, §8, §10)."""

from decimal import Decimal

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.service.config_schema import StrategySection
from qmworkbench.strategies import catalog
from qmworkbench.strategies.definition import StrategyInstance

_PERCENT = Decimal(100)


def default_runs(market: AssetClass) -> tuple[RunSpec, ...]:
    """The catalog's own instances for a market, in order of id: what runs when the configuration names none."""
    return tuple(run_spec(instance) for instance in catalog.default_instances(market))


def configured_runs(entries: tuple[StrategySection, ...], market: AssetClass) -> tuple[RunSpec, ...]:
    """The configured instances that trade `market`, in order of id; empty where none does."""
    chosen = [_instance(entry, market) for entry in entries if _trades(entry, market)]
    return tuple(run_spec(instance) for instance in sorted(chosen, key=lambda instance: instance.instance_id))


def run_spec(instance: StrategyInstance) -> RunSpec:
    """One instance as the journal records it: catalog version and owner, parameters, a position's budget."""
    definition = catalog.get(instance.strategy_id)
    params = definition.parameters(instance.params)
    until = definition.window(params).until_bar
    assert not isinstance(until, str), "a window's parameters have been looked up"
    return RunSpec(
        strategy_id=instance.instance_id,
        definition_id=definition.strategy_id,
        version=definition.version,
        owner=definition.owner,
        status=definition.status.value,
        asset_classes=(instance.asset_class.value,),
        params=params,
        params_hash=definition.hash(instance.params),
        budget_pct=instance.capital_fraction * _PERCENT / instance.max_symbols,
        max_symbols=instance.max_symbols,
        flat_policy=definition.flat_policy(params).value,
        symbols=() if instance.symbols == "*" else tuple(instance.symbols),
        entry_until_bar=until,
    )


def instance_of(spec: RunSpec) -> StrategyInstance:
    """The strategy instance that a recorded run is."""
    return StrategyInstance(
        instance_id=spec.strategy_id,
        strategy_id=spec.definition_id,
        asset_class=AssetClass(spec.asset_classes[0]),
        capital_fraction=min(Decimal(1), spec.budget_pct * spec.max_symbols / _PERCENT),
        max_symbols=spec.max_symbols,
        symbols=spec.symbols or "*",
        params=spec.params,
    )


def _trades(entry: StrategySection, market: AssetClass) -> bool:
    return market in catalog.get(entry.strategy).asset_classes


def _instance(entry: StrategySection, market: AssetClass) -> StrategyInstance:
    return StrategyInstance(
        instance_id=entry.id,
        strategy_id=entry.strategy,
        asset_class=market,
        capital_fraction=entry.budget_pct * entry.max_symbols / _PERCENT,
        max_symbols=entry.max_symbols,
        symbols=entry.symbols or "*",
        params=entry.params,
    )
