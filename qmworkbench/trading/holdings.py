"""What is held and what is working, changed together with all that is kept about it; for the fold alone (§13, §14).

Rules that hold after every event; recovery asks them of the state it has rebuilt, and the tests of every state:

1. A symbol's net quantity is the sum of its instances' quantities; a flat net costs nothing.
2. Every open order is found by its symbol and owner; entries and orders that owe an answer are among the open ones.
3. What is wanted closed is held.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import TERMINAL, Leg, Order, OrdStatus, Side
from qmworkbench.domain.positions import NetPosition, Position, fill_delta
from qmworkbench.trading.session_state import position_key
from qmworkbench.trading.state import State

_Apply = Callable[[State, Any], None]

_OWES_ANSWER: Final = frozenset(
    {OrdStatus.SUBMITTED, OrdStatus.UNKNOWN, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE}
)
_ENTRY: Final = Leg.ENTRY  # bound once: finding it in its enum costs several times what comparing it does


def hold(state: State, held: Position) -> None:
    """The instance holds this now; a flat position leaves the book. The net is not touched."""
    key = position_key(held.strategy_id, held.symbol)
    if held.qty == 0:
        state.positions.pop(key, None)
        state.leaving.pop(key, None)
        return
    state.positions[key] = held
    if held.exit_wanted:
        state.leaving[key] = None
    else:
        state.leaving.pop(key, None)


def net_fill(state: State, symbol: str, side: Side, qty: Decimal, px: Decimal) -> None:
    """An execution as the broker nets it."""
    net = state.net.get(symbol) or NetPosition()
    delta = fill_delta(net.qty, net.cost, side, qty, px)
    net_is(state, symbol, delta.qty, delta.cost)


def net_moved(state: State, symbol: str, qty: Decimal, cost: Decimal) -> None:
    """The net of a symbol moves by `qty` and `cost` without an execution: a bust, a split, an entry in the books."""
    net = state.net.get(symbol) or NetPosition()
    net_is(state, symbol, net.qty + qty, net.cost + cost)


def net_is(state: State, symbol: str, qty: Decimal, cost: Decimal) -> None:
    """The net of a symbol is this now; nothing is kept of a flat one."""
    state.revalued(symbol)
    if qty == 0:
        state.net.pop(symbol, None)
        return
    net = state.net.setdefault(symbol, NetPosition())
    net.qty, net.cost = qty, cost


def restate(state: State, held: Position, *, symbol: str, qty: Decimal, cost: Decimal) -> None:
    """One instance's position goes on as another quantity, cost or symbol, no trade having taken place (overnight)."""
    net_moved(state, held.symbol, -held.qty, -held.cost)
    key = position_key(held.strategy_id, held.symbol)
    state.positions.pop(key, None)
    state.leaving.pop(key, None)
    held.symbol, held.qty, held.cost = symbol, qty, cost
    net_moved(state, symbol, qty, cost)
    hold(state, held)


def admit(state: State, order: Order) -> None:
    """A new order that may fill from now on."""
    state.orders[order.cl_ord_id] = order
    state.open_orders[order.cl_ord_id] = None
    state.open_at.setdefault(order.symbol, {}).setdefault(order.strategy_id, {})[order.cl_ord_id] = None
    if order.leg is _ENTRY:
        state.open_entries[order.cl_ord_id] = None


def follow_status(state: State, order: Order) -> None:
    """The order's status has changed."""
    name = order.cl_ord_id
    if order.status in _OWES_ANSWER:
        state.unsettled[name] = None
    else:
        state.unsettled.pop(name, None)
    if order.status in TERMINAL and name in state.open_orders:
        del state.open_orders[name]
        state.open_entries.pop(name, None)
        _leave(state, order)


def rename(state: State, order: Order, symbol: str) -> None:
    """An open order goes on under another symbol."""
    if order.cl_ord_id in state.open_orders:
        _leave(state, order)
        state.open_at.setdefault(symbol, {}).setdefault(order.strategy_id, {})[order.cl_ord_id] = None
    order.symbol = symbol


def _leave(state: State, order: Order) -> None:
    owners = state.open_at[order.symbol]
    mine = owners[order.strategy_id]
    del mine[order.cl_ord_id]
    if not mine:
        del owners[order.strategy_id]
    if not owners:
        del state.open_at[order.symbol]


def unsound(state: State) -> list[str]:
    """What breaks the rules above, a sentence each; empty in a sound state."""
    found = []
    for symbol in sorted({p.symbol for p in state.positions.values()} | set(state.net)):
        parts = sum((p.qty for p in state.positions.values() if p.symbol == symbol), ZERO)
        if parts != state.net_qty(symbol):
            found.append(f"{symbol}: the owners hold {parts}, the net is {state.net_qty(symbol)}")
    indexed = [i for owners in state.open_at.values() for ids in owners.values() for i in ids]
    if sorted(indexed) != sorted(state.open_orders):
        found.append("the open orders by symbol are not the open orders")
    if {*state.open_entries, *state.unsettled} - set(state.open_orders):
        found.append("an order that has ended is still looked after")
    if sorted(state.leaving) != sorted(key for key, held in state.positions.items() if held.exit_wanted):
        found.append("what is wanted closed is not what is held and wanted closed")
    return found


def booked(state: State) -> Decimal | None:
    """What the day's books have done to cash: realized, less fees, plus what activities moved, less what is tied up in
    what is held and paid for; in account currency. None where a position is in another currency, whose rates at each
    fill are not kept, or in something that nobody has described.

    A repair moves no cash: what it made positions cost more or less was never paid. What came or went on a person's
    word did.
    """
    day = state.day
    total = day.net_realized_pnl - day.fees + day.activity_pnl + day.repaired_cost + day.moved_cash
    for symbol, held in state.net.items():
        instrument = state.instrument(symbol)
        if instrument is None:
            return None
        if instrument.margin_rate != ONE:
            continue  # held on margin: no cash has moved for it
        if instrument.currency != day.account_currency:
            return None
        total -= held.cost
    return total


def heard_late(apply: _Apply, cursor: Callable[[State, Any], int]) -> _Apply:
    """Apply an event that moves cash; where the statement that the day began with held it already (its transaction is
    not after that one's), what is booked for it was there before the day began.
    """

    def applied(state: State, event: Any) -> None:
        if state.session is None or state.day.start_funds is None or cursor(state, event) > state.day.start_cursor:
            apply(state, event)
            return
        funds, before = state.day.start_funds, booked(state)
        apply(state, event)
        after = booked(state)
        state.day.start_funds = None if before is None or after is None else funds + before - after

    return applied
