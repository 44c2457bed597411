"""Executions that the broker takes back: at their own price, once, and only those that are in our books (§13, §14).

1. A bust reverses one execution; a correction is a bust and the fill as it should have been.
2. It reverses it in the books that held it: the order's owner's, or those a fill nobody here ordered was booked in.
3. One that takes back what we do not know, again, or with other content, contradicts us and changes nothing.
4. What it brings back, or turns around, rests on no exits: it is closed. EXTERNAL's is a person's to settle.
"""

from decimal import Decimal

from qmworkbench.domain.events.orders import FillReversed
from qmworkbench.domain.execution import ExecutionReport
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Arc, IllegalArc, Order
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading.contradictions import contradicts
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import request_exit
from qmworkbench.trading.fold_orders import executed
from qmworkbench.trading.order_life import walk
from qmworkbench.trading.state import EXTERNAL


def on_bust(decision: Decision, report: ExecutionReport, order: Order | None) -> None:
    """Take one execution back. `order` None: no order of ours explains the execution (trading/foreign.py)."""
    state, ref = decision.state, report.ref_exec_id or ""
    original = executed(state, ref)
    if original is None:
        contradicts(decision, report, "bust_of_unknown", f"takes back {report.ref_exec_id}, which is not in our books")
        return
    if ref in state.reversed_ids:
        contradicts(decision, report, "bust_repeated", f"{ref} was taken back by {state.reversed_ids[ref]} already")
        return
    if report.last_qty and (report.last_qty, report.last_px) != original:
        told = f"{report.last_qty} at {report.last_px} for {original[0]} at {original[1]}"
        contradicts(decision, report, "bust_differs", f"takes back {told}")
        return
    if not state.fills[ref].startswith(f"{report.symbol} {report.side} "):
        told = f"takes back a {report.side} of {report.symbol} for {state.fills[ref]}"
        contradicts(decision, report, "bust_differs", told)
        return
    owner = state.foreign_fills.get(ref, order.strategy_id if order is not None else EXTERNAL)
    held = state.position(owner, report.symbol)
    before = held.qty if held is not None else ZERO
    decision.emit(
        FillReversed(
            at=decision.at,
            exec_id=report.exec_id,
            ref_exec_id=ref,
            cl_ord_id=order.cl_ord_id if order is not None else report.cl_ord_id,
            strategy_id=owner,
            symbol=report.symbol,
            side=report.side,
            last_qty=original[0],
            last_px=original[1],
            fee=report.fee,
        )
    )
    if order is not None:
        _walk_or_not(decision, order, Arc.BUST)
    decision.alarm(
        "trade_busted",
        report.exec_id,
        Priority.P1,
        f"{report.symbol}: the broker took back {original[0]} at {original[1]}",
        "check the position against the broker; reconciliation will follow",
    )
    decision.want_reconciliation = True
    if order is not None or owner != EXTERNAL:
        _unprotected(decision, state.position(owner, report.symbol), before)


def _walk_or_not(decision: Decision, order: Order, arc: Arc) -> None:
    """An arc that changes no quantity, where the order's status has it."""
    try:
        walk(decision, order, arc)
    except IllegalArc:
        return


def _unprotected(decision: Decision, held: Position | None, before: Decimal) -> None:
    """What a bust brought back, or turned around, rests on no exits: it is closed."""
    if held is not None and held.qty and before * held.qty <= 0:
        request_exit(decision, held, "flat", "an execution was taken back")
