"""A computed frame comes in: exits first, then watchlist, allocator, entries (§9, DESIGN §2 "The way data flows")."""

from qmworkbench.domain.events.market import (
    BoundaryClosed,
    FeedState,
    FrameComputed,
    FrameDropped,
    SignalIgnored,
    SignalRaised,
    SignalRow,
    StrategyFaulted,
)
from qmworkbench.domain.events.session import RunEnded
from qmworkbench.domain.ids import signal_id
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading import allocator, exits, feed_quality, watchlist
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.intents import intend_entry
from qmworkbench.trading.state import State, position_key


def on_boundary(decision: Decision, event: BoundaryClosed) -> None:
    """Bars are complete: time has moved, nothing is decided before their frame is computed."""
    decision.emit(event)


def on_frame(decision: Decision, event: FrameComputed) -> None:
    """Decide on what radar, scanner and strategies made of the last boundary; a late frame is dropped."""
    state, day = decision.state, decision.state.day
    decision.emit(event)
    if event.as_of != day.boundary_at or event.frame_hash != day.boundary_hash:
        decision.emit(FrameDropped(at=decision.at, as_of=event.as_of, expected=day.boundary_at or event.as_of))
        return
    if day.phase is not Phase.MARKET_SESSION:
        return
    signals = {position_key(row.strategy_id, row.symbol): row for row in event.signals}
    # A strategy's exit is judged by prices: those that cannot be believed close nothing. What rests at the broker does.
    believed = state.feed is not FeedState.CROSSED
    exits.exit_rules(decision, signals if believed else {})
    allocator.adopt(decision)
    if feed_quality.trusted(state) and not event.silenced:
        watchlist.take_in(decision, event.candidates)
        watchlist.note_near_misses(decision, event.near_misses)
        allocator.give_back(decision)
        allocator.allocate(decision)
    _entries(decision, signals)
    watchlist.expire(decision)


def _entries(decision: Decision, signals: dict[str, SignalRow]) -> None:
    """Entry signals in the allocator's order: best rank first, then by symbol."""
    day = decision.state.day
    rows = [row for row in signals.values() if row.entry_long or row.entry_short]

    def order(row: SignalRow) -> tuple[int, str, str]:
        item = day.watchlist.get(row.symbol)
        rank = item.rank if item is not None and item.rank is not None else 1_000_000
        return rank, row.symbol, row.strategy_id

    as_of = decision.at.isoformat(timespec="seconds")
    for row in sorted(rows, key=order):
        _entry(decision, row, as_of)


def _entry(decision: Decision, row: SignalRow, as_of: str) -> None:
    state = decision.state
    kind = "entry_long" if row.entry_long else "entry_short"
    raised = SignalRaised(
        at=decision.at,
        signal_id=signal_id(strategy_id=row.strategy_id, symbol=row.symbol, as_of=as_of, kind=kind),
        strategy_id=row.strategy_id,
        symbol=row.symbol,
        kind=kind,
        decision_px=row.close,
        stop_px=row.stop_px,
        target_px=row.target_px,
        trail_bps=row.trail_bps,
        max_hold_bars=row.max_hold_bars,
        why=row.why,
    )
    decision.emit(raised)
    ignored = _why_ignored(state, row)
    if ignored:
        decision.emit(SignalIgnored(at=decision.at, signal_id=raised.signal_id, reason=ignored))
        return
    intend_entry(decision, raised)


def _why_ignored(state: State, row: SignalRow) -> str:
    """Reasons that make a signal moot before risk is asked; "" if none."""
    held = state.position(row.strategy_id, row.symbol)
    if held is not None and held.qty != 0:
        if (held.qty > 0) == row.entry_long:
            return "the same side is already held"
        return "it closes the opposite position instead"
    working = state.working_for(row.strategy_id, row.symbol)
    if not working:
        return ""
    entering = any(order.leg is Leg.ENTRY for order in working)
    return "an entry is already on its way" if entering else "an exit is still working"


def on_strategy_fault(decision: Decision, event: StrategyFaulted) -> None:
    """A strategy broke its contract: its run ends with the reason, its positions keep their exits, the others go on."""
    decision.emit(event)
    run = decision.state.day.runs.get(event.strategy_id)
    if run is None or run.ended:
        return
    decision.restrict(event.strategy_id, TradingState.REDUCING, "strategy_fault", event.detail, "kernel")
    decision.emit(
        RunEnded(
            at=decision.at,
            run_id=run.run_id,
            strategy_id=event.strategy_id,
            reason=f"fault: {event.detail}",
            trades=run.trades,
        )
    )
    decision.alarm(
        "strategy_fault",
        event.strategy_id,
        Priority.P1,
        f"{event.strategy_id} broke its contract and was ended: {event.detail}",
        "its open positions keep stop, target and close; see the strategy's owner before the next session",
    )
