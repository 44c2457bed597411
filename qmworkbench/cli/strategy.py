"""`qm strategy`: the catalog, and each entry's card (§3, §8)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.failures import guarded
from qmworkbench.cli.options import AsJson
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.strategies.definition import StrategyDefinition

app = typer.Typer(help="The strategy catalog.", no_args_is_help=True)


@app.command("list")
@guarded
def list_(json: AsJson = False) -> None:
    """Every strategy of the catalog."""
    from qmworkbench.strategies.catalog import catalog

    out = begin(json=json)
    entries = list(catalog().values())
    rows = [
        [
            e.strategy_id,
            e.version,
            e.title,
            ", ".join(sorted(m.value for m in e.asset_classes)),
            e.status.value,
            e.owner,
        ]
        for e in entries
    ]
    columns = ["id", "version", "title", "markets", "status", "owner"]
    out.result({"strategies": [_plain(entry) for entry in entries]}, lambda: out.table(columns, rows))


@app.command("show")
@guarded
def show(
    strategy: Annotated[str, typer.Argument(help="A catalog id, such as opening-range.", show_default=False)],
    json: AsJson = False,
) -> None:
    """One strategy: its rules, its parameters with their bounds, what is assumed and what was validated."""
    from qmworkbench.strategies.catalog import get

    out = begin(json=json)
    plain = _plain(get(strategy))
    out.result(plain, lambda: _shown(out, plain))


def _shown(out: Output, card: dict[str, Any]) -> None:
    for key, value in card.items():
        title = key.replace("_", " ")
        if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            columns = list(value[0])
            out.table(columns, [[_text(row.get(name)) for name in columns] for row in value], title=title)
        elif isinstance(value, list | tuple) and len(value) > 1:
            out.line(title)
            for part in value:
                out.line(f"    {_text(part)}")
        elif isinstance(value, dict):
            out.line(title)
            for name, inner in value.items():
                out.line(f"    {name.replace('_', ' ')}: {_text(inner)}")
        else:
            out.line(f"{title}: {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return "–" if value is None else str(value)


def _plain(entry: "StrategyDefinition") -> dict[str, Any]:
    """An entry as plain data, without its functions."""
    import msgspec

    fields = ((field.name, getattr(entry, field.name)) for field in msgspec.structs.fields(entry))
    return {name: msgspec.to_builtins(value, enc_hook=str) for name, value in fields if not callable(value)}
