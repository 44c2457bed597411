from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.strategies import indicators_session as day
from qmworkbench.strategies.bars import prepared
from qmworkbench.strategies.indicators import Indicator
from tests.strategies.bar_cases import Market, equities, made


def computed(market: Market, indicator: Indicator) -> pl.DataFrame:
    frame = prepared(market.bars)
    for stage in indicator.stages:
        frame = frame.with_columns(stage)
    return frame


def values(market: Market, indicator: Indicator) -> list[float | None]:
    return computed(market, indicator)[indicator.name].to_list()


PX = [(10.0, 11, 9, 10), (10.0, 13, 10, 12), (12.0, 13, 8, 9), (9.0, 12, 9, 11), (11.0, 14, 10, 13)]
ONE = made({"A": PX}, [100.0, 200.0, 300.0, 400.0, 500.0])
TWO = made({"A": PX, "B": [(20.0, 30, 20, 20), (20.0, 22, 19, 20), (20.0, 31, 20, 30)]})


def test_the_first_price_of_each_session() -> None:
    assert values(TWO, day.session_open()) == [10.0] * 5 + [20.0] * 3


def test_extremes_of_the_last_bars_leave_this_one_out() -> None:
    assert values(TWO, day.recent_high(2)) == [None, None, 13, 13, 13, None, None, 30]
    assert values(TWO, day.recent_low(2)) == [None, None, 9, 8, 8, None, None, 19]
    assert values(TWO, day.recent_low(2, ago=1)) == [None, None, None, 9, 8, None, None, None]


def test_a_session_does_not_begin_with_the_bars_of_the_day_before(shared_data: Path) -> None:
    market = equities(shared_data, 1).only(["OPK", "SWN"])
    for indicator in (day.recent_high(3), day.recent_low(3), day.recent_low(3, ago=2), day.volume_over_recent(3)):
        first = computed(market, indicator).filter(pl.col("i_pos") < 3)
        assert len(first) == 12
        assert first[indicator.name].null_count() == 12


def test_the_high_before_this_bar_and_when_it_was_made() -> None:
    assert values(TWO, day.prior_session_high()) == [None, 11, 13, 13, 13, None, 30, 30]
    assert values(TWO, day.high_row()) == [0, 1, 1, 1, 4, 5, 5, 7]  # meeting the high of 13 again makes no new one
    assert values(TWO, day.prior_high_row()) == [None, 0, 1, 1, 1, None, 5, 5]


def test_volume_over_the_mean_of_the_bars_before() -> None:
    assert values(ONE, day.volume_over_recent(2)) == [None, None, None, 400 / 250, 500 / 350]
    silent = made({"A": PX}, [1.0, 0.0, 0.0, 5.0, 5.0])
    assert values(silent, day.volume_over_recent(2)) == [None, None, None, None, 2.0]


def test_volume_up_to_the_high_and_since_by_boundaries() -> None:
    assert values(ONE, day.volume_to_high()) == [100, 150, 150, 150, 300]
    assert values(ONE, day.volume_since_high()) == [None, None, None, 300, None]
    holed = made({"A": [PX[0], PX[1], None, PX[2], PX[3]]}, [100.0, 200.0, 0.0, 300.0, 400.0])
    assert values(holed, day.volume_since_high()) == [None, None, 0, 150]


def test_the_row_of_the_last_event_and_what_was_there() -> None:
    event = day.last_row("s_up", pl.col.close > pl.col.open)
    assert values(TWO, event) == [None, 1, 1, 3, 4, None, None, 7]
    low = day.at_row("s_low", "low", event)
    assert values(TWO, low) == [None, 10, 10, 9, 10, None, None, 20]


def test_an_event_is_armed_until_its_end() -> None:
    up, down = pl.col.close > pl.col.open, pl.col.close < pl.col.open
    assert values(TWO, day.armed("s_up", up, down)) == [None, None, 1, None, 3, None, None, None]
    assert values(TWO, day.armed("s_up", up, pl.lit(False))) == [None, None, 1, 1, 3, None, None, None]
    assert values(TWO, day.armed("s_up", up, up)) == [None] * 8  # a bar in which both are true ends


ROWS = st.lists(
    st.tuples(st.sampled_from([9.0, 9.5, 10.0, 10.5, 11.0]), st.sampled_from([0.0, 1.0, 7.0])), min_size=1, max_size=25
)


@given(ROWS, ROWS, st.integers(1, 4))
def test_they_say_what_a_plain_loop_says(
    first: list[tuple[float, float]], other: list[tuple[float, float]], n: int
) -> None:
    """Two symbols one below the other, ties and silent volume among them."""
    parts = [made({name: [px for px, _ in rows]}, [v for _, v in rows]) for name, rows in (("A", first), ("B", other))]
    bars = pl.concat([part.bars for part in parts])
    frame = prepared(bars)
    starts, ends = pl.col.close > 10, pl.col.close < 10
    chosen = [
        day.recent_high(n), day.recent_low(n), day.recent_low(n, ago=2), day.prior_session_high(), day.high_row(),
        day.volume_over_recent(n), day.last_row("s_x", starts), day.armed("s_a", starts, ends),
    ]  # fmt: skip
    for indicator in chosen:
        for stage in indicator.stages:
            frame = frame.with_columns(stage)
    offset = 0
    for rows in (first, other):
        px, volume = [row[0] for row in rows], [row[1] for row in rows]
        found = {each.name: frame[each.name].to_list()[offset : offset + len(rows)] for each in chosen}
        for at in range(len(rows)):
            assert found[f"i_recent_high_{n}"][at] == (max(px[at - n : at]) if at >= n else None)
            assert found[f"i_recent_low_{n}"][at] == (min(px[at - n : at]) if at >= n else None)
            early = min(px[at - n - 2 : at - 2]) if at >= n + 2 else None
            assert found[f"i_recent_low_{n}_ago_2"][at] == early
            assert found["i_prior_session_high"][at] == (max(px[:at]) if at else None)
            assert found["i_high_row"][at] - offset == px.index(max(px[: at + 1]))
            mean = np.mean(volume[at - n : at]) if at > n else 0
            expected = pytest.approx(volume[at] / mean) if mean > 0 else None
            assert found[f"i_volume_over_recent_{n}"][at] == expected
            events = [place for place in range(at + 1) if px[place] > 10]
            assert found["s_x"][at] == (events[-1] + offset if events else None)
            before = [place for place in events if place < at]
            ended = before and any(px[place] < 10 for place in range(before[-1], at))
            assert found["s_a"][at] == (before[-1] + offset if before and not ended else None)
        offset += len(rows)
