"""What there was when revisions began to be counted: the journal's tables and guards, and the projected tables (§6).

A book made before that is looked at, found to be this, and stamped; nothing in it is touched.
"""

from alembic import op
from sqlalchemy import MetaData

from qmworkbench.storage.migrations import PROJECTIONS, refuse_downgrade
from qmworkbench.storage.migrations.first_tables import PROJECTED
from qmworkbench.storage.paragraphs import tables_of

revision = "0001"
down_revision = None

_STREAMS = ("decisions", "telemetry")
_GENESIS = "0" * 64
_SQLITE = (
    "CREATE TABLE {t} (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, type TEXT NOT NULL, v INTEGER NOT NULL,\n"
    "  payload BLOB NOT NULL, prev_hash TEXT NOT NULL, hash TEXT NOT NULL)",
    "CREATE TRIGGER {t}_no_update BEFORE UPDATE ON {t}\n"
    "  BEGIN SELECT RAISE(ABORT, '{t} is append-only: a record is never changed'); END",
    "CREATE TRIGGER {t}_no_delete BEFORE DELETE ON {t}\n"
    "  BEGIN SELECT RAISE(ABORT, '{t} is append-only: a record is never removed'); END",
    "CREATE TRIGGER {t}_chained BEFORE INSERT ON {t}\n"
    "  WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM {t})\n"
    "    OR NEW.prev_hash IS NOT coalesce((SELECT hash FROM {t} WHERE seq = NEW.seq - 1), '{genesis}')\n"
    "  BEGIN SELECT RAISE(ABORT, '{t} grows only at its tail: the record does not follow the last one'); END",
)
_SQLITE_ONCE = (
    "CREATE INDEX decisions_sessions ON decisions (type, seq) WHERE type IN "
    "('session.opened', 'session.recovered', 'session.summarized', 'session.closed')",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "PRAGMA application_id = 1364019761",
)
_POSTGRES = """
CREATE TABLE {s}.meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE {s}.writer (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), epoch bigint NOT NULL,
  host text NOT NULL, pid bigint NOT NULL, since text NOT NULL
);
INSERT INTO {s}.writer VALUES (true, 0, '', 0, '');
CREATE FUNCTION {s}.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% is append-only: a record is never changed or removed', TG_TABLE_NAME; END $$;
CREATE FUNCTION {s}.fenced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE held bigint;
BEGIN
  SELECT epoch INTO held FROM {s}.writer FOR SHARE;
  IF held IS DISTINCT FROM nullif(current_setting('qm.epoch', true), '')::bigint THEN
    RAISE EXCEPTION 'fenced: another process writes this book (epoch %, this connection has %)',
      held, coalesce(current_setting('qm.epoch', true), 'none');
  END IF;
  RETURN NULL;
END $$;
"""
_POSTGRES_STREAM = """
CREATE TABLE {s}.{t} (
  seq bigint PRIMARY KEY, at text NOT NULL, type text NOT NULL, v integer NOT NULL,
  payload bytea NOT NULL, prev_hash text NOT NULL, hash text NOT NULL
);
CREATE FUNCTION {s}.{n}_follows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE first bigint; last_seq bigint; last_hash text;
BEGIN
  SELECT min(seq) INTO first FROM fresh;
  IF first IS NULL THEN RETURN NULL; END IF;
  SELECT seq, hash INTO last_seq, last_hash FROM {s}.{t} WHERE seq < first ORDER BY seq DESC LIMIT 1;
  IF first <> coalesce(last_seq, 0) + 1 OR EXISTS (
    SELECT FROM (
      SELECT seq, prev_hash, lag(seq) OVER (ORDER BY seq) AS seq_before, lag(hash) OVER (ORDER BY seq) AS hash_before
      FROM fresh
    ) AS chained
    WHERE CASE WHEN seq_before IS NULL THEN prev_hash <> coalesce(last_hash, '{genesis}')
               ELSE seq <> seq_before + 1 OR prev_hash <> hash_before END
  ) THEN RAISE EXCEPTION '{n} grows only at its tail: the record does not follow the last one'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER follows AFTER INSERT ON {s}.{t} REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION {s}.{n}_follows();
CREATE TRIGGER fenced BEFORE INSERT ON {s}.{t} FOR EACH STATEMENT EXECUTE FUNCTION {s}.fenced();
CREATE TRIGGER kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {s}.{t}
  FOR EACH STATEMENT EXECUTE FUNCTION {s}.append_only();
"""


def upgrade(part: str) -> None:
    """The tables of one part, from nothing."""
    if part == PROJECTIONS:
        _projections()
    elif op.get_bind().dialect.name == "postgresql":
        _journal_on_postgres()
    else:
        _journal_on_sqlite()


def _projections() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in ("decimal", "timestamp", "json"):
            op.execute(f'CREATE DOMAIN {name}_text AS text COLLATE "C"')
        op.execute("CREATE DOMAIN boolean_integer AS smallint")
    metadata = MetaData()
    tables_of(PROJECTED, metadata)
    metadata.create_all(op.get_bind())


def _journal_on_sqlite() -> None:
    for stream in _STREAMS:
        for statement in _SQLITE:
            op.get_bind().exec_driver_sql(statement.format(t=stream, genesis=_GENESIS))
    for statement in _SQLITE_ONCE:
        op.get_bind().exec_driver_sql(statement)


def _journal_on_postgres() -> None:
    bind = op.get_bind()
    schema = f'"{bind.exec_driver_sql("SELECT current_schema()").scalar_one()}"'
    server = bind.connection.dbapi_connection  # several statements at once, with signs SQLAlchemy would read as its own
    assert server is not None, "the caller connected it"
    server.execute(_POSTGRES.replace("{s}", schema))
    for stream in _STREAMS:
        server.execute(
            _POSTGRES_STREAM.replace("{s}", schema)
            .replace("{n}", stream)
            .replace("{t}", f'"{stream}"')
            .replace("{genesis}", _GENESIS)
        )


def downgrade(part: str) -> None:
    """Never. Raises StorageRefused."""
    refuse_downgrade(revision)
