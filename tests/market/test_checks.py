"""Row faults: each is told apart, exactly the bad rows are kept aside on record, and no good row is ever lost."""

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.market.bars import load_session, session_from_frame
from qmworkbench.market.checks import QUARANTINE_SCHEMA
from qmworkbench.market.findings import ROW_FAULTS, DataRefused, Severity
from qmworkbench.market.schema import COLUMNS
from qmworkbench.market.session import SessionData
from tests.market.bars_cases import (
    CLOSE,
    DAY,
    MINUTE,
    OPEN,
    TS,
    Row,
    codes,
    counted,
    framed,
    legal_rows,
    minutes_of,
    row,
    same_frames,
    table,
    written,
)

NAN, INF = float("nan"), float("inf")
AT = OPEN + 20 * MINUTE  # a minute of the session in which the legal file has nothing

SPOILT: dict[str, Row] = {
    "missing_symbol": row("AAA", AT) | {"symbol": None},
    "missing_ts": row("AAA", None),
    "null_value": row("AAA", AT, high=None),
    "not_finite": row("AAA", AT, close=NAN),
    "negative_price": row("AAA", AT, low=-0.01),
    "zero_price": row("AAA", AT, low=0.0),
    "high_below_low": row("AAA", AT, high=9.0, low=11.0),
    "outside_range": row("AAA", AT, close=11.0),
    "negative_volume": row("AAA", AT, volume=-1.0),
    "out_of_session": row("AAA", datetime(2018, 3, 3, 15, 0, tzinfo=UTC)),
    "off_interval": row("AAA", AT + timedelta(seconds=17)),
}


def legal(minutes: int = 10) -> list[Row]:
    return legal_rows(minutes)


@pytest.mark.parametrize("code", SPOILT)
def test_one_bad_row_is_kept_aside_with_its_reason_and_no_other(tmp_path: Path, code: str) -> None:
    path = written(tmp_path, table([*legal(), SPOILT[code]]))
    data = load_session(path, DAY)
    assert data.quarantined["reason"].to_list() == [code]
    assert counted(data.quarantined.select(COLUMNS)) == counted(table([SPOILT[code]]))
    assert same_frames(data, session_from_frame(table(legal()), DAY))
    finding = next(finding for finding in data.findings if finding.code == code)
    assert (finding.severity, finding.rows, finding.file) == (Severity.QUARANTINE, 1, str(path))
    assert finding.remedy == ROW_FAULTS[code][1]
    assert len(finding.sample) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"symbol": ""}, "missing_symbol"),
        ({"symbol": " AAA"}, "missing_symbol"),
        ({"volume": None}, "null_value"),
        ({"volume": INF}, "not_finite"),
        ({"open": -INF}, "not_finite"),
        ({"open": -10.0, "high": -9.0, "low": -11.0, "close": -10.0}, "negative_price"),
        ({"open": 0.0, "high": 0.0, "low": 0.0, "close": 0.0}, "zero_price"),
        ({"open": 9.0}, "outside_range"),
    ],
)
def test_other_shapes_of_the_same_faults(fault: Row, code: str) -> None:
    data = session_from_frame(table([*legal(), row("AAA", AT) | fault]), DAY)
    assert data.quarantined["reason"].to_list() == [code]


def test_a_crossed_quote_is_kept_aside() -> None:
    bars = table(legal()).with_columns(bid=pl.lit(10.0), ask=pl.lit(10.0))
    crossed = table([row("AAA", AT)]).with_columns(bid=pl.lit(10.0), ask=pl.lit(9.99))
    data = session_from_frame(pl.concat([bars, crossed]), DAY)
    assert data.quarantined["reason"].to_list() == ["crossed_quote"]


def test_a_repeated_row_counts_once() -> None:
    data = session_from_frame(table([*legal(), *minutes_of(OPEN, "AAA", 2)]), DAY)
    assert data.quarantined["reason"].to_list() == ["duplicate_row"] * 2
    assert same_frames(data, session_from_frame(table(legal()), DAY))


def test_of_rows_that_contradict_each_other_none_is_used() -> None:
    data = session_from_frame(table([*legal(), row("AAA", OPEN, 12.0)]), DAY)
    aside = data.quarantined
    assert aside["reason"].to_list() == ["conflicting_duplicate"] * 2
    assert aside["open"].to_list() == [10.0, 12.0]
    without = [r for r in legal() if (r["symbol"], r["ts"]) != ("AAA", OPEN)]
    assert same_frames(data, session_from_frame(table(without), DAY))


def test_a_bad_copy_does_not_cost_the_good_one() -> None:
    data = session_from_frame(table([*legal(), row("AAA", OPEN, volume=NAN)]), DAY)
    assert data.quarantined["reason"].to_list() == ["not_finite"]
    assert same_frames(data, session_from_frame(table(legal()), DAY))


def test_quarantine_names_the_session_and_becomes_events() -> None:
    yesterday = row("BBB", AT - timedelta(days=1), low=-1.0)
    data = session_from_frame(table([*legal(), yesterday, row("AAA", AT, low=-1.0), row("AAA", None)]), DAY)
    assert dict(data.quarantined.schema) == QUARANTINE_SCHEMA
    assert data.quarantined["session"].to_list() == [DAY, None, date(2018, 3, 1)]
    events = data.quarantine_events(OPEN)
    assert [(event.reason, event.rows, event.symbols) for event in events] == [
        ("missing_ts", 1, ("AAA",)),
        ("negative_price", 2, ("AAA", "BBB")),
    ]
    assert "Remedy:" in events[0].detail


def test_unsorted_rows_are_sorted_and_noted() -> None:
    bars = table(legal())
    shuffled = bars.sample(fraction=1.0, shuffle=True, seed=3)
    data = session_from_frame(shuffled, DAY)
    assert "unsorted_rows" in codes(data)
    assert same_frames(data, session_from_frame(bars, DAY))
    assert data.data_hash == session_from_frame(bars, DAY).data_hash


def test_rows_in_order_of_time_are_in_a_legal_order() -> None:
    data = session_from_frame(table(legal()).sort("ts", "symbol"), DAY)
    assert "unsorted_rows" not in codes(data)
    assert data.data_hash == session_from_frame(table(legal()), DAY).data_hash


def test_a_day_whose_every_row_is_bad_is_refused() -> None:
    with pytest.raises(DataRefused) as error:
        session_from_frame(table([*legal_rows(5)[:5], row("AAA", AT, low=-1.0)]), DAY)
    assert [finding.code for finding in error.value.findings][:1] == ["no_usable_rows"]
    assert "negative_price" in [finding.code for finding in error.value.findings]


def test_bars_before_the_open_alone_make_no_session() -> None:
    with pytest.raises(DataRefused, match="no_usable_rows"):
        session_from_frame(table([row("AAA", OPEN - MINUTE)]), DAY)


# ── no good row is ever lost ──────────────────────────────────────────────────────────────────────────────────────────

PX = st.sampled_from([9.98, 9.99, 10.0, 10.01, 10.02])
BAD = st.sampled_from([None, NAN, INF, -1.0, 0.0])


@st.composite
def any_rows(draw: st.DrawFn) -> list[Row]:
    """Rows of one trading day, most of them legal, at all hours, some repeated, in any order."""
    offsets = st.sampled_from([-400, -330, -2, -1, 0, 1, 2, 3, 388, 389, 390, 500, 629, 630, 2000])
    seconds = st.sampled_from([0] * 9 + [30])
    rows: list[Row] = []
    for _ in range(draw(st.integers(1, 25))):
        ts = OPEN + draw(offsets) * MINUTE + timedelta(seconds=draw(seconds))
        prices = sorted([draw(PX), draw(PX)])
        made = row(draw(st.sampled_from("AAA BBB CCC".split())), ts)
        made |= {"low": prices[0], "high": prices[1], "open": draw(PX), "close": draw(PX), "volume": 100.0}
        if draw(st.integers(0, 9)) > 1:
            made |= {"open": prices[0], "close": prices[1]}
        if draw(st.integers(0, 9)) == 0:
            made[draw(st.sampled_from(["open", "high", "low", "close", "volume"]))] = draw(BAD)
        rows.append(made)
        if draw(st.integers(0, 7)) == 0:
            rows.append(dict(made))
    return rows


def is_sound(made: Row) -> bool:
    """The same rules said once more, for one row at a time."""
    values = [made[name] for name in ("open", "high", "low", "close", "volume")]
    if any(not isinstance(value, float) or not math.isfinite(value) for value in values):
        return False
    opened, high, low, closed, volume = (float(value) for value in values if isinstance(value, float))
    at = made["ts"]
    assert isinstance(at, datetime)
    on_grid = (at - OPEN) % MINUTE == timedelta(0) or at >= CLOSE
    open_market = OPEN - 330 * MINUTE <= at < CLOSE + 240 * MINUTE
    return 0 < low <= min(opened, closed) <= max(opened, closed) <= high and volume >= 0 and on_grid and open_market


def survivors(rows: list[Row]) -> list[Row]:
    """Sound rows, without repetitions, and without those that contradict each other."""
    by_key: dict[tuple[object, object], list[Row]] = {}
    for made in rows:
        if is_sound(made):
            by_key.setdefault((made["symbol"], made["ts"]), []).append(made)
    return [same[0] for same in by_key.values() if all(other == same[0] for other in same)]


def accounted(data: SessionData) -> Counter[tuple[str, ...]]:
    return counted(framed(data)) + counted(data.after_close) + counted(data.quarantined.select(COLUMNS))


@given(any_rows())
def test_every_row_is_in_a_frame_or_after_the_close_or_kept_aside(rows: list[Row]) -> None:
    good = survivors(rows)
    used = [made for made in good if isinstance(at := made["ts"], datetime) and at < CLOSE]
    try:
        data = session_from_frame(table(rows), DAY, history_days=0, interval_s=60)
    except DataRefused as error:
        fell = [finding.code for finding in error.findings if finding.severity is Severity.REFUSE]
        assert fell in (["no_usable_rows"], ["irregular_interval"])
        in_hours = [made for made in rows if isinstance(at := made["ts"], datetime) and OPEN <= at < CLOSE]
        off_grid = [made for made in in_hours if (made["ts"] - OPEN) % MINUTE]  # type: ignore[operator]
        assert off_grid or not [made for made in used if made in in_hours]
        return
    assert counted(framed(data)) == counted(table(used))
    assert counted(data.after_close) == counted(table(made for made in good if made not in used))
    assert accounted(data) == counted(table(rows))


@given(any_rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_in_a_file_changes_nothing(rows: list[Row], chance: object) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    results = []
    for order in (rows, shuffled):
        try:
            data = session_from_frame(table(order), DAY, history_days=0, interval_s=60)
            results.append((data.data_hash, data.quarantined.rows().__repr__(), data.after_close.rows()))
        except DataRefused as error:
            results.append((str(error), "", []))
    assert results[0] == results[1]


def test_a_thinly_traded_file_still_has_a_minute_grid() -> None:
    """Two minutes are the commonest distance, and one minute is the interval all the same."""
    gaps = [2, 2, 1, 2, 2, 3, 2, 1, 2, 2, 4, 2]
    ts, rows = OPEN, []
    for gap in gaps:
        ts += gap * MINUTE
        rows.append(row("AAA", ts))
    data = session_from_frame(table(rows), DAY)
    assert data.interval_s == 60
    assert framed(data)["ts"].to_list() == [made["ts"] for made in rows]


def test_schema_of_an_empty_quarantine() -> None:
    data = session_from_frame(table(legal()), DAY)
    assert data.quarantined.is_empty()
    assert data.quarantined.schema["ts"] == TS
