"""The figures themselves: each says what it should of markets that are made to have it, and not of others."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from qmworkbench.market.demo.acceptance import Row, above, figures_of, markdown, rows_of
from qmworkbench.market.demo.exact import Floats
from qmworkbench.market.demo.panel import MINUTES, Panel, panel_of
from qmworkbench.market.demo.real_figures import REAL, Figure
from qmworkbench.market.demo.statistics import STATISTICS, series_of

DAYS = tuple(date(2024, 3, day) for day in (4, 5, 6, 7, 8))
SHAPE = (30, len(DAYS), MINUTES)
RNG = np.random.default_rng(5)


def panel(returns: Floats, volume: Floats | None = None, spread: Floats | None = None) -> Panel:
    """A market of these minute returns; bars without wicks."""
    close = 50.0 * np.exp(np.cumsum(returns.reshape(len(returns), -1), axis=1)).reshape(returns.shape)
    flat = close.reshape(len(close), -1)
    opened = np.concatenate([np.full((len(flat), 1), 50.0), flat[:, :-1]], axis=1).reshape(close.shape)
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    volume = np.full(close.shape, 1000.0) if volume is None else volume
    return Panel(tuple(f"S{k:02d}" for k in range(len(close))), DAYS, opened, high, low, close, volume, spread)


def figure(made: Panel, name: str) -> float:
    return float(np.nanmean(series_of(made)[name]))


PLAIN = RNG.normal(0, 0.0008, SHAPE)


def test_plain_noise_has_none_of_a_markets_marks() -> None:
    made = panel(PLAIN)
    assert figure(made, "kurtosis") == pytest.approx(3, abs=0.2)
    for name in ("bounce", "cluster_1", "cluster_20", "corr_minute", "corr_five"):
        assert figure(made, name) == pytest.approx(0, abs=0.05), name
    assert figure(made, "size_first") == pytest.approx(1, abs=0.1)
    assert figure(made, "volume_last") == 1
    assert figure(made, "missing") == 0
    assert figure(made, "realised") == pytest.approx(0.08 * np.sqrt(389), rel=0.02)
    assert figure(made, "gap") == 0


def test_fat_tails_are_seen() -> None:
    wild = PLAIN * np.where(RNG.random(SHAPE) < 0.02, 5, 1)
    assert figure(panel(wild), "kurtosis") > 6


def test_clustering_is_seen_and_fades_with_the_lag() -> None:
    level = np.zeros(SHAPE)
    for k in range(1, MINUTES):
        level[..., k] = 0.9 * level[..., k - 1] + 0.3 * RNG.normal(size=SHAPE[:2])
    made = panel(PLAIN * np.exp(level))
    assert figure(made, "cluster_1") > 0.15 > figure(made, "cluster_20")


def test_a_common_factor_is_seen_at_every_pace() -> None:
    made = panel(PLAIN + RNG.normal(0, 0.0008, (1, *SHAPE[1:])))
    for name in ("corr_minute", "corr_five"):
        assert figure(made, name) == pytest.approx(0.5, abs=0.06)


def test_a_bid_and_an_ask_show_as_a_bounce() -> None:
    side = RNG.choice([-0.0005, 0.0005], SHAPE)
    assert figure(panel(PLAIN + np.diff(side, axis=2, prepend=0)), "bounce") < -0.15


def test_a_u_is_seen_at_both_ends() -> None:
    bend = np.ones(MINUTES)
    bend[:30], bend[-30:] = 3, 2
    made = panel(PLAIN * bend, np.broadcast_to(1000 * bend, SHAPE).copy())
    assert figure(made, "size_first") == pytest.approx(3, rel=0.1)
    assert figure(made, "volume_first") == pytest.approx(3)
    assert figure(made, "volume_last") == pytest.approx(2)


def test_wild_days_follow_wild_days() -> None:
    calm_then_wild = np.array([0.5, 0.5, 2.0, 2.0, 2.0])
    mixed = np.where(np.arange(30)[:, None] % 2 == 0, calm_then_wild, calm_then_wild[::-1])
    assert figure(panel(PLAIN * mixed[:, :, None]), "next_day") > 0.3


def test_risers_and_gainers_are_counted_in_percent_of_symbols() -> None:
    run = np.zeros(SHAPE)
    run[:3, :, 10:110] = np.log(1.12) / 100
    run[:3, :, 200:300] = -np.log(1.12) / 100  # all of it is given back
    made = panel(run)
    assert figure(made, "up_5") == figure(made, "up_10") == pytest.approx(10)
    assert figure(made, "up_15") == 0
    assert figure(made, "gain_5") == 0


def test_missing_minutes_and_missing_days_are_two_things() -> None:
    """A day on which a symbol was not there at all says nothing of how thinly it trades."""
    made = panel(PLAIN.copy())
    close = made.close.copy()
    close[0, :, ::10] = np.nan
    close[1, 2:] = np.nan
    volume = np.where(np.isnan(close), np.nan, made.volume)
    found = series_of(replace(made, close=close, volume=volume))
    assert found["missing"][0] == pytest.approx(10 / 30)
    assert found["missing"][4] == pytest.approx(10 / 29)


def test_spreads_are_told_in_basis_points_where_there_are_quotes() -> None:
    flat = np.zeros(SHAPE)
    assert figure(panel(flat, spread=np.full(SHAPE, 0.05)), "spread") == pytest.approx(10)
    assert np.isnan(series_of(panel(flat))["spread"]).all()
    assert "spread" not in figures_of(panel(PLAIN))
    assert figure(panel(flat), "still") == 100


def test_a_figure_knows_how_it_varies_over_days_and_symbols() -> None:
    wild = PLAIN * np.array([0.5, 1, 1.5, 1, 1])[None, :, None]
    by_day = figures_of(panel(wild))["realised"]
    assert by_day.by_day > 0.2 * by_day.mean
    assert by_day.by_symbols < 0.05 * by_day.mean
    uneven = PLAIN * np.where(np.arange(30) % 10 < 5, 0.5, 1.5)[:, None, None]
    by_symbols = figures_of(panel(uneven))["realised"]
    assert by_symbols.by_symbols > 0.1 * by_symbols.mean
    assert by_symbols.by_day < 0.1 * by_symbols.mean


def row(mean: float, demo: float, name: str = "up_10") -> Row:
    statistic = next(statistic for statistic in STATISTICS if statistic.name == name)
    return Row(statistic=statistic, real=Figure(mean=mean, by_day=1.0, by_symbols=0.25), demo=demo)


def test_a_verdict_is_the_tolerance_and_that_rare_things_happen() -> None:
    assert row(10, 11.5).within
    assert not row(10, 11.6).within
    assert not row(10, 8.4).within
    assert row(0.5, 0.1).within
    assert not row(0.5, 0.0).within, "nought lies within, and is not enough"
    assert row(0.5, 0.0, "move").within
    assert not row(10, float("nan")).within
    assert "**outside**" in markdown([row(10, 20)])


def test_every_statistic_has_a_real_figure_and_a_row() -> None:
    assert [statistic.name for statistic in STATISTICS] == list(REAL)
    assert len(rows_of(dict.fromkeys(REAL, 1.0))) == len(STATISTICS)


def test_a_panel_holds_regular_minutes_of_full_sessions_alone() -> None:
    opens = [datetime(2024, 11, day, 14, 30, tzinfo=UTC) for day in (27, 29)]  # the second is a half-day
    minutes = [opened + timedelta(minutes=k) for opened in opens for k in (-5, 0, 7, 389, 395)]
    bars = pl.DataFrame(
        {
            "symbol": ["A"] * len(minutes),
            "ts": pl.Series(minutes).cast(pl.Datetime("us", "UTC")),
            **{
                name: [float(k + 1) for k in range(len(minutes))] for name in ("open", "high", "low", "close", "volume")
            },
        }
    )
    made = panel_of(bars)
    assert made.days == (date(2024, 11, 27),)
    assert np.flatnonzero(~np.isnan(made.close[0, 0])).tolist() == [0, 7, 389]
    assert made.close[0, 0, [0, 7, 389]].tolist() == [2.0, 3.0, 4.0]
    with pytest.raises(ValueError, match="no full session"):
        panel_of(bars.tail(5))
    with pytest.raises(ValueError, match="no bars"):
        panel_of(bars.clear())


def test_only_symbols_that_trade_enough_are_compared() -> None:
    thin = panel(PLAIN, np.broadcast_to(np.arange(1, 31)[:, None, None] * 100.0, SHAPE).copy())
    chosen = above(thin, float(np.median(thin.turnover())))
    assert chosen.symbols == thin.symbols[15:]
