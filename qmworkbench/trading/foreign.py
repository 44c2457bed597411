"""What nobody here ordered: orders and fills of others in our account, EXTERNAL's, and a person's to settle (§13, §14).

1. An order at the broker that nobody here sent is an open order of EXTERNAL: exposure counts it, a person can cancel
   it, and only an emergency cancels it by itself. It is alarmed until it ends.
2. A fill that nobody here ordered and that does no more than shrink what one strategy alone holds closes that
   strategy's position (a broker's own liquidation does this): a strategy that went on believing in it would sell it
   twice. Any other such fill is EXTERNAL's. Either is P0 and stops entries.
3. What is closed this way needs its exits no more: they are cancelled.
"""

from qmworkbench.domain.events.orders import FillRecorded
from qmworkbench.domain.events.reconciliation import OrderAdopted
from qmworkbench.domain.execution import BrokerOrder, ExecutionReport
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Leg
from qmworkbench.domain.safety import MustHalt
from qmworkbench.domain.sessions import Environment, Priority, TradingState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_all
from qmworkbench.trading.state import EXTERNAL, State, position_key

_ALERT = "foreign_order"


def owner_of(state: State, report: ExecutionReport) -> str:
    """Whose a fill is that belongs to no order of ours."""
    holders = state.holders(report.symbol)
    if len(holders) != 1:
        return EXTERNAL
    held = holders[0]
    shrinks = held.qty * report.side.sign < 0 and report.last_qty <= abs(held.qty)
    return held.strategy_id if shrinks else EXTERNAL


def adopt(decision: Decision, order: BrokerOrder) -> bool:
    """Take an order nobody here sent into the books of EXTERNAL; says whether it was one that can be taken."""
    state = decision.state
    if order.cl_ord_id in state.orders or order.ord_status in TERMINAL or order.leaves_qty <= 0:
        return False
    mark = state.marks.get(order.symbol)
    px = order.limit_px or order.stop_px or (mark.px if mark is not None else ZERO)
    reserve = state.notional(order.symbol, order.leaves_qty, px) or ZERO
    decision.emit(OrderAdopted(at=decision.at, order=order, strategy_id=EXTERNAL, reserve_notional=reserve))
    live = state.day.environment is Environment.LIVE
    decision.alarm(
        _ALERT,
        order.cl_ord_id,
        Priority.P0 if live else Priority.P1,
        f"{order.symbol}: {order.side} {order.order_qty} ({order.cl_ord_id}) works at the broker; nobody here sent it",
        f"find out who did; cancel it with `qm order cancel {order.cl_ord_id}` unless it is wanted",
    )
    return True


def watch(decision: Decision) -> None:
    """After an input: foreign fills are alarmed, and exits that they made needless are cancelled."""
    state = decision.state
    for event in decision.events:
        if type(event) is FillRecorded and _is_foreign(state, event):
            _on_fill(decision, event)


def all_clear(decision: Decision) -> None:
    """Clear the alarms of foreign orders that have ended."""
    state = decision.state
    for alert in list(state.alerts.values()):
        if alert.kind == _ALERT and alert.key not in state.open_orders:
            decision.all_clear(_ALERT, alert.key, "the order has ended")


def _is_foreign(state: State, fill: FillRecorded) -> bool:
    order = state.orders.get(fill.cl_ord_id)
    if order is None:
        return fill.adopted
    # A direct emergency's close of what several hold together is EXTERNAL's, and ours.
    return order.strategy_id == EXTERNAL and order.leg is not Leg.LIQUIDATE


def _on_fill(decision: Decision, fill: FillRecorded) -> None:
    state = decision.state
    if position_key(fill.strategy_id, fill.symbol) not in state.positions:
        release_exits(decision, fill.strategy_id, fill.symbol)
    if content_id("foreign_fill", fill.exec_id) in state.alerts:
        return
    text = f"{fill.symbol}: {fill.side} {fill.last_qty} at {fill.last_px} was filled, and nobody here ordered it"
    decision.alarm(
        "foreign_fill",
        fill.exec_id,
        Priority.P0,
        text,
        "find out who trades this account (a broker's liquidation, a second platform, a person) before resuming",
    )
    decision.restrict("book", TradingState.REDUCING, MustHalt.POSITION_MISMATCH.value, text, "reconciliation")


def release_exits(decision: Decision, strategy_id: str, symbol: str) -> None:
    """Cancel exits that rest for a position that is gone: they would open one the other way."""
    resting = [o for o in decision.state.exit_legs(strategy_id, symbol) if not o.is_in_doubt]
    cancel_all(decision, resting, "what it closes is not held any more")
