"""Minute bars as arrays over symbols, sessions and minutes, to be measured (§5 Data Check)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.demo.exact import Floats
from qmworkbench.market.grid import SECOND_US, micros, moment

MINUTES: Final = 390  # half-days are left out: their shape is another one
_COLUMNS: Final = ("open", "high", "low", "close", "volume", "spread")


@dataclass(frozen=True, eq=False)
class Panel:
    """Regular minute bars as (symbol, session, minute) arrays, NaN where nothing traded.

    `spread` is in price units, None where the bars have no quotes.
    """

    symbols: tuple[str, ...]
    days: tuple[date, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    spread: Floats | None = None

    def of(self, rows: Sequence[int]) -> "Panel":
        """These symbols alone, by their places."""
        at = list(rows)
        columns = (self.open[at], self.high[at], self.low[at], self.close[at], self.volume[at])
        spread = None if self.spread is None else self.spread[at]
        return Panel(tuple(self.symbols[k] for k in at), self.days, *columns, spread)

    def turnover(self) -> Floats:
        """What is traded of each symbol on a middling day on which it was there, in currency."""
        daily: Floats = np.nansum(self.volume * self.close, axis=2)
        return np.asarray(np.nanmedian(np.where(daily > 0, daily, np.nan), axis=1))


def panel_of(bars: pl.DataFrame, calendar: str = "XNYS") -> Panel:
    """The full-length sessions of minute bars in the schema's columns; other rows are left out.

    Raises ValueError where there is no such session.
    """
    market = SessionCalendar(calendar)
    ts = bars["ts"].to_physical().to_numpy()
    if not len(ts):
        raise ValueError("there are no bars to measure")
    between = market.sessions_between(moment(int(ts.min())).date(), moment(int(ts.max())).date())
    hours = [h for h in map(market.session_window, between) if h.length_s == MINUTES * 60]
    opens = np.array([micros(h.opens_at) for h in hours], dtype=np.int64)
    at = np.searchsorted(opens, ts, side="right") - 1
    minute, rest = np.divmod(ts - opens[np.maximum(at, 0)] if len(opens) else ts, 60 * SECOND_US)
    regular = (at >= 0) & (minute < MINUTES) & (rest == 0)
    held = np.unique(at[regular])
    if not len(held):
        raise ValueError(f"there is no full session of {market.name} among the bars")
    names = bars["symbol"].unique().sort()
    symbol = bars["symbol"].cast(pl.Enum(names)).to_physical().to_numpy()[regular].astype(np.int64)
    cell = (symbol * len(held) + np.searchsorted(held, at[regular])) * MINUTES + minute[regular]
    wide = []
    for name in _COLUMNS:
        if name not in bars.columns:
            continue
        flat = np.full(len(names) * len(held) * MINUTES, np.nan)
        flat[cell] = bars[name].to_numpy()[regular]
        wide.append(flat.reshape(len(names), len(held), MINUTES))
    return Panel(tuple(names.to_list()), tuple(hours[k].date for k in held.tolist()), *wide)
