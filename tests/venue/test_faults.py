"""What goes wrong, on plan: each kind does what it says, is repeatable, and survives a restart."""

from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import OrdStatus, TimeInForce
from qmworkbench.venue.costs import CostSchedule, VenueModel, ideal
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.faults import Fault, FaultKind, FaultPlan, PlannedFault
from qmworkbench.venue.invalid import ModelInvalid
from tests.venue.worlds import World, bracket

DAY = TimeInForce.DAY
FLAT = (100, 100, 100, 100)


def plan(*faults: PlannedFault, **costs: object) -> VenueModel:
    model = ideal()
    schedules = {kind: CostSchedule(**costs) for kind in model.schedules} if costs else model.schedules  # type: ignore[arg-type]
    return msgspec.structs.replace(model, schedules=schedules, faults=FaultPlan(planned=faults))


def troubled(*faults: PlannedFault, path: Path | str = ":memory:", **costs: object) -> World:
    world = World(model=plan(*faults, **costs), path=path)
    world.bars(FLAT)
    return world


def one(kind: FaultKind, nth: int = 1, **more: object) -> PlannedFault:
    return PlannedFault(kind=kind, nth=nth, **more)  # type: ignore[arg-type]


def kinds(world: World, name: str) -> list[str]:
    return [said.exec_type.value for said in world.said(name)]


class TestOrders:
    def test_the_second_is_rejected(self) -> None:
        world = troubled(one(FaultKind.REJECT, 2))
        for name in ("a", "b", "c"):
            world.buy(name, 10, legs=bracket(name, stop=90))
        assert [kinds(world, name) for name in ("a", "b", "c")] == [["new"], ["rejected"], ["new"]]
        assert world.why("b") == "refused_by_broker"
        assert kinds(world, "b/stop") == ["canceled"]
        assert world.exchange.order("b")[0].ord_status is OrdStatus.REJECTED  # type: ignore[union-attr]
        world.bars(FLAT)
        assert world.qty() == D(20)

    def test_an_acknowledgement_comes_late(self) -> None:
        world = troubled(one(FaultKind.DELAY_ACK, frames=2))
        world.buy("a", 10)
        assert world.said() == []
        world.bars(FLAT)
        assert kinds(world, "a") == ["trade"]
        world.bars(FLAT)
        assert kinds(world, "a") == ["trade", "new"]
        ack = world.said("a")[-1]
        assert (ack.ord_status, ack.cum_qty, ack.avg_px) == (OrdStatus.ACCEPTED, D(0), D(0))
        assert world.exchange.order("a")[0].ord_status is OrdStatus.FILLED  # type: ignore[union-attr]

    def test_at_the_latest_when_the_session_ends(self) -> None:
        world = troubled(one(FaultKind.DELAY_ACK, frames=50))
        world.buy("a", 10, limit=90, tif=DAY)
        world.end()
        assert kinds(world, "a") == ["new", "expired"]

    def test_a_replacement_is_refused(self) -> None:
        world = troubled(one(FaultKind.REJECT_REPLACE))
        world.buy("a", 10, limit=90, tif=DAY)
        assert world.replace("b", "a", 5).reason == "too_late_to_replace"
        assert world.replace("b", "a", 5).exec_type is ExecType.REPLACED


class TestCancels:
    def test_too_late(self) -> None:
        world = troubled(one(FaultKind.CANCEL_TOO_LATE))
        world.buy("a", 10, limit=90, tif=DAY)
        world.exchange.cancel("a")
        assert (kinds(world, "a"), world.why("a")) == (["new", "cancel_rejected"], "too_late_to_cancel")
        world.bars((90, 90, 90, 90))
        assert world.qty() == D(10)

    def test_taken_and_works_after_the_next_frame(self) -> None:
        world = troubled(one(FaultKind.CANCEL_LATE))
        world.buy("a", 10, limit=90, tif=DAY)
        world.exchange.cancel("a")
        assert kinds(world, "a") == ["new"]
        world.exchange.cancel("a")
        assert world.why("a") == "cancel_pending"
        assert world.replace("b", "a", 5).reason == "cancel_pending"
        world.bars(FLAT)
        assert (world.why("a"), world.exchange.open_orders()) == ("requested", [])

    def test_and_may_fill_on_it(self) -> None:
        """freqtrade #3647: a cancel was asked for, and the order filled."""
        world = troubled(one(FaultKind.CANCEL_LATE))
        world.buy("a", 10, limit=90, tif=DAY, legs=bracket("a", stop=80))
        world.exchange.cancel("a")
        world.bars((89, 89, 89, 89))
        assert kinds(world, "a") == ["new", "trade", "cancel_rejected"]
        assert (world.why("a"), world.qty()) == ("too_late_to_cancel", D(10))
        assert [order.cl_ord_id for order in world.exchange.open_orders()] == ["a/stop"]

    def test_and_at_the_latest_at_the_end(self) -> None:
        world = troubled(one(FaultKind.CANCEL_LATE))
        world.buy("a", 10, limit=90, tif=TimeInForce.GTC)
        world.exchange.cancel("a")
        world.end()
        assert world.why("a") == "requested"

    def test_a_fill_after_it_was_confirmed(self) -> None:
        """freqtrade #3647: a "cancelled" order had filled."""
        world = troubled(one(FaultKind.FILL_AFTER_CANCEL))
        world.buy("a", 10, limit=100, tif=DAY, legs=bracket("a", stop=80))
        world.exchange.cancel("a")
        assert (kinds(world, "a"), world.exchange.open_orders()) == (["new", "canceled"], [])
        world.bars(FLAT, FLAT)
        assert kinds(world, "a") == ["new", "canceled", "trade"]
        assert world.said("a")[-1].ord_status is OrdStatus.CANCELED
        assert (world.qty(), world.exchange.open_orders()) == (D(10), [])

    def test_not_at_a_price_it_would_not_take_and_only_once(self) -> None:
        world = troubled(one(FaultKind.FILL_AFTER_CANCEL))
        world.buy("a", 10, limit=90, tif=DAY)
        world.exchange.cancel("a")
        world.bars(FLAT, (89, 89, 89, 89))
        assert kinds(world, "a") == ["new", "canceled"]

    def test_it_leaves_nothing_of_the_cap_and_never_less_than_nothing(self) -> None:
        world = troubled(one(FaultKind.FILL_AFTER_CANCEL), participation=D("0.1"))
        world.buy("a", 90, limit=100, tif=DAY)
        world.buy("b", 90, limit=100, tif=DAY)
        world.exchange.cancel("a")
        world.bars((100, 100, 100, 100, 300), (100, 100, 100, 100, 300))
        assert world.fills() == [(1, "+90", "100"), (2, "+30", "100")]

    def test_not_in_the_next_session(self) -> None:
        world = troubled(one(FaultKind.FILL_AFTER_CANCEL))
        world.buy("a", 10, limit=100, tif=DAY)
        world.exchange.cancel("a")
        world.end()
        world.exchange.open_session("next", world.exchange.account().as_of)
        world.bars(FLAT)
        assert world.qty() == 0


class TestFills:
    def test_more_than_was_ordered(self) -> None:
        world = troubled(one(FaultKind.OVERFILL, qty=D(7)))
        world.buy("a", 10, legs=bracket("a", stop=95))
        world.bars(FLAT)
        fill = world.said("a")[-1]
        assert (fill.last_qty, fill.cum_qty, fill.order_qty, fill.ord_status) == (17, 17, 10, OrdStatus.FILLED)
        assert world.qty() == world.exchange.order("a/stop")[0].leaves_qty == D(17)  # type: ignore[union-attr]

    def test_an_exit_that_closes_more_than_is_held(self) -> None:
        world = troubled(one(FaultKind.OVERFILL, 2))
        world.buy("a", 10, legs=bracket("a", stop=95, target=110))
        world.bars(FLAT, (94, 94, 94, 94))
        assert world.qty() == D(-1)
        assert world.exchange.open_orders() == []
        account = world.exchange.account()
        assert account.cash == D(1_000_000 - 1000 + 11 * 94)

    def test_taken_back_later(self) -> None:
        world = troubled(one(FaultKind.BUST, frames=2))
        world.buy("a", 10)
        world.bars(FLAT, FLAT)
        assert world.qty() == D(10)
        world.bars(FLAT)
        assert kinds(world, "a") == ["new", "trade", "trade_cancel"]
        assert (world.qty(), world.exchange.account().cash) == (D(0), D(1_000_000))

    def test_taken_back_when_all_is_flat_and_nothing_rests(self) -> None:
        world = troubled(one(FaultKind.BUST, 2, frames=2))
        world.buy("a", 10, legs=bracket("a", stop=95))
        world.bars(FLAT, (95, 95, 95, 95))
        assert (world.qty(), world.exchange.open_orders()) == (D(0), [])
        world.bars(FLAT, FLAT)
        assert (kinds(world, "a/stop")[-1], world.qty()) == ("trade_cancel", D(10))


class TestReports:
    def test_said_twice(self) -> None:
        world = troubled(one(FaultKind.DUPLICATE_REPORT, 2))
        world.buy("a", 10)
        world.bars(FLAT)
        new, trade, again = world.said("a")
        assert (trade.exec_id, trade.last_qty) == (again.exec_id, again.last_qty)
        assert new.cursor < trade.cursor < again.cursor
        assert msgspec.structs.replace(again, cursor=trade.cursor) == trade
        assert (world.qty(), len(world.exchange.statement())) == (D(10), 1)
        world.exchange.bust(trade.exec_id)
        assert world.qty() == 0

    def test_the_wrong_way_round(self) -> None:
        world = troubled(one(FaultKind.REORDER_REPORTS, 2))
        world.buy("a", 10, legs=bracket("a", stop=90))
        world.bars(FLAT)
        assert [(said.cl_ord_id, said.exec_type.value) for said in world.said()] == [
            ("a", "new"),
            ("a/stop", "new"),
            ("a", "trade"),
        ]
        assert [said.cursor for said in world.said()] == [1, 2, 3]

    def test_nothing_to_change_places_with(self) -> None:
        world = troubled(one(FaultKind.REORDER_REPORTS, 1))
        world.buy("a", 10)
        world.bars(FLAT)
        assert kinds(world, "a") == ["new", "trade"]


EVERYTHING = (
    one(FaultKind.REJECT, 3),
    one(FaultKind.DELAY_ACK, 1, frames=2),
    one(FaultKind.CANCEL_LATE, 1),
    one(FaultKind.FILL_AFTER_CANCEL, 1),
    one(FaultKind.CANCEL_TOO_LATE, 3),
    one(FaultKind.OVERFILL, 2),
    one(FaultKind.BUST, 1, frames=3),
    one(FaultKind.DUPLICATE_REPORT, 4),
    one(FaultKind.REORDER_REPORTS, 5),
    PlannedFault(kind=FaultKind.REJECT, cl_ord_id="e9"),
)


def a_bad_day(path: Path | str, restart_every: int = 0) -> tuple[object, ...]:
    world = troubled(*EVERYTHING, path=path, participation=D("0.5"))
    for t in range(12):
        name = f"e{t}"
        kind: dict[str, object] = {"limit": 99, "tif": DAY} if t % 2 else {}
        world.buy(name, 10, legs=bracket(name, stop=95, target=103), **kind)
        if t % 3 == 0 and t:
            world.exchange.cancel(f"e{t - 1}")
            world.exchange.cancel(f"e{t}")
        px = 100 + (t % 5) - 2
        world.bars((px, px + 2, px - 2, px, 30 + t))
        if restart_every and t % restart_every == 0:
            world.restart()
    world.end()
    told = (world.said(), world.exchange.account(), list(world.exchange.positions()), world.exchange.statement())
    world.exchange.close()
    return told


def test_a_day_with_everything_is_the_same_again_and_over_restarts(tmp_path: Path) -> None:
    first = a_bad_day(":memory:")
    said = first[0]
    assert {report.exec_type for report in said} >= {  # type: ignore[attr-defined]
        ExecType.REJECTED, ExecType.TRADE_CANCEL, ExecType.CANCEL_REJECTED, ExecType.NEW, ExecType.CANCELED,
    }  # fmt: skip
    assert a_bad_day(":memory:") == first
    assert a_bad_day(tmp_path / "one.db", restart_every=1) == first
    assert a_bad_day(tmp_path / "three.db", restart_every=3) == first


def test_somebody_else_may_draw() -> None:
    """A source of one's own is asked by kind, number and order, and counts instead of the model's plan."""
    asked: list[tuple[str, int, str]] = []

    class Mine:
        def draw(self, kind: FaultKind, nth: int, cl_ord_id: str) -> Fault | None:
            asked.append((kind.value, nth, cl_ord_id))
            return Fault() if kind is FaultKind.CANCEL_TOO_LATE else None

    world = World()
    world.exchange = Exchange(None, world.instruments, plan(one(FaultKind.REJECT)), "USD", D(1_000_000), faults=Mine())
    world.exchange.open_session("day", world.exchange._books.now)
    world.bars(FLAT)
    world.buy("a", 10, limit=90, tif=DAY)
    world.exchange.cancel("a")
    assert kinds(world, "a") == ["new", "cancel_rejected"]
    assert ("reject", 1, "a") in asked
    assert ("cancel_too_late", 1, "a") in asked
    assert ("duplicate_report", 2, "a") in asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"nth": 0},
        {"nth": 1, "cl_ord_id": "a"},
        {"nth": -1},
        {"nth": 1, "frames": 0},
        {"nth": 1, "qty": D(0)},
        {"nth": 1, "qty": D("NaN")},
    ],
)
def test_a_plan_that_makes_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelInvalid, match=r"^venue\.faults"):
        PlannedFault(kind=FaultKind.BUST, **wrong)  # type: ignore[arg-type]
