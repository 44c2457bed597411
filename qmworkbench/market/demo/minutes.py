"""A session's prices minute by minute, led from its open to its close (§6 local: demo feed).

Each part of a move (market, sector, the company's own) is noise under the day's shape, wilder at some times than at
others and now and then wild for a minute, bent so that it ends where the day's part ends; the news is laid over it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from qmworkbench.market.demo.daily import Days
from qmworkbench.market.demo.directory import SEATS, SECTORS
from qmworkbench.market.demo.exact import Floats, Ints, bell, exp, stream, tent, total
from qmworkbench.market.demo.news import laid_out

EARLY: Final = 90  # minutes before the open that may have trades
_LANES: Final = 19
_PURPOSE: Final = 4
_CLUSTER: Final = ((0.70, 0.18), (0.98, 0.05))  # fast and slow: what stays from minute to minute, what is new
_WILD_SHARE, _WILD = 0.011, 3.0
_EXCITED: Final = 1.6  # how much wilder prices are in the middle of news


@dataclass(frozen=True, eq=False)
class Prices:
    """One session of some seats, as (seat, minute) arrays.

    `before` and `after` are logarithms of the price at each minute's start and end, `sigma` the minute's volatility of
    all parts together, `noise` the size of the minute's own draw, `excited` how much the news is at work, 0 to 1.
    """

    before: Floats
    after: Floats
    sigma: Floats
    noise: Floats
    excited: Floats


def shape(minutes: int) -> Floats:
    """Volatility over the day as a multiple of midday's: high at the open, a little up at the very end."""
    since, left = np.arange(minutes) + 0.5, minutes - np.arange(minutes) - 0.5
    opening = 2.4 / (1.0 + since / 5.0) + 1.7 / (1.0 + since / 60.0)
    made: Floats = 0.68 + opening + 0.9 / (1.0 + left / 1.5) + 0.35 / (1.0 + left / 25.0)
    return made


def draws(seed: int, day: int, seats: Ints, minutes: int) -> Floats:
    """Uniforms as (lane, seat, minute), EARLY minutes before the open among them; a seat's own for a seed and a day."""
    u = [stream(_PURPOSE, seed, day, int(seat)).random((_LANES, EARLY + minutes)) for seat in seats]
    return np.stack(u, axis=1)


def shared_draws(seed: int, day: int, minutes: int) -> Floats:
    """Uniforms as (lane, factor, minute): the market first, then the sectors."""
    return draws(seed, day, np.arange(SEATS, SEATS + 1 + len(SECTORS)), minutes)[:, :, EARLY:]


def prices(days: Days, row: int, seats: Ints, u: Floats, v: Floats) -> Prices:
    """The session in row `row` of `days`; `u` are the seats' uniforms of regular minutes, `v` the shared ones."""
    minutes = u.shape[2]
    bend = shape(minutes)
    share = bend / np.sqrt(float(total(bend * bend)))
    who, holder = days.companies, days.holder[row, seats]
    told = days.stories.of((row, seats))
    news, excited = laid_out(told, minutes)

    z, wildness = _noise(u)
    own_sigma = days.own_sigma[row, seats][:, None] * share * wildness * (1.0 + _EXCITED * excited)
    own = _led(z * own_sigma, days.own[row, seats], own_sigma)
    z_shared, wild_shared = _noise(v)
    wide = np.concatenate([days.market_sigma[row : row + 1], np.full(len(SECTORS), days.sector_sigma[row])])
    shared_sigma = wide[:, None] * share * wild_shared
    moves = np.concatenate([days.market[row : row + 1], days.sectors[row]])
    shared = _led(z_shared * shared_sigma, moves, shared_sigma)
    bought = days.terms.deal[row, seats] >= 0
    beta = np.where(bought, 0.0, who.beta[holder])[:, None]
    loading = np.where(bought, 0.0, 1.0)[:, None]
    sector = 1 + who.sector[holder]
    after = own + beta * shared[0] + loading * shared[sector] + news + days.opened[row, seats][:, None]
    before = np.concatenate([days.opened[row, seats][:, None], after[:, :-1]], axis=1)
    common = beta * shared_sigma[0], loading * shared_sigma[sector]
    sigma = np.sqrt(own_sigma * own_sigma + common[0] * common[0] + common[1] * common[1])
    return Prices(before, after, sigma, np.abs(z), excited)


def _noise(u: Floats) -> tuple[Floats, Floats]:
    """Draws of variance about 1, and by how much each minute is wilder than usual."""
    z = bell(u[0:4]) * np.where(u[4] < _WILD_SHARE, _WILD, 1.0)
    levels = np.zeros(z.shape)
    for (stays, new), at in zip(_CLUSTER, (5, 7), strict=True):
        fresh = new * tent(u[at : at + 2])
        level = np.zeros(z.shape[0])
        for k in range(z.shape[1]):
            level = stays * level + fresh[:, k]
            levels[:, k] += level
    return z, exp(levels)


def _led(moves: Floats, target: Floats, sigma: Floats) -> Floats:
    """Running sums that end at `target`: what is missing is spread over the minutes by their variance."""
    weight = sigma * sigma
    path = np.cumsum(moves, axis=1)
    missing = target - path[:, -1]
    led: Floats = path + missing[:, None] * (np.cumsum(weight, axis=1) / total(weight)[:, None])
    return led
