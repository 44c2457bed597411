"""What each event says about a symbol, as a sentence for people (§17, §18; `qm why`)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.events import Event, analytics, control, market, orders, overnight, reconciliation, session
from qmworkbench.domain.orders import Arc, OrdStatus


def tell(event: Event, symbol: str, ids: set[str]) -> str:
    """The event's sentence if it is about `symbol` or about the whole book, "" otherwise.

    `ids` are the order ids and signal ids of the symbol met so far; it grows as the day is told in order.
    """
    teller = _TELL.get(type(event))
    return teller(event, symbol, ids) if teller is not None else ""


def _watchlist(event: market.WatchlistChanged, symbol: str, ids: set[str]) -> str:
    if event.symbol != symbol:
        return ""
    if event.verdicts:
        return f"found by the scanner, {event.reason}: all {len(event.verdicts)} filters passed"
    return f"on the watchlist now {event.state}: {event.reason}"


def _near_miss(event: market.NearMissSeen, symbol: str, ids: set[str]) -> str:
    if event.symbol != symbol:
        return ""
    return f"a near miss at rank {event.rank}: " + "; ".join(verdict.sentence() for verdict in event.failed)


def _assigned(event: market.AssignmentMade, symbol: str, ids: set[str]) -> str:
    return f"assigned to {event.strategy_id}: {event.reason}" if event.symbol == symbol else ""


def _declined(event: market.AssignmentDeclined, symbol: str, ids: set[str]) -> str:
    return f"a candidate that no strategy took: {event.reason}" if event.symbol == symbol else ""


def _unassigned(event: market.AssignmentEnded, symbol: str, ids: set[str]) -> str:
    return f"no longer owned by {event.strategy_id}: {event.reason}" if event.symbol == symbol else ""


def _signal(event: market.SignalRaised, symbol: str, ids: set[str]) -> str:
    if event.symbol != symbol:
        return ""
    ids.add(event.signal_id)
    levels = [f"{name} {px}" for name, px in (("stop", event.stop_px), ("target", event.target_px)) if px is not None]
    plan = f" with {', '.join(levels)}" if levels else ""
    why = f" ({event.why})" if event.why else ""
    return f"{event.strategy_id} raised {_words(event.kind)} at {event.decision_px}{plan}{why}"


def _ignored(event: market.SignalIgnored, symbol: str, ids: set[str]) -> str:
    return f"that signal led to no order: {event.reason}" if event.signal_id in ids else ""


def _judged(event: orders.RiskDecided, symbol: str, ids: set[str]) -> str:
    if event.symbol != symbol:
        return ""
    if event.allowed:
        return f"the Risk Manager let the {event.leg} pass: {len(event.rules)} rules"
    failed = "; ".join(f"{rule.code} (seen {rule.value}, limit {rule.limit})" for rule in event.failed)
    return f"the Risk Manager denied the {event.leg}: {failed}"


def _intended(event: orders.OrderIntended, symbol: str, ids: set[str]) -> str:
    request = event.request
    if request.symbol != symbol:
        return ""
    ids.update((request.cl_ord_id, *(leg.cl_ord_id for leg in request.legs)))
    prices = [f"{name} {px}" for name, px in (("limit", request.limit_px), ("stop", request.stop_px)) if px is not None]
    legs = [
        f"{leg.leg} {leg.stop_px or leg.limit_px or 'at the close'}"
        + (f" trailing {leg.trail_bps} bps" if leg.trail_bps else "")
        for leg in request.legs
    ]
    carried = f", carrying {', '.join(legs)}" if legs else ""
    reason = f" ({event.reason})" if event.reason else ""
    kind = " ".join([request.ord_type, *prices])
    return f"order {request.cl_ord_id}: {event.leg} to {request.side} {request.order_qty} {kind}{carried}{reason}"


def _denied(event: orders.OrderDenied, symbol: str, ids: set[str]) -> str:
    return f"so no order was sent: {event.reason}" if event.request.symbol == symbol else ""


def _order(event: orders.OrderChanged, symbol: str, ids: set[str]) -> str:
    # A fill says more by its own event; of the rest only what ends an order or leaves it in doubt is news.
    if event.cl_ord_id not in ids or event.arc in (Arc.FILL, Arc.SUBMIT, Arc.ACK):
        return ""
    if event.status in (OrdStatus.PENDING_CANCEL, OrdStatus.ACCEPTED, OrdStatus.PARTIALLY_FILLED):
        return ""
    reason = f": {event.reason}" if event.reason else ""
    return f"order {event.cl_ord_id} is {_words(event.status)}{reason}"


def _fill(event: orders.FillRecorded, symbol: str, ids: set[str]) -> str:
    if event.symbol != symbol:
        return ""
    slipped = f", {event.slippage_bps:+.1f} bps against the decision" if event.slippage_bps is not None else ""
    held = "flat" if event.position_qty == 0 else f"holding {event.position_qty}"
    did = "bought" if event.side == "buy" else "sold"
    return f"{did} {event.last_qty} at {event.last_px} (fee {event.fee}{slipped}); then {held}"


def _trade(event: orders.TradeClosed, symbol: str, ids: set[str]) -> str:
    if event.symbol != symbol:
        return ""
    multiple = f", {event.r_multiple:+.2f} R" if event.r_multiple is not None else ""
    return (
        f"the trade is closed after {event.bars_held} bars: {_money(event.net_pnl)} net{multiple}, "
        f"by {event.exit_leg} ({event.exit_reason or 'as planned'})"
    )


def _exit(event: orders.ExitRequested, symbol: str, ids: set[str]) -> str:
    return f"{event.strategy_id} wants out: {event.reason}" if event.symbol == symbol else ""


def _blocked(event: control.SymbolBlocked, symbol: str, ids: set[str]) -> str:
    return f"blocked ({event.scope}) by {event.by}: {event.reason}" if event.symbol == symbol else ""


def _unblocked(event: control.SymbolUnblocked, symbol: str, ids: set[str]) -> str:
    return f"unblocked by {event.by}: {event.reason}" if event.symbol == symbol else ""


def _offset(event: orders.PositionsOffset, symbol: str, ids: set[str]) -> str:
    if event.symbol != symbol:
        return ""
    return f"{' and '.join(event.strategy_ids)} were set off against each other at {event.px}: {event.reason}"


def _restated(event: overnight.PositionRestated, symbol: str, ids: set[str]) -> str:
    if symbol not in (event.symbol, event.new_symbol):
        return ""
    renamed = f" as {event.new_symbol}" if event.new_symbol != event.symbol else ""
    return f"{event.strategy_id}: {event.qty_before} became {event.qty_after}{renamed} ({event.cause})"


def _observed(event: analytics.AnalyticsObserved, symbol: str, ids: set[str]) -> str:
    told = [
        f"{_words(signal.code)} {'speaks' if signal.active else 'is quiet'}: {signal.text}"
        for signal in event.signals
        if signal.subject == symbol
    ]
    return f"analytics: {'; '.join(told)}" if told else ""


def _break(event: reconciliation.BreakFound, symbol: str, ids: set[str]) -> str:
    if event.symbol != symbol:
        return ""
    return f"reconciliation: {_words(event.kind)}, we held {event.before}, the broker {event.after} ({event.cause})"


def _repair(event: reconciliation.RepairApplied, symbol: str, ids: set[str]) -> str:
    return f"our books follow the broker's: {event.before} became {event.after}" if event.symbol == symbol else ""


def _state(event: control.TradingStateChanged, symbol: str, ids: set[str]) -> str:
    whose = "the book" if event.scope == "book" else event.scope
    return f"{whose}: {event.after.shown} ({event.code}: {event.reason}, by {event.by})"


def _emergency(event: control.EmergencyStepTaken, symbol: str, ids: set[str]) -> str:
    return f"emergency: {_words(event.step)}, {event.detail}" if event.symbol == symbol else ""


def _money(amount: Decimal) -> str:
    return f"{amount:+,.2f}"


def _words(name: str) -> str:
    return name.replace("_", " ")


_TELL: Final[dict[type[Event], Callable[[Any, str, set[str]], str]]] = {
    market.WatchlistChanged: _watchlist,
    market.NearMissSeen: _near_miss,
    market.AssignmentMade: _assigned,
    market.AssignmentDeclined: _declined,
    market.AssignmentEnded: _unassigned,
    market.SignalRaised: _signal,
    market.SignalIgnored: _ignored,
    market.FeedChanged: lambda event, symbol, ids: f"market data is {event.state}: {event.detail}",
    orders.RiskDecided: _judged,
    orders.OrderIntended: _intended,
    orders.OrderDenied: _denied,
    orders.OrderChanged: _order,
    orders.FillRecorded: _fill,
    orders.TradeClosed: _trade,
    orders.ExitRequested: _exit,
    orders.PositionsOffset: _offset,
    overnight.PositionRestated: _restated,
    analytics.AnalyticsObserved: _observed,
    control.SymbolBlocked: _blocked,
    control.SymbolUnblocked: _unblocked,
    control.TradingStateChanged: _state,
    control.EntriesHeld: lambda event, symbol, ids: f"entries are held: {event.reason}",
    control.EntriesReleased: lambda event, symbol, ids: f"entries are released by {event.by}: {event.reason}",
    control.EmergencyStarted: lambda event, symbol, ids: f"Emergency Liquidate & Halt by {event.by}: {event.reason}",
    control.EmergencyStepTaken: _emergency,
    reconciliation.BreakFound: _break,
    reconciliation.RepairApplied: _repair,
    reconciliation.SessionRecovered: lambda event, symbol, ids: "the session was taken over by a new process",
    session.RunEnded: lambda event, symbol, ids: f"run {event.strategy_id} ended: {event.reason}",
}
