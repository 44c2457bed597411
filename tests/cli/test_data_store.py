"""`qm data` with a bar store, as a user types it; and a session and a backtest that stand on one (§5)."""

from pathlib import Path

import polars as pl

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.market.store.reading import open_store
from qmworkbench.research.backtests.period_bars import read_period
from qmworkbench.service.bar_sources import open_bars
from qmworkbench.service.config import load
from qmworkbench.service.session_data import FileSessions, open_sessions
from tests.cli.books import answer, qm
from tests.market.store.store_cases import DAYS, bars


def _begun(home: Path) -> Path:
    """A store `us` of a directory's two files."""
    (home / "in").mkdir()
    frame = bars("AAA BBB", minutes=390)
    for day in DAYS[:2]:
        frame.filter(pl.col("ts").dt.date() == day).write_parquet(home / "in" / f"{day}.parquet")
    done = qm(home, "data", "add", "in", "--store", "us", "--source", "a vendor", "--licence", "mine", "--json")
    assert done.returncode == Exit.OK, done.stderr
    told = answer(done)
    assert (told["store"], told["rows"], told["parts"], told["prices"]) == ("us", 1560, 2, "as printed")
    return home / "data" / "added" / "us"


def test_a_store_is_begun_added_to_listed_checked_and_removed(tmp_path: Path) -> None:
    store = _begun(tmp_path)
    bars("AAA BBB", minutes=390).write_parquet(tmp_path / "all.parquet")
    done = qm(tmp_path, "data", "add", "all.parquet", "--store", "us")
    assert "us: 780 new bars of 2,340 read from 1 files, 1 parts written" in done.stdout
    assert "nothing was changed" in qm(tmp_path, "data", "add", "all.parquet", "--store", "us").stdout
    listed = qm(tmp_path, "data", "list").stdout
    assert "a vendor" in listed
    assert "as added, by size" in listed
    assert answer(qm(tmp_path, "data", "check", "us", "--json"))["rows"] == 2340
    gaps = qm(tmp_path, "data", "gaps", "us", "--json")
    assert (gaps.returncode, answer(gaps)["missing_sessions"]) == (Exit.OK, [])
    part = open_store(store).manifest.parts[1].file
    (store / part).write_bytes((store / part).read_bytes()[:-1])
    assert "1 of its parts gone or cut short: qm data check us" in qm(tmp_path, "data", "list").stdout
    checked = qm(tmp_path, "data", "check", "us")
    assert checked.returncode == Exit.NO_GO
    assert f"{part}: part_damaged" in checked.stdout
    assert qm(tmp_path, "data", "remove", "us").returncode == Exit.OK
    assert not store.exists()


def test_a_bar_that_differs_is_exit_code_2_and_replace_takes_it(tmp_path: Path) -> None:
    _begun(tmp_path)
    other = bars("AAA BBB", minutes=390).with_columns(volume=pl.col("volume") + 1)
    other.write_parquet(tmp_path / "other.parquet")
    done = qm(tmp_path, "data", "add", "other.parquet", "--store", "us")
    assert done.returncode == Exit.FAILED
    assert "AAA 2018-02-26T14:30:00Z: the store us has volume 100.0; other.parquet has volume 101.0" in done.stderr
    assert "--replace" in done.stderr
    done = qm(tmp_path, "data", "add", "other.parquet", "--store", "us", "--replace")
    assert "780 new bars, 1,560 replaced" in done.stdout


def test_what_makes_no_sense_is_said_before_anything_is_read(tmp_path: Path) -> None:
    bars("AAA").write_parquet(tmp_path / "a.parquet")
    assert qm(tmp_path, "data", "add", "a.parquet").returncode == Exit.OK
    for given, said in (
        (["a.parquet", "--by", "day"], "are for a store"),
        (["a.parquet", "--store", "us", "--by", "week"], "--by week is not known"),
        (["a.parquet", "--store", "us", "--prices", "raw"], "--prices raw is not known"),
        (["a.parquet", "--store", "us", "--format", "xls"], "--format xls is not known"),
        (["a.parquet", "--store", "us", "--name", "b"], "names itself"),
        (["package:bokeh-sampledata", "--store", "us"], "leave --name and packages out"),
        (["a.parquet", "--store", "a"], "is a file on the shelf"),
        (["a.parquet", "--store", "../up"], "is no name"),
    ):
        done = qm(tmp_path, "data", "add", *given)
        assert done.returncode == Exit.FAILED, given
        assert said in done.stderr, given


def test_sessions_and_backtests_stand_on_a_store_by_its_name(tmp_path: Path) -> None:
    store = _begun(tmp_path)
    (tmp_path / "qm.toml").write_text('[data]\nfile = "us"\n')
    config = load(file=tmp_path / "qm.toml", cwd=tmp_path, environ={})
    assert config.data_file == store
    sessions = open_sessions(config)
    assert isinstance(sessions, FileSessions)
    assert sessions.span == (DAYS[0], DAYS[1])
    assert len(sessions.session(DAYS[1]).boundaries) == 390
    assert "can be traded on" in qm(tmp_path, "data", "check", "us", "--date", str(DAYS[1])).stdout
    bars_of = open_bars("us", data=tmp_path / "data")
    assert read_period(bars_of, symbols=["AAA"]).sessions == tuple(DAYS[:2])
