"""The replay feed: every frame once and in order, paced by a clock from outside, and judged from what arrives."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.events.market import FeedState
from qmworkbench.market.bars import session_from_frame
from qmworkbench.market.feed import (
    Delivery,
    EmptyBoundaries,
    FeedMonitor,
    LateBoundary,
    MissingBoundary,
    Overdue,
    ReplayFeed,
    parse_speed,
)
from qmworkbench.market.session import SessionData
from qmworkbench.ports import MarketData
from qmworkbench.trading.frames import BarFrame
from tests.market.bars_cases import DAY, MINUTE, OPEN, minutes_of, row, table

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class Wall:
    """A clock that moves only when somebody sleeps or works."""

    def __init__(self) -> None:
        self.at = NOON
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def data() -> SessionData:
    return session_from_frame(table([row("AAA", OPEN - MINUTE), *minutes_of(OPEN, "AAA BBB", 390)]), DAY)


def test_frames_come_once_and_in_order(data: SessionData) -> None:
    feed: MarketData = ReplayFeed(data)
    assert list(feed.frames()) == list(data.frames)


@given(st.integers(0, 391))
def test_a_resumed_feed_goes_on_where_it_was(count: int) -> None:
    data = session_from_frame(table([row("AAA", OPEN - MINUTE), row("AAA", OPEN)]), DAY, interval_s=60)
    feed = ReplayFeed(data)
    head = list(itertools.islice(feed.frames(), count))
    after = head[-1].as_of if head else None
    assert [*head, *feed.frames(after)] == list(data.frames)


def test_due_times_scale_market_time(data: SessionData) -> None:
    deliveries = list(ReplayFeed(data, speed=240.0).deliveries(NOON))
    assert deliveries[0].due_at == NOON + timedelta(seconds=0.25)
    assert deliveries[-1].due_at == NOON + timedelta(seconds=391 * 0.25)
    assert [delivery.boundary for delivery in deliveries] == [0, *range(1, 391)]
    assert [delivery.number for delivery in deliveries] == list(range(391))


def test_after_a_restart_time_goes_on_from_the_boundary_reached(data: SessionData) -> None:
    first = next(ReplayFeed(data, speed=60.0).deliveries(NOON, after=OPEN + 10 * MINUTE))
    assert first.frame.as_of == OPEN + 11 * MINUTE
    assert first.boundary == 11
    assert first.due_at == NOON + timedelta(seconds=1)


def test_full_speed_sets_no_due_times_and_never_sleeps(data: SessionData) -> None:
    wall = Wall()
    deliveries = list(ReplayFeed(data).paced(wall, wall.sleep))
    assert wall.slept == []
    assert {delivery.due_at for delivery in deliveries} == {None}
    assert deliveries[5].lateness_ms(NOON + timedelta(days=1)) == 0.0


def test_pacing_sleeps_until_each_frame_is_due(data: SessionData) -> None:
    wall = Wall()
    for delivery in ReplayFeed(data, speed=60.0).paced(wall, wall.sleep):
        assert wall.at == delivery.due_at
    assert wall.slept == pytest.approx([1.0] * 391)


def test_a_slow_receiver_gets_every_frame_late_and_at_once(data: SessionData) -> None:
    wall = Wall()
    seen: list[int] = []
    for delivery in ReplayFeed(data, speed=60.0).paced(wall, wall.sleep):
        seen.append(delivery.number)
        if delivery.number == 0:
            wall.at += timedelta(seconds=100)
        if delivery.number == 50:
            assert delivery.lateness_ms(wall.at) == pytest.approx(50_000)
    assert seen == list(range(391))
    assert wall.slept[:2] == pytest.approx([1.0, 1.0])  # the first frame, then number 101
    assert wall.at == NOON + timedelta(seconds=391)


def test_the_async_feed_gives_the_loop_a_turn_before_every_frame(data: SessionData) -> None:
    wall = Wall()
    turns: list[int] = []
    seen: list[BarFrame] = []

    async def other() -> None:
        while len(seen) < 391:
            turns.append(len(seen))
            await asyncio.sleep(0)

    async def receive() -> None:
        async for delivery in ReplayFeed(data).stream(wall, wall.asleep):
            seen.append(delivery.frame)

    async def both() -> None:
        await asyncio.gather(receive(), other())

    asyncio.run(both())
    assert seen == list(data.frames)
    assert len(set(turns)) > 380


@pytest.mark.parametrize(("text", "speed"), [("max", None), (" MAX ", None), ("240", 240.0), ("0.5", 0.5)])
def test_speeds_people_type(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf", ""])
def test_speeds_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match="speed is"):
        parse_speed(text)


def test_a_feed_refuses_a_senseless_speed(data: SessionData) -> None:
    with pytest.raises(ValueError, match="speed is 0"):
        ReplayFeed(data, speed=0)


# ── judging a feed ────────────────────────────────────────────────────────────────────────────────────────────────────


def deliveries(traded: set[int]) -> list[Delivery]:
    """A session in which only these minutes have a bar."""
    rows = [row("AAA", OPEN + k * MINUTE) for k in sorted(traded)]
    data = session_from_frame(table(rows), DAY, interval_s=60)
    return list(ReplayFeed(data, speed=60.0).deliveries(NOON))


def expected() -> list[datetime]:
    return [OPEN + (k + 1) * MINUTE for k in range(390)]


def on_time(delivery: Delivery) -> datetime:
    assert delivery.due_at is not None
    return delivery.due_at


def test_a_good_feed_raises_nothing() -> None:
    monitor = FeedMonitor(expected())
    for delivery in deliveries(set(range(390))):
        assert monitor.observe(delivery, on_time(delivery)).facts == ()
    assert monitor.state is FeedState.GOOD
    assert monitor.awaited is None


def test_a_missing_boundary_is_a_gap_until_the_next_one_comes_in_turn() -> None:
    monitor = FeedMonitor(expected())
    frames = deliveries(set(range(390)))
    monitor.observe(frames[0], on_time(frames[0]))
    seen = monitor.observe(frames[3], on_time(frames[3]))
    assert seen.facts == (MissingBoundary(OPEN + 2 * MINUTE), MissingBoundary(OPEN + 3 * MINUTE))
    assert seen.changed is not None
    assert (seen.changed.state, seen.changed.at) == (FeedState.GAPPED, OPEN + 4 * MINUTE)
    assert "2 boundaries from 14:32 to 14:33 UTC never came" in seen.changed.detail
    healed = monitor.observe(frames[4], on_time(frames[4]))
    assert healed.facts == ()
    assert healed.changed is not None
    assert healed.changed.state is FeedState.GOOD


def test_five_empty_boundaries_make_a_feed_stale_until_a_bar_comes() -> None:
    monitor = FeedMonitor(expected())
    frames = deliveries({0, 1, 20})
    seen = [monitor.observe(delivery, on_time(delivery)) for delivery in frames[:21]]
    changes = [(number, look.changed.state) for number, look in enumerate(seen) if look.changed]
    assert changes == [(6, FeedState.STALE), (20, FeedState.GOOD)]
    empties = [fact for look in seen for fact in look.facts]
    assert empties == [EmptyBoundaries(OPEN + (k + 2) * MINUTE, k) for k in (5, 10, 15)]


def test_lateness_is_a_fact_and_no_state() -> None:
    monitor = FeedMonitor(expected(), late_after_s=2.0)
    (first, second, *_) = deliveries(set(range(390)))
    look = monitor.observe(first, on_time(first) + timedelta(seconds=3))
    assert look.facts == (LateBoundary(first.frame.as_of, 3.0),)
    assert look.changed is None
    assert monitor.observe(second, on_time(second) + timedelta(seconds=2)).facts == ()


def test_a_silent_feed_is_stale_once_its_boundary_is_overdue() -> None:
    monitor = FeedMonitor(expected(), late_after_s=2.0)
    assert monitor.check(NOON + timedelta(seconds=2), NOON).facts == ()
    look = monitor.check(NOON + timedelta(seconds=9), NOON)
    assert look.facts == (Overdue(OPEN + MINUTE, 9.0),)
    assert look.changed is not None
    assert look.changed.state is FeedState.STALE
    assert monitor.check(NOON + timedelta(seconds=10), NOON).changed is None  # said once


def test_a_monitor_can_start_in_mid_session() -> None:
    monitor = FeedMonitor(expected(), after=OPEN + 100 * MINUTE)
    assert monitor.awaited == OPEN + 101 * MINUTE


def test_frames_before_the_open_are_not_judged(data: SessionData) -> None:
    monitor = FeedMonitor(data.boundaries)
    early = next(ReplayFeed(data, speed=60.0).deliveries(NOON))
    assert monitor.observe(early, on_time(early)).changed is None
    assert monitor.awaited == OPEN + MINUTE


def test_a_boundary_that_was_not_awaited_is_refused() -> None:
    monitor = FeedMonitor(expected())
    frames = deliveries(set(range(390)))
    monitor.observe(frames[5], on_time(frames[5]))
    with pytest.raises(ValueError, match="was not awaited"):
        monitor.observe(frames[5], on_time(frames[5]))
    with pytest.raises(ValueError, match="must ascend"):
        FeedMonitor([OPEN, OPEN])


@given(st.sets(st.integers(0, 59)), st.lists(st.booleans(), min_size=60, max_size=60))
def test_every_boundary_is_either_observed_or_reported_missing(traded: set[int], dropped: list[bool]) -> None:
    frames = deliveries({0, *traded})[:60]
    monitor = FeedMonitor(expected()[:60])
    missing, seen = [], []
    for delivery, lost in zip(frames, dropped, strict=True):
        if not lost:
            seen.append(delivery.frame.as_of)
            facts = monitor.observe(delivery, on_time(delivery)).facts
            missing += [fact.as_of for fact in facts if isinstance(fact, MissingBoundary)]
    still_awaited = [as_of for as_of in expected()[:60] if monitor.awaited is not None and as_of >= monitor.awaited]
    assert sorted([*seen, *missing, *still_awaited]) == expected()[:60]
