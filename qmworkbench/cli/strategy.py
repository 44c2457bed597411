"""`qm strategy`: the catalog, and each entry's card (§3, §8)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.printing import line, print_json, table
from qmworkbench.cli.settings import AsJson

if TYPE_CHECKING:
    from qmworkbench.strategies.definition import StrategyDefinition

app = typer.Typer(help="The strategy catalog.", no_args_is_help=True)


@app.command("list")
def list_(json: AsJson = False) -> None:
    """Every strategy of the catalog."""
    from qmworkbench.strategies.catalog import catalog

    entries = list(catalog().values())
    if json:
        print_json([_plain(entry) for entry in entries])
        return
    columns = ("id", "version", "title", "markets", "status", "owner")
    rows = (
        (e.strategy_id, e.version, e.title, ", ".join(sorted(m.value for m in e.asset_classes)), e.status, e.owner)
        for e in entries
    )
    table("", columns, rows)


@app.command("card")
def card(
    name: Annotated[str, typer.Argument(metavar="STRATEGY", help="A catalog id, such as opening-range.")],
    json: AsJson = False,
) -> None:
    """One strategy: its rules, parameters with their bounds, costs assumed and status."""
    from qmworkbench.strategies.catalog import get

    plain = _plain(get(name))
    if json:
        print_json(plain)
        return
    for key, value in plain.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            table(key.replace("_", " "), tuple(value[0]), (tuple(row.values()) for row in value))
        else:
            line(f"{key.replace('_', ' ')}: {value}")


def _plain(entry: "StrategyDefinition") -> dict[str, Any]:
    """An entry as plain data, without its functions; what has several fields becomes text or rows."""
    import msgspec

    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(entry):
        value = getattr(entry, field.name)
        if callable(value):
            continue
        found[field.name] = msgspec.to_builtins(value, enc_hook=str)
    return found
