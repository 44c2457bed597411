"""Corporate actions out of LEAN's factor and map files, which its raw bars go with (§5).

A factor file has rows of date, price factor, split factor and reference price; factors hold up to and including the
date, so what changes to the next row happened overnight after it. A map file has rows of date and ticker, each the name
up to and including the date. Factors are rounded in the files: a ratio is taken for the simple fraction it is nearest
to, a dividend is rounded to a tenth of a cent.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction, exact_ratio
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.corporate_actions import table_of
from qmworkbench.market.findings import DataRefused, Finding, Severity

_FOR_EVER: Final = date(2050, 1, 1)  # LEAN's files end in a row of that year where a company lives on
# Fractions that splits come in: how large they get, and how far a file's rounding may lead from one.
_SIMPLE: Final = ((10, 3e-4), (50, 3e-5))
_SAME: Final = 1e-6
_MILL: Final = Decimal("0.001")


def from_lean(factor_dir: str | Path, map_dir: str | Path, *, calendar: str = "XNYS") -> pl.DataFrame:
    """All splits, dividends, ticker changes and delistings of two directories, as a frame of ACTION_SCHEMA.

    Tickers are those of the time, as in raw bars. An ex-date is the session after the row's date. Raises DataRefused
    naming file, line and value.
    """
    market = SessionCalendar(calendar)
    names = {path.stem: _names(path) for path in sorted(Path(map_dir).glob("*.csv"))}
    actions: list[CorporateAction] = []
    for permanent, named in names.items():
        actions += _renames(market, named, f"lean map {permanent}")
    for path in sorted(Path(factor_dir).glob("*.csv")):
        actions += _factors(market, path, names.get(path.stem, []))
    if not actions:
        message = f"neither {factor_dir} nor {map_dir} has a file that tells of an action."
        raise DataRefused([_finding(str(factor_dir), message, "Name LEAN's factor_files and map_files directories.")])
    return table_of(actions)


def _names(path: Path) -> list[tuple[date, str]]:
    return [(day, rest[0].upper()) for day, rest in _rows(path, columns=1)]


def _renames(market: SessionCalendar, named: list[tuple[date, str]], source: str) -> Iterator[CorporateAction]:
    for (last, symbol), (_, new) in pairwise(named):
        if new != symbol:
            kind, ex_date = ActivityKind.SYMBOL_CHANGE, market.next_session(last)
            yield CorporateAction(symbol=symbol, ex_date=ex_date, kind=kind, new_symbol=new, source=source)
    if named and named[-1][0] < _FOR_EVER:
        last, symbol = named[-1]
        kind, ex_date = ActivityKind.DELISTING, market.next_session(last)
        yield CorporateAction(symbol=symbol, ex_date=ex_date, kind=kind, source=source)


def _factors(market: SessionCalendar, path: Path, named: list[tuple[date, str]]) -> Iterator[CorporateAction]:
    source = f"lean factors {path.stem}"
    rows = [(day, *_numbers(path, rest)) for day, rest in _rows(path, columns=3)]
    for (day, price, split, close), (_, later_price, later_split, _) in pairwise(rows):
        ratio, kept = later_split / split, price / later_price
        if abs(ratio - 1) <= _SAME and abs(kept - 1) <= _SAME:
            continue
        symbol, ex_date = _name_on(day, named) or path.stem.upper(), market.next_session(day)
        paid = Decimal(repr(close * (1 - kept))).quantize(_MILL)
        if paid > 0:
            kind = ActivityKind.DIVIDEND
            yield CorporateAction(symbol=symbol, ex_date=ex_date, kind=kind, amount=paid, source=source)
        if abs(ratio - 1) > _SAME:
            kind = ActivityKind.SPLIT
            yield CorporateAction(symbol=symbol, ex_date=ex_date, kind=kind, ratio=_simple(ratio), source=source)


def _name_on(day: date, named: list[tuple[date, str]]) -> str | None:
    """The ticker on `day`: that of the first row that reaches so far."""
    place = bisect_left(named, (day, ""))
    return named[place][1] if place < len(named) else None


def _simple(ratio: float) -> Decimal:
    """7.0000004 is seven; what is near no simple fraction stays what it is, to six digits."""
    above = ratio if ratio >= 1 else 1 / ratio
    for largest, off in _SIMPLE:
        told = Fraction(above).limit_denominator(largest)
        if told != 1 and abs(float(told) - above) <= off * above:
            new, old = (told.numerator, told.denominator) if ratio >= 1 else (told.denominator, told.numerator)
            return exact_ratio(f"{new}:{old}")
    return Decimal(f"{ratio:.6g}")


def _rows(path: Path, *, columns: int) -> Iterator[tuple[date, list[str]]]:
    """Each line's date and what follows it, in order of date."""
    before = date.min
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        first, *rest = [part.strip() for part in line.split(",")]
        try:
            day = date.fromisoformat(first) if first.isdigit() else date.max
        except ValueError:
            day = date.max
        if day == date.max:
            raise _refused(path, number, first, "Write the date as 20140606.")
        if len(rest) < columns:
            raise _refused(path, number, line, f"Give the date and {columns} more columns.")
        if day < before:
            raise _refused(path, number, first, "Put the rows in order of date.")
        before = day
        yield day, rest


def _numbers(path: Path, rest: list[str]) -> tuple[float, float, float]:
    price, split, close = (_number(path, value) for value in rest[:3])
    if price <= 0 or split <= 0 or close < 0:
        raise _refused(path, 0, ",".join(rest), "Factors lie above 0, prices not below.")
    return price, split, close


def _number(path: Path, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise _refused(path, 0, value, "Give factors and prices as numbers.") from None


def _refused(path: Path, line: int, value: str, remedy: str) -> DataRefused:
    where = f"line {line}: " if line else ""
    return DataRefused([_finding(path.name, f"{where}{value!r} makes no sense.", remedy)])


def _finding(file: str, message: str, remedy: str) -> Finding:
    return Finding(code="bad_action", severity=Severity.REFUSE, message=message, file=file, remedy=remedy)
