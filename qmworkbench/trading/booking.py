"""Booking a fill: position, realized P&L, slippage, and the trade once a round trip is over (§13, §17)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from qmworkbench.domain.events.orders import FillRecorded, PositionsOffset, TradeClosed
from qmworkbench.domain.execution import ExecutionReport
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg, Order, Side
from qmworkbench.domain.positions import NetPosition, Position, PositionDelta, fill_delta
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import EXTERNAL, State, position_key

_BPS = Decimal(10_000)
_TENTH = Decimal("0.1")


def book_fill(
    decision: Decision, owner: str, report: ExecutionReport, order: Order | None, *, adopted: bool = False
) -> bool:
    """Put one execution into the books of `owner` (EXTERNAL where nobody here ordered it); says whether it did no more
    than open.
    """
    state = decision.state
    key = position_key(owner, report.symbol)
    held = state.positions.get(key) or Position(strategy_id=owner, symbol=report.symbol)
    delta = fill_delta(held.qty, held.cost, report.side, report.last_qty, report.last_px)
    trade = (
        _trade(decision, held, delta, report, order) if delta.closed_qty and delta.closed_qty == abs(held.qty) else None
    )
    decision.emit(
        FillRecorded(
            at=decision.at,
            exec_id=report.exec_id,
            cl_ord_id=report.cl_ord_id,
            strategy_id=owner,
            symbol=report.symbol,
            side=report.side,
            last_qty=report.last_qty,
            last_px=report.last_px,
            fee=report.fee,
            transact_time=report.transact_time,
            realized_pnl=delta.realized_pnl * report.conversion_rate,
            position_qty=delta.qty,
            position_cost=delta.cost,
            conversion_rate=report.conversion_rate,
            slippage_bps=_slippage_bps(report, order),
            adopted=adopted or owner == EXTERNAL,
            net_realized_pnl=_net_realized(state, held, delta, report),
        )
    )
    if trade is not None:
        decision.emit(trade)
    return not delta.closed_qty


def _net_realized(state: State, held: Position, delta: PositionDelta, report: ExecutionReport) -> Decimal | None:
    """What the broker, who nets, counts as realized by this fill; None where the owner's figure is the same."""
    net = state.net.get(report.symbol) or NetPosition()
    if (net.qty, net.cost) == (held.qty, held.cost):
        return None
    on_net = fill_delta(net.qty, net.cost, report.side, report.last_qty, report.last_px)
    return None if on_net.realized_pnl == delta.realized_pnl else on_net.realized_pnl * report.conversion_rate


def _slippage_bps(report: ExecutionReport, order: Order | None) -> Decimal | None:
    """How much worse than the decision price the fill was, in basis points; None where there was no decision price."""
    if order is None or order.decision_px <= 0:
        return None
    worse = (report.last_px - order.decision_px) * report.side.sign
    return (worse / order.decision_px * _BPS).quantize(_TENTH)


class _Closing(msgspec.Struct, frozen=True, kw_only=True):
    """What ends a round trip: `qty` at `px`, what that realizes in account currency at `rate`, and what it cost."""

    qty: Decimal
    px: Decimal
    realized: Decimal
    rate: Decimal
    by: str
    at: datetime
    leg: Leg
    reason: str
    fee: Decimal = ZERO


def _trade(
    decision: Decision, held: Position, delta: PositionDelta, report: ExecutionReport, order: Order | None
) -> TradeClosed:
    """The round trip this fill completes."""
    leg = order.leg if order is not None else Leg.EXIT
    closing = _Closing(
        qty=delta.closed_qty,
        px=report.last_px,
        realized=delta.realized_pnl * report.conversion_rate,
        rate=report.conversion_rate,
        by=report.exec_id,
        at=report.transact_time,
        leg=leg,
        reason=_exit_reason(held, leg, order),
        # A fill that closes and flips pays one fee; the part that opened anew carries its share of it.
        fee=report.fee * delta.closed_qty / report.last_qty,
    )
    return _round_trip(decision, held, closing)


def _round_trip(decision: Decision, held: Position, closing: _Closing) -> TradeClosed:
    exit_qty = held.exit_qty + closing.qty
    entry_px = held.entry_value / held.entry_qty if held.entry_qty else held.avg_px
    gross = held.realized_pnl + closing.realized
    fees = held.fees + closing.fee
    net = gross - fees
    risk = None
    if held.initial_stop_px is not None and held.entry_qty:
        risk = abs(entry_px - held.initial_stop_px) * held.entry_qty * closing.rate
    return TradeClosed(
        at=decision.at,
        trade_id=content_id(held.strategy_id, held.symbol, held.entry_order, closing.by),
        strategy_id=held.strategy_id,
        symbol=held.symbol,
        side=Side.BUY if held.qty > 0 else Side.SELL,
        qty=exit_qty,
        entry_px=entry_px,
        exit_px=(held.exit_value + closing.qty * closing.px) / exit_qty,
        opened_at=held.opened_at or closing.at,
        closed_at=closing.at,
        gross_pnl=gross,
        fees=fees,
        net_pnl=net,
        exit_leg=closing.leg,
        exit_reason=closing.reason,
        signal_id=held.signal_id,
        decision_px=held.decision_px,
        bars_held=held.bars_held,
        initial_stop_px=held.initial_stop_px,
        target_px=held.target_px,
        r_multiple=(net / risk).quantize(Decimal("0.01")) if risk else None,
    )


def book_offset(
    decision: Decision, symbol: str, parts: Sequence[Position], px: Decimal, rate: Decimal, reason: str
) -> None:
    """Close parts of a position that cancel out, at `px` and without an order; each is a trade on record."""
    owners = tuple(held.strategy_id for held in parts)
    name = content_id(symbol, "offset", decision.at.isoformat(), *owners)

    def closing(held: Position) -> _Closing:
        realized = (held.qty * px - held.cost) * rate
        return _Closing(
            qty=abs(held.qty),
            px=px,
            realized=realized,
            rate=rate,
            by=name,
            at=decision.at,
            leg=Leg.LIQUIDATE,
            reason=reason,
        )

    trades = [_round_trip(decision, held, closing(held)) for held in parts]
    offset = PositionsOffset(
        at=decision.at, symbol=symbol, px=px, conversion_rate=rate, strategy_ids=owners, reason=reason
    )
    decision.emit(offset)
    for trade in trades:
        decision.emit(trade)


def _exit_reason(held: Position, leg: Leg, order: Order | None) -> str:
    if leg is Leg.STOP:
        trailing = order is not None and order.trail_bps is not None
        return "trailing stop" if trailing else "stop"
    if leg is Leg.TARGET:
        return "target"
    if leg is Leg.CLOSE:
        return "flat at the close"
    return order.reason if order is not None and order.reason else held.exit_wanted or "closed outside"
