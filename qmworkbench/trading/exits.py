"""Getting out: resting legs first cancelled, then the actual quantity closed, again until flat (§13 Partial Fill, §16).

An exit is a standing wish (`Position.exit_wanted`), not a message: whatever becomes of one exit order, as long as the
position is open and wanted closed, the next step sends the next one. So a rejected, expired or half-filled exit
cannot be forgotten, and a stop that fires meanwhile simply leaves nothing to do.
"""

from qmworkbench.domain.events.market import SignalRaised, SignalRow
from qmworkbench.domain.events.orders import CancelRequested, ExitRequested
from qmworkbench.domain.ids import signal_id
from qmworkbench.domain.orders import Leg, Order, OrdStatus
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.intents import exits_sent, intend_exit
from qmworkbench.trading.state import EXTERNAL, State

# Without a resting order for the close, a position is closed this many minutes before it.
FLAT_LEAD_MIN = 5
_MAX_EXIT_ATTEMPTS = 5
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
        if not state.connected or _exhausted(decision, held):
            continue
        intend_exit(decision, held, Leg.EXIT, abs(held.qty), held.exit_wanted, held.exit_signal_id)


def _exhausted(decision: Decision, held: Position) -> bool:
    """Exits are retried at later boundaries, and a row of refusals becomes a person's problem."""
    mine = exits_sent(decision.state, held)
    refused = [o for o in mine if o.status in (OrdStatus.REJECTED, OrdStatus.DENIED, OrdStatus.EXPIRED)]
    if len(refused) >= _MAX_EXIT_ATTEMPTS:
        decision.alarm(
            "exit_failed",
            f"{held.strategy_id}|{held.symbol}",
            Priority.P0,
            f"{held.symbol}: {len(refused)} exit orders failed, last: {refused[-1].reason}",
            "close the position at the broker, or trigger Emergency Liquidate & Halt",
        )
    # One attempt per boundary: a venue that refuses now is not asked again within the same minute.
    return any(o.intended_at == decision.at for o in mine) or len(refused) >= _MAX_EXIT_ATTEMPTS


def cancel_all(decision: Decision, orders: list[Order], reason: str) -> None:
    """Ask for the cancel of each order, once; again later where it did not take. Cancels are never judged by risk."""
    for order in orders:
        asked = order.cancel_requested_at
        # A cancel that failed is repeated when time has moved on, never within the same moment: no storm of cancels.
        if order.is_open and (asked is None or (order.cancel_failed and decision.at > asked)):
            decision.emit(CancelRequested(at=decision.at, cl_ord_id=order.cl_ord_id, reason=reason))


def cancel_entries(decision: Decision, reason: str) -> None:
    """Cancel every entry order of the book that could still fill."""
    cancel_all(decision, decision.state.working_entries(), reason)
