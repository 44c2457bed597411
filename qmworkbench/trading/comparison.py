"""What differs between the broker's books and ours: a pure comparison, breaks as data (§14, §17).

Invariants, in the order they are checked:
1. A failed query is not an empty answer: an incomplete snapshot is never compared.
2. Quantities and sides are compared exactly; average price and money within a tolerance, because brokers round.
3. An order that is in flight (in doubt, or being cancelled or replaced) is not missing: it is asked for by its id.
4. A replaced order is known under the id the broker has it under since; its quantities and prices are compared too.
5. An order at the broker that nobody here intended is a break, never adopted silently.
6. Cash is not taken on trust: it must be what the day began with and every flow on record since.
7. A broker nets. Positions, average prices and realized P&L are compared on the net of all owners, which is kept from
   the same executions; what each instance holds and earns is attribution, and no broker can confirm it.
"""

from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind
from qmworkbench.domain.execution import Account, BrokerOrder, BrokerSnapshot, ExecType
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import ZERO, cents
from qmworkbench.domain.orders import Order, OrdStatus
from qmworkbench.domain.sessions import Environment, Priority
from qmworkbench.trading import holdings
from qmworkbench.trading.state import State

BROKER: Final = "broker"


class Tolerances(msgspec.Struct, frozen=True, kw_only=True):
    """How far apart figures may lie before they are a break. Money in account currency, prices as a fraction."""

    money: Decimal = Decimal("0.01")
    avg_px: Decimal = Decimal("0.000001")


def compare(state: State, snapshot: BrokerSnapshot, tolerances: Tolerances) -> list[BreakFound]:
    """Every difference, in a fixed order: positions by symbol, orders by id, then money. Empty when the books agree."""
    if not snapshot.complete:
        raise ValueError(f"an incomplete snapshot cannot be compared: {snapshot.error}")
    return _positions(state, snapshot, tolerances) + _orders(state, snapshot) + _money(state, snapshot, tolerances)


def _break(
    state: State, kind: BreakKind, symbol: str, severity: Priority, before: object, after: object, cause: str
) -> BreakFound:
    return BreakFound(
        at=state.clock(),
        break_id=content_id(state.day.session_id, kind, symbol, str(before), str(after)),
        kind=kind,
        symbol=symbol,
        severity=_raised(state, severity),
        before=str(before),
        after=str(after),
        cause=cause,
        authority=BROKER,
    )


def _raised(state: State, severity: Priority) -> Priority:
    """Live exposure makes a high break critical (§20: live position mismatch)."""
    return Priority.P0 if state.day.environment is Environment.LIVE and severity is Priority.P1 else severity


def _positions(state: State, snapshot: BrokerSnapshot, tolerances: Tolerances) -> list[BreakFound]:
    theirs = {p.symbol: p for p in snapshot.positions if p.qty != 0}
    breaks: list[BreakFound] = []
    for symbol in sorted(theirs.keys() | state.net.keys()):
        ours_qty = state.net_qty(symbol)
        their_qty = theirs[symbol].qty if symbol in theirs else ZERO
        if ours_qty == their_qty:
            breaks += _avg_px(state, symbol, theirs[symbol].avg_px, tolerances)
            continue
        opposite = ours_qty * their_qty < 0
        kind = BreakKind.POSITION_SIDE if opposite else BreakKind.POSITION_QTY
        cause = (
            "the broker holds the other side"
            if opposite
            else "the broker holds less than we do"
            if abs(their_qty) < abs(ours_qty)
            else "the broker holds more than we do"
        )
        breaks.append(_break(state, kind, symbol, Priority.P0, ours_qty, their_qty, cause))
    return breaks


def _avg_px(state: State, symbol: str, their_px: Decimal, tolerances: Tolerances) -> list[BreakFound]:
    ours = state.net[symbol].avg_px
    if abs(ours - their_px) <= tolerances.avg_px * their_px:
        return []
    return [_break(state, BreakKind.AVG_PX, symbol, Priority.P2, ours.normalize(), their_px, "average prices differ")]


def _in_flight(order: Order) -> bool:
    return order.is_in_doubt or order.status in (OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE)


def ours_by_their_id(state: State) -> dict[str, Order]:
    """Our open orders by the ids the broker may have them under: a replaced one goes on under another, and while a
    replace is unanswered it is either.
    """
    found: dict[str, Order] = {}
    for order in state.working():
        found[order.working_id or order.cl_ord_id] = order
        if order.replacing is not None:
            found[order.replacing.cl_ord_id] = order
    return found


def _orders(state: State, snapshot: BrokerSnapshot) -> list[BreakFound]:
    theirs: dict[str, BrokerOrder] = {o.cl_ord_id: o for o in snapshot.open_orders}
    ours = ours_by_their_id(state)
    breaks: list[BreakFound] = []
    for name in sorted(ours.keys() | theirs.keys()):
        mine = ours.get(name)
        if mine is None:
            breaks.append(_unknown_order(state, theirs[name]))
        elif _in_flight(mine):
            continue
        elif name not in theirs:
            cause = "we hold it open, the broker's list of open orders does not have it"
            missing = BreakKind.ORDER_MISSING_AT_BROKER
            breaks.append(_break(state, missing, mine.symbol, Priority.P1, mine.cl_ord_id, "absent", cause))
        else:
            breaks += _terms(state, mine, theirs[name])
    return breaks


def _unknown_order(state: State, other: BrokerOrder) -> BreakFound:
    name = other.cl_ord_id
    known = state.orders.get(state.working_ids.get(name, name))
    cause = f"we have it as {known.status}" if known is not None else "nobody here sent it"
    return _break(state, BreakKind.ORDER_UNKNOWN_TO_US, other.symbol, Priority.P1, "absent", name, cause)


def _terms(state: State, mine: Order, other: BrokerOrder) -> list[BreakFound]:
    """The same order with other quantities or prices. A trailing stop's level is the broker's alone."""
    name = mine.cl_ord_id
    breaks = []
    if (mine.order_qty, mine.cum_qty) != (other.order_qty, other.cum_qty):
        before, after = f"{name} {mine.cum_qty}/{mine.order_qty}", f"{name} {other.cum_qty}/{other.order_qty}"
        breaks.append(_break(state, BreakKind.ORDER_QTY, mine.symbol, Priority.P1, before, after, "quantities differ"))
    stop_px = other.stop_px if mine.trail_bps is None else mine.stop_px
    if (mine.limit_px, mine.stop_px) != (other.limit_px, stop_px):
        before = f"{name} limit {mine.limit_px} stop {mine.stop_px}"
        after = f"{name} limit {other.limit_px} stop {stop_px}"
        breaks.append(_break(state, BreakKind.ORDER_PX, mine.symbol, Priority.P1, before, after, "prices differ"))
    return breaks


def _money(state: State, snapshot: BrokerSnapshot, tolerances: Tolerances) -> list[BreakFound]:
    """Realized P&L and fees of the day against the account statement; only when both cover the same executions."""
    account, start_equity = snapshot.account, state.day.start_equity
    if account is None or account.cursor < state.heard_cursor or start_equity is None:
        return []
    breaks: list[BreakFound] = []
    ours, theirs = state.day.net_realized_pnl, account.realized_pnl
    if abs(ours - theirs) > tolerances.money:
        breaks.append(
            _break(
                state,
                BreakKind.REALIZED_PNL,
                "",
                Priority.P1,
                ours,
                theirs,
                "realized P&L of the day differs",
            )
        )
    if abs(state.day.fees - account.fees) > tolerances.money:
        breaks.append(
            _break(state, BreakKind.FEES, "", Priority.P1, state.day.fees, account.fees, "fees of the day differ")
        )
    return breaks + _cash(state, account, start_equity, tolerances)


def _cash(state: State, account: Account, start_equity: Decimal, tolerances: Tolerances) -> list[BreakFound]:
    """Cash must be what the day began with, plus what came in: realized, less fees, plus what activities moved, less
    what is tied up in what is held and paid for. Where that cannot be told, equity stands for it.
    """
    day = state.day
    booked = holdings.booked(state)
    if booked is not None and day.start_funds is not None:
        expected, theirs, what = day.start_funds + booked, account.cash, "cash"
    else:
        earned = start_equity - day.start_unrealized + day.net_realized_pnl - day.fees + day.activity_pnl
        expected, theirs, what = earned + day.moved_cash + account.unrealized_pnl, account.equity, "equity"
    if abs(expected - theirs) <= tolerances.money:
        return []
    cause = f"{what} is not what the day began with plus what it made: money or shares moved outside our orders"
    return [_break(state, BreakKind.CASH, "", Priority.P1, cents(expected), cents(theirs), cause)]


def compare_executions(state: State, snapshot: BrokerSnapshot) -> list[BreakFound]:
    """The session's executions on both sides, by id; call before unknown ones are adopted (§17 executions match
    broker).
    """
    theirs = {r.exec_id: r for r in snapshot.executions if r.exec_type is ExecType.TRADE}
    # A broker may list an execution that it took back, or only say that it did.
    taken_back = {r.ref_exec_id for r in snapshot.executions if r.exec_type is ExecType.TRADE_CANCEL}
    breaks: list[BreakFound] = []
    for exec_id, report in theirs.items():
        after = f"{report.symbol} {report.side} {report.last_qty} at {report.last_px}"
        ours = state.fills.get(exec_id)
        if ours is None:
            cause = "the broker has an execution we never saw"
            breaks.append(
                _break(
                    state,
                    BreakKind.EXECUTION_MISSING_HERE,
                    report.symbol,
                    Priority.P1,
                    f"{exec_id} absent",
                    after,
                    cause,
                )
            )
        elif ours != after:
            cause = "the same execution with other content"
            breaks.append(
                _break(state, BreakKind.EXECUTION_MISSING_HERE, report.symbol, Priority.P1, ours, after, cause)
            )
    for exec_id, ours in state.fills.items():
        if exec_id not in theirs and exec_id not in taken_back:
            cause = "we booked an execution the broker does not have"
            breaks.append(
                _break(
                    state,
                    BreakKind.EXECUTION_MISSING_AT_BROKER,
                    ours.split()[0],
                    Priority.P1,
                    ours,
                    f"{exec_id} absent",
                    cause,
                )
            )
    return breaks
