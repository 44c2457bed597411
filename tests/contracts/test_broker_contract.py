"""What every broker must do, whoever is behind it: the same suite for each (DESIGN §7 contracts).

A broker joins by adding a maker that returns a Bench: a way to let the market move, and the broker itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from qmworkbench.brokers.faulty import FaultPlan, FaultyBroker
from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.execution import ActivityKind, ExecType, OrderRequest, ReplaceRequest
from qmworkbench.domain.orders import OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.ports import Broker, RequestRefused
from tests.brokers.serving import WireWorld, served
from tests.venue.worlds import DAY, OPEN, Bar, World, at, bracket


@dataclass
class Bench:
    """A broker with one share, AAA, that trades at 100 when it is handed over. `night` lets a two-for-one split and a
    dividend of a dollar before it take effect."""

    broker: Broker
    bars: Callable[..., None]
    minute: Callable[[], int]
    night: Callable[[], None]

    def request(self, name: str, **changes: object) -> OrderRequest:
        request = OrderRequest(
            cl_ord_id=name,
            symbol="AAA",
            side=Side.BUY,
            position_effect=PositionEffect.OPEN,
            ord_type=OrdType.MARKET,
            order_qty=D(100),
            time_in_force=TimeInForce.DAY,
            decided_at=at(self.minute()),
        )
        return msgspec.structs.replace(request, **changes)

    def said(self, name: str) -> list[str]:
        return [r.exec_type.value for r in self.broker.reports(0) if r.cl_ord_id == name]


def _simulated(folder: Path) -> World:
    world = World(path=folder / "venue.db", open_now=False)
    world.exchange.open_session(DAY, OPEN, day=date(2018, 3, 2))
    world.bars((100, 100, 100, 100))
    return world


@pytest.fixture(params=["simulated", "simulated behind a faulty line without faults", "wire", "wire, books alone"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if "wire" in request.param:
        with served(tmp_path / "venue.db") as venue:
            world: World = WireWorld(venue, open_now=False)
            remote = venue.broker(follow="books" not in request.param)
            world.trade_with(remote)  # type: ignore[attr-defined]
            world.exchange.open_session(DAY, OPEN, day=date(2018, 3, 2))
            world.bars((100, 100, 100, 100))
            yield _bench(world, remote)
            remote.close()
            world.exchange.close()
        return
    world = _simulated(tmp_path)
    broker: Broker = SimulatedBroker(world.exchange)
    if "faulty" in request.param:
        broker = FaultyBroker(broker, FaultPlan())
    yield _bench(world, broker)
    world.exchange.close()


def _bench(world: World, broker: Broker) -> Bench:

    def bars(*rows: Bar) -> None:
        world.bars(*rows)

    def night() -> None:
        world.end()
        monday, terms = date(2018, 3, 5), {"symbol": "AAA", "ex_date": date(2018, 3, 5)}
        split = CorporateAction(kind=ActivityKind.SPLIT, ratio=D(2), **terms)
        dividend = CorporateAction(kind=ActivityKind.DIVIDEND, amount=D(1), **terms)
        world.exchange.open_session("monday", OPEN + timedelta(days=3), day=monday, actions=(split, dividend))

    return Bench(broker, bars, lambda: world.minute, night)


FLAT: Sequence[float] = (100, 100, 100, 100)


def test_an_accepted_order_is_acknowledged_and_known_by_its_id(bench: Bench) -> None:
    bench.broker.submit(bench.request("a"))
    found, cursor = bench.broker.order("a")
    assert found is not None
    assert (found.ord_status, found.order_qty, found.leaves_qty) == (OrdStatus.ACCEPTED, D(100), D(100))
    assert bench.said("a") == ["new"]
    assert cursor == bench.broker.reports(0)[-1].cursor


def test_a_fill_moves_position_and_account(bench: Bench) -> None:
    before = bench.broker.account()
    bench.broker.submit(bench.request("a"))
    bench.bars(FLAT)
    (held,) = bench.broker.positions()
    after = bench.broker.account()
    assert (held.symbol, held.qty) == ("AAA", D(100))
    assert before.cash - after.cash == held.qty * held.avg_px + after.fees
    assert after.equity == after.cash + held.market_value
    assert after.positions_value == held.market_value
    assert after.unrealized_pnl == held.unrealized_pnl
    assert after.cursor > before.cursor


def test_cursors_rise_and_reports_resume_after_one(bench: Bench) -> None:
    bench.broker.submit(bench.request("a", legs=bracket("a", stop=90)))
    bench.bars(FLAT)
    said = list(bench.broker.reports(0))
    cursors = [report.cursor for report in said]
    assert cursors == sorted(set(cursors))
    assert len({report.exec_id for report in said}) == len(said)
    for k, report in enumerate(said):
        assert list(bench.broker.reports(report.cursor)) == said[k + 1 :]


def test_reading_changes_nothing(bench: Bench) -> None:
    bench.broker.submit(bench.request("a"))
    bench.bars(FLAT)
    once = (list(bench.broker.reports(0)), bench.broker.account(), list(bench.broker.positions()))
    assert once == (list(bench.broker.reports(0)), bench.broker.account(), list(bench.broker.positions()))


def test_an_id_is_used_once_for_ever_where_the_broker_says_so(bench: Bench) -> None:
    assert bench.broker.enforces_unique_ids
    bench.broker.submit(bench.request("a"))
    said = list(bench.broker.reports(0))
    with pytest.raises(RequestRefused, match="duplicate_cl_ord_id"):
        bench.broker.submit(bench.request("a"))
    assert list(bench.broker.reports(0)) == said
    bench.broker.cancel("a")
    with pytest.raises(RequestRefused, match="duplicate_cl_ord_id"):
        bench.broker.submit(bench.request("a"))


def test_a_refused_order_does_not_exist(bench: Bench) -> None:
    with pytest.raises(RequestRefused):
        bench.broker.submit(bench.request("a", symbol="NOSUCH"))
    assert bench.broker.order("a")[0] is None
    assert list(bench.broker.reports(0)) == []


def test_a_cancel_is_confirmed_by_report(bench: Bench) -> None:
    bench.broker.submit(bench.request("a", ord_type=OrdType.LIMIT, limit_px=D(50)))
    bench.broker.cancel("a")
    last = bench.broker.reports(0)[-1]
    assert (last.exec_type, last.ord_status, last.cum_qty) == (ExecType.CANCELED, OrdStatus.CANCELED, D(0))
    assert list(bench.broker.open_orders()) == []


def test_a_cancel_that_comes_too_late_says_so(bench: Bench) -> None:
    bench.broker.submit(bench.request("a"))
    bench.bars(FLAT)
    bench.broker.cancel("a")
    last = bench.broker.reports(0)[-1]
    assert (last.exec_type, last.ord_status, last.cum_qty) == (ExecType.CANCEL_REJECTED, OrdStatus.FILLED, D(100))


def test_a_cancel_of_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(RequestRefused, match="unknown_order"):
        bench.broker.cancel("nobody")


def test_a_replaced_order_goes_on_under_its_new_id_and_answers_to_both(bench: Bench) -> None:
    bench.broker.submit(bench.request("a", ord_type=OrdType.LIMIT, limit_px=D(50)))
    bench.broker.replace(ReplaceRequest(cl_ord_id="a2", orig_cl_ord_id="a", order_qty=D(60), limit_px=D(51)))
    last = bench.broker.reports(0)[-1]
    assert (last.exec_type, last.cl_ord_id, last.orig_cl_ord_id) == (ExecType.REPLACED, "a2", "a")
    assert (last.order_qty, last.cum_qty) == (D(60), D(0))
    (resting,) = bench.broker.open_orders()
    assert (resting.cl_ord_id, resting.orig_cl_ord_id, resting.limit_px) == ("a2", "a", D(51))
    assert bench.broker.order("a")[0] == bench.broker.order("a2")[0] == resting
    bench.broker.cancel("a2")
    assert list(bench.broker.open_orders()) == []


def test_a_replace_that_comes_too_late_says_so(bench: Bench) -> None:
    bench.broker.submit(bench.request("a", ord_type=OrdType.LIMIT, limit_px=D(101)))
    bench.bars(FLAT)
    bench.broker.replace(ReplaceRequest(cl_ord_id="a2", orig_cl_ord_id="a", order_qty=D(60), limit_px=D(51)))
    told = [report.exec_type for report in bench.broker.reports(0)]
    assert told == [ExecType.NEW, ExecType.TRADE, ExecType.REPLACE_REJECTED]
    assert bench.broker.order("a2")[0] is None


def test_reduce_only_never_turns_a_position_around(bench: Bench) -> None:
    bench.broker.submit(bench.request("in"))
    bench.bars(FLAT)
    sell = {"side": Side.SELL, "position_effect": PositionEffect.CLOSE}
    bench.broker.submit(bench.request("out", order_qty=D(150), **sell))
    bench.bars(FLAT)
    assert list(bench.broker.positions()) == []
    with pytest.raises(RequestRefused, match="nothing_to_reduce"):
        bench.broker.submit(bench.request("again", **sell))


def test_bracket_legs_report_under_their_parent_and_cancel_each_other(bench: Bench) -> None:
    bench.broker.submit(bench.request("in", legs=bracket("in", stop=95, target=105)))
    bench.bars(FLAT)
    working = {order.cl_ord_id: order for order in bench.broker.open_orders()}
    assert set(working) == {"in/stop", "in/target"}
    assert all(order.parent_id == "in" and order.leaves_qty == 100 for order in working.values())
    bench.bars((100, 106, 100, 105))
    assert list(bench.broker.positions()) == []
    assert list(bench.broker.open_orders()) == []
    assert (bench.said("in/target"), bench.said("in/stop")) == (["new", "trade"], ["new", "canceled"])


def test_a_snapshot_is_whole_and_of_one_moment(bench: Bench) -> None:
    bench.broker.submit(bench.request("in", legs=bracket("in", stop=95)))
    bench.bars(FLAT)
    seen = snapshot(bench.broker, 0)
    assert seen.complete
    assert seen.cursor == bench.broker.reports(0)[-1].cursor
    assert [report.exec_type for report in seen.executions] == [ExecType.TRADE]
    assert [held.qty for held in seen.positions] == [D(100)]
    assert [order.cl_ord_id for order in seen.open_orders] == ["in/stop"]
    assert seen.account == bench.broker.account()
    assert snapshot(bench.broker, seen.cursor).executions == ()


def test_what_moves_the_account_without_an_order_is_an_activity(bench: Bench) -> None:
    bench.broker.submit(bench.request("a", time_in_force=TimeInForce.IOC))
    bench.bars(FLAT)
    before, said = bench.broker.account(), list(bench.broker.reports(0))
    assert list(bench.broker.activities(0)) == []
    bench.night()
    told = list(bench.broker.activities(0))
    assert [activity.kind for activity in told] == [ActivityKind.DIVIDEND, ActivityKind.SPLIT]
    (held,) = bench.broker.positions()
    assert held.qty == told[-1].qty_after == 2 * told[-1].qty_before
    after = bench.broker.account()
    assert after.cash - before.cash == sum(activity.amount for activity in told)
    assert list(bench.broker.reports(0)) == said


def test_activities_share_the_numbers_of_the_reports_and_resume_after_one(bench: Bench) -> None:
    bench.broker.submit(bench.request("a", time_in_force=TimeInForce.IOC))
    bench.bars(FLAT)
    bench.night()
    told = list(bench.broker.activities(0))
    numbers = [report.cursor for report in bench.broker.reports(0)] + [activity.cursor for activity in told]
    assert len(set(numbers)) == len(numbers)
    assert bench.broker.account().cursor == max(numbers)
    assert len({activity.activity_id for activity in told}) == len(told)
    for k, activity in enumerate(told):
        assert list(bench.broker.activities(activity.cursor)) == told[k + 1 :]
