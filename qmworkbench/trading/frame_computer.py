"""What a boundary's bars come to: radar, scan, signals of owned symbols and marks, as one pure computation (§9, DESIGN "Frames").

The kernel never sees a frame. It says what it wants to know (`request_for`), this computes it beside the loop, and the answer
goes back in as FrameComputed. Frames come in order and each once, because radar and signals grow with the session.
"""

from dataclasses import dataclass
from typing import Final

from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.scanner import ScanConditions
from qmworkbench.trading.state import State, position_key
from qmworkbench.trading.watchlist import is_active

BEFORE_OPEN: Final = "regular trading has not begun"


@dataclass(frozen=True)
class FrameRequest:
    """What the kernel's state wants to know of the next frame, taken at one moment and immutable.

    `owned`: (strategy_id, symbol) pairs that signals are computed for, sorted. `exposed`: position keys with something
    held or worked, for which exits matter. `marked`: symbols whose price is needed, sorted.
    """

    owned: tuple[tuple[str, str], ...]
    exposed: frozenset[str]
    marked: tuple[str, ...]
    conditions: ScanConditions


def request_for(state: State) -> FrameRequest:
    """The request of a state between two inputs."""
    day = state.day
    running = {strategy_id for strategy_id, run in day.runs.items() if not run.ended}
    working = state.working()
    pairs = {(owner.strategy_id, symbol) for symbol, owner in day.assignments.items()}
    pairs |= {(held.strategy_id, held.symbol) for held in state.positions.values()}
    symbols = {symbol for _, symbol in pairs} | {order.symbol for order in working}
    symbols |= {symbol for symbol in day.watchlist if is_active(state, symbol)}
    exposed = {position_key(order.strategy_id, order.symbol) for order in working} | state.positions.keys()
    halt = state.halt
    entries_reason = day.entries_held
    if not entries_reason and halt.state is not TradingState.ACTIVE:
        entries_reason = f"{halt.state.shown}: {halt.reason}"
    return FrameRequest(
        owned=tuple(sorted(pair for pair in pairs if pair[0] in running)),
        exposed=frozenset(exposed),
        marked=tuple(sorted(symbols)),
        conditions=ScanConditions(
            blocked=tuple(sorted(state.blocked)),
            entries_open=not entries_reason,
            entries_reason=entries_reason,
            feed_ok=state.feed is FeedState.GOOD,
            feed_reason="" if state.feed is FeedState.GOOD else f"{state.feed}: {state.feed_detail}",
        ),
    )
