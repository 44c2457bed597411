"""`qm archive run`, `list`, `check` and `restore`: closed sessions as Parquet, on disk or in an object store (§17)."""

from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.failures import CommandRefused, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, NoSuchSession, Session, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.service.config import Config
    from qmworkbench.storage.archive_index import ArchivedSession
    from qmworkbench.storage.archive_place import Place

app = typer.Typer(
    help="Closed sessions as Parquet, in a directory or an object store, to be read with polars.", no_args_is_help=True
)

At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="PLACE",
        help="Another archive than archive.place: a directory, or s3://bucket/path and its like.",
        show_default=False,
    ),
]


@app.command("run")
@guarded
def run(
    at: At = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Archive every closed session that is not archived yet: its records, all its tables, bars, radar and files.

    Each table is read back before it counts. The book may be in use. Credentials of an object store come from the
    environment alone.
    """
    from qmworkbench.storage import archive_index
    from qmworkbench.storage.archive import archive_book, home_of
    from qmworkbench.storage.reading import open_book
    from qmworkbench.storage.retention import open_session
    from qmworkbench.storage.retention_notes import Notes

    out = begin(json=json)
    settings = config_of(book, environment, config)
    place = place_of(settings, at)
    with open_book(settings.paths.root) as reader, out.steps("archiving") as progress:
        made = archive_book(reader, place, progress=progress)
        there, running = len(archive_index.read(home_of(reader, place))), open_session(reader)
    notes = Notes(settings.paths.root)
    without = {one.session_id: lost for one in made if (lost := _without(one, notes.gone(one.session_id)))}

    def human() -> None:
        _table(made)
        for session_id, lost in without.items():
            told = ", ".join(f"{kind} (in {where})" for kind, where in lost.items())
            out.line(f"{session_id} had let go of this before, and is archived without: {told}")
        size = sum(one.bytes for one in made) / 1e6
        if made:
            out.line(f"{len(made)} session(s) archived at {place}, {size:,.1f} MB")
        else:
            out.line(f"nothing to archive: {there} closed session(s), and all of them are at {place}")
        if running:
            out.line(f"session {running} is open, and is archived once it has closed")

    content = {
        "place": str(place), "archived": [_told(one) for one in made], "without": without, "open_session": running
    }  # fmt: skip
    out.result(content, human)


@app.command("list")
@guarded
def list_(
    at: At = None,
    everything: Annotated[bool, typer.Option("--all", help="Of every book there, not of this one alone.")] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What is archived, session by session."""
    from qmworkbench.storage.archive_reader import open_archive

    out = begin(json=json)
    settings = config_of(book, environment, config)
    place = place_of(settings, at)
    which = {} if everything else {"book": settings.book, "environment": str(settings.environment)}
    found = [one for _, one in open_archive(str(place), **which).entries()]

    def human() -> None:
        _table(found)
        out.line(f"{len(found)} session(s) at {place}, {sum(one.bytes for one in found) / 1e6:,.1f} MB")

    out.result({"place": str(place), "sessions": [_told(one) for one in found]}, human)


@app.command("check")
@guarded
def check(
    at: At = None,
    session: Session = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Read the archive whole, or one session of it: every table against its hash, the records against their chain and
    against the book's own. Exit code 1 where something is not as it was written.
    """
    from qmworkbench.storage import archive, archive_index
    from qmworkbench.storage.reading import open_book

    out = begin(json=json)
    settings = config_of(book, environment, config)
    place = place_of(settings, at)
    with open_book(settings.paths.root) as reader, out.steps("checking") as progress:
        home = archive.home_of(reader, place)
        known = archive_index.read(home)
        chosen = known if session is None else [_chosen(session, known, place)]
        checked = []
        for done, one in enumerate(chosen):
            progress(done, len(chosen), one.session_id)
            checked.append(archive.check_session(home, one, reader))
        missing = archive.waiting(reader, place)
    wrong = [f"{one.session_id}: {what}" for one in checked for what in one.wrong]
    wrong += archive.gaps(known)
    content = {"place": str(place), "checked": checked, "wrong": wrong, "not_archived": missing}

    def human() -> None:
        for what in wrong:
            out.line(what)
        rows, size = sum(one.rows for one in checked), sum(one.bytes for one in checked) / 1e6
        out.line(f"{len(checked)} session(s) at {place} read, {rows:,} rows, {size:,.1f} MB: {len(wrong)} wrong")
        if missing:
            out.line(f"not archived yet: {', '.join(missing)}")

    out.result(content, human)
    if wrong:
        raise CommandRefused(f"{place} is not whole: {'; '.join(wrong[:3])}", "restore those files from a copy")


@app.command("restore")
@guarded
def restore(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Its id; a date will do.", show_default=False)],
    at: At = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make a session's own files again from the archive: bars, radar, quotes, logs that were let go of.

    A file that is there stays as it is. The next `qm retention run` lets them go again.
    """
    from qmworkbench.storage import archive, archive_index
    from qmworkbench.storage.reading import open_book

    out = begin(json=json)
    settings = config_of(book, environment, config)
    place = place_of(settings, at)
    with open_book(settings.paths.root) as reader, out.steps("restoring") as progress:
        home = archive.home_of(reader, place)
        one = _chosen(session, archive_index.read(home), place)
        made = archive.bring_back(settings.paths.session(one.session_id), home, one, progress=progress)
    text = f"{one.session_id}: {len(made)} file(s) made again from {place}"
    out.result({"session": one.session_id, "files": made}, lambda: out.line(text))


def place_of(settings: "Config", at: str | None) -> "Place":
    """The archive that is meant. Raises StorageRefused."""
    from qmworkbench.storage.archive_place import Place

    return Place(at if at is not None else settings.archive)


def _without(one: "ArchivedSession", gone: dict[str, str]) -> dict[str, str]:
    """What a session had let go of before it was archived here, by kind, with the archive that holds it."""
    held = {table.kind for table in one.tables if table.rows}
    return {kind: where for kind, where in sorted(gone.items()) if kind not in held}


def _chosen(given: str, known: "list[ArchivedSession]", place: "Place") -> "ArchivedSession":
    fitting = [one for one in known if one.session_id == given or one.session_id.endswith(given)]
    if not fitting:
        there = ", ".join(one.session_id for one in known[-10:]) or "none"
        raise NoSuchSession(f"{place} holds no session {given!r} of this book: it holds {there}")
    return fitting[-1]


def _told(one: "ArchivedSession") -> dict[str, object]:
    """A session as JSON names it."""
    import msgspec

    return {**msgspec.structs.asdict(one), "rows": one.rows, "bytes": one.bytes}


def _table(found: "list[ArchivedSession]") -> None:
    from qmworkbench.cli.output import current

    if found:
        rows = [
            [one.session_id, one.environment, one.record, f"{one.decisions.first:,} – {one.decisions.last:,}",
             str(len(one.tables)), f"{one.rows:,}", f"{one.bytes / 1e6:,.1f}"]
            for one in found
        ]  # fmt: skip
        current().table(["session", "environment", "record", ">decisions", ">tables", ">rows", ">MB"], rows)
