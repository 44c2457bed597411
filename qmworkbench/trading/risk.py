"""The Risk Manager: a small rule for each limit, with a stable code, the value seen and the limit (§11).

Every rule declares whom it judges. Entries face all of them. Exits face the reduce-only cap alone: no collar, no stale
quote, no trade count and not even an unavailable Risk Manager may trap a position. Cancels are never judged.
All rules are evaluated and recorded, allowed or denied, so that a denial names every reason at once.
Exposure is counted at its worst: open and in-doubt entry orders as if they had filled.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.numbers import ZERO, cents
from qmworkbench.domain.orders import Leg, PositionEffect, Side
from qmworkbench.domain.sessions import Environment, Phase, TradingState
from qmworkbench.trading.state import State

_MINUTE: Final = timedelta(minutes=1)
_HUNDRED: Final = Decimal(100)
_BPS: Final = Decimal(10_000)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy or an exit rule wants to send, before anybody allowed it."""

    request: OrderRequest
    strategy_id: str
    leg: Leg
    decision_px: Decimal
    stop_px: Decimal | None = None

    @property
    def is_entry(self) -> bool:
        return self.request.position_effect is PositionEffect.OPEN


Rule = Callable[[State, Intent], RuleVerdict]


def _verdict(code: str, passed: bool, value: object, limit: object) -> RuleVerdict:
    return RuleVerdict(code=code, passed=passed, value=str(value), limit=str(limit))


# --- exits ---------------------------------------------------------------------------------------------


def reduce_only(state: State, intent: Intent) -> RuleVerdict:
    """An exit may close what is held and not a share more, counting exits already on their way."""
    request = intent.request
    held = state.position(intent.strategy_id, request.symbol)
    qty = held.qty if held is not None else ZERO
    on_the_way = sum(
        (o.leaves_qty for o in state.exit_legs(intent.strategy_id, request.symbol) if o.side is request.side),
        ZERO,
    )
    closable = max(ZERO, -request.side.sign * qty - on_the_way)
    return _verdict("reduce_only", ZERO < request.order_qty <= closable, request.order_qty, closable)


# --- entries -------------------------------------------------------------------------------------------


def trading_state(state: State, intent: Intent) -> RuleVerdict:
    """The worse of the book's and the strategy's state must be ACTIVE."""
    now = state.trading_state(intent.strategy_id)
    return _verdict("trading_state", now is TradingState.ACTIVE, now, TradingState.ACTIVE)


def risk_manager(state: State, intent: Intent) -> RuleVerdict:
    """Critical components must be healthy; this Risk Manager is one of them (§7)."""
    down = state.day.critical_down
    return _verdict("critical_health", not down, ", ".join(down) or "none down", "none down")


def environment_armed(state: State, intent: Intent) -> RuleVerdict:
    """Live needs arming, which this version does not offer: a live entry is always refused here."""
    environment = state.day.environment
    return _verdict("environment_armed", environment is not Environment.LIVE, environment, "live must be armed")


def entries_released(state: State, intent: Intent) -> RuleVerdict:
    """Entries are not held: by the phase, a recovery, or a person."""
    held = state.day.entries_held
    return _verdict("entries_released", not held, held or "released", "released")


def run_active(state: State, intent: Intent) -> RuleVerdict:
    """The strategy's run has started and not ended."""
    run = state.day.runs.get(intent.strategy_id)
    ok = run is not None and not run.ended
    return _verdict("run_active", ok, "running" if ok else "ended", "running")


def session_window(state: State, intent: Intent) -> RuleVerdict:
    """Entries keep the configured distance from the open and from the close; half-days have their own close."""
    limits, phase = state.day.limits, state.day.phase
    since, left = state.minutes_since_open(), state.minutes_to_close()
    ok = phase is Phase.MARKET_SESSION and since >= limits.entry_delay_min and left > limits.entry_cutoff_min
    return _verdict(
        "session_window",
        ok,
        f"{phase}, {since:.0f} min after open, {left:.0f} min before close",
        f"{limits.entry_delay_min} min after open, {limits.entry_cutoff_min} min before close",
    )


def broker_connected(state: State, intent: Intent) -> RuleVerdict:
    """The execution broker answers (§12)."""
    return _verdict("broker_connected", state.connected, state.connected, True)


def feed_quality(state: State, intent: Intent) -> RuleVerdict:
    """Market data is trusted (§12)."""
    return _verdict("feed_quality", state.feed is FeedState.GOOD, state.feed, FeedState.GOOD)


def reconciled(state: State, intent: Intent) -> RuleVerdict:
    """No entry while the broker's books and ours disagree, or while a recovery is running."""
    open_breaks = len(state.reconciliation.unresolved)
    ok = not open_breaks and not state.day.recovering
    value = "recovering" if state.day.recovering else f"{open_breaks} open breaks"
    return _verdict("reconciled", ok, value, "0 open breaks")


def blocked_symbol(state: State, intent: Intent) -> RuleVerdict:
    """The symbol is on no blocked list (§10)."""
    block = state.blocked.get(intent.request.symbol)
    return _verdict(
        "blocked_symbol",
        block is None,
        f"{block.scope}: {block.reason}" if block else "not blocked",
        "not blocked",
    )


def ownership(state: State, intent: Intent) -> RuleVerdict:
    """Only an instance the allocator gave the symbol to may enter it."""
    owners = state.day.owners.get(intent.request.symbol, [])
    return _verdict(
        "ownership", intent.strategy_id in owners, ", ".join(owners) if owners else "nobody", intent.strategy_id
    )


def max_daily_loss(state: State, intent: Intent) -> RuleVerdict:
    """Realized + unrealized + fees of the day; an unknown figure (missing mark or rate) denies."""
    limit = state.day.limits.max_daily_loss
    pnl = state.day_pnl()
    ok = pnl is not None and pnl > -limit
    return _verdict(
        "max_daily_loss", ok, cents(pnl) if pnl is not None else "unknown: a mark or rate is missing", -limit
    )


def max_trades(state: State, intent: Intent) -> RuleVerdict:
    """Entries intended today, in-doubt ones included, stay under the cap (§11)."""
    limit = state.day.limits.max_trades_per_day
    return _verdict("max_trades_per_day", state.day.entries_intended < limit, state.day.entries_intended, limit)


def max_open_positions(state: State, intent: Intent) -> RuleVerdict:
    """Positions held plus symbols that an entry on its way would open."""
    symbols = {p.symbol for p in state.positions.values()}
    symbols |= {o.symbol for o in state.working_entries()}
    limit = state.day.limits.max_open_positions
    count = len(symbols - {intent.request.symbol})
    return _verdict("max_open_positions", count < limit, count, limit)


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
    return _verdict("max_position_qty", limit is None or worst <= limit, worst, "none" if limit is None else limit)


def max_position_notional(state: State, intent: Intent) -> RuleVerdict:
    """Worst-case value at the decision price stays under the cap (§11)."""
    request, limit = intent.request, state.day.limits.max_position_notional
    worst = _worst_qty(state, request.symbol, request.side) + request.order_qty
    notional = state.notional(request.symbol, worst, intent.decision_px)
    ok = notional is not None and notional <= limit
    return _verdict("max_position_notional", ok, cents(notional) if notional is not None else "unknown: no rate", limit)


def max_position_equity(state: State, intent: Intent) -> RuleVerdict:
    """Worst-case value as a share of session-start equity stays under the cap (§11)."""
    request, equity = intent.request, state.day.start_equity
    worst = _worst_qty(state, request.symbol, request.side) + request.order_qty
    notional = state.notional(request.symbol, worst, intent.decision_px)
    limit = state.day.limits.max_position_equity_pct
    share = notional / equity * _HUNDRED if notional is not None and equity else None
    ok = share is not None and share <= limit
    return _verdict("max_position_equity_pct", ok, cents(share) if share is not None else "unknown", limit)


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
    return _verdict("max_strategy_equity_pct", ok, cents(share) if share is not None else "unknown", limit)


def buying_power(state: State, intent: Intent) -> RuleVerdict:
    """The statement's buying power, less everything that may not be inside it: counted twice is allowed, too little
    never.
    """
    account, request = state.account, intent.request
    instrument = state.instrument(request.symbol)
    notional = state.notional(request.symbol, request.order_qty, intent.decision_px)
    if account is None or instrument is None or notional is None:
        return _verdict("buying_power", False, "unknown: no account statement or rate", "a known figure")
    reserved = sum((o.reserve_notional for o in state.working_entries()), ZERO)
    spent = sum(state.spent.values(), ZERO)
    free = account.buying_power - (reserved + spent) * instrument.margin_rate - _hidden_margin(state)
    needed = notional * instrument.margin_rate
    return _verdict("buying_power", needed <= free, cents(needed), cents(free))


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


def price_collar(state: State, intent: Intent) -> RuleVerdict:
    """Limit and stop prices within reach of the decision price: a slipped decimal point never leaves the house."""
    limit, px = state.day.limits.price_collar_bps, intent.decision_px
    prices = [intent.request.limit_px, intent.request.stop_px]
    prices += [leg.stop_px for leg in intent.request.legs] + [leg.limit_px for leg in intent.request.legs]
    worst = max((abs(p - px) / px * _BPS for p in prices if p is not None), default=ZERO) if px > 0 else _BPS
    return _verdict("price_collar", px > 0 and worst <= limit, f"{worst:.0f} bps", f"{limit} bps")


def stop_side(state: State, intent: Intent) -> RuleVerdict:
    """A protective stop lies on the losing side of the decision price."""
    stop, px = intent.stop_px, intent.decision_px
    ok = stop is None or (stop < px if intent.request.side is Side.BUY else stop > px)
    return _verdict("stop_side", ok, stop if stop is not None else "no stop", f"beyond {px}")


def stale_quote(state: State, intent: Intent) -> RuleVerdict:
    """The price decided on must be recent; a symbol without a mark is never entered."""
    mark, limit = state.marks.get(intent.request.symbol), state.day.limits.stale_quote_s
    limit = max(limit, state.day.window.interval_s)
    age = (state.clock() - mark.at).total_seconds() if mark is not None else None
    return _verdict(
        "stale_quote",
        age is not None and age <= limit,
        f"{age:.0f} s" if age is not None else "no quote",
        f"{limit} s",
    )


def submit_rate(state: State, intent: Intent) -> RuleVerdict:
    """Orders per minute stay under the cap: a runaway loop is stopped here."""
    limit = state.day.limits.max_submits_per_minute
    recent = sum(state.clock() - at < _MINUTE for at in state.day.submits)
    return _verdict("submit_rate", recent < limit, f"{recent} in the last minute", limit)


def instrument_rules(state: State, intent: Intent) -> RuleVerdict:
    """Known instrument, quantity on the lot grid, shorting only where it may be shorted."""
    request = intent.request
    instrument = state.instrument(request.symbol)
    if instrument is None:
        return _verdict("instrument", False, "unknown symbol", "a symbol of the session's universe")
    on_lot = request.order_qty > 0 and instrument.lot_down(request.order_qty) == request.order_qty
    short_ok = request.side is Side.BUY or instrument.shortable
    problem = "not on the lot grid" if not on_lot else "may not be shorted" if not short_ok else "fits"
    return _verdict(
        "instrument",
        on_lot and short_ok,
        problem,
        f"lot {instrument.lot_size}, shortable {instrument.shortable}",
    )


EXIT_RULES: Final[tuple[Rule, ...]] = (reduce_only,)
ENTRY_RULES: Final[tuple[Rule, ...]] = (
    trading_state,
    risk_manager,
    environment_armed,
    entries_released,
    run_active,
    session_window,
    broker_connected,
    feed_quality,
    reconciled,
    blocked_symbol,
    ownership,
    instrument_rules,
    max_daily_loss,
    max_trades,
    max_open_positions,
    max_position_qty,
    max_position_notional,
    max_position_equity,
    max_strategy_equity,
    buying_power,
    price_collar,
    stop_side,
    stale_quote,
    submit_rate,
)


def judge(state: State, intent: Intent) -> tuple[RuleVerdict, ...]:
    """Every applicable rule's verdict, in a fixed order. The intent may pass only if all of them passed."""
    rules: Sequence[Rule] = ENTRY_RULES if intent.is_entry else EXIT_RULES
    return tuple(rule(state, intent) for rule in rules)
