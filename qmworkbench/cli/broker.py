"""`qm broker`: what the broker has on its books, read past the platform: no kernel, no journal, no lease (§12)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.ports import Broker
    from qmworkbench.service.config import Config

app = typer.Typer(help="The broker's own books, read without kernel or database.", no_args_is_help=True)

_FILLS = ("trade", "trade_cancel")


@app.callback()
def _group() -> None:
    """The broker's own books, read without kernel or database."""


@app.command("positions")
@guarded
def positions(
    book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False
) -> None:
    """What the broker says is held, and what the account is worth."""
    out = begin(json=json)
    with _reading(config_of(book, environment, config)) as (broker, name):
        held, account = list(broker.positions()), broker.account()

    def human() -> None:
        if held:
            rows = [
                [p.symbol, _n(p.qty), _n(p.avg_px), _n(p.market_px), _n(p.market_value), _n(p.unrealized_pnl)]
                for p in held
            ]
            out.table(["symbol", ">qty", ">average", ">market", ">value", ">unrealized"], rows)
        else:
            out.line("flat: no position")
        out.line(
            f"{name}: equity {account.equity:,.2f}, cash {account.cash:,.2f}, buying power "
            f"{account.buying_power:,.2f} {account.currency}, as of {account.as_of:%Y-%m-%d %H:%M:%S} UTC"
        )

    out.result({"broker": name, "positions": held, "account": account}, human)


@app.command("orders")
@guarded
def orders(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """What the broker has resting."""
    out = begin(json=json)
    with _reading(config_of(book, environment, config)) as (broker, name):
        resting = list(broker.open_orders())

    def human() -> None:
        rows = [
            [
                o.cl_ord_id, o.symbol, o.side, o.ord_type, _n(o.leaves_qty), _n(o.limit_px or o.stop_px),
                o.time_in_force, o.ord_status, o.parent_id or "",
            ]
            for o in resting
        ]  # fmt: skip
        if rows:
            out.table(["=order", "symbol", "side", "type", ">leaves", ">price", "tif", "status", "entry"], rows)
        out.line(f"{name}: {len(rows)} orders rest")

    out.result({"broker": name, "orders": resting}, human)


@app.command("history")
@guarded
def history(
    fills: Annotated[bool, typer.Option("--fills", help="Executions alone.")] = False,
    last: Annotated[int, typer.Option("--last", min=1, help="So many of the newest.")] = 50,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What the broker has said of its orders, oldest first, and what it booked without one."""
    out = begin(json=json)
    with _reading(config_of(book, environment, config)) as (broker, name):
        told = [report for report in broker.reports(0) if not fills or report.exec_type in _FILLS]
        booked = [] if fills else list(broker.activities(0))
    newest = told[-last:]

    def human() -> None:
        rows = [
            [
                f"{r.transact_time:%Y-%m-%d %H:%M:%S}", r.exec_type, r.symbol, r.side, _n(r.last_qty or None),
                _n(r.last_px or None), f"{_n(r.cum_qty)}/{_n(r.order_qty)}", r.reason, r.cl_ord_id,
            ]
            for r in newest
        ]  # fmt: skip
        if rows:
            columns = ["time (UTC)", "said", "symbol", "side", ">qty", ">price", ">filled", "reason", "=order"]
            out.table(columns, rows)
        out.line(f"{name}: {len(newest)} of {len(told)} reports, {len(booked)} bookings without an order")
        for entry in booked[-last:]:
            out.line(f"  {entry.effective} {entry.kind} {entry.symbol} {_n(entry.amount)} {entry.detail}")

    out.result({"broker": name, "reports": newest, "activities": booked[-last:]}, human)


@contextmanager
def _reading(config: "Config") -> Iterator[tuple["Broker", str]]:
    """The broker of a book, for reading. A venue that is served is asked over its wire, else its file is opened: over
    a wire of our own where its account was begun so, because its names are those of the wire.

    Raises NoBroker, VenueError, Cannot.
    """
    from qmworkbench.brokers.select import Purpose, open_venue, wire_broker
    from qmworkbench.ports import BrokerUnreachable

    address, path = config.served(), config.paths.venue
    try:
        if address is not None:
            wire = wire_broker(config.environment, address, follow=False)
            try:
                yield wire, address.url
            finally:
                wire.close()
            return
        if not path.exists():
            raise Cannot(f"{path} is not there: book {config.book!r} has not traded yet", "run a day first (`qm day`)")
        settings = config.settings
        with open_venue(
            config.environment,
            path=path,
            instruments=(),
            model=config.venue_model(),
            currency=settings.account_currency,
            initial_cash=settings.initial_cash,
            purpose=Purpose.COMMAND,
        ) as venue:
            yield venue.broker, "simulated venue"
    except BrokerUnreachable as error:
        raise Cannot(
            f"the broker does not answer: {error}", "see that it runs (`qm venue serve`), then ask again"
        ) from error


def _n(value: Any) -> str:
    """A number as people read it; nothing for None."""
    return "" if value is None else f"{value.normalize():f}" if value else "0"
