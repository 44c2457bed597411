"""The made-up companies: tickers, names, sectors and sizes, the same for every seed (§6 local: demo feed)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from qmworkbench.market.demo.exact import Floats, Ints, bell, exp, log, stream

SEATS: Final = 400
_SMALL: Final = (2, 5, 8)  # which of ten seats in a row are small companies
# Among the first seats most are, so that a market of few symbols has news every day as well.
_SMALL_AMONG_FIRST, _FIRST = (1, 2, 3, 5, 7, 8), 60
_PURPOSE: Final = 1

# Six letters: US tickers have five at most, so none of these can be mistaken for a listed share.
_HEADS: Final = (
    "ALT BOR CAV DEL ELM FEN GAL HEX IVO JUN KEL LUM MAR NOV ORB PEL QUI ROV SOL TAN UMB VEX WIN XEN YAR ZEP"
).split()
_TAILS: Final = (
    "ANT BIO COR DYN EON FIX GEN HUB ION JET KIN LAB MED NET OPT PAY RAY SYS TEK VOX WAY ZON ARC IDE"
).split()
_NAMES: Final = len(_HEADS) * len(_TAILS)
_STRIDE: Final = 127  # coprime to the number of names, so that none repeats and neighbours look different

SECTORS: Final = (
    "Technology", "Health care", "Consumer", "Industrials", "Energy", "Materials",
    "Financials", "Real estate", "Utilities", "Media", "Transport",
)  # fmt: skip
_TRADES: Final = (
    ("Systems", "Software", "Semiconductor", "Networks"), ("Therapeutics", "Biologics", "Devices", "Diagnostics"),
    ("Brands", "Stores", "Foods", "Leisure"), ("Machines", "Controls", "Aero", "Tools"),
    ("Petroleum", "Drilling", "Solar", "Pipelines"), ("Mining", "Steel", "Chemicals", "Paper"),
    ("Bancorp", "Insurance", "Capital", "Payments"), ("Properties", "Realty", "Towers", "Hotels"),
    ("Power", "Water", "Gas & Light", "Grid"), ("Studios", "Broadcasting", "Games", "Press"),
    ("Airlines", "Rail", "Freight", "Shipping"),
)  # fmt: skip


def ticker(number: int) -> str:
    """The invented ticker of a number; numbers a full round apart have the same."""
    k = number * _STRIDE % _NAMES
    return _HEADS[k // len(_TAILS)] + _TAILS[k % len(_TAILS)]


@dataclass(frozen=True, eq=False)
class Companies:
    """What stays the same of companies over their life, one entry each.

    - `level`: the natural logarithm of the price about which it moves, in dollars; `shares` traded on a usual day;
      `dollars` the two make; `float_shares` that can be traded at all.
    - `sigma`: volatility of its own from open to close on a usual day, `beta` to the market, `sector` into SECTORS.
    - `payout`: a quarterly dividend as a share of the price, 0 for those that pay none; `phase` when, in sessions.
    """

    small: Ints
    sector: Ints
    level: Floats
    shares: Floats
    dollars: Floats
    float_shares: Floats
    sigma: Floats
    beta: Floats
    payout: Floats
    phase: Ints


def is_small(seat: int) -> bool:
    """Whether the seat is one of the small companies that news moves far."""
    return seat % 10 in (_SMALL_AMONG_FIRST if seat < _FIRST else _SMALL)


@lru_cache(maxsize=4096)
def _draws(seat: int, generation: int) -> Floats:
    return stream(_PURPOSE, seat, generation + 1_000_000).random(32)


def companies(holders: tuple[tuple[int, int], ...]) -> Companies:
    """The companies of (seat, generation): each generation of a seat is another company."""
    u = np.array([_draws(seat, generation) for seat, generation in holders]).T
    small = np.array([is_small(seat) for seat, _ in holders])
    size, priced, moves = bell(u[0:4]), bell(u[4:8]), bell(u[8:12])
    dollars = np.where(
        small,
        np.clip(exp(log(1.3e6) + 0.6 * size), 5e5, 3e6),
        np.clip(exp(log(1.48e8) + 1.08 * size), 1.9e7, 5e9),
    )
    level = np.where(
        small, np.clip(log(8.0) + 0.42 * priced, log(4.5), log(22.0)), log(57.0) + 1.05 * priced + 0.2 * size
    )
    level = np.clip(level, log(3.5), log(1200.0))
    shares = dollars / exp(level)
    cheap = np.clip((log(52.0) - level) / log(52.0), -0.5, 1.0)  # low prices move more
    sigma = np.where(small, 0.026 * exp(0.22 * moves), 0.0098 * exp(0.30 * moves + 0.35 * cheap))
    held = np.where(small, 8.0 + 30.0 * u[12], 80.0 + 170.0 * u[12])
    pays = ~small & (u[13] < 0.55)
    return Companies(
        small=small.astype(np.int64),
        sector=(u[14] * len(SECTORS)).astype(np.int64),
        level=level,
        shares=shares,
        dollars=dollars,
        float_shares=np.rint(shares * held / 1e4) * 1e4,
        sigma=sigma,
        beta=np.where(small, 0.5 + 0.8 * u[15], np.clip(1.0 + 0.38 * bell(u[16:20]), 0.2, 2.2)),
        payout=np.where(pays, 0.002 + 0.007 * u[20], 0.0),
        phase=(u[21] * 63).astype(np.int64),
    )


def name_of(symbol: str, seat: int, generation: int) -> str:
    """An invented company name that goes with a ticker and its sector."""
    u = _draws(seat, generation)
    trade = _TRADES[int(u[14] * len(SECTORS))][int(u[22] * 4)]
    return f"{symbol[0]}{symbol[1:].lower()} {trade}"
