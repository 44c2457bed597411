"""`qm audit`: the journal walked by the auditor, who knows neither kernel nor Risk Manager (§20, §21)."""

from typing import Annotated

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of, session_of
from qmworkbench.cli.output import begin


def audit(
    session: Annotated[
        str | None,
        typer.Argument(metavar="[SESSION]", help="A session's id or date; the newest otherwise.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole book, from its first record.")] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Match every send to its intent and risk decision, every fill to an order, every position to its fills.

    Reads the durable journal alone, beside a running platform too. Exit code 0: nothing was found. 1: something was,
    and each finding is P0. 2: the journal could not be read, or does not verify.
    """
    import msgspec

    from qmworkbench.domain.events.session import SessionOpened
    from qmworkbench.service.audit_book import audit_book
    from qmworkbench.service.offline import demand_book
    from qmworkbench.storage.stores import open_reader

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    demand_book(loaded)
    with open_reader(loaded.paths) as journal:
        known = [event.session_id for _, event in journal.session_events() if isinstance(event, SessionOpened)]
        chosen = None if everything else session_of(session, known)
        with out.working("walking the journal"):
            found = audit_book(journal, chosen)

    def human() -> None:
        if found.findings:
            rows = [[str(f.seq), f.rule, f.subject, f.detail] for f in found.findings]
            out.table([">record", "rule", "subject", "detail"], rows, title="what no rule lets pass")
        where = f"session {found.session_id}" if found.session_id else f"book {loaded.book}"
        ended = "" if found.closed else ", which is not closed yet"
        what = f"{found.checked:,} sends, cancels, fills and refusals in {found.records:,} records of {where}{ended}"
        verdict = "nothing was found" if found.clean else f"{len(found.findings)} finding(s), each P0"
        out.line(f"{what}: {verdict}")

    out.result({"clean": found.clean, **msgspec.to_builtins(found)}, human)
    if not found.clean:
        raise typer.Exit(Exit.NO_GO)
