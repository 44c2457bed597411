"""Emergency Liquidate & Halt: from anywhere to flat, and still halted afterwards (§15).

The order of steps is fixed. The emergency is on record and the book HALTED before anything is sent. Entry orders are
cancelled, and so is whatever else works there: what nobody here sent, and orders of which we do not know whether the
broker has them. Then each symbol goes its own way: its resting exits are cancelled; when they are gone, or after five
seconds, the broker's position is read; one closing order is sent, for no more than that position less what other
orders on the same side may still fill; this repeats until the broker says flat. A closed or halted market queues the
close, alarmed and paced. Late is P0, and trying goes on.

It is over once the broker holds nothing, works nothing, and nothing of ours may still fill. A fill that comes even
later begins it again: the book is HALTED, so nothing else would close that position.

The broker nets, and flat there is flat. What instances still hold against each other in our books then is closed by an
entry in them, at the mark: nothing is sent for it.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.control import EmergencyCompleted, EmergencyStarted, EmergencyStepTaken
from qmworkbench.domain.events.orders import CancelRequested
from qmworkbench.domain.events.reconciliation import FallbackImported, Trigger
from qmworkbench.domain.execution import BrokerPosition, BrokerSnapshot
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg, Order, OrdStatus
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading.booking import book_offset
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_all, cancel_entries
from qmworkbench.trading.fold_reconciliation import READS_WITHIN
from qmworkbench.trading.intents import intend_liquidation
from qmworkbench.trading.state import EXTERNAL, Emergency, EmergencyLine, State

CODE: Final = "emergency"
ALERT: Final = "emergency_halt"  # stands until a person resumes
CANCEL_WAIT: Final = timedelta(seconds=5)
RETRY_AFTER: Final = timedelta(seconds=30)
DEADLINE_S: Final = 180
MAX_READS_AT_ONCE: Final = 4
_ENDED_UNFILLED: Final = (OrdStatus.REJECTED, OrdStatus.CANCELED, OrdStatus.EXPIRED, OrdStatus.DENIED)


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
    decision.restrict("book", TradingState.HALTED, CODE, reason, by)
    _tell(decision, name, by, reason)
    entries = len(state.working_entries())
    cancel_entries(decision, CODE)
    if entries:
        _note(decision, name, "", "entries_canceled", f"{entries} entry orders asked to cancel")
    for symbol in sorted({*state.held_symbols(), *(o.symbol for o in _resting(state))}):
        _cancel_exits(decision, name, symbol)
    if not state.positions:
        # Ours is empty, but the broker decides whether that is true.
        _read(decision)
    return name


def _tell(decision: Decision, name: str, by: str, reason: str) -> None:
    decision.alarm(
        ALERT,
        name,
        Priority.P0,
        f"Emergency Liquidate & Halt by {by}: {reason}",
        "watch cancels and closes until every position is zero; do not resume before reconciliation (§15)",
    )


def _resting(state: State) -> list[Order]:
    """Everything that works or may work and is neither an entry of ours nor a close of this emergency."""
    return [o for o in state.working() if o.leg is not Leg.LIQUIDATE and o.cl_ord_id not in state.open_entries]


def _cancel_exits(decision: Decision, name: str, symbol: str) -> None:
    resting = [o for o in decision.state.working_in(symbol) if o.leg is not Leg.LIQUIDATE]
    cancel_all(decision, resting, CODE)
    _note(decision, name, symbol, "exits_canceled", f"{len(resting)} resting orders asked to cancel")


def _note(decision: Decision, name: str, symbol: str, step: str, detail: str) -> None:
    decision.emit(EmergencyStepTaken(at=decision.at, emergency_id=name, symbol=symbol, step=step, detail=detail))


def _read(decision: Decision) -> None:
    """Ask for the broker's books, a few times a second at most, and once a second after a row of answers that said
    nothing: a broker that cannot be reached says so at once, and asking on without a pause would use up what it lets
    through. The next tick asks again.
    """
    current, last = decision.state.emergency, decision.state.reconciliation
    begun = current.reads_from if current is not None else None
    often = current is not None and max(current.reads, last.tries) >= MAX_READS_AT_ONCE
    if often and begun is not None and decision.at - begun < READS_WITHIN:
        return
    if last.pending is None:
        decision.ask_broker(Trigger.EMERGENCY)


def progress(decision: Decision) -> None:
    """One look at every symbol: is it time to read the broker's position again?"""
    state = decision.state
    current = state.emergency
    if current is None or (decision.events and type(decision.events[0]) is FallbackImported):
        return  # a log is taken over record by record: what is to be done is known once all of it is
    if not current.running:
        _late_fills(decision, current)
        return
    _tell(decision, current.emergency_id, current.by, current.reason)
    _overdue(decision, current)
    # A cancel that did not take is asked for again, whatever the order was for.
    cancel_all(decision, [order for order in state.working() if order.leg is not Leg.LIQUIDATE], CODE)
    wants_read = not current.lines
    for symbol, line in list(current.lines.items()):
        live = state.working_in(symbol)
        waited = decision.at - line.since
        # One order at a time: while a close works, its end or its lateness is what we wait for.
        closing = line.step in ("close_sent", "queued") and any(o.leg is Leg.LIQUIDATE for o in live)
        if closing and line.step == "close_sent" and waited > _patience(state):
            _queue(decision, current, symbol, "the close rests at the broker and waits for the market")
        cancelling = line.step == "exits_canceled" and live and waited < CANCEL_WAIT
        # What has become of it may have been told in a frame that was lost: the broker's books tell it too.
        closing = closing and decision.at - (current.read_at or current.started_at) < RETRY_AFTER
        paced = line.step in ("queued", "waiting") and waited < RETRY_AFTER
        if line.step != "flat" and not (closing or cancelling or paced):
            wants_read = True
    if wants_read or all(line.step == "flat" for line in current.lines.values()):
        _read(decision)


def _patience(state: State) -> timedelta:
    """How long a market order may take before the market must be at a standstill: two bars, or RETRY_AFTER."""
    return max(RETRY_AFTER, 2 * timedelta(seconds=state.day.window.interval_s))


def _late_fills(decision: Decision, current: Emergency) -> None:
    """After flat: what fills now was on its way all the time, and is closed like the rest while the book is HALTED."""
    state = decision.state
    if not state.net or CODE not in state.halt.causes or state.halt.state is not TradingState.HALTED:
        return
    # A direct emergency's close that was taken over is not heard of whole yet: until then it is what it closes.
    late = [s for s in sorted(state.net) if not any(o.leg is Leg.LIQUIDATE for o in state.working_in(s))]
    for symbol in late:
        held = f"{state.net_qty(symbol)} held after everything was flat: a late fill"
        _note(decision, current.emergency_id, symbol, "late_fill", held)
        cancel_all(decision, [o for o in state.working_in(symbol) if o.leg is not Leg.LIQUIDATE], CODE)
    if late:
        _read(decision)


def _overdue(decision: Decision, current: Emergency) -> None:
    late = decision.at - (current.again_at or current.started_at) > timedelta(seconds=current.deadline_s)
    if late and current.overdue_at is None:
        _note(decision, current.emergency_id, "", "overdue", f"not flat after {current.deadline_s} s")
        open_symbols = sorted(s for s, line in current.lines.items() if line.step != "flat")
        doubtful = [o.cl_ord_id for o in decision.state.working()]
        still = ", ".join(open_symbols) or ", ".join(doubtful[:MAX_READS_AT_ONCE]) or "positions unread"
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
    _cancel_strangers(decision, current, snapshot)
    theirs = {p.symbol: p for p in snapshot.positions if p.qty != 0}
    for symbol in sorted(theirs.keys() - current.lines.keys()):
        _cancel_exits(decision, current.emergency_id, symbol)
    for symbol in sorted(current.lines):
        line = current.lines[symbol]
        if symbol not in theirs:
            if line.step != "flat":
                _note(decision, current.emergency_id, symbol, "flat", "the broker holds nothing")
                decision.all_clear("emergency_close_queued", symbol, "the broker holds nothing")
        else:
            _close(decision, current, symbol, line, theirs[symbol])
    offset_remains(decision, snapshot)
    # What is in doubt may still fill: it is not over before the broker has said of every order that it has ended.
    if not theirs and not state.open_orders and not snapshot.open_orders:
        decision.emit(
            EmergencyCompleted(
                at=decision.at,
                emergency_id=current.emergency_id,
                symbols=len(current.lines),
                realized_pnl=state.day.realized_pnl,
            )
        )
        decision.all_clear("emergency_halt_failure", current.emergency_id, "every position is zero")


def out_of_step(decision: Decision, snapshot: BrokerSnapshot) -> None:
    """The reading and what has reached us are not of one moment.

    A reading that is ahead of our news is acted on: the orders we still hold open only make the close smaller. One that
    is behind may show what has been closed since; it is believed once it has been behind for RETRY_AFTER, because a
    numbering that is broken, by the broker or by a report that is not the broker's, must not keep positions open.
    """
    state, current = decision.state, decision.state.emergency
    if current is None or not current.running:
        return
    if snapshot.cursor > state.heard_cursor:
        on_positions(decision, snapshot)
    elif current.behind_since is None:
        detail = f"the broker's books are of transaction {snapshot.cursor}, and {state.heard_cursor} has been heard"
        _note(decision, current.emergency_id, "", "read_behind", detail)
    elif decision.at - current.behind_since >= RETRY_AFTER:
        on_positions(decision, snapshot)


def _cancel_strangers(decision: Decision, current: Emergency, snapshot: BrokerSnapshot) -> None:
    """Orders at the broker that are not open in our books: nobody here sent them, or we hold them ended."""
    state = decision.state
    for theirs in snapshot.open_orders:
        ours = state.order_named(theirs.cl_ord_id)
        if ours is not None and ours.is_open:
            continue
        asked = current.strangers.get(theirs.cl_ord_id)
        if asked is None or decision.at - asked >= RETRY_AFTER:
            _note(decision, current.emergency_id, theirs.symbol, "stranger_canceled", theirs.cl_ord_id)
            why = "emergency: it works at the broker and is not open in our books"
            decision.emit(CancelRequested(at=decision.at, cl_ord_id=theirs.cl_ord_id, reason=why))


def _close(decision: Decision, current: Emergency, symbol: str, line: EmergencyLine, theirs: BrokerPosition) -> None:
    """Send one close for what is provably ours to close."""
    state = decision.state
    live = state.working_in(symbol)
    waited = decision.at - line.since
    if line.step == "exits_canceled" and live and waited < CANCEL_WAIT:
        return
    if any(o.leg is Leg.LIQUIDATE for o in live):
        return
    if line.step in ("queued", "waiting") and waited < RETRY_AFTER:
        return
    if state.day.phase is Phase.CLOSED or decision.at >= state.day.closes_at:
        _queue(decision, current, symbol, "the market is closed; the close waits for the open")
        return
    last = _ended_unfilled(state, symbol)
    if line.step == "close_sent" and last:
        _queue(decision, current, symbol, f"the broker ended the close unfilled: {last}")
        return
    # What other orders on the closing side may still fill is theirs to close, not ours twice.
    may_fill = _may_fill([o for o in live if o.side.sign * theirs.qty < 0])
    qty = abs(theirs.qty) - may_fill
    if qty <= 0:
        if line.step != "waiting":
            detail = f"orders that are being cancelled may still close {may_fill} of {abs(theirs.qty)}"
            _note(decision, current.emergency_id, symbol, "waiting", detail)
        return
    name = f"{current.emergency_id}/{symbol}/{line.attempt + 1}"
    signed = Decimal(theirs.qty)
    intend_liquidation(decision, symbol, signed, qty, name, theirs.market_px)
    _note(decision, current.emergency_id, symbol, "close_sent", f"{qty} of {abs(signed)}")


def _queue(decision: Decision, current: Emergency, symbol: str, detail: str) -> None:
    """The market does not take the close now: said once loudly, tried again at a pace."""
    _note(decision, current.emergency_id, symbol, "queued", detail)
    decision.alarm(
        "emergency_close_queued",
        symbol,
        Priority.P0,
        f"{symbol} is not closed: {detail}",
        "it is tried again as soon as the market moves; close it at the broker by hand if that cannot wait",
    )


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
    if not running(state) and CODE not in state.halt.causes:
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


def _ended_unfilled(state: State, symbol: str) -> str:
    """Why the newest close ended without a share; "" where it did not, or works."""
    mine = [o for o in state.orders.values() if o.symbol == symbol and o.leg is Leg.LIQUIDATE]
    last = mine[-1] if mine else None
    if last is None or last.status not in _ENDED_UNFILLED or last.cum_qty > 0:
        return ""
    return last.reason or str(last.status)
