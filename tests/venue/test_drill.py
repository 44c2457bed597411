"""Breaks planted on purpose: each is visible exactly as a real one would be, and is on record."""

import sqlite3
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import OrdStatus, Side, TimeInForce
from qmworkbench.venue.drill import ForeignFill, OverFill
from qmworkbench.venue.records import VenueError
from tests.venue.worlds import World, bracket


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(path=tmp_path / "venue.db", cash="100000")
    world.bars((100, 100, 100, 100))
    world.buy("in", 100, legs=bracket("in", stop=95))
    world.bars((100, 100, 100, 100))
    return world


def test_a_position_changes_without_execution_or_cash(world: World) -> None:
    said, cash = world.said(), world.exchange.account().cash
    world.exchange.plant_break("AAA", qty_delta=D(-30))
    (held,) = world.exchange.positions()
    assert (held.qty, held.avg_px) == (D(70), D(100))
    assert (world.said(), world.exchange.account().cash) == (said, cash)


def test_a_position_from_nothing(world: World) -> None:
    world.feed({"BBB": (50, 50, 50, 50)})
    world.exchange.plant_break("BBB", qty_delta=D(10))
    assert world.qty("BBB") == 10


def test_legs_never_close_more_than_what_a_planted_change_left(world: World) -> None:
    world.exchange.plant_break("AAA", qty_delta=D(-30))
    world.bars((94, 94, 94, 94))
    assert world.fills()[-1] == (2, "-70", "94")
    assert world.qty() == 0


def test_an_order_nobody_sent_rests(world: World) -> None:
    sent = world.buy("mine", 10, limit=50, tif=TimeInForce.DAY)
    foreign = msgspec.structs.replace(sent, cl_ord_id="foreign", order_qty=D(7))
    world.exchange.plant_break("AAA", order=foreign)
    assert [(o.cl_ord_id, o.leaves_qty) for o in world.exchange.open_orders()][-1] == ("foreign", D(7))
    assert world.said("foreign")[0].exec_type is ExecType.NEW


def test_an_execution_we_never_caused(world: World) -> None:
    world.exchange.plant_break("AAA", execution=ForeignFill(cl_ord_id="foreign", side=Side.SELL, qty=D(40), px=D(99)))
    report = world.said("foreign")[-1]
    assert (report.exec_type, report.ord_status, report.last_qty) == (ExecType.TRADE, OrdStatus.FILLED, D(40))
    assert world.qty() == 60
    assert world.exchange.account().cash == D(100000) - 10000 + 3960
    stop, _ = world.exchange.order("in/stop")
    assert stop is not None
    assert stop.leaves_qty == 60


def test_cash_that_came_from_nowhere(world: World) -> None:
    before = world.exchange.account()
    world.exchange.plant_break("AAA", cash_delta=D("-12.34"))
    after = world.exchange.account()
    assert after.cash == before.cash - D("12.34")
    assert (after.realized_pnl, after.cursor) == (before.realized_pnl, before.cursor)


def test_every_plant_is_on_record_and_survives(world: World) -> None:
    world.exchange.plant_break("AAA", qty_delta=D(-30))
    world.exchange.plant_break("AAA", cash_delta=D(5))
    world.restart()
    assert world.qty() == 70
    world.exchange.close()
    db = sqlite3.connect(world.path)
    rows = db.execute("SELECT kind, symbol, detail FROM drills ORDER BY id").fetchall()
    db.close()
    assert rows == [("qty_delta", "AAA", "-30"), ("cash_delta", "AAA", "5")]


@pytest.mark.parametrize("given", [{}, {"qty_delta": D(1), "cash_delta": D(1)}])
def test_exactly_one_break_at_a_time(world: World, given: dict[str, D]) -> None:
    kinds = "qty_delta, order, execution, overfill, vanished, cash_delta"
    with pytest.raises(VenueError, match=f"give exactly one of {kinds}"):
        world.exchange.plant_break("AAA", **given)  # type: ignore[arg-type]


def test_an_unknown_symbol_is_refused(world: World) -> None:
    with pytest.raises(VenueError, match="'ZZZ' is not traded here"):
        world.exchange.plant_break("ZZZ", qty_delta=D(1))


def test_ids_stay_unique_in_a_drill_too(world: World) -> None:
    with pytest.raises(VenueError, match="new id"):
        world.exchange.plant_break("AAA", execution=ForeignFill(cl_ord_id="in", side=Side.BUY, qty=D(1), px=D(1)))
    request = world.buy("mine", 10, limit=50, tif=TimeInForce.DAY)
    with pytest.raises(VenueError, match="new id"):
        world.exchange.plant_break("AAA", order=request)


class TestOverfill:
    def test_of_an_order_that_has_filled(self, world: World) -> None:
        world.exchange.plant_break("AAA", overfill=OverFill(cl_ord_id="in", qty=D(7)))
        fill = world.said("in")[-1]
        assert (fill.exec_type, fill.last_qty, fill.cum_qty, fill.order_qty) == (ExecType.TRADE, D(7), D(107), D(100))
        assert fill.ord_status is OrdStatus.FILLED
        assert world.qty() == world.exchange.order("in/stop")[0].leaves_qty == D(107)  # type: ignore[union-attr]
        assert world.exchange.account().cash == D(100_000 - 10_700)

    def test_of_an_exit_it_turns_the_position_around(self, world: World) -> None:
        world.bars((95, 95, 95, 95))
        world.exchange.plant_break("AAA", overfill=OverFill(cl_ord_id="in/stop", qty=D(7)))
        assert (world.qty(), world.exchange.open_orders()) == (D(-7), [])

    @pytest.mark.parametrize(
        ("name", "qty", "why"),
        [("never", D(1), "names no order"), ("in/stop", D(1), "names no order"), ("in", D(0), "an over-fill of 0")],
    )
    def test_of_what_cannot_be(self, world: World, name: str, qty: D, why: str) -> None:
        with pytest.raises(VenueError, match=why):
            world.exchange.plant_break("AAA", overfill=OverFill(cl_ord_id=name, qty=qty))


def test_an_order_that_vanishes_is_gone_without_a_word(world: World) -> None:
    said = world.said()
    (stop,) = world.exchange.open_orders()
    world.exchange.plant_break("AAA", vanished=stop.cl_ord_id)
    assert (world.said(), list(world.exchange.open_orders())) == (said, [])
    found, _ = world.exchange.order(stop.cl_ord_id)
    assert found is not None
    assert found.ord_status is OrdStatus.CANCELED
    world.bars((90, 90, 90, 90))
    assert world.qty() == 100, "nothing protects it any more"
    with pytest.raises(VenueError, match=r"AAA.*names no open order of it"):
        world.exchange.plant_break("AAA", vanished=stop.cl_ord_id)


def test_an_entry_that_vanishes_takes_its_waiting_exits_along(world: World) -> None:
    world.buy("more", 10, limit=50, tif=TimeInForce.DAY, legs=bracket("more", stop=40))
    world.exchange.plant_break("AAA", vanished="more")
    world.bars((45, 45, 45, 45))
    world.bars((39, 39, 39, 39))
    assert [fill for fill in world.fills() if fill[1] in ("10", "-10")] == []
    assert world.exchange.order("more")[0].ord_status is OrdStatus.CANCELED  # type: ignore[union-attr]
