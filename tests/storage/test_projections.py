"""Projections: the same tables however they were made, equal to the kernel's own state, and never in anybody's way."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.bus.in_process import InProcessBus
from qmworkbench.domain.commands import EmergencyLiquidateAndHalt, NoteKind, Pause
from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.events import (
    DECISION_TYPES,
    TELEMETRY_TYPES,
    Event,
    analytics,
    control,
    decode,
    encode,
    market,
    orders,
    overnight,
    reconciliation,
    session,
    telemetry,
)
from qmworkbench.domain.events.orders import FillRecorded, FillReversed
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.domain.orders import Side
from qmworkbench.domain.sessions import BlockScope, Priority, TradingState
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.storage.projection_follower import ProjectionFollower
from qmworkbench.storage.projections import PROJECT, Projector, SequenceGap, dump
from qmworkbench.storage.refused import StoreInUse
from qmworkbench.storage.times import stored_time
from tests.storage.days import day, folded
from tests.storage.events import OPEN, decisions, timing
from tests.storage.test_fallback import emergency
from tests.trading.test_corporate_actions import Nights, action, split
from tests.trading.test_shared_symbols import opposed, step

ROOT = Path(__file__).resolve().parents[2]

# Inputs whose consequences are events of their own, and facts that no table asks for.
NOT_PROJECTED = {
    analytics.AnalyticsObserved,  # what it says stands as an alert
    control.ClockTicked,
    market.BoundaryClosed,
    market.PreOpenScanned,
    overnight.ActivitiesObserved,
    market.NearMissSeen,  # frame.computed holds them all
    orders.ExecutionReported,
    orders.ExitRequested,
    orders.OrderQueried,
    orders.OrderQueryRequested,
    orders.ReplaceRequested,  # what came of it changes the order
    orders.ReplaceObserved,
    reconciliation.RecoveryCompleted,
    session.HealthObserved,
    session.AuditRecorded,  # a finding stands as an alert
    telemetry.TimingDrifted,
}


def test_every_event_is_projected_or_left_out_on_purpose() -> None:
    projected = {kind.__struct_config__.tag for kind in PROJECT}
    left_out = {kind.__struct_config__.tag for kind in NOT_PROJECTED}
    assert len(projected) == len(PROJECT)
    assert projected | left_out == {kind.__struct_config__.tag for kind in (*DECISION_TYPES, *TELEMETRY_TYPES)}
    assert not projected & left_out


@pytest.fixture
def projector(tmp_path: Path) -> Iterator[Projector]:
    projector = Projector(tmp_path / "projections.db")
    yield projector
    projector.close()


def recorded(*batches: tuple[Event, ...] | list[Event]) -> MemoryJournal:
    journal = MemoryJournal()
    for batch in batches:
        journal.append(batch)
    return journal


def rows(projector: Projector, table: str) -> list[dict[str, object]]:
    with closing(sqlite3.connect(projector.home.path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]


@pytest.mark.parametrize(
    "actions",
    [
        (split("1:8"), action(ActivityKind.DIVIDEND, amount=Decimal("0.37"))),
        (split("7"), action(ActivityKind.SYMBOL_CHANGE, new_symbol="NEW")),
        (action(ActivityKind.DELISTING, amount=Decimal("21.5")),),
    ],
    ids=("split", "rename", "delisting"),
)
def test_what_happens_overnight_is_in_the_tables(projector: Projector, actions: tuple[CorporateAction, ...]) -> None:
    world = Nights()
    world.hold()
    world.night(*actions)
    projector.catch_up(recorded(world.events()))
    held = {(r["strategy_id"], r["symbol"]): (r["qty"], r["cost"]) for r in rows(projector, "positions")}
    state = world.state
    assert {key: value for key, value in held.items() if Decimal(str(value[0]))} == {
        (p.strategy_id, p.symbol): (str(p.qty), str(p.cost)) for p in state.positions.values()
    }
    open_now = {r["cl_ord_id"]: r for r in rows(projector, "orders") if r["cl_ord_id"] in state.open_orders}
    for name, row in open_now.items():
        order = state.orders[name]
        assert (row["symbol"], row["order_qty"], row["cum_qty"]) == (
            order.symbol,
            str(order.order_qty),
            str(order.cum_qty),
        )
        assert row["stop_px"] == (None if order.stop_px is None else str(order.stop_px))
    booked = [Decimal(str(row["amount"])) for row in rows(projector, "cash_activities")]
    assert sum(booked, Decimal(0)) == sum((a.amount for a in world.broker.activities(0)), Decimal(0))
    assert len(rows(projector, "restatements")) >= 1


# ── the same as the kernel, and the same however made ──────────────────────────────────────────────────────


@pytest.mark.parametrize(("seed", "troubled"), [(1, False), (2, True), (3, True), (4, True)])
def test_orders_positions_and_trades_are_the_kernels_own(projector: Projector, seed: int, troubled: bool) -> None:
    events = day(seed, troubled=troubled, days=2)
    projector.catch_up(recorded(events))
    state = folded(events)
    projected = {row["cl_ord_id"]: row for row in rows(projector, "orders")}
    assert projected.keys() >= state.orders.keys()
    assert len(state.orders) > 20
    for cl_ord_id, order in state.orders.items():
        row = projected[cl_ord_id]
        for name in ("order_qty", "cum_qty", "leaves_qty", "fees"):
            assert Decimal(str(row[name])) == getattr(order, name), (cl_ord_id, name)
        for name in ("status", "leg", "side", "symbol", "strategy_id", "parent_id", "order_id", "trail_bps"):
            assert row[name] == getattr(order, name), (cl_ord_id, name)
        assert Decimal(str(row["avg_px"] or 0)) == order.avg_px
    held = {(row["strategy_id"], row["symbol"]): row for row in rows(projector, "positions") if row["qty"] != "0"}
    assert held.keys() == {(p.strategy_id, p.symbol) for p in state.positions.values()}
    for position in state.positions.values():
        row = held[position.strategy_id, position.symbol]
        assert Decimal(str(row["qty"])) == position.qty
        assert Decimal(str(row["cost"])) == position.cost
        assert Decimal(str(row["realized_pnl"])) == position.realized_pnl
        assert Decimal(str(row["fees"])) == position.fees
    fills = [event for event in events if isinstance(event, FillRecorded)]
    assert len(rows(projector, "executions")) == len({fill.exec_id for fill in fills}) > 1
    assert len(rows(projector, "trades")) == sum(isinstance(event, orders.TradeClosed) for event in events)
    sessions = rows(projector, "sessions")
    assert [row["session_id"] for row in sessions] == ["local-2026-03-02", "local-2026-03-03"]
    assert all(row["phase"] == "closed" and row["closed_seq"] for row in sessions)
    assert {row["status"] for row in rows(projector, "runs")} == {"experimental"}
    assert all(row["ended_at"] for row in rows(projector, "runs"))


def test_parts_that_cancelled_out_are_flat_in_the_tables_too(projector: Projector) -> None:
    world = opposed()
    world.command(EmergencyLiquidateAndHalt(reason="out"))
    for _ in range(3):
        step(world)
    events = [decode(line) for line in world.journal]
    assert sum(isinstance(event, orders.PositionsOffset) for event in events) == 1
    projector.catch_up(recorded(events))
    held = rows(projector, "positions")
    assert [row["qty"] for row in held] == ["0", "0"]
    earned = sum(Decimal(str(row["realized_pnl"])) for row in held)
    assert (
        earned == world.state.day.realized_pnl == sum(Decimal(str(r["gross_pnl"])) for r in rows(projector, "trades"))
    )


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, 400), max_size=15), reopen=st.lists(st.booleans(), min_size=15, max_size=15))
def test_however_it_was_cut_and_restarted_the_tables_equal_a_rebuild(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], reopen: list[bool]
) -> None:
    home = tmp_path_factory.mktemp("projections")
    events = day(2, troubled=True)
    journal = recorded(events)
    journal.append_telemetry([timing(n) for n in range(20)])
    projector = Projector(home / "projections.db")
    at = 0
    for size, again in zip(cuts, reopen, strict=False):
        start, at = at, min(at + size, len(events))
        projector.apply(at, events[start:at], head_hash=journal.hash_at(at) or "")
        projector.apply(at, events[start:at], head_hash=journal.hash_at(at) or "")  # a repeat changes nothing
        if again:
            projector.close()
            projector = Projector(home / "projections.db")
    projector.catch_up(journal)
    assert projector.rebuilt_because == ""
    made = dump(projector._connection)
    assert made == rebuilt(journal, home / "other.db")
    assert projector.rebuild(journal) == len(events) + 20
    assert dump(projector._connection) == made
    projector.close()


def rebuilt(journal: MemoryJournal | SqliteJournal, path: Path) -> dict[str, list[tuple[object, ...]]]:
    """What one pass over a journal makes."""
    projector = Projector(path)
    projector.catch_up(journal)
    contents = dump(projector._connection)
    projector.close()
    return contents


def test_a_killed_projector_goes_on_where_its_watermark_stands(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    events = day(1, days=2)
    with SqliteJournal(path, book="test") as journal:
        journal.append(events)
        journal.append_telemetry([timing(n) for n in range(50)])
    script = textwrap.dedent(f"""
        import qmworkbench.storage.projections as projections
        from pathlib import Path
        from qmworkbench.storage.journal_reader import JournalReader
        projections.BATCH = 17
        projector = projections.Projector(Path({str(tmp_path / "projections.db")!r}))
        print(projector.watermark().seq, flush=True)
        projector.catch_up(JournalReader(Path({str(path)!r})))
    """)
    instants = random.Random(5)
    marks = []
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout as said:
            marks.append(int(said.readline()))
        time.sleep(instants.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert marks == sorted(marks)
    projector = Projector(tmp_path / "projections.db")
    with SqliteJournal.open(path) as journal:
        projector.catch_up(journal)
        assert projector.rebuilt_because == ""
        assert dump(projector._connection) == rebuilt(journal, tmp_path / "other.db")
    projector.close()


# ── watermark ──────────────────────────────────────────────────────────────────────────────────────────────


def test_lag_and_watermark_say_how_far(projector: Projector) -> None:
    journal = recorded(decisions(10))
    assert projector.lag(journal) == 10
    projector.apply(4, decisions(4))
    assert (projector.watermark().seq, projector.lag(journal)) == (4, 6)
    projector.rebuild(journal)
    assert projector.watermark().hash == journal.head[1]
    assert projector.lag(journal) == 0
    assert projector.catch_up(journal) == 0


def test_a_gap_is_refused_and_an_overlap_is_not_applied_twice(projector: Projector) -> None:
    projector.apply(6, decisions(6))
    with pytest.raises(SequenceGap, match=r"decisions 8 … 9 do not follow the watermark 6: catch up"):
        projector.apply(9, decisions(2, first=8))
    projector.apply(9, decisions(6, first=4))
    assert projector.watermark().seq == 9
    assert len(rows(projector, "state_changes")) == 3
    assert len(rows(projector, "blocked_symbols")) == 3


def test_a_failing_batch_leaves_rows_and_watermark_as_they_were(projector: Projector) -> None:
    projector.apply(3, decisions(3))
    before = dump(projector._connection)
    broken = control.SymbolBlocked(at=OPEN.replace(tzinfo=None), symbol="X", scope=BlockScope.SESSION, by="", reason="")
    with pytest.raises(ValueError, match="is not aware UTC"):
        projector.apply(6, [*decisions(2, first=4), broken])
    assert dump(projector._connection) == before
    projector.apply(6, decisions(3, first=4))
    assert projector.watermark().seq == 6


def test_another_journal_makes_it_begin_anew(projector: Projector) -> None:
    projector.catch_up(recorded(decisions(20)))
    other = recorded(decisions(12, first=100))
    projector.catch_up(other)
    assert "another journal, or from records this one has lost" in projector.rebuilt_because
    assert projector.watermark().seq == 12
    assert {row["symbol"] for row in rows(projector, "blocked_symbols")} == {"S100", "S103", "S106", "S109"}


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "projections.db"
    path.write_bytes(b"neither database nor anything " * 200)
    journal = recorded(day(1))
    projector = Projector(path)
    assert "was damaged" in projector.rebuilt_because
    projector.catch_up(journal)
    assert dump(projector._connection) == rebuilt(journal, tmp_path / "other.db")
    projector.close()


def test_tables_of_no_known_revision_are_made_again(tmp_path: Path) -> None:
    path = tmp_path / "projections.db"
    journal = recorded(decisions(9))
    projector = Projector(path)
    projector.catch_up(journal)
    projector.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute("CREATE TABLE dropped_long_ago (a)")
    projector = Projector(path)
    assert "before revisions were counted" in projector.rebuilt_because
    assert projector.lag(journal) == 9
    projector.catch_up(journal)
    assert dump(projector._connection) == rebuilt(journal, tmp_path / "other.db")
    projector.close()


def test_one_projector_at_a_time(projector: Projector) -> None:
    with pytest.raises(StoreInUse, match=rf"projections\.db is being written by process {os.getpid()}"):
        Projector(projector.home.path)
    projector.close()
    Projector(projector.home.path).close()


def test_grave_alerts_emergencies_and_incident_notes_are_incidents(projector: Projector) -> None:
    alerts = [
        control.AlertRaised(
            at=OPEN,
            alert=control.Alert(alert_id=f"a{n}", priority=grade, kind="k", key="X", text="t", remedy="r"),
        )
        for n, grade in enumerate(Priority)
    ]
    told: list[Event] = [
        *alerts,
        control.NoteAdded(at=OPEN, note_id="n1", kind=NoteKind.INCIDENT, text="the feed hung", by="kim"),
        control.NoteAdded(at=OPEN, note_id="n2", kind=NoteKind.OPERATOR, text="lunch", by="kim"),
        control.EmergencyStarted(at=OPEN, emergency_id="e1", by="kim", reason="drill", deadline_s=60),
        control.AlertCleared(at=OPEN + timedelta(seconds=5), alert_id="a1", reason="answers again"),
        control.EmergencyCompleted(
            at=OPEN + timedelta(seconds=9), emergency_id="e1", symbols=2, realized_pnl=Decimal("-1.50")
        ),
    ]
    projector.catch_up(recorded(told))
    found = {
        row["incident_id"]: (row["source"], row["priority"], row["outcome"]) for row in rows(projector, "incidents")
    }
    assert found == {
        "a0": ("alert", "P0", None),
        "a1": ("alert", "P1", "answers again"),
        "n1": ("note", None, None),
        "e1": ("emergency", "P0", "2 symbol(s) flat"),
    }
    assert len(rows(projector, "operator_notes")) == 2


def test_scans_and_summaries_have_a_row_each(projector: Projector) -> None:
    events = day(1, days=2)
    projector.catch_up(recorded(events))
    scans = [event for event in events if isinstance(event, market.FrameComputed)]
    snapshots = rows(projector, "momentum_snapshots")
    assert len(snapshots) == len(scans) > 10
    assert sum(int(str(row["candidates"])) for row in snapshots) == sum(len(scan.candidates) for scan in scans)
    best = next(scan for scan in scans if scan.candidates)
    row = next(row for row in snapshots if row["as_of"] == stored_time(best.as_of))
    assert (row["best_symbol"], row["best_score"]) == (best.candidates[0].symbol, best.candidates[0].score)
    summed = [event for event in events if isinstance(event, session.SessionSummarized)]
    assert [row["net_pnl"] for row in rows(projector, "session_summaries")] == [str(event.net_pnl) for event in summed]
    assert rows(projector, "slo_samples") == [], "no event records them yet"


# ── single tables that a plain day does not reach ──────────────────────────────────────────────────────────


def minute(n: int) -> dict[str, object]:
    return {"at": OPEN + timedelta(minutes=n)}


def test_commands_blocks_alerts_decisions_and_notes(projector: Projector) -> None:
    alert = control.Alert(alert_id="a", priority=Priority.P1, kind="drift", key="k", text="t", remedy="r")
    received = control.CommandReceived(
        **minute(0), command_id="c1", command=Pause(reason="lunch"), operator="ann", origin="page"
    )
    events: list[Event] = [
        received,
        control.CommandAccepted(**minute(1), command_id="c1", effect="entries blocked"),
        control.TradingStateChanged(
            **minute(1),
            scope="book",
            before=TradingState.ACTIVE,
            after=TradingState.REDUCING,
            code="operator_pause",
            reason="lunch",
            by="ann",
        ),
        received,
        control.CommandRefused(**minute(2), command_id="unheard of", reason="late", remedy="again"),
        control.SymbolBlocked(**minute(2), symbol="X", scope=BlockScope.SESSION, by="ann", reason="odd"),
        control.SymbolBlocked(**minute(3), symbol="X", scope=BlockScope.PERMANENT, by="bob", reason="very odd"),
        control.SymbolUnblocked(**minute(4), symbol="X", by="ann", reason="fine"),
        control.SymbolBlocked(**minute(5), symbol="Y", scope=BlockScope.SESSION, by="ann", reason="odd"),
        control.SymbolBlocked(**minute(5), symbol="Z", scope=BlockScope.PERMANENT, by="ann", reason="odd"),
        control.AlertRaised(**minute(6), alert=alert),
        control.AlertCleared(**minute(7), alert_id="a", reason="gone"),
        control.AlertRaised(**minute(8), alert=alert),
        control.DecisionRequired(**minute(9), decision_id="d", question="?", options=("go on", "liquidate")),
        control.DecisionEscalated(**minute(10), decision_id="d", waited_s=60),
        control.DecisionRecorded(**minute(11), decision_id="d", choice="go on", by="ann", reason="small"),
        control.RiskViolated(
            **minute(12),
            code="max_daily_loss",
            scope="book",
            value="-1000.00",
            limit="-1000",
            effect="halted",
            limits_hash="h",
        ),
        session.SessionClosed(**minute(12), session_id=""),
    ]
    projector.apply(len(events), events)
    (command,) = rows(projector, "commands")
    assert (command["command"], command["outcome"], command["effect"]) == ("pause", "accepted", "entries blocked")
    assert (command["reason"], command["operator"], command["detail"]) == ("lunch", "ann", "{}")
    blocked = [(row["symbol"], row["active"], row["end_reason"]) for row in rows(projector, "blocked_symbols")]
    assert blocked == [
        ("X", 0, "blocked again"),
        ("X", 0, "fine"),
        ("Y", 0, "session closed"),
        ("Z", 1, None),
    ]
    assert [(row["active"], row["clear_reason"]) for row in rows(projector, "alerts")] == [(0, "gone"), (1, None)]
    (decision,) = rows(projector, "required_decisions")
    assert (decision["options"], decision["waited_s"], decision["choice"]) == ('["go on","liquidate"]', 60, "go on")
    assert [(row["scope"], row["after"]) for row in rows(projector, "state_changes")] == [("book", "reducing")]
    (violation,) = rows(projector, "risk_violations")
    names = ("code", "scope", "value", "limit", "effect", "limits_hash", "symbol", "cl_ord_id")
    told = ["max_daily_loss", "book", "-1000.00", "-1000", "halted", "h", "", ""]
    assert [violation[name] for name in names] == told


def test_a_bust_takes_the_execution_back(projector: Projector) -> None:
    fill = FillRecorded(
        **minute(0),
        exec_id="x1",
        cl_ord_id="o1",
        strategy_id="s",
        symbol="X",
        side=Side.BUY,
        last_qty=Decimal(100),
        last_px=Decimal("10.5"),
        fee=Decimal("0.5"),
        transact_time=OPEN,
        realized_pnl=Decimal(0),
        conversion_rate=Decimal(1),
        position_qty=Decimal(100),
        position_cost=Decimal(1050),
    )
    bust = FillReversed(
        **minute(1),
        exec_id="x2",
        ref_exec_id="x1",
        cl_ord_id="o1",
        strategy_id="s",
        symbol="X",
        side=Side.BUY,
        last_qty=Decimal(100),
        last_px=Decimal("10.5"),
        fee=Decimal("0.5"),
    )
    projector.apply(2, [fill, bust])
    (execution,) = rows(projector, "executions")
    assert execution["reversed_by"] == "x2"
    (position,) = rows(projector, "positions")
    assert Decimal(str(position["qty"])) == Decimal(str(position["cost"])) == Decimal(str(position["fees"])) == 0
    assert position["avg_px"] is None


def test_breaks_are_open_until_repaired_or_settled(projector: Projector) -> None:
    def found(n: int, break_id: str) -> reconciliation.BreakFound:
        return reconciliation.BreakFound(
            **minute(n),
            break_id=break_id,
            kind=reconciliation.BreakKind.POSITION_QTY,
            symbol="X",
            severity=Priority.P0,
            before="100",
            after="90",
            cause="?",
            authority="broker",
        )

    def completed(n: int, *unresolved: str) -> reconciliation.ReconciliationCompleted:
        return reconciliation.ReconciliationCompleted(
            **minute(n),
            trigger=reconciliation.Trigger.STARTUP,
            result=reconciliation.ReconciliationResult.UNRESOLVED,
            breaks=3,
            repaired=1,
            unresolved=unresolved,
        )

    started = reconciliation.ReconciliationStarted(**minute(0), trigger=reconciliation.Trigger.STARTUP, after_cursor=0)
    repair = reconciliation.RepairApplied(
        **minute(3),
        break_id="b1",
        kind=reconciliation.BreakKind.POSITION_QTY,
        symbol="X",
        before="100",
        after="90",
        cause="?",
        authority="broker",
        strategy_id="s",
        qty="90",
        avg_px="10.25",
    )
    events = [started, found(1, "b1"), found(1, "b2"), found(2, "b3"), repair, completed(4, "b2")]
    events += [started, found(5, "b2"), completed(6)]
    projector.apply(len(events), events)
    breaks = {row["break_id"]: row for row in rows(projector, "breaks")}
    assert [(breaks[b]["open"], breaks[b]["times_found"]) for b in ("b1", "b2", "b3")] == [(0, 1), (0, 2), (0, 1)]
    assert breaks["b2"]["found_at"] == "2018-03-02T14:31:00Z"
    assert breaks["b2"]["settled_at"] == "2018-03-02T14:36:00Z"
    done = rows(projector, "reconciliations")
    assert [(row["started_at"][14:16], row["completed_at"][14:16]) for row in done] == [("30", "34"), ("30", "36")]
    (position,) = rows(projector, "positions")
    assert (position["qty"], Decimal(str(position["cost"]))) == ("90", Decimal("922.5"))
    assert len(rows(projector, "repairs")) == 1


def test_what_a_direct_emergency_recorded_becomes_the_same_rows(projector: Projector) -> None:
    known = day(1)[:150]
    at = known[-1].at
    imports = [
        reconciliation.FallbackImported(
            at=at, file_hash="f", n=n, original_at=event.at, record=encode(event).decode(), strategy_id="test-1"
        )
        for n, event in enumerate(emergency(), 1)
    ]
    events = (*known, *imports, *imports)
    projector.apply(len(events), events)
    order = folded(events).orders["close-1"]
    row = next(row for row in rows(projector, "orders") if row["cl_ord_id"] == "close-1")
    assert (row["status"], row["leg"], row["strategy_id"]) == (order.status, order.leg, order.strategy_id)
    assert (row["strategy_id"], row["intended_at"], row["submit_outcome"]) == ("test-1", stored_time(at), "lost")
    assert row["seq"] == 154
    assert {step["step"] for step in rows(projector, "emergency_steps")} == {"started", "completed"}
    assert {alert["kind"] for alert in rows(projector, "alerts")} >= {"journal_failed"}


def test_telemetry_has_its_own_watermark(projector: Projector) -> None:
    journal = recorded(decisions(2))
    journal.append_telemetry(
        [
            telemetry.ProcessStarted(
                **minute(0), process_id="p", host="h", pid=7, user="u", command="qm day", versions={"python": "3"}
            ),
            timing(1),
            telemetry.HealthSampled(
                **minute(1), component="broker", status="healthy", latency_ms=None, last_success="", detail=""
            ),
            telemetry.TimingDrifted(**minute(1), p95_lateness_ms=9, tolerance_ms=5, boundaries=9),
            telemetry.ProcessEnded(**minute(2), process_id="p", exit_code=0, reason="done"),
        ]
    )
    projector.catch_up(journal)
    assert (projector.watermark().seq, projector.watermark("telemetry").seq) == (2, 5)
    assert rows(projector, "boundaries")[0]["radar_ms"] == 1.5
    assert rows(projector, "health_samples")[0]["component"] == "broker"
    (process,) = rows(projector, "processes")
    assert (process["versions"], process["exit_code"]) == ('{"python":"3"}', 0)


# ── following a session ────────────────────────────────────────────────────────────────────────────────────


def test_a_follower_catches_up_on_what_the_bus_tells(tmp_path: Path, projector: Projector) -> None:
    bus = InProcessBus()
    events = day(1)
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        journal.append(events[:50])
        journal.sync()
        follower = ProjectionFollower(projector, journal, bus, pause_s=0.001)
        for start in range(50, len(events), 40):
            seq = journal.append(events[start : start + 40])
            journal.sync()
            bus.publish(seq, events[start : start + 40])
        deadline = time.monotonic() + 30
        while follower.lag() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert follower.lag() == 0
        follower.stop()
        follower.stop()
        assert bus.receivers == 0
        assert follower.error == ""
        assert dump(projector._connection) == rebuilt(journal, tmp_path / "other.db")


def test_a_follower_in_trouble_says_so_and_harms_nobody(tmp_path: Path, projector: Projector) -> None:
    bus = InProcessBus()
    journal = recorded(decisions(5))
    follower = ProjectionFollower(projector, journal, bus, pause_s=0.001)
    deadline = time.monotonic() + 30
    while follower.lag() and time.monotonic() < deadline:
        time.sleep(0.01)
    with closing(sqlite3.connect(projector.home.path)) as connection, connection:
        connection.execute("DROP TABLE blocked_symbols")
    journal.append(decisions(5, first=6))
    bus.publish(10, decisions(5, first=6))
    while not follower.error and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "blocked_symbols" in follower.error
    assert follower.lag() == 5
    bus.publish(11, decisions(1))
    assert bus.failures == ()
    follower.stop()
