"""The Risk Manager: a small rule for each limit, with a stable code, the value seen and the limit (§11).

Every rule declares whom it judges. Entries face all of them. Exits face the reduce-only cap alone: no collar, no stale
quote, no trade count and not even an unavailable Risk Manager may trap a position. Cancels are never judged.
All rules are evaluated and recorded, allowed or denied, so that a denial names every reason at once. Those about money
and size are in risk_exposure.py.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Side
from qmworkbench.domain.sessions import Environment, Phase, TradingState
from qmworkbench.trading import risk_exposure as exposure
from qmworkbench.trading.risk_rule import Intent, Rule, verdict
from qmworkbench.trading.state import State

__all__ = ["ENTRY_RULES", "EXIT_RULES", "Intent", "judge", "judge_unsized"]

_MINUTE: Final = timedelta(minutes=1)
_BPS: Final = Decimal(10_000)


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
    return verdict("reduce_only", ZERO < request.order_qty <= closable, request.order_qty, closable)


# --- entries -------------------------------------------------------------------------------------------


def trading_state(state: State, intent: Intent) -> RuleVerdict:
    """The worse of the book's and the strategy's state must be ACTIVE; the verdict says whose it is."""
    now = state.trading_state(intent.strategy_id)
    if now is TradingState.ACTIVE:
        return verdict("trading_state", True, now.shown, TradingState.ACTIVE.shown)
    whose = "book" if now is state.halt.state else "strategy"
    return verdict("trading_state", False, f"{whose} is {now.shown}", TradingState.ACTIVE.shown)


def risk_manager(state: State, intent: Intent) -> RuleVerdict:
    """Critical components must be healthy; this Risk Manager is one of them (§7)."""
    down = state.day.critical_down
    return verdict("critical_health", not down, ", ".join(down) or "none down", "none down")


def environment_armed(state: State, intent: Intent) -> RuleVerdict:
    """Live needs arming, which this version does not offer: a live entry is always refused here."""
    environment = state.day.environment
    return verdict("environment_armed", environment is not Environment.LIVE, environment, "live must be armed")


def entries_released(state: State, intent: Intent) -> RuleVerdict:
    """Entries are not held: by the phase, a recovery, or a person."""
    held = state.day.entries_held
    return verdict("entries_released", not held, held or "released", "released")


def run_active(state: State, intent: Intent) -> RuleVerdict:
    """The strategy's run has started and not ended."""
    run = state.day.runs.get(intent.strategy_id)
    ok = run is not None and not run.ended
    return verdict("run_active", ok, "running" if ok else "ended", "running")


def session_window(state: State, intent: Intent) -> RuleVerdict:
    """Entries keep the configured distance from the open and from the close; half-days have their own close."""
    limits, phase = state.day.limits, state.day.phase
    since, left = state.minutes_since_open(), state.minutes_to_close()
    ok = phase is Phase.MARKET_SESSION and since >= limits.entry_delay_min and left > limits.entry_cutoff_min
    return verdict(
        "session_window",
        ok,
        f"{phase}, {since:.0f} min after open, {left:.0f} min before close",
        f"{limits.entry_delay_min} min after open, {limits.entry_cutoff_min} min before close",
    )


def broker_connected(state: State, intent: Intent) -> RuleVerdict:
    """The execution broker answers (§12)."""
    return verdict("broker_connected", state.connected, state.connected, True)


def feed_quality(state: State, intent: Intent) -> RuleVerdict:
    """Market data is trusted (§12)."""
    return verdict("feed_quality", state.feed is FeedState.GOOD, state.feed, FeedState.GOOD)


def reconciled(state: State, intent: Intent) -> RuleVerdict:
    """No entry while the broker's books and ours disagree, or while a recovery is running."""
    open_breaks = len(state.reconciliation.unresolved)
    ok = not open_breaks and not state.day.recovering
    value = "recovering" if state.day.recovering else f"{open_breaks} open breaks"
    return verdict("reconciled", ok, value, "0 open breaks")


def blocked_symbol(state: State, intent: Intent) -> RuleVerdict:
    """The symbol is on no blocked list (§10)."""
    block = state.blocked.get(intent.request.symbol)
    return verdict(
        "blocked_symbol",
        block is None,
        f"{block.scope}: {block.reason}" if block else "not blocked",
        "not blocked",
    )


def ownership(state: State, intent: Intent) -> RuleVerdict:
    """Only an instance the allocator gave the symbol to may enter it."""
    owners = state.day.owners.get(intent.request.symbol, [])
    return verdict(
        "ownership", intent.strategy_id in owners, ", ".join(owners) if owners else "nobody", intent.strategy_id
    )


def price_collar(state: State, intent: Intent) -> RuleVerdict:
    """Limit and stop prices within reach of the decision price: a slipped decimal point never leaves the house."""
    limit, px = state.day.limits.price_collar_bps, intent.decision_px
    prices = [intent.request.limit_px, intent.request.stop_px]
    prices += [leg.stop_px for leg in intent.request.legs] + [leg.limit_px for leg in intent.request.legs]
    worst = max((abs(p - px) / px * _BPS for p in prices if p is not None), default=ZERO) if px > 0 else _BPS
    return verdict("price_collar", px > 0 and worst <= limit, f"{worst:.0f} bps", f"{limit} bps")


def stop_side(state: State, intent: Intent) -> RuleVerdict:
    """A protective stop lies on the losing side of the decision price."""
    stop, px = intent.stop_px, intent.decision_px
    ok = stop is None or (stop < px if intent.request.side is Side.BUY else stop > px)
    return verdict("stop_side", ok, stop if stop is not None else "no stop", f"beyond {px}")


def stale_quote(state: State, intent: Intent) -> RuleVerdict:
    """The price decided on must be recent; a symbol without a mark is never entered."""
    mark, limit = state.marks.get(intent.request.symbol), state.day.limits.stale_quote_s
    limit = max(limit, state.day.window.interval_s)
    age = (state.clock() - mark.at).total_seconds() if mark is not None else None
    return verdict(
        "stale_quote",
        age is not None and age <= limit,
        f"{age:.0f} s" if age is not None else "no quote",
        f"{limit} s",
    )


def submit_rate(state: State, intent: Intent) -> RuleVerdict:
    """Orders per minute stay under the cap: a runaway loop is stopped here."""
    limit = state.day.limits.max_submits_per_minute
    recent = sum(state.clock() - at < _MINUTE for at in state.day.submits)
    return verdict("submit_rate", recent < limit, f"{recent} in the last minute", limit)


def instrument_rules(state: State, intent: Intent) -> RuleVerdict:
    """Known instrument, quantity on the lot grid, shorting only where it may be shorted."""
    request = intent.request
    instrument = state.instrument(request.symbol)
    if instrument is None:
        return verdict("instrument", False, "unknown symbol", "a symbol of the session's universe")
    on_lot = request.order_qty > 0 and instrument.lot_down(request.order_qty) == request.order_qty
    short_ok = request.side is Side.BUY or instrument.shortable
    problem = "not on the lot grid" if not on_lot else "may not be shorted" if not short_ok else "fits"
    return verdict(
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
    exposure.conversion_rate,
    instrument_rules,
    exposure.max_daily_loss,
    exposure.max_trades,
    exposure.max_open_positions,
    exposure.max_position_qty,
    exposure.max_position_notional,
    exposure.max_position_equity,
    exposure.max_strategy_equity,
    exposure.buying_power,
    price_collar,
    stop_side,
    stale_quote,
    submit_rate,
)


def judge(state: State, intent: Intent) -> tuple[RuleVerdict, ...]:
    """Every applicable rule's verdict, in a fixed order. The intent may pass only if all of them passed."""
    rules: Sequence[Rule] = ENTRY_RULES if intent.is_entry else EXIT_RULES
    return tuple(rule(state, intent) for rule in rules)


def judge_unsized(state: State, intent: Intent) -> tuple[RuleVerdict, ...]:
    """The verdicts on an entry that no size could be found for: why it has none."""
    return tuple(rule(state, intent) for rule in (trading_state, run_active, ownership, exposure.conversion_rate))
