"""The rules about money and size: losses, trades, positions, buying power (§11).

Exposure is counted at its worst: open and in-doubt entry orders as if they had filled, and what others hold against a
position as if it were gone.
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.numbers import ZERO, cents
from qmworkbench.domain.orders import Side
from qmworkbench.trading.risk_rule import Intent, verdict
from qmworkbench.trading.state import State

_HUNDRED: Final = Decimal(100)


def conversion_rate(state: State, intent: Intent) -> RuleVerdict:
    """Money of the instrument's currency converts into the account's at a recorded rate; without one, no entry."""
    instrument, account = state.instrument(intent.request.symbol), state.day.account_currency
    missing = state.missing_rate(intent.request.symbol)
    rate = state.rate(instrument.currency) if instrument is not None else None
    known = f"1 {instrument.currency} is {rate:.8g} {account}" if instrument is not None and rate is not None else ""
    return verdict("conversion_rate", not missing, missing or known or "no instrument", "a recorded rate")


def max_daily_loss(state: State, intent: Intent) -> RuleVerdict:
    """Realized + unrealized + fees of the day; an unknown figure denies, and names the mark or rate it lacks."""
    limit = state.day.limits.max_daily_loss
    pnl = state.day_pnl()
    ok = pnl is not None and pnl > -limit
    known = cents(pnl) if pnl is not None else f"unknown ({'; '.join(state.unvalued())})"
    return verdict("max_daily_loss", ok, known, -limit)


def max_trades(state: State, intent: Intent) -> RuleVerdict:
    """Entries intended today, in-doubt ones included, stay under the cap (§11)."""
    limit = state.day.limits.max_trades_per_day
    return verdict("max_trades_per_day", state.day.entries_intended < limit, state.day.entries_intended, limit)


def max_open_positions(state: State, intent: Intent) -> RuleVerdict:
    """Positions held plus symbols that an entry on its way would open."""
    symbols = {p.symbol for p in state.positions.values()}
    symbols |= {o.symbol for o in state.working_entries()}
    limit = state.day.limits.max_open_positions
    count = len(symbols - {intent.request.symbol})
    return verdict("max_open_positions", count < limit, count, limit)


def _worst_qty(state: State, symbol: str, side: Side) -> Decimal:
    """What would be held of `symbol` in the direction of `side` if every open entry on it filled.

    What others hold against it may be gone tomorrow, and is not counted as relief.
    """
    pending = sum((o.leaves_qty for o in state.working_entries() if o.symbol == symbol and o.side is side), ZERO)
    return sum((max(side.sign * p.qty, ZERO) for p in state.holders(symbol)), ZERO) + pending


def max_position_qty(state: State, intent: Intent) -> RuleVerdict:
    """Units held and on their way stay under the cap (§11)."""
    limit = state.day.limits.max_position_qty
    worst = _worst_qty(state, intent.request.symbol, intent.request.side) + intent.request.order_qty
    return verdict("max_position_qty", limit is None or worst <= limit, worst, "none" if limit is None else limit)


def max_position_notional(state: State, intent: Intent) -> RuleVerdict:
    """Worst-case value at the decision price stays under the cap (§11)."""
    request, limit = intent.request, state.day.limits.max_position_notional
    worst = _worst_qty(state, request.symbol, request.side) + request.order_qty
    notional = state.notional(request.symbol, worst, intent.decision_px)
    ok = notional is not None and notional <= limit
    return verdict("max_position_notional", ok, cents(notional) if notional is not None else "unknown (no rate)", limit)


def max_position_equity(state: State, intent: Intent) -> RuleVerdict:
    """Worst-case value as a share of session-start equity stays under the cap (§11)."""
    request, equity = intent.request, state.day.start_equity
    worst = _worst_qty(state, request.symbol, request.side) + request.order_qty
    notional = state.notional(request.symbol, worst, intent.decision_px)
    limit = state.day.limits.max_position_equity_pct
    share = notional / equity * _HUNDRED if notional is not None and equity else None
    ok = share is not None and share <= limit
    return verdict(
        "max_position_equity_pct",
        ok,
        cents(share) if share is not None else "unknown (a rate or price is missing)",
        limit,
    )


def max_strategy_equity(state: State, intent: Intent) -> RuleVerdict:
    """All that one instance holds and has on its way, against session-start equity."""
    day, limit = state.day, state.day.limits.max_strategy_equity_pct
    total = state.notional(intent.request.symbol, intent.request.order_qty, intent.decision_px)
    for held in state.positions.values():
        if held.strategy_id == intent.strategy_id:
            mark = state.marks.get(held.symbol)
            value = state.notional(held.symbol, held.qty, mark.px if mark else held.avg_px)
            total = None if total is None or value is None else total + value
    if total is not None:
        mine = [o for o in state.working_entries() if o.strategy_id == intent.strategy_id]
        total += sum((o.reserve_notional for o in mine), ZERO)
    share = total / day.start_equity * _HUNDRED if total is not None and day.start_equity else None
    ok = share is not None and share <= limit
    return verdict(
        "max_strategy_equity_pct",
        ok,
        cents(share) if share is not None else "unknown (a rate or price is missing)",
        limit,
    )


def buying_power(state: State, intent: Intent) -> RuleVerdict:
    """The statement's buying power, less everything that may not be inside it: counted twice is allowed, too little
    never.
    """
    account, request = state.account, intent.request
    instrument = state.instrument(request.symbol)
    notional = state.notional(request.symbol, request.order_qty, intent.decision_px)
    if account is None or instrument is None or notional is None:
        return verdict("buying_power", False, "unknown (no account statement or rate)", "a known figure")
    reserved = sum((o.reserve_notional for o in state.working_entries()), ZERO)
    spent = sum(state.spent.values(), ZERO)
    free = account.buying_power - (reserved + spent) * instrument.margin_rate - _hidden_margin(state)
    needed = notional * instrument.margin_rate
    return verdict("buying_power", needed <= free, cents(needed), cents(free))


def _hidden_margin(state: State) -> Decimal:
    """What positions would tie up that stand against each other today, and may stand alone tomorrow.

    The broker sees their net alone. A symbol without mark or rate adds nothing here: there entries are denied anyway.
    """
    if not state.day.shared_symbols:
        return ZERO
    longs: dict[str, Decimal] = {}
    shorts: dict[str, Decimal] = {}
    for held in state.positions.values():
        side = longs if held.qty > 0 else shorts
        side[held.symbol] = side.get(held.symbol, ZERO) + abs(held.qty)
    total = ZERO
    for symbol in sorted(longs.keys() & shorts.keys()):
        hidden = max(longs[symbol], shorts[symbol]) - abs(state.net_qty(symbol))
        instrument, mark = state.instrument(symbol), state.marks.get(symbol)
        if instrument is not None and mark is not None:
            total += (state.notional(symbol, hidden, mark.px) or ZERO) * instrument.margin_rate
    return total
