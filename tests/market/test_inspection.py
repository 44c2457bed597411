"""A whole file inspected: what it holds, every finding about it, and refusals as data."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from qmworkbench.market import inspection
from qmworkbench.market.findings import Severity
from qmworkbench.market.inspection import Inspection, inspect
from tests.market.bars_cases import CLOSE, DAY, MINUTE, OPEN, legal_rows, minutes_of, row, table, written


def found(result: Inspection) -> dict[str, int]:
    return {finding.code: finding.rows for finding in result.findings}


def test_a_clean_file(tmp_path: Path) -> None:
    path = written(tmp_path, table(legal_rows(390)))
    result = inspect(path)
    assert (result.rows, result.symbols, result.calendar, result.interval_s) == (1560, 2, "XNYS", 60)
    assert (result.first_ts, result.last_ts) == (OPEN - timedelta(days=1), CLOSE - MINUTE)
    assert [(count.date, count.symbols, count.bars) for count in result.sessions] == [
        (date(2018, 3, 1), 2, 780),
        (DAY, 2, 780),
    ]
    assert [finding.code for finding in result.findings] == ["no_quotes"], "trades without quotes, and nothing else"
    assert not result.refused


def test_every_fault_of_every_day_is_counted(tmp_path: Path) -> None:
    rows = [
        *legal_rows(390),
        row("AAA", OPEN - MINUTE),
        row("AAA", CLOSE),
        row("AAA", None),
        row("AAA", datetime(2018, 3, 3, 15, 0, tzinfo=UTC)),
        row("CCC", OPEN, low=-1.0),
        row("CCC", OPEN - timedelta(days=1), low=-1.0),
        row("AAA", OPEN, 12.0),
        *legal_rows(390)[-3:],
    ]
    result = inspect(written(tmp_path, table(rows)))
    assert result.rows == len(rows)
    assert found(result) == {
        "unsorted_rows": len(rows) - 1,
        "missing_ts": 1,
        "negative_price": 2,
        "out_of_session": 1,
        "duplicate_row": 3,
        "conflicting_duplicate": 2,
        "missing_bars": 1,
        "no_quotes": 0,
    }
    yesterday, today = result.sessions
    assert (today.pre_open, today.bars, today.after_close) == (1, 779, 1)
    assert (yesterday.quarantined, today.quarantined) == (1, 7)
    kept = sum(count.pre_open + count.bars + count.after_close for count in result.sessions)
    assert kept + sum(finding.rows for finding in result.findings if finding.severity is Severity.QUARANTINE) == len(
        rows
    )


@pytest.mark.parametrize("batch", [1, 1000, 10**9])
def test_batches_add_up_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    rows = [r for k in (4, 3, 2, 1, 0) for r in minutes_of(OPEN - timedelta(days=k), "AAA BBB", 60)]
    rows += [row("AAA", OPEN - timedelta(days=k), low=-1.0) for k in (2, 0)]
    path = written(tmp_path, table(rows))
    whole = inspect(path)
    monkeypatch.setattr(inspection, "_BATCH_ROWS", batch)
    parts = inspect(path)
    assert msgspec.structs.replace(parts, findings=()) == msgspec.structs.replace(whole, findings=())
    assert {f.code: f.rows for f in parts.findings if f.severity is Severity.QUARANTINE} == {"negative_price": 2}


def test_holes_halves_stops_and_ends(tmp_path: Path) -> None:
    opens = [datetime(2018, 11, day, 14, 30, tzinfo=UTC) for day in (21, 23, 27)]
    rows = [r for at, n in zip(opens, (390, 210, 390), strict=True) for r in minutes_of(at, "AAA", n)]
    rows += minutes_of(opens[0], "GONE", 390) + minutes_of(opens[2], "HALT", 100)
    result = inspect(written(tmp_path, table(rows).sort("symbol", "ts")))
    messages = {finding.code: finding.message for finding in result.findings}
    assert "2018-11-23" in messages["half_day"]
    assert "1 sessions" in messages["empty_day"]
    assert "2018-11-26" in messages["empty_day"]
    assert "HALT on 2018-11-27 at 16:09 UTC" in messages["symbol_stops"]
    assert "GONE after 2018-11-21" in messages["symbol_ends"]
    assert not result.refused


def test_a_refusal_is_a_finding(tmp_path: Path) -> None:
    for path, code in (
        (tmp_path / "none.parquet", "file_missing"),
        (written(tmp_path, table(legal_rows(5)).drop("ts"), "a.parquet"), "missing_columns"),
        (written(tmp_path, table([*legal_rows(5), row("EURUSD", OPEN)]), "b.parquet"), "mixed_calendars"),
        (
            written(tmp_path, table([row("AAA", OPEN + timedelta(hours=k)) for k in range(7)]), "c.parquet"),
            "uneven_close",
        ),
    ):
        result = inspect(path)
        assert result.refused
        assert code in found(result)


def test_it_can_be_written_down(tmp_path: Path) -> None:
    result = inspect(written(tmp_path, table([*legal_rows(5), row("AAA", OPEN + 90 * MINUTE, low=-1.0)])))
    assert msgspec.json.decode(msgspec.json.encode(result), type=Inspection) == result


def test_the_shared_files(shared_data: Path) -> None:
    minutes = inspect(shared_data / "us_equity_minute_2018.parquet")
    assert (minutes.rows, minutes.symbols, minutes.interval_s, len(minutes.sessions)) == (1_492_705, 194, 60, 20)
    friday = next(count for count in minutes.sessions if count.date == DAY)
    assert (friday.bars, friday.pre_open, friday.symbols) == (75_370, 148, 194)
    ends = next(finding for finding in minutes.findings if finding.code == "symbol_ends")
    assert ends.sample == ("CPN after 2018-03-08", "JUNO after 2018-03-05")

    pairs = inspect(shared_data / "forex_hourly_9pairs_2015_2018.parquet")
    assert (pairs.calendar, pairs.interval_s, found(pairs)["out_of_session"]) == ("FX", 3600, 3)
    assert sum(count.bars for count in pairs.sessions) + 3 == pairs.rows == 223_481

    quotes = inspect(shared_data / "forex_minute_fxcm_gbpusd_201202.parquet")
    assert found(quotes)["crossed_quote"] == 347


@pytest.mark.parametrize(
    "name",
    [
        "forex_hourly_oanda_lean_2007_2014",
        "forex_minute_oanda_lean_2014",
        "forex_minute_eurusd_histdata_2017_jan_feb",
        "us_equity_daily_pystock_2015_2017",
        "us_equity_minute_lean_201310",
        "us_equity_quotes_minute_lean_201310",
    ],
)
def test_every_row_of_every_shared_file_is_accounted_for(shared_data: Path, name: str) -> None:
    path = shared_data / f"{name}.parquet"
    result = inspect(path)
    assert not result.refused
    aside = sum(finding.rows for finding in result.findings if finding.severity is Severity.QUARANTINE)
    kept = sum(count.pre_open + count.bars + count.after_close for count in result.sessions)
    assert kept + aside == result.rows == pl.scan_parquet(path).select(pl.len()).collect(engine="in-memory").item()
