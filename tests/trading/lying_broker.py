"""A world whose broker says what a test wants it to say: reports lost on the way, lists that drop, books that differ.

What it does at the venue is real; only what reaches the kernel is bent, by plain functions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.events import Event, Input, decode
from qmworkbench.domain.events.orders import OrderQueried
from qmworkbench.domain.events.reconciliation import BrokerSnapshotObserved, Trigger
from qmworkbench.domain.execution import BrokerOrder, BrokerPosition, BrokerSnapshot, ExecutionReport
from qmworkbench.domain.orders import OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.trading.effects import Effect, QueryBroker, QueryOrder
from tests.trading.world import World

Bend = Callable[[BrokerSnapshot], BrokerSnapshot]


@dataclass
class Lying(World):
    """`bend` changes every reading, `find` every answer about one order; reports for which `loses` holds never come by
    the stream, though a reading of all executions still has them.
    """

    bend: Bend | None = None
    find: Callable[[BrokerOrder | None], BrokerOrder | None] | None = None
    loses: Callable[[ExecutionReport], bool] | None = None
    asked: int = 0

    def _read(self, effect: QueryBroker) -> BrokerSnapshot:
        read = super()._read(effect)
        return self.bend(read) if self.bend is not None and read.complete else read

    def _answer(self, effect: Effect) -> list[Input]:
        answers = super()._answer(effect)
        if isinstance(effect, QueryOrder):
            self.asked += 1
            if self.find is not None:
                return [
                    msgspec.structs.replace(a, found=self.find(a.found)) if isinstance(a, OrderQueried) else a
                    for a in answers
                ]
        return answers

    def _heard(self) -> list[Input]:
        heard = super()._heard()
        if self.loses is None:
            return heard
        return [given for given in heard if not (hasattr(given, "report") and self.loses(given.report))]

    def read_now(self) -> BrokerSnapshot:
        return snapshot(self.broker, self.state.exec_cursor)

    def of(self, kind: type[Event], after: int = 0) -> list[Any]:
        """Events of a kind on record, from a place in the journal on."""
        return [event for event in map(decode, self.journal[after:]) if isinstance(event, kind)]

    def told(self, snapshot: BrokerSnapshot, trigger: Trigger = Trigger.OPERATOR) -> list[Event]:
        """Hand the kernel a reading as it stands."""
        return self.survive(BrokerSnapshotObserved(at=self.at(), trigger=trigger, snapshot=snapshot))


def with_position(symbol: str, qty: Decimal | None = None, avg_px: Decimal | None = None) -> Bend:
    """A reading in which a position has another quantity or average price; quantity 0 drops it. The account agrees."""

    def bend(read: BrokerSnapshot) -> BrokerSnapshot:
        changed = [_changed(held, qty, avg_px) if held.symbol == symbol else held for held in read.positions]
        positions = [held for held in changed if held.qty != 0]
        return agreeing(msgspec.structs.replace(read, positions=tuple(positions)))

    return bend


def _changed(held: BrokerPosition, qty: Decimal | None, avg_px: Decimal | None) -> BrokerPosition:
    now = held.qty if qty is None else qty
    px = held.avg_px if avg_px is None else avg_px
    return msgspec.structs.replace(
        held,
        qty=now,
        avg_px=px,
        market_value=now * held.market_px,
        unrealized_pnl=now * (held.market_px - px),
    )


def agreeing(read: BrokerSnapshot) -> BrokerSnapshot:
    """The account's own total made to fit the positions."""
    assert read.account is not None
    total = sum((held.market_value for held in read.positions), Decimal(0))
    return msgspec.structs.replace(read, account=msgspec.structs.replace(read.account, positions_value=total))


def with_orders(change: Callable[[BrokerOrder], BrokerOrder | None]) -> Bend:
    """A reading in which each resting order is what `change` makes of it; None drops it from the list."""

    def bend(read: BrokerSnapshot) -> BrokerSnapshot:
        kept = [changed for order in read.open_orders if (changed := change(order)) is not None]
        return msgspec.structs.replace(read, open_orders=tuple(kept))

    return bend


def foreign_order(at: datetime, name: str = "somebody-1", **changes: Any) -> BrokerOrder:
    """An order that works at the broker and that nobody here sent."""
    base: dict[str, Any] = {
        "cl_ord_id": name,
        "order_id": f"b-{name}",
        "symbol": "BBB",
        "side": Side.BUY,
        "position_effect": PositionEffect.OPEN,
        "ord_type": OrdType.LIMIT,
        "time_in_force": TimeInForce.DAY,
        "ord_status": OrdStatus.ACCEPTED,
        "order_qty": Decimal(40),
        "cum_qty": Decimal(0),
        "leaves_qty": Decimal(40),
        "avg_px": Decimal(0),
        "transact_time": at,
        "limit_px": Decimal("1.50"),
    }
    return BrokerOrder(**(base | changes))
