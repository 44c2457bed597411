"""The broker's account activities applied to our books: splits, dividends, renames, payouts, financing (§14).

The broker is right about what it booked; whose it was is ours to say. Each activity is applied once, instance by
instance: what is shared out adds up to the broker's figure to the last digit, signed as the positions are. An activity
that names another quantity than we hold is a break with before and after; what can be applied is, and the comparison
that follows settles the rest.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from qmworkbench.domain.chain import content_digest
from qmworkbench.domain.corporate_actions import restated_leaves, restated_px, restated_qty
from qmworkbench.domain.events.control import SymbolBlocked
from qmworkbench.domain.events.orders import TradeClosed
from qmworkbench.domain.events.overnight import ActivitiesObserved, CashBooked, OrderRestated, PositionRestated
from qmworkbench.domain.execution import AccountActivity, ActivityKind
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.instruments import Instrument, instrument_for
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Leg, Order, OrdType, Side
from qmworkbench.domain.positions import Position, fill_delta
from qmworkbench.trading.activity_breaks import cause_of, contradiction, fits
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.sharing import largest, shared, whole_lots_each
from qmworkbench.trading.state import EXTERNAL, State


def on_activities(decision: Decision, event: ActivitiesObserved) -> None:
    """Apply what is new; the same again is dropped, the same id with other content is a contradiction."""
    state = decision.state
    fresh: dict[str, AccountActivity] = {}
    contradictions: list[AccountActivity] = []
    for activity in event.activities:
        known = state.activity_ids.get(activity.activity_id)
        if activity.activity_id in fresh:
            known = content_digest(fresh[activity.activity_id])
        if known is not None and known != content_digest(activity):
            contradictions.append(activity)
        elif known is None and activity.cursor > state.activity_cursor:
            fresh[activity.activity_id] = activity
    if not fresh and not contradictions:
        return
    decision.emit(event)
    for activity in contradictions:
        contradiction(decision, activity)
    for activity in fresh.values():
        _APPLY[activity.kind](decision, activity, fits(decision, activity))


# ── what happens to shares ──────────────────────────────────────────────────────────────────────────────────


def _split(decision: Decision, activity: AccountActivity, fit: bool) -> None:
    """Quantity times ratio at the same cost, for positions and for what rests."""
    state, symbol, ratio = decision.state, activity.symbol, activity.ratio
    holders = _holders(state, symbol)
    after = {held.strategy_id: restated_qty(held.qty, ratio) for held in holders}
    if fit and holders:
        # Thirds round at the eighth place each for itself: the largest takes what is then missing.
        after[largest(holders).strategy_id] += activity.qty_after - sum(after.values(), ZERO)
    net_cost = _net_cost(state, symbol)
    for held in holders:
        qty, last = after[held.strategy_id], held is holders[-1]
        _restated(decision, activity, held, qty=qty, cost=held.cost, ratio=ratio, net_cost=net_cost if last else None)
    for order in state.working_in(symbol):
        _order_in_new_shares(decision, activity, order)


def _order_in_new_shares(decision: Decision, activity: AccountActivity, order: Order) -> None:
    """As the venue does it; an order that keeps less than a lot is left to the cancel that follows."""
    instrument, ratio = _instrument(decision.state, order.symbol), activity.ratio
    left = restated_leaves(order.order_qty - order.cum_qty, ratio, instrument)
    if not left:
        return
    cum = restated_qty(order.cum_qty, ratio)

    def in_new_shares(px: Decimal | None, kind: OrdType) -> Decimal | None:
        return None if px is None else restated_px(px, ratio, order.side, kind, instrument)

    decision.emit(
        OrderRestated(
            at=decision.at,
            activity_id=activity.activity_id,
            cl_ord_id=order.cl_ord_id,
            symbol=order.symbol,
            order_qty=cum + left,
            cause=cause_of(activity),
            stop_px=in_new_shares(order.stop_px, OrdType.STOP),
            limit_px=in_new_shares(order.limit_px, OrdType.LIMIT),
            cum_qty=cum,
            ratio=ratio,
        )
    )


def _cash_in_lieu(decision: Decision, activity: AccountActivity, fit: bool) -> None:
    """Fractions of a share are paid out: whole lots to those who have the largest part of one."""
    if not fit:
        _cash(decision, activity)
        return
    state, symbol = decision.state, activity.symbol
    holders = _holders(state, symbol)
    lots = whole_lots_each(holders, activity.qty_after, _instrument(state, symbol).lot_size)
    changed = [held for held in holders if lots[held.strategy_id] != held.qty]
    net_cost = _net_cost(state, symbol) * activity.qty_after / activity.qty_before
    paid = shared(activity.amount, {held.strategy_id: held.qty - lots[held.strategy_id] for held in changed})
    for held in changed:
        last = held is changed[-1]
        _paid_out(decision, activity, held, lots[held.strategy_id], net_cost=net_cost if last else None)
    _book(decision, activity, paid)


def _delisting(decision: Decision, activity: AccountActivity, fit: bool) -> None:
    """Everything is paid out at one price; each position's round trip ends."""
    holders = _holders(decision.state, activity.symbol)
    if fit and holders:
        paid = shared(activity.amount, {held.strategy_id: held.qty for held in holders})
    else:
        paid = {EXTERNAL: activity.amount}
    for held in holders:
        _paid_out(decision, activity, held, ZERO)
    _book(decision, activity, paid)


def _symbol_change(decision: Decision, activity: AccountActivity, fit: bool) -> None:
    """Positions, resting orders and a block go on under the new name."""
    state, symbol, new = decision.state, activity.symbol, activity.new_symbol
    holders, net_cost = _holders(state, symbol), _net_cost(state, symbol) + _net_cost(state, new)
    for held in holders:
        to_come = net_cost if held is holders[-1] else None
        _restated(decision, activity, held, qty=held.qty, cost=held.cost, new_symbol=new, net_cost=to_come)
    for order in state.working_in(symbol):
        decision.emit(
            OrderRestated(
                at=decision.at,
                activity_id=activity.activity_id,
                cl_ord_id=order.cl_ord_id,
                symbol=new,
                order_qty=order.order_qty,
                cause=cause_of(activity),
                stop_px=order.stop_px,
                limit_px=order.limit_px,
                cum_qty=order.cum_qty,
            )
        )
    block = state.blocked.get(symbol)
    if block is not None and new not in state.blocked:
        reason = f"{block.reason} (as {symbol})"
        decision.emit(SymbolBlocked(at=decision.at, symbol=new, scope=block.scope, by=block.by, reason=reason))


def _restated(
    decision: Decision,
    activity: AccountActivity,
    held: Position,
    *,
    qty: Decimal,
    cost: Decimal,
    new_symbol: str = "",
    ratio: Decimal = ZERO,
    realized_pnl: Decimal = ZERO,
    net_cost: Decimal | None = None,
) -> None:
    decision.emit(
        PositionRestated(
            at=decision.at,
            activity_id=activity.activity_id,
            activity=activity.kind,
            strategy_id=held.strategy_id,
            symbol=held.symbol,
            new_symbol=new_symbol,
            qty_before=held.qty,
            qty_after=qty,
            cost_before=held.cost,
            cost_after=cost,
            cause=cause_of(activity),
            realized_pnl=realized_pnl,
            ratio=ratio,
            px=activity.px,
            cursor=activity.cursor,
            net_cost=net_cost,
        )
    )


def _paid_out(
    decision: Decision, activity: AccountActivity, held: Position, qty: Decimal, *, net_cost: Decimal | None = None
) -> None:
    """Part or all of a position is bought from us at the activity's price, as though it had been sold; no trade."""
    sold = held.qty - qty
    side = Side.SELL if sold > 0 else Side.BUY
    delta = fill_delta(held.qty, held.cost, side, abs(sold), activity.px)
    realized = delta.realized_pnl * _rate(decision.state, activity)
    trade = _trade(decision, activity, held, realized) if delta.qty == 0 else None
    _restated(decision, activity, held, qty=delta.qty, cost=delta.cost, realized_pnl=realized, net_cost=net_cost)
    if trade is not None:
        decision.emit(trade)


def _trade(decision: Decision, activity: AccountActivity, held: Position, realized: Decimal) -> TradeClosed:
    """The round trip that a payout ends."""
    exit_qty = held.exit_qty + abs(held.qty)
    gross = held.realized_pnl + realized
    net = gross - held.fees
    entry_px = held.entry_value / held.entry_qty if held.entry_qty else held.avg_px
    risk = ZERO
    if held.initial_stop_px is not None:
        risk = abs(entry_px - held.initial_stop_px) * held.entry_qty * _rate(decision.state, activity)
    return TradeClosed(
        at=decision.at,
        trade_id=content_id(held.strategy_id, held.symbol, held.entry_order, activity.activity_id),
        strategy_id=held.strategy_id,
        symbol=held.symbol,
        side=Side.BUY if held.qty > 0 else Side.SELL,
        qty=exit_qty,
        entry_px=entry_px,
        exit_px=(held.exit_value + abs(held.qty) * activity.px) / exit_qty,
        opened_at=held.opened_at or activity.transact_time,
        closed_at=activity.transact_time,
        gross_pnl=gross,
        fees=held.fees,
        net_pnl=net,
        exit_leg=Leg.EXIT,
        exit_reason=cause_of(activity),
        signal_id=held.signal_id,
        decision_px=held.decision_px,
        bars_held=held.bars_held,
        initial_stop_px=held.initial_stop_px,
        target_px=held.target_px,
        r_multiple=(net / risk).quantize(Decimal("0.01")) if risk else None,
    )


# ── what happens to cash ────────────────────────────────────────────────────────────────────────────────────


def _money(decision: Decision, activity: AccountActivity, fit: bool) -> None:
    """A dividend or financing: cash alone."""
    _cash(decision, activity)


def _cash(decision: Decision, activity: AccountActivity) -> None:
    """To whoever holds the symbol, by signed quantity; outside where nobody here does."""
    holders = _holders(decision.state, activity.symbol)
    shares = {held.strategy_id: held.qty for held in holders} if decision.state.net_qty(activity.symbol) else {}
    _book(decision, activity, shared(activity.amount, shares) if shares else {EXTERNAL: activity.amount})


def _book(decision: Decision, activity: AccountActivity, paid: dict[str, Decimal]) -> None:
    for strategy_id, amount in paid.items():
        decision.emit(
            CashBooked(
                at=decision.at,
                activity_id=activity.activity_id,
                activity=activity.kind,
                strategy_id=strategy_id,
                symbol=activity.symbol,
                amount=amount,
                cause=cause_of(activity),
                cursor=activity.cursor,
            )
        )


def _net_cost(state: State, symbol: str) -> Decimal:
    """What the broker's net position costs: instances that traded against each other do not add up to it."""
    net = state.net.get(symbol)
    return net.cost if net is not None else ZERO


def _holders(state: State, symbol: str) -> list[Position]:
    return sorted(state.holders(symbol), key=lambda held: held.strategy_id)


def _instrument(state: State, symbol: str) -> Instrument:
    return state.instrument(symbol) or instrument_for(symbol)


def _rate(state: State, activity: AccountActivity) -> Decimal:
    """Account currency for one unit of the instrument's, as the broker booked it where we know none."""
    instrument = _instrument(state, activity.symbol)
    known = state.rate(instrument.currency)
    value = (activity.qty_before - activity.qty_after) * activity.px
    if instrument.currency == state.day.account_currency:
        return ONE
    return activity.amount / value if instrument.margin_rate == ONE and value else known or ONE


_APPLY: Final[dict[ActivityKind, Callable[[Decision, AccountActivity, bool], None]]] = {
    ActivityKind.SPLIT: _split,
    ActivityKind.CASH_IN_LIEU: _cash_in_lieu,
    ActivityKind.DIVIDEND: _money,
    ActivityKind.FINANCING: _money,
    ActivityKind.BORROW_FEE: _money,
    ActivityKind.SYMBOL_CHANGE: _symbol_change,
    ActivityKind.DELISTING: _delisting,
}
assert set(_APPLY) == set(ActivityKind), "every kind of activity has its rule"
