"""What could be held at worst: the sums that the rules about money and size share, made once a decision (§11).

The worst case of a symbol's side is that every order that may still open it fills, and that what others hold against it
is gone. So counted are: what is held, what open orders may still fill (in-doubt ones like any other; while a replace is
unanswered the larger of both quantities), and what ended orders may still turn out to have filled. Nothing that would
shrink a position is counted as relief. An order is worth the highest of its own prices, the price it was decided on and
the present one. Counting twice is allowed, counting too little never.
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Side
from qmworkbench.domain.positions import Position
from qmworkbench.trading.coming import Coming, Group, coming, may_open, open_qty, opens
from qmworkbench.trading.state import State

_BUY: Final = Side.BUY  # bound once: finding it in its enum costs several times what comparing it does


def may_close(state: State, strategy_id: str, symbol: str, side: Side) -> Decimal:
    """What an instance's own exits of a symbol may still fill on `side`, ended ones that are unproven included."""
    qty = sum((open_qty(o) for o in state.exit_legs(strategy_id, symbol) if o.side is side), ZERO)
    for name, unproven in state.unproven.items():
        order = state.orders.get(name)
        if order is None or opens(order) or order.side is not side:
            continue
        if order.strategy_id == strategy_id and order.symbol == symbol:
            qty += unproven
    return qty


def worst_qty(state: State, symbol: str, side: Side) -> Decimal:
    """What would be held of `symbol` in the direction of `side`, never below 0, if all that may open it filled."""
    pending = sum((qty for order, qty in may_open(state) if order.symbol == symbol and order.side is side), ZERO)
    return sum((max(side.sign * p.qty, ZERO) for p in state.holders(symbol)), ZERO) + pending


class Exposure:
    """The sums of one decision about `symbol` by `strategy_id` at the price `px`, before the order that is judged.

    Quantities and values are never signed, values in account currency unless said; None: a rate is missing.
    `buy_qty` and `sell_qty` are the symbol's two sides over all owners, `buy_worth` and `sell_worth` what they are
    worth in the instrument's currency; `strategy_value` is all that the instance holds and has on its way,
    everywhere. `others` counts the other symbols held or on their way. `tied_up` is the margin of everything on its
    way, `spent` of what no account statement contains yet; `coming` counts the orders on their way.
    """

    __slots__ = (
        "_rate",
        "buy_qty",
        "buy_worth",
        "coming",
        "others",
        "sell_qty",
        "sell_worth",
        "spent",
        "strategy_value",
        "tied_up",
    )

    def __init__(self, state: State, strategy_id: str, symbol: str, px: Decimal, rate: Decimal | None) -> None:
        self._rate = rate
        self.buy_qty = self.sell_qty = self.buy_worth = self.sell_worth = ZERO
        self.strategy_value: Decimal | None = ZERO
        self.tied_up = self.spent = ZERO
        on_its_way = coming(state)
        self.coming = on_its_way.count
        symbols = {symbol, *on_its_way.by_symbol}
        if state.positions:
            self._held(state, strategy_id, symbol, px, symbols)
        if on_its_way.count:
            self._on_their_way(state, on_its_way, strategy_id, symbol, px)
        self.others = len(symbols) - 1
        if state.spent:
            # Of which symbols is not known: the highest margin among them that may be.
            margin = max(_margin_rate(state, name) for name in sorted(symbols))
            self.spent = sum(state.spent.values(), ZERO) * margin

    def _held(self, state: State, strategy_id: str, symbol: str, px: Decimal, symbols: set[str]) -> None:
        for held in state.positions.values():
            symbols.add(held.symbol)
            if held.symbol == symbol:
                qty = abs(held.qty)
                self._add(_BUY if held.qty > 0 else Side.SELL, qty, qty * max(px, held.decision_px))
            if held.strategy_id == strategy_id and self.strategy_value is not None:
                worth = _worth(state, held)
                self.strategy_value = None if worth is None else self.strategy_value + worth

    def _on_their_way(self, state: State, on_its_way: Coming, strategy_id: str, symbol: str, px: Decimal) -> None:
        for order, qty, own_px in on_its_way.by_symbol.get(symbol, ()):
            self._add(order.side, qty, qty * max(own_px, px))
        tied_up = mine = ZERO
        for group, sums in on_its_way.everybody.items():
            worth, margin_rate = _in_account(state, group, sums), group[1]
            tied_up += worth if margin_rate is ONE else worth * margin_rate
        for group, sums in on_its_way.by_owner.get(strategy_id, {}).items():
            mine += _in_account(state, group, sums)
        self.tied_up = tied_up
        if self.strategy_value is not None:
            self.strategy_value += mine

    def _add(self, side: Side, qty: Decimal, worth: Decimal) -> None:
        if side is _BUY:
            self.buy_qty, self.buy_worth = self.buy_qty + qty, self.buy_worth + worth
        else:
            self.sell_qty, self.sell_worth = self.sell_qty + qty, self.sell_worth + worth

    def qty(self, side: Side) -> Decimal:
        """The symbol's side over all owners."""
        return self.buy_qty if side is _BUY else self.sell_qty

    def value(self, side: Side) -> Decimal | None:
        """What that side is worth; None where its currency has no rate."""
        if self._rate is None:
            return None
        return in_account(self.buy_worth if side is _BUY else self.sell_worth, self._rate)


def _in_account(state: State, group: Group, sums: tuple[Decimal, Decimal]) -> Decimal:
    """What orders are worth in account currency. Where there is no rate any more, what was set aside when they were
    intended.
    """
    rate = state.rate(group[0]) if group[0] else None
    return sums[1] if rate is None else in_account(sums[0], rate)


def in_account(worth: Decimal, rate: Decimal) -> Decimal:
    """Money of an instrument's currency in the account's."""
    return worth if rate is ONE else worth * rate


def hidden_margin(state: State) -> Decimal:
    """What positions would tie up that stand against each other today, and may stand alone tomorrow.

    The broker sees their net alone. A symbol without mark or rate adds nothing here: there entries are denied anyway.
    """
    if len(state.positions) == len(state.net):
        return ZERO  # every symbol has one holder
    longs: dict[str, Decimal] = {}
    shorts: dict[str, Decimal] = {}
    for held in state.positions.values():
        side = longs if held.qty > 0 else shorts
        side[held.symbol] = side.get(held.symbol, ZERO) + abs(held.qty)
    total = ZERO
    for symbol in sorted(longs.keys() & shorts.keys()):
        hidden = max(longs[symbol], shorts[symbol]) - abs(state.net_qty(symbol))
        mark = state.marks.get(symbol)
        if mark is not None:
            total += (state.notional(symbol, hidden, mark.px) or ZERO) * _margin_rate(state, symbol)
    return total


def _worth(state: State, held: Position) -> Decimal | None:
    """What a position counts for against its instance's share: at the mark, or at the price it was decided on."""
    mark = state.marks.get(held.symbol)
    px = mark.px if mark is not None else held.avg_px
    return state.notional(held.symbol, held.qty, max(px, held.decision_px))


def _margin_rate(state: State, symbol: str) -> Decimal:
    instrument = state.instrument(symbol)
    return ONE if instrument is None else instrument.margin_rate
