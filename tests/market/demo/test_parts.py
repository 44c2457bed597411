"""The demo market's parts, each by what it promises: exact arithmetic, news, paths led to an end, pauses, spreads."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.market.demo import halts, news, quotes, volume
from qmworkbench.market.demo.daily import days_with
from qmworkbench.market.demo.directory import SEATS, is_small
from qmworkbench.market.demo.exact import bell, exp, log, stream, tent, total
from qmworkbench.market.demo.minutes import EARLY, draws, prices, shape, shared_draws
from qmworkbench.market.demo.news import QUIET, TAKEOVER, laid_out, stories


@given(st.floats(-30, 8))
def test_our_exponential_is_the_exponential(x: float) -> None:
    assert float(exp(np.array([x]))[0]) == pytest.approx(math.exp(x), rel=1e-7)


@given(st.floats(1e-3, 1e10))
def test_our_logarithm_undoes_it(value: float) -> None:
    assert log(value) == pytest.approx(math.log(value), abs=1e-9)


def test_noise_has_variance_one_and_sums_are_in_order() -> None:
    u = stream(9, 1).random((4, 200_000))
    assert bell(u).var() == pytest.approx(1, abs=0.02)
    assert tent(u[:2]).var() == pytest.approx(1, abs=0.02)
    assert bell(u).mean() == pytest.approx(0, abs=0.01)
    row = np.array([[0.1, 0.2, 0.3, 1e16, -1e16]])
    assert total(row)[0] == ((((0.1 + 0.2) + 0.3) + 1e16) - 1e16)
    assert total(row[:, :0]).tolist() == [0.0]


def test_a_streams_key_says_all() -> None:
    assert stream(1, 2, 3).random() == stream(1, 2, 3).random()
    assert len({stream(*key).random() for key in ((1, 2, 3), (1, 3, 2), (1, 2), (1, 2, 4), (2, 2, 3))}) == 5


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([210, 390]))
def test_news_is_laid_over_the_day_and_ends_where_it_says(seed: int, minutes: int) -> None:
    u = stream(8, seed).random((news.UNIFORMS, 50))
    u[0] /= 20  # so that most have news
    told = stories(u, np.arange(50) % 2 == 0, np.where(np.arange(50) == 7, 0, -1))
    path, excited = laid_out(told, minutes)
    assert np.allclose(path[:, -1], told.day)
    assert told.kind[7] == TAKEOVER
    quiet = told.kind == QUIET
    assert not path[quiet].any()
    assert not excited[quiet].any()
    assert 0 <= excited.min() <= excited.max() <= 1
    assert (told.busy[~quiet] > 1).all()


def test_takeovers_happen_when_the_calendar_says_and_nothing_else_then() -> None:
    u = np.zeros((news.UNIFORMS, 3))
    told = stories(u, np.array([False, False, False]), np.array([-1, 0, 5]))
    assert told.kind.tolist() == [news.REPORT, TAKEOVER, QUIET]


def test_a_sessions_minutes_end_at_the_days_close() -> None:
    """The minutes are led to the close that the fold over days has set, so that the next day can open from it."""
    days, row = days_with(3, 2000)
    seats = np.arange(SEATS)
    u = draws(3, 777, seats, 390)[:, :, EARLY:]
    made = prices(days, row, seats, u, shared_draws(3, 777, 390))
    assert np.allclose(made.after[:, -1], days.closed[row], atol=1e-9)
    assert np.allclose(made.before[:, 0], days.opened[row])
    assert np.array_equal(made.before[:, 1:], made.after[:, :-1])


def test_days_are_folded_without_a_seam() -> None:
    """Where one block of days ends and the next begins, a night is a night: no larger than elsewhere."""
    days, row = days_with(3, 255)
    after, first = days_with(3, 256)
    assert (row, first) == (255, 0)
    nights = np.abs(after.opened[0] - after.terms.scale[0] - days.closed[255] + days.terms.scale[255])
    small = np.array([is_small(seat) for seat in range(SEATS)])
    assert np.median(nights[~small]) < 0.02


def test_the_day_is_wildest_and_busiest_at_its_ends() -> None:
    wild, busy = shape(390), volume.shape(390)
    assert wild[0] > 3 * wild[200]
    assert wild[-1] > wild[-60]
    assert busy[0] > 3 * busy[200] < busy[-1]


def test_who_trades_more_has_fewer_silent_minutes() -> None:
    u = stream(7, 1).random((3, 10_000))
    wanted = np.array([[20.0], [200.0], [5000.0]]) * np.ones((3, 10_000))
    there = volume.traded(wanted, np.full((3, 10_000), 50.0), u).mean(axis=1)
    assert there[0] < there[1] < there[2]
    assert there[2] > 0.999


def test_a_price_that_leaves_its_band_pauses_five_minutes_and_three_times_at_most() -> None:
    path = np.zeros((4, 390))
    path[1, 100:] = 0.12  # one jump
    path[2] = np.arange(390) * 0.03  # away all day
    path[3, 3:] = 0.15  # within the wider band of the open
    found = halts.pauses(path)
    assert [at for row, at in found if row == 1] == [101]
    assert len([at for row, at in found if row == 2]) == halts.MOST
    assert {row for row, _ in found} == {1, 2}


def test_no_pause_reaches_past_the_close() -> None:
    path = np.zeros((1, 390))
    path[0, 386:] = 0.5
    assert halts.pauses(path) == []


def test_spreads_are_whole_cents_and_wider_for_the_small_the_wild_and_the_open() -> None:
    wide = quotes.usual_spread(np.array([1e6, 2e8, 2e8]), np.array([0.016, 0.016, 0.05]))
    assert wide[0] > wide[2] > wide[1]
    cents = np.full((1, 390), 5000.0)
    made = quotes.spreads(np.array([0.002]), cents, np.zeros((1, 390)), np.full((1, 390), 0.5))
    assert np.array_equal(made, np.rint(made))
    assert made[0, 0] > made[0, 200] >= 1
    assert quotes.spreads(np.array([1e-9]), cents, np.zeros((1, 390)), np.full((1, 390), 0.5)).min() == 1
