"""What a feed monitor makes of prices that cannot be, of a mute socket and of a lost connection (§12)."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.events.market import FeedState
from qmworkbench.market.feed import Delivery, FeedMonitor, Overdue, PricesDoubted
from qmworkbench.market.price_sense import _FEW, PriceSense, crossed
from qmworkbench.trading.frames import BarFrame
from tests.market.bars_cases import MINUTE, OPEN

SYMBOLS = 8
BOUNDARIES = [OPEN + n * MINUTE for n in range(1, 11)]


def frame(number: int, close: list[float] | None = None, **columns: list[float]) -> BarFrame:
    closes = np.array(close if close is not None else [20.0 + n for n in range(SYMBOLS)])
    told = {"open": closes, "high": closes + 0.1, "low": closes - 0.1, "close": closes}
    told |= {name: np.array(values) for name, values in columns.items()}
    volume = np.full(len(closes), 1000.0)
    return BarFrame(as_of=BOUNDARIES[number], index=np.arange(len(closes), dtype=np.int32), volume=volume, **told)


def deliver(monitor: FeedMonitor, given: BarFrame) -> FeedState:
    monitor.observe(Delivery(given, 0, 1, None), given.as_of)
    return monitor.state


def test_bars_that_cannot_be_make_the_feed_crossed_until_they_can() -> None:
    monitor = FeedMonitor(BOUNDARIES)
    assert deliver(monitor, frame(0)) is FeedState.GOOD
    lows = [30.0] * SYMBOLS
    seen = monitor.observe(Delivery(frame(1, low=lows), 0, 2, None), BOUNDARIES[1])
    assert monitor.state is FeedState.CROSSED
    assert [type(fact) for fact in seen.facts] == [PricesDoubted]
    assert seen.changed is not None
    assert "8 of 8 bars are impossible" in seen.changed.detail
    assert deliver(monitor, frame(2)) is FeedState.GOOD


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), 1e12])
def test_absurd_prices_of_many_are_the_feeds_of_one_are_its_own(bad: float) -> None:
    monitor = FeedMonitor(BOUNDARIES)
    deliver(monitor, frame(0))
    one = [bad if n == 0 else 20.0 + n for n in range(SYMBOLS)]
    assert deliver(monitor, frame(1, one)) is FeedState.GOOD, "one symbol's trouble is not the feed's"
    many = [bad if n < 4 else 20.0 + n for n in range(SYMBOLS)]
    assert deliver(monitor, frame(2, many)) is FeedState.CROSSED
    assert deliver(monitor, frame(3)) is FeedState.GOOD, "what could not be believed is no yardstick"


def test_a_market_that_moves_is_believed() -> None:
    sense = PriceSense()
    for number in range(9):
        assert sense.doubt(frame(number, [20.0 * 1.3**number + n for n in range(SYMBOLS)])) == ""


def test_crossed_quotes_block_until_quotes_and_a_boundary_are_good() -> None:
    monitor = FeedMonitor(BOUNDARIES)
    deliver(monitor, frame(0))
    bid = np.array([20.0, 30.0, 40.0, np.nan])
    wrong = monitor.quotes(BOUNDARIES[0], bid, bid - 0.5)
    assert wrong.changed is not None
    assert "3 of 3 quotes are crossed" in wrong.changed.detail
    assert deliver(monitor, frame(1)) is FeedState.CROSSED, "bars say nothing of quotes"
    monitor.quotes(BOUNDARIES[1], bid, bid + 0.5)
    assert monitor.state is FeedState.CROSSED, "good again with the next boundary"
    assert deliver(monitor, frame(2)) is FeedState.GOOD
    assert crossed(np.array([np.nan]), np.array([1.0])) == ""


def test_heartbeats_are_no_prices() -> None:
    """Lean #4045: the price stream is dead while transaction heartbeats go on. alpaca-py #740: a mute socket unnoticed
    for hours.
    """
    monitor = FeedMonitor(BOUNDARIES, late_after_s=2.0)
    deliver(monitor, frame(0))
    due = BOUNDARIES[1]
    for second in range(0, 60, 5):
        monitor.heartbeat(due + timedelta(seconds=second))
    seen = monitor.check(due + timedelta(seconds=10), due)
    assert monitor.state is FeedState.MUTE
    assert seen.changed is not None
    assert "the price stream is dead" in seen.changed.detail
    assert isinstance(seen.facts[0], Overdue)
    monitor.heartbeat(due + timedelta(seconds=70))
    assert monitor.state is FeedState.MUTE, "a heartbeat makes nothing good"
    assert deliver(monitor, frame(2)) is FeedState.GAPPED
    assert deliver(monitor, frame(3)) is FeedState.GOOD


def test_silence_without_heartbeats_is_stale_and_a_lost_connection_stays_what_it_is() -> None:
    silent = FeedMonitor(BOUNDARIES, late_after_s=2.0)
    silent.check(BOUNDARIES[0] + timedelta(seconds=3), BOUNDARIES[0])
    assert silent.state is FeedState.STALE
    lost = FeedMonitor(BOUNDARIES, late_after_s=2.0)
    told = lost.disconnected(BOUNDARIES[0], "closed by the other side")
    assert told.changed is not None
    assert told.changed.detail == "closed by the other side"
    assert lost.check(BOUNDARIES[0] + timedelta(seconds=30), BOUNDARIES[0]).changed is None
    assert lost.state is FeedState.DISCONNECTED
    assert deliver(lost, frame(0)) is FeedState.GOOD


_ODD = st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 9.99, 10.0, 19.8, 20.0, 20.4, 40.0, 40.01, 80.0])


@given(st.lists(st.lists(st.tuples(_ODD, _ODD, _ODD, _ODD), min_size=SYMBOLS, max_size=SYMBOLS), max_size=6))
def test_a_small_frame_is_judged_as_a_large_one(told: list[list[tuple[float, ...]]]) -> None:
    """Small frames are looked at number by number first; of many symbols, and so in arrays, it must say the same."""
    few, many = PriceSense(), PriceSense()
    copies = _FEW // SYMBOLS + 1
    for number, rows in enumerate(told):
        opened, high, low, close = (list(column) for column in zip(*rows, strict=True))
        small = few.doubt(frame(number, close, open=opened, high=high, low=low))
        large = many.doubt(frame(number, close * copies, open=opened * copies, high=high * copies, low=low * copies))
        assert bool(small) == bool(large) or _too_few_to_tell(small, large)
        assert np.array_equal(np.tile(few._last, copies), many._last, equal_nan=True)


def _too_few_to_tell(small: str, large: str) -> bool:
    """Two leaps of eight are a quarter and too few to say anything; of many symbols the same quarter is enough."""
    return not small and "leapt" in large
