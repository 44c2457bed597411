"""An order goes on otherwise: its report, its ids, its legs, its place; what is refused, and how; over a restart."""

import sqlite3
from contextlib import closing
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from qmworkbench.domain.execution import ExecType, ReplaceRequest
from qmworkbench.domain.orders import OrdStatus, OrdType, TimeInForce
from qmworkbench.venue.costs import ideal
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.orders import OrderRefused
from tests.venue.worlds import OLDER, World, bracket, terms

GTC, DAY = TimeInForce.GTC, TimeInForce.DAY
FLAT = (100, 100, 100, 100)


@pytest.fixture
def world() -> World:
    world = World()
    world.bars(FLAT)
    return world


def ids(world: World) -> list[str]:
    return [order.cl_ord_id for order in world.exchange.open_orders()]


class TestWhatIsSaid:
    def test_the_report_names_both_ids(self, world: World) -> None:
        world.buy("a", 100, limit=99, tif=DAY)
        said = world.replace("b", "a", 60, limit=98)
        assert (said.exec_type, said.cl_ord_id, said.orig_cl_ord_id) == (ExecType.REPLACED, "b", "a")
        assert (said.ord_status, said.order_qty, said.cum_qty, said.reason) == (OrdStatus.ACCEPTED, D(60), D(0), "")
        assert said.order_id == world.said("a")[0].order_id

    def test_both_ids_find_the_order_it_is_now(self, world: World) -> None:
        world.buy("a", 100, limit=99, tif=DAY)
        world.replace("b", "a", 60, limit=98)
        world.replace("c", "b", 50)
        found = [world.exchange.order(name)[0] for name in "abc"]
        assert found[0] == found[1] == found[2] is not None
        assert found[0] is not None
        assert (found[0].cl_ord_id, found[0].orig_cl_ord_id, found[0].leaves_qty) == ("c", "b", D(50))
        assert found[0].limit_px == D(98)
        assert ids(world) == ["c"]

    def test_later_reports_come_under_the_new_id(self, world: World) -> None:
        world.buy("a", 100, limit=99, tif=DAY)
        world.replace("b", "a", 60, limit=98)
        world.bars((98.5, 98.5, 97, 98))
        assert [(said.cl_ord_id, said.exec_type) for said in world.said()][-2:] == [
            ("b", ExecType.REPLACED),
            ("b", ExecType.TRADE),
        ]
        assert world.fills() == [(1, "+60", "98")]
        assert world.exchange.order("a")[0] == world.exchange.order("b")[0]

    def test_a_new_order_id_as_at_alpaca(self) -> None:
        world = World(model=msgspec.structs.replace(ideal(), replace_renames_order=True))
        world.bars(FLAT)
        world.buy("a", 100, limit=99, tif=DAY)
        first = world.said("a")[0].order_id
        named = [world.replace(new, old, 50).order_id for new, old in (("b", "a"), ("c", "b"))]
        assert len({first, *named}) == 3
        assert world.exchange.order("a")[0].order_id == named[-1]  # type: ignore[union-attr]

    def test_a_partly_filled_order_keeps_what_it_has(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars(FLAT)
        world.buy("a", 100, tif=DAY)
        world.bars((100, 100, 100, 100, 400))
        said = world.replace("b", "a", 70)
        assert (said.ord_status, said.order_qty, said.cum_qty) == (OrdStatus.PARTIALLY_FILLED, D(70), D(40))
        world.bars(FLAT)
        assert world.fills() == [(1, "+40", "100"), (2, "+30", "100")]
        assert world.exchange.order("b")[0].ord_status is OrdStatus.FILLED  # type: ignore[union-attr]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("asked", "why"),
        [
            ({"qty": 0}, "bad_qty"),
            ({"qty": "0.5"}, "qty_not_on_lot"),
            ({"qty": "NaN"}, "bad_qty"),
            ({"qty": 40}, "qty_below_filled"),
            ({"qty": 10}, "qty_below_filled"),
            ({"qty": 50, "limit": "99.001"}, "price_not_on_tick"),
            ({"qty": 50, "limit": -1}, "bad_price"),
            ({"qty": 50, "limit": "NaN"}, "bad_price"),
            ({"qty": 50, "stop": 90}, "bad_price"),
            ({"qty": 5_000_000}, "insufficient_buying_power"),
            ({"qty": 50, "new": "a"}, "duplicate_cl_ord_id"),
            ({"qty": 50, "new": "other"}, "duplicate_cl_ord_id"),
            ({"qty": 50, "new": ""}, "bad_cl_ord_id"),
            ({"qty": 50, "new": "é"}, "bad_cl_ord_id"),
        ],
    )
    def test_by_report_and_nothing_changes(self, asked: dict[str, object], why: str) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars(FLAT)
        world.buy("other", 1)
        world.buy("a", 100, limit=100, tif=DAY)
        world.bars((100, 100, 100, 100, 410))
        before = world.exchange.order("a")[0]
        new, qty = str(asked.pop("new", "b")), asked.pop("qty")
        said = world.replace(new, "a", qty, **asked)  # type: ignore[arg-type]
        assert (said.exec_type, said.reason) == (ExecType.REPLACE_REJECTED, why)
        assert (said.cl_ord_id, said.orig_cl_ord_id, said.cum_qty) == (new or "a", "a", D(40))
        assert world.exchange.order("a")[0] == before
        if why not in ("duplicate_cl_ord_id", "bad_cl_ord_id"):
            assert world.exchange.order("b")[0] is None

    def test_one_that_has_ended(self, world: World) -> None:
        world.buy("a", 100, limit=99, tif=DAY)
        world.exchange.cancel("a")
        assert world.replace("b", "a", 50).reason == "already_ended"
        world.buy("m", 100)
        world.bars(FLAT)
        assert world.replace("n", "m", 150).reason == "already_ended"

    def test_an_id_it_no_longer_has(self, world: World) -> None:
        world.buy("a", 100, limit=99, tif=DAY)
        world.replace("b", "a", 90)
        assert world.replace("c", "a", 80).reason == "replaced"
        assert world.exchange.order("b")[0].order_qty == D(90)  # type: ignore[union-attr]

    def test_an_id_nobody_ever_had(self, world: World) -> None:
        with pytest.raises(OrderRefused, match="unknown_order: no order was ever taken as 'never'"):
            world.exchange.replace(ReplaceRequest(cl_ord_id="b", orig_cl_ord_id="never", order_qty=D(1)))
        assert world.said() == []

    def test_while_halted_or_closed(self, world: World) -> None:
        world.buy("a", 100, limit=99, tif=GTC)
        world.exchange.halt("AAA")
        assert world.replace("b", "a", 50).reason == "halted"
        world.exchange.resume("AAA")
        world.end()
        assert world.replace("b", "a", 50).reason == "market_closed"

    def test_a_refused_id_is_still_free(self, world: World) -> None:
        world.buy("a", 100, limit=99, tif=DAY)
        assert world.replace("b", "a", 0).exec_type is ExecType.REPLACE_REJECTED
        assert world.replace("b", "a", 50).exec_type is ExecType.REPLACED

    def test_an_id_is_never_used_again(self, world: World) -> None:
        """alpaca-py #260: not after a cancel, not after a replacement, neither the old nor the new one."""
        world.buy("a", 100, limit=99, tif=DAY)
        world.replace("b", "a", 50)
        world.exchange.cancel("b")
        for name in "ab":
            with pytest.raises(OrderRefused, match="duplicate_cl_ord_id"):
                world.buy(name, 100)

    def test_cancelling_by_an_id_it_no_longer_has(self, world: World) -> None:
        """nautilus_trader #4564: one order, under one id at a time, so that no two of them can be alive."""
        world.buy("a", 100, limit=99, tif=DAY)
        world.replace("b", "a", 50)
        world.exchange.cancel("a")
        said = world.said()[-1]
        assert (said.exec_type, said.cl_ord_id, said.reason) == (ExecType.CANCEL_REJECTED, "a", "replaced")
        assert ids(world) == ["b"]
        world.exchange.cancel("b")
        assert ids(world) == []


class TestItsPlace:
    CAPPED = terms(participation=D("0.1"))

    def first_filled(self, qty: int, **more: object) -> str:
        world = World(model=self.CAPPED)
        world.bars(FLAT)
        world.buy("a", 50, limit=99, tif=DAY)
        world.buy("z", 50, limit=99, tif=DAY)
        world.replace("b", "a", qty, **more)  # type: ignore[arg-type]
        world.bars((99, 99, 99, 99, 300))
        return next(said.cl_ord_id for said in world.said() if said.exec_type is ExecType.TRADE)

    def test_kept_with_less(self) -> None:
        assert self.first_filled(40) == "b"
        assert self.first_filled(50) == "b"
        assert self.first_filled(50, limit=99) == "b"

    def test_lost_with_more_or_at_another_price(self) -> None:
        assert self.first_filled(60) == "z"
        assert self.first_filled(50, limit="99.01") == "z"

    def test_over_a_restart(self, tmp_path: Path) -> None:
        world = World(model=self.CAPPED, path=tmp_path / "venue.db")
        world.bars(FLAT)
        world.buy("a", 50, limit=99, tif=DAY)
        world.buy("z", 50, limit=99, tif=DAY)
        world.replace("b", "a", 60)
        world.restart()
        assert ids(world) == ["z", "b"]
        assert world.exchange.order("a")[0] == world.exchange.order("b")[0]
        world.bars((99, 99, 99, 99, 300))
        assert world.said()[-1].cl_ord_id == "z"
        with pytest.raises(OrderRefused, match="duplicate_cl_ord_id"):
            world.buy("b", 1)
        world.exchange.close()


class TestLegs:
    def test_the_price_of_a_leg_at_work(self, world: World) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95, target=110))
        world.bars(FLAT)
        said = world.replace("in/stop2", "in/stop", 100, stop=97)
        assert (said.exec_type, said.parent_id) == (ExecType.REPLACED, "in")
        world.bars((99, 99, 96, 98))
        assert world.fills() == [(1, "+100", "100"), (2, "-100", "97")]
        assert world.why("in/target") == "oco"

    def test_not_while_it_waits_for_its_entry(self, world: World) -> None:
        """Nobody has been told of it yet: there is nothing that a report could say has changed."""
        world.buy("in", 100, legs=bracket("in", stop=95))
        assert world.replace("s2", "in/stop", 100, stop=97).reason == "leg_waits"
        world.bars(FLAT)
        assert world.replace("s2", "in/stop", 100, stop=97).exec_type is ExecType.REPLACED

    def test_not_its_quantity(self, world: World) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95))
        world.bars(FLAT)
        assert world.replace("s2", "in/stop", 50, stop=96).reason == "leg_follows_entry"

    def test_an_entry_that_waits_resizes_its_legs(self, world: World) -> None:
        world.buy("in", 100, limit=99, tif=DAY, legs=bracket("in", stop=95, target=110))
        world.replace("in2", "in", 60)
        world.bars((99, 99, 98, 99))
        stop = next(said for said in world.said("in/stop") if said.exec_type is ExecType.NEW)
        assert (stop.order_qty, stop.parent_id) == (D(60), "in")
        assert {order.cl_ord_id: order.leaves_qty for order in world.exchange.open_orders()} == {
            "in/stop": D(60),
            "in/target": D(60),
        }
        world.bars((94, 94, 94, 94))
        assert world.qty() == 0

    def test_an_entry_that_is_partly_filled(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars(FLAT)
        world.buy("in", 100, tif=DAY, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100, 400))
        world.replace("in2", "in", 150)
        assert world.exchange.order("in/stop")[0].leaves_qty == D(40)  # type: ignore[union-attr]
        world.bars((100, 100, 100, 100, 1e6))
        assert world.exchange.order("in/stop")[0].leaves_qty == D(150)  # type: ignore[union-attr]

    def test_a_triggered_stop_keeps_its_price(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars(FLAT)
        world.buy("in", 100)
        world.bars(FLAT)
        world.close_long("out", 100, stop=99)
        world.bars((98, 98, 98, 98, 100))
        assert world.replace("o2", "out", 100, stop=90).reason == "already_triggered"
        assert world.replace("o2", "out", 80).exec_type is ExecType.REPLACED
        world.bars((98, 98, 98, 98))
        assert world.qty() == D(20)


class TestMoney:
    def test_buying_power_counts_the_order_once(self) -> None:
        world = World(cash="10000")
        world.bars(FLAT)
        world.buy("a", 90, limit=100, tif=DAY)
        assert world.replace("b", "a", 100).exec_type is ExecType.REPLACED
        assert world.exchange.account().buying_power == 0
        assert world.replace("c", "b", 101).reason == "insufficient_buying_power"
        assert world.replace("c", "b", 100, limit=50).exec_type is ExecType.REPLACED
        assert world.exchange.account().buying_power == D(5000)

    def test_a_market_order_at_the_close_keeps_its_place_in_the_auction(self, world: World) -> None:
        world.buy("in", 100)
        world.bars(FLAT)
        world.close_long("out", 100, tif=TimeInForce.AT_CLOSE)
        world.bars(FLAT)
        assert world.replace("out2", "out", 60).exec_type is ExecType.REPLACED
        world.end()
        assert world.fills()[-1] == (2, "-60", "100")
        assert world.exchange.order("out")[0].ord_type is OrdType.MARKET  # type: ignore[union-attr]


def test_a_file_of_version_2_is_taken_over(tmp_path: Path) -> None:
    world = World(path=tmp_path / "venue.db")
    world.bars(FLAT)
    world.buy("a", 100, limit=99, tif=GTC, legs=bracket("a", stop=90, tif=GTC))
    world.buy("m", 10)
    world.bars(FLAT)
    before = (world.exchange.open_orders(), world.exchange.account(), world.said())
    world.exchange.close()
    with closing(sqlite3.connect(world.path)) as db:
        db.executescript(OLDER[4] + OLDER[3])
    with Exchange(world.path, world.instruments, world.model, "USD", D(1)) as again:
        assert (again.open_orders(), again.account(), again.reports(0)) == before
        world.exchange = again
        assert world.replace("b", "a", 50).exec_type is ExecType.REPLACED
        world.bars((99, 99, 99, 99))
        assert world.qty() == D(60)
