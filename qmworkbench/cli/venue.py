"""`qm venue`: the simulated venue as a process of its own, on a broker's order wire (§2, §12)."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.day_options import DataFile, Day, data_flags
from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.service.config import Config
    from qmworkbench.venue.wire.address import VenueAddress
    from qmworkbench.venue.wire.desk import Desk

app = typer.Typer(help="The simulated venue as a process of its own.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The simulated venue as a process of its own."""


@app.command("serve")
@guarded
def serve(
    db: Annotated[
        Path | None,
        typer.Option("--db", metavar="FILE", help="The venue's file; the book's otherwise.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where to listen; 0 takes a free one.")] = 0,
    rate_limit: Annotated[
        int | None,
        typer.Option("--rate-limit", min=1, help="Requests a minute, as a broker counts; none.", show_default=False),
    ] = None,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Read the day's bars here too; who replays it then sends no more than times."),
    ] = False,
    data: DataFile = None,
    date: Day = None,
    environment: Environment = None,
    book: Book = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Serve the venue of a book on this machine until Ctrl-C: REST and a stream as Alpaca's, and a control door.

    The file keeps everything; the process may be killed and started again. How it is reached is noted beside the file,
    for its owner alone, so that `qm day --venue auto` and `qm broker` find it.
    """
    import asyncio

    out = begin(json=json)
    loaded = config_of(book, environment, config, data_flags(data, date))
    path = db if db is not None else loaded.paths.venue
    path.parent.mkdir(parents=True, exist_ok=True)
    from qmworkbench.venue.wire.rest import Wire
    from qmworkbench.venue.wire.server import serve as serve_wire

    desk = _desk(loaded, path, replay=replay or data is not None, out=out)
    section = loaded.settings.broker
    wire = Wire(
        desk,
        key_id=section.key_id or "venue",
        secret=section.secret.get_secret_value() or secrets.token_urlsafe(24),
        token=section.token.get_secret_value() or secrets.token_urlsafe(24),
        per_minute=rate_limit,
    )

    def ready(address: "VenueAddress") -> None:
        from qmworkbench.venue.wire.address import note_of

        said = {"url": address.url, "pid": address.pid, "db": str(path), "note": str(note_of(path))}
        out.result(said, lambda: out.line(f"the venue of {path} listens at {address.url}; Ctrl-C ends it"))

    asyncio.run(serve_wire(wire, path, port=port, on_ready=ready))


def _desk(config: "Config", path: Path, *, replay: bool, out: Output) -> "Desk":
    """The venue behind the wire; with `replay` it has the day's bars itself. Raises VenueError, DataRefused."""
    from qmworkbench.domain.sessions import Environment as Known
    from qmworkbench.venue.wire.desk import Desk

    if config.environment not in (Known.LOCAL, Known.BACKTEST):
        raise Cannot(
            f"environment {config.environment} does not trade with a simulated venue", "serve it in local or backtest"
        )
    model, currency, cash = config.venue_model(), config.settings.account_currency, config.settings.initial_cash
    if not replay:
        return Desk(path, model, currency, cash)
    from qmworkbench.service.session_data import load_data

    with out.working("reading the market data"):
        bars = load_data(config)
    return Desk(
        path,
        model,
        currency,
        cash,
        instruments=[bars.instruments[symbol] for symbol in bars.universe.symbols],
        own_frames={frame.as_of: frame for frame in bars.frames},
        own_symbols=bars.universe.symbols,
    )
