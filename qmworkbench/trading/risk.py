"""The Risk Manager: a small rule for each limit, with a stable code, the value seen and the limit (§11).

Every rule declares whom it judges. Entries face all of them. Exits face the reduce-only cap alone: no collar, no stale
quote, no trade count and not even an unavailable Risk Manager may trap a position. Cancels are never judged.
All rules are evaluated and recorded, allowed or denied, so that a denial names every reason at once. Here are those
about who may trade and when; money and size are in risk_exposure.py, prices and the instrument's terms in
risk_terms.py. docs/risk.md lists them all.

A rule that fails to answer denies, under a code of its own: silence of the Risk Manager is never a pass.
"""

from datetime import timedelta
from operator import is_
from typing import Final

from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.sessions import Environment, Phase, TradingState
from qmworkbench.trading import exposure, risk_exposure, risk_terms
from qmworkbench.trading.risk_rule import Case, Intent, Rule, rule, verdict
from qmworkbench.trading.state import State

__all__ = ["ENTRY_RULES", "EXIT_RULES", "RULE_FAILED", "Intent", "judge", "judge_unsized"]

RULE_FAILED: Final = "rule_failed"

_MINUTE: Final = timedelta(minutes=1)
# What is answered most is made once.
_ACTIVE: Final = verdict("trading_state", True, TradingState.ACTIVE.shown, TradingState.ACTIVE.shown)
_ALL_UP: Final = verdict("critical_health", True, "none down", "none down")
_RELEASED: Final = verdict("entries_released", True, "released", "released")
_RUNNING: Final = verdict("run_active", True, "running", "running")
_CONNECTED: Final = verdict("broker_connected", True, True, True)
_DISCONNECTED: Final = verdict("broker_connected", False, False, True)
_GOOD_FEED: Final = verdict("feed_quality", True, FeedState.GOOD, FeedState.GOOD)
_RECONCILED: Final = verdict("reconciled", True, "0 open breaks", "0 open breaks")
_NOT_BLOCKED: Final = verdict("blocked_symbol", True, "not blocked", "not blocked")
_ARMED: Final = {
    environment: verdict("environment_armed", environment is not Environment.LIVE, environment, "live must be armed")
    for environment in Environment
}


# --- exits ---------------------------------------------------------------------------------------------


@rule("reduce_only")
def reduce_only(case: Case) -> RuleVerdict:
    """An exit may close what is held and not a share more, counting exits already on their way."""
    request, strategy_id = case.request, case.intent.strategy_id
    held = case.state.position(strategy_id, request.symbol)
    qty = held.qty if held is not None else ZERO
    on_the_way = exposure.may_close(case.state, strategy_id, request.symbol, request.side)
    closable = max(ZERO, -request.side.sign * qty - on_the_way)
    return verdict("reduce_only", ZERO < request.order_qty <= closable, request.order_qty, closable)


# --- entries -------------------------------------------------------------------------------------------


@rule("trading_state")
def trading_state(case: Case) -> RuleVerdict:
    """The worse of the book's and the strategy's state must be ACTIVE; the verdict says whose it is."""
    now = case.state.trading_state(case.intent.strategy_id)
    if now is TradingState.ACTIVE:
        return _ACTIVE
    whose = "book" if now is case.state.halt.state else "strategy"
    return verdict("trading_state", False, f"{whose} is {now.shown}", TradingState.ACTIVE.shown)


@rule("critical_health")
def critical_health(case: Case) -> RuleVerdict:
    """Critical components must be healthy; this Risk Manager is one of them (§7)."""
    down = case.day.critical_down
    return verdict("critical_health", False, ", ".join(down), "none down") if down else _ALL_UP


@rule("environment_armed")
def environment_armed(case: Case) -> RuleVerdict:
    """Live needs arming, which this version does not offer: a live entry is always refused here."""
    return _ARMED[case.day.environment]


@rule("entries_released")
def entries_released(case: Case) -> RuleVerdict:
    """Entries are not held: by the phase, a recovery, or a person."""
    held = case.day.entries_held
    return verdict("entries_released", False, held, "released") if held else _RELEASED


@rule("run_active")
def run_active(case: Case) -> RuleVerdict:
    """The strategy's run has started and not ended."""
    run = case.day.runs.get(case.intent.strategy_id)
    return _RUNNING if run is not None and not run.ended else verdict("run_active", False, "ended", "running")


@rule("session_window")
def session_window(case: Case) -> RuleVerdict:
    """Entries keep the configured distance from the open and from the close; half-days have their own close."""
    day, limits, now = case.day, case.limits, case.state.clock()
    kept = case.state.__dict__.get("session_window")
    on = (now, day.phase, day.opens_at, day.closes_at, limits)
    if kept is not None and all(map(is_, kept[0], on)):
        return kept[1]  # type: ignore[no-any-return]
    since, left = (now - day.opens_at) / _MINUTE, (day.closes_at - now) / _MINUTE
    ok = day.phase is Phase.MARKET_SESSION and since >= limits.entry_delay_min and left > limits.entry_cutoff_min
    answer = RuleVerdict(
        "session_window",
        ok,
        f"{day.phase.value}, {since:.0f} min after open, {left:.0f} min before close",
        f"{limits.entry_delay_min} min after open, {limits.entry_cutoff_min} min before close",
    )
    case.state.__dict__["session_window"] = on, answer
    return answer


@rule("broker_connected")
def broker_connected(case: Case) -> RuleVerdict:
    """The execution broker answers (§12)."""
    return _CONNECTED if case.state.connected else _DISCONNECTED


@rule("feed_quality")
def feed_quality(case: Case) -> RuleVerdict:
    """Market data is trusted (§12)."""
    feed = case.state.feed
    return _GOOD_FEED if feed is FeedState.GOOD else verdict("feed_quality", False, feed, FeedState.GOOD)


@rule("reconciled")
def reconciled(case: Case) -> RuleVerdict:
    """No entry while the broker's books and ours disagree, or while a recovery is running."""
    if case.day.recovering:
        return verdict("reconciled", False, "recovering", "0 open breaks")
    open_breaks = len(case.state.reconciliation.unresolved)
    return verdict("reconciled", False, f"{open_breaks} open breaks", "0 open breaks") if open_breaks else _RECONCILED


@rule("blocked_symbol")
def blocked_symbol(case: Case) -> RuleVerdict:
    """The symbol is on no blocked list (§10), neither the session's nor the permanent one."""
    block = case.state.blocked.get(case.request.symbol)
    if block is None:
        return _NOT_BLOCKED
    return verdict("blocked_symbol", False, f"{block.scope}: {block.reason}", "not blocked")


@rule("ownership")
def ownership(case: Case) -> RuleVerdict:
    """Only an instance the allocator gave the symbol to may enter it."""
    owners, mine = case.day.owners.get(case.request.symbol, []), case.intent.strategy_id
    return RuleVerdict("ownership", mine in owners, ", ".join(owners) if owners else "nobody", mine)


EXIT_RULES: Final[tuple[Rule, ...]] = (reduce_only,)
ENTRY_RULES: Final[tuple[Rule, ...]] = (
    trading_state,
    critical_health,
    environment_armed,
    entries_released,
    run_active,
    session_window,
    broker_connected,
    feed_quality,
    risk_terms.clock_skew,
    reconciled,
    blocked_symbol,
    ownership,
    risk_exposure.conversion_rate,
    risk_terms.instrument,
    risk_terms.short_sale,
    risk_terms.min_notional,
    risk_exposure.max_daily_loss,
    risk_exposure.max_trades,
    risk_exposure.max_open_positions,
    risk_exposure.max_position_qty,
    risk_exposure.max_position_notional,
    risk_exposure.max_position_equity,
    risk_exposure.max_symbol_equity,
    risk_exposure.max_strategy_equity,
    risk_exposure.buying_power,
    risk_terms.day_trades,
    risk_terms.price_collar,
    risk_terms.stop_side,
    risk_terms.stale_quote,
    risk_terms.submit_rate,
)
_UNSIZED: Final[tuple[Rule, ...]] = (trading_state, run_active, ownership, risk_exposure.conversion_rate)


def judge(state: State, intent: Intent) -> tuple[RuleVerdict, ...]:
    """Every applicable rule's verdict, in a fixed order. The intent may pass only if all of them passed."""
    return _asked(ENTRY_RULES if intent.is_entry else EXIT_RULES, state, intent)


def judge_unsized(state: State, intent: Intent) -> tuple[RuleVerdict, ...]:
    """The verdicts on an entry that no size could be found for: why it has none. It never passes."""
    verdicts = _asked(_UNSIZED, state, intent)
    return (
        verdicts if not all(v.passed for v in verdicts) else _asked((*_UNSIZED, risk_terms.instrument), state, intent)
    )


def _asked(rules: tuple[Rule, ...], state: State, intent: Intent) -> tuple[RuleVerdict, ...]:
    try:
        case = Case(state, intent)
    except Exception as error:
        return (_failed("the case", error),)
    verdicts: list[RuleVerdict] = []
    for code, ask in rules:
        try:
            verdicts.append(ask(case))
        except Exception as error:
            verdicts.append(_failed(code, error))
    return tuple(verdicts)


def _failed(code: str, error: Exception) -> RuleVerdict:
    return verdict(RULE_FAILED, False, f"{code}: {type(error).__name__}: {error}", "an answer of every rule")
