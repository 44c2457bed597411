"""Small bar stores made by hand: two symbols or ten, some sessions, few rows to a row group."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.market.store.reading import StoreSource, open_store
from qmworkbench.service.bar_store import parts
from qmworkbench.service.bar_store.adding import Terms, add
from tests.market.bars_cases import minutes_of, table

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
# Sessions of 2018 with their opens; the clocks do not change between them.
MONDAY = datetime(2018, 2, 26, 14, 30, tzinfo=UTC)
DAYS = [date(2018, 2, 26), date(2018, 2, 27), date(2018, 2, 28)]
NAMES = "AAA BBB CCC DDD EEE FFF GGG HHH III JJJ"
MINUTES = 30


def bars(names: str = NAMES, days: int = 3, minutes: int = MINUTES, px: float = 10.0) -> pl.DataFrame:
    """Every name's first minutes of so many sessions, by symbol and time."""
    rows = [row for n in range(days) for row in minutes_of(MONDAY + timedelta(days=n), names, minutes, px + n)]
    return table(rows).sort("symbol", "ts")


def stored(folder: Path, given: pl.DataFrame | Sequence[pl.DataFrame], terms: Terms | None = None) -> StoreSource:
    """A store of these bars, one addition for each frame."""
    for number, frame in enumerate([given] if isinstance(given, pl.DataFrame) else given):
        file = folder.parent / f"{folder.name}-{number}.parquet"
        frame.write_parquet(file)
        add(folder, file, terms or Terms(), AT)
    return open_store(folder)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> int:
    """Two symbols' rows to a row group."""
    rows = 2 * MINUTES
    monkeypatch.setattr(parts, "ROW_GROUP_ROWS", rows)
    return rows


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a store but its lock, with its bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".writer"}
