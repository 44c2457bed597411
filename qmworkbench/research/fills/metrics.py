"""The figures of a simulated symbol, in Python: annualised, named, and the curve behind them (FILLS §8).

The arithmetic is `measure`'s, the same that a sweep runs compiled; here is what a result says and how it ranks.
"""

import math
from typing import Final

import numpy as np

from qmworkbench.research.fills.fill_kernel import rows_of, session_ends
from qmworkbench.research.fills.fill_walk import AT, FEE, PX, SIGNED, Scratch
from qmworkbench.research.fills.measure import FIGURES, Figure, measure
from qmworkbench.research.fills.tape import Fills, Floats, Tape

SESSIONS_A_YEAR: Final = 252


def bars_a_year(bars_a_session: int, sessions_a_year: int = SESSIONS_A_YEAR) -> int:
    """How many bars a year has: sessions times a session's boundaries, never the calendar's minutes."""
    if bars_a_session < 1 or sessions_a_year < 1:
        raise ValueError(f"{bars_a_session} bars a session, {sessions_a_year} sessions a year; give 1 or more of both")
    return bars_a_session * sessions_a_year


def figures(tape: Tape, fills: Fills, cash: float) -> Floats:
    """The row of measure.Figure for these fills on an account that begins with `cash`; Sharpe per bar.

    A portfolio of vectorbt with the same fills has the same figures to nine digits, if the cash is not far above what
    the positions cost: a hundred million times as much costs it the digits of its Sharpe ratio.
    """
    told = np.full(FIGURES, np.nan)
    measure(rows_of(tape), written(fills), len(fills), cash, told, np.empty(0))
    return told


def session_equity(tape: Tape, fills: Fills, cash: float) -> Floats:
    """The equity at each session's last close, that of a session the data break off in at the last one there is."""
    ends = np.unique(np.minimum(session_ends(tape), len(tape) - 1))
    told = np.empty(len(ends))
    measure(rows_of(tape), written(fills), len(fills), cash, np.empty(FIGURES), told)
    return told


def equity(tape: Tape, fills: Fills, cash: float) -> Floats:
    """The account at every close: cash, and what is held at the close."""
    flow, bought = np.zeros(len(tape)), np.zeros(len(tape))
    np.add.at(flow, fills.at, -fills.qty * fills.px - fills.fee)
    np.add.at(bought, fills.at, fills.qty)
    owned = np.cumsum(bought)
    owned[np.abs(owned) < 1e-9] = 0.0
    return np.asarray(cash + np.cumsum(flow) + owned * tape.close, np.float64)


def sharpe_a_year(per_bar: float, bars: int) -> float:
    """A Sharpe ratio per bar as one a year of `bars` bars; inf and NaN stay what they are."""
    return per_bar * math.sqrt(bars)


def rankable(figure: float) -> float | None:
    """A figure as it enters a ranking: inf (no loss, no variance) and NaN (no trade) both rank as missing, None."""
    return float(figure) if math.isfinite(figure) else None


def named(row: Floats) -> dict[str, float | None]:
    """A row of figures by lower-case name, None where a figure is not defined."""
    return {figure.name.lower(): rankable(row[figure]) for figure in Figure}


def written(fills: Fills) -> Scratch:
    """Fills as compiled code reads them."""
    out = Scratch(what=np.zeros((4, len(fills) + 1), np.int64), money=np.zeros((3, len(fills) + 1)))
    out.what[AT, :-1] = fills.at
    for place, column in ((SIGNED, fills.qty), (PX, fills.px), (FEE, fills.fee)):
        out.money[place, :-1] = column
    return out
