"""docs/schema.md, written from the tables themselves; a test holds the page to it (§17).

python -m qmworkbench.storage.schema_page > docs/schema.md
"""

import sys
from typing import Final

from sqlalchemy import Table

from qmworkbench.storage import migrations, tables
from qmworkbench.storage.column_meanings import meaning
from qmworkbench.storage.column_types import TYPES
from qmworkbench.storage.paragraphs import ABOUT

_KINDS: Final = {
    "text": ("text", "plain text"),
    "whole": ("whole", "a whole number"),
    "real": ("real", "a binary float: measured, never money"),
    "exact": ("exact", "a decimal number as text, every digit kept; cast it to compute with it"),
    "moment": ("moment", "ISO 8601 text in UTC, ending in Z"),
    "flag": ("flag", "0 or 1"),
    "json": ("json", "a JSON document as text"),
}
_OPENING: Final = """# The tables of a book

What happened, as tables that SQL can ask. They are made from the journal, by every running session and by
`qm journal project`, and are never the record themselves: no safety rule reads one, and `qm journal project --rebuild`
makes them again, row for row the same. They follow the journal with a lag that `watermarks` shows, as do the command
center and `book.watermark()`.

They lie where the journal lies. For a book in SQLite that is `projections.db` in its directory; for one in PostgreSQL
the schema `read_NAME` beside the journal's own. Tables, columns and every stored character are the same in both, so the
same query serves both. Whoever should look at a book in PostgreSQL without touching anything is granted the role
`qm_reader`. This page describes schema revision {head}.

## Reading them

Notebooks read them with polars, through the book's one read-only door. The connection cannot write.

```python
import polars as pl
from qmworkbench.storage.reading import open_book

with open_book("data/books/local/main") as book:
    trades = book.table("trades")  # typed: times are datetimes, decimals floats (exact=True keeps them text)
    connection = book.connection()
    by_strategy = pl.read_database(
        "SELECT strategy_id, count(*) AS trades, sum(CAST(net_pnl AS double precision)) AS net_pnl "
        "FROM trades GROUP BY strategy_id ORDER BY strategy_id",
        connection,
    )
    connection.close()
```

Stored values, and what they are:

{kinds}

NULL means absent or not yet. Money is in the account's currency unless the column is a price, which is in the
instrument's. `boundaries`, `health_samples` and `processes` come from telemetry, which knows no session: cut them by
time.

## Migrations

The schema has one history for SQLite and PostgreSQL, for the journal's tables and for these. A book of an older
revision is brought to the newest before it is opened for writing, whole or not at all, with its lock held; startup
shows the revision under its second service. A book of a newer revision is refused, naming both. Nothing is ever taken
back to an older one: restore a backup from before instead.

## Tables
"""


def page() -> str:
    """The whole page."""
    kinds = "\n".join(f"- *{name}*: {told}" for name, told in _KINDS.values())
    parts = [_OPENING.format(head=migrations.HEAD, kinds=kinds)]
    parts += [_table(table) for _, table in sorted(tables.METADATA.tables.items())]
    return "\n".join(parts)


def _table(table: Table) -> str:
    keys = ", ".join(f"`{column.name}`" for column in table.primary_key.columns)
    kinds = {id(kind): name for name, kind in TYPES.items()}
    lines = [f"### {table.name}", "", f"{table.info[ABOUT]} Key: {keys}.", "", "| column | is | |", "|---|---|---|"]
    for column in table.columns:
        lines.append(f"| `{column.name}` | {kinds[id(column.type)]} | {meaning(table.name, column.name)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
