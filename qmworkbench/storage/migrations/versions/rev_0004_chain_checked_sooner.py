"""PostgreSQL holds a statement's records to the chain in one look at them, and a lone record in less (§21)."""

from alembic import op

from qmworkbench.storage.migrations import JOURNAL, refuse_downgrade

revision = "0004"
down_revision = "0003"

_FOLLOWS = """
CREATE OR REPLACE FUNCTION {s}.{t}_follows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE first bigint; last bigint; fresh_rows bigint; before text; chained boolean;
BEGIN
  SELECT min(seq), max(seq), count(*) INTO first, last, fresh_rows FROM fresh;
  IF fresh_rows = 0 THEN RETURN NULL; END IF;
  SELECT hash INTO before FROM {s}."{t}" WHERE seq = first - 1;
  IF before IS NULL AND first = 1 THEN before := '{genesis}'; END IF;
  -- No sequence is there twice: as many records as numbers from first to last means that none is missing.
  chained := before IS NOT NULL AND last - first + 1 = fresh_rows;
  IF chained AND fresh_rows = 1 THEN
    SELECT prev_hash = before INTO chained FROM fresh;
  ELSIF chained THEN
    SELECT bool_and(prev_hash = expected) INTO chained
      FROM (SELECT prev_hash, lag(hash, 1, before) OVER (ORDER BY seq) AS expected FROM fresh) AS links;
  END IF;
  IF chained IS NOT TRUE THEN
    RAISE EXCEPTION '{t} grows only at its tail: the record does not follow the last one';
  END IF;
  RETURN NULL;
END $$
"""


def upgrade(part: str) -> None:
    """The journal's guards in PostgreSQL, from 0003; elsewhere nothing changes. What they hold to is the same."""
    if part != JOURNAL or op.get_bind().dialect.name != "postgresql":
        return
    bind = op.get_bind()
    schema = f'"{bind.exec_driver_sql("SELECT current_schema()").scalar_one()}"'
    server = bind.connection.dbapi_connection  # a percent sign in the schema's name is none of SQLAlchemy's
    assert server is not None, "the caller connected it"
    for stream in ("decisions", "telemetry"):
        server.execute(_FOLLOWS.replace("{s}", schema).replace("{t}", stream).replace("{genesis}", "0" * 64))


def downgrade(part: str) -> None:
    """Never. Raises StorageRefused."""
    refuse_downgrade(revision)
