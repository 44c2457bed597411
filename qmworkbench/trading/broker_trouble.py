"""A broker whose answers fail again and again: one alert for the whole of it, beside those of the single orders (§12).

Retries and backoff are the adapter's, and idempotency the OMS's; what a person must know is that it does not pass.
"""

from datetime import timedelta
from typing import Final

from qmworkbench.domain.events.orders import SubmitObserved
from qmworkbench.domain.execution import SubmitOutcome
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading.decision import Decision

ALERT: Final = "broker_requests_failing"
WITHIN: Final = timedelta(minutes=5)
REPEATED: Final = 3
_KEY: Final = "broker"


def watch(decision: Decision) -> None:
    """After an input: alarmed from the third lost request within five minutes, over once none was lost for as long."""
    state = decision.state
    if state.session is None or not state.day.requests_lost:
        return
    recent = [at for at in state.day.requests_lost if decision.at - at < WITHIN]
    if not recent:
        decision.all_clear(ALERT, _KEY, f"no request was lost for {WITHIN // timedelta(minutes=1)} min")
        return
    if len(recent) >= REPEATED and any(_lost(event) for event in decision.events):
        decision.alarm(
            ALERT,
            _KEY,
            Priority.P1,
            f"{len(recent)} requests to the broker got no answer within {WITHIN // timedelta(minutes=1)} min",
            "check that retries succeed and that nothing was sent twice (`qm order inspect`); reduce load, or pause",
        )


def _lost(event: object) -> bool:
    return isinstance(event, SubmitObserved) and event.outcome is SubmitOutcome.LOST
