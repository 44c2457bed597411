"""`qm order`: look at one order from every side, list them, and lay a hand on one (§13)."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli import order_control
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

app = typer.Typer(help="Look at an order from every side, list orders, cancel or replace one.", no_args_is_help=True)
_EPILOG: Final = "Exit codes: 0 both sides agree · 1 they differ, or it is ambiguous · 2 the broker could not be read."
_CODES: Final = {"agree": Exit.OK, "differ": Exit.NO_GO, "ambiguous": Exit.NO_GO, "unreadable": Exit.FAILED}
_COLUMNS: Final = ("=id", "symbol", "leg", "side", ">quantity", ">filled", "status", "instance", "reason")


@app.command("inspect", epilog=_EPILOG)
@guarded
def inspect(
    order: Annotated[str, typer.Argument(metavar="ID", help="Any id the order has or had.", show_default=False)],
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """§13 Duplicate Order Suspicion: idempotency key, broker history, internal state, their comparison."""
    out = begin(json=json)
    loaded = config_of(book, environment, config)
    found = _inspected(loaded, order)

    def human() -> None:
        for step in found["steps"]:
            out.line(f"{'✓' if step['sound'] else '✗'} {step['title']}")
            for line in step["lines"]:
                out.line(f"    {line}")
        out.line(f"{found['finding'].upper()}: {found['reason']}")
        out.line(f"next: {found['next_step']}")

    out.result(found, human)
    code = _CODES[found["finding"]]
    if code is not Exit.OK:
        raise typer.Exit(code)


@app.command("list")
@guarded
def listed(
    every: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """The newest session's orders that may still fill, oldest first; with --all every one."""
    from qmworkbench.service.offline import read_state

    out = begin(json=json)
    state = read_state(config_of(book, environment, config)).state
    orders = [o for o in state.orders.values() if every or o.is_open]
    rows = [
        {
            "cl_ord_id": o.cl_ord_id,
            "working_id": o.working_id,
            "symbol": o.symbol,
            "leg": o.leg.value,
            "side": o.side.value,
            "order_qty": o.order_qty,
            "cum_qty": o.cum_qty,
            "status": o.status.value,
            "strategy_id": o.strategy_id,
            "reason": o.reason,
            "reject_code": o.reject_code,
        }
        for o in orders
    ]

    def human() -> None:
        shown = ("cl_ord_id", "symbol", "leg", "side", "order_qty", "cum_qty", "status", "strategy_id", "reason")
        if rows:
            out.table(list(_COLUMNS), [[str(row[name]) for name in shown] for row in rows])
        out.line(f"{len(rows)} order(s){'' if every else ' that may still fill'}")

    out.result({"orders": rows}, human)


def _inspected(config: "Config", asked: str) -> dict[str, Any]:
    """By the platform where one runs, else from the journal and the broker under a lease taken briefly."""
    import msgspec

    from qmworkbench.service.client import CoreApi, NotAnswering, NotRunning
    from qmworkbench.service.offline import demand_book, open_offline, read_state
    from qmworkbench.service.order_inspection import gather
    from qmworkbench.storage.stores import open_reader

    demand_book(config)
    try:
        with CoreApi(config.paths) as api:
            return api.order(asked)
    except NotAnswering as error:
        # Somebody holds the book and its broker: our own side can still be read.
        state = read_state(config).state
        with open_reader(config.paths) as journal:
            told = gather(journal, state, None, asked, unreadable=str(error))
    except NotRunning:
        with open_offline(config, "qm order inspect") as opened, open_reader(config.paths) as journal:
            told = gather(journal, opened.shell.state, opened.broker, asked)
    plain = msgspec.to_builtins(told)
    assert isinstance(plain, dict)
    return plain


for _name, _command in order_control.COMMANDS:
    app.command(_name)(guarded(_command))
