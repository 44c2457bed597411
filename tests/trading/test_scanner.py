"""The Opportunity Scanner: every filter, and that the scan and its explanation are one judgement."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.trading.frames import BarFrame, Reference, Universe
from qmworkbench.trading.radar import Radar, RadarSnapshot
from qmworkbench.trading.scanner import ScanConditions, ScanResult, ScanSettings, explain, scan
from tests.trading.radar_cases import MINUTE, OPEN, Bar, Session, flat, frame, sessions

ANY = ScanSettings(
    min_price=None,
    max_price=None,
    min_dollar_volume=None,
    min_rel_volume=None,
    min_change_pct=None,
    max_spread_bps=None,
    min_bars=1,
    max_stale_boundaries=None,
    window_open_min=0.0,
    window_close_min=0.0,
    max_candidates=None,
)
"""Settings with every filter off, to switch on one at a time."""


def _with(**changes: Any) -> ScanSettings:
    return msgspec.structs.replace(ANY, **changes)


def _snapshot(
    bars: dict[int, Bar],
    *,
    prev_close: list[float] | None = None,
    usual: list[float] | None = None,
    spread: list[float] | None = None,
    minute: int = 10,
) -> RadarSnapshot:
    """One boundary of a session of the three symbols A, B, C."""
    universe = Universe(["A", "B", "C"])
    profile = None if usual is None else np.tile(np.array(usual), (390, 1))
    reference = Reference(np.array(prev_close or [10.0, 10.0, 10.0]), profile, 1)
    radar = Radar(universe, reference, 390, session_open=OPEN)
    return radar.advance(frame(minute, bars), None if spread is None else np.array(spread))


def _symbols(result: ScanResult) -> list[str]:
    return [candidate.symbol for candidate in result.candidates]


def _verdict(snapshot: RadarSnapshot, settings: ScanSettings, symbol: str, code: str) -> FilterVerdict:
    (found,) = [v for v in explain(snapshot, settings, ScanConditions(), symbol) if v.code == code]
    return found


# ── scan and explanation are one ─────────────────────────────────────────────


def _limit(*values: float) -> st.SearchStrategy[float | None]:
    return st.sampled_from([None, *values])


_SETTINGS = st.builds(
    ScanSettings,
    mode=st.sampled_from(["gainers", "gainers", "all"]),
    min_price=_limit(0.98, 1.0),
    max_price=_limit(1.02, 1.1),
    min_dollar_volume=_limit(0.0, 100.0, 400.0),
    min_rel_volume=_limit(0.0, 0.5, 2.0),
    allow_unknown_rel_volume=st.booleans(),
    min_change_pct=_limit(-2.0, 0.0, 1.0),
    change_reference=st.sampled_from(["previous_close", "open"]),
    max_spread_bps=_limit(12.5, 50.0),
    allow_unknown_spread=st.booleans(),
    min_bars=st.integers(1, 3),
    max_stale_boundaries=st.sampled_from([None, 0, 2]),
    window_open_min=st.sampled_from([0.0, 3.0]),
    window_close_min=st.sampled_from([0.0, 2.0]),
    max_candidates=st.sampled_from([None, 1, 2]),
    near_miss_depth=st.integers(0, 3),
)
_NAMES = st.lists(st.sampled_from(["S0", "S1", "S4", "ELSEWHERE"]), max_size=2)
_CONDITIONS = st.builds(
    ScanConditions,
    blocked=_NAMES.map(frozenset),
    halted=_NAMES.map(tuple),
    entries_open=st.sampled_from([True, True, True, False]),
    feed_ok=st.sampled_from([True, True, True, False]),
)


@given(sessions(max_boundaries=8), _SETTINGS, _CONDITIONS)
def test_scan_and_explain_cannot_disagree(session: Session, settings: ScanSettings, conditions: ScanConditions) -> None:
    for snapshot in session.snapshots():
        result = scan(snapshot, settings, conditions)
        told = {symbol: explain(snapshot, settings, conditions, symbol) for symbol in session.universe.symbols}
        let_through = {symbol for symbol, verdicts in told.items() if all(v.passed for v in verdicts)}
        assert set(_symbols(result)) == let_through
        for candidate in result.candidates:
            assert candidate.verdicts == told[candidate.symbol]
        for near_miss in result.near_misses:
            assert near_miss.failed == tuple(v for v in told[near_miss.symbol] if not v.passed)
            assert near_miss.failed


@given(sessions(max_boundaries=8), _SETTINGS, _CONDITIONS)
def test_scan_equals_one_symbol_at_a_time(session: Session, settings: ScanSettings, conditions: ScanConditions) -> None:
    for snapshot in session.snapshots():
        result = scan(snapshot, settings, conditions)
        ranked = [session.universe.symbols[i] for i in snapshot.order]
        inside = (
            snapshot.minutes_from_open >= settings.window_open_min
            and snapshot.minutes_to_close >= settings.window_close_min
        )
        if not (inside and conditions.entries_open and conditions.feed_ok):
            assert result == ScanResult(as_of=snapshot.as_of, closed=result.closed, ranked=len(ranked))
            assert result.closed
            continue
        passing = [symbol for symbol in ranked if _passes(snapshot, settings, conditions, symbol)]
        taken = passing[: settings.max_candidates]
        assert _symbols(result) == taken
        missed = [symbol for symbol in ranked if symbol not in taken]
        assert [miss.symbol for miss in result.near_misses] == missed[: settings.near_miss_depth]
        assert (result.ranked, result.passed, result.closed) == (len(ranked), len(passing), ())


def _passes(snapshot: RadarSnapshot, settings: ScanSettings, conditions: ScanConditions, symbol: str) -> bool:
    """Whether a symbol passes, said plainly, from the radar's row."""
    row = snapshot.row(symbol)

    def least(value: float | None, limit: float | None, *, unknown: bool = False) -> bool:
        return limit is None or (unknown if value is None else value >= limit)

    def most(value: float | None, limit: float | None, *, unknown: bool = False) -> bool:
        return limit is None or (unknown if value is None else value <= limit)

    change = row.change if settings.change_reference == "previous_close" else row.change_open
    strong = (
        least(row.last, settings.min_price)
        and most(row.last, settings.max_price)
        and least(row.dollar_volume, settings.min_dollar_volume)
        and least(row.rel_volume, settings.min_rel_volume, unknown=settings.allow_unknown_rel_volume)
        and least(None if change is None else round(change * 100, 4), settings.min_change_pct)
    )
    return (
        row.rank is not None
        and symbol not in conditions.blocked
        and symbol not in conditions.halted
        and row.bars >= settings.min_bars
        and most(row.stale_boundaries, settings.max_stale_boundaries)
        and most(row.spread_bps, settings.max_spread_bps, unknown=settings.allow_unknown_spread)
        and (settings.mode == "all" or strong)
    )


@given(sessions(max_boundaries=6), _SETTINGS, _CONDITIONS)
def test_a_scan_comes_back_whole_from_the_journal(
    session: Session, settings: ScanSettings, conditions: ScanConditions
) -> None:
    assert msgspec.json.decode(msgspec.json.encode(settings), type=ScanSettings) == settings
    for snapshot in session.snapshots():
        result = scan(snapshot, settings, conditions)
        assert msgspec.json.decode(msgspec.json.encode(result), type=ScanResult) == result
        for symbol in session.universe.symbols:
            assert all(v.sentence() for v in explain(snapshot, settings, conditions, symbol))


def test_the_order_of_the_blocked_list_does_not_matter() -> None:
    snapshot = _snapshot({0: flat(10.0), 1: flat(11.0), 2: flat(12.0)})
    results = [scan(snapshot, ANY, ScanConditions(blocked=names)) for names in (("A", "C"), ("C", "A"), {"A", "C"})]
    assert results[0] == results[1] == results[2]
    assert _symbols(results[0]) == ["B"]


# ── one filter at a time ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "code", "passing", "value", "limit"),
    [
        (_with(min_price=11.0), "price_min", ["C", "B"], 11.0, 11.0),
        (_with(max_price=11.0), "price_max", ["B", "A"], 11.0, 11.0),
        (_with(min_dollar_volume=2200.0), "dollar_volume", ["C", "B"], 2200.0, 2200.0),
        (_with(min_rel_volume=2.0), "rel_volume", ["C", "B"], 2.0, 2.0),
        (_with(min_change_pct=10.0), "change", ["C", "B"], 10.0, 10.0),
        (_with(max_spread_bps=20.0), "spread", ["B", "A"], 20.0, 20.0),
    ],
)
def test_limits_are_inclusive_and_recorded(
    settings: ScanSettings, code: str, passing: list[str], value: float, limit: float
) -> None:
    bars = {0: flat(10.0, 100.0), 1: flat(11.0, 200.0), 2: flat(12.0, 300.0)}
    snapshot = _snapshot(bars, usual=[100.0, 100.0, 100.0], spread=[10.0, 20.0, 20.1])
    result = scan(snapshot, settings, ScanConditions())
    assert _symbols(result) == passing
    assert [[v.code for v in miss.failed] for miss in result.near_misses] == [[code]]
    verdict = _verdict(snapshot, settings, "B", code)
    assert (verdict.passed, verdict.value, verdict.limit) == (True, value, limit)
    assert dict(result.rejections)[code] == 1


def test_a_switched_off_filter_is_not_mentioned() -> None:
    snapshot = _snapshot({0: flat(10.0)})
    codes = [v.code for v in explain(snapshot, ANY, ScanConditions(), "A")]
    assert codes == ["feed", "entries", "window_open", "window_close", "traded", "blocked", "halted", "bars"]


def test_blocked_and_halted_symbols_are_out_whatever_they_do() -> None:
    snapshot = _snapshot({0: flat(10.0), 1: flat(11.0), 2: flat(12.0)})
    result = scan(snapshot, ANY, ScanConditions(blocked=["C"], halted=["B", "C"]))
    assert _symbols(result) == ["A"]
    assert [(miss.symbol, [v.code for v in miss.failed]) for miss in result.near_misses] == [
        ("C", ["blocked", "halted"]),
        ("B", ["halted"]),
    ]


def test_a_symbol_that_never_traded_is_explained_but_is_no_near_miss() -> None:
    snapshot = _snapshot({0: flat(10.0)})
    settings = _with(min_price=1.0)
    assert scan(snapshot, settings, ScanConditions()).near_misses == ()
    failed = [v for v in explain(snapshot, settings, ScanConditions(), "B") if not v.passed]
    assert [(v.code, v.value) for v in failed] == [("traded", None), ("price_min", None), ("bars", 0.0)]


def test_a_symbol_outside_the_universe_is_said_to_be() -> None:
    snapshot = _snapshot({0: flat(10.0)})
    (verdict,) = explain(snapshot, ANY, ScanConditions(), "ZZZ")
    assert (verdict.code, verdict.passed) == ("universe", False)
    assert verdict.sentence() == "not in this session's universe"


def test_a_symbol_that_stopped_trading_is_not_chased() -> None:
    universe = Universe(["A", "B"])
    radar = Radar(universe, Reference(np.full(2, 10.0), None, 0), 390, session_open=OPEN)
    radar.advance(frame(1, {0: flat(15.0), 1: flat(11.0)}))
    settings = _with(max_stale_boundaries=3)
    recent = scan(radar.advance(frame(4, {1: flat(11.0)})), settings, ScanConditions())
    stopped = scan(radar.advance(frame(5, {1: flat(11.0)})), settings, ScanConditions())
    assert (_symbols(recent), _symbols(stopped)) == (["A", "B"], ["B"])
    assert stopped.near_misses[0].sentence() == (
        "A (rank 1): time since the last trade 4 boundaries is more than 3 boundaries"
    )


def test_unknown_relative_volume_passes_only_where_allowed() -> None:
    snapshot = _snapshot({0: flat(10.0)})
    strict, lenient = _with(min_rel_volume=1.5), _with(min_rel_volume=1.5, allow_unknown_rel_volume=True)
    assert _symbols(scan(snapshot, strict, ScanConditions())) == []
    assert _symbols(scan(snapshot, lenient, ScanConditions())) == ["A"]
    assert _verdict(snapshot, lenient, "A", "rel_volume").sentence() == (
        "relative volume is unknown, which the settings allow"
    )


def test_unknown_spread_passes_only_where_allowed() -> None:
    snapshot = _snapshot({0: flat(10.0), 1: flat(11.0)}, spread=[5.0, math.nan, math.nan])
    strict = _with(max_spread_bps=50.0, allow_unknown_spread=False)
    assert _symbols(scan(snapshot, strict, ScanConditions())) == ["A"]
    assert _symbols(scan(snapshot, _with(max_spread_bps=50.0), ScanConditions())) == ["B", "A"]


def test_change_falls_back_to_the_open_and_says_so() -> None:
    bars: dict[int, Bar] = {0: (10.0, 12.0, 10.0, 12.0, 1.0), 1: (10.0, 12.0, 10.0, 12.0, 1.0)}
    snapshot = _snapshot(bars, prev_close=[8.0, math.nan, 8.0])
    found = {c.symbol: c for c in scan(snapshot, _with(min_change_pct=20.0), ScanConditions()).candidates}
    assert (found["A"].change, found["A"].change_basis) == (0.5, "from previous close")
    assert (found["B"].change, found["B"].change_basis) == (0.2, "from open, no previous close")
    verdict = _verdict(snapshot, _with(min_change_pct=20.0), "B", "change")
    assert verdict.sentence() == "change (from open, no previous close) +20 % is at least +20 %"
    from_open = _with(min_change_pct=20.0, change_reference="open")
    found = {c.symbol: c for c in scan(snapshot, from_open, ScanConditions()).candidates}
    assert (found["A"].change, found["A"].change_basis) == (0.2, "from open")


def test_only_the_best_ranked_of_those_that_pass_are_taken() -> None:
    snapshot = _snapshot({0: flat(10.0), 1: flat(11.0), 2: flat(12.0)})
    result = scan(snapshot, _with(max_candidates=2), ScanConditions())
    assert _symbols(result) == ["C", "B"]
    assert (result.passed, result.ranked) == (3, 3)
    (miss,) = result.near_misses
    assert miss.sentence() == "A (rank 3): place among those that pass 3 is beyond 2"
    assert result.candidates[1].verdicts[-1] == FilterVerdict(code="place", passed=True, value=2.0, limit=2.0)


def test_near_misses_stop_at_their_depth() -> None:
    snapshot = _snapshot({0: flat(10.0), 1: flat(11.0), 2: flat(12.0)})
    settings = _with(min_price=100.0, near_miss_depth=2)
    assert [m.symbol for m in scan(snapshot, settings, ScanConditions()).near_misses] == ["C", "B"]


# ── what closes the whole scan ───────────────────────────────────────────────


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        (
            ScanConditions(feed_ok=False, feed_reason="no bar for 95 s"),
            "no candidates: market data is not trusted: no bar for 95 s",
        ),
        (
            ScanConditions(entries_open=False, entries_reason="paused by ann"),
            "no candidates: entries are not open: paused by ann",
        ),
    ],
)
def test_a_closed_gate_lets_nobody_through_and_says_why(conditions: ScanConditions, sentence: str) -> None:
    snapshot = _snapshot({0: flat(10.0)})
    result = scan(snapshot, ANY, conditions)
    assert (result.candidates, result.near_misses, result.ranked) == ((), (), 1)
    assert result.sentence() == sentence
    assert [v.code for v in explain(snapshot, ANY, conditions, "A") if not v.passed] == [v.code for v in result.closed]


@pytest.mark.parametrize(
    ("minute", "closed"),
    [(4, ["window_open"]), (5, []), (360, []), (361, ["window_close"]), (390, ["window_close"])],
)
def test_the_time_window_is_inclusive_at_both_ends(minute: int, closed: list[str]) -> None:
    snapshot = _snapshot({0: flat(10.0)}, minute=minute)
    result = scan(snapshot, _with(window_open_min=5.0, window_close_min=30.0), ScanConditions())
    assert [v.code for v in result.closed] == closed
    assert bool(result.candidates) == (not closed)


def test_the_summary_counts_what_kept_symbols_out() -> None:
    snapshot = _snapshot({0: flat(10.0), 1: flat(11.0), 2: flat(12.0)})
    result = scan(snapshot, _with(min_price=10.5, max_price=11.5), ScanConditions())
    assert result.sentence() == ("1 candidates, 1 of 3 ranked symbols pass; kept out by price_min 1, price_max 1")
    assert scan(snapshot, ANY, ScanConditions()).sentence() == "3 candidates, 3 of 3 ranked symbols pass"


# ── settings ─────────────────────────────────────────────────────────────────


def test_forex_takes_every_pair_that_trades() -> None:
    hour = timedelta(hours=1)
    universe = Universe(["AUDUSD", "EURUSD", "USDJPY"])
    radar = Radar(universe, Reference.unknown(universe), 24, session_open=OPEN, bar_interval=hour)
    bars = {0: flat(0.7, 0.0), 1: flat(1.2, 0.0)}
    snapshot = radar.advance(frame(1, bars, interval=hour))
    result = scan(snapshot, ScanSettings.for_forex(), ScanConditions())
    assert _symbols(result) == ["AUDUSD", "EURUSD"]
    assert result.near_misses == ()
    last = radar.advance(frame(24, bars, interval=hour))
    assert scan(last, ScanSettings.for_forex(), ScanConditions()).closed[0].code == "window_close"


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"min_price": -1.0}, "min_price is -1.0: give a number of 0 or more"),
        ({"min_dollar_volume": math.nan}, "min_dollar_volume is nan"),
        ({"max_spread_bps": math.inf}, "max_spread_bps is inf"),
        ({"min_change_pct": math.nan}, "min_change_pct is nan"),
        ({"min_price": 20.0, "max_price": 10.0}, "min_price 20.0 exceeds max_price 10.0"),
        ({"window_open_min": -5.0}, "window_open_min is -5.0"),
        ({"window_close_min": 5000.0}, "window_close_min is 5000.0"),
        ({"min_bars": 0}, "min_bars is 0: give a whole number of 1 or more"),
        ({"max_candidates": 0}, "max_candidates is 0"),
        ({"near_miss_depth": -1}, "near_miss_depth is -1"),
        ({"max_stale_boundaries": -1}, "max_stale_boundaries is -1"),
    ],
)
def test_settings_that_make_no_sense_are_named(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        ScanSettings(**given_)


def test_unknown_settings_and_wrong_types_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="min_pric"):
        msgspec.convert({"min_pric": 2.0}, ScanSettings)
    with pytest.raises(msgspec.ValidationError, match="min_price"):
        msgspec.convert({"min_price": "two"}, ScanSettings)
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'losers'"):
        msgspec.convert({"mode": "losers"}, ScanSettings)
    with pytest.raises(msgspec.ValidationError, match="min_bars is 0"):
        msgspec.convert({"min_bars": 0}, ScanSettings)


# ── a real day ───────────────────────────────────────────────────────────────


def test_a_real_morning_finds_its_gainer_and_can_say_why_not(shared_data: Path) -> None:
    bars = pl.read_parquet(shared_data / "us_equity_minute_2018.parquet").sort("ts", "symbol")
    today = bars.filter(pl.col("ts").is_between(OPEN, OPEN + 33 * MINUTE))
    before = bars.filter(pl.col("ts").dt.date() == datetime(2018, 3, 1, tzinfo=UTC).date())
    universe = Universe(bars["symbol"].unique().to_list())
    closes = dict(before.group_by("symbol").agg(pl.col("close").last()).iter_rows())
    prev_close = np.array([closes.get(symbol, math.nan) for symbol in universe.symbols])
    radar = Radar(universe, Reference(prev_close, None, 1), 390, session_open=OPEN)
    for (ts,), rows in today.group_by("ts", maintain_order=True):
        assert isinstance(ts, datetime)
        index = np.array([universe.index[s] for s in rows["symbol"]], dtype=np.int32)
        columns = [rows[c].to_numpy() for c in ("open", "high", "low", "close", "volume")]
        snapshot = radar.advance(BarFrame(ts.astimezone(UTC) + MINUTE, index, *columns))
    settings = ScanSettings(allow_unknown_rel_volume=True)
    result = scan(snapshot, settings, ScanConditions())
    assert result.as_of == datetime(2018, 3, 2, 15, 4, tzinfo=UTC)
    assert [(c.symbol, c.rank, c.change) for c in result.candidates] == [
        ("XON", 1, 0.11938),
        ("GPS", 8, 0.057084),
        ("SPLK", 52, 0.037751),
    ]
    rejected = explain(snapshot, settings, ScanConditions(), "AAPL")
    assert [v.code for v in rejected if not v.passed] == ["change"]
