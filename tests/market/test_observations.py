"""Notes about data that is legal: stops, gaps, torn recordings, jumps. Each is seen, and not seen where it is not."""

from datetime import timedelta

import pytest

from qmworkbench.market.bars import session_from_frame
from qmworkbench.market.findings import Severity
from qmworkbench.market.session import SessionData
from tests.market.bars_cases import DAY, MINUTE, OPEN, Row, codes, minutes_of, row, table

YESTERDAY = OPEN - timedelta(days=1)


def session(rows: list[Row]) -> SessionData:
    return session_from_frame(table(rows).sort("symbol", "ts"), DAY, interval_s=60)


def message(data: SessionData, code: str) -> str:
    finding = next(finding for finding in data.findings if finding.code == code)
    assert finding.severity is Severity.NOTE
    return finding.message


def test_a_full_day_has_nothing_to_note_but_its_contents() -> None:
    data = session(minutes_of(YESTERDAY, "AAA BBB", 390) + minutes_of(OPEN, "AAA BBB", 390))
    assert codes(data) == ["contents", "short_history"]
    assert "780 bars of 60 s" in message(data, "contents")


def test_a_symbol_that_stops_in_mid_session() -> None:
    data = session(minutes_of(OPEN, "AAA BBB", 390) + minutes_of(OPEN, "HALT", 200))
    assert data.stops == {"HALT": OPEN + 199 * MINUTE}
    assert "HALT at 17:49 UTC" in message(data, "symbol_stops")


def test_a_stop_is_seen_though_the_next_symbol_starts_late() -> None:
    """One symbol's silence is measured by its own gaps; the next in the file has nothing to do with it."""
    late = [row("LATE", OPEN + k * MINUTE) for k in range(300, 390)]
    data = session(minutes_of(OPEN, "AAA", 390) + minutes_of(OPEN, "HALT", 100) + late)
    assert data.stops == {"HALT": OPEN + 99 * MINUTE}


@pytest.mark.parametrize("last", [389, 380, 376])
def test_a_quiet_end_is_no_stop(last: int) -> None:
    data = session(minutes_of(OPEN, "AAA BBB", 390) + minutes_of(OPEN, "CALM", last))
    assert data.stops == {}


def test_a_thin_symbol_that_is_silent_as_long_as_always_has_not_stopped() -> None:
    thin = [row("THIN", OPEN + k * MINUTE) for k in (0, 9, 30, 41, 70, 100, 121, 160, 200, 230, 270, 290, 310)]
    assert session(minutes_of(OPEN, "AAA", 390) + thin).stops == {}


def test_a_handful_of_bars_is_not_judged() -> None:
    data = session(minutes_of(OPEN, "AAA", 390) + minutes_of(OPEN, "RARE", 9))
    assert data.stops == {}


def test_a_torn_recording_is_the_files_fault_and_no_symbols() -> None:
    data = session(minutes_of(OPEN, "AAA BBB", 210))
    assert data.stops == {}
    assert "falls silent at 18:00 UTC, 180 boundaries before the close" in message(data, "session_truncated")
    assert "empty_boundaries" not in codes(data)


def test_boundaries_without_any_bar_are_counted() -> None:
    rows = [r for r in minutes_of(OPEN, "AAA BBB", 390) if not OPEN + MINUTE <= r["ts"] < OPEN + 3 * MINUTE]  # type: ignore[operator]
    assert "2 boundaries have no bar of any symbol: 14:32, 14:33 UTC" in message(session(rows), "empty_boundaries")


def test_volume_that_is_always_zero() -> None:
    rows = [r | {"volume": 0.0} for r in minutes_of(OPEN, "AAA", 390)]
    assert "every volume is zero" in message(session(rows), "no_volume")
    assert "no_volume" not in codes(session(minutes_of(OPEN, "AAA", 390)))


@pytest.mark.parametrize(("px", "seen"), [(18.5, True), (5.0, True), (17.5, False), (6.0, False)])
def test_an_open_far_from_the_last_close(px: float, seen: bool) -> None:
    """Yesterday closed at 10.01 + 389 cents less 389: the bars below hold the price still."""
    still = [row("AAA", YESTERDAY + k * MINUTE, 10.0, close=10.0) for k in range(390)]
    data = session([*still, *minutes_of(OPEN, "AAA", 390, px)])
    assert ("price_jump" in codes(data)) is seen
    if seen:
        assert f"AAA ×{px / 10:.3g}" in message(data, "price_jump")


def test_stops_are_seen_on_hourly_bars_too() -> None:
    start = OPEN - timedelta(hours=16, minutes=30)  # Thursday 17:00 in New York
    hours = [row(pair, start + k * timedelta(hours=1), 1.2) for pair in ("EURUSD", "GBPUSD") for k in range(24)]
    hours += [row("USDCHF", start + k * timedelta(hours=1), 0.9) for k in range(11)]
    data = session_from_frame(table(hours), DAY)
    assert data.interval_s == 3600
    assert data.stops == {"USDCHF": start + timedelta(hours=10)}
