"""The rules of a parameter change: what may be proposed, who may sign it, what may still be taken back (§3).

Each function answers with the record to write, or raises ApprovalRefused with the remedy.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from qmworkbench.domain.sessions import Environment
from qmworkbench.strategies.approvals import Approvals, ApprovedSet, Proposed, Version, Withdrawn, differences
from qmworkbench.strategies.approvals import Approved as Signed
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import Params, Value, resolve

_POLICY: Final = "policy:"
# Where nobody's money is at stake a desk may sign in its own name.
_DESK_MAY_SIGN: Final = frozenset({Environment.BACKTEST, Environment.LOCAL})


class ApprovalRefused(Exception):
    """A change that may not be made; the message says which and why, `remedy` what would do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The instance whose parameters are changed, as it is now.

    `configured` is the whole set that catalog and configuration make, `published` what the catalog's own instance of
    that id lays over its entry.
    """

    instance_id: str
    definition: StrategyDefinition
    configured: Params
    published: Params = {}

    def approved(self, approvals: Approvals) -> ApprovedSet:
        """The newest signed set: what a change starts from, whether it runs already or not."""
        return approvals.approved(self.definition, self.instance_id, self.published)


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, when and why."""

    by: str
    login: str
    at: datetime
    reason: str


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Where the book stands: the session opened last (id and date, "" for none) and the date of the one after it."""

    session_id: str = ""
    session: str = ""
    next_session: str = ""


def propose(approvals: Approvals, subject: Subject, values: Params, act: Act) -> Proposed:
    """The next version: the approved set with `values` laid over it.

    Raises ParameterError for names and values that do not fit, ApprovalRefused where nothing would change, without a
    reason, or while another version waits.
    """
    approved, definition = subject.approved(approvals), subject.definition
    resolve(definition.strategy_id, definition.parameter_specs, values)  # what was typed, before all it lies among
    known = {spec.name for spec in definition.parameter_specs}
    kept = {name: value for name, value in approved.params.items() if name in known}
    return _version(approvals, subject, definition.parameters({**kept, **values}), tuple(values), act, None)


def propose_as_configured(approvals: Approvals, subject: Subject, act: Act) -> Proposed:
    """The next version: what would run now, edits of the configuration included."""
    approved = subject.approved(approvals)
    running = approved.running(subject.definition, subject.configured)
    return _version(approvals, subject, running, tuple(running), act, None)


def revert(approvals: Approvals, subject: Subject, number: int, act: Act) -> Proposed:
    """The next version: an earlier approved one's set once more, 0 for the catalog's own."""
    definition = subject.definition
    if number == 0:
        target = definition.parameters(subject.published)
    else:
        version = _demand(approvals, subject.instance_id, number)
        if not version.signed or version.proposed.strategy_id != definition.strategy_id:
            raise ApprovalRefused(
                f"version {number} of {subject.instance_id} is {version.status}, for {version.proposed.strategy_id}: "
                "only a set that was approved for this strategy can be returned to",
                f"choose another: `qm strategy history {subject.instance_id}`; 0 is the catalog's own set",
            )
        known = {spec.name for spec in definition.parameter_specs}
        target = definition.parameters({n: v for n, v in version.proposed.params.items() if n in known})
    return _version(approvals, subject, target, tuple(target), act, number)


def approve(
    approvals: Approvals, subject: Subject, number: int, act: Act, calendar: Calendar, owners: "Owners"
) -> Signed:
    """Version `number` signed, effective from the next session: never the one that is running."""
    version = _demand(approvals, subject.instance_id, number)
    put, definition = version.proposed, subject.definition
    if not version.pending:
        raise ApprovalRefused(
            f"version {number} of {subject.instance_id} is {version.status} already",
            f"`qm strategy history {subject.instance_id}` shows every version",
        )
    owners.demand(definition.owner, act.by)
    again = f"withdraw it (`qm strategy withdraw {subject.instance_id}`) and propose it again"
    if put.strategy_id != definition.strategy_id or put.definition_version != definition.version:
        raise ApprovalRefused(
            f"version {number} of {subject.instance_id} was proposed for {put.strategy_id} {put.definition_version}; "
            f"{definition.strategy_id} {definition.version} runs now",
            again,
        )
    if put.old_hash != (now := subject.approved(approvals)).hash:
        raise ApprovalRefused(
            f"version {number} of {subject.instance_id} was proposed against {put.old_hash}; the approved set is "
            f"{now.hash} by now, so what you would sign is not what you were shown",
            again,
        )
    return Signed(
        **_who(subject.instance_id, number, act),
        owner=definition.owner,
        old_hash=put.old_hash,
        new_hash=definition.hash(put.params),
        after_session=calendar.session_id,
        effective_from=calendar.next_session,
    )


def withdraw(
    approvals: Approvals, subject: Subject, number: int | None, act: Act, calendar: Calendar, owners: "Owners"
) -> Withdrawn:
    """A version taken back: a pending one by anybody, a signed one by an owner and before any session ran with it.

    Without a number the pending one, or else the newest signed one.
    """
    instance = subject.instance_id
    found = approvals.pending(instance) if number is None else _demand(approvals, instance, number)
    if found is None:
        signed = [version for version in approvals.versions(instance) if version.signed]
        if not signed:
            raise ApprovalRefused(f"{instance} has no version to withdraw", _HISTORY.format(instance))
        found = signed[-1]
    if found.withdrawn is not None:
        raise ApprovalRefused(f"version {found.number} of {instance} is withdrawn already", _HISTORY.format(instance))
    if found.approved is not None:
        owners.demand(subject.definition.owner, act.by)
        if calendar.session and calendar.session >= found.approved.effective_from:
            raise ApprovalRefused(
                f"version {found.number} of {instance} is in force: it took effect with the session of "
                f"{found.approved.effective_from or 'the first day'}, and {calendar.session_id} has been opened",
                f"go back with `qm strategy revert {instance} --to VERSION`",
            )
        if any(later.signed for later in approvals.versions(instance)[found.number :]):
            raise ApprovalRefused(
                f"a later version of {instance} than {found.number} is approved already", "withdraw that one first"
            )
    return Withdrawn(**_who(instance, found.number, _demand_reason(act)))


class Owners(msgspec.Struct, frozen=True, kw_only=True):
    """Who may sign for whom: the people listed for each owner of the catalog, and where."""

    environment: Environment
    people: Mapping[str, Sequence[str]] = {}

    def refusal(self, owner: str, name: str) -> tuple[str, str] | None:
        """Why `name` may not sign what `owner` owns, with the remedy; None if it may.

        A policy never signs. Where people are listed for the owner, one of them signs; where none are, the owner's
        own name will do in local and backtest, while paper and live ask for a person.
        """
        listed = self.people.get(owner)
        if name.startswith(_POLICY):
            return f"{name} is a policy; a parameter change is signed by a person", f"sign as an owner of {owner}"
        if listed:
            if name in listed:
                return None
            return f"{name!r} may not sign for {owner}", f"it is for {', '.join(listed)} to sign"
        write = f'name its people in qm.toml: [owners] "{owner}" = ["…"]'
        if self.environment not in _DESK_MAY_SIGN:
            return f"{self.environment} asks for a person's signature and nobody is listed for {owner}", write
        if name == owner:
            return None
        return f"{name!r} is no owner of the strategy: that is {owner}", f'sign with --by "{owner}", or {write}'

    def demand(self, owner: str, name: str) -> None:
        """Raise ApprovalRefused unless `name` may sign for `owner`."""
        refused = self.refusal(owner, name)
        if refused is not None:
            raise ApprovalRefused(*refused)


_HISTORY: Final = "`qm strategy history {}` shows every version"


def _version(
    approvals: Approvals,
    subject: Subject,
    params: dict[str, Value],
    chosen: Sequence[str],
    act: Act,
    reverts_to: int | None,
) -> Proposed:
    """The record of a new version in which the `chosen` parameters were decided on."""
    waiting = approvals.pending(subject.instance_id)
    if waiting is not None:
        raise ApprovalRefused(
            f"version {waiting.number} of {subject.instance_id} waits for a signature since {waiting.proposed.at:%F}",
            f"approve or withdraw it first: `qm strategy diff {subject.instance_id}` shows it",
        )
    approved, definition = subject.approved(approvals), subject.definition
    new_hash = definition.hash(params)
    if new_hash == approved.hash:
        raise ApprovalRefused(
            f"nothing would change: {subject.instance_id} is approved with these values (version {approved.version}, "
            f"{approved.hash})",
            f"`qm strategy diff {subject.instance_id}` shows the approved set",
        )
    changes = differences(approved.params, params)
    decided = {*chosen, *(change.name for change in changes)}
    base = {
        name: subject.configured[name] if name in decided else approved.base.get(name, subject.configured[name])
        for name in params
    }
    return Proposed(
        **_who(subject.instance_id, len(approvals.versions(subject.instance_id)) + 1, _demand_reason(act)),
        strategy_id=definition.strategy_id,
        definition_version=definition.version,
        params=params,
        base=base,
        changes=changes,
        old_version=approved.version,
        old_hash=approved.hash,
        new_hash=new_hash,
        reverts_to=reverts_to,
    )


def _demand(approvals: Approvals, instance_id: str, number: int) -> Version:
    version = approvals.version(instance_id, number)
    if version is None:
        count = len(approvals.versions(instance_id))
        there = f"it has {f'1 to {count}' if count > 1 else 'version 1 alone' if count else 'none'}"
        raise ApprovalRefused(f"{instance_id} has no version {number}: {there}", _HISTORY.format(instance_id))
    return version


def _demand_reason(act: Act) -> Act:
    if not act.reason.strip():
        raise ApprovalRefused("the reason is empty", "say why with --reason: it is read when the change is judged")
    return act


def _who(instance_id: str, version: int, act: Act) -> dict[str, Any]:
    return {"instance_id": instance_id, "version": version, **msgspec.structs.asdict(act)}
