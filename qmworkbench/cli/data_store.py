"""`qm data add --store`, and how `qm data` tells of a bar store (§5 Data Check)."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.output import Output

if TYPE_CHECKING:
    from qmworkbench.market.store.manifest import Manifest
    from qmworkbench.service.bar_store.adding import Outcome, Terms
    from qmworkbench.service.data_shelf import Shelf

Word = TypeVar("Word", bound=StrEnum)
StoreName = Annotated[
    str | None,
    typer.Option("--store", metavar="NAME", help="Add to this bar store, or begin it.", show_default=False),
]
PartsBy = Annotated[
    str | None,
    typer.Option("--by", metavar="SPAN", help="Of a new store: parts by day, month or year.", show_default=False),
]
PricesAre = Annotated[
    str | None,
    typer.Option("--prices", metavar="KIND", help="Of a new store: 'as printed' or adjusted.", show_default=False),
]
Interval = Annotated[
    int | None,
    typer.Option(
        "--interval",
        metavar="SECONDS",
        min=1,
        help="Of a new store: how long a bar is, if it does not show.",
        show_default=False,
    ),
]
Actions = Annotated[
    Path | None,
    typer.Option("--actions", metavar="FILE", help="Splits and renames to keep in the store.", show_default=False),
]
Replace = Annotated[bool, typer.Option("--replace", help="Where bars differ, the new ones are right.")]


class Asked(NamedTuple):
    """An addition as it was typed."""

    cut: str | None
    prices: str | None
    interval_s: int | None
    actions: Path | None
    replace: bool
    source: str
    licence: str
    kind: str
    symbol: str | None
    zone: str | None

    def terms(self) -> "Terms":
        """What is meant by it. Raises Cannot."""
        from qmworkbench.market.store.manifest import Cut, Prices
        from qmworkbench.service.bar_store.adding import Terms
        from qmworkbench.service.bar_store.incoming import TextReading

        return Terms(
            cut=_one_of(Cut, self.cut, "--by"),
            prices=_one_of(Prices, self.prices, "--prices"),
            interval_s=self.interval_s,
            source=self.source,
            licence=self.licence,
            replace=self.replace,
            actions=self.actions,
            text=TextReading(kind=self.kind, symbol=self.symbol, zone=self.zone),  # type: ignore[arg-type]
        )


def _one_of(kind: type[Word], given: str | None, flag: str) -> Word | None:
    known = [str(member.value) for member in kind]
    if given is not None and given not in known:
        raise Cannot(f"{flag} {given} is not known", f"give one of {', '.join(known)}")
    return None if given is None else kind(given)


def add_to_store(out: Output, shelf: "Shelf", name: str, given: Path, asked: Asked) -> None:
    """Add files to the store of that name on the shelf, and tell what became of it."""
    from qmworkbench.service.bar_store.adding import add, described
    from qmworkbench.service.data_shelf import now

    path, terms = shelf.place_of_store(name), asked.terms()
    with out.steps(name) as told:
        outcome = add(path, given, terms, now(), told)
    out.result({"store": name, "path": path, **described(outcome)}, lambda: _told(out, name, path, outcome))


def _told(out: Output, name: str, path: Path, outcome: "Outcome") -> None:
    manifest, addition = outcome.manifest, outcome.addition
    if addition is None:
        out.line(f"{name} has all of it already: nothing was changed")
    else:
        replaced = f", {addition.replaced:,} replaced" if addition.replaced else ""
        out.line(
            f"{name}: {addition.new_rows:,} new bars{replaced} of {sum(file.rows for file in addition.files):,} read "
            f"from {len(addition.files):,} files, {len(outcome.parts):,} parts written"
        )
    if outcome.known and addition is not None:
        out.line(f"  {len(outcome.known):,} files were added before")
    if outcome.actions and manifest.actions is not None:
        out.line(f"  {manifest.actions.rows:,} corporate actions are kept with it; no price was changed")
    out.line(f"  {summary(manifest)}")
    out.line(f"  {path}")
    if manifest.parts:
        out.line(f"trade on it: qm day --data {name} --date {max(manifest.parts[-1].dates)}")


def summary(manifest: "Manifest") -> str:
    """A store in one line."""
    span = f"{manifest.parts[0].first_ts:%Y-%m-%d} to {manifest.parts[-1].last_ts:%Y-%m-%d}" if manifest.parts else "–"
    most = max((part.symbols for part in manifest.parts), default=0)
    return (
        f"{manifest.rows:,} bars of {manifest.interval_s} s in {len(manifest.parts):,} parts by {manifest.cut.value}, "
        f"{span}, up to {most:,} symbols, {manifest.market}, prices {manifest.prices.value}, "
        f"{manifest.bytes / 1e6:,.1f} MB"
    )


def listed_store(shelf: "Shelf", name: str) -> tuple[dict[str, Any], list[str]]:
    """A store's line in `qm data list`, as data and as cells. Sizes are looked at; hashes are `qm data check`'s."""
    from qmworkbench.market.findings import DataRefused
    from qmworkbench.market.store.reading import open_store

    path = shelf.folder / name
    try:
        store = open_store(path)
    except DataRefused as error:
        state = error.findings[0].message
        return {"store": name, "state": state}, [name, "", "", "", "", "", "", "", "", state]
    manifest = store.manifest
    wrong = store.missed()
    state = f"{len(wrong):,} of its parts gone or cut short: qm data check {name}" if wrong else "as added, by size"
    sources = sorted({addition.source for addition in manifest.additions})
    licences = sorted({addition.licence for addition in manifest.additions if addition.licence})
    most = max((part.symbols for part in manifest.parts), default=0)
    first, last = (manifest.parts[0].first_ts, manifest.parts[-1].last_ts) if manifest.parts else (None, None)
    data = {
        "store": name,
        "market": manifest.market,
        "interval_s": manifest.interval_s,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "parts": len(manifest.parts),
        "cut": manifest.cut,
        "prices": manifest.prices,
        "actions": manifest.actions.rows if manifest.actions else 0,
        "most_symbols": most,
        "first_ts": first,
        "last_ts": last,
        "additions": manifest.additions,
        "state": state,
    }
    cells = [
        name, manifest.market, str(manifest.interval_s), f"{manifest.rows:,}", f"{most:,}", f"{first:%Y-%m-%d}" if first
        else "", f"{last:%Y-%m-%d}" if last else "", "; ".join(sources), "; ".join(licences) or "not said", state,
    ]  # fmt: skip
    return data, cells
