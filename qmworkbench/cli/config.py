"""`qm config`: what the settings are, where each came from, and what changed since the last session (§5)."""

from typing import Any

import typer

from qmworkbench.cli.printing import line, print_json, table
from qmworkbench.cli.settings import AsJson, Book, ConfigFile, Environment, load_config

app = typer.Typer(help="The settings in force, where they came from, and what changed.", no_args_is_help=True)


@app.command("show")
def show(
    book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False
) -> None:
    """Every setting with its value and its source; secrets are masked."""
    found = load_config(book=book, environment=environment, file=config)
    rows = found.provenance()
    if json:
        settings = [{"key": row.key, "value": row.value, "source": row.source} for row in rows]
        print_json({"config_hash": found.config_hash, "files": [str(path) for path in found.files], "settings": settings})
        return
    table("", ("setting", "value", "from"), ((row.key, row.value, row.source) for row in rows))
    line(f"config hash {found.config_hash} (over the settings a decision can depend on)")


@app.command("path")
def path(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """The files that were read, and where book and reports are."""
    found = load_config(book=book, environment=environment, file=config)
    where = {
        "files": [str(file) for file in found.files],
        "book": str(found.paths.root),
        "reports": str(found.reports_directory),
    }
    if json:
        print_json(where)
        return
    line(f"settings  {', '.join(where['files']) or 'defaults alone: there is no qm.toml here or above'}")
    line(f"book      {where['book']}")
    line(f"reports   {where['reports']}")


@app.command("diff")
def diff(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """What has changed since the book's last session: limits, parameters, scan, blocked symbols, code."""
    from qmworkbench.cli.changes import changes_since_last

    found = load_config(book=book, environment=environment, file=config)
    session, changes = changes_since_last(found)
    if json:
        rows: list[dict[str, Any]] = [{"key": key, "before": was, "now": now} for key, was, now in changes]
        print_json({"session": session, "changes": rows})
    elif not session:
        line(f"the book at {found.paths.root} has no session yet, so nothing has changed")
    elif not changes:
        line(f"nothing has changed since session {session}")
    else:
        table(f"changed since session {session}", ("what", "then", "now"), changes)
