"""The invariants past the platform: what a direct emergency may send, and what a restart owes it (§15, §19)."""

from typing import Final

from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.domain.sessions import TradingState
from qmworkbench.simulation.invariants import Checker
from qmworkbench.simulation.ledger import ZERO
from qmworkbench.trading.state import State

# What the executor has read may be this old when it sends.
_READ_MS: Final = 1_000
_STARTED: Final = b'"emergency.started"'


class DirectChecks:
    """Looks on while somebody liquidates directly. What no record will explain is put on the checker's list."""

    def __init__(self, checker: Checker) -> None:
        self.checker = checker
        self._asked: set[str] = set()
        self._sent: set[str] = set()

    def closing(self, request: OrderRequest, log: bytes, now_ms: int, *, recorded: bool) -> None:
        """A close is about to leave; `log` is what a death at this moment would leave of the fallback log."""
        name, symbol, checker = request.cl_ord_id, request.symbol, self.checker
        demand, truth = checker.demand, checker.truth
        checker.now_ms = now_ms
        demand(request.position_effect is PositionEffect.CLOSE, 6, f"{name} leaves past the platform and opens")
        if recorded:
            demand(name.encode() in log, 1, f"{name} leaves past the platform, and its intent is not on disk")
        else:
            checker.planted.add(symbol)  # nothing of ours will explain it
        resting = {
            other: order
            for other, order in truth.orders.items()
            if order.live and order.symbol == symbol and other != name and order.since_ms <= now_ms - _READ_MS
        }
        left = resting.keys() - self._asked - self._sent
        demand(not left, 10, f"{name} closes {symbol} while {sorted(left)} rest there, and nobody asked to cancel them")
        coming = sum((order.leaves for order in resting.values() if order.sign == request.side.sign), ZERO)
        held = max(abs(qty) for qty in truth.held_since(symbol, now_ms - _READ_MS))
        text = f"{name} closes {request.order_qty} {symbol} beside {coming} that may fill, the broker holds {held}"
        demand(name in self._sent or request.order_qty + coming <= held, 5, text)
        self._sent.add(name)

    def cancelling(self, cl_ord_id: str, *, recorded: bool) -> None:
        """A cancel is about to leave."""
        self._asked.add(cl_ord_id)
        order = self.checker.truth.orders.get(cl_ord_id)
        if order is not None and not recorded:
            self.checker.planted.add(order.symbol)

    def taken_over(self, log: bytes, state: State, now_ms: int) -> None:
        """A platform starts with this fallback log: an emergency that is on it keeps the book HALTED."""
        self.checker.now_ms = now_ms
        if _STARTED in log.rpartition(b"\n")[0]:  # a line that a death cut off says nothing
            after = state.halt.state
            self.checker.demand(after is TradingState.HALTED, 10, f"after a direct emergency the book is {after}")
