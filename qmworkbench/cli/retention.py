"""`qm retention show` and `run`: what is old enough to be let go of, and letting go of it (§5 Data Check)."""

from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.failures import CommandRefused, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmworkbench.cli.output import Output
    from qmworkbench.service.config import Config
    from qmworkbench.storage.retention import Expired

app = typer.Typer(help="Old sessions' bulk: bars, radar, logs. Orders and journal are kept.", no_args_is_help=True)


def expired(settings: "Config") -> "tuple[Expired, ...]":
    """What the rule lets go of now; nothing is touched."""
    from datetime import date

    from qmworkbench.storage import retention
    from qmworkbench.storage.reading import open_book

    with open_book(settings.paths.root) as reader:
        sessions = reader.sessions()
    if sessions.is_empty():
        return ()
    closed = sessions.filter(sessions["closed_seq"].is_not_null())["session_id"].to_list()
    # By the book's own calendar: a replay of a year long past is not old on the day it was made.
    today = max(date.fromisoformat(day) for day in sessions["date"].to_list())
    return retention.plan(settings.paths, settings.retention(), today=today, closed=closed)


def let_go(settings: "Config") -> int:
    """Remove what the rule lets go of; returns the bytes freed."""
    from qmworkbench.storage import retention

    return retention.carry_out(settings.paths, expired(settings))


def _tell(out: "Output", found: "Sequence[Expired]", rule: str, freed: int | None) -> None:
    size = sum(entry.size_bytes for entry in found)

    def human() -> None:
        if found:
            rows = [
                [
                    entry.session_id,
                    entry.kind,
                    str(entry.age_days),
                    str(entry.keep_days),
                    f"{entry.size_bytes / 1e6:,.1f}",
                ]
                for entry in found
            ]
            out.table(["session", "kind", ">age days", ">kept days", ">MB"], rows)
        did = "would be" if freed is None else "were"
        out.line(f"{len(found)} item(s), {size / 1e6:,.1f} MB {did} let go of; the rule: {rule}")

    out.result({"rule": rule, "expired": found, "bytes": size, "freed_bytes": freed}, human)


@app.command("run")
@guarded
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; touch nothing.")] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Let go of what is older than its keep. Never of orders, executions, risk decisions or the audit: of no journal.

    The journal is walked first: nothing goes while the record is in doubt.
    """
    from qmworkbench.domain.chain import ChainBroken
    from qmworkbench.storage import retention
    from qmworkbench.storage.reading import open_book

    out = begin(json=json)
    settings = config_of(book, environment, config)
    rule = settings.retention().sentence()
    found = expired(settings)
    if dry_run:
        _tell(out, found, rule, None)
        return
    with out.working("verifying the journal"), open_book(settings.paths.root) as reader:
        try:
            reader.verify()
        except ChainBroken as error:
            raise CommandRefused(
                f"the journal does not verify ({error}): nothing was removed", "restore it first"
            ) from error
    _tell(out, found, rule, retention.carry_out(settings.paths, found))
