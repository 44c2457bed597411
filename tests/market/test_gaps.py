"""Holes in a bar file: told apart by who is silent, and counted to the bar (§5)."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.market.findings import DataRefused
from qmworkbench.market.gaps import Gaps, find_gaps

OPEN = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)


def bars(symbol: str, slots: list[int], day: int = 0) -> pl.DataFrame:
    at = [OPEN + timedelta(days=day, minutes=slot) for slot in slots]
    prices = {name: [10.0] * len(slots) for name in ("open", "high", "low", "close", "volume")}
    frame = pl.DataFrame({"symbol": [symbol] * len(slots), "ts": at, **prices})
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def gaps_of(tmp_path: Path, *frames: pl.DataFrame, **how: object) -> Gaps:
    file = tmp_path / "bars.parquet"
    pl.concat(frames).sort("symbol", "ts").write_parquet(file)
    return find_gaps(file, **how)  # type: ignore[arg-type]


def test_a_silence_of_one_symbol_is_its_own(tmp_path: Path) -> None:
    whole, holed = list(range(390)), [*range(100), *range(130, 390)]
    found = gaps_of(tmp_path, bars("AAA", whole), bars("BBB", holed))
    assert [(s.symbol, s.bars, s.begins, s.ends) for s in found.silences] == [
        ("BBB", 30, OPEN + timedelta(minutes=100), OPEN + timedelta(minutes=130))
    ]
    assert found.whole
    assert (found.held, found.expected) == (750, 780)


def test_a_silence_of_all_is_the_recordings_own_and_told_once(tmp_path: Path) -> None:
    holed = [*range(100), *range(130, 390)]
    found = gaps_of(tmp_path, bars("AAA", holed), bars("BBB", holed))
    assert [(s.symbol, s.bars) for s in found.silences] == [("", 30)]
    assert not found.whole


def test_missing_sessions_and_absent_symbols(tmp_path: Path) -> None:
    whole = list(range(390))
    frames = [bars("AAA", whole, day) for day in (0, 1, 3)] + [bars("BBB", whole, day) for day in (0, 3)]
    found = gaps_of(tmp_path, *frames)
    assert found.missing_sessions == (date(2024, 3, 6),)
    assert found.absent == {"BBB": (date(2024, 3, 5),)}
    assert not found.whole


def test_a_symbol_that_begins_or_ends_within_the_file_is_not_absent(tmp_path: Path) -> None:
    whole = list(range(390))
    found = gaps_of(tmp_path, *[bars("AAA", whole, day) for day in (0, 1, 2)], bars("BBB", whole, 1))
    assert found.absent == {}


def test_one_symbol_alone(tmp_path: Path) -> None:
    frames = [bars("AAA", [0, 389]), bars("BBB", list(range(390)))]
    assert {s.symbol for s in gaps_of(tmp_path, *frames, symbol="BBB").silences} == set()
    assert {s.symbol for s in gaps_of(tmp_path, *frames, symbol="AAA").silences} == {"AAA"}
    with pytest.raises(DataRefused, match="no bars of 'CCC'"):
        gaps_of(tmp_path, *frames, symbol="CCC")


@settings(max_examples=40)  # each has dozens of silences in it
@given(st.sets(st.integers(0, 389), min_size=300, max_size=389))
def test_every_bar_that_is_not_there_is_in_exactly_one_silence(
    tmp_path_factory: pytest.TempPathFactory, slots: set[int]
) -> None:
    whole = bars("ZZZ", list(range(390)))
    found = gaps_of(tmp_path_factory.mktemp("gaps"), bars("AAA", sorted(slots)), whole, least_bars=1)
    missing = set(range(390)) - slots
    told: list[int] = []
    for silence in found.silences:
        first = (silence.begins - OPEN) // timedelta(minutes=1)
        told += range(first, first + silence.bars)
    assert sorted(told) == sorted(missing)


def test_the_recorded_files_have_the_holes_that_are_known(shared_data: Path) -> None:
    found = find_gaps(shared_data / "us_equity_minute_2018.parquet")
    assert (found.sessions, found.missing_sessions, found.absent) == (20, (), {})
    forex = find_gaps(shared_data / "forex_minute_oanda_lean_2014.parquet")
    assert len(forex.missing_sessions) > 1_000
