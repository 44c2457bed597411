"""Trading before the open: the last ninety minutes, thick where news moved the price in the night (§8)."""

from typing import Final

import numpy as np

from qmworkbench.market.demo.daily import Days
from qmworkbench.market.demo.exact import Floats, Ints, bell, total
from qmworkbench.market.demo.minutes import EARLY, Prices
from qmworkbench.market.demo.news import BURST, QUIET

_NEWS_SHARE: Final = 0.07  # of the day's volume, where there is news in the night
_USUAL_SHARE: Final = 0.0022
_SMALL_SHARE: Final = 0.0006
_ARRIVED: Final = 0.75  # of the gap, by the first of these minutes
_SIGMA: Final = 0.004  # of these minutes together, on a usual night
_NEWS_SIGMA: Final = 0.03


def early_prices(days: Days, row: int, seats: Ints, night: Floats, u: Floats) -> Prices:
    """From most of the night's move to the open; `u` are the seats' uniforms of these minutes."""
    minutes = u.shape[2]
    told = days.stories.of((row, seats))
    news = (told.kind != QUIET) & (told.kind != BURST)
    wide = np.where(news, _NEWS_SIGMA, _SIGMA)[:, None] / np.sqrt(float(minutes))
    clock = np.arange(1, minutes + 1) / minutes
    path = np.cumsum(bell(u[0:4]) * wide, axis=1)
    bent = path - path[:, -1:] * clock
    opened = days.opened[row, seats][:, None]
    after = opened - night[:, None] * (1.0 - _ARRIVED) * (1.0 - clock) + bent
    before = np.concatenate([after[:, :1], after[:, :-1]], axis=1)
    return Prices(before, after, np.broadcast_to(wide, after.shape), np.abs(bell(u[0:4])), np.zeros(after.shape))


def early_shares(days: Days, row: int, seats: Ints, daily: Floats) -> Floats:
    """Shares wanted in each of these minutes: more and more towards the open."""
    told = days.stories.of((row, seats))
    small = days.companies.small[days.holder[row, seats]].astype(np.bool_)
    part = np.where(small, _SMALL_SHARE, _USUAL_SHARE)
    part = np.where((told.kind != QUIET) & (told.kind != BURST), _NEWS_SHARE, part)
    rising = 0.4 + np.arange(EARLY) / EARLY * 1.2
    wanted: Floats = (daily * part)[:, None] * (rising / float(total(rising)))
    return wanted
