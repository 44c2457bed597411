"""Executions taken back or corrected: report, position, cash, fees, legs; and what cannot be taken back."""

from decimal import Decimal as D
from pathlib import Path

import pytest

from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.instruments import forex_pair
from qmworkbench.domain.orders import OrdStatus, TimeInForce
from qmworkbench.venue.costs import IBKR_FIXED
from qmworkbench.venue.exchange import VenueError
from tests.venue.worlds import World, bracket, terms

DAY = TimeInForce.DAY
FLAT = (100, 100, 100, 100)
CAPPED = terms(participation=D("0.1"), fees=IBKR_FIXED)


def fills(world: World, name: str) -> list[ExecutionReport]:
    return [said for said in world.said(name) if said.exec_type is ExecType.TRADE]


@pytest.fixture
def world() -> World:
    world = World(model=terms(fees=IBKR_FIXED))
    world.bars(FLAT)
    return world


class TestBust:
    def test_everything_goes_back(self, world: World) -> None:
        before = world.exchange.account()
        world.buy("in", 100)
        world.bars(FLAT)
        (fill,) = fills(world, "in")
        world.exchange.bust(fill.exec_id)
        said = world.said()[-1]
        assert (said.exec_type, said.ref_exec_id, said.cl_ord_id) == (ExecType.TRADE_CANCEL, fill.exec_id, "in")
        assert (said.last_qty, said.last_px, said.fee, said.cum_qty) == (D(100), D(100), D(1), D(0))
        assert said.ord_status is OrdStatus.FILLED  # what has ended does not work again
        after = world.exchange.account()
        assert (after.cash, after.equity, after.fees, after.realized_pnl) == (before.cash, before.cash, D(0), D(0))
        assert world.exchange.positions() == []

    def test_it_is_a_line_of_the_statement(self, world: World) -> None:
        world.buy("in", 100)
        world.bars(FLAT)
        world.exchange.bust(fills(world, "in")[0].exec_id)
        trade, back = world.exchange.statement()
        assert (back.what, back.fee, back.cash_delta) == ("trade_cancel", D(-1), D(10_001))
        assert trade.cash_delta + back.cash_delta == 0

    def test_an_exit_taken_back_leaves_the_position_and_no_order(self, world: World) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95, target=110))
        world.bars(FLAT, (94, 94, 94, 94))
        assert world.qty() == 0
        world.exchange.bust(fills(world, "in/stop")[0].exec_id)
        account = world.exchange.account()
        assert (world.qty(), world.exchange.open_orders()) == (D(100), [])
        # Bought for 10,000 and a dollar; what the sale had realized is on record, and its cost is the sale's price.
        assert (account.cash, account.equity) == (D(1_000_000 - 10_001), D(1_000_000 - 10_001 + 9_400))
        assert account.realized_pnl == D(-600)
        assert world.exchange.positions()[0].avg_px == D(94)

    def test_what_is_left_of_the_cost_of_a_flat_position_is_realized(self, world: World) -> None:
        world.buy("one", 100)
        world.bars(FLAT)
        world.buy("two", 100)
        world.bars((120, 120, 120, 120))
        world.close_long("out", 100)
        world.bars((130, 130, 130, 130))
        assert world.exchange.account().realized_pnl == D(2000)  # at 110 on average
        world.exchange.bust(fills(world, "one")[0].exec_id)
        account = world.exchange.account()
        assert (world.qty(), account.realized_pnl) == (D(0), D(1000))  # 120 to 130
        assert account.equity == account.cash == D(1_000_000 + 1000) - account.fees

    def test_of_a_pair_on_margin(self) -> None:
        world = World(instruments=[forex_pair("EURUSD")], model=terms())
        world.bars((1.2, 1.2, 1.2, 1.2), symbol="EURUSD")
        world.buy("one", 1000, symbol="EURUSD")
        world.bars((1.2, 1.2, 1.2, 1.2), symbol="EURUSD")
        world.buy("two", 1000, symbol="EURUSD")
        world.bars((1.4, 1.4, 1.4, 1.4), symbol="EURUSD")
        world.close_long("out", 1000, symbol="EURUSD")
        world.bars((1.5, 1.5, 1.5, 1.5), symbol="EURUSD")
        world.exchange.bust(fills(world, "one")[0].exec_id)
        account = world.exchange.account()
        assert (world.qty("EURUSD"), account.realized_pnl) == (D(0), D(100))
        assert account.equity == account.cash == D(1_000_100)

    def test_the_legs_of_an_entry_follow(self) -> None:
        world = World(model=CAPPED)
        world.bars(FLAT)
        world.buy("in", 100, tif=DAY, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100, 400), (101, 101, 101, 101, 300))
        first, second = fills(world, "in")
        world.exchange.bust(first.exec_id)
        assert world.exchange.order("in/stop")[0].leaves_qty == D(30)  # type: ignore[union-attr]
        entry = world.exchange.order("in")[0]
        assert entry is not None
        assert (entry.ord_status, entry.leaves_qty) == (OrdStatus.PARTIALLY_FILLED, D(70))
        world.exchange.bust(second.exec_id)
        # Nothing works on without its exits.
        assert (world.exchange.open_orders(), world.qty()) == ([], D(0))
        assert world.why("in") == world.why("in/stop") == "trade_busted"

    def test_the_quantity_works_again(self) -> None:
        world = World(model=CAPPED)
        world.bars(FLAT)
        world.buy("in", 100, tif=DAY)
        world.bars((100, 100, 100, 100, 400))
        world.exchange.bust(fills(world, "in")[0].exec_id)
        assert world.exchange.order("in")[0].ord_status is OrdStatus.ACCEPTED  # type: ignore[union-attr]
        world.bars((101, 101, 101, 101, 1e6))
        assert (world.qty(), world.exchange.order("in")[0].avg_px) == (D(100), D(101))  # type: ignore[union-attr]

    def test_under_a_later_id(self) -> None:
        world = World(model=CAPPED)
        world.bars(FLAT)
        world.buy("in", 100, tif=DAY)
        world.bars((100, 100, 100, 100, 400))
        (fill,) = fills(world, "in")
        world.replace("in2", "in", 90)
        world.exchange.bust(fill.exec_id)
        assert (world.said()[-1].cl_ord_id, world.said()[-1].order_qty) == ("in2", D(90))

    def test_not_twice_and_not_what_never_was(self, world: World) -> None:
        world.buy("in", 100)
        world.bars(FLAT)
        (fill,) = fills(world, "in")
        world.exchange.bust(fill.exec_id)
        before = (world.said(), world.exchange.account())
        for exec_id in (fill.exec_id, "never", world.said("in")[0].exec_id):
            with pytest.raises(VenueError, match=f"{exec_id} is no execution that could be taken back"):
                world.exchange.bust(exec_id)
        assert (world.said(), world.exchange.account()) == before

    def test_over_a_restart(self, tmp_path: Path) -> None:
        world = World(path=tmp_path / "venue.db")
        world.bars(FLAT)
        world.buy("in", 100)
        world.bars(FLAT)
        world.restart()
        world.exchange.bust(fills(world, "in")[0].exec_id)
        world.restart()
        assert (world.qty(), world.exchange.account().cash) == (D(0), D(1_000_000))
        with pytest.raises(VenueError, match="could be taken back"):
            world.exchange.bust(fills(world, "in")[0].exec_id)
        world.exchange.close()


class TestCorrection:
    def test_of_the_price(self, world: World) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95))
        world.bars(FLAT)
        new_id = world.exchange.correct(fills(world, "in")[0].exec_id, px=D("100.50"))
        cancel, trade = world.said()[-2:]
        assert (cancel.exec_type, trade.exec_type, trade.exec_id) == (ExecType.TRADE_CANCEL, ExecType.TRADE, new_id)
        assert (trade.last_px, trade.last_qty, trade.cum_qty, trade.avg_px) == (
            D("100.50"),
            D(100),
            D(100),
            D("100.50"),
        )
        assert world.exchange.account().cash == D(1_000_000 - 10_051)
        assert world.exchange.order("in/stop")[0].leaves_qty == D(100)  # type: ignore[union-attr]

    @pytest.mark.parametrize("qty", [60, 140])
    def test_of_the_quantity(self, world: World, qty: int) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95))
        world.bars(FLAT)
        world.exchange.correct(fills(world, "in")[0].exec_id, qty=D(qty))
        assert world.qty() == world.exchange.order("in/stop")[0].leaves_qty == D(qty)  # type: ignore[union-attr]
        assert world.exchange.order("in")[0].ord_status is OrdStatus.FILLED  # type: ignore[union-attr]
        world.bars((95, 95, 95, 95))
        assert world.qty() == 0

    @pytest.mark.parametrize("wrong", [{"px": D(0)}, {"qty": D(-1)}, {"px": D("NaN")}])
    def test_to_what_is_no_trade(self, world: World, wrong: dict[str, D]) -> None:
        world.buy("in", 100)
        world.bars(FLAT)
        before = world.said()
        with pytest.raises(VenueError, match="is no trade; give one above 0, or bust it"):
            world.exchange.correct(fills(world, "in")[0].exec_id, **wrong)
        assert world.said() == before
