"""What one execution leaves in the state: order, position, net, day, and what has been spent; and how it is undone."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events.market import Mark
from qmworkbench.domain.events.orders import FillRecorded, FillReversed, PositionsOffset, TradeClosed
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind, RepairApplied
from qmworkbench.domain.numbers import ONE
from qmworkbench.domain.orders import Leg, Side
from qmworkbench.domain.positions import NetPosition, Position
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading import holdings
from qmworkbench.trading.fold import apply
from qmworkbench.trading.session_state import position_key
from tests.trading.oms_cases import D, Desk, desk

OWNER = "test-1"


@pytest.fixture
def built() -> Desk:
    made = desk()
    made.state.spent = {}
    return made


def filled(built: Desk, side: Side, qty: int, px: str, then: tuple[int, str], **changes: Any) -> Position:
    """An execution of the owner's in AAA; `then` is the position it leads to, quantity and cost."""
    base: dict[str, Any] = {
        "at": built.world.at(),
        "exec_id": f"x-{len(built.state.fills)}",
        "cl_ord_id": "nobody",
        "strategy_id": OWNER,
        "symbol": "AAA",
        "side": side,
        "last_qty": D(qty),
        "last_px": D(px),
        "fee": D(1),
        "conversion_rate": D(1),
        "transact_time": built.world.at() + timedelta(seconds=5),
        "position_qty": D(then[0]),
        "position_cost": D(then[1]),
        "realized_pnl": D(0),
        "order_id": "o",
    }
    fields = set(FillRecorded.__struct_fields__)
    apply(built.state, FillRecorded(**{k: v for k, v in (base | changes).items() if k in fields}))
    return built.state.positions.get(position_key(OWNER, "AAA")) or Position(strategy_id=OWNER, symbol="AAA")


def numbers(held: Position) -> tuple[Decimal, ...]:
    return held.qty, held.cost, held.fees, held.entry_qty, held.entry_value, held.exit_qty, held.exit_value


@pytest.mark.parametrize(("at_cursor", "begins_with"), [(41, 1000), (42, 1000), (43, 1025)])
def test_what_the_first_statement_held_before_it_was_heard_is_not_what_the_day_began_with(
    built: Desk, at_cursor: int, begins_with: int
) -> None:
    day = built.state.day
    day.start_equity, day.start_cursor, built.state.exec_cursor = D(1025), 42, at_cursor
    filled(built, Side.BUY, 10, "20", (10, "200"))
    held = 1026 if at_cursor <= 42 else 1025
    assert day.start_equity == held, "a fee that was in it already"
    filled(built, Side.SELL, 10, "22.7", (0, "0"), realized_pnl=D(27))
    assert day.start_equity == begins_with
    day.start_equity = None
    filled(built, Side.SELL, 1, "20", (-1, "-20"))
    assert day.start_equity is None, "no statement has come yet"


@pytest.mark.parametrize(("at_cursor", "late"), [(41, True), (42, True), (43, False)])
def test_cash_that_the_first_statement_held_is_no_flow_of_the_day(built: Desk, at_cursor: int, late: bool) -> None:
    """Cash expected is what the day began with and what is booked since: it moves by what the statement had not."""
    state, day = built.state, built.state.day
    booked = holdings.booked(state)
    assert booked is not None
    day.start_equity, day.start_cursor, day.start_funds, state.exec_cursor = D(0), 42, 1000 - booked, at_cursor

    def expected() -> Decimal | None:
        now = holdings.booked(state)
        return None if now is None or day.start_funds is None else day.start_funds + now

    filled(built, Side.BUY, 10, "20", (10, "200"))
    assert expected() == (1000 if late else 1000 - 200 - 1)
    filled(built, Side.SELL, 10, "22.7", (0, "0"), realized_pnl=D(27))
    assert expected() == (1000 if late else 1000 + 27 - 2)
    del day.instruments["AAA"]
    filled(built, Side.BUY, 10, "20", (10, "200"))
    assert (day.start_funds is None) == late, "what it cost in the account's money is not known"


def test_what_opens_adds_and_closes(built: Desk) -> None:
    held = filled(built, Side.BUY, 10, "20", (10, "200"))
    assert numbers(held) == (10, 200, 1, 10, 200, 0, 0)
    assert (held.entry_order, held.opened_at) == ("nobody", built.world.at() + timedelta(seconds=5))
    held = filled(built, Side.BUY, 5, "22", (15, "310"), cl_ord_id="more")
    assert numbers(held) == (15, 310, 2, 15, 310, 0, 0)
    assert held.entry_order == "nobody", "what adds does not begin it"
    held = filled(built, Side.SELL, 6, "25", (9, "186"), realized_pnl=D(26))
    assert numbers(held) == (9, 186, 3, 15, 310, 6, 150)
    assert held.realized_pnl == 26
    day = built.state.day
    assert (day.realized_pnl, day.net_realized_pnl, day.fees, day.fills) == (26, 26, 3, 3)
    assert built.state.fills["x-2"] == "AAA sell 6 at 25"


def test_a_short_one_the_other_way_round(built: Desk) -> None:
    filled(built, Side.SELL, 10, "20", (-10, "-200"))
    held = filled(built, Side.BUY, 4, "18", (-6, "-120"), realized_pnl=D(8))
    assert numbers(held) == (-6, -120, 2, 10, 200, 4, 72)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_fill_that_turns_a_position_begins_another_with_its_share_of_the_fee(built: Desk, side: Side) -> None:
    sign = side.sign
    filled(built, side.opposite, 10, "20", (-10 * sign, str(-200 * sign)))
    held = filled(built, side, 25, "22", (15 * sign, str(330 * sign)), fee=D(5), cl_ord_id="turn", realized_pnl=D(-20))
    assert numbers(held) == (15 * sign, 330 * sign, 3, 15, 330, 0, 0)
    assert (held.entry_order, held.realized_pnl) == ("turn", 0)
    assert built.state.day.realized_pnl == -20


def test_only_what_opens_is_spent_and_by_its_transaction(built: Desk) -> None:
    state = built.state
    state.exec_cursor = 7
    filled(built, Side.BUY, 10, "20", (10, "200"), conversion_rate=D(2))
    filled(built, Side.BUY, 1, "20", (11, "220"))
    state.exec_cursor = 8
    filled(built, Side.SELL, 11, "20", (0, "0"))
    assert state.spent == {"7": D(420)}
    filled(built, Side.SELL, 2, "20", (-2, "-40"))
    filled(built, Side.BUY, 5, "30", (3, "90"))
    assert state.spent == {"7": D(420), "8": D(40 + 90)}


def test_the_order_keeps_its_average_and_its_fees(built: Desk) -> None:
    order = built.order
    order.cum_qty, order.avg_px, order.fees = D(10), D(20), D(3)
    filled(built, Side.BUY, 30, "24", (30, "720"), cl_ord_id=order.cl_ord_id)
    assert (order.avg_px, order.fees) == (23, 4)


def test_a_new_position_is_described_by_the_intent_that_opened_it(built: Desk) -> None:
    order = built.order
    held = filled(built, Side.BUY, 10, "20", (10, "200"), cl_ord_id=order.cl_ord_id)
    intent = built.state.intents[order.cl_ord_id]
    asked = {leg.leg: leg for leg in intent.request.legs}
    assert (held.signal_id, held.decision_px) == (intent.signal_id, intent.decision_px)
    assert (held.max_hold_bars, held.flat_policy) == (intent.max_hold_bars, intent.flat_policy)
    assert held.initial_stop_px == asked[Leg.STOP].stop_px is not None
    assert held.target_px == asked[Leg.TARGET].limit_px is not None


def test_the_net_follows_its_only_holder_and_adds_up_several(built: Desk) -> None:
    state = built.state
    filled(built, Side.BUY, 10, "20", (10, "200.01"))
    assert (state.net["AAA"].qty, state.net["AAA"].cost) == (10, D("200.01")), "as the event has it"
    other = Position(strategy_id="test-2", symbol="AAA", qty=D(-4), cost=D(-80))
    state.positions[position_key("test-2", "AAA")] = other
    state.net["AAA"] = NetPosition(qty=D(6), cost=D("120.01"))
    filled(built, Side.BUY, 2, "30", (12, "260.01"), net_realized_pnl=D(5), realized_pnl=D(0))
    assert (state.net["AAA"].qty, state.net["AAA"].cost) == (8, D("180.01"))
    assert (state.day.realized_pnl, state.day.net_realized_pnl) == (0, 5)


def test_less_than_one_share_is_held_and_closed_like_any_other(built: Desk) -> None:
    for side in (Side.BUY, Side.SELL):
        built.state.positions.clear()
        built.state.net.clear()
        half = D("0.5") * side.sign
        filled(built, side, 1, "20", (0, "0"), last_qty=D("0.5"), position_qty=half, position_cost=half * 20)
        held = filled(built, side, 1, "22", (0, "0"), position_qty=3 * half, position_cost=half * 64)
        assert (held.entry_qty, held.entry_value, held.exit_qty) == (D("1.5"), 32, 0), "what adds closes nothing"
        held = filled(built, side.opposite, 1, "24", (0, "0"), position_qty=half, position_cost=half * 20)
        held = filled(
            built, side.opposite, 1, "24", (0, "0"), last_qty=D("0.25"), position_qty=half / 2, position_cost=half * 10
        )
        assert (held.entry_qty, held.exit_qty, held.exit_value) == (D("1.5"), D("1.25"), 30)


# --- taken back --------------------------------------------------------------------------------------------------


def reversed_(built: Desk, side: Side, qty: int, px: str, **changes: Any) -> None:
    base: dict[str, Any] = {
        "at": built.world.at(),
        "exec_id": "b-1",
        "ref_exec_id": "x-0",
        "cl_ord_id": "nobody",
        "strategy_id": OWNER,
        "symbol": "AAA",
        "side": side,
        "last_qty": D(qty),
        "last_px": D(px),
        "fee": D(1),
    }
    apply(built.state, FillReversed(**(base | changes)))


def test_what_is_taken_back_returns_at_its_own_price(built: Desk) -> None:
    filled(built, Side.BUY, 10, "20", (10, "200"))
    held = filled(built, Side.BUY, 5, "22", (15, "310"))
    reversed_(built, Side.BUY, 5, "22", ref_exec_id="x-1")
    assert (held.qty, held.cost, held.fees, built.state.day.fees) == (10, 200, 1, 1)
    assert (built.state.net["AAA"].qty, built.state.net["AAA"].cost) == (10, 200)
    assert built.state.reversed_ids == {"x-1": "b-1"}
    assert built.state.day.realized_pnl == 0


def test_where_nothing_is_left_held_the_rest_of_its_cost_is_what_the_others_made(built: Desk) -> None:
    state = built.state
    filled(built, Side.BUY, 10, "20", (10, "200"))
    filled(built, Side.BUY, 5, "22", (15, "310"))
    filled(built, Side.SELL, 5, "26", (10, "206.67"), realized_pnl=D("26.67"), net_realized_pnl=D("26.67"))
    before = state.day.realized_pnl, state.day.net_realized_pnl
    held = state.positions[position_key(OWNER, "AAA")]
    reversed_(built, Side.BUY, 10, "20")
    # 206.67 less 200: with the first buy gone, the fill at 22 was sold at 26, and 6.67 too much had been counted.
    assert (state.day.realized_pnl, state.day.net_realized_pnl) == (before[0] - D("6.67"), before[1] - D("6.67"))
    assert (held.qty, held.cost) == (0, 0)
    assert position_key(OWNER, "AAA") not in state.positions


def test_what_is_taken_back_from_nobody_is_held_the_other_way(built: Desk) -> None:
    reversed_(built, Side.SELL, 5, "22")
    held = built.state.positions[position_key(OWNER, "AAA")]
    assert (held.qty, held.cost) == (5, 110)


def abroad(built: Desk, rate: int | None) -> None:
    """AAA is quoted in euros; one is worth `rate`, or nobody has told."""
    day = built.state.day
    day.instruments["AAA"] = msgspec.structs.replace(day.instruments["AAA"], currency="EUR")
    if rate is not None:
        built.state.marks["EURUSD"] = Mark(symbol="EURUSD", px=D(rate), at=built.world.at())


@pytest.mark.parametrize(("rate", "counts"), [(2, 2), (None, 1)])
def test_what_is_left_over_counts_in_the_accounts_money(built: Desk, rate: int | None, counts: int) -> None:
    abroad(built, rate)
    filled(built, Side.BUY, 10, "20", (10, "200"))
    held = filled(built, Side.SELL, 5, "26", (5, "106"))
    day = built.state.day
    before = day.realized_pnl, day.net_realized_pnl
    reversed_(built, Side.BUY, 5, "20")
    assert (day.realized_pnl, day.net_realized_pnl) == (before[0] - 6 * counts, before[1] - 6 * counts)
    assert held.realized_pnl == -6 * counts


def test_an_instrument_that_is_not_of_this_session_counts_as_the_accounts_own(built: Desk) -> None:
    del built.state.day.instruments["AAA"]
    filled(built, Side.BUY, 10, "20", (10, "200"))
    reversed_(built, Side.BUY, 10, "19")
    assert built.state.day.realized_pnl == -10


def test_while_anything_is_held_nothing_is_realized_by_it_neither_by_the_owner_nor_in_the_net(built: Desk) -> None:
    filled(built, Side.BUY, 10, "20", (10, "200"))
    other = Position(strategy_id="test-2", symbol="AAA", qty=D(4), cost=D(90))
    built.state.positions[position_key("test-2", "AAA")] = other
    built.state.net["AAA"] = NetPosition(qty=D(14), cost=D(290))
    reversed_(built, Side.BUY, 10, "19")
    assert (built.state.day.realized_pnl, built.state.day.net_realized_pnl) == (-10, 0)
    assert (built.state.net["AAA"].qty, built.state.net["AAA"].cost) == (4, 100)


# --- round trips, and parts that cancel out ------------------------------------------------------------------------


def closed(built: Desk, owner: str = OWNER) -> None:
    at = built.world.at()
    numbers = dict.fromkeys(("qty", "entry_px", "exit_px", "gross_pnl", "fees", "net_pnl", "decision_px"), D(1))
    words = {"trade_id": "t", "exit_reason": "", "signal_id": "", "strategy_id": owner, "symbol": "AAA"}
    times = {"at": at, "opened_at": at, "closed_at": at}
    told = {"side": Side.BUY, "exit_leg": Leg.EXIT, "bars_held": 1}
    apply(built.state, TradeClosed(**(numbers | words | times | told)))


def test_a_round_trip_counts_once_for_the_day_and_for_its_run(built: Desk) -> None:
    day = built.state.day
    closed(built)
    assert (day.trades, day.runs[OWNER].trades) == (1, 1)
    closed(built, "EXTERNAL")
    assert (day.trades, day.runs[OWNER].trades) == (2, 1), "nobody's run"


def test_the_end_of_a_round_trip_takes_a_flat_position_out_of_the_book_and_no_other(built: Desk) -> None:
    filled(built, Side.BUY, 10, "20", (10, "200"))
    closed(built)
    assert position_key(OWNER, "AAA") in built.state.positions, "it was turned around: another began"
    filled(built, Side.SELL, 10, "21", (0, "0"))
    assert position_key(OWNER, "AAA") in built.state.positions, "its numbers are still to be told"
    closed(built)
    assert position_key(OWNER, "AAA") not in built.state.positions


def test_parts_that_cancel_out_are_closed_at_one_price_each_with_what_it_made(built: Desk) -> None:
    state = built.state
    longs = Position(strategy_id=OWNER, symbol="AAA", qty=D(10), cost=D(200), realized_pnl=D(3), exit_qty=D(1))
    shorts = Position(strategy_id="test-2", symbol="AAA", qty=D(-10), cost=D(-230), exit_value=D(4))
    for part in (longs, shorts):
        state.positions[position_key(part.strategy_id, "AAA")] = part
    apply(
        state,
        PositionsOffset(
            at=built.world.at(),
            symbol="AAA",
            px=D(21),
            conversion_rate=D(2),
            strategy_ids=("gone", OWNER, "test-2"),
            reason="",
        ),
    )
    assert (longs.qty, longs.cost, longs.realized_pnl, longs.exit_qty, longs.exit_value) == (0, 0, 23, 11, 210)
    assert (shorts.qty, shorts.cost, shorts.realized_pnl, shorts.exit_qty, shorts.exit_value) == (0, 0, 40, 10, 214)
    assert state.day.realized_pnl == 60


# --- repairs -----------------------------------------------------------------------------------------------------


def repaired(built: Desk, kind: BreakKind, **changes: Any) -> None:
    base: dict[str, Any] = {
        "at": built.world.at(),
        "break_id": "b",
        "kind": kind,
        "symbol": "AAA",
        "before": "0",
        "after": "5",
        "cause": "",
        "authority": "broker",
        "strategy_id": OWNER,
        "qty": "",
        "avg_px": "",
    }
    apply(built.state, RepairApplied(**(base | changes)))


def test_a_position_becomes_the_brokers_and_what_was_unproven_in_it_is_settled(built: Desk) -> None:
    state = built.state
    state.unproven = {built.order.cl_ord_id: D(30)}
    repaired(built, BreakKind.AVG_PX, qty="10", avg_px="21")
    assert state.unproven, "an average price says nothing of fills"
    repaired(built, BreakKind.POSITION_QTY, qty="12", avg_px="21")
    held = state.positions[position_key(OWNER, "AAA")]
    assert (held.qty, held.cost, held.flat_policy) == (12, 252, "carry")
    assert (state.net["AAA"].qty, state.net["AAA"].cost) == (12, 252)
    assert state.unproven == {}
    assert state.day.repaired_cost == 252
    state.unproven = {built.order.cl_ord_id: D(30)}
    repaired(built, BreakKind.POSITION_QTY, symbol="BBB", qty="1", avg_px="5")
    assert state.unproven, "that of another symbol stands"


def test_realized_money_follows_the_broker_and_no_cash_has_moved(built: Desk) -> None:
    state = built.state
    state.day.net_realized_pnl = D(3)
    repaired(built, BreakKind.REALIZED_PNL, before="3", after="5")
    assert (state.day.net_realized_pnl, state.day.repaired_cost) == (5, -2)


@pytest.mark.parametrize(("kind", "qty"), [(BreakKind.ORDER_QTY, "10"), (BreakKind.POSITION_QTY, "")])
def test_other_repairs_and_those_that_were_explained_move_no_position(built: Desk, kind: BreakKind, qty: str) -> None:
    repaired(built, kind, qty=qty, avg_px="21" if qty else "")
    assert position_key(OWNER, "AAA") not in built.state.positions


def test_a_repair_settles_its_break(built: Desk) -> None:
    found = {"at": built.world.at(), "kind": BreakKind.CASH, "severity": Priority.P1, "symbol": ""}
    told = {"before": "1", "after": "2", "cause": "", "authority": "broker"}
    for name in ("b", "c"):
        built.state.reconciliation.unresolved[name] = BreakFound(break_id=name, **found, **told)
    repaired(built, BreakKind.CASH)
    assert set(built.state.reconciliation.unresolved) == {"c"}


@pytest.mark.parametrize("margin", [None, "1", "0.5"])
def test_only_what_was_paid_in_full_restates_what_cash_is_worth(built: Desk, margin: str | None) -> None:
    day = built.state.day
    if margin is None:
        del day.instruments["AAA"]
    else:
        rate = ONE if margin == "1" else D(margin)
        day.instruments["AAA"] = msgspec.structs.replace(day.instruments["AAA"], margin_rate=rate)
    repaired(built, BreakKind.POSITION_QTY, qty="10", avg_px="21")
    assert day.repaired_cost == (210 if margin == "1" else 0)
    repaired(built, BreakKind.POSITION_QTY, qty="10", avg_px="22")
    assert day.repaired_cost == (220 if margin == "1" else 0), "what it cost before is counted already"
