"""`qm config`: what the settings are, where each came from, and what changed since the last session (§5, §8)."""

from typing import Annotated, Any

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin

app = typer.Typer(help="The settings in force, where they came from, and what changed.", no_args_is_help=True)


@app.command("show")
@guarded
def show(
    section: Annotated[
        str | None, typer.Argument(help="Only settings that begin with this, such as limits.", show_default=False)
    ] = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Every setting with its value and where that came from; secrets are masked.

    Defaults come first, then the nearest qm.toml, the qm.local.toml beside it, QM_… variables (nested with __), and
    flags; the later ones win. "off" stands for none.
    """
    from qmworkbench.domain.instruments import AssetClass

    out = begin(json=json)
    found = config_of(book, environment, config)
    every = found.provenance()
    rows = [
        row
        for row in every
        if section is None or row.key == section or row.key.startswith((f"{section}.", f"{section}["))
    ]
    if not rows:
        from qmworkbench.service.config_problems import nearest

        close = nearest(str(section), [row.key for row in every])
        remedy = f"did you mean {close}?" if close else "`qm config show` lists every setting"
        raise Cannot(f"there is no setting {section!r}", remedy)

    limits = {market.value: found.limits(market) for market in AssetClass}
    signed = {market: each.content_hash for market, each in limits.items()}
    doubts = [str(doubt) for doubt in limits["equity"].doubts(found.settings.initial_cash)]

    def human() -> None:
        out.table(["setting", "value", "from"], [[row.key, row.value, row.source] for row in rows])
        out.line(f"\nconfig hash {found.config_hash} (over the settings a decision can depend on)")
        out.line(f"limits hash {', '.join(f'{hashed} ({market})' for market, hashed in signed.items())}")
        for doubt in doubts:
            out.line(f"to be looked at: {doubt}")
        for instance, problems in found.left_out.items():
            out.line(f"{instance} cannot run and is left out: {'; '.join(map(str, problems))}")

    files = [str(path) for path in found.files]
    left_out = {instance: [str(problem) for problem in problems] for instance, problems in found.left_out.items()}
    content = {
        "config_hash": found.config_hash,
        "limits_hash": signed,
        "doubts": doubts,
        "files": files,
        "settings": rows,
        "left_out": left_out,
    }
    out.result(content, human)


@app.command("path")
@guarded
def path(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """The files that were read, and where book, journal and reports are."""
    out = begin(json=json)
    found = config_of(book, environment, config)
    where: dict[str, Any] = {
        "files": [str(file) for file in found.files],
        "book": str(found.paths.root),
        "journal": str(found.paths.journal),
        "reports": str(found.reports_directory),
    }

    def human() -> None:
        out.line(f"settings  {', '.join(where['files']) or 'defaults alone: there is no qm.toml here or above'}")
        for name in ("book", "journal", "reports"):
            out.line(f"{name:<9} {where[name]}")

    out.result(where, human)


@app.command("diff")
@guarded
def diff(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """What has changed since the book's last session: limits, parameters, scan, blocked symbols, code.

    Exit code 0: nothing that a decision depends on. 1: something has changed.
    """
    from qmworkbench.service.config_diff import changes_since_last_session

    out = begin(json=json)
    found = changes_since_last_session(config_of(book, environment, config))

    def human() -> None:
        if not found.changes:
            out.line(f"nothing has changed since session {found.session_id}")
            return
        rows = [[change.key, change.before, change.after, change.source] for change in found.changes]
        out.table(["what", "then", "now", "now from"], rows, title=f"changed since session {found.session_id}")

    out.result({"session": found.session_id, "opened_at": found.opened_at, "changes": found.changes}, human)
    if found.changes:
        raise typer.Exit(Exit.NO_GO)
