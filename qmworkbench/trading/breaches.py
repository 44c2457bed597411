"""What happens when a limit is reached: the halt, the alarm, the question to a person (§11).

Each watch knows what it can depend on, and is idle while that stands still.
"""

from typing import Final

from qmworkbench.domain.events.control import DecisionRecorded, DecisionRequired
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import cents
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.decision import UNATTENDED, Decision

DAILY_LOSS_OPTIONS: Final = ("continue_exits", "liquidate")


def watch(decision: Decision) -> None:
    """What has to be looked at whenever holdings or prices moved."""
    _daily_loss(decision)
    _rates(decision)


def _daily_loss(decision: Decision) -> None:
    """§11 Max Daily Loss: entries stop, exits run, and a person is asked: continue or liquidate."""
    state, day = decision.state, decision.state.day
    pnl = state.day_pnl() if day.start_equity is not None else None
    if pnl is None or pnl > -day.limits.max_daily_loss:
        return
    if content_id("max_daily_loss", day.session_id) in state.alerts:
        return
    text = f"day P&L {cents(pnl)} is beyond the limit of -{day.limits.max_daily_loss} {day.account_currency}"
    # A book that was paused before is no stricter for it, but the question still needs its answer.
    decision.restrict("book", TradingState.REDUCING, "max_daily_loss", text, "risk_manager")
    decision.alarm(
        "max_daily_loss",
        day.session_id,
        Priority.P1,
        text,
        "confirm that no new entries pass; decide: continue exits or liquidate; record the incident (§11)",
    )
    question = f"{text}. Continue open positions under their exits, or liquidate?"
    name = content_id(day.session_id, "max_daily_loss")
    decision.emit(DecisionRequired(at=decision.at, decision_id=name, question=question, options=DAILY_LOSS_OPTIONS))
    if day.unattended:
        decision.emit(
            DecisionRecorded(
                at=decision.at,
                decision_id=name,
                choice="continue_exits",
                by=UNATTENDED,
                reason="nobody attends; liquidation is a person's command",
            )
        )


def _rates(decision: Decision) -> None:
    """A position whose money cannot be counted keeps its exits; but nobody watches the daily loss then (§11)."""
    state, day = decision.state, decision.state.day
    if day.frame_at is None:
        return  # the session's first prices are still to come
    missing = [f"{symbol} ({why})" for symbol in sorted(state.net) if (why := state.missing_rate(symbol))]
    if not missing:
        decision.all_clear("conversion_rate_missing", day.session_id, "every position can be valued")
        return
    decision.alarm(
        "conversion_rate_missing",
        day.session_id,
        Priority.P1,
        f"held and not to be valued: {', '.join(missing)}; the day's P&L is unknown, entries are denied, exits go on",
        "see that the pair between the two currencies is in the session's data; watch the loss at the broker meanwhile",
    )
