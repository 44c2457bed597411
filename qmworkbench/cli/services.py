"""`qm services up`, `down`, `status`: PostgreSQL and a Redis-compatible server for one machine, on request (§6)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.options import AsJson, ConfigFile, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.cli.output import Output
    from qmworkbench.service.servers.desk import Seen

app = typer.Typer(help="PostgreSQL and a Redis-compatible server for one machine.", no_args_is_help=True)

Only = Annotated[
    str | None, typer.Option("--only", metavar="KIND", help="postgres or redis; else both.", show_default=False)
]
Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Where their data lies; else DATA/servers.", show_default=False),
]


def _places(home: Path | None, config: Path | None) -> tuple[Path, dict[str, str]]:
    """Where our own servers lie, and the addresses that are configured."""
    settings = config_of(None, None, config)
    servers = settings.settings.servers
    given = {"postgres": servers.postgres.get_secret_value(), "redis": servers.redis.get_secret_value()}
    return (home or settings.resolved("paths.data") / "servers").absolute(), given


def _kinds(only: str | None) -> tuple[str, ...]:
    from qmworkbench.service.servers.desk import KINDS

    if only is not None and only not in KINDS:
        raise Cannot(f"--only {only} is no server of ours", f"give one of {', '.join(KINDS)}")
    return KINDS if only is None else (only,)


def _said(one: "Seen") -> str:
    return f"{one.address}: {one.detail}" if one.state == "unreachable" else one.address or one.detail


def _tell(out: "Output", seen: "list[Seen]") -> None:
    def human() -> None:
        rows = [[one.kind, one.state, one.version, one.source, str(one.pid or ""), _said(one)] for one in seen]
        out.table(["server", "state", "version", "from", ">pid", "address"], rows)

    out.result({"servers": seen}, human)


@app.command()
@guarded
def up(only: Only = None, home: Home = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """Start them, each with a private socket and a data directory of its own; those that run stay.

    A configured one (servers.postgres, servers.redis) is used and not started. Else one that is installed is taken,
    else the one that comes with the extra qmworkbench[servers].
    """
    from qmworkbench.service.servers import desk

    out = begin(json=json)
    kinds, (place, given) = _kinds(only), _places(home, config)
    with out.working("starting servers"):
        seen = desk.up(place, given, kinds)
    _tell(out, seen)
    if not all(one.usable for one in seen):
        raise typer.Exit(int(Exit.NO_GO))


@app.command()
@guarded
def down(only: Only = None, home: Home = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """Stop those that were started here; their data stays."""
    from qmworkbench.service.servers import desk

    out = begin(json=json)
    ran = desk.down(_places(home, config)[0], _kinds(only))

    def human() -> None:
        for kind, was in ran.items():
            out.line(f"{kind} {'is stopped' if was else 'did not run'}")

    out.result(ran, human)


@app.command()
@guarded
def status(only: Only = None, home: Home = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """Which run, which could be started, and how to reach them. Exits 1 where a configured one does not answer."""
    from qmworkbench.service.servers import desk

    out = begin(json=json)
    seen = desk.look(*_places(home, config), _kinds(only))
    _tell(out, seen)
    if any(one.state == "unreachable" for one in seen):
        raise typer.Exit(int(Exit.NO_GO))
