"""Rows of orders, fills and refusals, from a session's events (§13, §17)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from qmworkbench.analytics import slippage
from qmworkbench.analytics.tables import Rows
from qmworkbench.analytics.trip_rows import TripRows
from qmworkbench.domain.events import Event, orders
from qmworkbench.domain.execution import SubmitOutcome
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Arc, OrdStatus


class OrderRows:
    """Follows every order through its life, and hands each fill to the round trip it belongs to."""

    def __init__(self, rows: Rows, trips: TripRows) -> None:
        self._rows = rows
        self._trips = trips
        self.realized, self.fees = ZERO, ZERO
        self._orders: dict[str, dict[str, Any]] = {}
        self.handlers: dict[type[Event], Callable[[Any], None]] = {
            orders.RiskDecided: self._judged,
            orders.OrderIntended: self._intended,
            orders.OrderDenied: self._denied,
            orders.OrderChanged: self._changed,
            orders.SubmitObserved: self._submitted,
            orders.FillRecorded: self._filled,
            orders.FillReversed: self._reversed,
            orders.ReportQuarantined: self._quarantined,
        }

    def _judged(self, event: orders.RiskDecided) -> None:
        for rule in event.failed:
            self._rows.add(
                "risk_blocks",
                at=event.at,
                cl_ord_id=event.cl_ord_id,
                symbol=event.symbol,
                strategy_id=event.strategy_id,
                leg=event.leg,
                rule=rule.code,
                value=rule.value,
                limit=rule.limit,
            )

    def _intended(self, event: orders.OrderIntended) -> None:
        self._trips.intended(event)
        request = event.request
        self._order(event, request.cl_ord_id, event.leg, request.side, request.ord_type, event.decision_px, "")
        for leg in request.legs:
            px = leg.stop_px or leg.limit_px
            row = self._order(event, leg.cl_ord_id, leg.leg, request.side.opposite, leg.ord_type, px, request.cl_ord_id)
            row["trail_bps"] = leg.trail_bps

    def _order(
        self,
        event: orders.OrderIntended | orders.OrderDenied,
        cl_ord_id: str,
        leg: str,
        side: str,
        ord_type: str,
        decision_px: Decimal | None,
        parent_id: str,
    ) -> dict[str, Any]:
        self._orders[cl_ord_id] = self._rows.add(
            "orders",
            cl_ord_id=cl_ord_id,
            parent_id=parent_id,
            symbol=event.request.symbol,
            strategy_id=event.strategy_id,
            leg=leg,
            side=side,
            ord_type=ord_type,
            order_qty=event.request.order_qty,
            decision_px=decision_px,
            signal_id=event.signal_id,
            intended_at=event.at,
            ended_at=None,
            status=OrdStatus.INTENDED,
            cum_qty=ZERO,
            fills=0,
            partial=False,
            sent=bool(parent_id),
            reason=event.reason,
            trail_bps=event.request.trail_bps,
        )
        return self._orders[cl_ord_id]

    def _denied(self, event: orders.OrderDenied) -> None:
        request = event.request
        row = self._order(event, request.cl_ord_id, event.leg, request.side, request.ord_type, event.decision_px, "")
        row.update(status=OrdStatus.DENIED, ended_at=event.at, reason=event.reason)

    def _submitted(self, event: orders.SubmitObserved) -> None:
        row = self._orders.get(event.cl_ord_id)
        if row is not None:
            row["sent"] = True
            if event.outcome is not SubmitOutcome.SENT:
                row["reason"] = f"{event.outcome}: {event.detail}"

    def _changed(self, event: orders.OrderChanged) -> None:
        row = self._orders.get(event.cl_ord_id)
        if row is None:
            return
        row.update(status=event.status, cum_qty=event.cum_qty, order_qty=event.order_qty)
        if event.reason:
            row["reason"] = event.reason
        if event.arc is Arc.FILL and event.cum_qty < event.order_qty:
            row["partial"] = True
        if event.status in TERMINAL:
            row["ended_at"] = event.at

    def _filled(self, event: orders.FillRecorded) -> None:
        self.realized += event.realized_pnl
        self.fees += event.fee
        row = self._orders.get(event.cl_ord_id)
        if row is not None:
            row["fills"] += 1
        self._trips.filled(event, row)
        bps = slippage.known_bps(event, trails=row is not None and row["trail_bps"] is not None)
        self._rows.add(
            "fills",
            at=event.transact_time,
            exec_id=event.exec_id,
            cl_ord_id=event.cl_ord_id,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            side=event.side,
            leg=row["leg"] if row is not None else "",
            qty=event.last_qty,
            px=event.last_px,
            fee=event.fee,
            slippage_bps=bps,
            slippage_cost=slippage.cost(event, bps, event.last_qty),
            realized_pnl=event.realized_pnl,
            adopted=event.adopted,
        )

    def _reversed(self, event: orders.FillReversed) -> None:
        self.fees -= event.fee
        self._trips.reversed(event)

    def _quarantined(self, event: orders.ReportQuarantined) -> None:
        self._rows.add(
            "halts", at=event.at, scope=event.cl_ord_id, what=event.kind, code="report", reason=event.detail, by=""
        )
