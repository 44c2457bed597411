"""`qm data add`, `list`, `gaps`, `remove`, as a user types them (§5)."""

from pathlib import Path

import pytest

from qmworkbench.cli import data_shelf
from qmworkbench.cli.exit_codes import Exit
from tests.cli.books import answer, qm
from tests.market.store.store_cases import bars

_CSV = "Date,Open,High,Low,Close,Volume\n2024-03-07,10,11,9,10,100\n2024-03-08,10,12,10,11,100\n"


def test_a_file_is_added_looked_at_listed_and_removed(tmp_path: Path) -> None:
    (tmp_path / "abc.csv").write_text(_CSV)
    done = qm(tmp_path, "data", "add", "abc.csv", "--symbol", "ABC", "--licence", "mine", "--json")
    assert done.returncode == Exit.OK, done.stderr
    line = answer(done)["line"]
    assert (line["name"], line["rows"], line["licence"], line["market"]) == ("abc", 2, "mine", "XNYS")
    assert answer(qm(tmp_path, "data", "check", "abc", "--json"))["rows"] == 2
    gaps = qm(tmp_path, "data", "gaps", "abc", "--json")
    assert gaps.returncode == Exit.OK
    assert answer(gaps)["missing_sessions"] == []
    assert "as added" in qm(tmp_path, "data", "list").stdout
    assert qm(tmp_path, "data", "remove", "abc").returncode == Exit.OK
    assert "nothing is on the shelf" in qm(tmp_path, "data", "list").stdout


def test_the_package_that_comes_with_the_workbench_is_added(tmp_path: Path) -> None:
    done = qm(tmp_path, "data", "add", "package:bokeh-sampledata")
    assert done.returncode == Exit.OK, done.stderr
    assert "5 symbols, 2000-03-01 to 2013-03-01" in done.stdout
    assert "BSD-3-Clause" in done.stdout


def test_a_hole_in_the_recording_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "abc.csv").write_text(_CSV.replace("2024-03-08", "2024-03-11"))
    assert qm(tmp_path, "data", "add", "abc.csv", "--symbol", "ABC").returncode == Exit.OK
    done = qm(tmp_path, "data", "gaps", "abc")
    assert done.returncode == Exit.NO_GO
    assert "1 sessions have no bar at all: 2024-03-08" in done.stdout


def test_what_cannot_be_added_is_exit_code_2_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "abc.csv").write_text(_CSV)
    for given, said in (
        (["abc.csv"], "--symbol NAME"),
        (["nowhere.csv"], "there is no such file"),
        (["package:nope"], "no data package 'nope'"),
        (["package:bokeh-sampledata", "--zone", "UTC"], "leave these options out"),
        (["abc.csv", "--symbol", "ABC", "--format", "xls"], "--format xls is not known"),
        (["abc.csv", "--symbol", "ABC", "--name", "Ä"], "is no name for data"),
    ):
        done = qm(tmp_path, "data", "add", *given)
        assert done.returncode == Exit.FAILED, given
        assert said in done.stderr
    assert not list((tmp_path / "data").glob("added/*.parquet"))


def test_a_file_too_large_for_the_shelf_is_sent_to_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars("AAA").write_parquet(tmp_path / "Many Bars.parquet")
    monkeypatch.setattr(data_shelf, "_MOST_ROWS", 89)
    done = qm(tmp_path, "data", "add", "Many Bars.parquet")
    assert done.returncode == Exit.FAILED
    assert "Many Bars.parquet has 90 rows, and a file on the shelf is held in memory as a whole" in done.stderr
    assert "qm data add 'Many Bars.parquet' --store many-bars" in done.stderr
    assert not (tmp_path / "data").exists(), "nothing was begun"
    monkeypatch.setattr(data_shelf, "_MOST_ROWS", 90)
    assert qm(tmp_path, "data", "add", "Many Bars.parquet").returncode == Exit.OK
