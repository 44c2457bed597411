"""Coming back (§19): killed in every phase, from checkpoint or genesis, with the fallback log, never other bars."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.checks import Check, CheckStatus, Verdict
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import EmergencyStarted
from qmworkbench.domain.events.orders import FillRecorded, OrderIntended, ReportQuarantined, TradeClosed
from qmworkbench.domain.events.reconciliation import BreakFound, FallbackImported, RecoveryCompleted, SessionRecovered
from qmworkbench.domain.events.session import HealthObserved, SessionClosed, SessionOpened
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.domain.sessions import TradingState
from qmworkbench.operations.recovery import RecoveryEvidence
from qmworkbench.service import day
from qmworkbench.service.blocking import complete
from qmworkbench.service.direct_emergency import liquidate_direct
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.direct_report import Patience
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import AlreadyClosed, DayPlan, DayRefused
from qmworkbench.service.platform import Platform, StopRequested, open_platform
from qmworkbench.service.recovery import restore
from qmworkbench.service.recovery_evidence import gather_recovery
from qmworkbench.storage.checkpoints import Checkpoints
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State, encode_state, state_hash
from tests.service.conftest import PastDay, events_of
from tests.service.day_process import all_good, cut_short, demo_day, plan_for

ROOT = Path(__file__).resolve().parents[2]
DAY = [sys.executable, str(Path(__file__).with_name("day_process.py"))]


def run_day(root: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DAY, str(root), "--short", "--one-pass", *more],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )


def begun(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*DAY, str(root), "--short", "--one-pass"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def judged(plan: DayPlan) -> tuple[State, list[Event]]:
    """What a book holds after kills and restarts, once it is held to every promise about them."""
    with JournalReader(plan.paths.journal) as journal:
        journal.verify()
    events = events_of(plan)
    state = fold(events)
    intents = Counter(event.request.cl_ord_id for event in events if isinstance(event, OrderIntended))
    assert max(intents.values()) == 1, "no order is sent twice"
    fills = Counter(event.exec_id for event in events if isinstance(event, FillRecorded))
    assert max(fills.values()) == 1, "no fill is booked twice"
    assert [event for event in events if isinstance(event, (BreakFound, ReportQuarantined))] == []
    assert isinstance(events[-1], SessionClosed)
    assert state.positions == {}, "the venue's positions are flat at the end, and so are ours"
    return state, events


# Each phase and each step around an order: (when, wire name, which one).
DEATHS = [
    ("recorded", "session.opened", 1),
    ("recorded", "session.phase_entered", 4),
    ("decided", "frame.computed", 60),
    ("recorded", "order.intended", 1),
    ("decided", "order.submit_observed", 2),
    ("decided", "broker.execution_reported", 4),
    ("recorded", "session.ending", 1),
    ("recorded", "session.phase_entered", 7),
]


@pytest.mark.parametrize(("when", "name", "nth"), DEATHS)
def test_killed_anywhere_the_day_is_finished_by_the_next_process(
    when: str, name: str, nth: int, tmp_path: Path, short_plan: DayPlan
) -> None:
    killed = run_day(tmp_path, "--die", when, name, str(nth))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run_headless(short_plan, all_good)
    state, events = judged(short_plan)
    recovered = [event for event in events if isinstance(event, SessionRecovered)]
    assert len(recovered) == (0 if name == "session.opened" else 1)
    assert state.day.recovered == bool(recovered)
    assert [type(event) for event in events].count(RecoveryCompleted) == len(recovered)
    for kept in short_plan.paths.session(short_plan.session_id).root.glob("recovery-*.json"):
        checks = msgspec.json.decode(kept.read_bytes(), type=list[Check])
        assert {check.status for check in checks} == {CheckStatus.PASS}, checks
        assert len(checks) == 6


def test_killed_at_a_random_moment_twice_nothing_is_lost_or_doubled(tmp_path: Path, short_plan: DayPlan) -> None:
    for delay_s in (0.15, 0.35):
        process = begun(tmp_path)
        time.sleep(delay_s)
        process.kill()
        process.communicate()
    with contextlib.suppress(AlreadyClosed):  # the second may have got as far as that
        run_headless(short_plan, all_good)
    judged(short_plan)


def test_ctrl_c_ends_the_process_at_a_safe_point_and_says_how_to_go_on(tmp_path: Path, short_plan: DayPlan) -> None:
    process = begun(tmp_path)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert (process.returncode, told.strip()) == (130, "stopped by SIGINT")
    run_headless(short_plan, all_good)
    judged(short_plan)


def test_the_same_decisions_under_other_hash_seeds_and_with_one_polars_thread(tmp_path: Path) -> None:
    told: list[list[Event]] = []
    for number, environment in enumerate([{"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2", "POLARS_MAX_THREADS": "1"}]):
        done = run_day(tmp_path / str(number), **environment)
        assert done.returncode == 0, done.stderr
        events = events_of(plan_for(tmp_path / str(number), demo_day()))
        # Which code decided is an input like any other; here it is the same unless somebody is editing it meanwhile.
        told.append(
            [msgspec.structs.replace(e, code_version="") if isinstance(e, SessionOpened) else e for e in events]
        )
    assert told[0] == told[1]


# --- checkpoint or genesis ------------------------------------------------------------------------------------------


def journal_of(events: Sequence[Event]) -> MemoryJournal:
    journal = MemoryJournal(book="main")
    journal.append(events)
    return journal


@pytest.fixture
def halfway(past_day: PastDay, tmp_path: Path) -> tuple[MemoryJournal, Checkpoints, State]:
    """The past day's journal, with a checkpoint in its middle, and the state at its end."""
    events = past_day.events
    journal, middle = journal_of(events), len(events) // 2
    state = fold(events[:middle])
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.write(middle, journal.hash_at(middle) or "", encode_state(state), state_hash(state))
    return journal, checkpoints, fold(events)


def test_a_checkpoint_saves_folding_and_changes_nothing(
    halfway: tuple[MemoryJournal, Checkpoints, State],
) -> None:
    journal, checkpoints, whole = halfway
    restored = restore(journal, checkpoints)
    assert restored.from_checkpoint == journal.head[0] // 2
    assert state_hash(restored.state) == state_hash(restore(journal, None).state) == state_hash(whole)


def test_a_checkpoint_of_another_code_or_journal_is_passed_over_with_the_reason(
    halfway: tuple[MemoryJournal, Checkpoints, State], tmp_path: Path
) -> None:
    journal, _, whole = halfway
    seq, head = journal.head
    for number, (state, digest, reason) in enumerate(
        [
            (b"\x80", "0" * 16, "does not hash"),
            (b"not msgpack at all", "0" * 16, "another shape"),
            (encode_state(whole), "0" * 16, "does not hash"),
        ]
    ):
        checkpoints = Checkpoints(tmp_path / f"c{number}")
        checkpoints.write(seq, head, state, digest)
        restored = restore(journal, checkpoints)
        assert restored.from_checkpoint == 0
        assert reason in restored.notes[0]
        assert state_hash(restored.state) == state_hash(whole)
    checkpoints = Checkpoints(tmp_path / "other")
    checkpoints.write(seq, "f" * 64, encode_state(whole), state_hash(whole))
    assert "another hash" in restore(journal, checkpoints).notes[0]


def test_a_criterion_that_fails_keeps_entries_out_until_the_session_is_over(
    short_plan: DayPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_at(short_plan, 20)

    def gathered(*given: Any) -> RecoveryEvidence:
        return msgspec.structs.replace(gather_recovery(*given), positions=None)

    monkeypatch.setattr(day, "gather_recovery", gathered)
    result = run_headless(short_plan, all_good)
    assert result.verdicts["recovery"] is Verdict.NO_GO
    events = events_of(short_plan)
    recovered = next(number for number, event in enumerate(events) if isinstance(event, SessionRecovered))
    intended = [event for event in events[recovered:] if isinstance(event, OrderIntended)]
    assert not [e for e in intended if e.request.position_effect is PositionEffect.OPEN], "exits may go on"
    assert any(isinstance(event, HealthObserved) and event.critical_down == ("recovery",) for event in events)


# --- the same bars ---------------------------------------------------------------------------------------------------


def stopped_at(plan: DayPlan, boundary: int) -> None:
    """Run a day up to a boundary and stop it there."""
    opened: list[Platform] = []

    def at_boundary(delivery: object) -> None:
        if delivery.boundary == boundary:  # type: ignore[attr-defined]
            opened[0].stop = "stopped by the test"

    with pytest.raises(StopRequested):
        run_headless(plan, all_good, on_open=opened.append, on_boundary=at_boundary)


def test_a_session_is_not_resumed_with_other_bars(short_plan: DayPlan) -> None:
    stopped_at(short_plan, 10)
    other = dataclasses.replace(short_plan, data=cut_short(demo_day(8)))
    with pytest.raises(DayRefused, match=r"demo:8 holds others.*same data.*--fresh"):
        run_headless(other, all_good)
    assert run_headless(short_plan, all_good).recovered


def test_a_session_goes_on_under_the_settings_it_was_opened_with(short_plan: DayPlan) -> None:
    stopped_at(short_plan, 10)
    notes: list[str] = []
    changed = dataclasses.replace(short_plan, config_hash="changed", runs=())
    run_headless(
        changed,
        all_good,
        on_boundary=None,
        on_open=lambda platform: platform.on_close(lambda: notes.extend(platform.notes)),
    )
    assert any("goes on under the settings it was opened with" in note for note in notes)
    assert fold(events_of(short_plan)).day.runs.keys() == {run.strategy_id for run in short_plan.runs}


def test_bars_changed_on_disk_are_not_decided_on(short_plan: DayPlan) -> None:
    stopped_at(short_plan, 10)
    with open_platform(short_plan) as platform:
        segments = platform.bars.segments
    content = bytearray(segments.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = b"\x00" * 8
    segments.write_bytes(content)
    with pytest.raises(Exception, match=r"segments|bars"):
        run_headless(short_plan, all_good)


# --- the fallback log -------------------------------------------------------------------------------------------------


def test_what_a_direct_emergency_did_is_taken_over_and_the_book_stays_halted(short_plan: DayPlan) -> None:
    opened: list[Platform] = []

    def when_holding(delivery: object) -> None:
        if opened[0].state.positions:
            opened[0].stop = "stopped while holding"

    with pytest.raises(StopRequested):
        run_headless(short_plan, all_good, on_open=opened.append, on_boundary=when_holding)
    with open_platform(short_plan) as platform:
        held = set(platform.state.held_symbols())
        head = platform.journal.durable_head
        with FallbackLog(short_plan.paths.fallback, head) as log:
            report = liquidate_direct(
                platform.broker,
                DirectRecord(log),
                book=short_plan.book,
                session_id=short_plan.session_id,
                reason="the service hangs",
                operator="ana",
                patience=Patience(wait_s=0.3, deadline_s=60.0, poll_s=0.05),
            )
    assert not report.flat, "a replayed venue fills at the next bar"
    result = run_headless(short_plan, all_good)
    assert (result.recovered, result.breaks) == (True, 0)
    events = events_of(short_plan)
    taken = [event for event in events if isinstance(event, FallbackImported)]
    assert taken
    assert not short_plan.paths.fallback.exists(), "imported once, and kept as evidence under its hash"
    assert list(short_plan.paths.root.glob("fallback.imported-*"))
    state = fold(events)
    assert (state.halt.state, state.halt.code, state.halt.by) == (TradingState.HALTED, "emergency", "ana")
    closed = [event for event in events if isinstance(event, TradeClosed)]
    assert {event.symbol for event in closed if event.exit_leg == "liquidate"} == held
    assert state.positions == {}
    after = events[events.index(taken[-1]) :]
    assert [event for event in after if isinstance(event, OrderIntended)] == [], "halted: nothing new is entered"


def test_a_damaged_fallback_log_is_named_and_nothing_is_taken_from_it(short_plan: DayPlan) -> None:
    stopped_at(short_plan, 10)
    with JournalReader(short_plan.paths.journal) as journal:
        head = journal.head()
    with FallbackLog(short_plan.paths.fallback, head) as log:
        log.append([EmergencyStarted(at=datetime.now(UTC), emergency_id="e", by="ana", reason="r", deadline_s=1)])
    content = short_plan.paths.fallback.read_bytes().replace(b'"ana"', b'"bob"')
    short_plan.paths.fallback.write_bytes(content)
    with pytest.raises(Exception, match="line 2 was changed"):
        run_headless(short_plan, all_good)
    assert not [event for event in events_of(short_plan) if isinstance(event, FallbackImported)]


def test_a_log_beside_an_empty_journal_is_taken_over_as_the_session_opens(short_plan: DayPlan) -> None:
    """The database was lost with the emergency's reason: the new one must not trade as though there had been none."""
    short_plan.paths.root.mkdir(parents=True, exist_ok=True)
    with FallbackLog(short_plan.paths.fallback, (0, GENESIS)) as log:
        log.append([EmergencyStarted(at=datetime.now(UTC), emergency_id="e", by="ana", reason="r", deadline_s=1)])
    with open_platform(short_plan) as platform:
        complete(day.open_or_resume(platform))
        assert (platform.state.halt.state, platform.state.halt.by) == (TradingState.HALTED, "ana")
        assert any("1 records of a direct emergency" in note for note in platform.notes)
    assert not short_plan.paths.fallback.exists()
