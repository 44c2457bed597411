"""What differs between the broker's books and ours: a pure comparison, breaks as data (§14, §17).

Invariants, in the order they are checked:
1. A failed query is not an empty answer: an incomplete snapshot is never compared.
2. Quantities and sides are compared exactly; average price and money within a tolerance, because brokers round.
3. An order that is in flight (in doubt, or being cancelled) is not missing: it is asked for by its id instead.
4. An order at the broker that nobody here intended is a break, never adopted silently.
5. A broker nets. Positions, average prices and realized P&L are compared on the net of all owners, which is kept from
   the same executions; what each instance holds and earns is attribution, and no broker can confirm it.
"""

from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind
from qmworkbench.domain.execution import BrokerOrder, BrokerSnapshot, ExecType
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import ZERO, cents
from qmworkbench.domain.orders import Order, OrdStatus
from qmworkbench.domain.sessions import Environment, Priority
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
            if ours_qty != 0:
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
    if abs(ours - their_px) <= tolerances.avg_px * abs(their_px):
        return []
    return [_break(state, BreakKind.AVG_PX, symbol, Priority.P2, ours.normalize(), their_px, "average prices differ")]


def _in_flight(order: Order) -> bool:
    return order.is_in_doubt or order.status in (OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE)


def _orders(state: State, snapshot: BrokerSnapshot) -> list[BreakFound]:
    theirs: dict[str, BrokerOrder] = {o.cl_ord_id: o for o in snapshot.open_orders}
    ours = {o.cl_ord_id: o for o in state.working()}
    breaks: list[BreakFound] = []
    for name in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(name), theirs.get(name)
        if mine is None and other is not None:
            known = state.orders.get(name)
            cause = f"we have it as {known.status}" if known is not None else "nobody here sent it"
            kind, symbol, before, after = BreakKind.ORDER_UNKNOWN_TO_US, other.symbol, "absent", name
        elif mine is None or _in_flight(mine):
            continue
        elif other is None:
            cause = "we hold it open, the broker's list of open orders does not have it"
            kind, symbol, before, after = BreakKind.ORDER_MISSING_AT_BROKER, mine.symbol, name, "absent"
        elif (mine.order_qty, mine.cum_qty) != (other.order_qty, other.cum_qty):
            cause = "quantities differ"
            kind, symbol = BreakKind.ORDER_QTY, mine.symbol
            before, after = f"{name} {mine.cum_qty}/{mine.order_qty}", f"{name} {other.cum_qty}/{other.order_qty}"
        else:
            continue
        breaks.append(_break(state, kind, symbol, Priority.P1, before, after, cause))
    return breaks


def _money(state: State, snapshot: BrokerSnapshot, tolerances: Tolerances) -> list[BreakFound]:
    """Realized P&L and fees of the day against the account statement; only when both cover the same executions."""
    account = snapshot.account
    if account is None or account.cursor < state.heard_cursor or state.day.start_equity is None:
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
            _break(state, BreakKind.CASH, "", Priority.P1, state.day.fees, account.fees, "fees of the day differ")
        )
    return breaks + _cash(state, snapshot, tolerances)


def _cash(state: State, snapshot: BrokerSnapshot, tolerances: Tolerances) -> list[BreakFound]:
    """Equity must be what the day began with, plus realized, less fees, plus what open P&L has moved since."""
    account, day = snapshot.account, state.day
    if account is None or day.start_equity is None:
        return []
    moved = account.unrealized_pnl - day.start_unrealized
    expected = day.start_equity + day.net_realized_pnl - day.fees + day.activity_pnl + moved
    if abs(expected - account.equity) <= tolerances.money:
        return []
    cause = "equity is not what the day began with plus what it made: money or shares moved outside our orders"
    return [_break(state, BreakKind.CASH, "", Priority.P1, cents(expected), cents(account.equity), cause)]


def compare_executions(state: State, snapshot: BrokerSnapshot) -> list[BreakFound]:
    """The session's executions on both sides, by id; call before unknown ones are adopted (§17 executions match
    broker).
    """
    theirs = {r.exec_id: r for r in snapshot.executions if r.exec_type is ExecType.TRADE}
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
        if exec_id not in theirs:
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
