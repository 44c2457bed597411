"""A desk for tests of order management: one working order, and a broker that says whatever the test wants.

The kernel is stepped by hand, nothing is carried out at a venue: what it asks for is returned as effects.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain.events import Event, Input
from qmworkbench.domain.events.control import AlertRaised, ClockTicked
from qmworkbench.domain.events.orders import ExecutionReported, OrderQueried, ReportQuarantined, SubmitObserved
from qmworkbench.domain.execution import BrokerOrder, ExecType, ExecutionReport, SubmitOutcome
from qmworkbench.domain.orders import Leg, Order, OrderStyle, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.trading.effects import Effect, effects_of
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.state import State, decode_state, encode_state
from tests.trading.test_kernel_rules import EARLY, intents, opened
from tests.trading.world import World

D = Decimal
RESTING = OrderStyle(entry_type=OrdType.LIMIT, entry_time_in_force=TimeInForce.DAY)


@dataclass
class Desk:
    """`order` is a long entry of 100 AAA at 20.00 or near, SUBMITTED unless the desk was asked for more."""

    world: World
    order: Order
    said: int = 0
    events: list[Event] = field(default_factory=list)

    @property
    def state(self) -> State:
        return self.world.kernel.state

    def step(self, given: Input) -> list[Event]:
        got = self.world.kernel.step(given)
        self.events += got
        return got

    def report(self, exec_type: ExecType = ExecType.NEW, **changes: Any) -> ExecutionReport:
        """The next report about the order, consistent with what was said so far, except for `changes`."""
        self.said += 1
        o = self.order
        base: dict[str, Any] = {
            "cursor": self.state.exec_cursor + 1,
            "exec_id": f"b-{self.said}",
            "exec_type": exec_type,
            "cl_ord_id": o.broker_id,
            "order_id": "b-order-1",
            "symbol": o.symbol,
            "side": o.side,
            "ord_status": OrdStatus.ACCEPTED,
            "order_qty": o.order_qty,
            "cum_qty": o.cum_qty + changes.get("last_qty", D(0)),
            "transact_time": self.world.at(),
        }
        return ExecutionReport(**(base | changes))

    def say(self, exec_type: ExecType = ExecType.NEW, **changes: Any) -> list[Event]:
        return self.step(ExecutionReported(at=self.world.at(), report=self.report(exec_type, **changes)))

    def fill(self, qty: int, px: str = "20.00", **changes: Any) -> list[Event]:
        return self.say(ExecType.TRADE, **({"last_qty": D(qty), "last_px": D(px)} | changes))

    def answer(self, *, cl_ord_id: str = "", complete: bool = True, found: BrokerOrder | None = None) -> list[Event]:
        """The broker's answer to a query of the order."""
        return self.step(
            OrderQueried(
                at=self.world.at(),
                cl_ord_id=cl_ord_id or self.order.broker_id,
                complete=complete,
                cursor=self.state.heard_cursor,
                found=found,
            )
        )

    def as_told(self, **changes: Any) -> BrokerOrder:
        """The order as the broker's books have it, in agreement with ours except for `changes`."""
        o = self.order
        base: dict[str, Any] = {
            "cl_ord_id": o.broker_id,
            "order_id": "b-order-1",
            "symbol": o.symbol,
            "side": o.side,
            "position_effect": PositionEffect.OPEN,
            "ord_type": o.ord_type,
            "time_in_force": o.time_in_force,
            "ord_status": OrdStatus.ACCEPTED,
            "order_qty": o.order_qty,
            "cum_qty": o.cum_qty,
            "leaves_qty": o.order_qty - o.cum_qty,
            "avg_px": o.avg_px,
            "transact_time": self.world.at(),
        }
        return BrokerOrder(**(base | changes))

    def later(self, seconds: int) -> list[Event]:
        """Time moves; what the kernel does with it."""
        self.world.now = self.world.at() + timedelta(seconds=seconds)
        return self.step(ClockTicked(at=self.world.now))

    def quarantined(self) -> list[str]:
        return [e.kind for e in self.events if isinstance(e, ReportQuarantined)]

    def alarms(self) -> list[str]:
        return [e.alert.kind for e in self.events if isinstance(e, AlertRaised)]

    def again(self) -> "Desk":
        """The same desk in a process of its own: what it knows went through the codec."""
        state = decode_state(encode_state(self.state))
        twin = World.__new__(World)
        twin.__dict__.update(self.world.__dict__)
        twin.kernel = Kernel(state)
        return Desk(world=twin, order=state.orders[self.order.cl_ord_id], said=self.said)


def desk(*, accepted: bool = True, style: OrderStyle = RESTING, qty: int = 100) -> Desk:
    """A session in which one entry was sent; `accepted`: and acknowledged."""
    world = opened(limits=EARLY, style=style)
    world.faults.lost_request = 1.0  # nothing reaches the venue: the broker of these tests is the test
    px = D(str(world.px["AAA"]))
    world.boundary(2, [world.row("AAA", entry_long=True, stop_px=px - 3, target_px=px + 3)])
    world.faults.lost_request = 0.0
    order = world.state.orders[intents(world, Leg.ENTRY)[0].request.cl_ord_id]
    order.order_qty = D(qty)
    built = Desk(world=world, order=order)
    if accepted:
        built.say(ExecType.NEW)
        assert order.status is OrdStatus.ACCEPTED
    built.events.clear()
    return built


def held(**kwargs: Any) -> Desk:
    """The order has filled whole: 100 AAA held, its legs acknowledged."""
    built = desk(**kwargs)
    built.fill(int(built.order.order_qty))
    for leg in legs(built):
        built.say(
            ExecType.NEW,
            cl_ord_id=leg.cl_ord_id,
            side=Side.SELL,
            cum_qty=D(0),
            order_id=f"b-{leg.leg}",
            parent_id=built.order.cl_ord_id,
        )
    built.events.clear()
    return built


def legs(built: Desk) -> list[Order]:
    return [o for o in built.state.orders.values() if o.parent_id == built.order.cl_ord_id]


def asked(events: list[Event], kind: type[Any]) -> list[Any]:
    """The effects of one kind that events ask for."""
    return [effect for effect in effects_of(events) if isinstance(effect, kind)]


def effects(events: list[Event]) -> list[Effect]:
    return effects_of(events)


def submit_answer(built: Desk, outcome: SubmitOutcome, detail: str = "") -> list[Event]:
    return built.step(
        SubmitObserved(at=built.world.at(), cl_ord_id=built.order.cl_ord_id, outcome=outcome, detail=detail)
    )


def changed(report: ExecutionReport, **changes: Any) -> ExecutionReport:
    return msgspec.structs.replace(report, **changes)
