"""What is kept beside the state, to be asked for again, is what the state alone would answer: after every step."""

from dataclasses import dataclass, field

import pytest

from qmworkbench.domain.events import Event, Input
from qmworkbench.domain.events.orders import OrderIntended
from qmworkbench.domain.limits import Limits
from qmworkbench.trading import risk
from qmworkbench.trading.state import State, decode_state, encode_state
from tests.trading.risk_cases import an_entry
from tests.trading.world import Faults, World

CURRENCIES = ("USD", "JPY", "CHF", "GBP", "EUR", "XXX")


def told(state: State) -> tuple[object, ...]:
    """Everything that is kept beside it, asked for twice: made, and remembered."""
    intent = an_entry(symbol=sorted(state.day.instruments)[0], strategy_id=next(iter(state.day.runs)))
    answers = [
        (
            [state.rate(currency) for currency in CURRENCIES],
            state.unrealized_pnl(),
            state.day_pnl(),
            [str(verdict) for verdict in risk.judge(state, intent)],
        )
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    return answers[0]


@dataclass
class Doubted(World):
    """Holds what the live state answers against a state that was never asked before."""

    intents_seen: int = field(default=0, init=False)

    def feed(self, given: Input) -> list[Event]:
        step = self.kernel.step

        def doubted(one: Input) -> list[Event]:
            events = step(one)
            self.intents_seen += sum(isinstance(event, OrderIntended) for event in events)
            if events and self.state.session is not None:
                assert told(self.state) == told(decode_state(encode_state(self.state)))
            return events

        self.kernel.step = doubted  # type: ignore[method-assign]
        try:
            return super().feed(given)
        finally:
            self.kernel.step = step  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", range(4))
def test_the_live_state_answers_as_one_that_was_never_asked(seed: int) -> None:
    faults = Faults(lost_ack=0.1, refused=0.05) if seed % 2 else Faults()
    limits = Limits(entry_cutoff_min=1, max_trades_per_day=100)
    world = Doubted(seed=seed, boundaries=16, faults=faults, limits=limits, signal_rate=0.6, shared=seed > 1)
    world.run()
    assert world.intents_seen
