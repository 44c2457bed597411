"""What really happened at the broker, by plain arithmetic on its own reports: nobody else's books are asked (§14)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from qmworkbench.domain.execution import AccountActivity, ExecType, ExecutionReport
from qmworkbench.domain.orders import TERMINAL
from qmworkbench.simulation.margin import Costs, on_margin

ZERO: Final = Decimal(0)


class TrueOrder:
    """An order at the broker."""

    __slots__ = ("filled", "live", "qty", "sign", "since_ms", "symbol")

    def __init__(self, report: ExecutionReport, since_ms: int) -> None:
        self.since_ms = since_ms
        self.symbol = report.symbol
        self.sign = 1 if report.side == "buy" else -1
        self.qty = report.order_qty
        self.filled = ZERO
        self.live = True

    @property
    def leaves(self) -> Decimal:
        return max(ZERO, self.qty - self.filled) if self.live else ZERO


class BrokerTruth:
    """Orders, positions and cash at the broker."""

    def __init__(self, cash: Decimal) -> None:
        self.cash = cash
        self.cursor = 0
        self.orders: dict[str, TrueOrder] = {}
        self.positions: dict[str, Decimal] = {}
        self.executions: dict[str, ExecutionReport] = {}
        self.busted: set[str] = set()
        self.over_filled: set[str] = set()
        self.accepted: dict[str, int] = {}
        self.past: dict[str, list[tuple[int, Decimal]]] = {}  # positions by symbol, each since when, in ms
        self.now_ms = 0
        self.activity_cursor = 0
        self.costs = Costs()

    def overnight(self, activities: Iterable[AccountActivity], restated: Mapping[str, Decimal]) -> None:
        """What the broker booked without an order; `restated` are the quantities its resting orders go on with."""
        for activity in activities:
            self.activity_cursor = activity.cursor
            self.cash += activity.amount
            if activity.qty_after != activity.qty_before:
                self.positions.pop(activity.symbol, None)
                if activity.qty_after:
                    self.positions[activity.symbol] = activity.qty_after
                self.past.setdefault(activity.symbol, []).append((self.now_ms, activity.qty_after))
        for name, qty in restated.items():
            if name in self.orders:
                self.orders[name].qty = qty

    def take(self, reports: Iterable[ExecutionReport]) -> list[str]:
        """Take in what the broker has said; returns what cannot be, in words."""
        wrong: list[str] = []
        for report in reports:
            self.cursor = report.cursor
            if report.exec_type is ExecType.REPLACED and report.orig_cl_ord_id:
                # One order under two ids, whichever of them was heard of first: its acceptance may come later still.
                replaced = self.orders.get(report.orig_cl_ord_id) or TrueOrder(report, self.now_ms)
                replaced.qty = report.order_qty
                self.orders[report.cl_ord_id] = self.orders[report.orig_cl_ord_id] = replaced
            order = self.orders.get(report.cl_ord_id)
            if order is None:
                if report.exec_type in (ExecType.REPLACE_REJECTED, ExecType.CANCEL_REJECTED):
                    continue
                order = self.orders[report.cl_ord_id] = TrueOrder(report, self.now_ms)
            if report.exec_type is ExecType.NEW:
                self.accepted[report.cl_ord_id] = self.accepted.get(report.cl_ord_id, 0) + 1
            elif report.exec_type is ExecType.RESTATED:
                order.qty = report.order_qty
            elif report.exec_type is ExecType.TRADE:
                wrong += self._trade(order, report)
            elif report.exec_type is ExecType.TRADE_CANCEL and report.ref_exec_id is not None:
                self._bust(order, report.ref_exec_id)
            order.live = order.live and report.ord_status not in TERMINAL  # late news reopens nothing
        return wrong

    def held_since(self, symbol: str, since_ms: int) -> set[Decimal]:
        """Every quantity that was held of the symbol at some moment since then."""
        held = {ZERO} if not self.past.get(symbol) or self.past[symbol][0][0] > since_ms else set()
        last = ZERO
        for at_ms, qty in self.past.get(symbol, ()):
            if at_ms <= since_ms:
                last = qty
            else:
                held.add(qty)
        return held | {last}

    def _trade(self, order: TrueOrder, report: ExecutionReport) -> list[str]:
        known = self.executions.get(report.exec_id)
        if known is not None:
            same = (known.cl_ord_id, known.last_qty, known.last_px) == (
                report.cl_ord_id,
                report.last_qty,
                report.last_px,
            )
            return [] if same else [f"the venue used {report.exec_id} twice"]
        self.executions[report.exec_id] = report
        self._move(order, report, 1)
        if order.filled > order.qty and report.cl_ord_id not in self.over_filled:
            return [f"{report.cl_ord_id} filled {order.filled} of {order.qty}"]
        return []

    def _bust(self, order: TrueOrder, exec_id: str) -> None:
        taken_back = self.executions.get(exec_id)
        if taken_back is not None and exec_id not in self.busted:
            self.busted.add(exec_id)
            self._move(order, taken_back, -1)

    def _move(self, order: TrueOrder, report: ExecutionReport, times: int) -> None:
        qty = times * report.last_qty
        order.filled += qty
        held = self.positions.get(report.symbol, ZERO) + order.sign * qty
        if held:
            self.positions[report.symbol] = held
        else:
            self.positions.pop(report.symbol, None)
        self.past.setdefault(report.symbol, []).append((self.now_ms, held))
        if on_margin(report.symbol):
            realized = self.costs.fill(report.symbol, order.sign * qty, report.last_px)
            self.cash += realized * report.conversion_rate - times * report.fee
        else:
            self.cash -= order.sign * qty * report.last_px * report.conversion_rate + times * report.fee
