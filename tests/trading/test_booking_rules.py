"""What one execution puts on record: position, money, slippage, and the round trip it ends (§13, §17)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain.events.orders import FillRecorded, PositionsOffset, TradeClosed
from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import Leg, Order, Side
from qmworkbench.domain.positions import NetPosition, Position
from qmworkbench.trading import holdings
from qmworkbench.trading.booking import book_fill, book_offset
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import EXTERNAL
from tests.trading.oms_cases import D, Desk, desk

OWNER = "test-1"


def holding(qty: int, cost: str, *, net: tuple[int, str] | None = None, **changes: Any) -> Desk:
    """The owner holds this of AAA; `net` is what the broker's books have of it, the same where not given."""
    built = desk()
    fields = {"strategy_id": OWNER, "symbol": "AAA", "qty": D(qty), "cost": D(cost)}
    holdings.hold(built.state, Position(**(fields | changes)))
    their_qty, their_cost = net or (qty, cost)
    built.state.net["AAA"] = NetPosition(qty=D(their_qty), cost=D(their_cost))
    return built


def booked(
    built: Desk, side: Side, qty: int, px: str, order: Order | None = None, *, owner: str = OWNER, **changes: Any
) -> tuple[bool, FillRecorded, TradeClosed | None]:
    """Whether the fill only opened, what it put on record, and the round trip it ended."""
    decision = Decision(built.state, built.world.at())
    told = {"side": side, "last_qty": D(qty), "last_px": D(px), "fee": D(3)} | changes
    adopted = bool(told.pop("adopted", False))
    opened = book_fill(decision, owner, built.report(ExecType.TRADE, **told), order, adopted=adopted)
    fill, *rest = decision.events
    assert isinstance(fill, FillRecorded)
    assert len(rest) <= 1
    trade = rest[0] if rest else None
    assert trade is None or isinstance(trade, TradeClosed)
    return opened, fill, trade


def test_an_opening_fill_is_a_position_and_no_trade() -> None:
    built = desk()
    opened, fill, trade = booked(built, Side.BUY, 10, "20.5")
    assert (opened, trade) == (True, None)
    assert (fill.position_qty, fill.position_cost, fill.realized_pnl, fill.net_realized_pnl) == (10, 205, 0, None)
    assert (fill.fee, fill.strategy_id, fill.adopted) == (3, OWNER, False)
    assert booked(built, Side.BUY, 5, "21")[:1] == (True,), "more of it only opens too"


@pytest.mark.parametrize(("qty", "ends"), [(9, False), (10, True), (11, True)])
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_round_trip_ends_with_the_last_share(side: Side, qty: int, ends: bool) -> None:
    built = holding(10 * side.sign, str(200 * side.sign))
    opened, fill, trade = booked(built, side.opposite, qty, "22")
    assert (opened, trade is not None) == (False, ends)
    assert fill.realized_pnl == 2 * min(qty, 10) * side.sign
    if trade is not None:
        assert (trade.side, trade.qty) == (side, 10)


def test_money_is_told_in_the_accounts_currency() -> None:
    built = holding(10, "200", realized_pnl=D(4), initial_stop_px=D(15), entry_qty=D(10), entry_value=D(200))
    _, fill, trade = booked(built, Side.SELL, 10, "22", conversion_rate=D(2))
    assert (fill.realized_pnl, fill.conversion_rate) == (40, 2)
    assert trade is not None
    # 44 made, 3 paid; 5 a share were at risk on 10 shares, at 2 for one.
    assert (trade.gross_pnl, trade.fees, trade.net_pnl, trade.r_multiple) == (44, 3, 41, D("0.41"))


@pytest.mark.parametrize(
    ("net", "realized"),
    [
        ((10, "200"), None),
        ((10, "210"), 10),
        ((15, "300"), None),
        ((4, "60"), 28),
        ((-5, "-100"), 0),
    ],
)
def test_what_the_net_realizes_is_told_where_it_is_another_figure(net: tuple[int, str], realized: int | None) -> None:
    _, fill, _ = booked(holding(10, "200", net=net), Side.SELL, 10, "22")
    assert fill.realized_pnl == 20
    assert fill.net_realized_pnl == realized
    _, twice, _ = booked(holding(10, "200", net=net), Side.SELL, 10, "22", conversion_rate=D(2))
    assert twice.net_realized_pnl == (None if realized is None else 2 * realized)


def test_where_the_broker_nets_to_nothing_a_closing_fill_realizes_nothing_there() -> None:
    built = holding(10, "200")
    built.state.net.clear()
    assert booked(built, Side.SELL, 10, "22")[1].net_realized_pnl == 0


@pytest.mark.parametrize(
    ("side", "px", "bps"), [(Side.BUY, "20.03", "15.0"), (Side.BUY, "19.98", "-10.0"), (Side.SELL, "19.98", "10.0")]
)
def test_slippage_is_how_much_worse_than_decided_it_was(side: Side, px: str, bps: str) -> None:
    built = desk()
    built.order.decision_px = D(20)
    assert booked(built, side, 10, px, built.order)[1].slippage_bps == D(bps)
    built.order.decision_px = D("0.5")
    assert booked(built, Side.BUY, 10, "0.5", built.order)[1].slippage_bps == 0
    for none in (D(0), D(-1)):
        built.order.decision_px = none
        assert booked(built, side, 10, px, built.order)[1].slippage_bps is None
    assert booked(built, side, 10, px)[1].slippage_bps is None


@pytest.mark.parametrize(
    ("owner", "adopted", "told"), [(OWNER, False, False), (OWNER, True, True), (EXTERNAL, False, True)]
)
def test_what_nobody_here_ordered_is_told_so(owner: str, adopted: bool, told: bool) -> None:
    assert booked(desk(), Side.BUY, 10, "20", owner=owner, adopted=adopted)[1].adopted is told


# --- the round trip --------------------------------------------------------------------------------------------------

BOUGHT = {
    "entry_qty": D(30),
    "entry_value": D(600),
    "exit_qty": D(20),
    "exit_value": D(440),
    "realized_pnl": D(40),
    "fees": D(2),
    "initial_stop_px": D(19),
    "target_px": D(25),
    "decision_px": D("19.9"),
    "signal_id": "signal",
    "bars_held": 7,
    "entry_order": "first",
}


def test_a_round_trip_tells_averages_of_all_its_fills() -> None:
    built = holding(10, "200", **BOUGHT, opened_at=None)
    _, fill, trade = booked(built, Side.SELL, 10, "25")
    assert trade is not None
    assert (trade.qty, trade.entry_px, trade.exit_px) == (30, 20, 23)
    assert (trade.gross_pnl, trade.fees, trade.net_pnl) == (90, 5, 85)
    assert trade.r_multiple == D("2.83"), "85 for 1 a share at risk on 30"
    assert (trade.opened_at, trade.closed_at) == (fill.transact_time, fill.transact_time)
    assert (trade.signal_id, trade.decision_px, trade.bars_held) == ("signal", D("19.9"), 7)
    assert (trade.initial_stop_px, trade.target_px) == (19, 25)
    began = built.world.at() - timedelta(hours=1)
    known = booked(holding(10, "200", **BOUGHT, opened_at=began), Side.SELL, 10, "25")[2]
    assert known is not None
    assert known.opened_at == began


@pytest.mark.parametrize(
    ("changes", "r"),
    [
        ({"initial_stop_px": None}, None),
        ({"initial_stop_px": D(20)}, None),
        ({"initial_stop_px": D(21)}, "2.83"),
        ({"entry_qty": D(0)}, None),
    ],
    ids=str,
)
def test_without_anything_at_risk_there_is_no_multiple_of_it(changes: dict[str, Any], r: str | None) -> None:
    trade = booked(holding(10, "200", **(BOUGHT | changes)), Side.SELL, 10, "25")[2]
    assert trade is not None
    assert trade.r_multiple == (None if r is None else D(r))
    if not changes.get("entry_qty", 1):
        assert trade.entry_px == 20, "what it is carried at, where no entry is on record"


def test_a_fill_that_turns_a_position_pays_for_the_part_that_closed() -> None:
    trade = booked(holding(10, "200"), Side.SELL, 40, "22", fee=D(8))[2]
    assert trade is not None
    assert (trade.fees, trade.qty) == (2, 10)


@pytest.mark.parametrize(
    ("leg", "changes", "wanted", "said"),
    [
        (Leg.STOP, {}, "", "stop"),
        (Leg.STOP, {"trail_bps": 50}, "", "trailing stop"),
        (Leg.TARGET, {}, "", "target"),
        (Leg.CLOSE, {}, "", "flat at the close"),
        (Leg.EXIT, {"reason": "its own"}, "wish", "its own"),
        (Leg.EXIT, {"reason": ""}, "wish", "wish"),
        (Leg.EXIT, {"reason": ""}, "", "closed outside"),
        (None, {}, "wish", "wish"),
        (None, {}, "", "closed outside"),
    ],
)
def test_why_it_ended(leg: Leg | None, changes: dict[str, Any], wanted: str, said: str) -> None:
    built = holding(10, "200", exit_wanted=wanted)
    order = None if leg is None else built.order
    if order is not None and leg is not None:
        order.leg = leg
        for name, value in changes.items():
            setattr(order, name, value)
    trade = booked(built, Side.SELL, 10, "22", order)[2]
    assert trade is not None
    assert (trade.exit_reason, trade.exit_leg) == (said, leg or Leg.EXIT)


def test_parts_that_cancel_out_are_trades_of_their_own_at_one_price() -> None:
    built = holding(10, "200", entry_qty=D(10), entry_value=D(200), fees=D(1))
    other = Position(strategy_id="test-2", symbol="AAA", qty=D(-10), cost=D(-230), entry_qty=D(10), entry_value=D(230))
    holdings.hold(built.state, other)
    parts = built.state.holders("AAA")
    decision = Decision(built.state, built.world.at())
    book_offset(decision, "AAA", parts, D(21), D(2), "against each other")
    offset, first, second = decision.events
    assert isinstance(offset, PositionsOffset)
    assert (offset.px, offset.conversion_rate, offset.strategy_ids) == (21, 2, (OWNER, "test-2"))
    figures: list[tuple[str, Side, Decimal, Decimal, Decimal, Decimal]] = []
    for trade in (first, second):
        assert isinstance(trade, TradeClosed)
        assert (trade.exit_px, trade.exit_leg, trade.exit_reason) == (21, Leg.LIQUIDATE, "against each other")
        figures.append((trade.strategy_id, trade.side, trade.qty, trade.gross_pnl, trade.fees, trade.net_pnl))
    assert figures == [(OWNER, Side.BUY, 10, 20, 1, 19), ("test-2", Side.SELL, 10, 40, 0, 40)]
    assert built.state.holders("AAA") == []


def test_a_fill_at_twice_the_price_slipped_by_the_whole_of_it_and_was_ours_unless_said_otherwise() -> None:
    built = desk()
    built.order.decision_px = D(20)
    decision = Decision(built.state, built.world.at())
    report = built.report(ExecType.TRADE, last_qty=D(10), last_px=D(40))
    book_fill(decision, OWNER, report, built.order)
    (fill,) = decision.events
    assert isinstance(fill, FillRecorded)
    assert (fill.slippage_bps, fill.adopted) == (10_000, False)
