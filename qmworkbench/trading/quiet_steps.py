"""Steps after which nothing needs to be looked at again: most of what a broker says (§13, DESIGN "Kernel").

After every input the standing watches look at the whole book. When one has just looked at this very moment, and then an
order is sent, acknowledged or fills a little more, hardly anything a watch depends on has changed: no time has passed,
nothing is halted, alarmed or in question, and the position the order belongs to is not being left. What has changed is
exposure, and there the daily loss is still held against its limit, fill by fill: the open P&L of all else is
remembered, that of the symbol made anew. Near the limit, and whenever anything is out of the ordinary, everything is
looked at as always.

What is remembered lives between two steps of one moment, and is forgotten by any other. Without it the same events come
out, only later: a test plays days both ways.
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.trading import watchlist
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import State, position_key

# The remembered sum may differ from a fresh one in its last digits: this close to the limit it is not trusted.
_NEAR: Final = Decimal("0.99")
# Bound once: finding a member in its enum costs several times what comparing it does (Python 3.11).
_TRADES: Final = Phase.MARKET_SESSION
_ACTIVE: Final = TradingState.ACTIVE


class QuietSteps:
    """Whether the watches can be spared after a step; one for each kernel."""

    def __init__(self) -> None:
        self._open_pnl: dict[str, Decimal] = {}
        self._total: Decimal | None = None

    def forget(self) -> None:
        """Something else happened: prices, holdings or the session may be another."""
        self._total = None

    def settles(self, decision: Decision) -> bool:
        """Whether nothing is left to look at after this step."""
        state = decision.state
        if not decision.quiet or decision.want_reconciliation or not _ordinary(state):
            return False
        if state.leaving and position_key(decision.quiet_owner, decision.quiet) in state.leaving:
            return False  # its exit may go a step further
        if not decision.exposure_moved:
            return True
        if state.alerts:
            return False  # one of them may have had its answer
        symbol = decision.quiet
        if not self._far_from_the_daily_loss(state, symbol):
            return False
        watchlist.follow_position(decision, symbol)
        return True

    def _far_from_the_daily_loss(self, state: State, symbol: str) -> bool:
        most = state.day.max_loss
        if most is None:
            return True
        if self._total is None and not self._summed(state):
            return False
        now = _open_pnl(state, symbol)
        if now is None or self._total is None:
            return False
        self._total += now - self._open_pnl.get(symbol, ZERO)
        self._open_pnl[symbol] = now
        day = state.day
        pnl = day.net_realized_pnl + day.activity_pnl + self._total - day.start_unrealized - day.fees
        return pnl > -most * _NEAR

    def _summed(self, state: State) -> bool:
        self._open_pnl, total = {}, ZERO
        for symbol in state.net:
            open_pnl = _open_pnl(state, symbol)
            if open_pnl is None:
                return False
            self._open_pnl[symbol] = open_pnl
            total += open_pnl
        self._total = total
        return True


def _open_pnl(state: State, symbol: str) -> Decimal | None:
    """Open P&L of one symbol in account currency; None where a mark or rate is missing."""
    return state.open_pnl(symbol) if symbol in state.net else ZERO


def _ordinary(state: State) -> bool:
    """The session trades, and nothing is halted, recovered or in question."""
    day = state.session
    return (
        day is not None
        and day.phase is _TRADES
        and state.halt.state is _ACTIVE
        and not (state.emergency or day.ending or day.recovering or day.critical_down)
        and state.contradicted_since is None
        and state.feed_since is None
    )
