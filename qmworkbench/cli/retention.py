"""`qm retention show` and `run`: what is old enough to be let go of, and letting go of it (§5 Data Check)."""

from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.archive import At, place_of
from qmworkbench.cli.failures import CommandRefused, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.cli.output import Output
    from qmworkbench.service.config import Config
    from qmworkbench.storage.archive_index import ArchivedSession
    from qmworkbench.storage.archive_place import Place
    from qmworkbench.storage.retention import Done, Expired

app = typer.Typer(
    help="Old sessions' bulk: bars, quotes, radar, scans, health samples, logs. Orders and journal are kept.",
    no_args_is_help=True,
)


@app.command("show")
@guarded
def show(
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """The rules: what ages out, after how many days, and where that was set. Nothing else is ever let go of."""
    from qmworkbench.storage.retention_rules import RULES

    out = begin(json=json)
    settings = config_of(book, environment, config)
    days = settings.retention().days
    rules = [
        {
            "kind": rule.kind,
            "days": days[rule.kind],
            "source": settings.source(f"retention.{rule.kind}"),
            "what": rule.what,
            "tables": rule.tables,
        }
        for rule in RULES
    ]

    def human() -> None:
        rows = [
            [
                str(rule["kind"]),
                f"{rule['days']} days" if rule["days"] else "for good",
                str(rule["what"]),
                str(rule["source"]),
            ]
            for rule in rules
        ]
        out.table(["kind", "kept", "what it is", "set by"], rows)
        out.line(f"archived first, at {settings.archive}; everything else is kept for good")

    out.result({"rules": rules, "archive": settings.archive}, human)


@app.command("run")
@guarded
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; touch nothing.")] = False,
    at: At = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Let go of what is older than its keep, once it is archived. Never of orders, executions, risk decisions or the
    audit: of no journal.

    The journal is walked first: nothing goes while the record is in doubt, none while a session is open. Each session
    is archived, and its archive read back, before anything of it goes. Exit code 1 where something had to be kept.
    """
    out = begin(json=json)
    settings = config_of(book, environment, config)
    place = place_of(settings, at)
    rule = settings.retention().sentence()
    if dry_run:
        found, refused = _planned(settings, place)
        _tell_plan(out, found, rule, place, refused)
        return
    archived, done = let_go(settings, place, out, verify=True)
    _tell_done(out, archived, done, rule, place)
    if done.kept:
        raise typer.Exit(1)


def let_go(settings: "Config", place: "Place", out: "Output", *, verify: bool) -> "tuple[list[ArchivedSession], Done]":
    """Archive what is not archived yet, then let go of what the rules say.

    Raises CommandRefused where the journal does not verify (`verify`) or a session is open, LeaseTaken where a platform
    has the book, StorageRefused.
    """
    from qmworkbench.domain.chain import ChainBroken
    from qmworkbench.service.lease import Lease
    from qmworkbench.storage import retention
    from qmworkbench.storage.archive import archive_book
    from qmworkbench.storage.reading import open_book

    with open_book(settings.paths.root) as reader:
        _demand_closed(retention.open_session(reader))
        if verify:
            with out.working("verifying the journal"):
                try:
                    reader.verify()
                except ChainBroken as error:
                    raise CommandRefused(
                        f"the journal does not verify ({error}): nothing was removed", "restore it first"
                    ) from error
        if reader.sessions().is_empty():
            return [], retention.Done(let_go=(), kept=(), freed_bytes=0, rows=0)
        with Lease.acquire(settings.paths.lease, process_id="retention", command="qm retention run"):
            with out.steps("archiving") as progress:
                archived = archive_book(reader, place, progress=progress)
            expired = retention.plan(reader, settings.retention(), place)
            with out.steps("letting go") as progress:
                return archived, retention.carry_out(reader, expired, place, progress=progress)


def _planned(settings: "Config", place: "Place") -> "tuple[tuple[Expired, ...], str]":
    """What would go, and what would stand in the way."""
    from qmworkbench.storage import retention
    from qmworkbench.storage.reading import open_book

    with open_book(settings.paths.root) as reader:
        running = retention.open_session(reader)
        return retention.plan(reader, settings.retention(), place), running


def _demand_closed(running: str) -> None:
    if running:
        raise CommandRefused(
            f"session {running} is open: nothing is let go of before it has closed",
            "end it, with `qm end` or by running it to its close, and try again",
        )


def _tell_plan(out: "Output", found: "tuple[Expired, ...]", rule: str, place: "Place", running: str) -> None:
    size, rows = sum(entry.size_bytes for entry in found), sum(entry.rows for entry in found)

    def human() -> None:
        _items(out, found)
        out.line(f"{len(found)} item(s), {size / 1e6:,.1f} MB and {rows:,} rows would be let go of; the rule: {rule}")
        if any(not entry.archived for entry in found):
            out.line(f"what is not archived yet would be archived first, at {place}")
        if running:
            out.line(f"not while session {running} is open")

    content = {
        "rule": rule, "archive": str(place), "expired": found, "bytes": size, "rows": rows, "freed_bytes": None,
        "open_session": running,
    }  # fmt: skip
    out.result(content, human)


def _tell_done(out: "Output", archived: "list[ArchivedSession]", done: "Done", rule: str, place: "Place") -> None:
    def human() -> None:
        _items(out, done.let_go)
        for entry in done.kept:
            out.line(f"kept: {entry.kind} of {entry.session_id}: {entry.why}")
        out.line(f"{len(archived)} session(s) archived at {place}")
        out.line(sentence(done, rule))

    content = {
        "rule": rule, "archive": str(place), "archived": [one.session_id for one in archived],
        "expired": done.let_go, "kept": done.kept, "bytes": done.freed_bytes, "rows": done.rows,
        "freed_bytes": done.freed_bytes,
    }  # fmt: skip
    out.result(content, human)


def sentence(done: "Done", rule: str) -> str:
    """What a run did, in words."""
    return (
        f"{len(done.let_go)} item(s), {done.freed_bytes / 1e6:,.1f} MB and {done.rows:,} rows were let go of, "
        f"{len(done.kept)} kept; the rule: {rule}"
    )


def _items(out: "Output", found: "tuple[Expired, ...]") -> None:
    if found:
        rows = [
            [
                entry.session_id,
                entry.kind,
                str(entry.age_days),
                str(entry.keep_days),
                f"{entry.size_bytes / 1e6:,.1f}",
                f"{entry.rows:,}",
                "yes" if entry.archived else "not yet",
            ]
            for entry in found
        ]
        out.table(["session", "kind", ">age days", ">kept days", ">MB", ">rows", "archived"], rows)
