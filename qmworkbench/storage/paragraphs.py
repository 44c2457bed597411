"""Tables from plain paragraphs, in SQLAlchemy's words: the same in SQLite and PostgreSQL (§17)."""

from sqlalchemy import Column, Index, MetaData, Table

from qmworkbench.storage.column_types import TYPES

ABOUT = "about"


def tables_of(text: str, metadata: MetaData) -> dict[str, Table]:
    """Every table of `text`, by name, added to `metadata`.

    A paragraph is `name (primary key)`, then `- what a row is` where that is said, then lines of a type and the columns
    of that type. A table that knows its session and whose key does not begin with it has an index by session.
    """
    return {table.name: table for table in (_table(part, metadata) for part in text.strip().split("\n\n"))}


def _table(paragraph: str, metadata: MetaData) -> Table:
    title, *lines = paragraph.splitlines()
    name, keys = title.split(" ", 1)[0], title.split(" ", 1)[1].strip("()").split()
    about = "".join(line[2:] for line in lines if line.startswith("- "))
    columns: list[Column[object]] = []
    for line in lines:
        if line.startswith("- "):
            continue
        kind, *names = line.split()
        columns += [Column(n, TYPES[kind], primary_key=n in keys, nullable=n not in keys) for n in names]
    by_session = any(column.name == "session_id" for column in columns) and keys[0] != "session_id"
    indexes = [Index(f"{name}_by_session", "session_id")] if by_session else []
    return Table(name, metadata, *columns, *indexes, info={ABOUT: about})
