"""The rules of a session's instances, those of one strategy and one parameter set built once for all of them (§10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qmworkbench.strategies.catalog import catalog
from qmworkbench.strategies.contract import FLAGS
from qmworkbench.strategies.definition import Anchor, Program, StrategyDefinition, StrategyInstance
from qmworkbench.strategies.parameters import Params


@dataclass(frozen=True, eq=False)
class Rules:
    """One strategy with one parameter set, named by its running hash: instances that share it are computed together.

    `row_reads` are the columns that answering for a row looks at.
    """

    key: str
    program: Program
    anchor: Anchor
    row_reads: frozenset[str]

    @staticmethod
    def of(definition: StrategyDefinition, params: Params) -> "Rules":
        """The rules of a full parameter set."""
        program = definition.program(params)
        row_reads = {*FLAGS, *program.features, "close", "tick", "bars_left"}
        return Rules(definition.hash(params), program, definition.anchor(params), frozenset(row_reads))


class RuleBook:
    """Which instance follows which rules.

    `rules` and `strategy` by instance id; `distinct` by running hash, in the order met; `features` are the feature
    names of all of them, in order. Raises ParameterError, UnknownStrategy or ValueError for instances that make no
    sense.
    """

    def __init__(
        self, instances: Sequence[StrategyInstance], definitions: Mapping[str, StrategyDefinition] | None = None
    ) -> None:
        known = catalog() if definitions is None else definitions
        self.instances = tuple(instances)
        self.strategy: dict[str, str] = {}
        self.rules: dict[str, Rules] = {}
        self.distinct: dict[str, Rules] = {}
        for instance in instances:
            definition = known[instance.strategy_id]
            params = definition.parameters(instance.params)
            if instance.instance_id in self.rules:
                raise ValueError(f"instance {instance.instance_id} is there twice; instance ids are unique")
            key = definition.hash(params)
            if key not in self.distinct:
                self.distinct[key] = Rules.of(definition, params)
            self.rules[instance.instance_id] = self.distinct[key]
            self.strategy[instance.instance_id] = instance.strategy_id
        self.features = tuple(sorted({name for rules in self.distinct.values() for name in rules.program.features}))

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The anchor of each of the distinct rules."""
        return tuple(rules.anchor for rules in self.distinct.values())
