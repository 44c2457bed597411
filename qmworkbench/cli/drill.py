"""`qm drill`: falsify a simulated account on purpose, to see that the platform finds it (§14, §17)."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.domain.execution import OrderRequest
    from qmworkbench.service.offline import OfflineBook
    from qmworkbench.venue.drill import ForeignFill

app = typer.Typer(help="Practice: falsify a simulated account, and see that it is found.", no_args_is_help=True)
_KINDS = ("position", "order", "execution", "overfill", "vanished", "cash")
_OF_AN_ORDER = ("overfill", "vanished")


@app.callback()
def _group() -> None:
    """Practice: falsify a simulated account, and see that it is found."""


@app.command("break")
@guarded
def plant_break(
    symbol: Annotated[str, typer.Option("--symbol", metavar="SYMBOL", help="In which symbol.", show_default=False)],
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="position, order, execution, overfill, vanished or cash.")
    ] = "position",
    qty: Annotated[
        str | None,
        typer.Option(
            "--qty", metavar="N", help="By how many units, signed; cash: by how much money.", show_default=False
        ),
    ] = None,
    px: Annotated[
        str | None, typer.Option("--px", metavar="PRICE", help="Price of an order or execution.", show_default=False)
    ] = None,
    order: Annotated[
        str | None,
        typer.Option("--order", metavar="ID", help="The order that fills too much, or vanishes.", show_default=False),
    ] = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Plant a break in the simulated venue's books, behind the platform's back. Only in a book that is not running.

    The next reconciliation must find it: `qm reconcile`, or the next session. Nothing real is touched.
    """
    from qmworkbench.service.offline import open_offline

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    if kind not in _KINDS:
        raise Cannot(f"--kind {kind!r} is no kind of break", f"give one of {', '.join(_KINDS)}")
    amount, price = _number("--qty", qty), _number("--px", px)
    if kind in _OF_AN_ORDER and not order:
        raise Cannot(f"--kind {kind} needs an order", "give its id with --order; `qm broker history` lists them")
    if kind == "vanished":
        amount = Decimal(1)
    if amount is None or amount == 0:
        raise Cannot(f"--qty {qty} plants nothing", "give by how much, such as --qty 5 or --qty -5")
    if kind in ("order", "execution") and (price is None or price <= 0):
        raise Cannot(f"--px {px} is no price for an {kind}", "give one above zero, such as --px 10.50")
    with open_offline(loaded, "qm drill break") as opened:
        known = opened.exchange
        if symbol not in opened.shell.state.day.instruments:
            raise Cannot(f"--symbol {symbol!r} is not traded in this book", "see the universe in `qm status`")
        known.plant_break(symbol, **_plant(opened, kind, symbol, amount, price or Decimal(0), order or ""))
    by = f"of {amount} in {symbol}" if kind not in _OF_AN_ORDER else f"of {order} in {symbol}"
    what = f"DRILL: a {kind} break {by} was planted in the simulated venue of book {loaded.book!r}"

    def human() -> None:
        out.line(what)
        out.line("`qm reconcile` must find it now, the next session at its start")

    said = {"drill": True, "kind": kind, "symbol": symbol, "qty": amount, "px": price, "order": order}
    out.result(said | {"book": loaded.book}, human)


def _plant(
    opened: "OfflineBook", kind: str, symbol: str, amount: Decimal, price: Decimal, order: str
) -> dict[str, Any]:
    """The arguments of Exchange.plant_break."""
    if kind == "overfill":
        from qmworkbench.venue.drill import OverFill

        return {"overfill": OverFill(cl_ord_id=order, qty=amount)}
    if kind == "vanished":
        return {"vanished": order}
    if kind == "position":
        return {"qty_delta": amount}
    if kind == "cash":
        return {"cash_delta": amount}
    return (
        {"order": _order(opened, symbol, amount, price)}
        if kind == "order"
        else {"execution": _fill(opened, symbol, amount, price)}
    )


def _order(opened: "OfflineBook", symbol: str, amount: Decimal, price: Decimal) -> "OrderRequest":
    from qmworkbench.domain.execution import OrderRequest
    from qmworkbench.domain.orders import OrdType, PositionEffect, Side, TimeInForce

    return OrderRequest(
        cl_ord_id=_name(opened, symbol),
        symbol=symbol,
        side=Side.BUY if amount > 0 else Side.SELL,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.LIMIT,
        order_qty=abs(amount),
        time_in_force=TimeInForce.GTC,
        decided_at=opened.exchange.account().as_of,
        limit_px=price,
    )


def _fill(opened: "OfflineBook", symbol: str, amount: Decimal, price: Decimal) -> "ForeignFill":
    from qmworkbench.domain.orders import Side
    from qmworkbench.venue.drill import ForeignFill

    side = Side.BUY if amount > 0 else Side.SELL
    return ForeignFill(cl_ord_id=_name(opened, symbol), side=side, qty=abs(amount), px=price)


def _name(opened: "OfflineBook", symbol: str) -> str:
    """An id nobody here gave out: it says what it is wherever it turns up."""
    return f"DRILL-{symbol}-{opened.exchange.account().cursor + 1}"


def _number(flag: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        raise Cannot(f"{flag} {text!r} is not a number", "give one such as 5 or -2.5")
    return value
