"""A person's hand on one order or one position: cancel, replace, close (§10, §13, §15).

None of these may add risk. A cancel passes at any time, except against the emergency's own closes. A replace makes an
order smaller or moves a resting exit. A close is the ordinary exit: what rests is cancelled, then the actual quantity
is closed, again until flat.
"""

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.domain.orders import Leg, Order, OrdStatus
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import emergency, exits, replacing
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.refusal import Refused, demand_session
from qmworkbench.trading.state import EXTERNAL, State


def cancel(decision: Decision, event: CommandReceived, command: commands.CancelOrder) -> str:
    """Ask the broker to cancel one order. Says what the position is left without."""
    state = decision.state
    order = _working(state, command.cl_ord_id)
    if order.leg is Leg.LIQUIDATE and emergency.running(state):
        raise Refused(
            f"{order.cl_ord_id} is the emergency's own close of {order.symbol}",
            "let the emergency run until flat; a close that rests may be cancelled at the broker by hand",
        )
    asked = order.cancel_requested_at is not None and not order.cancel_failed
    if asked:
        raise Refused(
            f"{order.cl_ord_id} has been asked to cancel and the broker has not answered yet",
            "wait for the answer: it is asked for by the order's id; see `qm order inspect`",
        )
    exits.cancel_all(decision, [order], f"{event.operator}: {command.reason}")
    held = state.position(order.strategy_id, order.symbol)
    said = f"{order.cl_ord_id} ({order.leg} {order.symbol}) asked to cancel"
    if order.leg is Leg.STOP and held is not None:
        said += f"; {order.symbol} {held.qty} is held without that stop"
    return said


def replace(decision: Decision, event: CommandReceived, command: commands.ReplaceOrder) -> str:
    """Let an order go on smaller, or a resting exit at another price."""
    state = decision.state
    order = _working(state, command.cl_ord_id)
    if command.order_qty is None and command.limit_px is None and command.stop_px is None:
        raise Refused("nothing is to change", "give order_qty, limit_px or stop_px")
    if emergency.running(state):
        raise Refused("an emergency is closing everything", "wait until every position is zero")
    if order.is_in_doubt:
        raise Refused(
            f"{order.cl_ord_id} is {order.status}: whether the broker has it is not known yet",
            "wait until it is confirmed, or see `qm order inspect`",
        )
    if order.leg is Leg.ENTRY and state.trading_state(order.strategy_id) is not TradingState.ACTIVE:
        raise Refused("entries are blocked, and this is one", "it is being cancelled; nothing is left to replace")
    why_not = replacing.request_replace(
        decision,
        order,
        order_qty=command.order_qty,
        limit_px=command.limit_px,
        stop_px=command.stop_px,
        reason=f"{event.operator}: {command.reason}",
    )
    if why_not:
        raise Refused(f"{order.cl_ord_id} is not replaced: {why_not}", "the order works on as it is")
    given = {"quantity": command.order_qty, "limit": command.limit_px, "stop": command.stop_px}
    wanted = ", ".join(f"{what} {value}" for what, value in given.items() if value is not None)
    return f"{order.cl_ord_id} ({order.leg} {order.symbol}) asked to go on with {wanted}"


def close(decision: Decision, event: CommandReceived, command: commands.ClosePosition) -> str:
    """Leave one position by its actual quantity, whoever ordered it."""
    state = decision.state
    held = _held(state, command.strategy_id, command.symbol)
    if state.halt.state is TradingState.HALTED:
        raise Refused(
            f"the book is {state.halt.state.shown}",
            "Emergency Liquidate & Halt closes every position; or reconcile and resume first",
        )
    if held.exit_wanted:
        raise Refused(
            f"{command.symbol} of {command.strategy_id} is being closed already: {held.exit_wanted}",
            "watch its exit order; if exits keep failing, close it at the broker",
        )
    exits.request_exit(decision, held, "operator_close", f"closed by {event.operator}: {command.reason}")
    waits = "" if decision.at < state.day.closes_at else "; the market is closed: it waits for the next session"
    return f"{command.symbol}: {held.qty} of {command.strategy_id} is being closed{waits}"


def _working(state: State, cl_ord_id: str) -> Order:
    demand_session(state)
    order = state.orders.get(state.working_ids.get(cl_ord_id, cl_ord_id))
    if order is None:
        raise Refused(
            f"no order {cl_ord_id} is in this book",
            "see the open orders in `qm status`; what nobody here sent is cancelled at the broker or by an emergency",
        )
    if not order.is_open:
        ended = f"filled {order.cum_qty}" if order.status is OrdStatus.FILLED else f"{order.status}: {order.reason}"
        raise Refused(f"{cl_ord_id} has ended ({ended})", "nothing of it can fill any more")
    return order


def _held(state: State, strategy_id: str, symbol: str) -> Position:
    demand_session(state)
    held = state.position(strategy_id, symbol)
    if held is not None:
        return held
    owners = [p.strategy_id for p in state.holders(symbol)]
    who = f"it is held by {', '.join(owners)}" if owners else "nobody holds it here"
    known = strategy_id in state.day.runs or strategy_id == EXTERNAL
    problem = f"{strategy_id} holds no {symbol}" if known else f"no strategy {strategy_id} runs in this session"
    raise Refused(f"{problem}; {who}", "see the positions in `qm status`")
