"""Structural faults of a bar file: each is told apart, named with the file and a remedy, and refuses it whole."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.market.bars import load_session, session_from_frame
from qmworkbench.market.findings import REFUSALS, DataRefused, Finding, Severity
from tests.market.bars_cases import BEFORE, DAY, codes, legal_rows, same_frames, table, written


def legal() -> pl.DataFrame:
    return table(legal_rows(30))


def refused(path: Path, day: date = DAY) -> Finding:
    """The one refusal of a file that must be refused."""
    with pytest.raises(DataRefused) as error:
        load_session(path, day)
    found = [finding for finding in error.value.findings if finding.severity is Severity.REFUSE]
    assert len(found) == 1
    assert found[0].file == str(path)
    assert found[0].remedy
    assert found[0].message in str(error.value)
    assert found[0].remedy in str(error.value)
    return found[0]


def test_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.parquet").code == "file_missing"


def test_directory(tmp_path: Path) -> None:
    written(tmp_path, legal())
    finding = refused(tmp_path)
    assert finding.code == "is_directory"
    assert "bars.parquet" in finding.message


def test_csv_with_the_wrong_name(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    legal().write_csv(path)
    assert refused(path).code == "not_parquet"


def test_file_without_content(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    path.touch()
    finding = refused(path)
    assert (finding.code, finding.message) == ("empty_file", "it has no content.")


def test_file_cut_short(tmp_path: Path) -> None:
    path = written(tmp_path, legal())
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(path).code == "unreadable"


def test_damaged_pages(tmp_path: Path) -> None:
    path = written(tmp_path, legal())
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(bytes(content))
    assert refused(path).code == "unreadable"


def test_no_rows(tmp_path: Path) -> None:
    assert refused(written(tmp_path, legal().clear())).code == "empty_file"


def test_missing_columns_are_named(tmp_path: Path) -> None:
    finding = refused(written(tmp_path, legal().drop("volume").rename({"close": "Close"})))
    assert finding.code == "missing_columns"
    assert "close, volume" in finding.message
    assert "Close looks like it" in finding.message


@pytest.mark.parametrize(
    ("column", "as_type", "told"),
    [
        ("symbol", pl.col("symbol").rank("dense").cast(pl.Int64), "symbol is Int64"),
        ("ts", pl.col("ts").cast(pl.String), "ts is String"),
        ("ts", pl.col("ts").dt.date(), "ts is Date"),
        ("ts", pl.col("ts").dt.epoch("s"), "ts is Int64"),
        ("open", pl.col("open").cast(pl.String), "open is String"),
        ("close", pl.col("close").cast(pl.Float32), "cannot hold a cent"),
        ("volume", pl.col("volume") > 5, "volume is Boolean"),
    ],
)
def test_wrong_types_are_named(tmp_path: Path, column: str, as_type: pl.Expr, told: str) -> None:
    finding = refused(written(tmp_path, legal().with_columns(as_type.alias(column))))
    assert finding.code == "wrong_type"
    assert told in finding.message


def test_times_without_zone(tmp_path: Path) -> None:
    path = written(tmp_path, legal().with_columns(pl.col("ts").dt.replace_time_zone(None)))
    finding = refused(path)
    assert finding.code == "naive_timestamp"
    assert "replace_time_zone" in finding.remedy


def test_several_structural_faults_are_all_said(tmp_path: Path) -> None:
    spoiled = legal().drop("volume").with_columns(pl.col("ts").dt.replace_time_zone(None))
    with pytest.raises(DataRefused) as error:
        load_session(written(tmp_path, spoiled), DAY)
    assert [finding.code for finding in error.value.findings] == ["missing_columns", "naive_timestamp"]


@pytest.mark.parametrize(
    ("day", "code", "told"),
    [
        (date(2018, 3, 3), "not_a_session", "Saturday"),
        (date(2018, 2, 19), "not_a_session", "President's Day"),
        (date(2018, 3, 9), "date_not_in_file", "2018-03-02"),
        (date(2018, 2, 20), "date_not_in_file", "2018-03-01"),
    ],
)
def test_a_date_that_cannot_be_had(tmp_path: Path, day: date, code: str, told: str) -> None:
    finding = refused(written(tmp_path, legal()), day)
    assert finding.code == code
    assert told in finding.message


def test_an_empty_day_within_the_file_is_told_from_a_date_outside_it(tmp_path: Path) -> None:
    later = legal().with_columns(pl.col("ts") + timedelta(days=5))
    path = written(tmp_path, pl.concat([legal(), later]).sort("symbol", "ts"))
    finding = refused(path, date(2018, 3, 5))
    assert finding.code == "empty_day"
    assert "nearest: 2018-03-01, 2018-03-02, 2018-03-06, 2018-03-07" in finding.message


def test_a_date_no_calendar_reaches(tmp_path: Path) -> None:
    assert refused(written(tmp_path, legal()), date(2300, 3, 2)).code == "calendar_unknown"


def test_two_markets_in_one_file(tmp_path: Path) -> None:
    mixed = pl.concat([legal(), legal().with_columns(pl.lit("EURUSD").alias("symbol")).unique("ts")])
    finding = refused(written(tmp_path, mixed.sort("symbol", "ts")))
    assert finding.code == "mixed_calendars"
    assert "EURUSD" in finding.message


def test_every_refusal_has_a_remedy() -> None:
    assert all(remedy.endswith(".") for remedy in REFUSALS.values())


def test_further_columns_are_tolerated(tmp_path: Path) -> None:
    wider = legal().with_columns(vwap=pl.lit(1.0), note=pl.lit("x"))
    assert same_frames(load_session(written(tmp_path, wider), DAY), session_from_frame(legal(), DAY))


@pytest.mark.parametrize(
    "convert",
    [
        pl.col("ts").dt.cast_time_unit("ms"),
        pl.col("ts").dt.cast_time_unit("ns"),
        pl.col("ts").dt.convert_time_zone("America/New_York"),
    ],
)
def test_other_units_and_zones_are_converted_and_noted(tmp_path: Path, convert: pl.Expr) -> None:
    data = load_session(written(tmp_path, legal().with_columns(convert)), DAY)
    assert "ts_converted" in codes(data)
    assert same_frames(data, session_from_frame(legal(), DAY))


def test_types_that_hold_the_same_are_widened_and_noted(tmp_path: Path) -> None:
    narrow = legal().with_columns(pl.col("volume").cast(pl.Int64), pl.col("symbol").cast(pl.Categorical))
    data = load_session(written(tmp_path, narrow), DAY)
    assert "type_widened" in codes(data)
    assert same_frames(data, session_from_frame(legal(), DAY))


def test_a_name_with_wildcards_is_a_name(tmp_path: Path) -> None:
    written(tmp_path, legal().with_columns(pl.col("volume") * 2), "bars1.parquet")
    data = load_session(written(tmp_path, legal(), "bars[1].parquet"), DAY)
    assert same_frames(data, session_from_frame(legal(), DAY))


def test_quotes_give_the_spread(tmp_path: Path) -> None:
    quoted = legal().with_columns(bid_close=pl.col("close") - 0.02, ask_close=pl.col("close") + 0.02)
    data = load_session(written(tmp_path, quoted), DAY)
    number = len(data.frames) - 390
    spread = data.spread_bps(number)
    assert spread is not None
    assert spread == pytest.approx(0.04 / data.frames[number].close * 1e4)
    given = session_from_frame(legal().with_columns(spread=pl.lit(0.04)), DAY).spread_bps(number)
    assert given == pytest.approx(spread)
    assert session_from_frame(legal(), DAY).spread_bps(number) is None


def test_history_is_optional(tmp_path: Path) -> None:
    data = load_session(written(tmp_path, legal()), BEFORE, history_days=0)
    assert data.warmup.is_empty()
    assert data.history == ()
    assert data.reference.history_days == 0
    with pytest.raises(ValueError, match="history_days is -1"):
        load_session(tmp_path / "bars.parquet", BEFORE, history_days=-1)


def test_only_the_sessions_asked_for_are_read(tmp_path: Path) -> None:
    """A fault of another day, however grave, does not touch this one."""
    far = legal().with_columns(pl.col("ts") + timedelta(days=60), low=pl.lit(-1.0))
    data = load_session(written(tmp_path, pl.concat([legal(), far]).sort("symbol", "ts")), DAY)
    assert data.quarantined.is_empty()
    assert data.window.opens_at == datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
