"""Every command of `qm`, wired; what a command needs is imported when it runs, so that help answers at once (§2)."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from qmworkbench.cli import (
    archive,
    audit,
    backtest,
    backup,
    broker,
    config,
    data,
    day,
    drill,
    emergency,
    journal,
    journal_project,
    lookahead,
    note,
    operator,
    order,
    order_control,
    parity,
    preflight,
    reconcile,
    recover,
    replay,
    report,
    retention,
    runs,
    services,
    simulate,
    status,
    strategy,
    sweep,
    up,
    venue,
    version,
    watch,
    why,
)
from qmworkbench.cli.day_options import WithBareReports
from qmworkbench.cli.exit_codes import EPILOG
from qmworkbench.cli.failures import guarded
from qmworkbench.cli.given_once import GivenOnce

app = typer.Typer(
    name="qm",
    help="Run an automated momentum day-trading platform, and prove each of its days.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    # Formatted help would cost more than all the rest of it.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _add(name: str, command: Callable[..., Any], kind: type[GivenOnce] = GivenOnce) -> None:
    """A command of its own; what stops it becomes a block of words and an exit code."""
    app.command(name, cls=kind, epilog=EPILOG)(guarded(command))


def _add_group(name: str, group: typer.Typer) -> None:
    """Commands under one name; each says its exit codes and takes each option once."""
    for command in group.registered_commands:
        command.epilog, command.cls = command.epilog or EPILOG, GivenOnce
    app.add_typer(group, name=name, epilog=EPILOG)


_add("day", day.day, WithBareReports)
_add("up", up.up, WithBareReports)
_add("replay", replay.replay)
_add("preflight", preflight.preflight)
_add("status", status.status)
_add("watch", watch.watch)
_add("why", why.why)
_add("reconcile", reconcile.reconcile)
_add("audit", audit.audit)
_add("recover", recover.recover)
_add("emergency", emergency.emergency)
_add("pause", operator.pause)
_add("resume", operator.resume)
_add("release", operator.release)
_add("block", operator.block)
_add("unblock", operator.unblock)
_add("accept", operator.accept)
_add("decide", operator.decide)
_add("close", order_control.close)
_add("end", operator.end)
_add_group("order", order.app)
_add_group("note", note.app)
_add("backup", backup.backup)
_add("restore", backup.restore)
_add("report", report.report)
_add("nightly", report.nightly)
journal.app.command("project")(guarded(journal_project.project))
_add_group("journal", journal.app)
_add_group("data", data.app)
_add_group("config", config.app)
_add_group("strategy", strategy.app)
_add("lookahead", lookahead.lookahead)
_add("parity", parity.parity)
_add_group("drill", drill.app)
_add("backtest", backtest.backtest)
_add_group("runs", runs.app)
_add_group("venue", venue.app)
_add_group("broker", broker.app)
_add_group("archive", archive.app)
_add_group("retention", retention.app)
_add_group("services", services.app)
_add("simulate", simulate.simulate)
_add("sweep", sweep.sweep)
_add("version", version.version)


def run() -> None:
    """Run the command that was typed; ends the process with its exit code."""
    try:
        app(prog_name="qm")
    except BrokenPipeError:
        # Whoever read our output has seen enough (`qm journal tail | head`): nothing is left to say, and nowhere to.
        sys.stderr.close()
        sys.exit(0)
