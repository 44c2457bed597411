"""Must Halt Trading Immediately (§23): each of its five conditions is detected by the platform itself.

Execution state is ambiguous: an order was sent and nobody knows for too long whether the broker has it, or a report
contradicts our books and no comparison has explained it in time. Risk manager unavailable: health names it among the
critical components that are down. Duplicate live order suspected: an order filled beyond its quantity, or the broker
works an order that we hold ended, gave up as never arrived, or that nobody here sent beside one of ours. Data quality
severely degraded: market data has not been good for too long. Positions do not match: a comparison found another
quantity or side at the broker.

The book becomes REDUCING: exits run. Only where prices cannot be believed for too long (crossed, absurd) it becomes
HALTED, because exits are judged by those prices.

Each cancels the entries and raises P0. None liquidates, unless an owner approved a policy for it beforehand (config
`[halt]`): liquidation is a person's command. None ends by itself: that the trouble is over is not the decision to go
on (trading/resuming.py).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import TradingStateChanged
from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.events.orders import OrderChanged, ReportQuarantined
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.orders import Arc, Order, OrdStatus
from qmworkbench.domain.safety import MUST_HALT, MustHalt
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading import emergency
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_entries
from qmworkbench.trading.state import EXTERNAL, State

__all__ = ["REMEDY", "SHOWN", "MustHalt", "declare", "ended", "standing", "watch"]

ALERT: Final = "must_halt"
SHOWN: Final[dict[MustHalt, str]] = {
    MustHalt.EXECUTION_AMBIGUOUS: "execution state is ambiguous",
    MustHalt.RISK_MANAGER_UNAVAILABLE: "risk manager unavailable",
    MustHalt.DUPLICATE_SUSPECTED: "duplicate live order suspected",
    MustHalt.DATA_DEGRADED: "data quality severely degraded",
    MustHalt.POSITION_MISMATCH: "broker positions do not match internal positions",
}
REMEDY: Final[dict[MustHalt, str]] = {
    MustHalt.EXECUTION_AMBIGUOUS: "compare with the broker's order history (`qm order inspect ID`), then reconcile",
    MustHalt.RISK_MANAGER_UNAVAILABLE: "see `qm status` for what is down, and bring it back before anything else",
    MustHalt.DUPLICATE_SUSPECTED: "do not send it again; compare both histories with `qm order inspect ID`",
    MustHalt.DATA_DEGRADED: "check the feed; exits run by the broker's resting orders; liquidate only by decision",
    MustHalt.POSITION_MISMATCH: "the broker is right about exposure: `qm reconcile`, then find the cause",
}
_POSITION_BREAKS: Final = (BreakKind.POSITION_QTY, BreakKind.POSITION_SIDE)
_DUPLICATES: Final = ("over_fill", "two_live_orders")
_SENT: Final = (OrdStatus.SUBMITTED, OrdStatus.UNKNOWN)
# What a standing comparison, a strategy's rule or an order rule said in this very step.
_TELLING: Final = frozenset({BreakFound, OrderChanged, ReportQuarantined, TradingStateChanged})
# The session trades, or unwinds: what is degraded before or after that holds nothing that could be halted.
_AT_WORK: Final = (Phase.MARKET_SESSION, Phase.SHUTDOWN)
_SECOND: Final = timedelta(seconds=1)


def watch(decision: Decision) -> None:
    """Look for each condition after an input; idle unless something could have changed."""
    state = decision.state
    if state.session is None or state.day.phase is Phase.CLOSED:
        return
    for event in [event for event in decision.events if type(event) in _TELLING]:
        if type(event) is OrderChanged and not state.orders[event.cl_ord_id].abandoned:
            continue  # most of what is told of orders
        for condition, reason in _told_by(state, event):
            declare(decision, condition, reason)
    calm = state.feed_since is None and state.contradicted_since is None and not state.unsettled
    if calm and not state.day.critical_down:
        return
    _have_explained(decision)
    for condition, reason in standing(state, decision.at):
        declare(decision, condition, reason)


def declare(decision: Decision, condition: MustHalt, reason: str) -> bool:
    """Halt the book for `condition`, cancel its entries, raise P0, and liquidate only where a policy says so.

    Says whether anything changed: a condition is declared once until the book is resumed, unless it now asks for a
    stricter state.
    """
    state = decision.state
    changed = decision.restrict("book", _target(state, condition), condition, reason, "platform")
    if not changed and content_id(ALERT, condition) in state.alerts:
        return False
    cancel_entries(decision, f"must halt: {SHOWN[condition]}")
    decision.alarm(
        ALERT,
        condition,
        Priority.P0,
        f"must halt: {SHOWN[condition]}: {reason}. The book is {state.halt.state.shown}",
        f"{REMEDY[condition]}; leave the halt with `qm resume`",
    )
    _by_policy(decision, condition, reason)
    return True


def ended(decision: Decision, reason: str) -> None:
    """The book was resumed: the alarms of its conditions are over."""
    for condition in MUST_HALT:
        decision.all_clear(ALERT, condition, reason)


def standing(state: State, at: datetime) -> Iterator[tuple[MustHalt, str]]:
    """The conditions that hold now by the state alone, with the reason; those that only an event tells are not among
    them.
    """
    if state.session is None:
        return
    settings = state.day.halt_settings
    ambiguous = _ambiguous(state, at, settings.ambiguous_after_s)
    if ambiguous:
        yield MustHalt.EXECUTION_AMBIGUOUS, ambiguous
    if "risk_manager" in state.day.critical_down and state.day.phase in _AT_WORK:
        yield MustHalt.RISK_MANAGER_UNAVAILABLE, "health says that it is down"
    degraded = _degraded(state, at, settings.data_degraded_after_s, settings.prices_untrusted_after_s)
    if degraded and state.day.phase in _AT_WORK:
        yield MustHalt.DATA_DEGRADED, degraded
    unresolved = state.reconciliation.unresolved
    if (
        mismatched := sorted({b.symbol for b in unresolved.values() if b.kind in _POSITION_BREAKS})
        if unresolved
        else []
    ):
        yield MustHalt.POSITION_MISMATCH, f"{', '.join(mismatched)} differ and nothing has settled it"


def _ambiguous(state: State, at: datetime, after_s: int) -> str:
    longest: Order | None = None
    for name in state.unsettled:
        order = state.orders[name]
        if order.status in _SENT and order.parent_id is None and (longest is None or _since(order) < _since(longest)):
            longest = order
    if longest is not None and (waited := (at - _since(longest)) // _SECOND) > after_s:
        return f"{longest.symbol} {longest.cl_ord_id} is {longest.status} for {waited} s"
    since = state.contradicted_since
    if since is not None and (waited := (at - since) // _SECOND) > after_s:
        return f"a report contradicts our books for {waited} s and no comparison has explained it"
    return ""


def _since(order: Order) -> datetime:
    """Since when an answer is due: of what was sent, or of what was lost."""
    known = order.submitted_at if order.status is OrdStatus.SUBMITTED else order.last_at
    return known or order.intended_at


def _degraded(state: State, at: datetime, after_s: int, untrusted_after_s: int) -> str:
    if state.untrusted_since is None and state.feed_since is None:
        return ""
    # A night is no trouble of the feed's: the time of one that was bad yesterday counts from this session's open.
    opened = state.day.opens_at
    untrusted = max(state.untrusted_since, opened) if state.untrusted_since is not None else None
    bad = max(state.feed_since, opened) if state.feed_since is not None else None
    # A feed is judged when bars come: the next ones must have had their chance to be good.
    interval_s = state.day.window.interval_s
    if untrusted is not None and (lasts := (at - untrusted) // _SECOND) > max(untrusted_after_s, interval_s):
        return f"prices cannot be believed for {lasts} s: {state.feed_detail}"
    if bad is not None and (lasts := (at - bad) // _SECOND) > max(after_s, 2 * interval_s):
        return f"market data is {state.feed} for {lasts} s: {state.feed_detail}"
    return ""


def _target(state: State, condition: MustHalt) -> TradingState:
    """Exits go on, unless the prices they are judged by cannot be believed."""
    untrusted = condition is MustHalt.DATA_DEGRADED and state.feed is FeedState.CROSSED
    return TradingState.HALTED if untrusted else TradingState.REDUCING


def _told_by(state: State, event: Event) -> Iterator[tuple[MustHalt, str]]:
    """What one event of this step says by itself."""
    if isinstance(event, BreakFound):
        yield from _break_tells(state, event)
    elif isinstance(event, ReportQuarantined):
        if event.kind in _DUPLICATES:
            yield MustHalt.DUPLICATE_SUSPECTED, f"{event.cl_ord_id}: {event.detail}"
        elif event.kind == "unknown_order" and (twin := _twin(state, event.cl_ord_id)):
            yield MustHalt.DUPLICATE_SUSPECTED, f"{event.cl_ord_id} is not in our books and resembles {twin}"
    elif isinstance(event, OrderChanged):
        order = state.orders[event.cl_ord_id]
        # Legs that ended with their entry come alive where the entry's late fill shows up: no double of anything.
        if order.abandoned and order.parent_id is None and event.arc in (Arc.ACK, Arc.FILL):
            text = f"{order.symbol} {event.cl_ord_id} was given up as never arrived, and the broker has it"
            yield MustHalt.DUPLICATE_SUSPECTED, text
    elif isinstance(event, TradingStateChanged) and event.scope == "book" and event.code in MUST_HALT:
        yield MustHalt(event.code), event.reason


def _break_tells(state: State, event: BreakFound) -> Iterator[tuple[MustHalt, str]]:
    if event.kind in _POSITION_BREAKS:
        yield MustHalt.POSITION_MISMATCH, f"{event.symbol}: we hold {event.before}, the broker {event.after}"
    elif event.kind is BreakKind.ORDER_UNKNOWN_TO_US:
        known = state.order_named(event.after)
        if known is not None and known.strategy_id != EXTERNAL:
            yield MustHalt.DUPLICATE_SUSPECTED, f"{event.symbol} {event.after} works at the broker, {event.cause}"
        elif mine := [o.cl_ord_id for o in state.working_in(event.symbol) if o.strategy_id != EXTERNAL]:
            ours = ", ".join(mine)
            yield MustHalt.DUPLICATE_SUSPECTED, f"{event.symbol} {event.after} works at the broker beside our {ours}"


def _twin(state: State, cl_ord_id: str) -> str:
    """An order of ours that a stranger's report may be the double of: one in the symbols still in doubt."""
    return next((o.cl_ord_id for o in state.working() if o.is_in_doubt and o.cl_ord_id != cl_ord_id), "")


def _have_explained(decision: Decision) -> None:
    """A contradiction is compared with the broker's books until one comparison has passed."""
    state = decision.state
    last = state.reconciliation
    asked = last.requested_at is not None and last.requested_at >= decision.at
    if state.contradicted_since is not None and last.pending is None and not asked and state.connected:
        decision.want_reconciliation = True


def _by_policy(decision: Decision, condition: MustHalt, reason: str) -> None:
    """Liquidate where an owner approved just that, for just this condition, before the session opened."""
    for policy in decision.state.day.halt_policies:
        if policy.condition is condition:
            why = f"{SHOWN[condition]}: {reason} (policy: {policy.reason})"
            emergency.begin(decision, f"policy approved by {policy.approved_by}", why)
            return
