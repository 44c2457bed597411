"""The active watchlist: a symbol's life from found to closed, with the time of each step (§9, §10)."""

from qmworkbench.domain.candidates import Candidate, NearMiss
from qmworkbench.domain.events.market import AssignmentEnded, NearMissSeen, WatchlistChanged, WatchState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import State

# A candidate the scan has not seen for this many boundaries is let go, if nothing is held or worked.
EXPIRE_AFTER_BOUNDARIES = 15
ENDED = frozenset({WatchState.CLOSED, WatchState.EXPIRED, WatchState.BLOCKED})
_ENTERED_OR_ENDED = ENDED | {WatchState.ENTERED}


def is_active(state: State, symbol: str) -> bool:
    """Whether the symbol is on the list and its life there has not ended."""
    item = state.day.watchlist.get(symbol)
    return item is not None and item.state not in ENDED


def step(decision: Decision, symbol: str, to: WatchState, reason: str, rank: int | None = None) -> None:
    """Move a symbol to another state of its life; the same state twice is one step."""
    item = decision.state.day.watchlist.get(symbol)
    if item is not None and item.state is to:
        return
    decision.emit(WatchlistChanged(at=decision.at, symbol=symbol, state=to, reason=reason, rank=rank))


def take_in(decision: Decision, candidates: tuple[Candidate, ...]) -> None:
    """New candidates enter the list while there is room; why each is in goes on record with it."""
    state, day = decision.state, decision.state.day
    fresh = [c for c in candidates if not is_active(state, c.symbol) and c.symbol not in state.blocked]
    if not fresh:
        return
    active = sum(is_active(state, symbol) for symbol in day.watchlist)
    for candidate in fresh:
        if active >= day.max_candidates:
            return
        active += 1
        decision.emit(
            WatchlistChanged(
                at=decision.at,
                symbol=candidate.symbol,
                state=WatchState.FOUND,
                reason=f"rank {candidate.rank} of the scan",
                rank=candidate.rank,
                verdicts=candidate.verdicts,
            )
        )


def note_near_misses(decision: Decision, near_misses: tuple[NearMiss, ...]) -> None:
    """Put near misses on record when their reasons change; the full story of any minute is recomputed by `qm why`."""
    seen = decision.state.day.near_misses
    for miss in near_misses:
        codes = ",".join(verdict.code for verdict in miss.failed)
        if seen.get(miss.symbol) != codes:
            decision.emit(NearMissSeen(at=decision.at, symbol=miss.symbol, rank=miss.rank, failed=miss.failed))


def busy(state: State, symbol: str) -> bool:
    """Something is held or worked in the symbol, by anybody."""
    return symbol in state.open_at or any(p.symbol == symbol for p in state.positions.values())


def tied(state: State, strategy_id: str, symbol: str) -> bool:
    """The instance may not let the symbol go: it holds or works something there. A symbol with one owner stays with it
    while anything is held or worked.
    """
    if not state.day.shared_symbols:
        return busy(state, symbol)
    return state.position(strategy_id, symbol) is not None or strategy_id in state.open_at.get(symbol, {})


def let_go(decision: Decision, symbol: str, to: WatchState, reason: str) -> None:
    """End a symbol's life on the list and its assignments; a position there keeps its exits, and its owner."""
    state = decision.state
    if is_active(state, symbol):
        step(decision, symbol, to, reason)
    for strategy_id in list(state.day.owners.get(symbol, ())):
        if not tied(state, strategy_id, symbol):
            decision.emit(AssignmentEnded(at=decision.at, symbol=symbol, strategy_id=strategy_id, reason=reason))


def expire(decision: Decision) -> None:
    """Let go of what the scan no longer sees; what has traded is closed, the rest expires."""
    state, day = decision.state, decision.state.day
    for symbol, item in list(day.watchlist.items()):
        if item.state in ENDED:
            if symbol in day.owners:
                let_go(decision, symbol, item.state, "its position has been closed")
            continue
        if item.missed_boundaries < EXPIRE_AFTER_BOUNDARIES or busy(state, symbol):
            continue
        traded = WatchState.EXITED in item.times
        reason = f"not among the candidates for {item.missed_boundaries} boundaries"
        let_go(decision, symbol, WatchState.CLOSED if traded else WatchState.EXPIRED, reason)


def follow_positions(decision: Decision) -> None:
    """ENTERED once something is held, EXITED once it is flat again."""
    state = decision.state
    held = {p.symbol for p in state.positions.values()}
    for symbol, item in state.day.watchlist.items():
        if symbol in held and item.state not in _ENTERED_OR_ENDED:
            step(decision, symbol, WatchState.ENTERED, "position opened")
        elif symbol not in held and item.state is WatchState.ENTERED:
            step(decision, symbol, WatchState.EXITED, "position closed")


def follow_position(decision: Decision, symbol: str) -> None:
    """As follow_positions, where something has just been opened in one symbol and nothing else has changed."""
    item = decision.state.day.watchlist.get(symbol)
    if item is not None and item.state not in _ENTERED_OR_ENDED:
        step(decision, symbol, WatchState.ENTERED, "position opened")


def close_all(decision: Decision, reason: str) -> None:
    """At the session's end every life on the list ends."""
    for symbol in list(decision.state.day.watchlist):
        item = decision.state.day.watchlist[symbol]
        to = WatchState.CLOSED if WatchState.ENTERED in item.times else WatchState.EXPIRED
        let_go(decision, symbol, to, reason)
