"""docs/schema.md is what the tables say of themselves."""

from pathlib import Path

from qmworkbench.storage import tables
from qmworkbench.storage.column_meanings import MEANINGS
from qmworkbench.storage.paragraphs import ABOUT
from qmworkbench.storage.schema_page import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "schema.md"
# The tables the runbook's records and reports are asked for, by name.
ASKED_FOR = """account orders executions positions trades candidates assignments signals risk_violations
blocked_symbols reconciliations breaks alerts incidents health_samples slo_samples momentum_snapshots session_summaries
operator_notes"""


def test_the_page_is_written_from_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "write it again: python -m qmworkbench.storage.schema_page > docs/schema.md"
    )


def test_every_table_says_what_it_holds_and_those_asked_for_are_there() -> None:
    assert set(ASKED_FOR.split()) <= set(tables.METADATA.tables)
    assert not [name for name, table in tables.METADATA.tables.items() if not table.info[ABOUT]]


def test_every_meaning_is_of_a_column_there_is() -> None:
    known = {column.name for table in tables.METADATA.tables.values() for column in table.columns}
    known |= {f"{table.name}.{column.name}" for table in tables.METADATA.tables.values() for column in table.columns}
    assert set(MEANINGS) <= known
