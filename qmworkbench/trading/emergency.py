"""Emergency Liquidate & Halt: from anywhere to flat, and still halted afterwards (§15).

The order of steps is fixed. The emergency is on record and the book HALTED before anything is sent. Entry orders are
cancelled. Then each symbol goes its own way: its resting exits are cancelled; when they are gone, or after five
seconds, the broker's position is read; one closing order is sent, for no more than that position less what other
orders on the same side may still fill; this repeats until the broker says flat. A closed market queues the close.
Late is P0, and trying goes on.

The broker nets, and flat there is flat. What instances still hold against each other in our books then is closed by an
entry in them, at the mark: nothing is sent for it.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.control import EmergencyCompleted, EmergencyStarted, EmergencyStepTaken
from qmworkbench.domain.events.reconciliation import Trigger
from qmworkbench.domain.execution import BrokerPosition, BrokerSnapshot
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg, Order, OrdStatus
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading.booking import book_offset
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_all, cancel_entries
from qmworkbench.trading.intents import intend_liquidation
from qmworkbench.trading.state import EXTERNAL, Emergency, EmergencyLine, State

CANCEL_WAIT: Final = timedelta(seconds=5)
RETRY_AFTER: Final = timedelta(seconds=30)
DEADLINE_S: Final = 180
MAX_READS_AT_ONCE: Final = 4


def running(state: State) -> bool:
    """An emergency has begun and is not flat yet."""
    return state.emergency is not None and state.emergency.running


def begin(decision: Decision, by: str, reason: str) -> str:
    """Persist the emergency and halt; the rest follows step by step. A second one joins the first."""
    state = decision.state
    if state.emergency is not None and state.emergency.running:
        return state.emergency.emergency_id
    name = content_id(state.day.session_id, "emergency", decision.at.isoformat(), by)
    deadline_s = max(DEADLINE_S, 3 * state.day.window.interval_s)
    decision.emit(EmergencyStarted(at=decision.at, emergency_id=name, by=by, reason=reason, deadline_s=deadline_s))
    decision.restrict("book", TradingState.HALTED, "emergency", reason, by)
    decision.alarm(
        "emergency_halt",
        name,
        Priority.P0,
        f"Emergency Liquidate & Halt by {by}: {reason}",
        "watch cancels and closes until every position is zero; do not resume before reconciliation (§15)",
    )
    cancel_entries(decision, "emergency")
    for symbol in state.held_symbols():
        _cancel_exits(decision, name, symbol)
    if not state.positions:
        # Ours is empty, but the broker decides whether that is true.
        _read(decision)
    return name


def _cancel_exits(decision: Decision, name: str, symbol: str) -> None:
    resting = [o for o in decision.state.working_in(symbol) if o.leg is not Leg.LIQUIDATE]
    cancel_all(decision, resting, "emergency")
    _note(decision, name, symbol, "exits_canceled", f"{len(resting)} resting orders asked to cancel")


def _note(decision: Decision, name: str, symbol: str, step: str, detail: str) -> None:
    decision.emit(EmergencyStepTaken(at=decision.at, emergency_id=name, symbol=symbol, step=step, detail=detail))


def _read(decision: Decision) -> None:
    """Ask for the broker's books, a few times per moment at most; a failed read is asked again at the next tick."""
    current = decision.state.emergency
    if current is not None and current.read_at == decision.at and current.reads >= MAX_READS_AT_ONCE:
        return
    if decision.state.reconciliation.pending is None:
        decision.ask_broker(Trigger.EMERGENCY)


def progress(decision: Decision) -> None:
    """One look at every symbol: is it time to read the broker's position again?"""
    state = decision.state
    current = state.emergency
    if current is None or not current.running:
        return
    _overdue(decision, current)
    wants_read = not current.lines
    for symbol, line in list(current.lines.items()):
        live = state.working_in(symbol)
        # A cancel that did not take is asked for again.
        cancel_all(decision, [o for o in live if o.cancel_failed and o.leg is not Leg.LIQUIDATE], "emergency")
        waited = decision.at - line.since
        # One order at a time: while a close works, its end or its lateness is what we wait for.
        closing = line.step == "close_sent" and any(o.leg is Leg.LIQUIDATE for o in live)
        cancelling = line.step == "exits_canceled" and live and waited < CANCEL_WAIT
        paced = line.step == "queued" and waited < RETRY_AFTER
        if line.step != "flat" and not (closing or cancelling or paced):
            wants_read = True
    if wants_read or all(line.step == "flat" for line in current.lines.values()):
        _read(decision)


def _overdue(decision: Decision, current: Emergency) -> None:
    late = decision.at - current.started_at > timedelta(seconds=current.deadline_s)
    if late and current.overdue_at is None:
        _note(decision, current.emergency_id, "", "overdue", f"not flat after {current.deadline_s} s")
        open_symbols = sorted(s for s, line in current.lines.items() if line.step != "flat")
        still = ", ".join(open_symbols) or "positions unread"
        decision.alarm(
            "emergency_halt_failure",
            current.emergency_id,
            Priority.P0,
            f"not flat {current.deadline_s} s after the emergency began: {still}",
            "close the positions at the broker by hand; the platform keeps trying",
        )


def on_positions(decision: Decision, snapshot: BrokerSnapshot) -> None:
    """The broker's positions were read: close what is there, and finish when nothing is."""
    state = decision.state
    current = state.emergency
    if current is None or not current.running:
        return
    theirs = {p.symbol: p for p in snapshot.positions if p.qty != 0}
    for symbol in sorted(theirs.keys() - current.lines.keys()):
        _cancel_exits(decision, current.emergency_id, symbol)
    for symbol in sorted(current.lines):
        line = current.lines[symbol]
        if symbol not in theirs:
            if line.step != "flat":
                _note(decision, current.emergency_id, symbol, "flat", "the broker holds nothing")
        else:
            _close(decision, current, symbol, line, theirs[symbol])
    offset_remains(decision, snapshot)
    if not theirs and not state.open_entries and not snapshot.open_orders:
        decision.emit(
            EmergencyCompleted(
                at=decision.at,
                emergency_id=current.emergency_id,
                symbols=len(current.lines),
                realized_pnl=state.day.realized_pnl,
            )
        )
        decision.all_clear("emergency_halt_failure", current.emergency_id, "every position is zero")


def _close(decision: Decision, current: Emergency, symbol: str, line: EmergencyLine, theirs: BrokerPosition) -> None:
    """Send one close for what is provably ours to close."""
    state = decision.state
    live = state.working_in(symbol)
    if line.step == "exits_canceled" and live and decision.at - line.since < CANCEL_WAIT:
        return
    if any(o.leg is Leg.LIQUIDATE for o in live):
        return
    if line.step == "queued" and decision.at - line.since < RETRY_AFTER:
        return
    # What other orders on the closing side may still fill is theirs to close, not ours twice.
    qty = abs(theirs.qty) - _may_fill([o for o in live if o.side.sign * theirs.qty < 0])
    if qty <= 0:
        return
    if state.day.phase is Phase.CLOSED or decision.at >= state.day.closes_at:
        _note(
            decision,
            current.emergency_id,
            symbol,
            "queued",
            "the market is closed; the close waits for the open",
        )
        return
    last = _last_refusal(state, symbol)
    if line.step == "close_sent" and last:
        _note(decision, current.emergency_id, symbol, "queued", f"the broker refused the close: {last}")
        return
    name = f"{current.emergency_id}/{symbol}/{line.attempt + 1}"
    signed = Decimal(theirs.qty)
    intend_liquidation(decision, symbol, signed, qty, name, theirs.market_px)
    _note(decision, current.emergency_id, symbol, "close_sent", f"{qty} of {abs(signed)}")


def _may_fill(orders: list[Order]) -> Decimal:
    """What these could still close together: the legs of one entry cancel each other, and count once."""
    largest: dict[str, Decimal] = {}
    for order in orders:
        name = order.parent_id or order.cl_ord_id
        largest[name] = max(largest.get(name, ZERO), order.leaves_qty)
    return sum(largest.values(), ZERO)


def offset_remains(decision: Decision, snapshot: BrokerSnapshot) -> None:
    """Once an emergency has the broker flat in a symbol, with nothing working there: close what instances hold against
    each other, at the mark, or at the price of a close that went past the platform.
    """
    state = decision.state
    if not running(state) and "emergency" not in state.halt.causes:
        return
    held_there = {p.symbol for p in snapshot.positions if p.qty != 0} | {o.symbol for o in snapshot.open_orders}
    for symbol in state.held_symbols():
        if symbol in held_there or symbol in state.net or symbol in state.open_at:
            continue
        parts = state.holders(symbol)
        instrument, mark = state.instrument(symbol), state.marks.get(symbol)
        rate = state.rate(instrument.currency) if instrument is not None else None
        if rate is None:
            continue  # what it made cannot be told in the account's currency yet; the next comparison asks again
        outside = next((p for p in parts if p.strategy_id == EXTERNAL), None)
        px = outside.avg_px if outside is not None else mark.px if mark is not None else parts[0].avg_px
        reason = "emergency: the broker is flat, what was held against each other is closed in the books"
        book_offset(decision, symbol, parts, px, rate, reason)


def _last_refusal(state: State, symbol: str) -> str:
    mine = [o for o in state.orders.values() if o.symbol == symbol and o.leg is Leg.LIQUIDATE]
    return mine[-1].reason if mine and mine[-1].status is OrdStatus.REJECTED else ""
