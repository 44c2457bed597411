"""Retention: what has expired is shown first, and orders and journal are out of its reach."""

from datetime import date
from pathlib import Path

import pytest

from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.retention import Expired, Retention, carry_out, plan

TODAY = date(2018, 6, 1)
RULE = Retention(days={"radar": 30, "bars": 80, "logs": 0, "quarantine": 90})


@pytest.fixture
def book(tmp_path: Path) -> BookPaths:
    book = BookPaths(tmp_path / "book").create()
    for name in ("journal", "projections", "fallback", "lease"):
        getattr(book, name).write_bytes(b"kept for good")
    (book.checkpoints / "checkpoint-1").write_bytes(b"kept")
    book.venue.write_bytes(b"kept")
    for session_id in ("2018-03-02", "eq-2018-05-01", "2018-05-31", "undated"):
        session = book.session(session_id).create()
        (session.radar / "part-000001.parquet").write_bytes(b"x" * 100)
        (session.bars / "bars.parquet").write_bytes(b"x" * 1000)
        (session.logs / "qm.jsonl").write_bytes(b"x")
        session.quarantine.write_bytes(b"x" * 10)
    return book


SESSIONS = ("2018-03-02", "eq-2018-05-01", "2018-05-31", "undated")


def test_a_plan_names_what_has_expired_and_touches_nothing(book: BookPaths) -> None:
    before = sorted(book.root.rglob("*"))
    expired = plan(book, RULE, today=TODAY, closed=SESSIONS)
    assert [(entry.session_id, entry.kind, entry.size_bytes) for entry in expired] == [
        ("2018-03-02", "bars", 1000),
        ("2018-03-02", "quarantine", 10),
        ("2018-03-02", "radar", 100),
        ("eq-2018-05-01", "radar", 100),
    ]
    assert (expired[-1].age_days, expired[-1].keep_days) == (31, 30)
    assert sorted(book.root.rglob("*")) == before


def test_an_open_session_keeps_everything(book: BookPaths) -> None:
    assert plan(book, RULE, today=TODAY, closed=["2018-05-31"]) == ()


def test_a_plan_is_carried_out_and_nothing_else(book: BookPaths) -> None:
    kept = [path for path in sorted(book.root.rglob("*")) if path.is_file() and path.read_bytes().startswith(b"kept")]
    expired = plan(book, RULE, today=TODAY, closed=SESSIONS)
    assert carry_out(book, expired) == 1210
    assert carry_out(book, expired) == 0
    assert plan(book, RULE, today=TODAY, closed=SESSIONS) == ()
    assert len(kept) == 6
    assert all(path.exists() for path in kept)
    assert book.session("2018-03-02").logs.exists()
    assert book.session("2018-05-31").radar.exists()


@pytest.mark.parametrize("target", ["journal", "projections", "checkpoints", "venue", "fallback", "sessions", "root"])
def test_no_plan_reaches_orders_or_journal(book: BookPaths, target: str) -> None:
    good = plan(book, RULE, today=TODAY, closed=SESSIONS)
    forged = Expired(
        session_id="2018-03-02", kind="bars", path=getattr(book, target), age_days=99, keep_days=1, size_bytes=0
    )
    with pytest.raises(StorageRefused, match="nothing was removed"):
        carry_out(book, [*good, forged])
    assert getattr(book, target).exists()
    assert all(entry.path.exists() for entry in good)


def test_the_rule_says_what_it_does_and_refuses_what_makes_no_sense() -> None:
    assert RULE.sentence() == (
        "radar 30 days, logs for good, bars 80 days, quarantine 90 days; orders and journal for good"
    )
    with pytest.raises(ValueError, match=r"retention\.journal: no such kind; give days for radar"):
        Retention(days={"journal": 1})
    with pytest.raises(ValueError, match=r"retention\.radar = -1 makes no sense"):
        Retention(days={"radar": -1})
