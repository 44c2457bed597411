"""What strategies that buy within one session share: when an entry may be made, how far its stop may lie (§10)."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.exits import Entries, levels_behind
from qmworkbench.strategies.indicators import Indicator
from qmworkbench.strategies.parameters import ParameterSpec, Params, bounded, number, whole

Floats = npt.NDArray[np.float64]

# A share of a price is computed and carries noise of some 1e-16 of it; a tick is 1e-7 of the dearest price there is.
_NOISE: Final = 1e-9


def setting_parameters(*, last_entry_bar: int, min_bars_left: int) -> tuple[ParameterSpec, ...]:
    """The parameters `setting` reads."""
    return (
        bounded("last_entry_bar", last_entry_bar, 2, 1440, "bars", "last bar of the session to decide an entry at"),
        bounded("min_bars_left", min_bars_left, 1, 1440, "bars", "boundaries that must still come for an entry"),
        bounded("min_turnover", 1_000_000.0, 0.0, 1e10, "currency", "worth traded in the session so far"),
        bounded("min_price", 2.0, 0.0, 1e6, "currency", "lowest close at which to enter"),
        bounded("atr_bars", 14, 2, 120, "bars", "bars of the session's average true range"),
    )


def exit_parameters(*, target_r: float, max_hold_bars: int) -> tuple[ParameterSpec, ...]:
    """The parameters `stop_under` and `exits.exit_plan` read."""
    return (
        bounded("stop_atr", 6.0, 0.5, 50.0, "×", "farthest stop, in average true ranges from the close"),
        bounded("min_stop_bps", 50.0, 0.0, 1000.0, "bps", "nearest stop, of the close"),
        bounded("target_r", target_r, 0.0, 50.0, "×", "target in multiples of the risk; 0 for none"),
        bounded("trail_bps", 0, 0, 5000, "bps", "trailing stop below the peak since entry; 0 for none"),
        bounded("max_hold_bars", max_hold_bars, 0, 1440, "bars", "bars after which a position is closed; 0: no limit"),
    )


def setting(params: Params, turnover: Indicator) -> tuple[pl.Expr, ...]:
    """What must hold for any entry: the time of the session, price, turnover, and bars enough for the stop's ATR."""
    return (
        pl.col.bar <= whole(params, "last_entry_bar"),
        pl.col.bars_left >= whole(params, "min_bars_left"),
        pl.col.close >= number(params, "min_price"),
        turnover.col >= number(params, "min_turnover"),
        ind.since(whole(params, "atr_bars") - 1, ind.SESSION),
    )


def every(*conditions: pl.Expr) -> pl.Expr:
    """Whether all conditions hold; one that cannot be judged yet does not."""
    return pl.all_horizontal(conditions).fill_null(False)


def reaches(px: pl.Expr, share: float, level: pl.Expr) -> pl.Expr:
    """px >= share * level, where a tie is a tie whatever the last bits of the product."""
    return px >= share * (1 - _NOISE) * level


def within(px: pl.Expr, share: float, level: pl.Expr) -> pl.Expr:
    """px <= share * level, where a tie is a tie whatever the last bits of the product."""
    return px <= share * (1 + _NOISE) * level


def stop_under(entries: Entries, level: Floats, params: Params) -> Floats:
    """A tick under `level`, but no farther than `stop_atr` ATR and no nearer than `min_stop_bps`, on tick.

    Needs the feature f_atr.
    """
    close = entries.close
    nearest = close * (number(params, "min_stop_bps") / 1e4)
    farthest = np.maximum(number(params, "stop_atr") * entries.features["f_atr"], nearest)
    below = np.minimum(np.maximum(level - entries.tick, close - farthest), close - nearest)
    return levels_behind(entries, below, close)
