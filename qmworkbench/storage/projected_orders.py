"""How risk decisions and orders become rows (§13, §17)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.events import Event, orders
from qmworkbench.domain.orders import TERMINAL, Arc, OrdStatus, PositionEffect
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Rows, codes, document, exact, word
from qmworkbench.storage.times import stored_time

_ENDED: Final = frozenset(word(status) for status in TERMINAL)  # told by text: an Enum's hash is slow


def _risk_decided(rows: Rows, seq: int, event: orders.RiskDecided) -> None:
    rows.add(
        table_rows.RiskDecision(
            seq,
            session_id=rows.session_id,
            at=stored_time(event.at),
            cl_ord_id=event.cl_ord_id,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            leg=word(event.leg),
            allowed=int(event.allowed),
            failed=codes(event.failed),
            rules=document(event.rules),
            limits_hash=event.limits_hash,
        )
    )


def _order_intended(rows: Rows, seq: int, event: orders.OrderIntended) -> None:
    request = event.request
    _new_order(rows, seq, event, OrdStatus.INTENDED, attempt=event.attempt, reserve=event.reserve_notional)
    for leg in request.legs:
        rows.add(
            table_rows.Order(
                leg.cl_ord_id,
                session_id=rows.session_id,
                strategy_id=event.strategy_id,
                symbol=request.symbol,
                side=word(request.side.opposite),
                position_effect=word(PositionEffect.CLOSE),
                leg=word(leg.leg),
                ord_type=word(leg.ord_type),
                time_in_force=word(leg.time_in_force),
                status=word(OrdStatus.INTENDED),
                order_qty=str(request.order_qty),
                cum_qty="0",
                leaves_qty=str(request.order_qty),
                limit_px=exact(leg.limit_px),
                stop_px=exact(leg.stop_px),
                trail_bps=leg.trail_bps,
                parent_id=request.cl_ord_id,
                signal_id=event.signal_id,
                attempt=event.attempt,
                decision_px=exact(leg.stop_px or leg.limit_px),
                fees="0",
                intended_at=stored_time(event.at),
                last_at=stored_time(event.at),
                seq=seq,
            )
        )
    if event.signal_id:
        rows.change(table_rows.Signal, event.signal_id, outcome="intended", cl_ord_id=request.cl_ord_id)


def _order_denied(rows: Rows, seq: int, event: orders.OrderDenied) -> None:
    _new_order(rows, seq, event, OrdStatus.DENIED, attempt=None, reserve=None)
    rows.put(table_rows.Order, event.request.cl_ord_id, leaves_qty="0", ended_at=stored_time(event.at))
    if event.signal_id:
        cl_ord_id = event.request.cl_ord_id
        rows.change(
            table_rows.Signal, event.signal_id, outcome="denied", outcome_reason=event.reason, cl_ord_id=cl_ord_id
        )


def _new_order(
    rows: Rows,
    seq: int,
    event: orders.OrderIntended | orders.OrderDenied,
    status: OrdStatus,
    *,
    attempt: int | None,
    reserve: Decimal | None,
) -> None:
    request = event.request
    rows.add(
        table_rows.Order(
            request.cl_ord_id,
            session_id=rows.session_id,
            strategy_id=event.strategy_id,
            symbol=request.symbol,
            side=word(request.side),
            position_effect=word(request.position_effect),
            leg=word(event.leg),
            ord_type=word(request.ord_type),
            time_in_force=word(request.time_in_force),
            status=word(status),
            order_qty=str(request.order_qty),
            cum_qty="0",
            leaves_qty=str(request.order_qty),
            limit_px=exact(request.limit_px),
            stop_px=exact(request.stop_px),
            trail_bps=request.trail_bps,
            signal_id=event.signal_id,
            attempt=attempt,
            decision_px=str(event.decision_px),
            reserve_notional=exact(reserve),
            fees="0",
            reason=event.reason,
            intended_at=stored_time(event.at),
            last_at=stored_time(event.at),
            seq=seq,
        )
    )


def _submit_observed(rows: Rows, seq: int, event: orders.SubmitObserved) -> None:
    rows.change(table_rows.Order, event.cl_ord_id, submit_outcome=word(event.outcome))


def _cancel_requested(rows: Rows, seq: int, event: orders.CancelRequested) -> None:
    rows.change(table_rows.Order, event.cl_ord_id, cancel_requested_at=stored_time(event.at))


def _cancel_observed(rows: Rows, seq: int, event: orders.CancelObserved) -> None:
    rows.change(table_rows.Order, event.cl_ord_id, cancel_outcome=word(event.outcome))


def _order_changed(rows: Rows, seq: int, event: orders.OrderChanged) -> None:
    row = rows.change(table_rows.Order, event.cl_ord_id)
    if row is None:
        return
    at, status = stored_time(event.at), word(event.status)
    ended = status in _ENDED
    row.status = status
    row.cum_qty = str(event.cum_qty)
    row.order_qty = str(event.order_qty)
    row.leaves_qty = "0" if ended else str(event.order_qty - event.cum_qty)
    row.last_at = at
    if event.order_id:
        row.order_id = event.order_id
    if event.reason:
        row.reason = event.reason
    if event.limit_px:
        row.limit_px = str(event.limit_px)
    if event.stop_px:
        row.stop_px = str(event.stop_px)
    if event.arc is Arc.SUBMIT:
        row.submitted_at = at
    row.ended_at = (row.ended_at or at) if ended else None


def _report_quarantined(rows: Rows, seq: int, event: orders.ReportQuarantined) -> None:
    rows.add(
        table_rows.QuarantinedReport(
            seq,
            session_id=rows.session_id,
            at=stored_time(event.at),
            exec_id=event.exec_id,
            cl_ord_id=event.cl_ord_id,
            kind=event.kind,
            detail=event.detail,
        )
    )


PROJECT: Final[dict[type[Event], Callable[[Rows, int, Any], None]]] = {
    orders.RiskDecided: _risk_decided,
    orders.OrderIntended: _order_intended,
    orders.OrderDenied: _order_denied,
    orders.SubmitObserved: _submit_observed,
    orders.CancelRequested: _cancel_requested,
    orders.CancelObserved: _cancel_observed,
    orders.OrderChanged: _order_changed,
    orders.ReportQuarantined: _report_quarantined,
}
