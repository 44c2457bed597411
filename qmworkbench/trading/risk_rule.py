"""What a risk rule is: a question about one intended order, answered with a verdict (§11)."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.orders import Leg, PositionEffect
from qmworkbench.trading.state import State


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy or an exit rule wants to send, before anybody allowed it."""

    request: OrderRequest
    strategy_id: str
    leg: Leg
    decision_px: Decimal
    stop_px: Decimal | None = None

    @property
    def is_entry(self) -> bool:
        return self.request.position_effect is PositionEffect.OPEN


Rule = Callable[[State, Intent], RuleVerdict]


def verdict(code: str, passed: bool, value: object, limit: object) -> RuleVerdict:
    """A rule's answer with value and limit as the journal keeps them."""
    return RuleVerdict(code=code, passed=passed, value=str(value), limit=str(limit))
