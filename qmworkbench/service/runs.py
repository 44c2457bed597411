"""Which strategy instances run in a session: catalog or configuration, then what owners have approved (§3, §8, §10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.service.config_orders import style_of
from qmworkbench.service.config_schema import StrategySection
from qmworkbench.service.config_strategies import GOES_ON_WITHOUT
from qmworkbench.storage.approvals import ApprovalLedger
from qmworkbench.strategies import catalog
from qmworkbench.strategies.approvals import Approvals, ApprovedSet
from qmworkbench.strategies.definition import StrategyInstance
from qmworkbench.strategies.parameters import ParameterError, Params, Value

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

_PERCENT = Decimal(100)
Published: TypeAlias = Mapping[tuple[str, str], Params]


class ScheduleRefused(Exception):
    """No day can be planned with these strategies; the message names each that stands in the way, and the remedy."""


@dataclass(frozen=True)
class Schedule:
    """What runs in one session. `left_out`: configured instances that cannot, with the reason, by id. `set_at`: where
    the configuration sets a parameter, by "INSTANCE.PARAMETER".
    """

    runs: tuple[RunSpec, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    set_at: Mapping[str, str] = field(default_factory=dict)


def schedule(
    config: "Config",
    market: AssetClass,
    symbols: Sequence[str] = catalog.MAJOR_PAIRS,
    session: date | None = None,
    *,
    fresh: bool = False,
) -> Schedule:
    """The runs of a configuration in the session of that date (None: the next), with the changes approved for it.

    `symbols` is the session's universe: the catalog has an instance for each currency pair of it. `fresh`: the book is
    about to be a new one, in which nothing has been approved.

    In local and backtest an instance that cannot run is left out; in paper and live it refuses the day, and so does
    everywhere a day without any run. Raises ScheduleRefused, and StorageRefused where the ledger does not verify.
    """
    approvals = Approvals() if fresh else ledger_of(config).approvals()
    known = published(market, symbols)
    left_out = {name: "; ".join(map(str, problems)) for name, problems in config.left_out.items()}
    runs: list[RunSpec] = []
    styles = {entry.id: style_of(entry.orders) for entry in config.settings.strategies or ()}
    for instance in instances(config, market, symbols):
        approved = approved_set(instance, known, approvals, session)
        try:
            run = _approved_run(instance, approved)
            style = styles.get(instance.instance_id, run.order_style)
            runs.append(msgspec.structs.replace(run, order_style=style))
        except ParameterError as error:
            left_out[instance.instance_id] = (
                f"version {approved.version} of its parameters, which was approved, no longer fits: {error}. Propose a "
                f"set that does (`qm strategy propose {instance.instance_id} …`), or take the instance out"
            )
    if left_out and (not runs or config.environment not in GOES_ON_WITHOUT):
        told = "; ".join(f"{name} cannot run: {why}" for name, why in sorted(left_out.items()))
        go_on = "" if not runs else f". {config.environment} does not start without one of its strategies"
        raise ScheduleRefused(told.rstrip(".") + go_on)
    return Schedule(tuple(runs), left_out, _set_at(config))


def instances(
    config: "Config", market: AssetClass, symbols: Sequence[str] = catalog.MAJOR_PAIRS
) -> tuple[StrategyInstance, ...]:
    """What catalog or configuration say of the instances that trade `market`, approvals not yet heard; in order of id.

    Configured ones that cannot run are not among them.
    """
    entries = config.settings.strategies
    if entries is None:
        return catalog.default_instances(market, symbols)
    sound = (entry for entry in entries if entry.id not in config.left_out and _trades(entry, market))
    return tuple(sorted((_instance(entry, market) for entry in sound), key=lambda instance: instance.instance_id))


def default_runs(market: AssetClass, symbols: Sequence[str] = catalog.MAJOR_PAIRS) -> tuple[RunSpec, ...]:
    """The catalog's own instances for a market and its universe, in order of id, with no change approved."""
    return tuple(run_spec(instance) for instance in catalog.default_instances(market, symbols))


def ledger_of(config: "Config") -> ApprovalLedger:
    """The book's ledger of parameter changes."""
    return ApprovalLedger(config.paths.approvals, environment=config.environment.value, book=config.book)


def published(market: AssetClass, symbols: Sequence[str] = catalog.MAJOR_PAIRS) -> Published:
    """What the catalog's owners have approved beside their entries' own values, by instance and strategy."""
    return {(one.instance_id, one.strategy_id): one.params for one in catalog.default_instances(market, symbols)}


def approved_set(
    instance: StrategyInstance, known: Published, approvals: Approvals, session: date | None = None
) -> ApprovedSet:
    """The parameters approved for an instance in the session of that date (None: the newest signed).

    Without a change on record: the published instance's, and for one that a configuration made up the entry's own.
    """
    definition = catalog.get(instance.strategy_id)
    base = known.get((instance.instance_id, instance.strategy_id), {})
    return approvals.approved(definition, instance.instance_id, base, session.isoformat() if session else None)


def running_set(instance: StrategyInstance, approved: ApprovedSet) -> dict[str, Value]:
    """What the instance runs with. Raises ParameterError where the approved set no longer fits the strategy."""
    definition = catalog.get(instance.strategy_id)
    return approved.running(definition, definition.parameters(instance.params))


def run_spec(instance: StrategyInstance, version: int = 0, approved_by: str = "") -> RunSpec:
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
        params_version=version,
        approved_by=approved_by,
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


def _approved_run(instance: StrategyInstance, approved: ApprovedSet) -> RunSpec:
    """The run with its approved changes. Only a set that runs as it was signed bears the signer's name."""
    running = running_set(instance, approved)
    spec = run_spec(msgspec.structs.replace(instance, params=running), approved.version)
    return msgspec.structs.replace(spec, approved_by=approved.by) if spec.params_hash == approved.hash else spec


def _set_at(config: "Config") -> dict[str, str]:
    entries = config.settings.strategies or ()
    places = {row.key: row.source for row in config.provenance()} if entries else {}
    return {
        f"{entry.id}.{name}": places.get(f"strategies[{number}].params.{name}", "")
        for number, entry in enumerate(entries)
        for name in entry.params
    }


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
