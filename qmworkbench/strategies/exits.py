"""The exit plan that travels with an entry: stop, target, trailing stop and time limit as data (§10, FILLS "Stops")."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qmworkbench.strategies.parameters import Params, number, whole
from qmworkbench.strategies.ticks import level_above, level_below

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Entries:
    """The bars at which a strategy enters, as arrays side by side.

    `long` tells longs from shorts; `close` is the deciding close, `tick` the symbol's price increment; `features` are
    the strategy's own, by name.
    """

    long: Bools
    close: Floats
    tick: Floats
    features: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class ExitPlan:
    """How the positions of some entries will end.

    `stop` and `target` are price levels on tick, one for each entry, NaN for none. `trail_bps` and `max_hold_bars`
    are whole numbers above zero, None for none.
    """

    stop: Floats
    target: Floats
    trail_bps: int | None = None
    max_hold_bars: int | None = None


def levels_behind(entries: Entries, below: Floats, over: Floats) -> Floats:
    """Levels on the losing side of the close, rounded away from it: longs take `below`, shorts `over`."""
    close, tick = entries.close, entries.tick
    return np.where(entries.long, level_below(below, close, tick), level_above(over, close, tick))


def levels_ahead(entries: Entries, over: Floats, below: Floats) -> Floats:
    """Levels on the winning side of the close, rounded away from it: longs take `over`, shorts `below`."""
    close, tick = entries.close, entries.tick
    return np.where(entries.long, level_above(over, close, tick), level_below(below, close, tick))


def exit_plan(entries: Entries, stop: Floats, params: Params) -> ExitPlan:
    """The plan of a stop and the parameters `target_r`, `trail_bps` and `max_hold_bars`, in which 0 means none.

    The target lies `target_r` times the risk beyond the deciding close.
    """
    multiple = number(params, "target_r")
    reach = entries.close + multiple * (entries.close - stop)
    return ExitPlan(
        stop=stop,
        target=levels_ahead(entries, reach, reach) if multiple else np.full(len(stop), np.nan),
        trail_bps=whole(params, "trail_bps") or None,
        max_hold_bars=whole(params, "max_hold_bars") or None,
    )
