"""`qm config`: what the settings are, where each came from, and what changed since the last session (§5)."""

import typer

from qmworkbench.cli.failures import guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin

app = typer.Typer(help="The settings in force, where they came from, and what changed.", no_args_is_help=True)


@app.command("show")
@guarded
def show(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """Every setting with its value and its source; secrets are masked."""
    out = begin(json=json)
    found = config_of(book, environment, config)
    rows = found.provenance()

    def human() -> None:
        out.table(["setting", "value", "from"], [[row.key, row.value, row.source] for row in rows])
        out.line(f"config hash {found.config_hash} (over the settings a decision can depend on)")

    files = [str(path) for path in found.files]
    out.result({"config_hash": found.config_hash, "files": files, "settings": rows}, human)


@app.command("path")
@guarded
def path(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """The files that were read, and where book and reports are."""
    out = begin(json=json)
    found = config_of(book, environment, config)
    files = [str(file) for file in found.files]

    def human() -> None:
        out.line(f"settings  {', '.join(files) or 'defaults alone: there is no qm.toml here or above'}")
        out.line(f"book      {found.paths.root}")
        out.line(f"reports   {found.reports_directory}")

    out.result({"files": files, "book": found.paths.root, "reports": found.reports_directory}, human)


@app.command("diff")
@guarded
def diff(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """What has changed since the book's last session: limits, parameters, scan, blocked symbols, code."""
    from qmworkbench.cli.changes import changes_since_last

    out = begin(json=json)
    found = config_of(book, environment, config)
    session, changes = changes_since_last(found)

    def human() -> None:
        if not session:
            out.line(f"the book at {found.paths.root} has no session yet, so nothing has changed")
        elif not changes:
            out.line(f"nothing has changed since session {session}")
        else:
            out.table(["what", "then", "now"], [list(change) for change in changes], title=f"since session {session}")

    rows = [{"key": key, "before": was, "now": now} for key, was, now in changes]
    out.result({"session": session, "changes": rows}, human)
