"""Replacing a resting order: asked for, observed, confirmed or refused by the broker (§13).

Only what lowers risk is asked for, and only of an order that the broker is known to work:

1. An entry may become smaller; its prices stay.
2. A resting stop may be tightened, never loosened, and must still lie beyond the market: one that would trigger at once
   is an exit in disguise.
3. A target or a limit exit may change its price.
4. An exit's quantity follows the position and a trailing stop follows the market: neither is a person's to set.

The order stays one order under its first id. Until the broker has answered, both quantities are reserved; once it has
confirmed, the order goes on under the new id, which every report, query and cancel names from then on. An answer that
got lost makes the order UNKNOWN: it may work as it was, or as asked, and the broker is asked which.
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.orders import ReplaceObserved, ReplaceRequested, RiskDecided, RuleVerdict
from qmworkbench.domain.execution import BrokerOrder, ExecType, ExecutionReport, ReplaceRequest, SubmitOutcome
from qmworkbench.domain.ids import cl_ord_id
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Arc, IllegalArc, Leg, Order, OrdStatus, OrdType, Side
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.contradictions import contradicts
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.order_life import Terms, walk
from qmworkbench.trading.state import State

_WORKED: Final = (OrdStatus.ACCEPTED, OrdStatus.PARTIALLY_FILLED)
_LAST_WORDS: Final = (ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED, ExecType.CANCEL_REJECTED)
_HAS_LIMIT: Final = (OrdType.LIMIT, OrdType.STOP_LIMIT)
_HAS_STOP: Final = (OrdType.STOP, OrdType.STOP_LIMIT)


def request_replace(
    decision: Decision,
    order: Order,
    *,
    order_qty: Decimal | None,
    limit_px: Decimal | None,
    stop_px: Decimal | None,
    reason: str,
) -> str:
    """Ask the broker to let `order` go on otherwise; None leaves a value as it is.

    Returns "" when the wish is on record, else why not, in words, with nothing recorded.
    """
    state = decision.state
    refusal = (
        _why_not_now(state, order)
        or _why_not_qty(state, order, order_qty)
        or _why_not_limit(state, order, limit_px)
        or _why_not_stop(state, order, stop_px)
    )
    if refusal:
        return refusal
    qty = order.order_qty if order_qty is None else order_qty
    if (qty, limit_px or order.limit_px, stop_px or order.stop_px) == (order.order_qty, order.limit_px, order.stop_px):
        return "nothing is to change: give another quantity, limit or stop"
    name = _next_id(state, order)
    passed = RuleVerdict(
        code="replace_lowers_risk",
        passed=True,
        value=f"{qty} @ {limit_px or order.limit_px} stop {stop_px or order.stop_px}",
        limit=f"{order.order_qty} @ {order.limit_px} stop {order.stop_px}",
    )
    decision.emit(
        RiskDecided(
            at=decision.at,
            cl_ord_id=name,
            strategy_id=order.strategy_id,
            symbol=order.symbol,
            leg=order.leg,
            allowed=True,
            rules=(passed,),
            limits_hash=state.day.limits_hash,
        )
    )
    request = ReplaceRequest(
        cl_ord_id=name, orig_cl_ord_id=order.broker_id, order_qty=qty, limit_px=limit_px, stop_px=stop_px
    )
    decision.emit(ReplaceRequested(at=decision.at, order=order.cl_ord_id, request=request, reason=reason))
    walk(decision, order, Arc.REPLACE_REQUEST, reason=order.reason)
    return ""


def _why_not_now(state: State, order: Order) -> str:
    if order.replacing is not None:
        return f"a replace as {order.replacing.cl_ord_id} has not been answered yet; wait for it"
    if order.status not in _WORKED:
        return f"it is {order.status}; only an order the broker is known to work can be replaced"
    if not state.connected:
        return "the broker does not answer"
    if state.halt.state is TradingState.HALTED:
        return f"the book is {TradingState.HALTED.shown}"
    if state.instrument(order.symbol) is None:
        return f"{order.symbol} is not an instrument of this session, so its grid is not known"
    return ""


def _why_not_qty(state: State, order: Order, qty: Decimal | None) -> str:
    instrument = state.instrument(order.symbol)
    if qty is None or instrument is None:
        return ""
    if order.leg is not Leg.ENTRY:
        return f"the quantity of a {order.leg} follows the position; only an entry's can be made smaller"
    if not qty.is_finite() or qty <= ZERO or instrument.lot_down(qty) != qty:
        return f"{qty} is not a multiple of the lot {instrument.lot_size} of at least {instrument.min_qty}"
    if qty > order.order_qty:
        return f"{qty} is more than {order.order_qty}: a replace never adds risk; a new signal may"
    if qty <= order.cum_qty:
        return f"{order.cum_qty} have filled already: cancel it instead"
    return ""


def _why_not_limit(state: State, order: Order, px: Decimal | None) -> str:
    instrument = state.instrument(order.symbol)
    if px is None or instrument is None:
        return ""
    if order.ord_type not in _HAS_LIMIT:
        return f"a {order.ord_type} order has no limit"
    if order.leg is Leg.ENTRY:
        return "the price of an entry stays as it was judged: cancel it instead"
    return _why_not_px(instrument, px)


def _why_not_stop(state: State, order: Order, px: Decimal | None) -> str:
    instrument = state.instrument(order.symbol)
    if px is None or instrument is None:
        return ""
    if order.ord_type not in _HAS_STOP or order.stop_px is None:
        return f"a {order.ord_type} order without a fixed stop has none to move"
    if order.leg is Leg.ENTRY:
        return "the price of an entry stays as it was judged: cancel it instead"
    if order.trail_bps is not None:
        return "its level follows the market by itself"
    off_grid = _why_not_px(instrument, px)
    if off_grid:
        return off_grid
    # A stop that sells protects what is long: tighter is higher, and it must stay below the market.
    sells = order.side is Side.SELL
    if px < order.stop_px if sells else px > order.stop_px:
        return f"{px} is looser than {order.stop_px}: a replace never adds risk"
    mark = state.marks.get(order.symbol)
    if mark is not None and (px >= mark.px if sells else px <= mark.px):
        return f"{px} is not beyond the market at {mark.px}: it would trigger at once; close the position instead"
    return ""


def _why_not_px(instrument: Instrument, px: Decimal) -> str:
    if not px.is_finite() or px <= ZERO:
        return f"{px} is not a price"
    if px % instrument.tick_at(px):
        return f"{px} is not a multiple of the tick {instrument.tick_at(px)}"
    return ""


def _next_id(state: State, order: Order) -> str:
    """The id it would go on under: derived from its first one and how often it has been asked, never used twice."""
    asked = sum(name == order.cl_ord_id for name in state.working_ids.values()) + 1
    return cl_ord_id(
        book=state.book,
        session=state.day.session_id,
        strategy_id=order.strategy_id,
        symbol=order.symbol,
        signal_id=f"{order.cl_ord_id}/replace",
        leg=order.leg,
        attempt=asked,
    )


def on_replace_observed(decision: Decision, event: ReplaceObserved) -> None:
    """How sending the replace ended. A lost answer is UNKNOWN: the broker is asked, nothing is sent again."""
    order = decision.state.orders.get(event.order)
    decision.emit(event)
    if order is None or not order.is_open or order.replacing is None or order.replacing.cl_ord_id != event.cl_ord_id:
        return  # the broker's report was quicker than the answer to our request
    if event.outcome is SubmitOutcome.REFUSED:
        walk(decision, order, Arc.REPLACE_REJECT, reason=f"the replace was refused: {event.detail}")
        _alarm_refusal(decision, order, event.detail)
    elif event.outcome is SubmitOutcome.LOST:
        if order.status is OrdStatus.PENDING_REPLACE:
            walk(decision, order, Arc.LOSE, reason=f"no answer to the replace: {event.detail}")
        decision.alarm(
            "replace_unanswered",
            order.cl_ord_id,
            Priority.P1,
            f"{order.symbol}: no answer to replacing {order.cl_ord_id} ({event.detail}); it may work either way",
            "the broker is being asked which; do not replace it again by hand",
        )
        if decision.state.connected:
            decision.query(order, f"no answer to the replace: {event.detail}")


def on_replace_answer(decision: Decision, order: Order, report: ExecutionReport) -> None:
    """REPLACED: the order goes on under the new id. REPLACE_REJECTED: as it was."""
    confirmed = report.exec_type is ExecType.REPLACED
    asked = order.replacing
    mine = asked is not None and asked.cl_ord_id == report.cl_ord_id
    try:
        if confirmed:
            ended = order.status in TERMINAL
            walk(
                decision,
                order,
                Arc.REPLACE,
                order_qty=order.order_qty if ended or report.order_qty <= ZERO else report.order_qty,
                order_id=report.order_id,
                reason=report.reason,
                terms=Terms(
                    working_id=report.cl_ord_id,
                    limit_px=asked.limit_px if mine and asked is not None else None,
                    stop_px=asked.stop_px if mine and asked is not None else None,
                ),
            )
        else:
            walk(decision, order, Arc.REPLACE_REJECT, reason=f"the replace was refused: {report.reason}")
    except IllegalArc as error:
        contradicts(decision, report, "illegal_arc", str(error))
        return
    if report.cum_qty > order.cum_qty:
        decision.want_reconciliation = True
    if confirmed:
        decision.all_clear("replace_unanswered", order.cl_ord_id, "the broker confirmed the replace")
    else:
        _alarm_refusal(decision, order, report.reason)
        if order.is_open:
            # Refused because it has filled or changed, mostly; asked once for each refusal.
            decision.query(order, f"its replace was refused: {report.reason}")


def proven_by(decision: Decision, order: Order, report: ExecutionReport) -> bool:
    """News under another id than the order works under. Under the id that a replace asked for, it proves the replace,
    whose confirmation is late or lost. The last words on an id that was given up are not the order's: what it is, is
    asked. Says whether the report is done with.
    """
    asked = order.replacing
    if report.exec_type in (ExecType.REPLACED, ExecType.REPLACE_REJECTED):
        return False
    if asked is not None and asked.cl_ord_id == report.cl_ord_id and order.is_open:
        qty = report.order_qty if report.order_qty > ZERO else asked.order_qty
        terms = Terms(working_id=asked.cl_ord_id, limit_px=asked.limit_px, stop_px=asked.stop_px)
        walk(decision, order, Arc.REPLACE, order_qty=qty, order_id=report.order_id, reason=order.reason, terms=terms)
        return False
    if report.exec_type not in _LAST_WORDS or not order.is_open:
        return False
    decision.query(order, f"{report.exec_type} was said of {report.cl_ord_id}, which it was replaced under before")
    return True


def _alarm_refusal(decision: Decision, order: Order, reason: str) -> None:
    decision.all_clear("replace_unanswered", order.cl_ord_id, "the broker refused the replace")
    decision.alarm(
        "replace_refused",
        order.cl_ord_id,
        Priority.P2,
        f"{order.symbol}: the broker refused to replace {order.cl_ord_id}: {reason}",
        "the order works on as it was, unless it has ended; ask again if it is still wanted",
    )


def settled_by(decision: Decision, order: Order, found: BrokerOrder) -> bool:
    """Whether the broker's answer to a query tells what became of an unanswered replace, and nothing is left to ask."""
    asked = order.replacing
    if asked is None or found.ord_status is OrdStatus.PENDING_REPLACE:
        return False
    if found.cl_ord_id == asked.cl_ord_id:
        walk(
            decision,
            order,
            Arc.REPLACE,
            order_qty=found.order_qty,
            order_id=found.order_id,
            reason=order.reason,
            terms=Terms(working_id=found.cl_ord_id, limit_px=found.limit_px, stop_px=found.stop_px),
        )
    elif found.ord_status not in TERMINAL and found.cl_ord_id == order.broker_id:
        # As it was, by the broker's own books. Should the request arrive after all, its confirmation is legal news.
        walk(decision, order, Arc.REPLACE_REJECT, order_id=found.order_id, reason="the broker works it as it was")
    else:
        return False
    decision.all_clear("replace_unanswered", order.cl_ord_id, "the broker said what became of it")
    return found.ord_status not in TERMINAL
