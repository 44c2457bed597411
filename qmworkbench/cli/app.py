"""Every command of `qm`, wired; what a command needs is imported when it runs, so that help answers at once (§2)."""

import typer

from qmworkbench.cli import (
    config,
    control,
    data,
    day,
    drill,
    emergency,
    journal,
    preflight,
    reconcile,
    report,
    status,
    strategy,
    version,
    why,
)

app = typer.Typer(
    name="qm",
    help="Run an automated momentum day-trading platform, and prove each of its days.",
    no_args_is_help=True,
    add_completion=False,
    # Formatted help would cost more than all the rest of it.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("day")(day.day)
app.command("preflight")(preflight.preflight)
app.command("status")(status.status)
app.command("why")(why.why)
app.command("report")(report.report)
app.command("nightly")(report.nightly)
app.command("pause")(control.pause)
app.command("resume")(control.resume)
app.command("block")(control.block)
app.command("unblock")(control.unblock)
app.command("reconcile")(reconcile.reconcile)
app.command("emergency")(emergency.emergency)
app.add_typer(control.note_app, name="note")
app.add_typer(journal.app, name="journal")
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")
app.add_typer(strategy.app, name="strategy")
app.add_typer(drill.app, name="drill")
app.command("version")(version.version)
