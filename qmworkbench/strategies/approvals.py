"""Parameter changes: proposed, signed by an owner, effective from a session on; what is approved when (§3, §8).

A ledger of three kinds of records is folded into `Approvals`. The rules that make records are in `changes`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeAlias

import msgspec

from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import Params, Value


class ParameterChange(msgspec.Struct, frozen=True):
    """One parameter that is not what it was. None: the other set has no such parameter."""

    name: str
    before: Value | None
    after: Value | None

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.before)} → {_shown(self.after)}"


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Who did what to which version of which instance's parameters, when and why.

    `by` is the name signed with, `login` the account it was typed under, `at` the time of day, not the market's.
    """

    instance_id: str
    version: int
    at: datetime
    by: str
    login: str
    reason: str


class Proposed(_Record, frozen=True, kw_only=True, tag="proposed"):
    """A whole set put forward as the next version, and how it differs from version `old_version`.

    `params` is every parameter's value. `base` is what catalog and configuration said of each when the value here was
    chosen: a later edit of the configuration is told by it. `reverts_to`: the version whose set this is once more.
    """

    strategy_id: str
    definition_version: str
    params: dict[str, Value]
    base: dict[str, Value]
    changes: tuple[ParameterChange, ...]
    old_version: int
    old_hash: str
    new_hash: str
    reverts_to: int | None = None


class Approved(_Record, frozen=True, kw_only=True, tag="approved"):
    """A version signed, for the `owner` of its strategy. It runs from session `effective_from` (ISO date) on.

    `after_session` is the session last opened when it was signed. Both "" where the book had none: from its first.
    """

    owner: str
    old_hash: str
    new_hash: str
    after_session: str
    effective_from: str


class Withdrawn(_Record, frozen=True, kw_only=True, tag="withdrawn"):
    """A version taken back before it ran."""


Record: TypeAlias = Proposed | Approved | Withdrawn


class RecordsInconsistent(ValueError):
    """Records that cannot have been written one after another; the message names the first that does not fit."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an instance's parameters with all that happened to it."""

    proposed: Proposed
    approved: Approved | None = None
    withdrawn: Withdrawn | None = None

    @property
    def number(self) -> int:
        return self.proposed.version

    @property
    def pending(self) -> bool:
        """Whether it waits for a signature."""
        return self.approved is None and self.withdrawn is None

    @property
    def signed(self) -> bool:
        """Whether it is approved and was not taken back."""
        return self.approved is not None and self.withdrawn is None

    @property
    def status(self) -> str:
        """pending, approved or withdrawn."""
        return "withdrawn" if self.withdrawn is not None else "approved" if self.approved is not None else "pending"


class ApprovedSet(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that an owner answers for. Version 0 is the catalog's own, with no further signature."""

    params: dict[str, Value]
    base: dict[str, Value]
    hash: str
    definition_version: str
    version: int = 0
    by: str = ""
    at: datetime | None = None
    effective_from: str = ""

    def running(self, definition: StrategyDefinition, configured: Params) -> dict[str, Value]:
        """What runs where catalog and configuration say `configured` (a whole set): this set, and over it what was
        edited there since. Raises ParameterError where that does not fit the definition as it is now.
        """
        known = {spec.name for spec in definition.parameter_specs}
        kept = {name: value for name, value in self.params.items() if name in known}
        edited = {name: value for name, value in configured.items() if value != self.base.get(name)}
        return definition.parameters({**configured, **kept, **edited})


class Approvals:
    """What the records of one ledger come to. Raises RecordsInconsistent."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records = tuple(records)
        self._versions: dict[str, list[Version]] = {}
        self._signed: dict[str, list[int]] = {}
        for record in self.records:
            self._take(record)

    @property
    def instances(self) -> tuple[str, ...]:
        """Every instance that the ledger speaks of, in order of id."""
        return tuple(sorted(self._versions))

    def versions(self, instance_id: str) -> tuple[Version, ...]:
        """Every version of an instance that was ever proposed, oldest first; they count from 1 without gaps."""
        return tuple(self._versions.get(instance_id, ()))

    def version(self, instance_id: str, number: int) -> Version | None:
        """Version `number` of an instance, None where there is none."""
        versions = self._versions.get(instance_id, [])
        return versions[number - 1] if 1 <= number <= len(versions) else None

    def pending(self, instance_id: str) -> Version | None:
        """The version that waits for a signature; there is at most one."""
        return next((version for version in self.versions(instance_id) if version.pending), None)

    def coming(self, instance_id: str, session: str) -> tuple[Version, ...]:
        """Signed versions that the session of that date (ISO) does not yet run."""
        return tuple(v for v in self._in_order(instance_id) if v.approved and v.approved.effective_from > session)

    def approved(
        self, definition: StrategyDefinition, instance_id: str, published: Params, session: str | None = None
    ) -> ApprovedSet:
        """The set that is approved for the session of that date (None: the newest signed).

        `published` is what the catalog's own instance of that id lays over the entry's values, empty for an instance
        that the configuration made up. Versions of another strategy under the same instance id do not count.
        """
        for version in reversed(self._in_order(instance_id)):
            signed, put = version.approved, version.proposed
            if signed is None or put.strategy_id != definition.strategy_id:
                continue
            if session is None or signed.effective_from <= session:
                return ApprovedSet(
                    params=put.params,
                    base=put.base,
                    hash=put.new_hash,
                    definition_version=put.definition_version,
                    version=version.number,
                    by=signed.by,
                    at=signed.at,
                    effective_from=signed.effective_from,
                )
        params = definition.parameters(published)
        return ApprovedSet(
            params=params, base=params, hash=definition.hash(published), definition_version=definition.version
        )

    def _in_order(self, instance_id: str) -> list[Version]:
        """Signed versions in the order in which they were signed."""
        versions = self._versions.get(instance_id, [])
        return [versions[number - 1] for number in self._signed.get(instance_id, ()) if versions[number - 1].signed]

    def _take(self, record: Record) -> None:
        versions = self._versions.setdefault(record.instance_id, [])
        if isinstance(record, Proposed):
            if record.version != len(versions) + 1:
                raise RecordsInconsistent(f"{_named(record)} follows version {len(versions)}")
            if any(version.pending for version in versions):
                raise RecordsInconsistent(f"{_named(record)} was proposed while another was pending")
            versions.append(Version(proposed=record))
            return
        before = self.version(record.instance_id, record.version)
        if before is None or before.withdrawn is not None or (isinstance(record, Approved) and not before.pending):
            state = "was never proposed" if before is None else f"was {before.status} already"
            raise RecordsInconsistent(f"{_named(record)} {state}")
        if isinstance(record, Approved):
            if record.new_hash != before.proposed.new_hash:
                raise RecordsInconsistent(f"{_named(record)} is signed for another set than was proposed")
            self._signed.setdefault(record.instance_id, []).append(record.version)
            versions[record.version - 1] = msgspec.structs.replace(before, approved=record)
        else:
            versions[record.version - 1] = msgspec.structs.replace(before, withdrawn=record)


def differences(before: Mapping[str, Value], after: Mapping[str, Value]) -> tuple[ParameterChange, ...]:
    """Parameters that are not the same in two whole sets, in the order of the second."""
    names = dict.fromkeys((*after, *before))
    return tuple(
        ParameterChange(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )


def _named(record: Record) -> str:
    return f"version {record.version} of {record.instance_id}"


def _shown(value: Value | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
