"""From configured or usual strategy instances to the runs of a session, each with its whole parameter set (§3, §8)."""

from decimal import Decimal

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.service.config import Config
from qmworkbench.service.config_problems import ConfigProblem, ConfigRefused
from qmworkbench.service.config_schema import StrategySection
from qmworkbench.strategies import catalog
from qmworkbench.strategies.definition import StrategyInstance

_PERCENT = Decimal(100)


def instances(config: Config, market: AssetClass) -> tuple[StrategyInstance, ...]:
    """The strategy instances of a session on `market`, in order of id: the configured ones that can trade it, or the
    catalog's usual ones.

    Raises ConfigRefused when strategies are configured and none of them trades this market.
    """
    configured = config.settings.strategies
    if configured is None:
        return catalog.default_instances(market)
    chosen = [_instance(entry, market) for entry in configured if _trades(entry, market)]
    if not chosen:
        problem = ConfigProblem(
            key="strategies",
            value=", ".join(f"{entry.id} ({entry.strategy})" for entry in configured) or "none",
            source=config.source("strategies"),
            problem=f"has no instance that trades {market.value}, and the session's market is {market.value}",
            remedy="add one, correct its `market`, or leave strategies out to run the usual ones",
        )
        raise ConfigRefused([problem])
    return tuple(sorted(chosen, key=lambda instance: instance.instance_id))


def run_spec(instance: StrategyInstance) -> RunSpec:
    """One instance as the journal records it: catalog version and owner, parameters, a position's budget."""
    definition = catalog.get(instance.strategy_id)
    params = definition.parameters(instance.params)
    return RunSpec(
        strategy_id=instance.instance_id,
        definition_id=definition.strategy_id,
        version=definition.version,
        owner=definition.owner,
        status=definition.status.value,
        asset_classes=tuple(kind.value for kind in definition.asset_classes),
        params=params,
        params_hash=definition.hash(instance.params),
        budget_pct=instance.capital_fraction * _PERCENT / instance.max_symbols,
        max_symbols=instance.max_symbols,
        flat_policy=definition.flat_policy(params).value,
        symbols=() if instance.symbols == "*" else tuple(instance.symbols),
    )


def run_specs(config: Config, market: AssetClass) -> tuple[RunSpec, ...]:
    """The runs of a session on `market`, in order of instance id. Raises ConfigRefused as `instances` does."""
    return tuple(run_spec(instance) for instance in instances(config, market))


def _trades(entry: StrategySection, market: AssetClass) -> bool:
    return market in catalog.get(entry.strategy).asset_classes and entry.market in (None, market)


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
