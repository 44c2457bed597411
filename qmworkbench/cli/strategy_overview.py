"""The catalog as a table of docs/strategies.md, generated so that the page never says otherwise than the code (§22)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance

BEGIN: Final = "<!-- catalog: made by `qm strategy list --markdown` -->"
END: Final = "<!-- end of the catalog -->"
_COLUMNS: Final = ("strategy", "version", "status", "owner", "markets", "side", "parameters", "warm-up", "published as")


def markdown(entries: "Sequence[StrategyDefinition]", published: "Sequence[StrategyInstance]") -> str:
    """A row for each strategy, then what each is for, between the markers of the page."""
    rows = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    rows += ["| " + " | ".join(_row(entry, published)) + " |" for entry in entries]
    told = [f"**{entry.title}** (`{entry.strategy_id}`). {entry.objective}" for entry in entries]
    return "\n".join([BEGIN, "", *rows, "", "\n\n".join(told), "", END])


def in_page(page: str, block: str) -> str:
    """The page with its block replaced. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no block between {BEGIN!r} and {END!r}")
    return before + block + after


def _row(entry: "StrategyDefinition", published: "Sequence[StrategyInstance]") -> list[str]:
    mine = [one for one in published if one.strategy_id == entry.strategy_id]
    of = [f"{sum(1 for one in mine if one.asset_class is market)} {market.value}" for market in entry.asset_classes
          if any(one.asset_class is market for one in mine)]  # fmt: skip
    return [
        f"`{entry.strategy_id}`",
        entry.version,
        entry.status.value,
        entry.owner,
        ", ".join(market.value for market in entry.asset_classes),
        entry.direction.value,
        str(len(entry.parameter_specs)),
        f"{entry.warmup_bars(entry.parameters({}))} bars",
        ", ".join(of) or "none",
    ]
