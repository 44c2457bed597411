"""`qm strategy propose, approve, withdraw, revert, diff, history`: parameter changes and who answers for them (§3)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.domain.events.session import RunSpec
    from qmworkbench.strategies.approvals import Approved, ParameterChange, Proposed, Version

Instance = Annotated[
    str, typer.Argument(help="An instance's id, such as opening-range-us.", metavar="INSTANCE", show_default=False)
]
Changes = Annotated[
    list[str] | None, typer.Argument(help="New values, such as target_r=2.5.", metavar="NAME=VALUE", show_default=False)
]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: it stays on record.", show_default=False)]
Signer = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who signs: an owner of the strategy.", show_default=False)
]
Proposer = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who does it; your login otherwise.", show_default=False)
]
Number = Annotated[int, typer.Option("--version", metavar="N", help="The version to sign.", show_default=False)]


def propose(
    instance: Instance,
    changes: Changes = None,
    reason: Why = "",
    as_configured: Annotated[
        bool, typer.Option("--as-configured", help="What runs now, edits of qm.toml included.")
    ] = False,
    by: Proposer = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Put new parameters of an instance forward, as its next version. Nothing runs with them before an owner signs.

    Exit code 1: refused, with strategy, parameter, value and range.
    """
    from qmworkbench.service.approvals import Desk, parsed

    out = begin(json=json)
    if as_configured == bool(changes):
        raise Cannot("say what is to change", "give name=value …, or --as-configured for what qm.toml runs now")
    desk = Desk(config_of(book, environment, config))
    if as_configured:
        record = desk.propose_as_configured(instance, by=by, reason=reason)
    else:
        values = parsed(desk.view(instance).definition, changes or [])
        record = desk.propose(instance, values, by=by, reason=reason)

    def human() -> None:
        out.line(f"version {record.version} of {instance} is proposed ({record.old_hash} → {record.new_hash})")
        _changes(out, record.changes)
        owner = desk.view(instance).definition.owner
        out.line(f"\nfor {owner} to sign: qm strategy approve {instance} --version {record.version} --by NAME")

    out.result(_record(record), human)


def approve(
    instance: Instance,
    version: Number,
    by: Signer,
    reason: Why = "",
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Sign a proposed version. It is in force from the next session on, never in the one that is open."""
    from qmworkbench.service.approvals import Desk

    out = begin(json=json)
    desk = Desk(config_of(book, environment, config))
    record = desk.approve(instance, version, by=by, reason=reason)
    put = desk.approvals().version(instance, version)

    def human() -> None:
        out.line(f"version {version} of {instance} is approved by {record.by}, {_from(record)}")
        _changes(out, put.proposed.changes if put is not None else ())

    out.result(_record(record), human)


def withdraw(
    instance: Instance,
    reason: Why,
    version: Annotated[
        int | None,
        typer.Option(
            "--version", metavar="N", help="Else the one that waits, or the newest signed.", show_default=False
        ),
    ] = None,
    by: Proposer = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Take a version back before any session has run it. One that is signed takes an owner to withdraw."""
    from qmworkbench.service.approvals import Desk

    out = begin(json=json)
    record = Desk(config_of(book, environment, config)).withdraw(instance, version, by=by, reason=reason)
    out.result(_record(record), lambda: out.line(f"version {record.version} of {instance} is withdrawn"))


def revert(
    instance: Instance,
    to: Annotated[
        int, typer.Option("--to", metavar="VERSION", help="An approved one; 0: the catalog's own.", show_default=False)
    ],
    by: Signer,
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Go back to an earlier set, as a new version signed at once. It is in force from the next session on."""
    from qmworkbench.service.approvals import Desk

    out = begin(json=json)
    put, signed = Desk(config_of(book, environment, config)).revert(instance, to, by=by, reason=reason)

    def human() -> None:
        out.line(f"version {put.version} of {instance} is version {to} again, approved by {signed.by}, {_from(signed)}")
        _changes(out, put.changes)

    out.result({"proposed": _record(put), "approved": _record(signed)}, human)


def diff(
    instance: Instance,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What the next session would run against what is approved, and what a proposal would change.

    Exit code 0: it runs as approved and nothing waits. 1: it differs, or a proposal waits for a signature.
    """
    from qmworkbench.cli.strategy import as_data
    from qmworkbench.service.approvals import Desk

    out = begin(json=json)
    desk = Desk(config_of(book, environment, config))
    view = desk.view(instance)
    waiting, approved = view.pending, view.approved

    def human() -> None:
        own = f"the catalog's own set ({view.definition.owner})"
        signed = f"version {approved.version}, signed by {approved.by}" if approved.version else own
        of = f"{view.definition.strategy_id} {view.definition.version}"
        out.line(f"{instance} ({of}): approved is {signed}, {approved.hash}")
        if view.fault:
            out.line(f"it cannot run: {view.fault}")
        elif view.as_approved:
            out.line("the next session runs it as approved")
        else:
            out.line(f"the next session would run {view.running_hash}:")
            _changes(out, view.differences, "approved", "running")
            if approved.definition_version != view.definition.version:
                out.line(f"  approved for {approved.definition_version}; {view.definition.version} runs now")
        if waiting is not None:
            put = waiting.proposed
            out.line(
                f'version {put.version} waits for a signature, proposed by {put.by} on {put.at.date()}: "{put.reason}"'
            )
            _changes(out, put.changes, "approved", "proposed")

    proposal = _record(waiting.proposed) if waiting is not None else None
    out.result(as_data(view) | {"proposal": proposal}, human)
    if not view.as_approved or waiting is not None:
        raise typer.Exit(Exit.NO_GO)


def history(
    instance: Instance,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Every version of an instance's parameters: who proposed, who signed, why, and which sessions ran it."""
    from qmworkbench.service.approvals import Desk

    out = begin(json=json)
    desk = Desk(config_of(book, environment, config))
    versions, ran = desk.approvals().versions(instance), desk.sessions(instance)
    if not versions and not ran:
        desk.view(instance)  # an instance nobody knows is refused by name

    def human() -> None:
        if not versions:
            out.line(f"{instance} has the catalog's own parameters: no change was ever proposed")
        for version in versions:
            _told(out, version)
        rows = [[str(number) if number else "catalog", digest, f"{count:,}", first, last, by or "–"]
                for (number, digest, by), (count, first, last) in _spans(ran).items()]  # fmt: skip
        if rows:
            columns = ["version", "hash", ">sessions", "first", "last", "signed by"]
            out.table(columns, rows, title="\nwhat sessions ran with")

    content = {
        "instance": instance,
        "versions": [
            {
                "version": version.number,
                "status": version.status,
                "proposed": _record(version.proposed),
                "approved": _record(version.approved) if version.approved is not None else None,
                "withdrawn": _record(version.withdrawn) if version.withdrawn is not None else None,
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
    out.result(content, human)


def _spans(ran: "list[tuple[str, RunSpec]]") -> dict[tuple[int, str, str], tuple[int, str, str]]:
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
        out.line(
            f"    approved by {_by(signed)} for {signed.owner} on {signed.at:%Y-%m-%d %H:%M} UTC, {_from(signed)}{why}"
        )
    if back is not None:
        out.line(f'    withdrawn by {_by(back)} on {back.at:%Y-%m-%d %H:%M} UTC: "{back.reason}"')


def _by(record: Any) -> str:
    return str(record.by) if record.by == record.login else f"{record.by} (login {record.login})"


def _from(record: "Approved") -> str:
    if not record.effective_from:
        return "in force from the book's first session on"
    return f"in force from the session of {record.effective_from} on"


def _changes(out: Output, changes: "tuple[ParameterChange, ...]", before: str = "now", after: str = "then") -> None:
    from qmworkbench.cli.strategy_card import shown

    if changes:
        rows = [["", change.name, shown(change.before), shown(change.after)] for change in changes]
        out.table(["", "parameter", f">{before}", f">{after}"], rows)


def _record(record: "Proposed | Approved | Any") -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain
