"""How risk decisions and orders become rows (§13, §17)."""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.events import orders
from qmworkbench.domain.orders import TERMINAL, Arc, OrdStatus, PositionEffect, Side
from qmworkbench.storage import record_forms as forms
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Projections, Rows, word
from qmworkbench.storage.record_forms import failed_rules
from qmworkbench.storage.times import stored_time

# As records have them.
_ENDED: Final = frozenset(word(status) for status in TERMINAL)
_OPPOSITE: Final = {word(side): word(side.opposite) for side in Side}
_CLOSE, _SUBMIT = word(PositionEffect.CLOSE), word(Arc.SUBMIT)
_INTENDED, _DENIED = word(OrdStatus.INTENDED), word(OrdStatus.DENIED)


def _risk_decided(rows: Rows, seq: int, event: forms.RiskDecided) -> None:
    rules = str(event.rules, "utf-8")
    rows.add(
        table_rows.RiskDecision(
            seq,
            session_id=rows.session_id,
            at=event.at,
            cl_ord_id=event.cl_ord_id,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            leg=event.leg,
            allowed=int(event.allowed),
            failed=failed_rules(rules),
            rules=rules,
            limits_hash=event.limits_hash,
        )
    )


def _order_intended(rows: Rows, seq: int, event: forms.OrderIntended) -> None:
    request = event.request
    _new_order(rows, seq, event, _INTENDED, attempt=event.attempt, reserve=event.reserve_notional)
    for leg in request.legs:
        rows.add(
            table_rows.Order(
                leg.cl_ord_id,
                session_id=rows.session_id,
                strategy_id=event.strategy_id,
                symbol=request.symbol,
                side=_OPPOSITE[request.side],
                position_effect=_CLOSE,
                leg=leg.leg,
                ord_type=leg.ord_type,
                time_in_force=leg.time_in_force,
                status=_INTENDED,
                order_qty=request.order_qty,
                cum_qty="0",
                leaves_qty=request.order_qty,
                limit_px=leg.limit_px,
                stop_px=leg.stop_px,
                trail_bps=leg.trail_bps,
                parent_id=request.cl_ord_id,
                signal_id=event.signal_id,
                attempt=event.attempt,
                decision_px=leg.stop_px or leg.limit_px,
                fees="0",
                intended_at=event.at,
                last_at=event.at,
                seq=seq,
            )
        )
    if event.signal_id:
        rows.change(table_rows.Signal, event.signal_id, outcome="intended", cl_ord_id=request.cl_ord_id)


def _order_denied(rows: Rows, seq: int, event: forms.OrderDenied) -> None:
    _new_order(rows, seq, event, _DENIED, attempt=None, reserve=None)
    rows.put(table_rows.Order, event.request.cl_ord_id, leaves_qty="0", ended_at=event.at)
    if event.signal_id:
        cl_ord_id = event.request.cl_ord_id
        rows.change(
            table_rows.Signal, event.signal_id, outcome="denied", outcome_reason=event.reason, cl_ord_id=cl_ord_id
        )


def _new_order(
    rows: Rows,
    seq: int,
    event: forms.OrderIntended | forms.OrderDenied,
    status: str,
    *,
    attempt: int | None,
    reserve: str | None,
) -> None:
    request = event.request
    rows.add(
        table_rows.Order(
            request.cl_ord_id,
            session_id=rows.session_id,
            strategy_id=event.strategy_id,
            symbol=request.symbol,
            side=request.side,
            position_effect=request.position_effect,
            leg=event.leg,
            ord_type=request.ord_type,
            time_in_force=request.time_in_force,
            status=status,
            order_qty=request.order_qty,
            cum_qty="0",
            leaves_qty=request.order_qty,
            limit_px=request.limit_px,
            stop_px=request.stop_px,
            trail_bps=request.trail_bps,
            signal_id=event.signal_id,
            attempt=attempt,
            decision_px=event.decision_px,
            reserve_notional=reserve,
            fees="0",
            reason=event.reason,
            intended_at=event.at,
            last_at=event.at,
            seq=seq,
        )
    )


def _submit_observed(rows: Rows, seq: int, event: orders.SubmitObserved) -> None:
    rows.change(table_rows.Order, event.cl_ord_id, submit_outcome=word(event.outcome))


def _cancel_requested(rows: Rows, seq: int, event: orders.CancelRequested) -> None:
    rows.change(table_rows.Order, event.cl_ord_id, cancel_requested_at=stored_time(event.at))


def _cancel_observed(rows: Rows, seq: int, event: orders.CancelObserved) -> None:
    rows.change(table_rows.Order, event.cl_ord_id, cancel_outcome=word(event.outcome))


def _order_changed(rows: Rows, seq: int, event: forms.OrderChanged) -> None:
    row = rows.change(table_rows.Order, event.cl_ord_id)
    if row is None:
        return
    at = event.at
    ended = event.status in _ENDED
    row.status = event.status
    row.cum_qty = event.cum_qty
    row.order_qty = event.order_qty
    row.leaves_qty = "0" if ended else str(Decimal(event.order_qty) - Decimal(event.cum_qty))
    row.last_at = at
    if event.order_id:
        row.order_id = event.order_id
    if event.reason:
        row.reason = event.reason
    if event.limit_px is not None:
        row.limit_px = event.limit_px
    if event.stop_px is not None:
        row.stop_px = event.stop_px
    if event.arc == _SUBMIT:
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


PROJECT: Final[Projections] = {
    forms.RiskDecided: _risk_decided,
    forms.OrderIntended: _order_intended,
    forms.OrderDenied: _order_denied,
    orders.SubmitObserved: _submit_observed,
    orders.CancelRequested: _cancel_requested,
    orders.CancelObserved: _cancel_observed,
    forms.OrderChanged: _order_changed,
    orders.ReportQuarantined: _report_quarantined,
}
