"""Another future: does anything a strategy said change when the bars after it are other bars? (§3)

Truncation takes later bars away, and a rule that asks how long the frame is would pass here and fail there. This
examination leaves as many bars as there were, at their times, and puts others in their place.
"""

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.examination import Examination, Tally, by_symbol, telling_rows, told
from qmworkbench.strategies.parameters import Params

SEED: Final = 20180302
_WIDEST: Final = 0.08
_PRICES: Final = ("open", "high", "low", "close")

Floats = npt.NDArray[np.float64]


def shuffled_future(
    definition: StrategyDefinition, bars: pl.DataFrame, params: Params, cuts: int = 24, seed: int = SEED
) -> Examination:
    """Put other bars in the place of later ones and look whether anything said before them changes.

    `bars` is what `bars.session_bars` builds; each symbol is examined by itself, its future exchanged after up to
    `cuts` telling bars. The same seed gives the same futures, whatever else is examined.
    """
    program = definition.program(params)
    tally = Tally("shuffled future", definition, params, ordered=program.names())
    for symbol, rows in by_symbol(bars):
        whole = told(program, rows)
        if isinstance(whole, str):
            tally.fault(symbol, rows, "", whole, "the bars as they are")
            continue
        for cut in telling_rows(whole, cuts):
            other = told(program, exchanged(rows, cut, seed))
            what = f"other bars after {rows['ts'][cut]}"
            if isinstance(other, str):
                tally.fault(symbol, rows, "", other, what)
            else:
                tally.compare(whole.head(cut + 1), other.head(cut + 1), what)
    return tally.examination()


def exchanged(rows: pl.DataFrame, cut: int, seed: int = SEED) -> pl.DataFrame:
    """One symbol's `rows` with those after `cut` in another order, dearer or cheaper, on other volume.

    Times, sessions and ticks stay; prices stay on tick and each bar keeps low ≤ open, close ≤ high.
    """
    later = len(rows) - cut - 1
    chance = np.random.default_rng([seed, zlib.crc32(str(rows["symbol"][0]).encode()), cut])
    order = chance.permutation(later) + cut + 1
    factor = np.exp(np.cumsum(chance.uniform(-_WIDEST, _WIDEST, later) / max(later, 1) ** 0.5)) * chance.choice(
        [1 - _WIDEST, 1 + _WIDEST]
    )
    tick = float(rows["tick"][0])
    columns = {}
    for name in _PRICES:
        values: Floats = rows[name].to_numpy().copy()
        values[cut + 1 :] = np.maximum(np.round(values[order] * factor / tick), 1) * tick
        columns[name] = values
    volume: Floats = rows["volume"].to_numpy().copy()
    volume[cut + 1 :] = np.ceil(volume[order] * chance.uniform(0.3, 3.0, later))
    return rows.with_columns(*(pl.Series(name, values) for name, values in columns.items()), volume=pl.Series(volume))
