"""`qm strategy propose, approve, withdraw, revert`: parameter changes and who answers for them (§3)."""

from typing import Annotated

import typer

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin
from qmworkbench.cli.strategy_record import changes_table, in_force, plain

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
        changes_table(out, record.changes)
        owner = desk.view(instance).definition.owner
        out.line(f"\nfor {owner} to sign: qm strategy approve {instance} --version {record.version} --by NAME")

    out.result(plain(record), human)


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
        out.line(f"version {version} of {instance} is approved by {record.by}, {in_force(record)}")
        changes_table(out, put.proposed.changes if put is not None else ())

    out.result(plain(record), human)


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
    out.result(plain(record), lambda: out.line(f"version {record.version} of {instance} is withdrawn"))


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
        out.line(
            f"version {put.version} of {instance} is version {to} again, approved by {signed.by}, {in_force(signed)}"
        )
        changes_table(out, put.changes)

    out.result({"proposed": plain(put), "approved": plain(signed)}, human)
