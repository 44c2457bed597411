"""An operator's orders on a book where no platform runs: on record, signed, carried out; and drills are found."""

import os
from pathlib import Path

import pytest

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.domain.events.control import CommandReceived, NoteAdded, SymbolBlocked
from qmworkbench.domain.orders import Leg
from qmworkbench.service import config as configuration
from qmworkbench.service.lease import Lease, holder_of
from qmworkbench.service.offline import read_state
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.reading import open_book
from qmworkbench.trading.state import State
from tests.cli.books import answer, book_in, qm


def state_of(home: Path) -> State:
    return read_state(configuration.load(cwd=home, environ={})).state


def last_events(home: Path, name: str) -> list[object]:
    with JournalReader(book_in(home).journal) as reader:
        reader.verify()
        return [event for _, event in reader.events([name])]


def test_pause_and_resume_a_closed_book(closed_home: Path) -> None:
    paused = qm(closed_home, "pause", "--reason", "holiday", "--operator", "ann", "--json")
    assert paused.returncode == Exit.OK
    found = answer(paused)
    assert (found["accepted"], found["operator"], found["through"]) == (True, "ann", "book")
    assert found["effect"] == "HALTED – entries blocked, exits running"
    assert state_of(closed_home).halt.by == "ann"
    refused = qm(closed_home, "resume", "--reason", "back", "--json")
    assert refused.returncode == Exit.NO_GO
    message = answer(refused)["error"]["message"]
    for line in (
        "incident cause understood",
        "internal state repaired",
        "risk controls verified",
        "broker state reconciled",
        "operator decision recorded: the incident is not named",
    ):
        assert line in message
    (said,) = [e for e in last_events(closed_home, "command.received") if getattr(e, "operator", "") == "ann"]
    assert isinstance(said, CommandReceived)
    assert (said.origin, said.command.reason) == ("cli", "holiday")
    assert holder_of(book_in(closed_home).lease) is None, "the lease was held for the command alone"


def test_a_halt_is_left_only_with_every_line_answered_and_a_reconciliation(cut_off_home: Path) -> None:
    yes = ["--cause-understood", "--internal-repaired", "--risk-verified", "--incident", "none: planned pause"]
    assert qm(cut_off_home, "pause", "--reason", "lunch").returncode == Exit.OK
    first = qm(cut_off_home, "resume", "--reason", "back", *yes)
    assert first.returncode == Exit.NO_GO
    assert "no reconciliation has passed since the halt" in first.stderr
    again = qm(cut_off_home, "resume", "--reason", "back", *yes)
    assert again.returncode == Exit.OK, again.stderr
    assert "ACTIVE" in again.stdout


def test_blocks_are_kept_and_lifted(closed_home: Path) -> None:
    symbol = next(iter(state_of(closed_home).day.instruments))
    assert qm(closed_home, "block", symbol, "--permanent", "--reason", "halted stock").returncode == Exit.OK
    (blocked,) = last_events(closed_home, "symbol.blocked")
    assert isinstance(blocked, SymbolBlocked)
    assert (blocked.symbol, blocked.scope, blocked.by) == (symbol, "permanent", os.environ.get("USER", blocked.by))
    assert symbol in state_of(closed_home).blocked
    assert f"blocked.{symbol}" in qm(closed_home, "config", "diff").stdout
    assert qm(closed_home, "unblock", symbol, "--reason", "trades again").returncode == Exit.OK
    assert symbol not in state_of(closed_home).blocked
    assert qm(closed_home, "unblock", symbol, "--reason", "twice").returncode == Exit.NO_GO


@pytest.mark.parametrize("kind", ["incident", "operator", "override", "improvement"])
def test_the_four_kinds_of_notes_are_kept(kind: str, closed_home: Path) -> None:
    done = qm(closed_home, "note", "add", f"a {kind}", "--kind", kind, "--json")
    assert done.returncode == Exit.OK, done.stderr
    (note,) = last_events(closed_home, "note.added")
    assert isinstance(note, NoteAdded)
    assert (note.kind, note.text) == (kind, f"a {kind}")
    listed = answer(qm(closed_home, "note", "list", "--json"))
    assert [(entry["kind"], entry["text"]) for entry in listed["notes"]] == [(kind, f"a {kind}")]
    with open_book(book_in(closed_home).root) as reader:
        assert reader.table("operator_notes")["text"].to_list() == [f"a {kind}"], "the tables have it too"


def test_a_held_book_is_told_by_whom(closed_home: Path) -> None:
    with Lease.acquire(book_in(closed_home).lease, process_id="p", command="qm nightly"):
        for command in (["pause", "--reason", "x"], ["reconcile"]):
            done = qm(closed_home, *command)
            assert done.returncode == Exit.FAILED
            assert f"process {os.getpid()}" in done.stderr
            assert "qm nightly" in done.stderr


def test_an_operator_without_a_name_is_refused(closed_home: Path) -> None:
    done = qm(closed_home, "pause", "--reason", "x", "--operator", "  ")
    assert done.returncode == Exit.FAILED
    assert "is no name" in done.stderr


def test_nothing_waits_to_be_decided_or_ended(closed_home: Path) -> None:
    for command in (["decide", "x", "continue"], ["end"], ["release"]):
        done = qm(closed_home, *command, "--reason", "x")
        assert done.returncode == Exit.NO_GO
        assert "no session is open" in done.stderr


# ── reconciliation and drills ────────────────────────────────────────────────────────────────────────────────


def test_a_clean_book_reconciles(cut_off_home: Path) -> None:
    done = qm(cut_off_home, "reconcile", "--json")
    assert done.returncode == Exit.OK, done.stderr
    assert answer(done) == {"result": "clean", "breaks": [], "detail": "", "through": "book"}
    (completed,) = [e for e in last_events(cut_off_home, "reconciliation.completed") if e.trigger == "operator"]  # type: ignore[attr-defined]
    assert completed.result == "clean"  # type: ignore[attr-defined]


def test_a_closed_book_is_compared_and_not_changed(closed_home: Path) -> None:
    head = read_head(closed_home)
    clean = qm(closed_home, "reconcile", "--json")
    assert clean.returncode == Exit.OK, clean.stdout + clean.stderr
    symbol = next(iter(state_of(closed_home).day.instruments))
    drilled = qm(closed_home, "drill", "break", "--symbol", symbol, "--qty", "5")
    assert drilled.returncode == Exit.OK
    assert "DRILL" in drilled.stdout
    found = qm(closed_home, "reconcile", "--json")
    assert found.returncode == Exit.FAILED, "a difference is left: 2"
    assert answer(found)["result"] == "unresolved"
    broken = answer(found)["breaks"]
    told = [(entry["kind"], entry["symbol"], entry["before"], entry["after"]) for entry in broken]
    assert told[0] == ("position_qty", symbol, "0", "5")
    assert {kind for kind, *_ in told[1:]} <= {"cash"}, "shares that came from nowhere are worth something"
    assert read_head(closed_home) == head, "nothing was put on record"


def read_head(home: Path) -> tuple[int, str]:
    with JournalReader(book_in(home).journal) as reader:
        return reader.head()


@pytest.mark.parametrize(
    ("kind", "arguments", "found_as"),
    [
        ("position", ["--qty", "-3"], {"position_qty", "position_side"}),
        ("order", ["--qty", "7", "--px", "10.50"], {"order_unknown_to_us"}),
        (
            "execution",
            ["--qty", "7", "--px", "10.50"],
            {"unknown_order"},
        ),
        ("cash", ["--qty", "123.45"], {"cash"}),
    ],
)
def test_every_planted_break_is_found(kind: str, arguments: list[str], found_as: set[str], cut_off_home: Path) -> None:
    symbol = sorted(state_of(cut_off_home).day.instruments)[-1]
    planted = qm(cut_off_home, "drill", "break", "--kind", kind, "--symbol", symbol, *arguments, "--json")
    assert planted.returncode == Exit.OK, planted.stderr
    assert answer(planted)["drill"] is True
    done = qm(cut_off_home, "reconcile", "--json")
    found = answer(done)
    assert done.returncode == {"repaired": Exit.NO_GO, "unresolved": Exit.FAILED}[found["result"]], done.stdout
    assert {entry["kind"] for entry in found["breaks"]} & found_as


def test_a_difference_that_is_left_is_shown_each_time_it_is_asked_for(cut_off_home: Path) -> None:
    """It is found once and stays open; whoever looks a second time still has to learn what it is."""
    symbol = sorted(state_of(cut_off_home).day.instruments)[-1]
    planted = qm(cut_off_home, "drill", "break", "--kind", "cash", "--symbol", symbol, "--qty", "123.45")
    assert planted.returncode == Exit.OK
    first = qm(cut_off_home, "reconcile", "--json")
    again = qm(cut_off_home, "reconcile", "--json")
    assert again.returncode == Exit.FAILED
    (left,) = answer(again)["breaks"]
    assert (left["kind"], left["repaired"]) == ("cash", False)
    assert answer(first)["breaks"] == [left]
    assert left["before"] in qm(cut_off_home, "reconcile").stdout


def test_a_difference_in_money_is_settled_on_a_persons_word(cut_off_home: Path) -> None:
    symbol = sorted(state_of(cut_off_home).day.instruments)[-1]
    assert qm(cut_off_home, "drill", "break", "--kind", "cash", "--symbol", symbol, "--qty", "123.45").returncode == 0
    told = qm(cut_off_home, "reconcile").stdout
    (left,) = answer(qm(cut_off_home, "reconcile", "--json"))["breaks"]
    assert f"qm accept {left['break_id']} --reason WHY" in " ".join(told.split())
    unknown = qm(cut_off_home, "accept", "0" * 12, "--reason", "a deposit")
    assert unknown.returncode == Exit.NO_GO
    assert "no break 000000000000 is open" in unknown.stderr
    done = qm(cut_off_home, "accept", left["break_id"], "--reason", "a deposit")
    assert done.returncode == Exit.OK, done.stderr
    assert left["after"] in done.stdout
    assert answer(qm(cut_off_home, "reconcile", "--json"))["result"] == "clean"


def test_a_drill_is_refused_for_a_symbol_nobody_trades(closed_home: Path) -> None:
    done = qm(closed_home, "drill", "break", "--symbol", "NOPE", "--qty", "5")
    assert done.returncode == Exit.FAILED
    assert "is not traded in this book" in done.stderr
    assert qm(closed_home, "drill", "break", "--symbol", "NOPE", "--qty", "0").returncode == Exit.FAILED


# ── emergency, with no platform ──────────────────────────────────────────────────────────────────────────────


def test_an_emergency_on_a_book_that_was_cut_off_halts_it_and_queues_the_closes(cut_off_home: Path) -> None:
    held = state_of(cut_off_home).held_symbols()
    assert held
    done = qm(cut_off_home, "emergency", "--reason", "platform died", "--json")
    assert done.returncode == Exit.NO_GO, done.stderr
    found = answer(done)
    assert (found["flat"], found["through"]) == (False, "book")
    assert {line["symbol"] for line in found["lines"]} >= set(held)
    state = state_of(cut_off_home)
    assert state.halt.state == "halted"
    assert {order.symbol for order in state.working() if order.leg is Leg.LIQUIDATE} == set(held)


def test_without_a_session_the_direct_way_is_offered_and_nobody_is_there_to_take_it(closed_home: Path) -> None:
    done = qm(closed_home, "emergency", "--reason", "x")
    assert done.returncode == Exit.FAILED
    assert "no session is open" in done.stderr
    assert "--direct" in done.stderr
    assert "--yes" in done.stderr


def test_the_direct_way_needs_a_person_or_a_yes(cut_off_home: Path) -> None:
    done = qm(cut_off_home, "emergency", "--reason", "x", "--direct")
    assert done.returncode == Exit.FAILED
    assert "there is nobody to ask" in done.stderr
    assert not book_in(cut_off_home).fallback.exists()


def test_the_direct_way_without_anything_to_close_is_flat(closed_home: Path) -> None:
    done = qm(closed_home, "emergency", "--reason", "x", "--direct", "--yes", "--json")
    assert done.returncode == Exit.OK, done.stderr
    found = answer(done)
    assert (found["flat"], found["through"], found["recorded"]) == (True, "direct", True)
