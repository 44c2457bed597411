"""What a table is to the page: columns, rows of cells, and what it says when it is empty (§9)."""

from collections.abc import Sequence
from typing import Any, Final

Cell = str | dict[str, Any]
Row = dict[str, Any]
Table = dict[str, Any]

LEFT: Final = "left"
RIGHT: Final = "right"


def column(label: str, align: str = LEFT, *, wide_only: bool = False, grow: bool = False, hint: str = "") -> Row:
    """A column; `wide_only` ones are left out on a phone, one that grows takes the room that is left and may wrap."""
    return {"label": label, "align": align, "wide_only": wide_only, "grow": grow, "hint": hint}


def cell(
    text: str, *, tone: str = "", chip: bool = False, strong: bool = False, hint: str = "", pct: float | None = None
) -> Cell:
    """A cell: plain text, or text with a tone, as a chip, with a hint, or with a little bar of `pct` percent."""
    decoration: dict[str, Any] = {}
    if tone:
        decoration["tone"] = tone
    if chip:
        decoration["chip"] = True
    if strong:
        decoration["strong"] = True
    if hint:
        decoration["hint"] = hint
    if pct is not None:
        decoration["pct"] = round(min(max(pct, 0.0), 100.0), 1)
    return {"text": text, **decoration} if decoration else text


def row(key: str, cells: Sequence[Cell], *, tone: str = "", actions: Sequence[Row] = ()) -> Row:
    """A row; `key` stays with what it shows, so that the page can move rows without losing a click."""
    return {"key": key, "cells": list(cells), "tone": tone, "actions": list(actions)}


def action(form: str, label: str, symbol: str, value: str = "") -> Row:
    """A button in a row that opens a form of the command desk, filled in with `value`, or with `symbol` itself."""
    return {"form": form, "label": label, "symbol": symbol, "value": value or symbol}


def table(
    title: str,
    columns: Sequence[Row],
    rows: Sequence[Row],
    *,
    empty: str,
    mark: str = "",
    note: str = "",
    more: int = 0,
    told: bool = True,
) -> Table:
    """A whole table: `note` beside the title, `mark` why its numbers may be wrong, `more` rows that are not shown; not
    `told` where the Core API gives the newest alone and there may be more than these.
    """
    return {
        "title": title,
        "columns": list(columns),
        "rows": list(rows),
        "empty": empty,
        "mark": mark,
        "note": note,
        "more": more,
        "at_least": not told,
    }
