"""The shelf of added data: whole or not at all, one content to a name, every change seen (§5)."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.market.adding.packages import PACKAGES, PackageMissing, package
from qmworkbench.market.bars import load_session
from qmworkbench.market.findings import DataRefused
from qmworkbench.service.data_shelf import Provenance, Shelf, ShelfRefused, of_package
from qmworkbench.storage.writer_lock import WriterLock

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
ORIGIN = Provenance(source="a test", licence="CC0", treatment="none", made_from="nothing")


def bars(close: float = 10.0) -> pl.DataFrame:
    at = pl.Series([datetime(2024, 3, 4 + day, 14, 30, tzinfo=UTC) for day in range(3)], dtype=pl.Datetime("us", "UTC"))
    prices = {name: [10.0, 10.0, close] for name in ("open", "high", "low", "close")}
    return pl.DataFrame({"symbol": ["AAA"] * 3, "ts": at, **prices, "volume": [5.0] * 3})


def test_added_bars_are_a_bar_file_with_their_provenance(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    added = shelf.add("mine", bars(), ORIGIN, AT)
    (line,) = shelf.lines()
    assert line == added.line
    assert (line.source, line.licence, line.rows, line.symbols, line.market) == ("a test", "CC0", 3, ("AAA",), "XNYS")
    file = shelf.find("mine")
    assert file is not None
    assert pl.read_parquet(file).equals(bars())
    assert shelf.changed(line) == ""


def test_the_same_again_changes_nothing_and_other_content_is_refused(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.add("mine", bars(), ORIGIN, AT)
    before = (tmp_path / "added" / "catalog.json").read_bytes()
    assert shelf.add("mine", bars().reverse(), ORIGIN, AT.replace(year=2027)).already
    with pytest.raises(ShelfRefused, match="with other content"):
        shelf.add("mine", bars(11.0), ORIGIN, AT)
    assert (tmp_path / "added" / "catalog.json").read_bytes() == before


def test_bars_that_no_session_can_be_made_of_leave_nothing_behind(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    mixed = pl.concat([bars(), bars().with_columns(symbol=pl.lit("EURUSD"))])
    with pytest.raises(DataRefused):
        shelf.add("mixed", mixed, ORIGIN, AT)
    assert shelf.lines() == ()
    assert [path.name for path in (tmp_path / "added").iterdir()] == ["catalog.json.writer"], "whose lock is let go of"


def test_two_who_change_the_shelf_at_once_are_one_refused(tmp_path: Path) -> None:
    """The catalog is replaced whole: whoever read it before the other wrote would forget the other's line."""
    shelf = Shelf(tmp_path)
    shelf.add("mine", bars(), ORIGIN, AT)
    lock = WriterLock(tmp_path / "added" / "catalog.json")
    try:
        with pytest.raises(ShelfRefused, match=r"another process changes the shelf .*wait until it is done"):
            shelf.add("other", bars(11.0), ORIGIN, AT)
        with pytest.raises(ShelfRefused, match="another process changes the shelf"):
            shelf.remove("mine")
    finally:
        lock.release()
    shelf.add("other", bars(11.0), ORIGIN, AT)
    assert shelf.names() == ("mine", "other")


@pytest.mark.parametrize("name", ["", "Ä", "../up", "UPPER", "a/b", "x" * 61])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ShelfRefused, match="is no name"):
        Shelf(tmp_path).add(name, bars(), ORIGIN, AT)


def test_what_was_changed_or_lost_is_seen(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    line = shelf.add("mine", bars(), ORIGIN, AT).line
    file = tmp_path / "added" / line.file
    bars(12.0).write_parquet(file)
    assert shelf.changed(line) == "the file was changed since it was added"
    file.unlink()
    assert shelf.changed(line) == "the file is gone"
    shelf.remove("mine")
    assert shelf.lines() == ()
    with pytest.raises(ShelfRefused, match="not on the shelf"):
        shelf.remove("mine")


def test_a_torn_catalog_is_named(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.add("mine", bars(), ORIGIN, AT)
    (tmp_path / "added" / "catalog.json").write_text("[{")
    with pytest.raises(ShelfRefused, match=r"catalog\.json cannot be read"):
        shelf.lines()


@pytest.mark.parametrize("name", list(PACKAGES))
def test_a_data_package_makes_bars_that_a_session_loads(tmp_path: Path, name: str) -> None:
    if not PACKAGES[name].installed:
        pytest.skip(f"{PACKAGES[name].name} is not installed")
    read, origin = of_package(package(name))
    shelf = Shelf(tmp_path)
    line = shelf.add(name, read(), origin, AT).line
    assert line.licence
    data = load_session(shelf.folder / line.file, line.last_ts.date(), history_days=3)
    assert len(data.universe) == len(line.symbols)


def test_an_unknown_package_is_named_with_those_there_are() -> None:
    with pytest.raises(PackageMissing, match="bokeh-sampledata"):
        package("yahoo")
