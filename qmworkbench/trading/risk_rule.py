"""What a risk rule is: a question about one intended order, answered with a verdict (§11)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.orders import Leg, PositionEffect
from qmworkbench.trading.exposure import Exposure, in_account
from qmworkbench.trading.state import State

_OPEN: Final = PositionEffect.OPEN  # bound once: finding it in its enum costs several times what comparing it does


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy or an exit rule wants to send, before anybody allowed it."""

    request: OrderRequest
    strategy_id: str
    leg: Leg
    decision_px: Decimal
    stop_px: Decimal | None = None

    @property
    def is_entry(self) -> bool:
        return self.request.position_effect is _OPEN


class Case:
    """One intended order before its rules, with what several of them look at: made once, and changed by nobody.

    `instrument` and `rate` (account currency for one of the instrument's) are None where unknown. `notional` is what
    the order is worth at the price it was decided on, in account currency; None without a rate.
    """

    __slots__ = (
        "_exposure",
        "_side_value",
        "day",
        "instrument",
        "intent",
        "limits",
        "notional",
        "px",
        "rate",
        "request",
        "state",
        "texts",
    )

    def __init__(self, state: State, intent: Intent) -> None:
        self.state, self.intent, self.request, self.px = state, intent, intent.request, intent.decision_px
        self.day = day = state.day
        self.limits = day.limits
        self.texts = day.limits.texts
        self.instrument = day.instruments.get(intent.request.symbol)
        self.rate = None if self.instrument is None else state.rate(self.instrument.currency)
        self.notional = None if self.rate is None else in_account(intent.request.order_qty * self.px, self.rate)
        self._exposure: Exposure | None = None
        self._side_value: Decimal | None = None

    @property
    def side_value(self) -> Decimal | None:
        """What the symbol's side that the order would enlarge is worth with it; None without a rate."""
        if self._side_value is None and self.notional is not None:
            held = self.exposure.value(self.request.side)
            self._side_value = None if held is None else held + self.notional
        return self._side_value

    @property
    def exposure(self) -> Exposure:
        """What is held and on its way at worst, without this order."""
        if self._exposure is None:
            intent = self.intent
            self._exposure = Exposure(self.state, intent.strategy_id, self.request.symbol, self.px, self.rate)
        return self._exposure


class Rule(NamedTuple):
    """A stable code and the question behind it."""

    code: str
    ask: Callable[[Case], RuleVerdict]


def rule(code: str) -> Callable[[Callable[[Case], RuleVerdict]], Rule]:
    """Makes a function of a case the rule of that code."""

    def made(ask: Callable[[Case], RuleVerdict]) -> Rule:
        return Rule(code, ask)

    return made


def verdict(code: str, passed: bool, value: Any, limit: Any) -> RuleVerdict:
    """A rule's answer with value and limit as the journal keeps them."""
    return RuleVerdict(code, passed, str(value), str(limit))
