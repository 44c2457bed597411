"""Incidents, scans, summaries, service levels as tables; the lease in PostgreSQL's writer row (§17, §21)."""

import sqlalchemy as sa
from alembic import op

from qmworkbench.storage.migrations import PROJECTIONS, refuse_downgrade
from qmworkbench.storage.paragraphs import tables_of

revision = "0002"
down_revision = "0001"

ADDED = """
incidents (seq)
  whole seq
  text session_id incident_id source priority kind subject text by
  moment opened_at ended_at
  text outcome

slo_samples (seq)
  whole seq
  text session_id sli window
  moment at
  whole good_events valid_events
  exact objective error_budget burn_rate

momentum_snapshots (session_id as_of)
  text session_id
  moment as_of
  text frame_hash radar_hash
  whole candidates near_misses signals
  text best_symbol
  real best_score
  text silenced
  whole seq

session_summaries (session_id)
  text session_id environment date
  moment opened_at
  whole trades orders fills breaks
  exact net_pnl
  flag recovered
  moment summarized_at
  whole seq
"""


def upgrade(part: str) -> None:
    """The tables of both parts, from 0001."""
    if part == PROJECTIONS:
        _projections()
    elif op.get_bind().dialect.name == "postgresql":
        _journal_on_postgres()


def _projections() -> None:
    """Tables that events of long ago belong in are filled by folding again: everything is emptied, its place too."""
    bind = op.get_bind()
    op.drop_index("notes_by_session", "notes")
    op.rename_table("notes", "operator_notes")
    op.create_index("operator_notes_by_session", "operator_notes", ["session_id"])
    if bind.dialect.name == "postgresql":
        # A renamed table keeps its key's old name, and its index: told apart by nobody but a comparison.
        op.execute("ALTER INDEX notes_pkey RENAME TO operator_notes_pkey")
    op.drop_column("watermarks", "layout")
    metadata = sa.MetaData()
    tables_of(ADDED, metadata)
    metadata.create_all(bind)
    for name in sa.inspect(bind).get_table_names():
        if name != "alembic_version":
            op.execute(f'DELETE FROM "{name}"')


def _journal_on_postgres() -> None:
    """Sessions are found without walking the journal, as on SQLite; a standby sees whether the writer still lives."""
    op.execute(
        "CREATE INDEX decisions_sessions ON decisions (type, seq) WHERE type IN "
        "('session.opened', 'session.recovered', 'session.summarized', 'session.closed')"
    )
    op.execute("ALTER TABLE writer ADD COLUMN process_id text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE writer ADD COLUMN beat bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE writer ADD COLUMN ttl_s double precision NOT NULL DEFAULT 0")


def downgrade(part: str) -> None:
    """Never. Raises StorageRefused."""
    refuse_downgrade(revision)
