"""One history of the schema for both databases: from every earlier revision with data in it, never back (§6)."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, StaticPool, create_engine, inspect, text

from qmworkbench.storage import migrations, tables
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.storage.postgres import schema
from qmworkbench.storage.postgres.connection import connected
from qmworkbench.storage.postgres.journal import PostgresJournal
from qmworkbench.storage.postgres.projected import PostgresHome, name_of
from qmworkbench.storage.projection_home import Home, SqliteHome, prepared, sqlite_engine
from qmworkbench.storage.projections import Projector, dump
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreNewer
from tests import servers
from tests.storage.days import day
from tests.storage.events import decisions, timing

EARLIER = migrations.REVISIONS[:-1]
STORES = ["sqlite", "postgres"]
# The first one was without a stamp for a while.
HISTORY = [
    *(pytest.param(revision, True, id=f"{revision}, stamped") for revision in EARLIER),
    pytest.param(migrations.FIRST, False, id="of before they were counted"),
]
# Rows as tables of a revision had them, and which revisions' rows the later ones keep.
OLD_NOTE = {
    "0001": "INSERT INTO notes (note_id, text) VALUES ('n', 'an old note')",
    "0002": "INSERT INTO operator_notes (note_id, text) VALUES ('n', 'an old note')",
}
OLD_MARK = {
    "0001": "INSERT INTO watermarks (stream, seq, layout, hash, session, at) "
    "VALUES ('decisions', 5, 3, '{hash}', '', '')",
    "0002": "INSERT INTO watermarks (stream, seq, hash, session, at) VALUES ('decisions', 5, '{hash}', '', '')",
}
OLD_NOTE["0003"], OLD_MARK["0003"] = OLD_NOTE["0002"], OLD_MARK["0002"]
KEEPING = {"0002", "0003"}
_names = iter(range(1_000_000))


def moved(connection: Connection, part: str, to: str, way: Callable[[Config, str], None] = command.upgrade) -> None:
    """Alembic itself, to any revision."""
    settings = Config()
    settings.set_main_option("script_location", str(migrations.HERE))
    settings.attributes.update(connection=connection, part=part)
    way(settings, to)


class Book:
    """A place for a book in one of the databases, of any revision."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind, self.root = kind, root
        self.place = f"m{next(_names)}-{root.name}"[:50]
        self.dsn = servers.postgres().dsn() if kind == "postgres" else ""
        self.home: Home = (
            SqliteHome(root / "projections.db") if kind == "sqlite" else PostgresHome(self.dsn, self.place)
        )

    def open(self) -> ChainedJournal[Any]:
        if self.kind == "sqlite":
            return SqliteJournal(self.root / "journal.db", book="test")
        return PostgresJournal(self.dsn, book="test", place=self.place)

    def engine(self, part: str) -> Engine:
        """A connection whose names are those of one part."""
        if self.kind == "sqlite":
            return sqlite_engine(self.root / f"{part}.db")
        name = schema.name_of(self.place) if part == migrations.JOURNAL else name_of(self.place)
        raw = connected(self.dsn)
        raw.execute(f'CREATE SCHEMA IF NOT EXISTS "{name}"'.encode())
        raw.execute(f'SET search_path = "{name}"'.encode())
        raw.autocommit = False
        return create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=StaticPool)

    def journal_of(self, revision: str, count: int) -> None:
        """A journal of a revision, with records in it."""
        source = MemoryJournal()
        source.append(decisions(count))
        source.append_telemetry([timing(1)])
        with closing_engine(self.engine(migrations.JOURNAL)) as engine, engine.begin() as connection:
            moved(connection, migrations.JOURNAL, revision)
            if self.kind == "postgres":
                connection.exec_driver_sql("SELECT set_config('qm.epoch', '0', false)")
            for key, value in {"layout": "1", "book": "test", "created": "2026-01-01T00:00:00Z"}.items():
                connection.execute(text("INSERT INTO meta VALUES (:k, :v)"), {"k": key, "v": value})
            for stream in ("decisions", "telemetry"):
                for seq, kind, payload, before, digest in (
                    (r.seq, r.type, r.payload, r.prev_hash, r.hash) for r in source.records(stream=stream)
                ):
                    at = next(part for part in payload.decode().split('"') if part.startswith("20"))
                    connection.execute(
                        text(f"INSERT INTO {stream} VALUES (:seq, :at, :type, 1, :payload, :before, :hash)"),
                        {"seq": seq, "at": at, "type": kind, "payload": payload, "before": before, "hash": digest},
                    )


class closing_engine:
    """An engine that is given up whole."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __enter__(self) -> Engine:
        return self.engine

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()


@pytest.fixture(params=STORES)
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Book:
    return Book(request.param, tmp_path)


def test_the_history_is_one_line_and_known() -> None:
    script = ScriptDirectory(str(migrations.HERE))
    assert tuple(reversed([revision.revision for revision in script.walk_revisions()])) == migrations.REVISIONS
    assert script.get_heads() == [migrations.HEAD]


def laid_out(connection: Connection) -> dict[str, Any]:
    """What a database holds, in its own words, without names that differ from place to place."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")).all()
        return {name: " ".join(sql.split()) for name, sql in rows if name != migrations.VERSION_TABLE}
    found: dict[str, Any] = {}
    for kind, query in {
        "index": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()",
        "trigger": "SELECT tgrelid::regclass || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal "
        "AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)",
        "function": "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace",
        "domain": "SELECT typname, format_type(typbasetype, typtypmod) || typcollation FROM pg_type "
        "WHERE typtype = 'd' AND typnamespace = current_schema()::regnamespace",
        "column": "SELECT table_name || '.' || column_name, concat_ws(' ', data_type, domain_name, collation_name, "
        "is_nullable, column_default) FROM information_schema.columns WHERE table_schema = current_schema()",
    }.items():
        for name, told in connection.execute(text(query)).all():
            here = connection.execute(text("SELECT current_schema()")).scalar_one()
            found[f"{kind} {name}".replace(here, "S")] = told.replace(here, "S").replace('"S"', "S")
    return found


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("part", [migrations.JOURNAL, migrations.PROJECTIONS])
def test_a_new_book_is_what_the_whole_history_makes(kind: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "grown").mkdir()
    new, grown = Book(kind, tmp_path / "new"), Book(kind, tmp_path / "grown")
    if part == migrations.JOURNAL:
        new.open().close()
    else:
        Projector(new.home).close()
    with closing_engine(grown.engine(part)) as engine, engine.begin() as connection:
        moved(connection, part, "head")
        by_history = laid_out(connection)
    with closing_engine(new.engine(part)) as engine, engine.begin() as connection:
        by_itself = laid_out(connection)
    assert len(by_itself) > 5
    if kind == "sqlite" and part == migrations.PROJECTIONS:
        return  # an ALTER leaves its own spelling in the file; the columns are compared below
    assert by_history == by_itself


def test_the_projected_tables_of_the_history_are_those_of_the_code(book: Book) -> None:
    with closing_engine(book.engine(migrations.PROJECTIONS)) as engine, engine.begin() as connection:
        moved(connection, migrations.PROJECTIONS, "head")
        seen = inspect(connection)
        assert {*seen.get_table_names()} - {migrations.VERSION_TABLE} == {*tables.METADATA.tables}
        for name, table in tables.METADATA.tables.items():
            assert [column["name"] for column in seen.get_columns(name)] == table.columns.keys(), name
            keys = [column.name for column in table.primary_key.columns]
            assert sorted(seen.get_pk_constraint(name)["constrained_columns"]) == sorted(keys), name
            assert {index["name"] for index in seen.get_indexes(name)} == {index.name for index in table.indexes}, name


@pytest.mark.parametrize(("revision", "stamped"), HISTORY)
def test_a_journal_of_every_earlier_revision_is_brought_up_with_its_records(
    book: Book, revision: str, stamped: bool
) -> None:
    book.journal_of(revision, 9)
    if not stamped:
        with closing_engine(book.engine(migrations.JOURNAL)) as engine, engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE alembic_version")
    with book.open() as journal:
        assert journal.upgraded_from == revision
        assert [event for _, event in journal.read()] == decisions(9)
        journal.append(decisions(2, first=10))
        assert journal.verify()["decisions"][0] == 11
    with book.open() as journal:
        assert journal.upgraded_from == ""
        assert journal.head[0] == 11


@pytest.mark.parametrize(("revision", "stamped"), HISTORY)
def test_tables_of_every_earlier_revision_end_as_a_rebuild_makes_them(
    book: Book, revision: str, stamped: bool, tmp_path: Path
) -> None:
    journal = MemoryJournal()
    journal.append(day(1))
    with closing_engine(book.engine(migrations.PROJECTIONS)) as engine, engine.begin() as connection:
        moved(connection, migrations.PROJECTIONS, revision)
        connection.exec_driver_sql("INSERT INTO orders (cl_ord_id, seq) VALUES ('old', 3)")
        connection.exec_driver_sql(OLD_NOTE[revision])
        connection.exec_driver_sql(OLD_MARK[revision].format(hash=journal.hash_at(5)))
        if not stamped:
            connection.exec_driver_sql("DROP TABLE alembic_version")
    projector = Projector(book.home)
    if revision in KEEPING:
        assert (projector.rebuilt_because, projector._marks["decisions"].seq) == ("", 5), (
            "what is there is gone on from"
        )
        projector.rebuild(journal)
    else:
        assert f"had schema revision {revision}, this version writes {migrations.HEAD}" in projector.rebuilt_because
        projector.catch_up(journal)
    fresh = Projector(tmp_path / "fresh.db")
    fresh.catch_up(journal)
    assert dump(projector._connection) == dump(fresh._connection)
    projector.close()
    fresh.close()
    again = Projector(book.home)
    assert (again.rebuilt_because, again.lag(journal)) == ("", 0)
    again.close()


def newer(book: Book, part: str) -> None:
    with closing_engine(book.engine(part)) as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")


def test_a_newer_schema_is_refused_naming_both_and_the_remedy(book: Book) -> None:
    told = rf"has schema revision 9999, this version of the workbench knows up to {migrations.HEAD}: update"
    book.open().close()
    newer(book, migrations.JOURNAL)
    with pytest.raises(StoreNewer, match=told):
        book.open()
    Projector(book.home).close()
    newer(book, migrations.PROJECTIONS)
    with pytest.raises(StoreNewer, match=rf"{told} the workbench, or make them again .*`qm journal project --rebuild`"):
        Projector(book.home)


def test_there_is_no_way_back(book: Book) -> None:
    book.open().close()
    Projector(book.home).close()
    for part in (migrations.JOURNAL, migrations.PROJECTIONS):
        with closing_engine(book.engine(part)) as engine, engine.connect() as connection:
            with pytest.raises(StorageRefused, match=r"000\d is not taken back: .* no place .*`qm restore`"):
                moved(connection, part, "0001", command.downgrade)
            connection.rollback()
    book.open().close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    book = Book("postgres", tmp_path)
    book.journal_of("0001", 3)
    with closing_engine(book.engine(migrations.JOURNAL)) as engine, engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE writer ADD COLUMN ttl_s text")
    with pytest.raises(
        StoreDamaged, match=rf"could not be brought to schema revision {migrations.HEAD} .*ttl_s.*nothing was changed"
    ):
        book.open()
    with closing_engine(book.engine(migrations.JOURNAL)) as engine, engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0001"
        assert "decisions_sessions" not in {index["name"] for index in inspect(connection).get_indexes("decisions")}
        connection.exec_driver_sql("ALTER TABLE writer DROP COLUMN ttl_s")
    with book.open() as journal:
        assert journal.upgraded_from == "0001"


def test_nothing_of_alembic_is_loaded_where_nothing_is_to_be_done(tmp_path: Path) -> None:
    import subprocess
    import sys

    book = Book("sqlite", tmp_path)
    book.open().close()
    script = (
        "import sys\nfrom pathlib import Path\nfrom qmworkbench.storage.journal import SqliteJournal\n"
        f"SqliteJournal(Path({str(tmp_path / 'journal.db')!r})).close()\n"
        "print([name for name in ('alembic', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrations.HEAD,)]


def test_tables_are_laid_out_once(tmp_path: Path) -> None:
    home = SqliteHome(tmp_path / "projections.db")
    engine, let_go = home.open()
    assert prepared(home, engine) == ""
    assert prepared(home, engine) == ""
    engine.dispose()
    let_go()
