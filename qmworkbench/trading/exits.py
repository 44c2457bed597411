"""Getting out: resting legs first cancelled, then the actual quantity closed, again until flat (§13 Partial Fill, §16).

An exit is a standing wish (`Position.exit_wanted`), not a message: whatever becomes of one exit order, as long as the
position is open and wanted closed, the next step sends the next one. So a rejected, expired or half-filled exit
cannot be forgotten, and a stop that fires meanwhile simply leaves nothing to do.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from qmworkbench.domain.events.market import SignalRaised, SignalRow
from qmworkbench.domain.events.orders import ExitRequested
from qmworkbench.domain.ids import signal_id
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Leg, Order, OrdStatus
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.intents import exits_sent, intend_exit
from qmworkbench.trading.rejections import RejectCode
from qmworkbench.trading.state import EXTERNAL, State

# Without a resting order for the close, a position is closed this many minutes before it.
FLAT_LEAD_MIN = 5
_ALARM_AFTER_REFUSALS = 5
_RETRY_PACE = timedelta(seconds=60)
# A cancel that does not take is repeated, ever more slowly: a broker that goes on refusing, because the order has
# filled, must not be asked thousands of times.
_CANCEL_PACE_S = (0, 5, 5, 10, 20)
_SLOWEST_CANCEL_S = 30
_EXITS_RUN = (Phase.MARKET_SESSION, Phase.SHUTDOWN, Phase.RECONCILIATION, Phase.REVIEW)


def request_exit(decision: Decision, held: Position, kind: str, reason: str, why: str = "") -> None:
    """Put the wish to be out of `held` on record; `kind` is the signal's kind (exit, time_exit, flat).

    `reason` is what orders and trades show; `why` what the strategy saw, kept with the signal.
    """
    if held.exit_wanted:
        return
    name = signal_id(
        strategy_id=held.strategy_id,
        symbol=held.symbol,
        as_of=decision.at.isoformat(timespec="seconds"),
        kind=kind,
    )
    mark = decision.state.marks.get(held.symbol)
    decision.emit(
        SignalRaised(
            at=decision.at,
            signal_id=name,
            strategy_id=held.strategy_id,
            symbol=held.symbol,
            kind=kind,
            decision_px=mark.px if mark is not None else held.avg_px,
            why=why or reason,
        )
    )
    decision.emit(
        ExitRequested(at=decision.at, strategy_id=held.strategy_id, symbol=held.symbol, reason=reason, signal_id=name)
    )


def exit_rules(decision: Decision, signals: dict[str, SignalRow]) -> None:
    """Every reason to leave a position at this boundary: the strategy's signal, its time limit, the session's end."""
    state = decision.state
    if not state.positions:
        return
    near_close = state.minutes_to_close() <= max(FLAT_LEAD_MIN, state.day.window.interval_s / 60)
    for key in sorted(state.positions):
        held = state.positions[key]
        if held.strategy_id == EXTERNAL or held.qty == 0 or held.exit_wanted:
            continue
        row = signals.get(key)
        long = held.qty > 0
        if row is not None and (row.exit_long if long else row.exit_short):
            request_exit(decision, held, "exit", "exit signal", row.why)
        elif row is not None and (row.entry_short if long else row.entry_long):
            request_exit(decision, held, "exit", "opposite entry signal", row.why)
        elif held.max_hold_bars is not None and held.bars_held >= held.max_hold_bars:
            request_exit(decision, held, "time_exit", f"held {held.bars_held} bars, the limit is {held.max_hold_bars}")
        elif near_close and _must_be_flat(state, held):
            request_exit(decision, held, "flat", "flat before the close: no closing order rests at the broker")


def _must_be_flat(state: State, held: Position) -> bool:
    if held.flat_policy != "at_close":
        return False
    legs = state.exit_legs(held.strategy_id, held.symbol)
    return not any(o.leg is Leg.CLOSE and o.status is OrdStatus.ACCEPTED for o in legs)


def progress_exits(decision: Decision) -> None:
    """Take each wanted exit one step further: cancel what rests, then close what is left.

    A wish from yesterday waits for the market session: until then what rests at the broker protects the position. At
    the close no bar is left to get out at, so what rests is left to do its work, at the closing print or overnight.
    """
    state = decision.state
    # A book that is HALTED lets nothing but liquidation pass; its own steps close the positions.
    if not state.leaving or state.halt.state is TradingState.HALTED or state.day.phase not in _EXITS_RUN:
        return
    closed = decision.at >= state.day.closes_at
    for key in sorted(state.leaving):
        held = state.positions[key]
        if held.qty == 0:
            continue
        working = state.working_for(held.strategy_id, held.symbol)
        if closed and any(o.leg is not Leg.EXIT and o.status is OrdStatus.ACCEPTED for o in working):
            continue
        cancel_all(decision, [o for o in working if o.leg is not Leg.EXIT], f"exit wanted: {held.exit_wanted}")
        if state.working_for(held.strategy_id, held.symbol):
            continue
        if not state.connected or _must_wait(decision, held):
            continue
        # What an ended exit may still turn out to have closed is not closed twice.
        qty = abs(held.qty) - _unproven_exits(state, held)
        if qty > 0:
            intend_exit(decision, held, Leg.EXIT, qty, held.exit_wanted, held.exit_signal_id)


def _unproven_exits(state: State, held: Position) -> Decimal:
    if not state.unproven:
        return ZERO
    ended = ((state.orders[name], qty) for name, qty in state.unproven.items())
    mine = (
        qty
        for order, qty in ended
        if (order.strategy_id, order.symbol) == (held.strategy_id, held.symbol) and order.side.sign * held.qty < 0
    )
    return sum(mine, ZERO)


def _must_wait(decision: Decision, held: Position) -> bool:
    """Exits are tried again as long as something is held; after a row of refusals at a pace, and a person is told."""
    mine = exits_sent(decision.state, held)
    refused = [o for o in mine if o.status in (OrdStatus.REJECTED, OrdStatus.DENIED, OrdStatus.EXPIRED)]
    if len(refused) >= _ALARM_AFTER_REFUSALS:
        decision.alarm(
            "exit_failed",
            f"{held.strategy_id}|{held.symbol}",
            Priority.P0,
            f"{held.symbol}: {len(refused)} exit orders failed, last: {refused[-1].reason}",
            "close the position at the broker, or trigger Emergency Liquidate & Halt",
        )
    if not mine:
        return False
    # A venue that refuses now is not asked again within the same moment, and one that goes on refusing not at once.
    waited = decision.at - mine[-1].intended_at
    paced = waited < _RETRY_PACE if len(refused) >= _ALARM_AFTER_REFUSALS else not waited
    return paced or _market_waits(decision, mine[-1])


def _market_waits(decision: Decision, last: Order) -> bool:
    """A market that is closed or halted takes nothing until it trades: seen at the next boundary, or, where no bars
    come, tried after a while. After the close that is the next open.
    """
    if last.status is not OrdStatus.REJECTED or last.reject_code != RejectCode.MARKET_STATE:
        return False
    day = decision.state.day
    traded = day.boundary_at is not None and day.boundary_at > last.intended_at
    return decision.at >= day.closes_at or not (traded or decision.at - last.intended_at >= _RETRY_PACE)


def cancel_all(decision: Decision, orders: list[Order], reason: str) -> None:
    """Ask for the cancel of each order, once; again where it did not take, ever more slowly. Cancels are never judged
    by risk.
    """
    for order in orders:
        if order.status in TERMINAL or not _may_ask(order, decision.at):
            continue
        if order.cancels == _ALARM_AFTER_REFUSALS:
            decision.alarm(
                "cancel_fails",
                order.cl_ord_id,
                Priority.P1,
                f"{order.symbol}: {order.cancels} cancels of {order.cl_ord_id} did not take",
                f"compare with the broker: `qm order inspect {order.cl_ord_id}`; it may have filled",
            )
        decision.cancel(order, reason)


def _may_ask(order: Order, at: datetime) -> bool:
    asked = order.cancel_requested_at
    if asked is None or not order.cancel_failed:
        return asked is None
    pace_s = _CANCEL_PACE_S[order.cancels] if order.cancels < len(_CANCEL_PACE_S) else _SLOWEST_CANCEL_S
    return at > asked and at - asked >= timedelta(seconds=pace_s)


def cancel_entries(decision: Decision, reason: str) -> None:
    """Cancel every entry order of the book that could still fill."""
    cancel_all(decision, decision.state.working_entries(), reason)
