"""The last look before an order leaves: what was decided to be sent may not be wanted any more (§11, §15).

Orders wait in the outbox for the disk and for those before them. A halt, an emergency or a cancel that is decided
meanwhile stands before them in every sense but the queue's: what adds risk must not go out after it.
"""

from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.state import State


def withheld(state: State, request: OrderRequest) -> str:
    """Why an order that has not been sent yet must not be sent any more; "" where it may go.

    Closes go whatever the state is, unless they were asked to cancel themselves: what replaces them is decided already.
    """
    order = state.orders.get(request.cl_ord_id)
    if order is None:
        return ""
    if not order.is_open:
        return f"it has ended: {order.reason or order.status}"
    if order.cancel_requested_at is not None:
        return "it was asked to cancel before it was sent"
    if request.position_effect is not PositionEffect.OPEN:
        return ""
    now = state.trading_state(order.strategy_id)
    if now is not TradingState.ACTIVE:
        return f"{now.shown}: {state.halt.reason or 'the strategy is stopped'}"
    held = state.day.entries_held if state.session is not None else ""
    return f"entries are held: {held}" if held else ""
