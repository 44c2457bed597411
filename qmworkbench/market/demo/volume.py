"""How many shares change hands in a minute, and in which minutes nobody trades (§6 local: demo feed)."""

from typing import Final

import numpy as np

from qmworkbench.market.demo.exact import Flags, Floats, exp, tent, total

_NOISE: Final = 0.62
_CLUSTER: Final = (0.90, 0.17)
_WITH_MOVE: Final = 0.66
_EXCITED: Final = 5.0
_USUAL_TRADE: Final = 130.0  # shares of a trade at a hundred dollars a share


def shape(minutes: int) -> Floats:
    """Volume over the day as a multiple of midday's: high at the open, highest at the close."""
    since, left = np.arange(minutes) + 0.5, minutes - np.arange(minutes) - 0.5
    opening = 2.6 / (1.0 + since / 1.5) + 1.9 / (1.0 + since / 60.0)
    closing = 27.0 / (1.0 + left * left / 0.6) + 5.2 / (1.0 + left / 9.0) + 0.6 / (1.0 + left / 60.0)
    made: Floats = 0.24 + opening + closing
    return made


def shares(daily: Floats, noise: Floats, excited: Floats, u: Floats) -> Floats:
    """Shares by (seat, minute) if there is trade; `daily` a seat's whole day, `noise` the size of the minute's move.

    `u` holds four lanes of uniforms.
    """
    minutes = noise.shape[1]
    bend = shape(minutes)
    usual = daily[:, None] * (bend / float(total(bend)))
    fresh = _CLUSTER[1] * tent(u[0:2])
    lively = np.empty(noise.shape)
    level = np.zeros(noise.shape[0])
    for k in range(minutes):
        lively[:, k] = level = _CLUSTER[0] * level + fresh[:, k]
    logs = lively + _NOISE * tent(u[2:4]) + _WITH_MOVE * (np.minimum(noise, 3.0) - 0.8)
    stirred = 1.0 + _EXCITED * excited
    stirred = stirred * (minutes / total(stirred)[:, None])
    found: Floats = usual * exp(logs) * stirred
    return found


def traded(wanted: Floats, price: Floats, u: Floats) -> Flags:
    """In which minutes there is at least one trade, where trades come by chance; `u` is one lane of uniforms."""
    size = _USUAL_TRADE * np.minimum(np.sqrt(100.0 / price), 8.0)
    return u >= exp(-np.minimum(wanted / size, 40.0))
