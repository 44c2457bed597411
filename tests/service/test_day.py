"""A trading day in the plain loop: what it leaves on record, that it repeats itself, and how it says no."""

import dataclasses
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from time import sleep

import pytest

from qmworkbench.domain.chain import Record
from qmworkbench.domain.checks import Check, CheckStatus, Verdict
from qmworkbench.domain.events import Event, Input
from qmworkbench.domain.events.market import BoundaryClosed, FeedChanged, FeedState, FrameComputed
from qmworkbench.domain.events.orders import FillRecorded, OrderIntended, TradeClosed
from qmworkbench.domain.events.reconciliation import ReconciliationCompleted, Trigger
from qmworkbench.domain.events.session import (
    PhaseEntered,
    PhaseRefused,
    PreflightRecorded,
    RunEnded,
    ServiceReady,
    ServiceStopped,
    SessionClosed,
    SessionOpened,
    SessionSummarized,
)
from qmworkbench.domain.sessions import PHASE_ORDER
from qmworkbench.market.bars import load_session
from qmworkbench.market.demo import demo_session
from qmworkbench.market.session import SessionData
from qmworkbench.ports import JournalFailed
from qmworkbench.service.fresh import move_aside
from qmworkbench.service.headless import run_headless
from qmworkbench.service.lease import LeaseTaken
from qmworkbench.service.plan import AlreadyClosed, DayPlan, DayRefused
from qmworkbench.service.platform import Platform, StopRequested, open_platform
from qmworkbench.service.recovery import restore
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.checkpoints import Checkpoints
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.projections import Projector, catch_up_book
from qmworkbench.storage.snapshots import read_snapshots
from qmworkbench.trading.fold import fold
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.phases import STARTUP_ORDER, STOP_ORDER
from qmworkbench.trading.state import state_hash
from tests.service.conftest import PastDay, events_of
from tests.service.day_process import DEMO_DAY, all_good, check, cut_short, demo_day, plan_for


def of(events: list[Event], kind: type[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


# --- what a day leaves on record ---------------------------------------------------------------------------------


def test_a_day_trades_reconciles_without_a_break_and_closes(past_day: PastDay) -> None:
    result, events = past_day.result, past_day.events
    assert result.fills == len(of(events, FillRecorded)) > 0
    assert result.trades == len(of(events, TradeClosed)) > 0
    assert result.bars == past_day.plan.data.bars
    assert result.breaks == 0
    assert result.verdicts == {"pre-start": Verdict.GO, "pre-market": Verdict.GO}
    assert not result.recovered
    assert isinstance(events[-1], SessionClosed)
    net = sum((trade.net_pnl for trade in of(events, TradeClosed)), Decimal(0))  # type: ignore[attr-defined]
    assert result.net_pnl == round(net, 2), "what the trades made is what the account made"


def test_every_phase_is_entered_once_and_in_order(past_day: PastDay) -> None:
    entered = [event.phase for event in of(past_day.events, PhaseEntered)]  # type: ignore[attr-defined]
    assert entered == list(PHASE_ORDER[1:])


def test_services_start_and_stop_in_the_runbooks_order(past_day: PastDay) -> None:
    ready = [(event.service, event.position) for event in of(past_day.events, ServiceReady)]  # type: ignore[attr-defined]
    assert ready == [(name, position) for position, name in enumerate(STARTUP_ORDER, start=1)]
    stopped = [event.service for event in of(past_day.events, ServiceStopped)]  # type: ignore[attr-defined]
    assert stopped == list(STOP_ORDER[:8]), "API and page stop after the session has closed"


def test_the_day_ends_flat_with_every_run_ended_and_a_clean_comparison(past_day: PastDay) -> None:
    state = fold(past_day.events)
    assert state.positions == {}
    assert state.open_orders == {}
    assert len(of(past_day.events, RunEnded)) == len(past_day.plan.runs)
    compared = of(past_day.events, ReconciliationCompleted)
    assert [event.trigger for event in compared][0 :: len(compared) - 1] == [Trigger.STARTUP, Trigger.END_OF_SESSION]  # type: ignore[attr-defined]
    assert all(event.breaks == 0 for event in compared)  # type: ignore[attr-defined]
    summary = of(past_day.events, SessionSummarized)[-1]
    assert (summary.fills, summary.net_pnl) == (past_day.result.fills, past_day.result.net_pnl)  # type: ignore[attr-defined]


def test_every_boundary_is_closed_then_computed(past_day: PastDay) -> None:
    closed = of(past_day.events, BoundaryClosed)
    computed = of(past_day.events, FrameComputed)
    assert [event.frame_hash for event in closed] == [frame.content_hash for frame in past_day.plan.data.frames]  # type: ignore[attr-defined]
    assert [event.as_of for event in computed] == [event.at for event in closed]  # type: ignore[attr-defined]


def test_no_order_is_sent_twice(past_day: PastDay) -> None:
    ids = [event.request.cl_ord_id for event in of(past_day.events, OrderIntended)]  # type: ignore[attr-defined]
    assert len(ids) == len(set(ids)) > 0


def test_bars_radar_and_projections_are_all_there_afterwards(past_day: PastDay) -> None:
    plan = past_day.plan
    paths = plan.paths.session(plan.session_id)
    bars = BarStore(paths.bars)
    assert bars.archive.exists()
    assert not bars.segments.exists()
    named = [(e.at, e.frame_hash) for e in of(past_day.events, BoundaryClosed)]  # type: ignore[attr-defined]
    assert bars.verify(named) == ()
    radar = read_snapshots(paths.radar)
    assert radar["as_of"].n_unique() == len(plan.data.frames)
    assert radar.filter(radar["rank"] == 1).height == len(plan.data.frames)
    with JournalReader(plan.paths.journal) as journal:
        projector = Projector(plan.paths.projections)
        assert projector.lag(journal) == 0
        projector.close()
        journal.verify()


# --- that it repeats itself ----------------------------------------------------------------------------------------


def test_the_inputs_alone_give_every_decision_again(past_day: PastDay) -> None:
    kernel, again = Kernel(), []
    for event in past_day.events:
        if isinstance(event, Input) and not (again and event in again[-1]):
            again.append(kernel.step(event))
    assert [event for step in again for event in step] == past_day.events


def test_folding_from_a_checkpoint_and_from_genesis_agree(past_day: PastDay) -> None:
    checkpoints = Checkpoints(past_day.plan.paths.checkpoints)
    with JournalReader(past_day.plan.paths.journal) as reader:
        journal = ReadableJournal(reader)
        with_checkpoint, from_genesis = restore(journal, checkpoints), restore(journal, None)
    assert with_checkpoint.from_checkpoint == with_checkpoint.seq, "the last checkpoint is made at the close"
    assert (with_checkpoint.notes, from_genesis.from_checkpoint) == ((), 0)
    assert state_hash(with_checkpoint.state) == state_hash(from_genesis.state)


class ReadableJournal:
    """A reader as restoring asks for one."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self.head = reader.head()
        self.hash_at = reader.hash_at

    def records(self, after_seq: int = 0) -> Iterator[Record]:
        return self._reader.records(after_seq)


def test_computed_in_one_pass_every_decision_is_the_same(past_day: PastDay, plan: DayPlan) -> None:
    assert plan.compute == "one-pass"
    assert past_day.plan.compute == "incremental"
    result = run_headless(plan, all_good)
    assert events_of(plan) == past_day.events
    assert result.decision_head == past_day.result.decision_head


def test_a_real_day_trades_without_a_break(shared_data: Path, tmp_path: Path) -> None:
    data = load_session(shared_data / "us_equity_minute_2018.parquet", date(2018, 3, 2))
    result = run_headless(plan_for(tmp_path, data, compute="one-pass"), all_good)
    assert (result.bars, result.breaks) == (75_518, 0)
    assert result.trades > 0


def test_a_forex_week_carries_positions_from_day_to_day_without_a_break(shared_data: Path, tmp_path: Path) -> None:
    results, carried = [], 0
    for day in range(5, 10):
        data = load_session(shared_data / "forex_hourly_9pairs_2015_2018.parquet", date(2018, 3, day))
        plan = plan_for(tmp_path, data)
        results.append(run_headless(plan, all_good))
        carried += bool(fold(events_of(plan)).positions)
    assert [result.breaks for result in results] == [0] * 5
    assert sum(result.fills for result in results) > 0
    assert carried > 0, "a trend strategy that carries holds something over some night"
    opened = of(events_of(plan), SessionOpened)
    assert [event.session_id for event in opened] == [result.session for result in results]  # type: ignore[attr-defined]


def test_a_feed_that_went_bad_must_be_seen_to_be_good_before_anything_is_entered(
    short_plan: DayPlan, tmp_path: Path
) -> None:
    """Five empty boundaries at the end of a session make the feed stale; the next session begins with that."""

    def silent_at_the_end(data: SessionData) -> SessionData:
        nothing = {
            name: getattr(data.frames[0], name)[:0] for name in ("index", "open", "high", "low", "close", "volume")
        }
        silent = (dataclasses.replace(frame, **nothing) for frame in data.frames[-5:])
        return dataclasses.replace(data, frames=(*data.frames[:-5], *silent), spreads_bps=None)

    run_headless(plan_for(tmp_path, silent_at_the_end(cut_short(demo_day()))), all_good)
    assert fold(events_of(short_plan)).feed is FeedState.STALE
    following = cut_short(demo_session(DEMO_DAY + timedelta(days=3), 7, 60))
    run_headless(plan_for(tmp_path, following, compute="one-pass"), all_good)
    events = events_of(short_plan)
    second = events[max(n for n, event in enumerate(events) if isinstance(event, SessionOpened)) :]
    good = next(n for n, event in enumerate(second) if isinstance(event, FeedChanged))
    assert second[good].state is FeedState.GOOD  # type: ignore[attr-defined]
    assert of(second[:good], OrderIntended) == []
    assert of(second[good:], OrderIntended)


# --- how it says no ------------------------------------------------------------------------------------------------


def test_a_closed_session_refuses_to_run_again_and_names_the_way_out(past_day: PastDay) -> None:
    before = past_day.events
    with pytest.raises(AlreadyClosed, match="--fresh"):
        run_headless(past_day.plan, all_good)
    assert past_day.events == before


def test_fresh_moves_the_old_book_aside_and_deletes_nothing(short_plan: DayPlan) -> None:
    assert move_aside(short_plan.paths) is None, "there was no book"
    for number in (1, 2):
        short_plan.paths.create()
        (short_plan.paths.root / "proof").write_text(str(number))
        aside = move_aside(short_plan.paths)
        assert aside is not None
        assert aside.name == f"main.before-{number}"
        assert (aside / "proof").read_text() == str(number)
        assert not short_plan.paths.root.exists()


def test_a_book_in_use_is_not_moved_and_not_opened_twice(short_plan: DayPlan) -> None:
    with open_platform(short_plan):
        with pytest.raises(LeaseTaken, match="held by process"):
            move_aside(short_plan.paths)
        with pytest.raises(LeaseTaken):
            open_platform(short_plan)
    assert move_aside(short_plan.paths) is not None


def no_go(platform: Platform, phase: str) -> list[Check]:
    return [check("test.limit", CheckStatus.FAIL), check("test.other", CheckStatus.PASS)]


def test_no_go_stops_the_day_on_record_and_the_corrected_day_runs(short_plan: DayPlan) -> None:
    with pytest.raises(DayRefused, match=r"pre-start preflight says NO-GO.*run the test again"):
        run_headless(short_plan, no_go)
    recorded = of(events_of(short_plan), PreflightRecorded)
    assert [(event.phase, event.verdict, event.failed) for event in recorded] == [  # type: ignore[attr-defined]
        ("pre-start", Verdict.NO_GO, ("test.limit",))
    ]
    assert len(of(events_of(short_plan), PhaseRefused)) == 1
    corrected = dataclasses.replace(short_plan, config_hash="corrected")
    result = run_headless(corrected, all_good)
    assert not result.recovered, "nothing had been decided yet, so nothing was recovered"
    opened = of(events_of(short_plan), SessionOpened)
    assert [event.config_hash for event in opened] == ["test", "corrected"]  # type: ignore[attr-defined]


def test_looking_at_nothing_is_no_go(plan: DayPlan) -> None:
    with pytest.raises(DayRefused, match="INCOMPLETE"):
        run_headless(plan, lambda platform, phase: [])


def test_no_go_before_the_market_keeps_the_session_out_of_it(short_plan: DayPlan) -> None:
    def late(platform: Platform, phase: str) -> list[Check]:
        return all_good(platform, phase) if phase == "pre-start" else no_go(platform, phase)

    with pytest.raises(DayRefused, match="pre-market preflight says NO-GO"):
        run_headless(short_plan, late)
    assert of(events_of(short_plan), OrderIntended) == []
    result = run_headless(short_plan, all_good)
    assert result.recovered
    assert result.trades > 0


def test_an_unfinished_session_must_be_finished_first(short_plan: DayPlan, tmp_path: Path) -> None:
    def late(platform: Platform, phase: str) -> list[Check]:
        return all_good(platform, phase) if phase == "pre-start" else no_go(platform, phase)

    with pytest.raises(DayRefused):
        run_headless(short_plan, late)
    other = plan_for(tmp_path, demo_session(DEMO_DAY + timedelta(days=3), 7, 20))
    with pytest.raises(DayRefused, match=f"--date {DEMO_DAY}"):
        run_headless(other, all_good)


def test_time_does_not_run_backwards_in_a_book(past_day: PastDay) -> None:
    earlier = demo_session(DEMO_DAY - timedelta(days=1), 7, 20)
    plan = dataclasses.replace(past_day.plan, data=earlier)
    with pytest.raises(DayRefused, match=r"time does not run backwards.*--fresh"):
        run_headless(plan, all_good)


# --- how it is interrupted -------------------------------------------------------------------------------------------


def test_stopped_at_a_safe_point_the_journal_verifies_and_the_day_resumes(past_day: PastDay, plan: DayPlan) -> None:
    stopping: list[Platform] = []

    def at_boundary(delivery: object) -> None:
        if delivery.boundary == 100:  # type: ignore[attr-defined]
            stopping[0].stop = "stopped by the test"

    with pytest.raises(StopRequested, match="stopped by the test"):
        run_headless(plan, all_good, on_open=stopping.append, on_boundary=at_boundary)
    with JournalReader(plan.paths.journal) as journal:
        journal.verify()
    closed = of(events_of(plan), BoundaryClosed)
    assert closed[-1].boundary == 100  # type: ignore[attr-defined]
    result = run_headless(plan, all_good)
    assert result.recovered
    assert (result.fills, result.trades, result.net_pnl, result.breaks, result.bars) == (
        past_day.result.fills,
        past_day.result.trades,
        past_day.result.net_pnl,
        0,
        past_day.result.bars,
    )


def test_when_the_journal_fails_nothing_is_sent_and_the_day_resumes_once_it_is_back(short_plan: DayPlan) -> None:
    class Opened:
        def __init__(self) -> None:
            self.sent_after = 0
            self.broken = False

        def __call__(self, platform: Platform) -> None:
            self.platform = platform
            submit = platform.broker.submit

            def counted(request: object) -> None:
                self.sent_after += self.broken
                submit(request)  # type: ignore[arg-type]

            platform.broker.submit = counted  # type: ignore[method-assign]

        def at_boundary(self, delivery: object) -> None:
            if delivery.boundary == 20:  # type: ignore[attr-defined]
                self.broken = True

                def fails() -> int:
                    raise JournalFailed("the disk is full")

                self.platform.journal.sync = fails  # type: ignore[method-assign]

    opened = Opened()
    with pytest.raises(JournalFailed, match="the disk is full"):
        run_headless(short_plan, all_good, on_open=opened, on_boundary=opened.at_boundary)
    assert opened.sent_after == 0
    assert run_headless(short_plan, all_good).breaks == 0


def test_the_tables_of_a_closed_day_hold_its_last_record_however_slow_the_disk(short_plan: DayPlan) -> None:
    """Found in CI: how the process ended was still queued when the tables were brought up for the last time."""

    def opened(platform: Platform) -> None:
        def slow() -> None:
            platform.journal.before_commit(lambda: sleep(0.3))

        platform.on_close(slow)

    run_headless(short_plan, all_good, on_open=opened)
    assert catch_up_book(short_plan.paths) == (0, "")
