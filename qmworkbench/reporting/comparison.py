"""Both sides of a finished session put beside one another: the evidence of the post-session checks (§17)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from qmworkbench.analytics.audit import audit
from qmworkbench.analytics.round_trips import round_trips, unmatched
from qmworkbench.domain.chain import ChainBroken
from qmworkbench.domain.events.control import SymbolBlocked, SymbolUnblocked
from qmworkbench.domain.events.orders import FillRecorded
from qmworkbench.domain.events.reconciliation import Trigger
from qmworkbench.domain.events.session import RunEnded, RunStarted
from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Order
from qmworkbench.domain.positions import fill_delta
from qmworkbench.domain.sessions import BlockScope, Phase
from qmworkbench.operations.post_session_evidence import (
    Blocks,
    BreakSeen,
    ClosedTrades,
    ExecutionPair,
    HaltSeen,
    MoneyLine,
    OrderPair,
    PositionPair,
    PostSessionEvidence,
    Statement,
)
from qmworkbench.ports import BrokerUnreachable
from qmworkbench.reporting.broker_books import BrokerBooks, read_books
from qmworkbench.reporting.money_lines import money_lines, net_realized
from qmworkbench.reporting.session_source import ZONE, SessionSource, state_at
from qmworkbench.service.leased_broker import leg_name


def gather(source: SessionSource) -> PostSessionEvidence:
    """Everything §17 looks at, read from the book and from the broker."""
    record = source.record
    before = state_at(source.book, source.span[0] - 1)
    carried = {name: order for name, order in before.orders.items() if name in before.open_orders}
    books, error = _broker(source, carried, before.exec_cursor)
    verified, records, trouble = _journal(source)
    walked = audit(
        record.events,
        carried_orders=(*carried, *before.working_ids),
        carried_positions={key: held.qty for key, held in before.positions.items()},
        positions={key: held.qty for key, held in state_at(source.book, source.span[1]).positions.items()},
    )
    started = [event.run_id for event in record.events if isinstance(event, RunStarted)]
    ended = {event.run_id for event in record.events if isinstance(event, RunEnded)}
    return PostSessionEvidence(
        environment=record.opened.environment,
        session_id=record.session_id,
        closed=record.is_closed,
        phase=record.phases[-1][0].value if record.phases else Phase.PRE_START.value,
        reconciliation=_last_comparison(record["reconciliations"]),
        broker=books.name if books is not None else "the broker",
        broker_error=error,
        orders=_orders(source, books) if books is not None else None,
        executions=_executions(source, books) if books is not None else None,
        positions=_positions(source, books) if books is not None else None,
        statement=_statement(source, books) if books is not None else None,
        money_lines=_money_lines(source, books) if books is not None else (),
        blocks=_blocks(source),
        closed_trades=_closed_trades(source),
        recommendations=len(source.recommendations),
        recommendations_scheduled=True,
        recommendations_detail=source.recommendations_summary,
        journal_verified=verified,
        journal_detail=trouble,
        records=records,
        runs=len(started),
        runs_open=tuple(run for run in started if run not in ended),
        breaks=tuple(_break(row) for row in record["breaks"].iter_rows(named=True)),
        halts=tuple(_halt(row) for row in record["halts"].iter_rows(named=True)),
        findings=tuple(walked.findings),
        audited=walked.checked,
    )


def _broker(source: SessionSource, carried: dict[str, Order], after_cursor: int) -> tuple[BrokerBooks | None, str]:
    opened = source.record.opened
    asked = [*carried, *source.record["orders"].filter(pl.col("sent"))["cl_ord_id"].to_list()]
    try:
        books = read_books(
            opened.environment,
            source.book.paths,
            instruments=opened.instruments,
            currency=opened.account_currency,
            asked=asked,
            after_cursor=after_cursor,
            leg_names=partial(leg_name, source.state),
        )
    except BrokerUnreachable as error:
        return None, str(error)
    return books, ""


def _journal(source: SessionSource) -> tuple[bool, int, str]:
    try:
        heads = source.book.verify()
    except ChainBroken as error:
        return False, source.book.head()[0], str(error)
    decisions, telemetry = heads["decisions"][0], heads["telemetry"][0]
    return True, decisions + telemetry, f"decisions {decisions:,}, telemetry {telemetry:,}"


def _last_comparison(reconciliations: pl.DataFrame) -> str:
    last = reconciliations.filter(pl.col("trigger") == Trigger.END_OF_SESSION.value)
    return str(last["result"][-1]) if last.height else ""


def _orders(source: SessionSource, books: BrokerBooks) -> tuple[OrderPair, ...]:
    """Our orders in the order of their intents, then those only the broker has."""
    ours, state = source.record["orders"], source.state.orders
    pairs = []
    for row in ours.iter_rows(named=True):
        known, theirs = state.get(row["cl_ord_id"]), books.orders.get(row["cl_ord_id"])
        pairs.append(
            OrderPair(
                cl_ord_id=row["cl_ord_id"],
                symbol=row["symbol"],
                # A bracket leg that never came alive left us with its parent and may be unknown over there.
                sent=row["sent"] and not (row["parent_id"] and theirs is None and not row["cum_qty"]),
                our_status=row["status"],
                our_cum_qty=known.cum_qty if known is not None else Decimal(str(row["cum_qty"])),
                their_status=theirs.ord_status.value if theirs is not None else "",
                their_cum_qty=theirs.cum_qty if theirs is not None else None,
            )
        )
    names = set(ours["cl_ord_id"].to_list())
    for name, theirs in sorted(books.orders.items()):
        if name in names or _is_later(source, theirs.transact_time):
            continue
        known = state.get(name)
        pairs.append(
            OrderPair(
                cl_ord_id=name,
                symbol=theirs.symbol,
                sent=True,
                our_status=known.status.value if known is not None else "",
                our_cum_qty=known.cum_qty if known is not None else None,
                their_status=theirs.ord_status.value,
                their_cum_qty=theirs.cum_qty,
            )
        )
    return tuple(pairs)


def _executions(source: SessionSource, books: BrokerBooks) -> tuple[ExecutionPair, ...]:
    ours = source.state.fills
    theirs = {r.exec_id: r for r in _of_the_session(source, books) if r.exec_type is ExecType.TRADE}
    return tuple(
        ExecutionPair(
            exec_id=exec_id,
            symbol=theirs[exec_id].symbol if exec_id in theirs else ours[exec_id].split()[0],
            ours=ours.get(exec_id, ""),
            theirs=_told(theirs[exec_id]) if exec_id in theirs else "",
        )
        for exec_id in dict.fromkeys([*theirs, *ours])
    )


def _told(report: ExecutionReport) -> str:
    """An execution in the words of the fold (trading/fold_orders.py), so that equal things read alike."""
    return f"{report.symbol} {report.side} {report.last_qty} at {report.last_px}"


def _is_later(source: SessionSource, at: datetime) -> bool:
    """Whether something at the broker belongs to a later session of the book."""
    if source.span[1] >= source.book.head()[0]:
        return False
    return at > max(source.record.closes_at, source.record.events[-1].at)


def _until_the_end(source: SessionSource, books: BrokerBooks) -> list[ExecutionReport]:
    """What the broker had executed when the session ended; all there is where none followed it."""
    return [report for report in books.history if not _is_later(source, report.transact_time)]


def _of_the_session(source: SessionSource, books: BrokerBooks) -> list[ExecutionReport]:
    return [report for report in _until_the_end(source, books) if report.cursor > books.after_cursor]


def _is_current(source: SessionSource, books: BrokerBooks) -> bool:
    """The broker's positions and statement still stand where this session left them."""
    return books.session_id in ("", source.session_id)


def _positions(source: SessionSource, books: BrokerBooks) -> tuple[PositionPair, ...]:
    """What is held on both sides. Where the broker has moved on to a later day, its executions up to the end of this
    one are added up instead.
    """
    if _is_current(source, books):
        theirs = {held.symbol: held.qty for held in books.positions}
    else:
        theirs = {}
        for report in _until_the_end(source, books):
            sign = report.side.sign if report.exec_type is ExecType.TRADE else -report.side.sign
            theirs[report.symbol] = theirs.get(report.symbol, ZERO) + sign * report.last_qty
    state = source.state
    carried = {held.symbol for held in state.positions.values() if held.flat_policy == "carry"}
    symbols = sorted({*state.held_symbols(), *(symbol for symbol, qty in theirs.items() if qty)})
    return tuple(
        PositionPair(
            symbol=symbol,
            our_qty=state.net_qty(symbol),
            their_qty=theirs.get(symbol, ZERO),
            carried=symbol in carried,
        )
        for symbol in symbols
    )


def _statement(source: SessionSource, books: BrokerBooks) -> Statement:
    """The broker's statement of the day; once it has moved on to a later day, its executions of this one, added up."""
    record, account = source.record, books.account
    if _is_current(source, books):
        # Open positions move equity with every tick; flat, both sides must know it to the cent.
        ours = _own_equity(source) if not source.state.positions else None
        return Statement(
            currency=account.currency,
            our_realized=_own_realized(source),
            their_realized=account.realized_pnl,
            our_fees=record.money.fees,
            their_fees=account.fees,
            our_equity=ours,
            their_equity=account.equity if ours is not None else None,
        )
    realized, fees = _added_up(_until_the_end(source, books), books.after_cursor)
    return Statement(
        currency=account.currency,
        our_realized=_own_realized(source),
        their_realized=realized,
        our_fees=record.money.fees,
        their_fees=fees,
    )


def _own_equity(source: SessionSource) -> Decimal | None:
    """What equity must be once flat: the start, what was realized on the broker's basis, what the night booked after
    the start was stated, and what a person has said came or went.
    """
    start, day = source.figures.start_equity, source.state.day
    if start is None:
        return None
    moved = day.activity_pnl + day.moved_cash
    return start + _own_realized(source) - source.record.money.fees + moved - day.start_unrealized


def _own_realized(source: SessionSource) -> Decimal:
    """What our fills realized on the net of all owners, as a broker counts."""
    return sum((net_realized(event) for event in source.record.events if isinstance(event, FillRecorded)), ZERO)


def _money_lines(source: SessionSource, books: BrokerBooks) -> tuple[MoneyLine, ...]:
    """The session's lines on both sides; what the broker booked for a later session is not compared with this one."""
    kept = [line for line in books.lines if not _is_later(source, line.at)]
    return money_lines(source.record.events, kept)


def _added_up(executions: Sequence[ExecutionReport], after_cursor: int) -> tuple[Decimal, Decimal]:
    """Realized P&L and fees of what came after a transaction number; what came before is what it was held at."""
    held: dict[str, tuple[Decimal, Decimal]] = {}
    realized = fees = ZERO
    for report in executions:
        if report.exec_type is not ExecType.TRADE:
            continue
        qty, cost = held.get(report.symbol, (ZERO, ZERO))
        delta = fill_delta(qty, cost, report.side, report.last_qty, report.last_px)
        held[report.symbol] = (delta.qty, delta.cost)
        if report.cursor > after_cursor:
            realized += delta.realized_pnl * report.conversion_rate
            fees += report.fee
    return realized, fees


def _blocks(source: SessionSource) -> Blocks:
    """Permanent blocks of this session that the folded state must hold at its end."""
    permanent: dict[str, None] = {}
    updates = 0
    for event in source.record.events:
        if isinstance(event, SymbolBlocked):
            updates += 1
            if event.scope is BlockScope.PERMANENT:
                permanent[event.symbol] = None
        elif isinstance(event, SymbolUnblocked):
            updates += 1
            permanent.pop(event.symbol, None)
    lost = tuple(symbol for symbol in permanent if symbol not in source.state.blocked)
    return Blocks(updates=updates, permanent=tuple(permanent), lost=lost)


def _closed_trades(source: SessionSource) -> ClosedTrades:
    computed = round_trips(source.record.events)
    comparable = [trade for trade in source.record.closed if trade.symbol not in computed.untold]
    trips = [trip for trip in computed.trips if trip.symbol not in computed.untold]
    left_out = len(source.record.closed) - len(comparable)
    return ClosedTrades(
        trades=len(source.record.closed),
        net_pnl=sum((trade.net_pnl for trade in comparable), ZERO),
        from_fills=sum((trip.net_pnl for trip in trips), ZERO),
        unmatched=unmatched(computed, source.record.closed),
        detail=f"{left_out} began outside this session and are not recomputed" if left_out else "",
    )


def _break(row: dict[str, Any]) -> BreakSeen:
    return BreakSeen(
        break_id=row["break_id"],
        kind=row["kind"],
        symbol=row["symbol"],
        severity=row["severity"],
        before=row["before"],
        after=row["after"],
        cause=row["cause"],
        settled=row["settled_at"] is not None,
        at=row["at"].isoformat(),
    )


def _halt(row: dict[str, Any]) -> HaltSeen:
    # The check tells its time of day beside others that are the exchange's.
    at = row["at"].astimezone(ZoneInfo(ZONE)).isoformat()
    return HaltSeen(at=at, scope=row["scope"], what=row["what"], reason=row["reason"], by=row["by"])
