"""`qm journal project`: the tables that are made from the record, brought up to it or made again (§17, §18)."""

from typing import Annotated

import typer

from qmworkbench.cli.journal import Directory
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin


def project(
    directory: Directory = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Throw every row away and make them again from the first record.")
    ] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Bring the projected tables up to the journal, wherever the book lies; no session may be running.

    A running session does so by itself. Tables of an older schema revision are brought to the newest one; with
    --rebuild those of a newer one, which are refused otherwise, are made anew as well.
    """
    from qmworkbench.storage.migrations import HEAD
    from qmworkbench.storage.projection_home import home_of
    from qmworkbench.storage.projections import catch_up_book, rebuild_book
    from qmworkbench.storage.reading import open_book

    out = begin(json=json)
    root = directory if directory is not None else config_of(book, environment, config).paths.root
    with open_book(root) as reader:
        paths = reader.paths
        with out.working("making the tables"):
            read, why = (rebuild_book(paths), "") if rebuild else catch_up_book(paths)
        mark, where = reader.watermark(), home_of(paths).where
    content = {
        "tables": where,
        "revision": HEAD,
        "records": read,
        "seq": mark.projected_seq,
        "head": mark.head_seq,
        "refilled_because": why,
    }

    def human() -> None:
        if why:
            out.line(f"filled anew: {why}")
        out.line(f"{where}: schema revision {HEAD}, {read:,} records read, up to decision {mark.projected_seq:,}")

    out.result(content, human)
