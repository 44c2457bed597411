"""The scan before the open: its window, its gaps, its order, and what it says where there is nothing to see (§8)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.trading.frames import BarFrame, Reference, Universe
from qmworkbench.trading.pre_open import PreOpenWindow, scan_pre_open, window_of
from qmworkbench.trading.scanner_settings import ScanSettings

OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
UNIVERSE = Universe(("AAA", "BBB", "CCC", "DDD"))
REFERENCE = Reference(prev_close=np.array([10.0, 20.0, np.nan, 1.0]), volume_profile=None, history_days=1)
SETTINGS = ScanSettings(min_change_pct=3.0, min_price=2.0)


def frame(minutes_before: float, volume: float = 1_000.0, **closes: float) -> BarFrame:
    """Prints of the minute that ended so long before the open."""
    index = np.array([UNIVERSE.index[symbol] for symbol in sorted(closes)], dtype=np.int32)
    px = np.array([closes[symbol] for symbol in sorted(closes)])
    return BarFrame(
        as_of=OPEN - timedelta(minutes=minutes_before),
        index=index,
        open=px,
        high=px,
        low=px,
        close=px,
        volume=np.full(len(px), volume),
        extended=True,
    )


def scanned(*frames: BarFrame, settings: ScanSettings = SETTINGS, blocked: tuple[str, ...] = ()):
    window = window_of(settings, OPEN)
    assert window is not None
    return scan_pre_open(
        at=OPEN,
        window=window,
        settings=settings,
        universe=UNIVERSE,
        reference=REFERENCE,
        frames=frames,
        interval=MINUTE,
        blocked=blocked,
    )


def test_gappers_are_ranked_by_their_gap() -> None:
    found = scanned(frame(30, AAA=10.5, BBB=20.2), frame(1, AAA=10.6, BBB=22.0))
    assert [(row.symbol, row.rank, row.gap_pct) for row in found.rows] == [
        ("BBB", 1, Decimal("10.00")),
        ("AAA", 2, Decimal("6.00")),
    ]
    assert found.rows[0].volume == 2_000
    assert (found.used_from, found.used_until) == (OPEN - 31 * MINUTE, OPEN - MINUTE)
    assert found.looked_at == 2


def test_only_bars_wholly_inside_the_window_count() -> None:
    settings = ScanSettings(min_change_pct=3.0, pre_open_from_min=30.0, pre_open_until_min=5.0)
    too_early, too_late, inside = frame(30, AAA=19.0), frame(4, AAA=19.0), frame(29, AAA=11.0)
    found = scanned(too_early, inside, too_late, settings=settings)
    assert [row.last_px for row in found.rows] == [Decimal(11)]
    assert (found.used_from, found.used_until) == (OPEN - 30 * MINUTE, OPEN - 29 * MINUTE)
    assert (found.window_from, found.window_until) == (OPEN - 30 * MINUTE, OPEN - 5 * MINUTE)


def test_without_prints_nobody_is_named_and_the_scan_says_why() -> None:
    found = scanned()
    assert found.rows == ()
    assert found.used_from is None
    assert found.used_until is None
    assert "no bar before the open" in found.detail


def test_without_a_previous_close_there_is_no_gap() -> None:
    assert scanned(frame(1, CCC=99.0)).rows == ()
    nobody = Reference.unknown(UNIVERSE)
    window = PreOpenWindow(begins=OPEN - 60 * MINUTE, ends=OPEN)
    found = scan_pre_open(
        at=OPEN,
        window=window,
        settings=SETTINGS,
        universe=UNIVERSE,
        reference=nobody,
        frames=[frame(1, AAA=11.0)],
        interval=MINUTE,
    )
    assert found.rows == ()
    assert "no symbol has a previous close" in found.detail


@pytest.mark.parametrize(
    ("settings", "blocked", "why"),
    [
        (SETTINGS, ("AAA",), "blocked"),
        (ScanSettings(min_price=12.0), (), "price 11 under 12"),
        (ScanSettings(max_price=10.0), (), "price 11 over 10"),
        (ScanSettings(pre_open_min_volume=5_000.0), (), "volume 1,000 under 5,000"),
    ],
)
def test_a_gapper_that_is_kept_out_is_named_with_its_reason(
    settings: ScanSettings, blocked: tuple[str, ...], why: str
) -> None:
    found = scanned(frame(1, AAA=11.0), settings=settings, blocked=blocked)
    assert [(row.symbol, row.rank, row.reason) for row in found.rows] == [("AAA", 0, why)]


def test_no_more_are_named_than_asked_for() -> None:
    found = scanned(frame(1, AAA=11.0, BBB=22.0, DDD=3.0), settings=ScanSettings(pre_open_depth=1))
    assert [row.symbol for row in found.rows if row.rank] == ["DDD"]


def test_forex_has_no_open_to_scan_before() -> None:
    assert window_of(ScanSettings.for_forex(), OPEN) is None


@pytest.mark.parametrize(
    ("given_values", "said"),
    [
        ({"pre_open_from_min": 10.0, "pre_open_until_min": 20.0}, "both count back from the open"),
        ({"pre_open_from_min": 5.0, "pre_open_until_min": 5.0}, "both count back from the open"),
        ({"pre_open_from_min": -1.0}, "pre_open_from_min is -1"),
        ({"pre_open_min_volume": float("nan")}, "pre_open_min_volume is nan"),
        ({"pre_open_depth": 0}, "pre_open_depth is 0"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(given_values: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ScanSettings(**given_values)


@given(st.lists(st.tuples(st.integers(1, 90), st.floats(5.0, 40.0)), max_size=8))
def test_prints_outside_the_window_never_matter(prints: list[tuple[int, float]]) -> None:
    settings = ScanSettings(min_change_pct=None, pre_open_from_min=60.0, pre_open_until_min=10.0)
    ordered = sorted(prints, key=lambda item: -item[0])
    frames = [frame(before, AAA=round(px, 2)) for before, px in ordered]
    inside = [each for each, (before, _) in zip(frames, ordered, strict=True) if 10 <= before <= 59]
    assert scanned(*frames, settings=settings) == scanned(*inside, settings=settings)
