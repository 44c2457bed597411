"""The schema's history, one for SQLite and PostgreSQL, for the journal's tables and the projected ones (§6).

What is found is looked up without Alembic, which takes most of a second to import; it is loaded where there is
something to do. A schema is never taken back: records written since would have no place in it.
"""

from pathlib import Path
from typing import Any, Final

from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreNewer

JOURNAL: Final = "journal"
PROJECTIONS: Final = "projections"
# Oldest first; a test holds them to what lies in versions/.
REVISIONS: Final = ("0001", "0002", "0003", "0004")
HEAD: Final = REVISIONS[-1]
# Of a book made before revisions were counted, once it has been looked at.
FIRST: Final = REVISIONS[0]
VERSION_TABLE: Final = "alembic_version"
# As Alembic itself would make it, so that either may have.
VERSION_DDL: Final = (
    f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
    f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
)
HERE: Final = Path(__file__).parent


def demand_known(found: str, where: str, remedy: str = "update the workbench to open it") -> str:
    """The revision found, where this version knows it. Raises StoreNewer naming both and the remedy."""
    if found not in REVISIONS:
        raise StoreNewer(
            f"{where} has schema revision {found}, this version of the workbench knows up to {HEAD}: {remedy}"
        )
    return found


def upgrade(connection: Any, part: str, where: str) -> None:
    """Bring the tables of `part` on a SQLAlchemy connection to HEAD, in the caller's transaction.

    Raises StorageRefused naming the revision that failed; the caller's transaction then takes everything back.
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy.exc import SQLAlchemyError

    settings = Config()
    settings.set_main_option("script_location", str(HERE).replace("%", "%%"))
    settings.attributes.update(connection=connection, part=part)
    try:
        command.upgrade(settings, "head")
    except SQLAlchemyError as error:
        raise StoreDamaged(
            f"{where} could not be brought to schema revision {HEAD} ({error.__cause__ or error}): nothing was "
            "changed. Restore it from a backup, or open it with the version that wrote it"
        ) from error


def refuse_downgrade(revision: str) -> None:
    """Every revision's way back. Raises StorageRefused."""
    raise StorageRefused(
        f"schema revision {revision} is not taken back: what was recorded under it would have no place in an older "
        "one. Go back with `qm restore` of a backup from before, and the version that took it; projections are made "
        "again from the journal by whichever version opens them"
    )
