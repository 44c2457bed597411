"""`qm audit` and `qm recover` on books as they are left behind: closed, cut off, tampered with, gone (§19, §20)."""

from pathlib import Path

import pytest

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.domain.events.orders import ReportQuarantined
from qmworkbench.domain.events.reconciliation import BreakFound, RecoveryCompleted, SessionRecovered
from qmworkbench.domain.events.session import AuditRecorded
from qmworkbench.domain.orders import Leg
from qmworkbench.service.session_audit import SessionAudit
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.journal_reader import JournalReader
from tests.cli.books import SESSION, answer, book_in, qm
from tests.cli.test_orders import state_of


def recorded(home: Path, kind: str) -> list[object]:
    with JournalReader(book_in(home).journal) as reader:
        return [event for _, event in reader.events((kind,))]


# ── audit ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_closed_session_was_audited_before_its_summary_and_is_clean_on_demand(closed_home: Path) -> None:
    (told,) = recorded(closed_home, "session.audit_recorded")
    assert isinstance(told, AuditRecorded)
    assert told.findings == ()
    assert told.checked > 0
    done = qm(closed_home, "audit", "--json")
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    found = answer(done)
    assert (found["clean"], found["session_id"], found["closed"], found["findings"]) == (True, SESSION, True, [])
    assert found["checked"] == told.checked
    whole = answer(qm(closed_home, "audit", "--all", "--json"))
    assert (whole["session_id"], whole["checked"]) == ("", told.checked)


def test_a_session_nobody_knows_is_said_so(closed_home: Path) -> None:
    done = qm(closed_home, "audit", "2031-01-01")
    assert done.returncode == Exit.FAILED
    assert "there is no such session" in done.stderr


def test_a_journal_that_does_not_verify_is_not_audited(closed_home: Path) -> None:
    journal = book_in(closed_home).journal
    data = journal.read_bytes()
    at = data.index(b"order.intended")
    journal.write_bytes(data[:at] + b"order.intendeD" + data[at + 14 :])
    assert qm(closed_home, "audit").returncode == Exit.FAILED


def test_a_finding_is_told_with_its_record(cut_off_home: Path) -> None:
    """A send that nobody intended, put into the journal as only a defect could."""
    from qmworkbench.domain.events.orders import SubmitObserved
    from qmworkbench.domain.execution import SubmitOutcome

    state = state_of(cut_off_home)
    with SqliteJournal.open(book_in(cut_off_home).journal) as journal:
        seq = journal.append([SubmitObserved(at=state.clock(), cl_ord_id="out-of-nowhere", outcome=SubmitOutcome.SENT)])
        journal.sync()
    done = qm(cut_off_home, "audit", "--json")
    assert done.returncode == Exit.NO_GO
    found = answer(done)
    assert [(f["seq"], f["rule"], f["subject"]) for f in found["findings"]] == [
        (seq, "send without intent", "out-of-nowhere")
    ]
    assert "out-of-nowhere" in qm(cut_off_home, "audit").stdout


# ── recovery ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_session_that_was_cut_off_is_settled_and_its_entries_stay_held(cut_off_home: Path) -> None:
    done = qm(cut_off_home, "recover", "--json")
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    found = answer(done)
    assert found["verdict"] == "GO"
    assert found["through"] == "book"
    assert found["entries_held"]
    assert [check["check_id"].split(".")[1] for check in found["checks"]] == [
        "account",
        "positions",
        "orders",
        "watchlist",
        "risk",
        "continuity",
    ]
    assert all(check["status"] == "pass" and check["value"] for check in found["checks"])
    (taken,) = recorded(cut_off_home, "session.recovered")
    assert isinstance(taken, SessionRecovered)
    assert taken.hold
    assert any(isinstance(event, RecoveryCompleted) for event in recorded(cut_off_home, "session.recovery_completed"))
    state = state_of(cut_off_home)
    assert state.day.recovered
    assert state.day.entries_held, "no policy releases what a person has to look at"
    assert len(list(book_in(cut_off_home).session(state.day.session_id).root.glob("recovery-*.json"))) == 1
    again = qm(cut_off_home, "recover")
    assert again.returncode == Exit.OK
    assert "recovery: GO" in again.stdout
    assert qm(cut_off_home, "audit").returncode == Exit.OK, "a recovery leaves nothing unaccounted for"


def test_a_session_with_an_open_break_is_not_through(cut_off_home: Path) -> None:
    symbol = sorted(state_of(cut_off_home).day.instruments)[-1]
    assert qm(cut_off_home, "drill", "break", "--kind", "cash", "--symbol", symbol, "--qty", "50").returncode == Exit.OK
    done = qm(cut_off_home, "recover", "--json")
    assert done.returncode == Exit.NO_GO, done.stdout + done.stderr
    assert "cash" in answer(done)["notes"][0]
    assert state_of(cut_off_home).day.recovering, "it is not through while a break is open"


@pytest.mark.parametrize("kind", ["overfill", "vanished"])
def test_what_a_drill_does_to_an_order_is_found(cut_off_home: Path, kind: str) -> None:
    state = state_of(cut_off_home)
    entries = {o.symbol: o.cl_ord_id for o in state.orders.values() if o.leg is Leg.ENTRY and o.cum_qty}
    resting = next(o for o in state.working() if o.leg is Leg.STOP and o.symbol in entries)
    drill = ["drill", "break", "--kind", kind, "--symbol", resting.symbol, "--qty", "5"]
    without = qm(cut_off_home, *drill)
    assert without.returncode == Exit.FAILED
    assert "--order" in without.stderr
    name = entries[resting.symbol] if kind == "overfill" else resting.cl_ord_id
    assert qm(cut_off_home, *drill, "--order", name).returncode == Exit.OK
    qm(cut_off_home, "reconcile")
    if kind == "overfill":
        (odd,) = recorded(cut_off_home, "broker.report_quarantined")
        assert isinstance(odd, ReportQuarantined)
        assert odd.kind == "over_fill"
        return
    found = recorded(cut_off_home, "reconciliation.break_found")
    assert [(e.kind, e.before) for e in found if isinstance(e, BreakFound)] == [("order_missing_at_broker", name)]


def test_there_is_nothing_to_recover_in_a_closed_book(closed_home: Path) -> None:
    done = qm(closed_home, "recover", "--json")
    assert done.returncode == Exit.OK
    assert answer(done)["notes"] == ["no session was left unfinished"]


def test_an_empty_directory_has_no_book(tmp_path: Path) -> None:
    for command in ("audit", "recover", "reconcile"):
        done = qm(tmp_path, command)
        assert done.returncode == Exit.FAILED
        assert "there is nothing on record" in done.stderr


def test_an_audit_that_has_not_begun_finds_nothing_and_says_so(cut_off_home: Path) -> None:
    state = state_of(cut_off_home)
    told = SessionAudit().recorded(state.clock(), 1, state)
    assert (told.checked, told.findings) == (0, ())


def test_a_running_platforms_recovery_is_shown_as_it_saw_it() -> None:
    from qmworkbench.cli.recover import _of_platform

    line = {
        "check_id": "recovery.positions",
        "section": "§19",
        "title": "Open positions correct",
        "status": "pass",
        "looked_at": "both books",
        "value": "3 symbols compared",
        "expectation": "equal",
    }
    assert _of_platform({"session_id": "s", "recovery": []})["notes"][0].startswith("the running platform has taken")
    good = _of_platform({"session_id": "s", "recovery": [line]})
    assert (good["verdict"], good["session"], good["through"], len(good["checks"])) == ("GO", "s", "platform", 1)
    bad = _of_platform({"recovery": [line, line | {"status": "fail", "remedy": "look"}]})
    assert bad["verdict"] == "NO-GO"
    unseen = line | {"status": "fail", "value": "could not be looked at", "remedy": "look"}
    assert _of_platform({"recovery": [line, unseen]})["verdict"] == "INCOMPLETE"
