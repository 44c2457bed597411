from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from qmworkbench.strategies.bars import (
    BARS_SCHEMA,
    RAW_SCHEMA,
    BarsFault,
    SessionGrid,
    anchored,
    check_bars,
    check_tick,
    prepared,
    session_bars,
)
from tests.strategies.bar_cases import DAY, equity_grid, made

GRID = equity_grid(DAY, boundaries=5)
BEFORE = equity_grid(DAY - timedelta(days=1), boundaries=3)


def raw(*rows: tuple[str, datetime]) -> pl.DataFrame:
    """Bars of one price at the given times."""
    return pl.DataFrame(
        [(symbol, ts, 1.0, 2.0, 0.5, 1.5, 10.0) for symbol, ts in rows], schema=RAW_SCHEMA, orient="row"
    )


def at(bar: int, grid: SessionGrid = GRID) -> datetime:
    return grid.opened_at(bar)


def test_bars_are_placed_on_their_sessions_grid_and_holes_stay_holes() -> None:
    bars = session_bars(
        raw(("B", at(0)), ("A", at(3)), ("A", at(0)), ("A", at(2, BEFORE))), [BEFORE, GRID], {"A": 0.01, "B": 0.25}
    )
    assert bars.schema == pl.Schema(BARS_SCHEMA)
    assert bars.select("symbol", "session", "bar", "bars_left", "tick").rows() == [
        ("A", BEFORE.session, 2, 0, 0.01),
        ("A", DAY, 0, 4, 0.01),
        ("A", DAY, 3, 1, 0.01),
        ("B", DAY, 0, 4, 0.25),
    ]


def test_bars_outside_the_regular_hours_are_left_out() -> None:
    early, late = at(0) - timedelta(minutes=1), GRID.closes_at
    bars = session_bars(raw(("A", early), ("A", at(1)), ("A", late)), [GRID], {"A": 0.01})
    assert bars["bar"].to_list() == [1]


def test_no_bars_at_all_are_no_fault() -> None:
    assert session_bars(raw(), [GRID], {}).schema == pl.Schema(BARS_SCHEMA)


def test_a_half_day_has_fewer_boundaries_left() -> None:
    half = SessionGrid(session=DAY, opens_at=GRID.opens_at, interval_s=60, boundaries=210)
    bars = session_bars(raw(("A", half.opened_at(209))), [half], {"A": 0.01})
    assert bars["bars_left"].to_list() == [0]


def test_a_short_opening_bar_on_a_grid_that_follows_the_clock_fills_the_first_slot() -> None:
    clock = SessionGrid(session=DAY, opens_at=GRID.opens_at - timedelta(minutes=30), interval_s=3600, boundaries=7)
    bars = session_bars(raw(("A", GRID.opens_at), ("A", clock.opened_at(1))), [clock], {"A": 0.01})
    assert bars["bar"].to_list() == [0, 1]
    assert bars["ts"].to_list() == [clock.opens_at, clock.opened_at(1)]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (raw(("A", at(1))).drop("volume"), "no column 'volume'"),
        (raw(("A", at(1))).with_columns(pl.col("close").cast(pl.Float32)), "'close' is Float32, expected Float64"),
        (raw(("A", at(1))).with_columns(pl.col("ts").dt.replace_time_zone(None)), "'ts' is Datetime"),
        (raw(("A", at(1) + timedelta(seconds=7))), "1 bars lie off the grid of their session, first A at"),
        (raw(("A", at(1)), ("A", at(1))), "1 bars are out of order or twice there, first A at"),
        (raw(("A", at(1)), ("Z", at(1))), "no tick for Z"),
        (raw(("A", at(1))).with_columns(low=pl.lit(float("nan"))), "1 bars hold a null or a value that is no number"),
        (raw(("A", at(1))).with_columns(high=pl.lit(float("inf"))), "value that is no number, first A"),
        (raw(("A", at(1))).with_columns(open=pl.lit(None, dtype=pl.Float64)), "hold a null"),
    ],
)
def test_bars_that_no_strategy_may_see_are_refused_by_name(frame: pl.DataFrame, said: str) -> None:
    with pytest.raises(BarsFault, match=said):
        session_bars(frame, [GRID], {"A": 0.01})


def test_sessions_must_follow_each_other() -> None:
    with pytest.raises(BarsFault, match=f"session {BEFORE.session} does not come after {DAY}"):
        session_bars(raw(), [GRID, BEFORE], {})
    with pytest.raises(BarsFault, match="no session grids given"):
        session_bars(raw(), [], {})


def test_unsorted_bars_are_told() -> None:
    bars = made({"A": [1, 2], "B": [1, 2]}).bars
    with pytest.raises(BarsFault, match="out of order"):
        check_bars(bars.reverse())


@pytest.mark.parametrize("tick", [0.01, 0.0001, 0.00001, 0.001, 0.25, 0.03125, 1.0, 5.0])
def test_ticks_that_can_be_counted_are_taken(tick: float) -> None:
    check_tick("A", tick)


@pytest.mark.parametrize("tick", [0.0, -0.01, 0.03, 2.5, float("nan")])
def test_ticks_that_cannot_be_counted_are_refused(tick: float) -> None:
    with pytest.raises(BarsFault, match=f"symbol A: tick {tick!r}"):
        check_tick("A", tick)


def test_a_boundary_is_the_close_of_its_bar() -> None:
    assert [GRID.bar_of(at(k) + timedelta(minutes=1)) for k in range(5)] == [0, 1, 2, 3, 4]
    for stray in (at(0), GRID.closes_at + timedelta(minutes=1), at(1) + timedelta(seconds=30)):
        with pytest.raises(ValueError, match=r"is no boundary of session 2018-03-02"):
            GRID.bar_of(stray)


def test_the_last_boundary_may_come_early() -> None:
    hours = SessionGrid(session=DAY, opens_at=GRID.opens_at, interval_s=3600, boundaries=7)
    assert hours.bar_of(GRID.opens_at + timedelta(hours=6, minutes=30)) == 6


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"opens_at": datetime(2018, 3, 2, 14, 30)}, "has no time zone"),  # noqa: DTZ001
        ({"interval_s": 0}, "must be positive"),
        ({"boundaries": 0}, "must be positive"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(fields: dict[str, object], said: str) -> None:
    good = {"session": DAY, "opens_at": datetime(2018, 3, 2, 14, 30, tzinfo=UTC), "interval_s": 60, "boundaries": 390}
    with pytest.raises(ValueError, match=said):
        SessionGrid(**{**good, **fields})  # type: ignore[arg-type]


def test_keys_number_symbols_sessions_and_rows() -> None:
    rows = raw(("A", at(0, BEFORE)), ("A", at(1, BEFORE)), ("A", at(4)), ("B", at(0)), ("B", at(2)))
    bars = prepared(session_bars(rows, [BEFORE, GRID], {"A": 0.01, "B": 0.01}))
    assert bars["i_index"].to_list() == [0, 1, 2, 3, 4]
    assert bars["i_symbol"].to_list() == [1, 1, 1, 2, 2]
    assert bars["i_row"].to_list() == [0, 1, 2, 0, 1]
    assert bars["i_day"].to_list() == [1, 1, 2, 3, 3]
    assert bars["i_pos"].to_list() == [0, 1, 0, 0, 1]
    assert prepared(bars) is bars
    assert prepared(bars.clear().drop("^i_.*$")).height == 0


def test_the_same_session_of_two_symbols_in_a_row_counts_as_two() -> None:
    bars = prepared(session_bars(raw(("A", at(0)), ("B", at(0))), [GRID], {"A": 0.01, "B": 0.01}))
    assert bars["i_day"].to_list() == [1, 2]


def test_the_anchor_keeps_the_last_history_bars_of_each_symbol() -> None:
    rows = raw(
        *[("A", at(k, BEFORE)) for k in range(3)], ("B", at(1, BEFORE)), ("A", at(0)), ("B", at(0)), ("C", at(0))
    )
    bars = session_bars(rows, [BEFORE, GRID], dict.fromkeys("ABC", 0.01))
    both = [BEFORE.session, DAY]

    def kept(sessions: list[date], history_bars: int | None) -> list[tuple[str, int, int]]:
        frame = anchored(bars, sessions, history_bars)
        return [(symbol, session.day, bar) for symbol, session, bar in frame.select("symbol", "session", "bar").rows()]

    assert kept(both, 2) == [("A", 1, 1), ("A", 1, 2), ("A", 2, 0), ("B", 1, 1), ("B", 2, 0), ("C", 2, 0)]
    assert kept(both, None) == [("A", 1, 0), *kept(both, 2)]
    assert kept([DAY], 2) == [("A", 2, 0), ("B", 2, 0), ("C", 2, 0)]
