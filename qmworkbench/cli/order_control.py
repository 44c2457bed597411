"""`qm order cancel`, `qm order replace` and `qm close`: a person's hand on one order or position (§10, §13)."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.operator import Symbol, Why, give
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Operator, config_of
from qmworkbench.cli.output import begin

OrderId = Annotated[str, typer.Argument(help="The order's id, as `qm order list` shows it.", show_default=False)]


def cancel(
    order: OrderId,
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Ask the broker to cancel one order; says what a position is left without."""
    from qmworkbench.domain.commands import CancelOrder

    give(CancelOrder(reason=reason, cl_ord_id=order), config_of(book, environment, config), operator, begin(json=json))


def replace(
    order: OrderId,
    reason: Why,
    qty: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="The whole quantity, never larger.", show_default=False)
    ] = None,
    limit: Annotated[str | None, typer.Option(metavar="PRICE", help="A limit price.", show_default=False)] = None,
    stop: Annotated[str | None, typer.Option(metavar="PRICE", help="A stop price.", show_default=False)] = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Let a resting exit go on at another price, or an entry with a smaller quantity; never more risk than before."""
    from qmworkbench.domain.commands import ReplaceOrder

    command = ReplaceOrder(
        reason=reason,
        cl_ord_id=order,
        order_qty=_number("--qty", qty),
        limit_px=_number("--limit", limit),
        stop_px=_number("--stop", stop),
    )
    give(command, config_of(book, environment, config), operator, begin(json=json))


def close(
    symbol: Symbol,
    reason: Why,
    strategy: Annotated[
        str | None,
        typer.Option(help="Whose position; EXTERNAL for what nobody here ordered.", metavar="ID", show_default=False),
    ] = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Leave one position now: its resting orders are cancelled, then its actual quantity is closed, until flat."""
    from qmworkbench.domain.commands import ClosePosition

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    owner = strategy
    if owner is None:
        from qmworkbench.cli.status import view_now

        view, _source, _trouble = view_now(loaded)
        owners = [held["strategy_id"] for held in view["positions"] if held["symbol"] == symbol]
        if len(owners) != 1:
            who = f"held by {', '.join(owners)}" if owners else "held by nobody here"
            raise Cannot(f"{symbol} is {who}", "name whose position with --strategy" if owners else "see `qm status`")
        owner = owners[0]
    give(ClosePosition(reason=reason, strategy_id=owner, symbol=symbol), loaded, operator, out)


def _number(flag: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0:
        raise Cannot(f"{flag} {text!r} is no number above zero", "give it as 12.34")
    return number


COMMANDS = (("cancel", cancel), ("replace", replace))
