"""What happens when a limit is reached or an order would go beyond one, to the letter of the runbook (§11).

1. *Max daily loss*: the book is halted, entries blocked and exits running; the violation is on record, alarmed and
   shown; a person is asked whether positions go on under their exits or are liquidated, ever louder until answered.
2. *Max position size*: the order never reaches the broker; the reason is on record, and alarmed once for the strategy
   whose sizing or configuration wants a look.
3. *Max trades per day*: further entries are denied, positions go on under their exits; alarmed once.
4. *The Risk Manager cannot answer*: what it was asked about is denied, the book is halted like in 1. Exits and cancels
   are not concerned, unless the reduce-only cap itself fails; liquidation is judged by nothing.

Each watch knows what it can depend on, and is idle while that stands still.
"""

from collections.abc import Callable, Sequence
from typing import Final

from qmworkbench.domain.events.control import DecisionRecorded, DecisionRequired, RiskViolated
from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import cents
from qmworkbench.domain.safety import MustHalt
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.decision import UNATTENDED, Decision
from qmworkbench.trading.denials import sentence
from qmworkbench.trading.risk import RULE_FAILED
from qmworkbench.trading.risk_rule import Intent
from qmworkbench.trading.state import State

DAILY_LOSS_OPTIONS: Final = ("continue_exits", "liquidate")
POSITION_SIZE: Final = frozenset(
    {"max_position_qty", "max_position_notional", "max_position_equity_pct", "max_symbol_equity_pct"}
)
MAX_TRADES: Final = "max_trades_per_day"
BLOCKED: Final = "the order was blocked before submission"
HALTED: Final = "halted: entries are blocked, exits run"


def watch(decision: Decision) -> None:
    """What has to be looked at whenever holdings or prices moved. A figure that cannot be made halts like a loss."""
    for look in (_daily_loss, _unvalued):
        _guarded(decision, look)


def judged(decision: Decision, intent: Intent, failed: Sequence[RuleVerdict]) -> None:
    """What follows from the verdicts on one intent that did not pass."""
    for verdict in failed:
        if verdict.code == RULE_FAILED:
            _unavailable(decision, verdict.value, intent)
        elif verdict.code in POSITION_SIZE:
            _oversized(decision, intent, verdict)
        elif verdict.code == MAX_TRADES:
            _no_more_trades(decision, intent, verdict)


def _guarded(decision: Decision, look: Callable[[Decision], None]) -> None:
    try:
        look(decision)
    except Exception as error:
        _unavailable(decision, f"{look.__name__.strip('_')}: {type(error).__name__}: {error}", None)


def _unavailable(decision: Decision, what: str, intent: Intent | None) -> None:
    """§23 risk manager unavailable: what cannot be judged never passes, and nothing further is begun."""
    rule = what.partition(":")[0]
    if content_id("risk_manager_failed", rule) not in decision.state.alerts:
        _violated(decision, RULE_FAILED, "book", what, "an answer of every rule", HALTED, intent)
    text = f"the Risk Manager cannot answer: {what}"
    decision.restrict("book", TradingState.REDUCING, MustHalt.RISK_MANAGER_UNAVAILABLE, text, "risk_manager")
    decision.alarm(
        "risk_manager_failed",
        rule,
        Priority.P0,
        f"{text}. What it was asked about is denied; the book is {decision.state.halt.state.shown}",
        "exits and cancels go on; find the cause before entries are allowed again (§23)",
    )


def _oversized(decision: Decision, intent: Intent, verdict: RuleVerdict) -> None:
    """§11 Max Position Size Violation: blocked before submission, the reason on record.

    Where others' parts of the symbol have used the limit up, nothing is wrong with this one's sizing: no alarm.
    """
    name = intent.strategy_id
    _violated(decision, verdict.code, name, verdict.value, verdict.limit, BLOCKED, intent)
    if _beside_others(decision.state, intent) and not _too_large_alone(decision.state, intent):
        return
    decision.alarm(
        "position_size_violation",
        name,
        Priority.P2,
        f"{name}: an order in {intent.request.symbol} would have been too large and was blocked: {sentence(verdict)}",
        "confirm that no oversized order was submitted; review the sizing and the strategy's configuration (§11)",
    )


def _beside_others(state: State, intent: Intent) -> bool:
    symbol, mine = intent.request.symbol, intent.strategy_id
    held = any(position.strategy_id != mine for position in state.holders(symbol))
    return held or any(order.strategy_id != mine for order in state.working_in(symbol))


def _too_large_alone(state: State, intent: Intent) -> bool:
    limits, qty, equity = state.day.limits, intent.request.order_qty, state.day.start_equity
    if limits.max_position_qty is not None and qty > limits.max_position_qty:
        return True
    worth = state.notional(intent.request.symbol, qty, intent.decision_px)
    if worth is None or equity is None:
        return True
    return worth > limits.max_position_notional or worth * 100 > limits.max_position_equity_pct * equity


def _no_more_trades(decision: Decision, intent: Intent, verdict: RuleVerdict) -> None:
    """§11 Max Trades Per Day Reached: entries are denied one by one, positions go on under their exits."""
    if content_id("max_trades_reached", "book") in decision.state.alerts:
        return
    effect = "further entries are blocked; open positions go on under their exits"
    _violated(decision, verdict.code, "book", verdict.value, verdict.limit, effect, intent)
    decision.alarm(
        "max_trades_reached",
        "book",
        Priority.P2,
        f"max trades per day reached ({verdict.limit}): {effect}",
        "confirm no new entries are created; open positions go on under their exits (§11)",
    )


def _daily_loss(decision: Decision) -> None:
    """§11 Max Daily Loss: entries stop, exits run, and a person is asked: continue or liquidate."""
    state, day = decision.state, decision.state.day
    most = day.max_loss
    pnl = state.day_pnl() if most is not None else None
    if most is None or pnl is None or pnl > -most:
        return
    if content_id("max_daily_loss", day.session_id) in state.alerts:
        return
    text = f"day P&L {cents(pnl)} is beyond the limit of -{most} {day.account_currency}"
    _violated(decision, "max_daily_loss", "book", str(cents(pnl)), f"-{most}", HALTED, None)
    # A book that was paused before is no stricter for it, but the question still needs its answer.
    decision.restrict("book", TradingState.REDUCING, "max_daily_loss", text, "risk_manager")
    decision.alarm(
        "max_daily_loss",
        day.session_id,
        Priority.P1,
        text,
        "confirm that no new entries pass; decide: continue exits or liquidate; record the incident (§11)",
    )
    question = f"{text}. Continue open positions under their exits, or liquidate?"
    name = content_id(day.session_id, "max_daily_loss")
    decision.emit(DecisionRequired(at=decision.at, decision_id=name, question=question, options=DAILY_LOSS_OPTIONS))
    if day.unattended:
        decision.emit(
            DecisionRecorded(
                at=decision.at,
                decision_id=name,
                choice="continue_exits",
                by=UNATTENDED,
                reason="nobody attends; liquidation is a person's command",
            )
        )


def _unvalued(decision: Decision) -> None:
    """A position whose money cannot be counted keeps its exits; but nobody watches the daily loss then (§11)."""
    state, day = decision.state, decision.state.day
    if day.frame_at is None:
        return  # the session's first prices are still to come
    known = state.unrealized_pnl() is not None  # everything has a rate then
    missing = (
        [] if known else [f"{symbol} ({why})" for symbol in sorted(state.net) if (why := state.missing_rate(symbol))]
    )
    if not missing:
        decision.all_clear("conversion_rate_missing", day.session_id, "every position can be valued")
        return
    decision.alarm(
        "conversion_rate_missing",
        day.session_id,
        Priority.P1,
        f"held and not to be valued: {', '.join(missing)}; the day's P&L is unknown, entries are denied, exits go on",
        "see that the pair between the two currencies is in the session's data; watch the loss at the broker meanwhile",
    )


def _violated(
    decision: Decision, code: str, scope: str, value: str, limit: str, effect: str, intent: Intent | None
) -> None:
    decision.emit(
        RiskViolated(
            at=decision.at,
            code=code,
            scope=scope,
            value=value,
            limit=limit,
            effect=effect,
            limits_hash=decision.state.day.limits_hash,
            symbol="" if intent is None else intent.request.symbol,
            cl_ord_id="" if intent is None else intent.request.cl_ord_id,
        )
    )
