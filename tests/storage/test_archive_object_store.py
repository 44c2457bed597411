"""An archive in an object store, over real sockets: written, pruned when read, refused with no word too much (§17)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.storage import archive_index
from qmworkbench.storage.archive import archive_book, check_session, home_of, waiting
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.archive_reader import open_archive
from qmworkbench.storage.reading import open_book
from qmworkbench.storage.refused import StorageRefused, StoreMissing
from qmworkbench.storage.retention import carry_out, plan
from tests.storage import archived
from tests.storage.archived import BOOK, FIRST, SECOND, THIRD
from tests.storage.object_store import KEY, SECRET, ObjectStore, serving
from tests.storage.retention_process import RULE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with serving() as running:
        for name, value in running.environ().items():
            monkeypatch.setenv(name, value)
        yield running


def test_a_book_is_archived_to_an_object_store_and_read_from_there(store: ObjectStore, tmp_path: Path) -> None:
    place = Place(store.place())
    with open_book(archived.made(tmp_path / "book").root) as reader:
        store.refuse_puts_of = f"date={THIRD[6:]}/orders.parquet"
        with pytest.raises(StorageRefused, match="cannot be written") as refused:
            archive_book(reader, place)
        assert SECRET not in str(refused.value)
        assert waiting(reader, place) == [THIRD], "what was not written whole is not archived"
        assert open_archive(str(place)).sessions()["session_id"].to_list() == [FIRST, SECOND]
        store.refuse_puts_of = ""
        assert [one.session_id for one in archive_book(reader, place)] == [THIRD]
        home = home_of(reader, place)
        known = archive_index.read(home)
        assert [check_session(home, one, reader).wrong for one in known] == [(), (), ()]
        trades = reader.table("trades")
        done = carry_out(reader, plan(reader, RULE, place), place)
        assert (len(done.let_go), done.kept) == (7, ())
        assert not reader.paths.session(FIRST).radar.exists()
    archive = open_archive(str(place), book=BOOK)
    _reads_no_more_than_it_must(store, archive_rows=archive.scan("trades", since="2026-03-03"))
    store.asked.clear()
    every_day = archive.scan("bars").filter(pl.col("date") == date(2026, 3, 3)).select(pl.col("volume").sum())
    assert every_day.collect().item() > 0
    data = [key for method, key, asked in store.asked if method == "GET" and not asked.startswith("bytes=-")]
    assert {key.split("date=")[1][:10] for key in data} <= {"2026-03-03"}, "of other days the ends of files alone"
    assert archive.scan("trades").select(trades.columns).sort("seq").collect().equals(trades.sort("seq"))
    _over_http(store, str(home))


def _reads_no_more_than_it_must(store: ObjectStore, archive_rows: pl.LazyFrame) -> None:
    store.asked.clear()
    assert archive_rows.select("symbol").collect().height == 9
    assert {key.split("date=")[1][:10] for key in store.fetched(".parquet")} == {"2026-03-03", "2026-03-04"}
    assert {key.rsplit("/", 1)[1] for key in store.fetched(".parquet")} == {"trades.parquet"}


def _over_http(store: ObjectStore, home: str) -> None:
    """The same files as any web server gives them: no list, no credentials."""
    store.signed = False
    web = f"{store.address}/{store.bucket}"
    archive = open_archive(f"{web}/{home.split(f'{store.bucket}/')[1]}")
    assert archive.scan("trades", session=SECOND).collect().height == 9
    assert archive.sessions()["session_id"].to_list() == [FIRST, SECOND, THIRD]
    with pytest.raises(StoreMissing, match="a web server does not say what it has; give the address of one book's own"):
        open_archive(f"{web}/archive")
    with pytest.raises(StoreMissing, match=r"there is no http.*record=0/sessions\.parquet"):
        open_archive(f"{web}/archive/environment=local/book={BOOK}/record=0")


def test_a_large_table_goes_up_in_parts_whole_or_not_at_all(store: ObjectStore, tmp_path: Path) -> None:
    """In processes of their own: polars asks once how large a part is."""
    paths = archived.made(tmp_path / "book", third="none")
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"at": range(60_000), "x": rng.random(60_000)})
    table.write_parquet(paths.session(FIRST).bars / "large.parquet")
    large, size = f"date={FIRST[6:]}/large.parquet", table.estimated_size()
    code = (
        "from qmworkbench.storage.archive import archive_book\n"
        "from qmworkbench.storage.archive_place import Place\n"
        "from qmworkbench.storage.reading import open_book\n"
        f"with open_book('{paths.root}') as reader: archive_book(reader, Place('{store.place()}'))"
    )
    environ = {**store.environ(), "PATH": "/usr/bin:/bin", "POLARS_UPLOAD_CHUNK_SIZE": str(size // 10)}

    def archive() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    store.refuse_puts_of, store.refuse_from_part = large, 3
    refused = archive()
    assert refused.returncode != 0
    assert f"{large} cannot be written" in refused.stderr
    assert SECRET not in refused.stderr
    assert not any(key.endswith(large) for key in store.objects), "two parts of it are no table"
    with open_book(paths.root) as reader:
        assert waiting(reader, Place(store.place())) == [FIRST]
        expired = plan(reader, RULE, Place(store.place()), today=date(2026, 4, 1))
        assert carry_out(reader, expired, Place(store.place())).let_go == (), "nothing goes of what is not there"
    store.refuse_puts_of = ""
    done = archive()
    assert done.returncode == 0, done.stderr
    assert next(parts for key, parts in store.parts.items() if key.endswith(large)) >= 5
    assert not list(paths.root.glob("archiving*")), "what was gathered for it is gone"
    with open_book(paths.root) as reader:
        home = home_of(reader, Place(store.place()))
        assert check_session(home, archive_index.read(home)[0], reader).wrong == ()
    assert home.read(large).equals(table)


def test_what_a_store_keeps_wrong_is_not_archived_and_nothing_goes(store: ObjectStore, tmp_path: Path) -> None:
    place = Place(store.place())
    with open_book(archived.made(tmp_path / "book", third="none").root) as reader:
        store.spoil_puts_of = f"date={FIRST[6:]}/radar.parquet"
        with pytest.raises(
            StorageRefused, match=r"radar\.parquet (did not read back as it was written|cannot be read)"
        ):
            archive_book(reader, place)
        before = archived.files_of(reader.paths.root)
        done = carry_out(reader, plan(reader, RULE, place, today=date(2026, 4, 1)), place)
        assert done.let_go == ()
        assert all("it is not archived at" in kept.why for kept in done.kept)
        assert archived.files_of(reader.paths.root) == before


def test_a_place_without_credentials_names_those_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with open_book(archived.made(tmp_path / "book", third="none").root) as reader:
        before = archived.files_of(reader.paths.root)
        for address, needs in {
            "az://desk/archive": "there are no credentials for az://; .*AZURE_STORAGE_ACCOUNT_NAME with AZURE_",
            "gs://desk/archive": rf"{tmp_path}/gone\.json.*\(GOOGLE_APPLICATION_CREDENTIALS, the path of a service",
        }.items():
            with pytest.raises(StorageRefused, match=needs):
                archive_book(reader, Place(address))
            with pytest.raises(StorageRefused, match=needs):
                plan(reader, RULE, Place(address))
        assert archived.files_of(reader.paths.root) == before


def test_a_store_that_refuses_says_so_without_the_secret(store: ObjectStore) -> None:
    """In a process of its own: polars remembers credentials it has used."""
    code = (
        "from qmworkbench.storage.archive_reader import open_archive\n"
        f"try: open_archive('{store.place()}')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    environ = {**store.environ(), "AWS_ACCESS_KEY_ID": "AKIAANOTHER", "PATH": "/usr/bin:/bin"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    ).stdout
    assert told.startswith("ArchiveRefused")
    assert "403" in told
    assert "credentials come from the environment alone" in told
    assert SECRET not in told
    assert KEY not in told
