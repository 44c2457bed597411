"""`qm note`: what people noticed, kept for the review in four kinds (§18)."""

from typing import Annotated

import typer

from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.operator import give
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Operator, Session, config_of, session_of
from qmworkbench.cli.output import begin

app = typer.Typer(
    help="Notes for the review: incidents, operator notes, manual overrides, improvements.", no_args_is_help=True
)


@app.command("add")
@guarded
def add(
    text: Annotated[str, typer.Argument(help="What was seen or done, or should be done.", show_default=False)],
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND", help="incident, operator, override or improvement.", show_default=False),
    ],
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Add a note to the book's record."""
    from qmworkbench.domain.commands import AddNote, NoteKind

    out = begin(json=json)
    kinds = [each.value for each in NoteKind]
    if kind not in kinds:
        raise Cannot(f"--kind {kind!r} is no kind of note", f"give one of {', '.join(kinds)}")
    if not text.strip():
        raise Cannot("the note is empty", "say what was seen or done")
    give(AddNote(reason=text, kind=NoteKind(kind)), config_of(book, environment, config), operator, out)


@app.command("list")
@guarded
def list_(
    session: Session = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """The notes of a session."""
    from qmworkbench.domain.events.control import NoteAdded
    from qmworkbench.storage.reading import open_book

    out = begin(json=json)
    with open_book(config_of(book, environment, config).paths.root) as reader:
        sessions = reader.sessions()
        chosen = session_of(session, sessions["session_id"].to_list())
        # A review is written after the close: what is noted before the next session opens belongs to this one.
        opened = dict(zip(sessions["session_id"], sessions["opened_seq"], strict=True))
        ends = min((seq for seq in opened.values() if seq > opened[chosen]), default=None)
        found = [
            event
            for seq, event in reader.events(["note.added"], after=opened[chosen])
            if isinstance(event, NoteAdded) and (ends is None or seq < ends)
        ]

    def human() -> None:
        rows = [[f"{note.at:%Y-%m-%d %H:%M}", note.kind.value, note.by, note.text] for note in found]
        out.table(["at (UTC)", "kind", "by", "note"], rows, title=f"notes of {chosen}")

    content = [{"note_id": n.note_id, "at": n.at, "kind": n.kind, "by": n.by, "text": n.text} for n in found]
    out.result({"session": chosen, "notes": content}, human)
