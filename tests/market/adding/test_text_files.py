"""Bars out of text files: the forms there are, and what is said of those that are none (§5)."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qmworkbench.market.adding.text_files import read_text
from qmworkbench.market.findings import DataRefused


def file_of(tmp_path: Path, text: str, name: str = "bars.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_header_in_any_order_and_case(tmp_path: Path) -> None:
    text = "Volume,Close,Low,High,Open,Timestamp,Ticker\n7,2,1,3,1.5,2024-03-04 09:30:00,AAA\n"
    bars = read_text(file_of(tmp_path, text), zone="America/New_York")
    assert bars.row(0) == ("AAA", datetime(2024, 3, 4, 14, 30, tzinfo=UTC), 1.5, 3.0, 1.0, 2.0, 7.0)


def test_the_zone_follows_daylight_saving(tmp_path: Path) -> None:
    text = "timestamp,open,high,low,close,volume\n2024-03-08 09:30,1,1,1,1,1\n2024-03-11 09:30,1,1,1,1,1\n"
    bars = read_text(file_of(tmp_path, text), symbol="AAA", zone="America/New_York")
    assert [at.hour for at in bars["ts"]] == [14, 13]


@pytest.mark.parametrize("moment", ["2024-03-04T14:30:00Z", "2024-03-04T09:30:00-05:00", "2024-03-04 09:30:00-05:00"])
def test_times_that_carry_their_zone_need_none(tmp_path: Path, moment: str) -> None:
    text = f"ts,open,high,low,close\n{moment},1,1,1,1\n"
    bars = read_text(file_of(tmp_path, text), symbol="AAA")
    assert bars["ts"][0] == datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
    assert bars["volume"][0] == 0.0


@pytest.mark.parametrize("day", ["2024-07-03", "20240703", "2024/07/03"])
def test_dates_make_daily_bars_that_count_from_their_sessions_open(tmp_path: Path, day: str) -> None:
    bars = read_text(file_of(tmp_path, f"Date,Open,High,Low,Close\n{day},1,1,1,1\n"), symbol="AAA")
    assert bars["ts"][0] == datetime(2024, 7, 3, 13, 30, tzinfo=UTC)


def test_a_date_and_a_time_column_are_one_moment(tmp_path: Path) -> None:
    text = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n2024.03.04\t10:00:00\t1\t1\t1\t1\t5\n"
    bars = read_text(file_of(tmp_path, text), symbol="EURUSD", zone="UTC")
    assert bars["ts"][0] == datetime(2024, 3, 4, 10, tzinfo=UTC)
    assert bars["volume"][0] == 5.0


def test_histdata_is_new_york_standard_time_all_year(tmp_path: Path) -> None:
    text = "20240701 120000;1.07;1.08;1.06;1.075;0\n"
    bars = read_text(file_of(tmp_path, text), symbol="EURUSD")
    assert bars.row(0) == ("EURUSD", datetime(2024, 7, 1, 17, tzinfo=UTC), 1.07, 1.08, 1.06, 1.075, 0.0)


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv.gz"
    path.write_bytes(gzip.compress(b"ts,open,high,low,close\n2024-03-04T14:30:00Z,1,1,1,1\n"))
    assert read_text(path, symbol="AAA").height == 1


BAD = [
    ("", "empty_file", "no content"),
    ("x,y,z\n1,2,3\n", "unknown_columns", "no column gives ts, open, high, low, close"),
    ("ts,open,high,low,close\n2024-03-04T14:30:00Z,1,1,1,x\n", "unreadable_line", "row 1 has close 'x'"),
    ("ts,open,high,low,close\nyesterday,1,1,1,1\n", "unreadable_line", "'yesterday' is in no form"),
    (
        "ts,open,high,low,close\n2024-03-04 09:30,1,1,1,1\nlater,1,1,1,1\n",
        "unreadable_line",
        "row 2 has the time 'later'",
    ),
    ("ts,open,high,low,close\n2024-03-04 09:30,1,1,1,1\n", "zone_wanted", "carry no zone"),
    ("date,open,high,low,close\n2024-03-04,1,1,1,1\n2024-13-04,1,1,1,1\n", "unreadable_line", "row 2 has the date"),
]


@pytest.mark.parametrize(("text", "code", "said"), BAD)
def test_what_cannot_be_read_is_said_with_its_row(tmp_path: Path, text: str, code: str, said: str) -> None:
    with pytest.raises(DataRefused) as caught:
        read_text(file_of(tmp_path, text), symbol="AAA")
    (finding,) = caught.value.findings
    assert finding.code == code
    assert said in finding.message
    assert finding.remedy


def test_other_refusals_name_the_thing(tmp_path: Path) -> None:
    text = "ts,open,high,low,close\n2024-03-04 09:30,1,1,1,1\n"
    with pytest.raises(DataRefused, match="no column names the instrument"):
        read_text(file_of(tmp_path, text))
    with pytest.raises(DataRefused, match="no time zone 'Mars/Olympus'"):
        read_text(file_of(tmp_path, text), symbol="AAA", zone="Mars/Olympus")
    with pytest.raises(DataRefused, match="no such file"):
        read_text(tmp_path / "nowhere.csv")
    binary = tmp_path / "x.zip"
    binary.write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(DataRefused, match="which is no text"):
        read_text(binary)
