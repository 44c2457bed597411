"""Bars by the name a person gives them: file, store, shelf, demo market, data package, recorded session (§5)."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from qmworkbench.market.findings import DataRefused, Finding, Severity
from qmworkbench.market.schema import COLUMNS, BarSource, open_frame
from qmworkbench.market.store.reading import open_bar_path
from qmworkbench.service.data_shelf import Shelf

# The demo market where no period is asked for: a month that ends with its usual Friday.
DEMO_PERIOD: Final = (date(2024, 2, 9), date(2024, 3, 8))
DEMO_SYMBOLS: Final = 30
_DEMO_HISTORY: Final = 10
_KINDS: Final = (
    "a Parquet file, a bar store, a name on the shelf (`qm data list`), demo:SEED, demo:SEED:SYMBOLS or package:NAME"
)


def open_bars(
    given: str,
    *,
    data: Path,
    period: tuple[date | None, date | None] = (None, None),
    symbols: Sequence[str] = (),
) -> BarSource:
    """The bars that `given` means: a Parquet file or a bar store, a name on the shelf below `data`,
    `demo:SEED[:SYMBOLS]` (made-up minutes; `symbols` of it where any are named) or `package:NAME` (bars an installed
    package carries).

    The demo market is made for `period`, DEMO_PERIOD where an end is open, and ten sessions before it. Raises
    DataRefused, PackageMissing, ShelfRefused.
    """
    kind, _, rest = given.partition(":")
    if kind == "demo":
        return _demo(given, rest, period, symbols)
    if kind == "package":
        from qmworkbench.market.adding.packages import package

        return open_frame(package(rest).bars(), given)
    path = Shelf(data).meant(Path(given), Path(given))
    if path is None:
        names = ", ".join(Shelf(data).names()) or "nothing yet"
        raise _refused("source_unknown", f"nothing is called that; the shelf has {names}.", given, f"Give {_KINDS}.")
    return open_bar_path(path)


def recorded_bars(bars: pl.DataFrame, name: str) -> BarSource:
    """The regular bars of a recorded session (storage.reading, `BookReader.bars`) as a source."""
    return open_frame(bars.filter(~pl.col("extended")).select(COLUMNS), name)


def _demo(given: str, rest: str, period: tuple[date | None, date | None], symbols: Sequence[str]) -> BarSource:
    from qmworkbench.market.calendars import SessionCalendar
    from qmworkbench.market.demo import demo_bars, demo_symbols

    seed, _, count = rest.partition(":")
    if not seed.isdecimal() or (count and not count.isdecimal()):
        raise _refused(
            "demo_unknown", "the demo market is demo:SEED or demo:SEED:SYMBOLS, both whole.", given, "demo:7"
        )
    first, last = period[0] or DEMO_PERIOD[0], period[1] or DEMO_PERIOD[1]
    if period[0] is None and last <= first:
        first = last
    market = SessionCalendar("XNYS")
    days = market.sessions_between(first, last) if first <= last else []
    if not days:
        message = f"the market has no session from {first} to {last}."
        raise _refused("period_not_in_source", message, given, "Give dates between which New York trades.")
    try:
        names = list(symbols) or demo_symbols(int(count or DEMO_SYMBOLS), days[-1])
        bars = demo_bars(days[-1], int(seed), names, history_days=len(days) - 1 + _DEMO_HISTORY)
    except ValueError as error:
        raise _refused("demo_unknown", f"{error}.", given, "Correct the symbols, or leave them out.") from None
    return open_frame(bars, given)


def _refused(code: str, message: str, file: str, remedy: str) -> DataRefused:
    return DataRefused([Finding(code=code, severity=Severity.REFUSE, message=message, file=file, remedy=remedy)])
