"""`qm why SYMBOL [HH:MM]`: why it was traded, that day or then, or why not (§3, §18)."""

from typing import Annotated

import typer

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Session, config_of, session_of
from qmworkbench.cli.output import begin


def why(
    symbol: Annotated[str, typer.Argument(help="The symbol asked about.", show_default=False)],
    at: Annotated[
        str | None,
        typer.Argument(metavar="HH:MM", help="Exchange time, such as 10:04; else the whole day.", show_default=False),
    ] = None,
    session: Session = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Why did it (not) trade SYMBOL, that day or at HH:MM? Computed again from the bars and proved by the record."""
    from qmworkbench.service import why as story
    from qmworkbench.storage.reading import open_book

    out = begin(json=json)
    paths = config_of(book, environment, config).paths
    with open_book(paths.root) as reader:
        chosen = session_of(session, reader.sessions()["session_id"].to_list())
    try:
        told = story.why(paths, symbol.upper(), at, session_id=chosen)
    except ValueError as error:
        raise Cannot(str(error), "give a time such as 10:04, and a symbol of the session") from error
    content = {"session": chosen, "symbol": symbol, "at": at, "sentences": told.sentences, "evidence": told.evidence}
    out.result(content, lambda: out.line("\n".join(told.sentences)))
