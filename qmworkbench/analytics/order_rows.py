"""Rows of orders, fills, trades and refusals, from a session's events (§13, §17)."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from qmworkbench.analytics.tables import Rows
from qmworkbench.domain.events import Event, orders
from qmworkbench.domain.execution import SubmitOutcome
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import TERMINAL, Arc, OrdStatus

_TRADE_FIELDS: Final = (
    "trade_id",
    "strategy_id",
    "symbol",
    "side",
    "qty",
    "entry_px",
    "exit_px",
    "opened_at",
    "closed_at",
    "gross_pnl",
    "fees",
    "net_pnl",
    "exit_leg",
    "exit_reason",
    "signal_id",
    "decision_px",
    "bars_held",
    "initial_stop_px",
    "target_px",
    "r_multiple",
)


class OrderRows:
    """Follows every order through its life, and each position from flat to flat."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.closed: list[orders.TradeClosed] = []
        self.realized, self.fees = ZERO, ZERO
        self._orders: dict[str, dict[str, Any]] = {}
        # Fills since a position was last flat, by owner and symbol: what the next closed trade is made of.
        self._legs: dict[tuple[str, str], list[orders.FillRecorded]] = {}
        self.handlers: dict[type[Event], Callable[[Any], None]] = {
            orders.RiskDecided: self._judged,
            orders.OrderIntended: self._intended,
            orders.OrderDenied: self._denied,
            orders.OrderChanged: self._changed,
            orders.SubmitObserved: self._submitted,
            orders.FillRecorded: self._filled,
            orders.FillReversed: self._reversed,
            orders.TradeClosed: self._trade,
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
        request = event.request
        self._order(event, request.cl_ord_id, event.leg, request.side, request.ord_type, event.decision_px, "")
        for leg in request.legs:
            px = leg.stop_px or leg.limit_px
            self._order(event, leg.cl_ord_id, leg.leg, request.side.opposite, leg.ord_type, px, request.cl_ord_id)

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
        self._legs.setdefault((event.strategy_id, event.symbol), []).append(event)
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
            slippage_bps=event.slippage_bps,
            slippage_cost=_cost(event),
            realized_pnl=event.realized_pnl,
            adopted=event.adopted,
        )

    def _reversed(self, event: orders.FillReversed) -> None:
        self.fees -= event.fee

    def _trade(self, event: orders.TradeClosed) -> None:
        self.closed.append(event)
        legs = self._legs.pop((event.strategy_id, event.symbol), [])
        entries = [fill for fill in legs if fill.side is event.side]
        exits = [fill for fill in legs if fill.side is not event.side]
        signal = self._rows.signals.get(event.signal_id)
        self._rows.add(
            "trades",
            **{name: getattr(event, name) for name in _TRADE_FIELDS},
            setup=signal["why"] if signal is not None else "",
            rate=legs[-1].conversion_rate if legs else ONE,
            entry_slippage_bps=_weighted(entries),
            exit_slippage_bps=_weighted(exits),
            slippage_cost=sum((_cost(fill) or ZERO for fill in legs), ZERO),
            fills=len(legs),
        )
        # A fill that closed one round trip and opened the next belongs to both.
        if legs and legs[-1].position_qty != 0:
            self._legs[(event.strategy_id, event.symbol)] = [legs[-1]]

    def _quarantined(self, event: orders.ReportQuarantined) -> None:
        self._rows.add(
            "halts", at=event.at, scope=event.cl_ord_id, what=event.kind, code="report", reason=event.detail, by=""
        )


def _cost(fill: orders.FillRecorded) -> Decimal | None:
    """What the slippage of a fill cost in account currency, adverse positive; None without a decision price."""
    if fill.slippage_bps is None:
        return None
    # last = decision × (1 ± slip), so the distance is last × slip / (1 ± slip).
    slip = fill.slippage_bps / 10_000
    return fill.last_qty * fill.last_px * slip / (1 + fill.side.sign * slip) * fill.conversion_rate


def _weighted(fills: Sequence[orders.FillRecorded]) -> Decimal | None:
    """Slippage over several fills, by quantity; None where no fill had a decision price."""
    told = [(fill.last_qty, fill.slippage_bps) for fill in fills if fill.slippage_bps is not None]
    qty = sum((q for q, _ in told), ZERO)
    return sum((q * bps for q, bps in told), ZERO) / qty if qty else None
