"""News that contradicts what is known: on record, alarmed, and answered by stopping whoever it concerns (§13, §23).

The strategy that owns the order stops entering, or the book where nobody here owns it; exits go on. What the broker's
books really say is asked for at once. Nothing is dropped silently, and nothing raises.
"""

from typing import Final

from qmworkbench.domain.events.orders import ReportQuarantined
from qmworkbench.domain.execution import ExecutionReport
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.decision import Decision

# Exposure may be other than we think by these, whoever owns the order.
_EXPOSURE: Final = frozenset({"over_fill", "over_exit", "two_live_orders"})
_REMEDY: Final = "compare with the broker's order history before anything else: `qm order inspect {}` (§13)"


def contradicts(decision: Decision, report: ExecutionReport, kind: str, detail: str) -> None:
    """A report that cannot be, given what is known."""
    order = decision.state.order_named(report.cl_ord_id)
    owner = order.strategy_id if order is not None else ""
    name = order.cl_ord_id if order is not None else report.cl_ord_id
    quarantine(decision, report.exec_id, report.cl_ord_id, kind, detail)
    text = f"{report.symbol}: execution report {report.exec_id} contradicts our books: {detail}"
    answer(decision, owner, name, kind, text, of=report.symbol)


def quarantine(decision: Decision, exec_id: str, cl_ord_id: str, kind: str, detail: str) -> None:
    """Put what was set aside on record."""
    decision.emit(ReportQuarantined(at=decision.at, exec_id=exec_id, cl_ord_id=cl_ord_id, kind=kind, detail=detail))


def answer(decision: Decision, owner: str, cl_ord_id: str, kind: str, text: str, *, of: str) -> None:
    """Stop the owner's entries, tell people, and have the books compared. `owner` "" or not running: the book."""
    state = decision.state
    scope = owner if owner in state.day.runs else "book"
    decision.restrict(scope, TradingState.REDUCING, f"contradiction.{kind}", text, "oms")
    decision.alarm(
        kind,
        cl_ord_id or of,
        Priority.P0 if scope == "book" or kind in _EXPOSURE else Priority.P1,
        text,
        _REMEDY.format(cl_ord_id),
    )
    if state.reconciliation.pending is None:
        decision.want_reconciliation = True
