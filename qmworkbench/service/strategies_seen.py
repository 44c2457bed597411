"""The scheduled strategies against their catalog entries, for the preflight (§8; M: Pre-Flight 5)."""

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.operations.evidence import StrategySeen
from qmworkbench.service.plan import DayPlan, market_of
from qmworkbench.strategies import catalog
from qmworkbench.strategies.parameters import Value


def strategies_seen(plan: DayPlan) -> tuple[StrategySeen, ...]:
    """One entry for each instance that is to run."""
    return tuple(_seen(spec, plan) for spec in plan.runs)


def _seen(spec: RunSpec, plan: DayPlan) -> StrategySeen:
    definition = catalog.catalog().get(spec.definition_id)
    if definition is None:
        return StrategySeen(
            instance_id=spec.strategy_id,
            strategy_id=spec.definition_id,
            known=False,
            detail=f"{spec.definition_id} is not in the catalog: {', '.join(catalog.catalog())}",
        )
    overrides = _approved_overrides(spec, plan)
    approved = definition.parameters(overrides)
    changed = [f"{name}: {approved[name]} → {value}" for name, value in spec.params.items() if approved[name] != value]
    grid = plan.data.grids()
    return StrategySeen(
        instance_id=spec.strategy_id,
        strategy_id=spec.definition_id,
        known=True,
        owner=spec.owner,
        status=spec.status,
        version=spec.version,
        params_hash=spec.params_hash,
        approved_hash=definition.hash(overrides),
        changed=tuple(changed),
        needs_history_days=definition.history_sessions(spec.params, grid[-1].boundaries),
        has_history_days=len(grid) - 1,
        fits_market=market_of(plan.data).value in spec.asset_classes,
    )


def _approved_overrides(spec: RunSpec, plan: DayPlan) -> dict[str, Value]:
    """What the owner has approved beside the entry's own values: the parameters of the catalog's published instance of
    that name, none for an instance that somebody made up.
    """
    for instance in catalog.default_instances(market_of(plan.data), plan.data.universe.symbols):
        if (instance.instance_id, instance.strategy_id) == (spec.strategy_id, spec.definition_id):
            return instance.params
    return {}
