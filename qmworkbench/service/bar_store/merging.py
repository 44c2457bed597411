"""New rows and those of a part made one: the same bar twice is one bar, two different ones are a conflict (§5)."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from qmworkbench.market.findings import SAMPLE_ROWS
from qmworkbench.market.schema import COLUMNS, VALUES
from qmworkbench.market.store.manifest import store_refused

_KEY: Final = ("symbol", "ts")


@dataclass(frozen=True, eq=False)
class Merged:
    """A part's rows by symbol and time; `new` were not there before, `replaced` were there with other values."""

    rows: pl.DataFrame
    new: int
    replaced: int

    @property
    def changed(self) -> bool:
        """Whether the part is any other than it was."""
        return bool(self.new or self.replaced)


def merge(old: pl.DataFrame | None, new: pl.DataFrame, *, store: str, given: str, replace: bool) -> Merged:
    """The rows of a part and what is added to them. `store` and `given` are what refusals call the two.

    Raises DataRefused where bars of one symbol and time differ: within what is added always, against the part unless
    `replace` says that the new ones are right. Each is named with both its values.
    """
    values = _values(new)
    new = new.select(*COLUMNS, *(name for name in values if name not in COLUMNS)).sort(*_KEY, *values)
    again, same = _against_the_row_before(new, values)
    if again.any():
        _demand_none(new, again & ~same, "conflicting_duplicate", ("one row", "another row"), given)
        new = new.filter(~again)
    if old is None:
        return Merged(new, new.height, 0)
    both = pl.concat([old.with_columns(added=False), new.with_columns(added=True)], how="diagonal")
    both = both.sort(*_KEY, "added")
    again, same = _against_the_row_before(both, _values(both), silent="spread" not in new.columns)
    differs = again & ~same
    if not replace:
        _demand_none(both, differs, "conflicting_bars", (f"the store {store}", given), given)
    superseded = differs.shift(-1, fill_value=False)
    rows = both.filter(~(again & same) & ~superseded).drop("added")
    replaced = int(differs.sum())
    return Merged(rows, rows.height - old.height, replaced)


def _values(rows: pl.DataFrame) -> list[str]:
    return [*VALUES, "spread"] if "spread" in rows.columns else list(VALUES)


def _against_the_row_before(
    rows: pl.DataFrame, values: list[str], *, silent: bool = False
) -> tuple[pl.Series, pl.Series]:
    """Which rows have symbol and time of the row before, and which of all have its values too.

    `silent`: the newer rows know nothing of spreads, so they say nothing against one.
    """
    again = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in _KEY).fill_null(False)
    compared = [name for name in values if not (silent and name == "spread")]
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in compared)
    found = rows.select(again=again, same=same)
    return found["again"], found["same"]


def _demand_none(rows: pl.DataFrame, wrong: pl.Series, code: str, who: tuple[str, str], given: str) -> None:
    """Raises DataRefused that names the first bars told of twice, each with both values."""
    count = int(wrong.sum())
    if not count:
        return
    at = wrong.arg_true()[:SAMPLE_ROWS].to_list()
    values = _values(rows)
    sample = []
    for row in at:
        first, second = rows.row(row - 1, named=True), rows.row(row, named=True)
        differing = [name for name in values if first[name] != second[name]]
        one, other = (", ".join(f"{name} {side[name]}" for name in differing) for side in (first, second))
        sample.append(f"{first['symbol']} {first['ts']:%Y-%m-%dT%H:%M:%SZ}: {who[0]} has {one}; {who[1]} has {other}")
    message = f"{count:,} bars are told of in two ways; the first is {sample[0]}."
    raise store_refused(code, message, given, rows=count, sample=tuple(sample))
