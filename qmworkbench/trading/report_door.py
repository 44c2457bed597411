"""The kernel's door for execution reports: what may not even be tried (§13, §14).

A report is somebody else's word. Numbers that are none, or that no market could have made, would spoil every sum they
enter, so such a report is put on record, alarmed and compared with the broker's books; it is never booked. A price is
absurd when it lies ten times away from everything known: today's last price, the order's own prices, the price it was
decided at. A quantity is absurd at ten times the order's. A report that names our order with another
symbol or side is about some other order. What merely surprises (an over-fill, an unknown order) passes: the broker is
right about exposure.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Order
from qmworkbench.trading.fold_orders import runs_ahead
from qmworkbench.trading.state import State

_LARGEST: Final = Decimal(10) ** 12
_SMALLEST: Final = Decimal(10) ** -12
_FACTOR: Final = 10
# A fee beyond this and beyond the value of the execution is none.
_PLAIN_FEE: Final = Decimal(100)

# How an adapter hands on what the broker said and it could not read, rather than drop it.
UNREADABLE: Final = "quarantined:"

# Bound once: finding a member in its enum costs several times what comparing it does (Python 3.11).
_ORDER_STATUS: Final = ExecType.ORDER_STATUS
_TRADE: Final = ExecType.TRADE

Finding = tuple[str, str]


def malformed(report: ExecutionReport) -> Finding | None:
    """What cannot be true of any report, whatever we know: (kind, detail); None where nothing is wrong with it."""
    if report.exec_type is _ORDER_STATUS and report.reason.startswith(UNREADABLE):
        return "unreadable_report", report.reason
    if not report.exec_id:
        return "malformed", "it has no exec_id"
    if report.transact_time.tzinfo is None:
        return "malformed", f"transact_time {report.transact_time} has no time zone"
    if not _in_bounds(report):
        told = f"order_qty {report.order_qty}, cum_qty {report.cum_qty}, last_qty {report.last_qty}"
        return "malformed", f"{told}, last_px {report.last_px}, avg_px {report.avg_px} are not quantities and prices"
    fee, rate = report.fee, report.conversion_rate
    if not fee.is_finite() or not rate.is_finite() or not _SMALLEST < rate < _LARGEST:
        return "malformed", f"a fee of {fee} at a rate of {rate}"
    if report.exec_type is _TRADE:
        return _trade(report)
    return None


def _in_bounds(report: ExecutionReport) -> bool:
    """Every quantity and price is a number within reason: what most reports are, told by comparing alone."""
    try:
        return (
            ZERO <= report.order_qty <= _LARGEST
            and ZERO <= report.cum_qty <= _LARGEST
            and ZERO <= report.last_qty <= _LARGEST
            and ZERO <= report.last_px <= _LARGEST
            and ZERO <= report.avg_px <= _LARGEST
        )
    except InvalidOperation:  # a NaN compares with nothing
        return False


def _trade(report: ExecutionReport) -> Finding | None:
    qty, px, fee = report.last_qty, report.last_px, report.fee
    if qty < _SMALLEST or px < _SMALLEST:
        return "malformed", f"a fill of {qty} at {px} is not a fill"
    if fee and abs(fee) > _PLAIN_FEE and abs(fee) > qty * px * report.conversion_rate:
        return "absurd_fee", f"a fee of {fee} for {qty} at {px}"
    return None


def out_of_line(state: State, report: ExecutionReport) -> Finding | None:
    """A transaction number far ahead of every other: what came after it would look old."""
    if report.cursor > state.exec_cursor and runs_ahead(state, report.cursor):
        return "absurd_cursor", f"its number {report.cursor} is far ahead of {state.exec_cursor}, the newest"
    return None


def of_another_order(order: Order, report: ExecutionReport) -> Finding | None:
    """A report that bears our id and speaks of another symbol or side."""
    if report.symbol != order.symbol:
        return "wrong_symbol", f"{order.cl_ord_id} is an order in {order.symbol}, it says {report.symbol}"
    if report.side is not order.side:
        return "wrong_side", f"{order.cl_ord_id} is a {order.side}, it says {report.side}"
    return None


def absurd(state: State, order: Order | None, report: ExecutionReport) -> Finding | None:
    """A fill that no market made: its price or quantity is out of all proportion to what is known."""
    px, mark = report.last_px, state.marks.get(report.symbol)
    # Prices of an order carried over a night may be from before a split: without a price of today nothing is known.
    near = mark is None or _near(px, mark.px)
    if not near and order is not None:
        own = (order.decision_px, order.limit_px, order.stop_px, order.avg_px)
        near = any(_near(px, known) for known in own if known is not None)
    if not near:
        return "absurd_px", f"a fill at {px}, ten times away from every price known of {report.symbol}"
    if order is not None and report.last_qty > _FACTOR * max(order.order_qty, report.order_qty):
        return "absurd_qty", f"a fill of {report.last_qty} for an order of {order.order_qty}"
    return None


def _near(px: Decimal, known: Decimal) -> bool:
    return known <= px * _FACTOR and px <= known * _FACTOR
