"""`qm journal project`: tables brought up to the record, made again, and refused where they are of a newer version."""

import sqlite3
from contextlib import closing
from pathlib import Path

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.storage.migrations import HEAD
from tests.cli.books import answer, book_in, qm


def test_tables_are_made_again_whatever_was_there(closed_home: Path) -> None:
    book = book_in(closed_home).root
    head = answer(qm(closed_home, "journal", "verify", str(book), "--json"))["heads"]["decisions"]["seq"]
    with closing(sqlite3.connect(book / "projections.db")) as tables:
        before = tables.execute("SELECT * FROM orders ORDER BY cl_ord_id").fetchall()
    assert before
    done = answer(qm(closed_home, "journal", "project", str(book), "--json"))
    assert (done["records"], done["seq"], done["head"], done["refilled_because"]) == (0, head, head, "")
    with closing(sqlite3.connect(book / "projections.db")) as tables, tables:
        tables.execute("UPDATE alembic_version SET version_num = '9999'")
        tables.execute("DELETE FROM orders")
    newer = qm(closed_home, "journal", "project", str(book))
    assert newer.returncode == Exit.FAILED
    assert f"has schema revision 9999, this version of the workbench knows up to {HEAD}" in newer.stderr
    again = qm(closed_home, "journal", "project", str(book), "--rebuild")
    assert f"schema revision {HEAD}" in again.stdout
    assert f"up to decision {head:,}" in again.stdout
    with closing(sqlite3.connect(book / "projections.db")) as tables:
        assert tables.execute("SELECT * FROM orders ORDER BY cl_ord_id").fetchall() == before
