"""From a wish to an order on record: sizing, bracket legs, the risk decision, the intent (§11, §13)."""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.market import SignalIgnored, SignalRaised
from qmworkbench.domain.events.orders import OrderDenied, OrderIntended, RiskDecided, RuleVerdict
from qmworkbench.domain.execution import LegRequest, OrderRequest
from qmworkbench.domain.ids import cl_ord_id
from qmworkbench.domain.numbers import ZERO, floor_to
from qmworkbench.domain.orders import Leg, Order, OrderStyle, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.domain.positions import Position
from qmworkbench.trading import breaches, denials, rejections, risk
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.order_styles import OrderTerms, entry_terms, exit_terms
from qmworkbench.trading.state import EXTERNAL, State

# Bound once: finding a member in its enum costs several times what comparing it does (Python 3.11).
_ENTRY: Final = Leg.ENTRY
_STOP: Final = Leg.STOP
_TARGET: Final = Leg.TARGET
_CLOSE: Final = Leg.CLOSE


def _id(state: State, strategy_id: str, symbol: str, signal_id: str, leg: Leg, attempt: int) -> str:
    return cl_ord_id(
        book=state.book,
        session=state.day.session_id,
        strategy_id=strategy_id,
        symbol=symbol,
        signal_id=signal_id,
        leg=leg,
        attempt=attempt,
    )


def entry_qty(state: State, symbol: str, budget: Decimal, px: Decimal) -> Decimal:
    """floor(budget / close) in lots, never above the quantity limit; 0 without a rate or below one lot (FILLS §5).

    `budget` is in account currency. Sizing stays inside the limits; that it did is still judged by the Risk Manager.
    """
    instrument = state.instrument(symbol)
    rate = state.rate(instrument.currency) if instrument else None
    if instrument is None or rate is None or px <= 0:
        return ZERO
    qty = floor_to(budget / (px * rate), instrument.lot_size)
    limit = state.day.limits.max_position_qty
    return instrument.lot_down(qty if limit is None else min(qty, limit))


def _legs(state: State, raised: SignalRaised, flat_policy: str) -> tuple[LegRequest, ...]:
    """The exits that rest at the broker beside the position: stop, target, and the session's close where the policy
    is flat.
    """

    def name(kind: Leg) -> str:
        return _id(state, raised.strategy_id, raised.symbol, raised.signal_id, kind, 1)

    rest = TimeInForce.GTC if flat_policy == "carry" else TimeInForce.DAY
    legs: list[LegRequest] = []
    if raised.stop_px is not None:
        legs.append(
            LegRequest(
                cl_ord_id=name(_STOP),
                leg=_STOP,
                ord_type=OrdType.STOP,
                time_in_force=rest,
                stop_px=raised.stop_px,
                trail_bps=raised.trail_bps,
            )
        )
    if raised.target_px is not None:
        legs.append(
            LegRequest(
                cl_ord_id=name(_TARGET),
                leg=_TARGET,
                ord_type=OrdType.LIMIT,
                time_in_force=rest,
                limit_px=raised.target_px,
            )
        )
    if flat_policy == "at_close":
        close = TimeInForce.AT_CLOSE
        legs.append(LegRequest(cl_ord_id=name(_CLOSE), leg=_CLOSE, ord_type=OrdType.MARKET, time_in_force=close))
    return tuple(legs)


def intend_entry(decision: Decision, raised: SignalRaised) -> None:
    """Size, judge and record an entry; the shell sends it once it is durable.

    Who does not own the symbol has no budget, and without a rate between the currencies none can be turned into a
    size: then what can be judged without one is, and the denial names it.
    """
    state, day = decision.state, decision.state.day
    owned = day.assignment(raised.strategy_id, raised.symbol)
    budget = owned.budget if owned is not None else ZERO
    run = day.runs[raised.strategy_id]
    side = Side.BUY if raised.kind == "entry_long" else Side.SELL
    terms = _entry_terms(state, run.spec.order_style, raised, side)
    # A seller's budget buys back at no less than it sells at, so the decision price is the dearer one there.
    qty = entry_qty(state, raised.symbol, budget, max(raised.decision_px, terms.worst_px))
    if qty <= 0 and owned is not None and not state.missing_rate(raised.symbol):
        reason = f"a budget of {budget:.2f} buys nothing at {raised.decision_px}"
        decision.emit(SignalIgnored(at=decision.at, signal_id=raised.signal_id, reason=reason))
        return
    tired = rejections.resting(state, raised.strategy_id, raised.symbol)
    if tired:
        decision.emit(SignalIgnored(at=decision.at, signal_id=raised.signal_id, reason=tired))
        return
    request = OrderRequest(
        cl_ord_id=_id(state, raised.strategy_id, raised.symbol, raised.signal_id, _ENTRY, 1),
        symbol=raised.symbol,
        side=side,
        position_effect=PositionEffect.OPEN,
        ord_type=terms.ord_type,
        order_qty=qty,
        time_in_force=terms.time_in_force,
        decided_at=decision.at,
        limit_px=terms.limit_px,
        stop_px=terms.stop_px,
        legs=_legs(state, raised, run.spec.flat_policy),
        netted=state.is_netted(raised.symbol),
    )
    intent = risk.Intent(
        request=request,
        strategy_id=raised.strategy_id,
        leg=_ENTRY,
        decision_px=raised.decision_px,
        stop_px=raised.stop_px,
    )
    if request.cl_ord_id in state.orders:
        decision.emit(
            SignalIgnored(at=decision.at, signal_id=raised.signal_id, reason="this signal was already acted on")
        )
        return
    reserve = state.notional(raised.symbol, qty, max(raised.decision_px, terms.worst_px)) or ZERO
    _record(
        decision,
        intent,
        raised.signal_id,
        reserve=reserve,
        max_hold_bars=raised.max_hold_bars,
        flat_policy=run.spec.flat_policy,
    )


def _entry_terms(state: State, style: OrderStyle, raised: SignalRaised, side: Side) -> OrderTerms:
    """As the instance's style has it; a symbol that is not of this session has no grid, and is denied anyway."""
    instrument = state.instrument(raised.symbol)
    if instrument is None:
        style_free = OrderStyle()
        return OrderTerms(
            ord_type=style_free.entry_type,
            time_in_force=style_free.entry_time_in_force,
            worst_px=raised.decision_px,
        )
    return entry_terms(style, instrument, side, raised.decision_px, state.day.limits.price_collar_bps)


def _exit_terms(state: State, held: Position, side: Side, px: Decimal, earlier: list[Order], kind: str) -> OrderTerms:
    """A limit where the style has one, none was tried before, and time is left for it: for its timeout, for the bar
    that shows it, and for one in which the market order fills that comes after it.
    """
    run = state.day.runs.get(held.strategy_id)
    style = run.spec.order_style if run is not None else OrderStyle()
    left_s = 60 * state.minutes_to_close()
    takes_s = (style.exit_timeout_s or 0) + 2 * state.day.window.interval_s
    at_once = kind == "flat" or left_s <= takes_s or any(o.limit_px is not None for o in earlier)
    return exit_terms(style, state.instrument(held.symbol), side, px, at_once=at_once)


def _attempts(state: State, held: Position, signal_id: str, leg: Leg) -> list[Order]:
    """The orders that have tried to do this already, first to last: their ids count up."""
    found: list[Order] = []
    while True:
        order = state.orders.get(_id(state, held.strategy_id, held.symbol, signal_id, leg, len(found) + 1))
        if order is None:
            return found
        found.append(order)


def exits_sent(state: State, held: Position) -> list[Order]:
    """This session's orders for the exit that is wanted of `held`, refused ones included."""
    return _attempts(state, held, held.exit_signal_id, Leg.EXIT)


def intend_exit(decision: Decision, held: Position, leg: Leg, qty: Decimal, reason: str, signal_id: str) -> bool:
    """Record an exit for `qty` of what is held, as the instance's style has it; says whether it was allowed."""
    state = decision.state
    earlier = _attempts(state, held, signal_id, leg)
    attempt = len(earlier) + 1
    side = Side.SELL if held.qty > 0 else Side.BUY
    mark = state.marks.get(held.symbol)
    px = mark.px if mark is not None else held.avg_px
    terms = _exit_terms(state, held, side, px, earlier, signal_id.rpartition("/")[2])
    request = OrderRequest(
        cl_ord_id=_id(state, held.strategy_id, held.symbol, signal_id, leg, attempt),
        symbol=held.symbol,
        side=side,
        position_effect=PositionEffect.CLOSE,
        ord_type=terms.ord_type,
        order_qty=qty,
        time_in_force=terms.time_in_force,
        decided_at=decision.at,
        limit_px=terms.limit_px,
        netted=state.is_netted(held.symbol),
    )
    intent = risk.Intent(request=request, strategy_id=held.strategy_id, leg=leg, decision_px=px)
    return _record(decision, intent, signal_id, attempt=attempt, reason=reason, flat_policy=held.flat_policy)


def intend_liquidation(
    decision: Decision, symbol: str, broker_qty: Decimal, qty: Decimal, signal_id: str, market_px: Decimal
) -> None:
    """Record an emergency close: capped by the broker's own position, not by ours, and judged by nothing else (§15).

    Where several instances hold the symbol, the largest on the broker's side is closed first; the next read closes
    the next.
    """
    state = decision.state
    owners = [p for p in state.holders(symbol) if p.qty * broker_qty > 0]
    owner = max(owners, key=lambda p: (abs(p.qty), p.strategy_id), default=None)
    strategy_id = owner.strategy_id if owner is not None else EXTERNAL
    qty = min(qty, abs(owner.qty)) if owner is not None else qty
    request = OrderRequest(
        cl_ord_id=_id(state, strategy_id, symbol, signal_id, Leg.LIQUIDATE, 1),
        symbol=symbol,
        side=Side.SELL if broker_qty > 0 else Side.BUY,
        position_effect=PositionEffect.CLOSE,
        ord_type=OrdType.MARKET,
        order_qty=qty,
        time_in_force=TimeInForce.DAY,
        decided_at=decision.at,
    )
    cap = RuleVerdict(code="reduce_only_broker", passed=True, value=str(qty), limit=str(abs(broker_qty)))
    decision.emit(
        RiskDecided(
            at=decision.at,
            cl_ord_id=request.cl_ord_id,
            strategy_id=strategy_id,
            symbol=symbol,
            leg=Leg.LIQUIDATE,
            allowed=True,
            rules=(cap,),
            limits_hash=state.day.limits_hash,
        )
    )
    decision.emit(
        OrderIntended(
            at=decision.at,
            request=request,
            strategy_id=strategy_id,
            leg=Leg.LIQUIDATE,
            signal_id=signal_id,
            attempt=1,
            decision_px=market_px,
            reserve_notional=ZERO,
            reason="emergency liquidation",
        )
    )


def _record(
    decision: Decision,
    intent: risk.Intent,
    signal_id: str,
    *,
    flat_policy: str,
    attempt: int = 1,
    reserve: Decimal = ZERO,
    reason: str = "",
    max_hold_bars: int | None = None,
) -> bool:
    sized = intent.request.order_qty > 0
    rules = risk.judge(decision.state, intent) if sized else risk.judge_unsized(decision.state, intent)
    failed = [rule for rule in rules if not rule.passed]
    decision.emit(
        RiskDecided(
            at=decision.at,
            cl_ord_id=intent.request.cl_ord_id,
            strategy_id=intent.strategy_id,
            symbol=intent.request.symbol,
            leg=intent.leg,
            allowed=not failed,
            rules=rules,
            limits_hash=decision.state.day.limits_hash,
        )
    )
    if failed:
        breaches.judged(decision, intent, failed)
        _deny(decision, intent, signal_id, " | ".join(map(denials.sentence, failed)))
        return False
    decision.emit(
        OrderIntended(
            at=decision.at,
            request=intent.request,
            strategy_id=intent.strategy_id,
            leg=intent.leg,
            signal_id=signal_id,
            attempt=attempt,
            decision_px=intent.decision_px,
            reserve_notional=reserve,
            reason=reason,
            max_hold_bars=max_hold_bars,
            flat_policy=flat_policy,
        )
    )
    return True


def _deny(decision: Decision, intent: risk.Intent, signal_id: str, reason: str) -> None:
    decision.emit(
        OrderDenied(
            at=decision.at,
            request=intent.request,
            strategy_id=intent.strategy_id,
            leg=intent.leg,
            signal_id=signal_id,
            decision_px=intent.decision_px,
            reason=reason,
        )
    )
