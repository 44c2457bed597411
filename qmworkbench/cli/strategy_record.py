"""`qm strategy diff, history`: what runs against what is approved, and how it came to be approved (§3, §8)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmworkbench.domain.events.session import RunSpec
    from qmworkbench.service.approvals import InstanceView
    from qmworkbench.strategies.approvals import Approved, ParameterChange, Record, Version

Named = Annotated[
    str,
    typer.Argument(
        help="An instance's id, or a strategy's for all of its instances.", metavar="ID", show_default=False
    ),
]


def diff(
    name: Named,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What the next session would run against what is approved, and what a proposal would change.

    Exit code 0: it runs as approved and nothing waits. 1: something differs, or a proposal waits for a signature.
    """
    from qmworkbench.service.approvals import Desk

    out = begin(json=json)
    desk = Desk(config_of(book, environment, config))
    views = [desk.view(one) for one in desk.named(name)]
    odd = [view for view in views if not view.as_approved or view.pending is not None]

    def human() -> None:
        if len(views) > 1:
            out.line(f"{len(views)} instances of {name}, {len(views) - len(odd)} as approved with nothing waiting")
        for view in views if len(views) == 1 else odd:
            _compared(out, view)

    found = [as_data(view) for view in views]
    out.result(found[0] if len(found) == 1 else {"strategy": name, "instances": found}, human)
    if odd:
        raise typer.Exit(Exit.NO_GO)


def _compared(out: Output, view: "InstanceView") -> None:
    approved, waiting = view.approved, view.pending
    own = f"the catalog's own set ({view.definition.owner})"
    signed = f"version {approved.version}, signed by {approved.by}" if approved.version else own
    of = f"{view.definition.strategy_id} {view.definition.version}"
    out.line(f"{view.instance.instance_id} ({of}): approved is {signed}, {approved.hash}")
    if view.fault:
        out.line(f"it cannot run: {view.fault}")
    elif view.as_approved:
        out.line("the next session runs it as approved")
    else:
        out.line(f"the next session would run {view.running_hash}:")
        changes_table(out, view.differences, "approved", "running")
        if approved.definition_version != view.definition.version:
            out.line(f"  approved for {approved.definition_version}; {view.definition.version} runs now")
    if waiting is not None:
        put = waiting.proposed
        out.line(
            f'version {put.version} waits for a signature, proposed by {put.by} on {put.at.date()}: "{put.reason}"'
        )
        changes_table(out, put.changes, "approved", "proposed")


def history(
    name: Named,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Every version of an instance's parameters: who proposed, who signed, why, and which sessions ran it."""
    from qmworkbench.service.approvals import Desk

    out = begin(json=json)
    desk = Desk(config_of(book, environment, config))
    approvals = desk.approvals()
    named = desk.named(name)
    ran = desk.sessions(named)

    def human() -> None:
        told = [one for one in named if approvals.versions(one)]
        if len(named) > 1:
            out.line(f"{len(named)} instances of {name}, {len(told)} with changes on record")
        elif not told:
            out.line(f"{name} has the catalog's own parameters: no change was ever proposed")
        for one in told:
            if len(named) > 1:
                out.line(f"\n{one}")
            for version in approvals.versions(one):
                _told(out, version)
        rows = [
            [one, str(number) if number else "catalog", digest, f"{count:,}", first, last, by or "–"]
            for one in named
            for (number, digest, by), (count, first, last) in _spans(ran[one]).items()
        ]
        if rows:
            columns = ["instance", "version", "hash", ">sessions", "first", "last", "signed by"]
            out.table(columns, rows, title="\nwhat sessions ran with")

    found = [_as_record(one, approvals.versions(one), ran[one]) for one in named]
    out.result(found[0] if len(found) == 1 else {"strategy": name, "instances": found}, human)


def as_data(view: "InstanceView") -> dict[str, Any]:
    """An instance as plain data: what the next session runs, what is approved, what waits."""
    approved = view.approved
    return {
        "instance": view.instance.instance_id,
        "strategy": view.definition.strategy_id,
        "version": view.definition.version,
        "status": view.definition.status.value,
        "owner": view.definition.owner,
        "running": view.running,
        "running_hash": view.running_hash,
        "approved": approved.params,
        "approved_hash": approved.hash,
        "params_version": approved.version,
        "approved_by": approved.by,
        "approved_at": approved.at,
        "effective_from": approved.effective_from,
        "differences": view.differences,
        "proposal": plain(view.pending.proposed) if view.pending is not None else None,
        "fault": view.fault,
    }


def _as_record(instance: str, versions: "Sequence[Version]", ran: "Sequence[tuple[str, RunSpec]]") -> dict[str, Any]:
    return {
        "instance": instance,
        "versions": [
            {
                "version": version.number,
                "status": version.status,
                "proposed": plain(version.proposed),
                "approved": plain(version.approved) if version.approved is not None else None,
                "withdrawn": plain(version.withdrawn) if version.withdrawn is not None else None,
            }
            for version in versions
        ],
        "sessions": [
            {
                "session": day,
                "params_version": run.params_version,
                "params_hash": run.params_hash,
                "by": run.approved_by,
            }
            for day, run in ran
        ],
    }


def _spans(ran: "Sequence[tuple[str, RunSpec]]") -> dict[tuple[int, str, str], tuple[int, str, str]]:
    """How many sessions ran each set, the first and the last of them."""
    spans: dict[tuple[int, str, str], tuple[int, str, str]] = {}
    for day, run in ran:
        key = (run.params_version, run.params_hash, run.approved_by)
        count, first, _ = spans.get(key, (0, day, day))
        spans[key] = (count + 1, first, day)
    return spans


def _told(out: Output, version: "Version") -> None:
    put, signed, back = version.proposed, version.approved, version.withdrawn
    again = f", version {put.reverts_to} again" if put.reverts_to is not None else ""
    out.line(f"version {version.number} ({version.status}{again})  {put.old_hash} → {put.new_hash}")
    for change in put.changes:
        out.line(f"    {change}")
    out.line(f'    proposed by {_by(put)} on {put.at:%Y-%m-%d %H:%M} UTC: "{put.reason}"')
    if signed is not None:
        why = f': "{signed.reason}"' if signed.reason else ""
        when = f"on {signed.at:%Y-%m-%d %H:%M} UTC, {in_force(signed)}"
        out.line(f"    approved by {_by(signed)} for {signed.owner} {when}{why}")
    if back is not None:
        out.line(f'    withdrawn by {_by(back)} on {back.at:%Y-%m-%d %H:%M} UTC: "{back.reason}"')


def _by(record: Any) -> str:
    return str(record.by) if record.by == record.login else f"{record.by} (login {record.login})"


def in_force(record: "Approved") -> str:
    """From which session on a signed version runs, in words."""
    if not record.effective_from:
        return "in force from the book's first session on"
    return f"in force from the session of {record.effective_from} on"


def changes_table(
    out: Output, changes: "tuple[ParameterChange, ...]", before: str = "now", after: str = "then"
) -> None:
    """Parameters side by side; nothing where there is no difference."""
    from qmworkbench.cli.strategy_card import shown

    if changes:
        rows = [["", change.name, shown(change.before), shown(change.after)] for change in changes]
        out.table(["", "parameter", f">{before}", f">{after}"], rows)


def plain(record: "Record") -> dict[str, Any]:
    """A record of the ledger as plain data."""
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields
