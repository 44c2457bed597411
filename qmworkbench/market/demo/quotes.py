"""Spreads: how far bid and ask lie apart at the end of a minute, in whole ticks (§9 scanner, slippage)."""

from typing import Final

import numpy as np

from qmworkbench.market.demo.exact import Floats

_USUAL: Final = 2.2e-4  # of the price, for two hundred million dollars a day and a usual volatility
_LARGE: Final = 2.0e8
_USUAL_SIGMA: Final = 0.016
_OPENING: Final = 1.6


def usual_spread(dollars: Floats, sigma: Floats) -> Floats:
    """Bid to ask at midday, as a share of the price: it goes with the roots of volatility and of one over turnover."""
    found: Floats = _USUAL * np.sqrt(_LARGE / np.maximum(dollars, 1e4)) * np.sqrt(sigma / _USUAL_SIGMA)
    return found


def spreads(usual: Floats, cents: Floats, excited: Floats, u: Floats) -> Floats:
    """The quoted spread in whole cents, at least one; `cents` the price by (seat, minute), `u` uniforms likewise."""
    since = np.arange(cents.shape[1]) + 0.5
    times = 1.0 + _OPENING / (1.0 + since / 8.0)
    wide = usual[:, None] * cents * times * (1.0 + 0.8 * excited) * (0.7 + 0.6 * u)
    found: Floats = np.maximum(np.rint(wide), 1.0)
    return found
