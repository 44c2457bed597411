"""Our ledger of a session and the broker's statement, paired line by line by the broker's own ids (§17).

Ours is on the basis of the broker's: what a fill realizes on the net of all owners, and what the night booked.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import FillRecorded, FillReversed
from qmworkbench.domain.events.overnight import ActivitiesObserved, CashBooked, PositionRestated
from qmworkbench.domain.numbers import ZERO
from qmworkbench.operations.post_session_evidence import MoneyLine
from qmworkbench.venue.records import StatementLine


@dataclass
class _Ours:
    """One line of ours. `cash` None for an execution, whose cash only the broker counts."""

    at: str
    what: str
    symbol: str
    said: str
    realized: Decimal = ZERO
    fee: Decimal = ZERO
    cash: Decimal | None = None


def net_realized(fill: FillRecorded) -> Decimal:
    """What the fill realized as a broker counts that nets."""
    return fill.realized_pnl if fill.net_realized_pnl is None else fill.net_realized_pnl


def money_lines(events: Iterable[Event], theirs: Iterable[StatementLine]) -> tuple[MoneyLine, ...]:
    """Every line that either side has, the broker's in its order, then those of ours that it lacks."""
    ours = _ours(events)
    paired = [_line(line, ours.pop(line.ref, None)) for line in theirs]
    return (*paired, *(_missing(ref, line) for ref, line in ours.items()))


def _ours(events: Iterable[Event]) -> dict[str, _Ours]:
    lines: dict[str, _Ours] = {}
    booked: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    realized: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    for event in events:
        if isinstance(event, FillRecorded):
            lines[event.exec_id] = _Ours(
                at=event.transact_time.isoformat(),
                what="trade",
                symbol=event.symbol,
                said=f"{event.side} {event.last_qty} at {event.last_px}",
                realized=net_realized(event),
                fee=event.fee,
            )
        elif isinstance(event, FillReversed):
            said = f"took back {event.ref_exec_id}"
            lines[event.exec_id] = _Ours(event.at.isoformat(), "trade_cancel", event.symbol, said, fee=-event.fee)
        elif isinstance(event, ActivitiesObserved):
            for told in event.activities:
                said = told.detail or told.kind.value
                at = told.transact_time.isoformat()
                lines.setdefault(told.activity_id, _Ours(at, told.kind.value, told.symbol, said, cash=ZERO))
        elif isinstance(event, CashBooked):
            booked[event.activity_id] += event.amount
        elif isinstance(event, PositionRestated):
            realized[event.activity_id] += event.realized_pnl
    for ref, amount in booked.items():
        if ref in lines:
            lines[ref].cash = amount
    for ref, amount in realized.items():
        if ref in lines:
            lines[ref].realized = amount
    return lines


def _line(theirs: StatementLine, ours: _Ours | None) -> MoneyLine:
    is_trade = theirs.what in ("trade", "trade_cancel")
    said = (
        f"{theirs.side} {theirs.qty} at {theirs.px}" if is_trade else (ours.said if ours is not None else theirs.what)
    )
    # What a position was paid out with is in its realized P&L; only plain cash has a line of its own on our side.
    compares_cash = ours is not None and ours.cash is not None and not theirs.realized_pnl
    return MoneyLine(
        ref=theirs.ref,
        at=theirs.at.isoformat(),
        what=theirs.what,
        symbol=theirs.symbol,
        said=said,
        our_realized=None if ours is None else ours.realized,
        their_realized=theirs.realized_pnl,
        our_fee=None if ours is None else ours.fee,
        their_fee=theirs.fee,
        our_cash=ours.cash if ours is not None and compares_cash else None,
        their_cash=theirs.cash_delta,
    )


def _missing(ref: str, ours: _Ours) -> MoneyLine:
    return MoneyLine(
        ref=ref,
        at=ours.at,
        what=ours.what,
        symbol=ours.symbol,
        said=ours.said,
        our_realized=ours.realized,
        our_fee=ours.fee,
        our_cash=ours.cash,
    )
