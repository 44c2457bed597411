"""How candidates, watchlist, assignments and signals become rows (§9, §12)."""

from typing import Any, Final

from qmworkbench.domain.events import Event, market
from qmworkbench.storage import record_forms as forms
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Projections, Rows, codes, document, word
from qmworkbench.storage.times import stored_time


def _frame_computed(rows: Rows, seq: int, event: market.FrameComputed) -> None:
    """The scan as a whole; those that passed, with the numbers they were judged on; near misses, with their filters."""
    as_of = stored_time(event.as_of)
    best = event.candidates[0] if event.candidates else None
    rows.add(
        table_rows.MomentumSnapshot(
            rows.session_id,
            as_of,
            frame_hash=event.frame_hash,
            radar_hash=event.radar_hash,
            candidates=len(event.candidates),
            near_misses=len(event.near_misses),
            signals=len(event.signals),
            best_symbol=best.symbol if best is not None else None,
            best_score=best.score if best is not None else None,
            silenced=event.silenced,
            seq=seq,
        )
    )
    for found in event.candidates:
        rows.add(
            table_rows.Candidate(
                rows.session_id,
                as_of,
                found.symbol,
                passed=1,
                rank=found.rank,
                score=found.score,
                last=found.last,
                change=found.change,
                change_basis=found.change_basis,
                rel_volume=found.rel_volume,
                dollar_volume=found.dollar_volume,
                failed="",
                seq=seq,
            )
        )
    for missed in event.near_misses:
        rows.add(
            table_rows.Candidate(
                rows.session_id,
                as_of,
                missed.symbol,
                passed=0,
                rank=missed.rank,
                score=missed.score,
                failed=codes(missed.failed),
                seq=seq,
            )
        )


def _watchlist_changed(rows: Rows, seq: int, event: market.WatchlistChanged) -> None:
    at = stored_time(event.at)
    row = rows.put(
        table_rows.Watched,
        rows.session_id,
        event.symbol,
        state=word(event.state),
        reason=event.reason,
        last_at=at,
        seq=seq,
    )
    setattr(row, f"{word(event.state)}_at", at)
    if event.rank is not None:
        row.rank = event.rank
    if event.verdicts:
        row.verdicts = document(event.verdicts)


def _assignment_made(rows: Rows, seq: int, event: market.AssignmentMade) -> None:
    rows.add(
        table_rows.Assignment(
            seq,
            session_id=rows.session_id,
            symbol=event.symbol,
            strategy_id=event.strategy_id,
            outcome="assigned",
            budget=str(event.budget),
            reason=event.reason,
            at=stored_time(event.at),
        )
    )


def _assignment_declined(rows: Rows, seq: int, event: market.AssignmentDeclined) -> None:
    rows.add(
        table_rows.Assignment(
            seq,
            session_id=rows.session_id,
            symbol=event.symbol,
            outcome="declined",
            reason=event.reason,
            at=stored_time(event.at),
        )
    )


def _assignment_ended(rows: Rows, seq: int, event: market.AssignmentEnded) -> None:
    wanted = {"symbol": event.symbol, "strategy_id": event.strategy_id, "outcome": "assigned"}
    for row in list(rows.matching(table_rows.Assignment, session_id=rows.session_id, **wanted)):
        rows.put_row(row, outcome="ended", ended_at=stored_time(event.at), end_reason=event.reason)


def _signal_raised(rows: Rows, seq: int, event: forms.SignalRaised) -> None:
    rows.add(
        table_rows.Signal(
            event.signal_id,
            session_id=rows.session_id,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            kind=event.kind,
            at=event.at,
            decision_px=event.decision_px,
            stop_px=event.stop_px,
            target_px=event.target_px,
            trail_bps=event.trail_bps,
            max_hold_bars=event.max_hold_bars,
            why=event.why,
            outcome="raised",
            seq=seq,
        )
    )


def _signal_ignored(rows: Rows, seq: int, event: market.SignalIgnored) -> None:
    rows.change(table_rows.Signal, event.signal_id, outcome="ignored", outcome_reason=event.reason)


def _strategy_faulted(rows: Rows, seq: int, event: market.StrategyFaulted) -> None:
    rows.change(
        table_rows.Run, rows.session_id, event.strategy_id, faulted_at=stored_time(event.at), fault=event.detail
    )


def _feed_changed(rows: Rows, seq: int, event: market.FeedChanged) -> None:
    _feed(rows, seq, event, "state", state=word(event.state), detail=event.detail)


def _bars_quarantined(rows: Rows, seq: int, event: market.BarsQuarantined) -> None:
    detail = ", ".join(event.symbols) + (f": {event.detail}" if event.detail else "")
    _feed(rows, seq, event, "quarantined", state=event.reason, detail=detail, rows=event.rows)


def _frame_dropped(rows: Rows, seq: int, event: market.FrameDropped) -> None:
    detail = f"computed as of {stored_time(event.as_of)}, the last boundary was {stored_time(event.expected)}"
    _feed(rows, seq, event, "frame_dropped", detail=detail)


def _feed(into: Rows, seq: int, event: Event, kind: str, **values: Any) -> None:
    into.add(
        table_rows.ConnectionChange(seq, session_id=into.session_id, at=stored_time(event.at), kind=kind, **values)
    )


PROJECT: Final[Projections] = {
    market.FrameComputed: _frame_computed,
    market.WatchlistChanged: _watchlist_changed,
    market.AssignmentMade: _assignment_made,
    market.AssignmentDeclined: _assignment_declined,
    market.AssignmentEnded: _assignment_ended,
    forms.SignalRaised: _signal_raised,
    market.SignalIgnored: _signal_ignored,
    market.StrategyFaulted: _strategy_faulted,
    market.FeedChanged: _feed_changed,
    market.BarsQuarantined: _bars_quarantined,
    market.FrameDropped: _frame_dropped,
}
