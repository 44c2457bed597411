"""The world of world.py as the halt rules see it: replaces carried out, frames of the broker lost, and three things
watched at every send: what it may add, what a close may close, and who else could still close it (§15, §23).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain import commands
from qmworkbench.domain.events import Event, Input, decode
from qmworkbench.domain.events.control import CommandReceived, EmergencyStarted, TradingStateChanged
from qmworkbench.domain.events.market import FeedChanged, FeedState
from qmworkbench.domain.events.orders import ExecutionReported, OrderIntended, ReplaceObserved
from qmworkbench.domain.events.reconciliation import (
    ReconciliationCompleted,
    ReconciliationResult,
    ReconciliationStarted,
)
from qmworkbench.domain.events.session import HealthObserved, SessionOpened
from qmworkbench.domain.execution import ExecType, ExecutionReport, OrderRequest
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Leg, PositionEffect
from qmworkbench.domain.safety import HaltPolicy, HaltSettings
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.effects import Effect, ReplaceOrder, SubmitOrder
from tests.trading.world import OPEN, World

UP = {"AAA": (20.0, 20.5, 19.9, 20.2)}
YES = {"cause_understood": True, "internal_state_repaired": True, "risk_controls_verified": True}


@dataclass
class Halts(World):
    """`policies` and `settings` go into the session; reports whose exec_id `loses` names never come by the stream."""

    policies: tuple[HaltPolicy, ...] = ()
    settings: HaltSettings = field(default_factory=HaltSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.loses: set[str] = set()
        self.sends: list[OrderRequest] = []

    def survive(self, given: Input | None) -> list[Event]:
        if isinstance(given, SessionOpened):
            given = msgspec.structs.replace(given, halt_policies=self.policies, halt_settings=self.settings)
        return super().survive(given)

    def _heard(self) -> list[Input]:
        heard = super()._heard()
        if not self.loses:
            return heard
        reports = [e for e in heard if isinstance(e, ExecutionReported) and e.report.exec_id not in self.loses]
        return [*reports, *(e for e in heard if reports and not isinstance(e, ExecutionReported))]

    def _answer(self, effect: Effect) -> list[Input]:
        if isinstance(effect, SubmitOrder):
            self._look_at(effect.request)
        if isinstance(effect, ReplaceOrder):
            asked = effect.request
            outcome, detail = self._request(lambda: self.broker.replace(asked))
            told = ReplaceObserved(
                at=self.at(), order=effect.order, cl_ord_id=asked.cl_ord_id, outcome=outcome, detail=detail
            )
            return [told]
        return super()._answer(effect)

    def _look_at(self, request: OrderRequest) -> None:
        self.sends.append(request)
        opens = request.position_effect is PositionEffect.OPEN
        assert not (opens and self.state.halt.state is not TradingState.ACTIVE), "risk was added while halted"
        order = self.state.orders[request.cl_ord_id]
        if order.leg is Leg.LIQUIDATE:
            held = next((p.qty for p in self.exchange.positions() if p.symbol == request.symbol), Decimal(0))
            assert request.side.sign * held < 0, f"a close of {request.symbol} that closes nothing: {held}"
            assert request.order_qty <= abs(held) - self._others(request), "a liquidation above the broker's position"

    def _others(self, request: OrderRequest) -> Decimal:
        """What orders at the broker could still close on the same side; legs of one entry cancel each other."""
        largest: dict[str, Decimal] = {}
        for order in self.exchange.open_orders():
            if order.symbol == request.symbol and order.side is request.side:
                name = order.parent_id or order.cl_ord_id
                largest[name] = max(largest.get(name, Decimal(0)), order.leaves_qty)
        return sum(largest.values(), Decimal(0))

    # --- what tests say in one word -----------------------------------------------------------------------------

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.record() if isinstance(event, kind)]

    def record(self) -> list[Event]:
        return [decode(line) for line in self.journal]

    def enter(self, symbol: str = "AAA", strategy_id: str = "") -> None:
        """A signal to buy now; the order fills at the next bar."""
        number = self.state.day.boundary + 1
        close = Decimal(str(self.px[symbol]))
        row = self.row(symbol, strategy_id, entry_long=True, stop_px=close - 3, target_px=close + 3)
        self.boundary(number, [row], {symbol: (self.px[symbol],) * 4})

    def quiet(self, count: int = 1) -> None:
        """Boundaries with nothing to say and prices that stand still."""
        for _ in range(count):
            still = {symbol: (self.px[symbol],) * 4 for symbol in self.symbols}
            self.boundary(self.state.day.boundary + 1, [], still)

    def feed_is(self, state: FeedState, detail: str = "as the test says") -> None:
        self.survive(FeedChanged(at=self.at(), state=state, detail=detail))

    def health(self, *down: str) -> None:
        self.survive(HealthObserved(at=self.at(), critical_down=down))

    def emergency(self, reason: str = "drill") -> None:
        self.command(commands.EmergencyLiquidateAndHalt(reason=reason))

    def resume(self) -> list[Event]:
        return self.command(commands.Resume(reason="go on", incident="as the test says", **YES))

    def last_trade(self, symbol: str) -> ExecutionReport:
        trades = [r for r in self.exchange.reports(0) if r.exec_type is ExecType.TRADE and r.symbol == symbol]
        return trades[-1]


def trading(**kwargs: Any) -> Halts:
    """A session that trades, with nothing held yet."""
    given = {"limits": Limits(entry_cutoff_min=1), "unattended": False} | kwargs
    world = Halts(**given)
    world.open(OPEN)
    world.quiet()
    return world


def holding(symbol: str = "AAA", **kwargs: Any) -> Halts:
    """A session that holds a symbol long, stop, target and close resting."""
    world = trading(**kwargs)
    world.enter(symbol)
    world.quiet()
    assert world.state.net_qty(symbol) > 0
    return world


def left_halts(record: list[Event]) -> Iterator[tuple[TradingStateChanged, bool]]:
    """Each time the book became ACTIVE: whether a comparison that was asked for after the last cause had passed, and a
    person's resume stood before it.
    """
    asked = passed = resumed = False
    for event in record:
        if isinstance(event, CommandReceived):
            resumed = isinstance(event.command, commands.Resume)
        elif isinstance(event, ReconciliationStarted):
            asked = True
        elif isinstance(event, ReconciliationCompleted):
            clean = event.result in (ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED)
            passed = asked and clean and not event.unresolved
        elif isinstance(event, TradingStateChanged) and event.scope == "book":
            if event.after is TradingState.ACTIVE:
                yield event, passed and resumed
            asked = passed = False


def entries_after_an_emergency(record: list[Event]) -> list[str]:
    """Orders that add risk, intended while an emergency's halt stood."""
    found, halted = [], False
    for event in record:
        if isinstance(event, EmergencyStarted):
            halted = True
        elif isinstance(event, TradingStateChanged) and event.scope == "book":
            halted &= event.after is not TradingState.ACTIVE
        elif halted and isinstance(event, OrderIntended) and event.request.position_effect is PositionEffect.OPEN:
            found.append(event.request.cl_ord_id)
    return found
