from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.bars import prepared
from qmworkbench.strategies.indicators import Indicator
from tests.strategies.bar_cases import equities, made


def computed(bars: pl.DataFrame, *wanted: Indicator) -> pl.DataFrame:
    frame = prepared(bars)
    for stage in ind.stacked(*wanted):
        frame = frame.with_columns(stage)
    return frame


def values(bars: pl.DataFrame, indicator: Indicator) -> list[float | None]:
    return computed(bars, indicator)[indicator.name].to_list()


CLOSE = "close"

# ── against a plain loop ──────────────────────────────────────────────────────────────────────────────────────────────

PRICES = st.lists(st.integers(95, 105).map(lambda cents: cents / 100), min_size=1, max_size=60)


@given(PRICES, PRICES, st.integers(1, 20))
def test_windows_of_two_neighbours_never_mix(first: list[float], second: list[float], n: int) -> None:
    bars = made({"A": first, "B": second}).bars
    expected = {"top": [], "prior": [], "bottom": [], "mean": []}
    for row in (first, second):
        for at in range(len(row)):
            window, before = row[max(at - n + 1, 0) : at + 1], row[max(at - n, 0) : at]
            ready = len(window) == n
            expected["top"].append(max(window) if ready else None)
            expected["bottom"].append(min(window) if ready else None)
            expected["mean"].append(pytest.approx(sum(window) / n, abs=1e-12) if ready else None)
            expected["prior"].append(max(before) if len(before) == n else None)
    assert values(bars, ind.donchian_high(n)) == expected["top"]
    assert values(bars, ind.donchian_low(n)) == expected["bottom"]
    assert values(bars, ind.prior_high(n)) == expected["prior"]
    assert values(bars, ind.sma(CLOSE, n)) == expected["mean"]


def test_the_true_range_counts_the_gap_and_the_first_bar_has_none() -> None:
    bars = made({"A": [(10, 11, 9, 10), (13, 14, 12, 13), (9, 9.5, 8, 9)], "B": [(50, 52, 49, 51)]}).bars
    assert values(bars, ind.true_range()) == [2.0, 4.0, 5.0, 3.0]
    assert values(bars, ind.atr_mean(2)) == [None, None, 4.5, None]
    assert values(bars, ind.atr_mean(2, ind.SESSION)) == [None, 3.0, 4.5, None]


def test_equal_windows_give_equal_averages_and_a_cross_of_ties_is_seen_as_a_tie() -> None:
    row = [10.1, 10.2, 10.3, 10.4, 10.5] * 400
    bars = made({"A": row}).bars
    frame = computed(bars, ind.sma(CLOSE, 5), ind.sma(CLOSE, 10))
    ready = frame.filter(pl.col("i_row") >= 9)
    assert (ready["i_sma_close_5_symbol"] == ready["i_sma_close_10_symbol"]).all()


def test_the_opening_range_is_of_boundaries_and_not_of_rows() -> None:
    holes = [(1, 1.5, 1, 1), None, None, (1, 3, 0.5, 1), (1, 9, 0.1, 1), (1, 1, 1, 1)]
    late = [None, None, None, None, (1, 9, 0.1, 1), (1, 1, 1, 1)]
    bars = made({"A": holes, "B": late}).bars
    assert values(bars, ind.opening_range_high(4)) == [None, 3.0, 3.0, 3.0, None, None]
    assert values(bars, ind.opening_range_low(4)) == [None, 0.5, 0.5, 0.5, None, None]


def test_running_values_start_anew_with_the_session_and_the_symbol() -> None:
    bars = made({"A": [(1, 4, 1, 2), (2, 3, 0, 2)], "B": [(8, 8, 8, 8)]}, volumes=[100, 300]).bars
    assert values(bars, ind.session_high()) == [4, 4, 8]
    assert values(bars, ind.session_low()) == [1, 0, 8]
    assert values(bars, ind.session_volume()) == [100, 400, 100]
    assert values(bars, ind.session_turnover()) == [200, 725, 800]
    assert values(bars, ind.session_vwap()) == [2, 1.8125, 8]


def test_relative_volume_counts_silent_minutes_as_nothing() -> None:
    bars = made({"A": [1, None, None, 1, 1]}, volumes=[300, 0, 0, 100, 50]).bars
    assert values(bars, ind.relative_bar_volume()) == [None, 1.0, 0.5]


def test_nothing_traded_has_no_vwap() -> None:
    bars = made({"A": [1, 1]}, volumes=0).bars
    assert values(bars, ind.session_vwap()) == [None, None]
    assert values(bars, ind.relative_bar_volume()) == [None, None]
    assert values(bars, ind.moving_vwap(1)) == [None, None]


def test_rsi_of_prices_that_do_not_move_is_in_the_middle() -> None:
    assert values(made({"A": [5.0] * 6}).bars, ind.rsi(CLOSE, 3)) == [None, None, None, 50.0, 50.0, 50.0]
    assert values(made({"A": [1.0, 2, 3, 4, 5]}).bars, ind.rsi(CLOSE, 3))[3:] == [100.0, 100.0]


# ── what makes signals repeatable ─────────────────────────────────────────────────────────────────────────────────────

EVERY: dict[str, Callable[[], Indicator]] = {
    "donchian_high": lambda: ind.donchian_high(20),
    "prior_low": lambda: ind.prior_low(55),
    "sma": lambda: ind.sma(CLOSE, 10),
    "relative_ma": lambda: ind.relative_ma(CLOSE, 5),
    "atr_mean": lambda: ind.atr_mean(14),
    "atr_wilder": lambda: ind.atr_wilder(14),
    "bollinger": lambda: ind.bollinger(CLOSE, 20, 2.0)[0],
    "moving_vwap": lambda: ind.moving_vwap(20),
    "session_vwap": ind.session_vwap,
    "session_high": ind.session_high,
    "opening_range_high": lambda: ind.opening_range_high(15),
    "relative_bar_volume": ind.relative_bar_volume,
    "ema": lambda: ind.ema(CLOSE, 14),
    "rsi": lambda: ind.rsi(CLOSE, 14),
    "macd": lambda: ind.macd(CLOSE, 12, 26, 9)[1],
    "atr_of_session": lambda: ind.atr_wilder(14, ind.SESSION),
}


@pytest.mark.parametrize("name", EVERY)
def test_real_bars_give_the_same_bits_alone_in_company_and_without_what_comes_later(
    shared_data: Path, name: str
) -> None:
    indicator = EVERY[name]()
    bars = equities(shared_data, 1).only(["OPK", "SRC", "SWN", "XON"]).bars
    together = computed(bars, indicator)
    assert together[indicator.name].null_count() < together.height / 2
    for symbol in ("SRC", "XON"):
        mine = bars.filter(pl.col("symbol") == symbol)
        whole = together.filter(pl.col("symbol") == symbol)[indicator.name]
        assert bits(computed(mine, indicator)[indicator.name]) == bits(whole)
        for cut in (1, 16, 200, 391, len(mine) - 1):
            assert bits(computed(mine.head(cut), indicator)[indicator.name]) == bits(whole.head(cut))


FINITE = {"donchian_high": 20, "prior_low": 56, "sma": 10, "relative_ma": 15, "atr_mean": 15}


@pytest.mark.parametrize("name", FINITE)
def test_windows_give_the_same_bits_from_any_start(shared_data: Path, name: str) -> None:
    indicator, needed = EVERY[name](), FINITE[name]
    bars = equities(shared_data, 1).only(["OPK"]).bars
    whole = computed(bars, indicator)[indicator.name]
    for start in (1, 137, 389, 700):
        part = computed(bars[start:], indicator)[indicator.name]
        assert bits(part[needed:]) == bits(whole[start + needed :])


def bits(column: pl.Series) -> bytes:
    missing = column.is_null().to_numpy().tobytes()
    return missing + np.ascontiguousarray(column.fill_null(0.0).to_numpy()).tobytes()


def test_a_column_is_named_after_what_it_is_and_shared_windows_are_there_once() -> None:
    stages = ind.stacked(ind.prior_high(55), ind.prior_high(20), ind.donchian_high(55))
    names = [expr.meta.output_name() for stage in stages for expr in stage]
    assert len(names) == len(set(names))
    assert names.count("i_highest_high_16") == 1
    assert {"i_prior_high_55", "i_prior_high_20", "i_donchian_high_55"} <= set(names)
