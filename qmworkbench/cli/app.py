"""Every command of `qm`, wired; what a command needs is imported when it runs, so that help answers at once (§2)."""

import typer

from qmworkbench.cli import config, data, journal, strategy, version

app = typer.Typer(
    name="qm",
    help="Run an automated momentum day-trading platform, and prove each of its days.",
    no_args_is_help=True,
    add_completion=False,
    # Formatted help would cost more than all the rest of it.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(journal.app, name="journal")
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")
app.add_typer(strategy.app, name="strategy")
app.command("version")(version.version)
