"""What goes over the line, and in which state it arrives: names of requests, and reports doubled, shuffled or late."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.events import Input
from qmworkbench.domain.events.orders import CancelObserved, ReplaceObserved, SubmitObserved
from qmworkbench.domain.execution import ExecType, ExecutionReport, SubmitOutcome
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.simulation.loop import SECOND
from qmworkbench.simulation.plan import Faults
from qmworkbench.trading.effects import CancelOrder, Effect, QueryOrder, ReplaceOrder, SubmitOrder

HOSTILE = "hostile-"


def subject(effect: Effect) -> str:
    """What a request is about: the stream its troubles are drawn from."""
    if isinstance(effect, SubmitOrder):
        return f"submit {effect.request.cl_ord_id}"
    if isinstance(effect, ReplaceOrder):
        return f"replace {effect.request.cl_ord_id}"
    assert isinstance(effect, CancelOrder)
    return f"cancel {effect.cl_ord_id}"


def working_id(effect: CancelOrder | QueryOrder) -> str:
    """The id the broker knows the order by."""
    return getattr(effect, "working_id", "") or effect.cl_ord_id


def request(
    effect: Effect, broker: SimulatedBroker, now: Callable[[], datetime]
) -> tuple[Callable[[], None], Callable[[SubmitOutcome, str], Input]]:
    """What a request does at the broker when it arrives, and what makes an input of its outcome."""
    if isinstance(effect, SubmitOrder):
        asked = effect.request
        return lambda: broker.submit(asked), lambda outcome, detail: SubmitObserved(
            at=now(), cl_ord_id=asked.cl_ord_id, outcome=outcome, detail=detail
        )
    if isinstance(effect, CancelOrder):
        name, called = effect.cl_ord_id, working_id(effect)
        return lambda: broker.cancel(called), lambda outcome, detail: CancelObserved(
            at=now(), cl_ord_id=name, outcome=outcome, detail=detail
        )
    assert isinstance(effect, ReplaceOrder)
    replace, order = effect.request, effect.order
    return lambda: broker.replace(replace), lambda outcome, detail: ReplaceObserved(
        at=now(), order=order, cl_ord_id=replace.cl_ord_id, outcome=outcome, detail=detail
    )


def delivery(
    faults: Faults, reports: Sequence[ExecutionReport]
) -> tuple[list[ExecutionReport], list[tuple[int, ExecutionReport]]]:
    """Reports as they arrive now, and those that arrive later, each with its delay in ms."""
    now: list[ExecutionReport] = []
    late: list[tuple[int, ExecutionReport]] = []
    for report in reports:
        name = f"{report.cl_ord_id} {report.exec_type}"
        if faults.strikes("report_late", name):
            late.append((faults.chance.whole("report_late/ms", faults.last_key(), 50, 20 * SECOND), report))
            continue
        now.append(report)
        if faults.strikes("report_twice", name):
            late.append((faults.chance.whole("report_twice/ms", faults.last_key(), 0, 30 * SECOND), report))
        if len(now) > 1 and faults.strikes("report_reordered", name):
            now[-1], now[-2] = now[-2], now[-1]
        if faults.strikes("report_hostile", name):
            now.append(_hostile(faults, report))
    return now, late


def _hostile(faults: Faults, report: ExecutionReport) -> ExecutionReport:
    """Something no sane broker says: absurd prices and quantities, unknown orders, reused ids."""
    key = faults.last_key()
    fresh = f"{HOSTILE}{report.exec_id}"
    absurd = {
        "px_zero": {"last_px": Decimal(0)},
        "px_negative": {"last_px": Decimal(-5)},
        "px_nan": {"last_px": Decimal("NaN")},
        "qty_zero": {"last_qty": Decimal(0)},
        "qty_negative": {"last_qty": Decimal(-7)},
        "qty_nan": {"last_qty": Decimal("NaN")},
        "fee_nan": {"fee": Decimal("NaN")},
        "rate_zero": {"conversion_rate": Decimal(0)},
    }
    kind = faults.chance.one_of("report_hostile/kind", key, (*absurd, "same_id", "unknown_ack"))
    if kind == "same_id":
        return msgspec.structs.replace(report, cum_qty=report.cum_qty + 1, reason="another content")
    if kind == "unknown_ack":
        return msgspec.structs.replace(
            report,
            exec_id=fresh,
            cl_ord_id=f"{HOSTILE}order",
            order_id=f"{HOSTILE}order",
            parent_id=None,
            exec_type=ExecType.NEW,
            ord_status=OrdStatus.ACCEPTED,
        )
    trade = {"exec_type": ExecType.TRADE, "last_qty": Decimal(1), "last_px": Decimal(10), "exec_id": fresh}
    return msgspec.structs.replace(report, **(trade | absurd[kind]))
