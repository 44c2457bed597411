"""The comparison itself, figure by figure: what is a break, what is within tolerance, and in whose words (§14)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind
from qmworkbench.domain.execution import Account, BrokerPosition, BrokerSnapshot, ExecType
from qmworkbench.domain.orders import Leg, OrdStatus, Replacement
from qmworkbench.domain.sessions import Environment, Priority
from qmworkbench.trading.comparison import Tolerances, compare, compare_executions
from qmworkbench.trading.state import State, decode_state, encode_state
from tests.trading.lying_broker import foreign_order
from tests.trading.test_reconciliation import opened

EXACT = Tolerances()


@pytest.fixture(scope="module")
def recorded() -> tuple[bytes, BrokerSnapshot]:
    """AAA held long, BBB short, with exits resting; and the broker's books of that moment."""
    world = opened()
    rows = []
    for symbol, long in (("AAA", True), ("BBB", False)):
        px, away = Decimal(str(world.px[symbol])), Decimal(3 if long else -3)
        rows.append(world.row(symbol, entry_long=long, entry_short=not long, stop_px=px - away, target_px=px + away))
    world.boundary(2, rows)
    world.boundary(3, [])
    assert world.state.net_qty("AAA") > 0 > world.state.net_qty("BBB")
    return encode_state(world.state), snapshot(world.broker, 0)


@pytest.fixture
def state(recorded: tuple[bytes, BrokerSnapshot]) -> State:
    return decode_state(recorded[0])


@pytest.fixture
def read(recorded: tuple[bytes, BrokerSnapshot]) -> BrokerSnapshot:
    return recorded[1]


def position(read: BrokerSnapshot, symbol: str, **changes: Any) -> BrokerSnapshot:
    there = tuple(msgspec.structs.replace(p, **changes) if p.symbol == symbol else p for p in read.positions)
    return msgspec.structs.replace(read, positions=there)


def account(read: BrokerSnapshot, **changes: Any) -> BrokerSnapshot:
    assert read.account is not None
    return msgspec.structs.replace(read, account=msgspec.structs.replace(read.account, **changes))


def stated(read: BrokerSnapshot) -> Account:
    assert read.account is not None
    return read.account


def kinds(found: list[BreakFound]) -> list[BreakKind]:
    return [item.kind for item in found]


def test_books_that_agree_have_no_break(state: State, read: BrokerSnapshot) -> None:
    assert compare(state, read, EXACT) == []
    assert compare_executions(state, read) == []


def test_what_was_not_read_whole_cannot_be_compared(state: State, read: BrokerSnapshot) -> None:
    with pytest.raises(ValueError, match="an incomplete snapshot cannot be compared: half"):
        compare(state, msgspec.structs.replace(read, complete=False, error="half"), EXACT)


@pytest.mark.parametrize(
    ("symbol", "change", "kind", "cause"),
    [
        ("AAA", lambda qty: qty + 1, BreakKind.POSITION_QTY, "the broker holds more than we do"),
        ("AAA", lambda qty: qty - 1, BreakKind.POSITION_QTY, "the broker holds less than we do"),
        ("AAA", lambda qty: -qty, BreakKind.POSITION_SIDE, "the broker holds the other side"),
        ("BBB", lambda qty: qty - 1, BreakKind.POSITION_QTY, "the broker holds more than we do"),
        ("BBB", lambda qty: qty + 1, BreakKind.POSITION_QTY, "the broker holds less than we do"),
        ("BBB", lambda qty: -qty, BreakKind.POSITION_SIDE, "the broker holds the other side"),
        ("AAA", lambda qty: Decimal(0), BreakKind.POSITION_QTY, "the broker holds less than we do"),
    ],
)
def test_a_position_is_exact_and_the_cause_says_which_way(
    state: State, read: BrokerSnapshot, symbol: str, change: Callable[[Decimal], Decimal], kind: BreakKind, cause: str
) -> None:
    ours = state.net_qty(symbol)
    (item,) = compare(state, position(read, symbol, qty=change(ours)), EXACT)
    assert (item.kind, item.symbol, item.cause, item.severity) == (kind, symbol, cause, Priority.P0)
    assert (item.before, item.after) == (str(ours), str(change(ours)))


def test_an_average_price_may_be_a_millionth_away_and_no_more(state: State, read: BrokerSnapshot) -> None:
    ours = state.net["AAA"].avg_px
    at_the_edge = ours / (1 + EXACT.avg_px)
    assert compare(state, position(read, "AAA", avg_px=at_the_edge + Decimal("1e-20")), EXACT) == []
    (item,) = compare(state, position(read, "AAA", avg_px=at_the_edge - Decimal("1e-9")), EXACT)
    assert (item.kind, item.severity) == (BreakKind.AVG_PX, Priority.P2)
    coarse = Tolerances(avg_px=Decimal("0.25"))
    state.net["AAA"].qty, state.net["AAA"].cost = Decimal(10), Decimal(250)
    same = position(read, "AAA", qty=Decimal(10), avg_px=Decimal(20))
    assert [i.kind for i in compare(state, same, coarse) if i.symbol == "AAA"] == [], "25 is a quarter of 20 away"
    other = position(read, "AAA", qty=Decimal(10), avg_px=Decimal("19.99"))
    assert [i.kind for i in compare(state, other, coarse) if i.symbol == "AAA"] == [BreakKind.AVG_PX]


def test_breaks_come_by_symbol_whatever_order_the_broker_lists_them_in(state: State, read: BrokerSnapshot) -> None:
    strange = [
        BrokerPosition(symbol=f"S{n}", qty=Decimal(1), avg_px=Decimal(1), market_px=Decimal(1)) for n in range(12)
    ]
    orders = [foreign_order(read.as_of, f"x{n:02}") for n in range(12)]
    there = msgspec.structs.replace(
        read, positions=(*reversed(strange), *read.positions), open_orders=(*reversed(orders), *read.open_orders)
    )
    found = compare(state, there, EXACT)
    assert [i.symbol for i in found if i.kind is BreakKind.POSITION_QTY] == sorted(p.symbol for p in strange)
    assert [i.after for i in found if i.kind is BreakKind.ORDER_UNKNOWN_TO_US] == [o.cl_ord_id for o in orders]


def test_live_exposure_makes_high_critical_and_leaves_the_rest(state: State, read: BrokerSnapshot) -> None:
    high = msgspec.structs.replace(read, open_orders=(*read.open_orders, foreign_order(read.as_of)))
    low = position(read, "AAA", avg_px=Decimal(1))
    assert [i.severity for i in compare(state, high, EXACT)] == [Priority.P1]
    state.day.environment = Environment.LIVE
    assert [i.severity for i in compare(state, high, EXACT)] == [Priority.P0]
    assert [i.severity for i in compare(state, low, EXACT)] == [Priority.P2]


@pytest.mark.parametrize("status", [OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE, OrdStatus.UNKNOWN])
def test_what_is_in_flight_is_not_missing_and_hides_nothing_else(
    state: State, read: BrokerSnapshot, status: OrdStatus
) -> None:
    names = sorted(o.cl_ord_id for o in state.working() if not o.is_in_doubt)
    state.orders[names[0]].status = status
    found = compare(state, msgspec.structs.replace(read, open_orders=()), EXACT)
    missing = [i.before for i in found if i.kind is BreakKind.ORDER_MISSING_AT_BROKER]
    assert missing == [name for name in names if name != names[0]]
    assert {i.after for i in found} == {"absent"}


def test_a_replaced_order_is_known_by_its_newer_id_and_while_it_is_asked_for_by_both(
    state: State, read: BrokerSnapshot
) -> None:
    name = next(o.cl_ord_id for o in state.working() if o.leg is Leg.TARGET)
    renamed = msgspec.structs.replace(
        read,
        open_orders=tuple(
            msgspec.structs.replace(o, cl_ord_id="newer") if o.cl_ord_id == name else o for o in read.open_orders
        ),
    )
    assert set(kinds(compare(state, renamed, EXACT))) == {
        BreakKind.ORDER_UNKNOWN_TO_US,
        BreakKind.ORDER_MISSING_AT_BROKER,
    }
    order = state.orders[name]
    order.status = OrdStatus.PENDING_REPLACE
    order.replacing = Replacement(cl_ord_id="newer", order_qty=order.order_qty)
    assert compare(state, renamed, EXACT) == []
    assert compare(state, read, EXACT) == []
    order.status, order.replacing, order.working_id = OrdStatus.ACCEPTED, None, "newer"
    assert compare(state, renamed, EXACT) == []
    assert BreakKind.ORDER_UNKNOWN_TO_US in kinds(compare(state, read, EXACT)), "the older id is no order any more"


def test_the_words_for_an_order_we_do_not_hold_open(state: State, read: BrokerSnapshot) -> None:
    name = read.open_orders[0].cl_ord_id
    del state.open_orders[name]
    state.orders[name].status = OrdStatus.CANCELED
    (item,) = compare(state, read, EXACT)
    assert (item.kind, item.before, item.after) == (BreakKind.ORDER_UNKNOWN_TO_US, "absent", name)
    assert item.cause == "we have it as canceled"
    state.working_ids["newer"] = name
    other = msgspec.structs.replace(read.open_orders[0], cl_ord_id="newer")
    (item,) = compare(state, msgspec.structs.replace(read, open_orders=(other, *read.open_orders[1:])), EXACT)
    assert item.cause == "we have it as canceled"
    stranger = (foreign_order(read.as_of), *read.open_orders[1:])
    (item,) = compare(state, msgspec.structs.replace(read, open_orders=stranger), EXACT)
    assert item.cause == "nobody here sent it"


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("order_qty", BreakKind.ORDER_QTY),
        ("cum_qty", BreakKind.ORDER_QTY),
        ("limit_px", BreakKind.ORDER_PX),
        ("stop_px", BreakKind.ORDER_PX),
    ],
)
def test_a_resting_orders_terms(state: State, read: BrokerSnapshot, field: str, kind: BreakKind) -> None:
    leg = Leg.STOP if field == "stop_px" else Leg.TARGET
    there = tuple(
        msgspec.structs.replace(o, **{field: (getattr(o, field) or Decimal(0)) + 1})
        if o.leg is leg and o.symbol == "AAA"
        else o
        for o in read.open_orders
    )
    (item,) = compare(state, msgspec.structs.replace(read, open_orders=there), EXACT)
    assert (item.kind, item.symbol, item.severity) == (kind, "AAA", Priority.P1)
    assert item.before.split()[0] == item.after.split()[0]
    assert item.before != item.after


def test_where_a_trailing_stop_stands_is_the_brokers_to_know(state: State, read: BrokerSnapshot) -> None:
    mine = next(o for o in state.working() if o.leg is Leg.STOP and o.symbol == "AAA")
    mine.trail_bps = 50
    there = tuple(
        msgspec.structs.replace(o, stop_px=Decimal(1)) if o.cl_ord_id == mine.cl_ord_id else o for o in read.open_orders
    )
    assert compare(state, msgspec.structs.replace(read, open_orders=there), EXACT) == []


@pytest.mark.parametrize(("field", "kind"), [("realized_pnl", BreakKind.REALIZED_PNL), ("fees", BreakKind.FEES)])
@pytest.mark.parametrize("sign", [1, -1])
def test_money_may_be_a_cent_away_and_no_more(
    state: State, read: BrokerSnapshot, field: str, kind: BreakKind, sign: int
) -> None:
    figure, cent = getattr(stated(read), field), sign * Decimal("0.01")
    assert compare(state, account(read, **{field: figure + cent}), EXACT) == []
    (item,) = compare(state, account(read, **{field: figure + cent * 2}), EXACT)
    assert (item.kind, item.symbol, item.severity) == (kind, "", Priority.P1)


@pytest.mark.parametrize("sign", [1, -1])
def test_cash_is_what_the_day_began_with_and_every_flow_since(state: State, read: BrokerSnapshot, sign: int) -> None:
    cash, cent = stated(read).cash, sign * Decimal("0.01")
    assert compare(state, account(read, cash=cash + cent), EXACT) == []
    (item,) = compare(state, account(read, cash=cash + 2 * cent), EXACT)
    assert (item.kind, item.before, item.after) == (BreakKind.CASH, f"{cash:.2f}", f"{cash + 2 * cent:.2f}")
    assert item.cause.startswith("cash is not what the day began with")
    state.day.activity_pnl += 5
    assert compare(state, account(read, cash=cash + 5), EXACT) == [], "a dividend is expected"
    state.day.repaired_cost += 7
    assert compare(state, account(read, cash=cash + 12), EXACT) == [], "what a repair restated was never paid"
    assert state.day.start_funds is not None
    state.day.start_funds += 3
    assert compare(state, account(read, cash=cash + 15), EXACT) == [], "what the day began with"


def test_equity_stands_for_cash_where_cash_cannot_be_told(state: State, read: BrokerSnapshot) -> None:
    state.day.instruments["AAA"] = msgspec.structs.replace(state.day.instruments["AAA"], currency="EUR")
    equity = stated(read).equity
    assert compare(state, account(read, cash=Decimal(1)), EXACT) == []
    (item,) = compare(state, account(read, equity=equity + 1), EXACT)
    assert item.cause.startswith("equity is not what")
    del state.day.instruments["AAA"]
    assert kinds(compare(state, account(read, equity=equity + 1), EXACT)) == [BreakKind.CASH]
    state.day.start_unrealized += 3
    assert compare(state, account(read, equity=equity - 3), EXACT) == [], "what was open at the start is not the day's"


def test_equity_stands_for_cash_where_what_the_day_began_with_cannot_be_told(
    state: State, read: BrokerSnapshot
) -> None:
    state.day.start_funds = None
    assert compare(state, account(read, cash=Decimal(1)), EXACT) == []
    (item,) = compare(state, account(read, equity=stated(read).equity + 1), EXACT)
    assert item.cause.startswith("equity is not what")


def test_what_is_held_on_margin_has_moved_no_cash(state: State, read: BrokerSnapshot) -> None:
    state.day.instruments["AAA"] = msgspec.structs.replace(state.day.instruments["AAA"], margin_rate=Decimal("0.5"))
    unpaid = stated(read).cash + state.net["AAA"].cost
    assert compare(state, account(read, cash=unpaid), EXACT) == []


def test_money_is_compared_only_with_a_statement_of_the_same_executions(state: State, read: BrokerSnapshot) -> None:
    wrong = account(read, realized_pnl=Decimal(999), fees=Decimal(999), cash=Decimal(1))
    assert set(kinds(compare(state, wrong, EXACT))) == {BreakKind.REALIZED_PNL, BreakKind.FEES, BreakKind.CASH}
    older = account(wrong, cursor=state.heard_cursor - 1)
    assert compare(state, older, EXACT) == []
    assert compare(state, msgspec.structs.replace(wrong, account=None), EXACT) == []
    state.day.start_equity = None
    assert compare(state, wrong, EXACT) == []


# --- executions ----------------------------------------------------------------------------------------------------


def test_an_execution_that_one_side_lacks(state: State, read: BrokerSnapshot) -> None:
    fills = [r for r in read.executions if r.exec_type is ExecType.TRADE]
    lost = fills[0].exec_id
    ours = state.fills.pop(lost)
    (item,) = compare_executions(state, read)
    assert (item.kind, item.before, item.after) == (BreakKind.EXECUTION_MISSING_HERE, f"{lost} absent", ours)
    assert item.cause == "the broker has an execution we never saw"
    state.fills[lost] = ours
    state.fills["made-up"] = "CCC buy 1 at 2"
    (item,) = compare_executions(state, read)
    assert (item.kind, item.symbol, item.after) == (
        BreakKind.EXECUTION_MISSING_AT_BROKER,
        "CCC",
        "made-up absent",
    )


def test_an_execution_with_other_content_and_one_that_was_taken_back(state: State, read: BrokerSnapshot) -> None:
    first = next(r for r in read.executions if r.exec_type is ExecType.TRADE)
    other = tuple(msgspec.structs.replace(r, last_px=r.last_px + 1) if r is first else r for r in read.executions)
    (item,) = compare_executions(state, msgspec.structs.replace(read, executions=other))
    assert item.cause == "the same execution with other content"
    bust = msgspec.structs.replace(first, exec_id="b", exec_type=ExecType.TRADE_CANCEL, ref_exec_id=first.exec_id)
    only_told = (*(r for r in read.executions if r is not first), bust)
    assert compare_executions(state, msgspec.structs.replace(read, executions=only_told)) == []


def test_figures_that_are_the_same_on_both_sides_are_no_break_however_large(state: State, read: BrokerSnapshot) -> None:
    told = stated(read)
    for made, paid in ((Decimal(500), Decimal(70)), (Decimal(-500), Decimal(-90))):
        state.day.net_realized_pnl, state.day.fees = told.realized_pnl + made, told.fees + paid
        figures = {"realized_pnl": told.realized_pnl + made, "fees": told.fees + paid}
        assert compare(state, account(read, cash=told.cash + made - paid, **figures), EXACT) == []
