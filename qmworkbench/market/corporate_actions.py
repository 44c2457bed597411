"""Splits, dividends, ticker changes and delistings as a table: read, checked, and made into actions (§5, §14).

A file of actions, CSV or Parquet, has one row an action:

    symbol      String   the ticker of the day before
    ex_date     Date     the first session without the right, or under the new name (CSV: 2014-06-09)
    kind        String   split, dividend, symbol_change or delisting
    ratio       Float64  split: new shares for one old one (CSV may say 7:1); null or 0 else
    amount      Float64  dividend: cash a share; delisting: what is paid, null for the last price; null or 0 else
    new_symbol  String   symbol_change: the ticker from then on; null or empty else
    source      String   who told

Only symbol, ex_date and kind are required; a column that no row needs may be missing.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import polars as pl

from qmworkbench.domain.corporate_actions import ACTION_KINDS, CorporateAction, action_order, exact_ratio
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.domain.numbers import ZERO, decimal_of
from qmworkbench.market.findings import SAMPLE_ROWS, DataRefused, Finding, Severity

ACTION_SCHEMA: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "ex_date": pl.Date(),
        "kind": pl.String(),
        "ratio": pl.Float64(),
        "amount": pl.Float64(),
        "new_symbol": pl.String(),
        "source": pl.String(),
    }
)
_REQUIRED: Final = ("symbol", "ex_date", "kind")
_READABLE: Final = (".csv", ".parquet")


class BadCell(ValueError):
    """One value of the table that makes no sense; `column` names it, the message is the remedy."""

    def __init__(self, column: str, remedy: str) -> None:
        super().__init__(remedy)
        self.column = column


def table_of(actions: Iterable[CorporateAction]) -> pl.DataFrame:
    """Actions as a frame of ACTION_SCHEMA, in the order in which they take effect."""
    rows = [
        {
            "symbol": action.symbol,
            "ex_date": action.ex_date,
            "kind": action.kind.value,
            "ratio": float(action.ratio) or None,
            "amount": float(action.amount) or None,
            "new_symbol": action.new_symbol or None,
            "source": action.source,
        }
        for action in sorted(actions, key=action_order)
    ]
    return pl.DataFrame(rows, schema=ACTION_SCHEMA)


def load_actions(path: str | Path) -> tuple[CorporateAction, ...]:
    """The actions in a file, oldest first.

    Raises DataRefused where the file cannot be read or a row makes no sense; each finding names row (from 1, below the
    header), column and value.
    """
    path = Path(path)
    if path.suffix.lower() not in _READABLE:
        message = f"its name does not end in {' or '.join(_READABLE)}."
        raise DataRefused([_refused("actions_unreadable", message, path.name, "Write the actions as CSV or Parquet.")])
    try:
        if path.suffix.lower() == ".csv":
            table = pl.read_csv(path, infer_schema=False)
        else:
            table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "Check the path in data.actions, and that the file is what its name says."
        raise DataRefused([_refused("actions_unreadable", f"it cannot be read: {why}.", path.name, remedy)]) from None
    return actions_of(table, path.name)


def actions_of(table: pl.DataFrame, file: str = "actions") -> tuple[CorporateAction, ...]:
    """The actions in a frame of ACTION_SCHEMA (or of text, as a CSV has it), oldest first. Raises DataRefused."""
    missing = [name for name in _REQUIRED if name not in table.columns]
    if missing:
        message = f"it has no column {', '.join(missing)}; there are {', '.join(table.columns) or 'none'}."
        remedy = f"Give the columns {', '.join(ACTION_SCHEMA)}."
        raise DataRefused([_refused("actions_columns", message, file, remedy)])
    found: list[CorporateAction] = []
    faults: list[Finding] = []
    seen: dict[tuple[str, date, ActivityKind], int] = {}
    for number, row in enumerate(table.iter_rows(named=True), start=1):
        try:
            action = _action(row)
            first = seen.setdefault((action.symbol, action.ex_date, action.kind), number)
            if first != number:
                raise BadCell("kind", f"row {first} tells of it already; leave one of them out")
        except BadCell as bad:
            value = row.get(bad.column)
            message = f"row {number}, column {bad.column}: {value!r} makes no sense."
            faults.append(_refused("bad_action", message, file, f"{str(bad)[:1].upper()}{str(bad)[1:]}."))
            continue
        found.append(action)
    if faults:
        raise DataRefused([*faults[:SAMPLE_ROWS], *_and_more(faults, file)])
    found.sort(key=action_order)
    _demand_no_circle(found, file)
    return tuple(found)


def _and_more(faults: list[Finding], file: str) -> list[Finding]:
    more = len(faults) - SAMPLE_ROWS
    if more <= 0:
        return []
    return [_refused("bad_action", f"{more} more rows make no sense.", file, "Correct the rows above first.")]


def _action(row: dict[str, Any]) -> CorporateAction:
    """One row as an action. Raises BadCell."""
    symbol = row["symbol"]
    if not isinstance(symbol, str) or not symbol or symbol != "".join(symbol.split()):
        raise BadCell("symbol", "name the ticker, without spaces")
    kind = str(row["kind"] or "").strip()
    if kind not in ACTION_KINDS:
        raise BadCell("kind", f"give one of {', '.join(sorted(ACTION_KINDS))}")
    ex_date, ratio, amount = _date(row["ex_date"]), _ratio(row.get("ratio")), _amount(row.get("amount"))
    new = str(row.get("new_symbol") or "").strip()
    if (kind == ActivityKind.SPLIT) != (ratio > 0):
        raise BadCell("ratio", "a split has new shares for one old one, above 0; any other action has none")
    if (kind == ActivityKind.DIVIDEND) != (amount > 0) and not (kind == ActivityKind.DELISTING and amount > 0):
        raise BadCell("amount", "a dividend has cash a share, above 0; a delisting may; any other action has none")
    if (kind == ActivityKind.SYMBOL_CHANGE) != bool(new) or new == symbol or len(new.split()) > 1:
        raise BadCell("new_symbol", "a symbol change names another ticker; any other action names none")
    source = str(row.get("source") or "").strip()
    return CorporateAction(
        symbol=symbol,
        ex_date=ex_date,
        kind=ActivityKind(kind),
        ratio=ratio,
        amount=amount,
        new_symbol=new,
        source=source,
    )


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise BadCell("ex_date", "write the date as 2014-06-09") from None


def _ratio(value: Any) -> Decimal:
    if value is None or value in (0, ""):
        return ZERO
    try:
        return exact_ratio(value)
    except ValueError:
        raise BadCell("ratio", "give new shares for one old one, such as 7, 0.1 or 1:3") from None


def _amount(value: Any) -> Decimal:
    if value is None or value == "":
        return ZERO
    try:
        amount = decimal_of(float(value))
    except ValueError:
        raise BadCell("amount", "give cash a share as a number") from None
    if amount < 0:
        raise BadCell("amount", "give cash a share, not below 0")
    return amount


def _demand_no_circle(actions: list[CorporateAction], file: str) -> None:
    """Names may be handed on within a day, but not round in a circle, and not to two."""
    renames = [action for action in actions if action.kind is ActivityKind.SYMBOL_CHANGE]
    for day, on_one_date in groupby(renames, key=lambda action: action.ex_date):
        to = {action.symbol: action.new_symbol for action in on_one_date}
        for start in to:
            symbol, steps = start, 0
            while symbol in to and steps <= len(to):
                symbol, steps = to[symbol], steps + 1
            if steps > len(to):
                message = (
                    f"the ticker changes of {day} go in a circle: {', '.join(f'{a} to {b}' for a, b in to.items())}."
                )
                remedy = "Give one of them the date on which it really happened."
                raise DataRefused([_refused("actions_circle", message, file, remedy)])


def _refused(code: str, message: str, file: str, remedy: str) -> Finding:
    return Finding(code=code, severity=Severity.REFUSE, message=message, file=file, remedy=remedy)
