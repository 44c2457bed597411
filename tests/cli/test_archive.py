"""`qm archive` and `qm retention`, as typed: archived, checked, let go of, brought back (§5, §17)."""

import shutil
from pathlib import Path

import pytest

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.service.lease import Lease
from qmworkbench.storage.archive_reader import open_archive
from tests.cli.books import answer, book_in, qm
from tests.storage import archived
from tests.storage.archived import FIRST, SECOND, THIRD
from tests.storage.object_store import SECRET, serving

RULE = {f"QM_RETENTION__{kind}": "1" for kind in ("RADAR", "MOMENTUM", "HEALTH", "BARS", "QUOTES", "LOGS")}


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("three-sessions")
    archived.made(book_in(home).root, book="main")
    return home


@pytest.fixture
def home(_made: Path, tmp_path: Path) -> Path:
    shutil.copytree(_made / "data", tmp_path / "data")
    return tmp_path


def test_sessions_are_archived_listed_checked_let_go_of_and_brought_back(home: Path) -> None:
    nothing = qm(home, "archive", "list")
    assert nothing.returncode == Exit.FAILED
    assert "holds no archive of book main (local)" in nothing.stderr
    would = answer(qm(home, "retention", "run", "--dry-run", "--json", **RULE))
    assert {one["kind"] for one in would["expired"]} == {"radar", "momentum", "health", "bars", "quotes", "logs"}
    assert not any(one["archived"] for one in would["expired"])
    assert not (home / "data/archive").exists()
    done = qm(home, "archive", "run", "--json")
    assert done.returncode == Exit.OK, done.stderr
    assert [one["session_id"] for one in answer(done)["archived"]] == [FIRST, SECOND, THIRD]
    assert answer(qm(home, "archive", "run", "--json"))["archived"] == []
    assert (
        f"nothing to archive: 3 closed session(s), and all of them are at {home}" in qm(home, "archive", "run").stdout
    )
    listed = qm(home, "archive", "list")
    assert f"3 session(s) at {home / 'data/archive'}" in listed.stdout
    assert answer(qm(home, "archive", "list", "--all", "--json"))["sessions"][0]["rows"] > 1000
    ran = answer(qm(home, "retention", "run", "--json", **RULE))
    assert (len(ran["expired"]), ran["kept"], ran["rows"]) == (6, [], 137)
    assert ran["freed_bytes"] == would["bytes"]
    session = book_in(home).session(FIRST)
    assert not session.radar.exists()
    elsewhere = answer(qm(home, "archive", "run", "--at", str(home / "other"), "--json"))
    lost = {"radar", "momentum", "health", "bars", "quotes", "logs"}
    assert elsewhere["without"] == {FIRST: dict.fromkeys(sorted(lost), str(home / "data/archive"))}
    back = qm(home, "archive", "restore", "2026-03-02")
    assert f"{FIRST}: 7 file(s) made again" in back.stdout
    assert session.radar.exists()
    assert answer(qm(home, "journal", "verify", "--json"))["heads"]
    checked = answer(qm(home, "archive", "check", "--json"))
    assert (checked["wrong"], checked["not_archived"], len(checked["checked"])) == ([], [], 3)
    next((home / "data/archive").rglob("date=2026-03-03/trades.parquet")).unlink()
    spoilt = qm(home, "archive", "check")
    assert spoilt.returncode == Exit.NO_GO
    assert f"{SECOND}: there is no" in spoilt.stdout
    index = next((home / "data/archive").glob("*/*/*/sessions.parquet"))
    kept = index.read_bytes()
    index.write_bytes(kept[:-40])
    for command in (("archive", "list"), ("archive", "run"), ("retention", "run", "--dry-run")):
        told = qm(home, *command)
        assert told.returncode == Exit.FAILED
        assert "the archive cannot be used as it is" in told.stderr
        assert "sessions.parquet cannot be read" in told.stderr
        assert "restore it from a copy of the archive, or archive anew to another place" in told.stderr
    index.write_bytes(kept)
    assert qm(home, "archive", "check", "--session", FIRST).returncode == Exit.OK
    unknown = qm(home, "archive", "restore", "2026-03-09")
    assert unknown.returncode == Exit.FAILED
    assert f"holds no session '2026-03-09' of this book: it holds {FIRST}" in unknown.stderr


@pytest.fixture(scope="module")
def _kept(_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("archived")
    shutil.copytree(_made / "data", home / "data")
    assert qm(home, "archive", "run").returncode == Exit.OK
    return home


@pytest.fixture
def archived_home(_kept: Path, tmp_path: Path) -> Path:
    """A directory whose book's three sessions are archived below it."""
    shutil.copytree(_kept / "data", tmp_path / "data")
    return tmp_path


def test_the_rules_are_shown_with_where_they_were_set(home: Path) -> None:
    shown = qm(home, "retention", "show", QM_RETENTION__RADAR="30")
    assert "30 days" in shown.stdout
    assert "env QM_RETENTION__RADAR" in shown.stdout
    rules = answer(qm(home, "retention", "show", "--json"))["rules"]
    assert {rule["kind"]: rule["days"] for rule in rules} == {
        "radar": 90, "momentum": 90, "health": 90, "quotes": 730, "bars": 730, "quarantine": 730, "logs": 180
    }  # fmt: skip
    wrong = qm(home, "retention", "show", QM_RETENTION__QUOTES="7")
    assert wrong.returncode == Exit.FAILED
    assert "is shorter than retention.bars = 730. Keep quotes as long as bars" in wrong.stderr


def test_what_cannot_be_proved_is_kept_and_ends_with_no_go(archived_home: Path) -> None:
    home = archived_home
    (book_in(home).session(FIRST).logs / "qm.jsonl").write_text("something else\n")
    ran = qm(home, "retention", "run", **RULE)
    assert ran.returncode == Exit.NO_GO
    assert f"kept: logs of {FIRST}: logs/qm.jsonl is not what was archived" in ran.stdout
    assert "5 item(s)" in ran.stdout
    assert (book_in(home).session(FIRST).logs / "qm.jsonl").exists()


def test_while_somebody_has_the_book_or_a_session_is_open_nothing_goes(home: Path, tmp_path: Path) -> None:
    before = archived.files_of(home)
    with Lease.acquire(book_in(home).lease, process_id="p", command="qm up"):
        held = qm(home, "retention", "run", **RULE)
    assert held.returncode == Exit.FAILED
    assert "is held by" in held.stderr
    assert archived.files_of(home) == before
    running = tmp_path / "running"
    archived.made(book_in(running).root, book="main", third="open")
    before = archived.files_of(running)
    refused = qm(running, "retention", "run", **RULE)
    assert refused.returncode == Exit.NO_GO
    assert f"session {THIRD} is open: nothing is let go of before it has closed" in refused.stderr
    assert f"session {THIRD} is open, and is archived once" in qm(running, "archive", "run", "--at", "other").stdout
    shutil.rmtree(running / "other")
    told = answer(qm(running, "retention", "run", "--dry-run", "--json", **RULE))
    assert told["open_session"] == THIRD
    assert told["expired"]
    assert archived.files_of(running) == before


def test_an_object_store_is_an_address_and_its_credentials_are_nowhere(tmp_path: Path) -> None:
    home = tmp_path
    archived.made(book_in(home).root, book="main", third="none")
    with serving() as store:
        environ = {**store.environ(), "QM_ARCHIVE__PLACE": store.place()}
        texts = []
        for command in (
            ("archive", "run", "--json"), ("archive", "list"), ("archive", "check", "--json"), ("retention", "run"),
            ("config", "show"),
        ):  # fmt: skip
            done = qm(home, *command, **environ, **RULE)
            assert done.returncode == Exit.OK, done.stderr
            texts += [done.stdout, done.stderr]
        assert f"1 session(s) at {store.place()}" in texts[2]
        assert not any(SECRET in text for text in (*texts, *(str(body) for body in store.objects.values())))
    given = qm(home, "archive", "run", QM_ARCHIVE__PLACE=f"s3://ada:{SECRET}@bucket/x")
    assert given.returncode == Exit.FAILED
    assert "holds a user or password" in given.stderr
    assert SECRET not in given.stderr + given.stdout


def test_nightly_archives_and_lets_go_and_says_what_stands_in_the_way(home: Path) -> None:
    from qmworkbench.cli.output import Output
    from qmworkbench.cli.report import keep_up
    from qmworkbench.service.config import load

    config = load(cwd=home, environ=RULE)
    told = keep_up(config, Output(json=True))
    assert told["archived"] == [FIRST, SECOND, THIRD]
    assert told["freed_bytes"] > 0
    assert "3 session(s) archived at" in told["sentence"]
    assert open_archive(config.archive, book="main").scan("trades").collect().height == 18, "what a notebook reads"
    with Lease.acquire(book_in(home).lease, process_id="p", command="qm up"):
        held = keep_up(config, Output(json=True))
    assert held["sentence"].startswith("nothing archived or let go of: the book at")
    assert held["freed_bytes"] == 0
