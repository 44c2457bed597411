"""Who writes a journal in SQLite is in its file, with an epoch that fences, as it is in PostgreSQL (§5, §19)."""

from alembic import op

from qmworkbench.storage.migrations import JOURNAL, refuse_downgrade

revision = "0003"
down_revision = "0002"

_WRITER = (
    "CREATE TABLE writer (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL,\n"
    "  host TEXT NOT NULL, pid INTEGER NOT NULL, since TEXT NOT NULL)"
)


def upgrade(part: str) -> None:
    """The journal's tables on SQLite, from 0002; elsewhere nothing changes."""
    if part == JOURNAL and op.get_bind().dialect.name == "sqlite":
        op.execute(_WRITER)
        op.execute("INSERT INTO writer VALUES (1, 0, '', 0, '')")


def downgrade(part: str) -> None:
    """Never. Raises StorageRefused."""
    refuse_downgrade(revision)
