"""Each session's opening and closing price of every company, from the demo market's first day on (§6 local: demo feed).

Prices are a fold over days, so that each session opens from the close before it, whatever day was asked for. A day is
a market's, a sector's and a company's own move by night and by day, and the news. Volatility persists: the market's and
each company's own wander about their mean, a company's rises after a wild day of its own, and so does its volume.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from qmworkbench.market.demo.directory import SEATS, SECTORS, Companies, companies
from qmworkbench.market.demo.exact import Flags, Floats, Ints, bell, exp, stream, tent
from qmworkbench.market.demo.listings import Terms, pays_on, terms
from qmworkbench.market.demo.news import QUIET, UNIFORMS, Stories, stories

MARKET_SIGMA: Final = 0.0066  # a usual day's volatility from open to close; SECTOR_SIGMA likewise
SECTOR_SIGMA: Final = 0.0048
_MARKET_VOL: Final = (0.96, 0.05)  # how much stays from day to day, and what is new; logarithms
_OWN_VOL: Final = (0.93, 0.055, 0.09)  # the third: what a wild day adds
_BUSY: Final = (0.74, 0.20)
_BUSY_WITH: Final = 0.25  # volume goes with the size of the day's own move
_BUSY_MARKET: Final = 0.3
_NIGHT: Final = 0.36  # a night's volatility as a share of a day's
_PULL: Final = (0.010, 0.030)  # how fast prices return to their level: established, small
_WILD_SHARE, _WILD = 0.03, 2.4
_AFTER_NEWS_VOL, _AFTER_NEWS_BUSY = 0.25, 0.4
_DEAL_SIGMA: Final = 0.0006

# Any numbers would do; of those tried this one gives the default seed a lively day on the default date.
_PURPOSE_OWN, _PURPOSE_SHARED = 22, 3
_OWN: Final = 14 + UNIFORMS
_MARKET: Final = 12
_SHARED: Final = _MARKET + 8 * len(SECTORS)
_BLOCK: Final = 256


@dataclass(frozen=True, eq=False)
class Days:
    """Consecutive sessions from number `first` on (first axis) of all seats; moves are logarithms.

    `opened` and `closed` are logarithms of prices in dollars, in the shares of that session. `market`, `sectors` and
    `own` are the parts of the day's move, news apart; the sigmas say what was usual for them on that day. `busy` is
    volume as a multiple of the company's usual one, news apart. `holder` is each seat's place in `companies`.
    """

    first: int
    companies: Companies
    holder: Ints
    terms: Terms
    stories: Stories
    opened: Floats
    closed: Floats
    market: Floats
    market_sigma: Floats
    sectors: Floats
    sector_sigma: Floats
    own: Floats
    own_sigma: Floats
    busy: Floats


@dataclass(frozen=True, eq=False)
class _State:
    """What a session leaves to the next; `stirred` is what its own move and news add to tomorrow's volatility."""

    market_vol: float
    own_vol: Floats
    stirred: Floats
    busy: Floats
    away: Floats


def days_with(seed: int, number: int) -> tuple[Days, int]:
    """Sessions among which number `number` is, and its row there."""
    return _folded(seed, number // _BLOCK)[0], number % _BLOCK


@lru_cache(maxsize=256)
def _before(seed: int, block: int) -> _State:
    if block == 0:
        return _State(0.0, *(np.zeros(SEATS) for _ in range(4)))
    return _folded(seed, block - 1)[1]


@lru_cache(maxsize=3)
def _folded(seed: int, block: int) -> tuple[Days, _State]:
    """One block of sessions, and what it leaves to the next."""
    before = _before(seed, block)
    numbers = np.arange(block * _BLOCK, (block + 1) * _BLOCK)
    u = stream(_PURPOSE_OWN, seed, block).random((_OWN, _BLOCK, SEATS))
    shared = _shared(stream(_PURPOSE_SHARED, seed, block).random((_SHARED, _BLOCK)), before)
    conditions = terms(numbers)
    who, holder = _holders(conditions)
    small = who.small[holder].astype(np.bool_)
    told = stories(u[14:], small, conditions.deal)
    z_day = bell(u[0:4]) * np.where(u[8] < _WILD_SHARE, _WILD, 1.0)
    z_night = bell(u[4:8]) * np.where(u[9] < 2 * _WILD_SHARE, _WILD, 1.0)
    own_vol, busy, stirred, volume = _persistence(z_day, told.kind != QUIET, u[10:14], before)

    bought = conditions.deal >= 0  # its price hardly moves any more, and with nothing else
    sigma = who.sigma[holder] * exp(own_vol + 0.5 * shared.vol[:, None])
    sigma = np.where(bought, _DEAL_SIGMA, sigma)
    beta, loading = np.where(bought, 0.0, who.beta[holder]), np.where(bought, 0.0, 1.0)
    sector, rows = who.sector[holder], np.arange(_BLOCK)[:, None]
    night = _NIGHT * sigma * z_night + told.gap
    night += beta * shared.market_night[:, None] + loading * shared.sectors_night[rows, sector]
    night -= pays_on(who.payout[holder], who.phase[holder], numbers[:, None], conditions.deal, conditions.old)
    own = sigma * z_day
    day = own + beta * shared.market[:, None] + loading * shared.sectors[rows, sector] + told.day
    pull = np.where(bought, 0.0, np.where(small, _PULL[1], _PULL[0]))
    opened, closed = _folded_prices(before.away, pull, night, day)
    level = who.level[holder] + conditions.scale
    days = Days(
        first=block * _BLOCK,
        companies=who,
        holder=holder,
        terms=conditions,
        stories=told,
        opened=opened + level,
        closed=closed + level,
        market=shared.market,
        market_sigma=MARKET_SIGMA * exp(shared.vol),
        sectors=shared.sectors,
        sector_sigma=SECTOR_SIGMA * exp(0.6 * shared.vol),
        own=own,
        own_sigma=sigma,
        busy=exp(busy + _BUSY_WITH * (np.minimum(np.abs(z_day), 3.0) - 0.8) + _BUSY_MARKET * shared.vol[:, None]),
    )
    return days, _State(float(shared.vol[-1]), own_vol[-1], stirred[-1], volume, closed[-1])


def _holders(conditions: Terms) -> tuple[Companies, Ints]:
    """The companies that hold the seats in these sessions, and each seat's place among them."""
    held = enumerate(conditions.generation.T)
    spans = [(seat, range(int(g.min()), int(g.max()) + 1)) for seat, g in held]
    starts = np.cumsum([0] + [len(span) for _, span in spans])[:-1]
    earliest = np.array([span.start for _, span in spans])
    who = companies(tuple((seat, generation) for seat, span in spans for generation in span))
    return who, starts[None, :] + conditions.generation - earliest[None, :]


@dataclass(frozen=True, eq=False)
class _Shared:
    """What all companies of the market or of a sector have in common, by session; `vol` a logarithm."""

    vol: Floats
    market: Floats
    market_night: Floats
    sectors: Floats
    sectors_night: Floats


def _shared(v: Floats, before: _State) -> _Shared:
    new = tent(v[10:12])
    vol = np.empty(len(new))
    last = before.market_vol
    for k, value in enumerate(new.tolist()):
        vol[k] = last = _MARKET_VOL[0] * last + _MARKET_VOL[1] * value
    market = bell(v[0:4]) * np.where(v[8] < _WILD_SHARE, _WILD, 1.0) * MARKET_SIGMA * exp(vol)
    night = bell(v[4:8]) * np.where(v[9] < _WILD_SHARE, _WILD, 1.0) * MARKET_SIGMA * exp(vol) * _NIGHT
    drawn = v[_MARKET:].reshape(8, len(SECTORS), -1)
    sigma = SECTOR_SIGMA * exp(0.6 * vol)[:, None]
    by_day, by_night = bell(drawn[0:4]).T * sigma, bell(drawn[4:8]).T * sigma * _NIGHT
    return _Shared(vol, market, night, by_day, by_night)


def _persistence(z: Floats, news: Flags, u: Floats, before: _State) -> tuple[Floats, Floats, Floats, Floats]:
    """By session and seat: own volatility and volume as logarithms about their mean, and what stirs the next day."""
    stirred = _OWN_VOL[2] * (np.minimum(np.abs(z), 3.0) - 0.8) + _AFTER_NEWS_VOL * news
    lively = _AFTER_NEWS_BUSY * news
    own_new, busy_new = _OWN_VOL[1] * tent(u[0:2]), _BUSY[1] * tent(u[2:4])
    own, busy = np.empty_like(z), np.empty_like(z)
    vol, volume, stir = before.own_vol, before.busy, before.stirred
    for k in range(len(z)):
        own[k] = vol = _OWN_VOL[0] * vol + own_new[k] + stir
        busy[k] = volume = _BUSY[0] * volume + busy_new[k]
        volume = volume + lively[k]
        stir = stirred[k]
    return own, busy, stirred, volume


def _folded_prices(away: Floats, pull: Floats, night: Floats, day: Floats) -> tuple[Floats, Floats]:
    """Each session's open and close as logarithms about the company's level."""
    opened, closed = np.empty_like(night), np.empty_like(night)
    for k in range(len(night)):
        opened[k] = away - pull[k] * away + night[k]
        closed[k] = away = opened[k] + day[k]
    return opened, closed
