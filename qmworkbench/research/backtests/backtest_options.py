"""How a backtest is done: where it fills, what it leaves out, who is served first, which engine (§2, FILLS)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qmworkbench.domain.corporate_actions import CorporateAction

Rank = Literal["symbol", "turnover"]


@dataclass(frozen=True)
class Options:
    """How a backtest is done.

    `fill`: "next_open", or by name "signal_close": the deciding bar's own close, a price that nobody who decided by it
    could have had. `reverse`: an opposite entry turns a position round, else it closes it. `stops` False leaves a
    strategy's stop, target, trail and time limit out. `rank`: who is served first at one open, "symbol" by name or
    "turnover" by the value traded so far in the session. `end`: what is held when the bars end is valued and kept,
    "held", or sold at the last bar's open, "last_open". `engine` simulates the fills. `actions` and `as_printed` are
    those of period_bars.read_period.
    """

    fill: Literal["next_open", "signal_close"] = "next_open"
    reverse: bool = False
    stops: bool = True
    rank: Rank = "symbol"
    end: Literal["held", "last_open"] = "held"
    engine: Literal["kernel", "vectorbt-rust", "vectorbt-numba"] = "kernel"
    actions: Sequence[CorporateAction] = ()
    as_printed: bool = False
