"""`qm backup`, `restore`, `retention`, `journal anchor`, `services`: what keeps a book, as typed (§5, §19)."""

import shutil
from pathlib import Path

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.storage.stores import store_of
from tests import servers
from tests.cli.books import SESSION, answer, book_in, qm


def test_a_closed_book_is_backed_up_checked_and_comes_back(closed_home: Path) -> None:
    done = qm(closed_home, "backup", "--json")
    assert done.returncode == Exit.OK, done.stderr
    made = Path(answer(done)["backup"])
    heads = answer(qm(closed_home, "journal", "verify", "--json"))["heads"]
    assert answer(done)["manifest"]["heads"]["decisions"] == [heads["decisions"]["seq"], heads["decisions"]["hash"]]
    checked = qm(closed_home, "restore", str(made), "--check")
    assert checked.returncode == Exit.OK
    assert "whole, and its chain verifies" in checked.stdout
    over = qm(closed_home, "restore", str(made))
    assert over.returncode == Exit.FAILED
    assert "a restore never overwrites" in over.stderr
    root = book_in(closed_home).root
    shutil.rmtree(root)
    back = qm(closed_home, "restore", str(made))
    assert back.returncode == Exit.OK, back.stderr
    assert "reconciles with the broker before any entry" in back.stdout
    assert answer(qm(closed_home, "journal", "verify", "--json"))["heads"] == heads
    (made / "journal.db").unlink()
    spoilt = qm(closed_home, "restore", str(made), "--check")
    assert spoilt.returncode == Exit.NO_GO
    assert "journal.db cannot be read" in spoilt.stderr


def test_a_book_moves_into_postgres_and_back_by_its_backup_with_every_journal_command(closed_home: Path) -> None:
    """`qm journal verify|tail|export|anchor`, `qm backup`: they ask for a book, not for where it lies."""
    signed = qm(closed_home, "journal", "anchor", "--sign")
    assert signed.returncode == Exit.OK, signed.stderr
    at_first = told_of(closed_home)
    assert at_first[1].count("\n") == 3
    for store in ("postgres", "sqlite"):
        made = answer(qm(closed_home, "backup", "--to", str(closed_home / f"before-{store}"), "--json"))["backup"]
        shutil.rmtree(book_in(closed_home).root)
        back = qm(closed_home, "restore", made, "--store", store, QM_SERVERS__POSTGRES=servers.postgres().dsn())
        assert back.returncode == Exit.OK, back.stderr
        assert f"journal in {store}" in back.stdout
        assert store_of(book_in(closed_home)).kind == store
        assert told_of(closed_home) == at_first
        assert "the journal holds what was anchored at" in qm(closed_home, "journal", "anchor").stdout


def told_of(home: Path) -> tuple[object, str, str]:
    """What a book's record says: its heads, proved, its last fills, and every line of it."""
    tail = ("journal", "tail", "-n", "3", "--type", "fill.recorded", "--session", SESSION)
    heads = answer(qm(home, "journal", "verify", "--json"))["heads"]
    return heads, qm(home, *tail).stdout, qm(home, "journal", "export").stdout


def test_a_directory_that_is_no_backup_is_named(tmp_path: Path) -> None:
    done = qm(tmp_path, "restore", str(tmp_path))
    assert done.returncode == Exit.FAILED
    assert "is no backup: there is no manifest.json in it" in done.stderr
    assert "Traceback" not in done.stderr


def test_retention_says_what_would_go_and_lets_go_of_that_alone(closed_home: Path) -> None:
    book = book_in(closed_home)
    before = {path for path in book.sessions.rglob("*") if path.is_file()}
    assert before
    dry = qm(closed_home, "retention", "run", "--dry-run", "--json")
    assert dry.returncode == Exit.OK, dry.stderr
    assert answer(dry)["expired"] == [], "today's session is not old"
    assert answer(dry)["freed_bytes"] is None
    assert "orders and journal for good" in answer(dry)["rule"]
    done = qm(closed_home, "retention", "run")
    assert done.returncode == Exit.OK, done.stderr
    assert {path for path in book.sessions.rglob("*") if path.is_file()} == before


def test_the_anchor_of_a_book_says_how_it_stands(closed_home: Path) -> None:
    done = qm(closed_home, "journal", "anchor")
    assert done.returncode == Exit.OK, done.stderr
    assert "the journal holds what was anchored at" in done.stdout or "not anchored yet" in done.stdout


def test_services_tell_what_there_is_and_start_nothing(tmp_path: Path) -> None:
    done = qm(tmp_path, "services", "status", "--json")
    assert done.returncode == Exit.OK, done.stderr
    assert {one["kind"] for one in answer(done)["servers"]} == {"postgres", "redis"}
    assert {one["state"] for one in answer(done)["servers"]} <= {"stopped", "missing"}
    wrong = qm(tmp_path, "services", "up", "--only", "mysql")
    assert wrong.returncode == Exit.FAILED
    assert "give one of postgres, redis" in wrong.stderr
