"""What is on its way, summed: what a burst of orders asks of each of them again and again (§11).

The sums are kept beside the state, not in it. Whatever is folded into the state makes them forgotten, but for an order
of ours that has just been intended: that one is added to them (fold.py, fold_orders.py). Who asks next without any
makes them anew from the orders themselves.
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Leg, Order
from qmworkbench.trading.state import EXTERNAL, State

_ENTRY: Final = Leg.ENTRY  # bound once: finding it in its enum costs several times what comparing it does
KEPT: Final = "coming"  # where they are beside the state

# Money by (currency, margin rate): worth in that currency, and what was set aside for it in the account's. What is of
# no instrument of the session has neither currency nor margin.
Group = tuple[str, Decimal]
_UNKNOWN: Final[Group] = ("", ONE)
Sums = dict[Group, tuple[Decimal, Decimal]]


def open_qty(order: Order) -> Decimal:
    """What an order may still fill: 0 once it has ended, and while a replace is unanswered the larger of both."""
    if not order.is_open:
        return ZERO
    qty = order.order_qty
    if order.replacing is not None and order.replacing.order_qty > qty:
        qty = order.replacing.order_qty
    return max(ZERO, qty - order.cum_qty) if order.cum_qty else qty


def opens(order: Order) -> bool:
    """Whether a fill of it may enlarge exposure: an entry, or an order nobody here sent."""
    return order.leg is _ENTRY or order.strategy_id == EXTERNAL


def worst_px(order: Order) -> Decimal:
    """The highest price an order is counted at: its own ones, and the one it was decided on."""
    highest = order.decision_px
    if order.limit_px is not None and order.limit_px > highest:
        highest = order.limit_px
    if order.stop_px is not None and order.stop_px > highest:
        highest = order.stop_px
    replacing = order.replacing
    if replacing is not None:
        for asked in (replacing.limit_px, replacing.stop_px):
            if asked is not None and asked > highest:
                highest = asked
    return highest


class Coming:
    """Every order that may still enlarge what is held: how many, by symbol with the quantity that may come and the
    price it counts at, and what they are worth, of everybody and by instance.
    """

    __slots__ = ("by_owner", "by_symbol", "count", "everybody")

    def __init__(self) -> None:
        self.count = 0
        self.by_symbol: dict[str, list[tuple[Order, Decimal, Decimal]]] = {}
        self.everybody: Sums = {}
        self.by_owner: dict[str, Sums] = {}

    def add(self, state: State, order: Order, qty: Decimal) -> None:
        """One more."""
        px, known = worst_px(order), state.day.instruments.get(order.symbol)
        group = _UNKNOWN if known is None else (known.currency, known.margin_rate)
        self.count += 1
        self.by_symbol.setdefault(order.symbol, []).append((order, qty, px))
        for sums in (self.everybody, self.by_owner.setdefault(order.strategy_id, {})):
            worth, reserved = sums.get(group, (ZERO, ZERO))
            sums[group] = worth + qty * px, reserved + order.reserve_notional


def may_open(state: State) -> list[tuple[Order, Decimal]]:
    """Every order that may still enlarge what is held, with the quantity that may come; strangers' after our own."""
    orders = state.orders
    found = [(order, open_qty(order)) for order in map(orders.__getitem__, state.open_entries)]
    for owners in state.open_at.values():
        if EXTERNAL in owners:
            strange = [orders[name] for name in owners[EXTERNAL] if name not in state.open_entries]
            found += [(order, open_qty(order)) for order in strange]
    for name, qty in state.unproven.items():
        order = orders.get(name)
        if order is not None and opens(order):
            found.append((order, qty))
    return found


def coming(state: State) -> Coming:
    """What is on its way now."""
    kept: Coming | None = state.__dict__.get(KEPT)
    if kept is None:
        kept = Coming()
        for order, qty in may_open(state):
            kept.add(state, order, qty)
        state.__dict__[KEPT] = kept
    return kept


def intended(state: State, order: Order) -> None:
    """An order has just been intended, and nothing else has changed."""
    kept: Coming | None = state.__dict__.get(KEPT)
    if kept is None or not opens(order):
        return
    if order.leg is _ENTRY:
        kept.add(state, order, open_qty(order))
    else:
        forget(state)


def forget(state: State) -> None:
    """Anything else has changed."""
    state.__dict__.pop(KEPT, None)
