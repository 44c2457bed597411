"""The quality of market data is a state: it blocks entries by itself and lets them pass again by itself (§12).

| state | entries | exits by signal | entry orders at the broker |
|---|---|---|---|
| good | pass | run | work |
| gapped | blocked | run | work |
| stale, mute, disconnected | blocked | none are made from bars that do not come | cancelled |
| crossed | blocked | none: what comes cannot be believed | cancelled |

What rests at the broker protects positions throughout. Trouble that lasts is no longer this state's alone: it becomes a
condition of §23 (trading/must_halt.py), and that one only a person lifts.
"""

from typing import Final

from qmworkbench.domain.events.market import FeedChanged, FeedState
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_entries
from qmworkbench.trading.state import State

ALERT: Final = "market_data_disconnect"
_KEY: Final = "feed"
_REMEDY: Final[dict[FeedState, str]] = {
    FeedState.STALE: "confirm that reconnects are running; halt if it lasts (§12)",
    FeedState.GAPPED: "entries pass again with the next whole boundary; look for the gap's cause if it comes back",
    FeedState.DISCONNECTED: "confirm that reconnects are running; halt if it lasts (§12)",
    FeedState.MUTE: "heartbeats are no prices: subscribe anew, or reconnect",
    FeedState.CROSSED: "do not judge exits by these prices; compare with another source, halt if it lasts",
}


def trusted(state: State) -> bool:
    """Whether market data may be decided on."""
    return state.feed is FeedState.GOOD


def why_silent(state: State) -> str:
    """What the scanner says while it emits nothing on account of the feed; "" while data is good."""
    return "" if trusted(state) else f"{state.feed}: {state.feed_detail}"


def on_changed(decision: Decision, event: FeedChanged) -> None:
    """Alarmed while it lasts, each kind of trouble by its own words; over once data is good."""
    decision.emit(event)
    if event.state is FeedState.GOOD:
        decision.all_clear(ALERT, _KEY, "market data is good again")
        return
    decision.all_clear(ALERT, _KEY, f"it is {event.state} now")
    decision.alarm(
        ALERT,
        _KEY,
        Priority.P1,
        f"market data is {event.state}: {event.detail}; entries are blocked until it is good again",
        _REMEDY[event.state],
    )
    if event.state is not FeedState.GAPPED and decision.state.session is not None:
        cancel_entries(decision, f"market data is {event.state}")
