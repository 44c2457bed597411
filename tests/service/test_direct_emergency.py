"""The direct emergency: flat by broker and fallback log alone, whatever fails on the way, never beyond flat (§15)."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.brokers.faulty import Call, Fault, FaultPlan, FaultyBroker, PlannedFault
from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.events import wire_name
from qmworkbench.domain.execution import ExecType, OrderRequest
from qmworkbench.domain.instruments import us_equity
from qmworkbench.domain.orders import OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.ports import Broker
from qmworkbench.service.direct_emergency import liquidate_direct
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.direct_report import DirectReport, Patience
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.storage.fallback_file import read_fallback
from tests.venue.worlds import World, bracket, terms

SYMBOLS = ("AAA", "BBB", "CCC")


class Situation:
    """A venue with positions, brackets and a resting entry, and a clock that moves the market while somebody sleeps."""

    def __init__(self, *, cap: str | None = None, moves: bool = True, volume: float = 1000.0) -> None:
        model = terms(participation=Decimal(cap)) if cap else terms()
        self.world = World(instruments=[us_equity(symbol) for symbol in SYMBOLS], model=model)
        self.time_s = 0.0
        self.moves = moves
        self.volume = volume
        self.said: list[str] = []
        self.move()
        self.send("long", "AAA", Side.BUY, 100, legs=bracket("long", stop=90, target=120, close=True))
        self.send("short", "BBB", Side.SELL, 50, legs=bracket("short", stop=110))
        for _ in range(20):
            self.move()
        self.send("wish", "CCC", Side.BUY, 10, limit="50")
        assert {held.symbol: held.qty for held in self.world.exchange.positions()} == {"AAA": 100, "BBB": -50}

    def send(self, name: str, symbol: str, side: Side, qty: int, *, limit: str | None = None, legs: tuple = ()) -> None:  # type: ignore[type-arg]
        self.world.exchange.submit(
            OrderRequest(
                cl_ord_id=name,
                symbol=symbol,
                side=side,
                position_effect=PositionEffect.OPEN,
                ord_type=OrdType.MARKET if limit is None else OrdType.LIMIT,
                order_qty=Decimal(qty),
                time_in_force=TimeInForce.DAY,
                decided_at=self.world.exchange.account().as_of,
                limit_px=None if limit is None else Decimal(limit),
                legs=legs,
            )
        )

    def move(self) -> None:
        self.world.feed({symbol: (100, 101, 99, 100, self.volume) for symbol in SYMBOLS})

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds
        if self.moves:
            self.move()

    def run(
        self, broker: Broker | None = None, record: DirectRecord | None = None, wait_s: float = 120.0
    ) -> DirectReport:
        return liquidate_direct(
            broker if broker is not None else SimulatedBroker(self.world.exchange),
            record if record is not None else DirectRecord(None, trouble="this test keeps none"),
            book="main",
            session_id="main-2018-03-02",
            reason="drill",
            operator="ann",
            patience=Patience(wait_s=wait_s, deadline_s=60.0, poll_s=1.0),
            say=self.said.append,
            clock=lambda: self.time_s,
            sleep=self.sleep,
        )

    def closes(self) -> list[str]:
        """The closes that the venue took, by symbol."""
        new = [report for report in self.world.exchange.reports(0) if report.exec_type is ExecType.NEW]
        return [report.symbol for report in new if "-liquidate-" in report.cl_ord_id]


def demand_flat(situation: Situation, report: DirectReport) -> None:
    assert report.flat
    assert report.urgent == ""
    assert situation.world.exchange.positions() == []
    assert situation.world.exchange.open_orders() == []
    never_beyond_flat(situation)


def never_beyond_flat(situation: Situation) -> None:
    """Positions only ever shrank: what was long never became short."""
    held = {"AAA": Decimal(0), "BBB": Decimal(0), "CCC": Decimal(0)}
    for report in situation.world.exchange.reports(0):
        if report.exec_type is ExecType.TRADE:
            held[report.symbol] += report.side.sign * report.last_qty
            assert 0 <= held["AAA"] <= 100
            assert -50 <= held["BBB"] <= 0
            assert held["CCC"] >= 0


def test_everything_is_cancelled_and_closed_one_order_each(tmp_path: Path) -> None:
    situation = Situation()
    with FallbackLog(tmp_path / "fallback.jsonl", (7, "a" * 64)) as log:
        report = situation.run(record=DirectRecord(log))
    demand_flat(situation, report)
    assert report.recorded
    assert report.entries_canceled == 1
    assert situation.closes() == ["AAA", "BBB"]
    assert [(line.symbol, line.held, line.left, line.step, line.attempts) for line in report.lines] == [
        ("AAA", 100, 0, "flat", 1),
        ("BBB", -50, 0, "flat", 1),
    ]
    recorded = read_fallback(tmp_path / "fallback.jsonl")
    assert recorded.rooted_at == (7, "a" * 64)
    names = [wire_name(line.event) for line in recorded.records]
    assert names[0] == "emergency.started"
    assert names[-1] == "emergency.completed"
    assert names.index("order.intended") < names.index("order.submit_observed")
    wishes = [line.event.request.cl_ord_id for line in recorded.records if wire_name(line.event) == "order.intended"]  # type: ignore[attr-defined]
    assert len(wishes) == len(set(wishes)) == 2


def test_intent_is_on_record_before_the_order_is_at_the_broker(tmp_path: Path) -> None:
    situation = Situation()
    path = tmp_path / "fallback.jsonl"
    seen: list[bool] = []

    class Watching(SimulatedBroker):
        def submit(self, request: OrderRequest) -> None:
            seen.append(request.cl_ord_id.encode() in path.read_bytes())
            super().submit(request)

        def cancel(self, cl_ord_id: str) -> None:
            seen.append(cl_ord_id.encode() in path.read_bytes())
            super().cancel(cl_ord_id)

    with FallbackLog(path, (0, GENESIS)) as log:
        situation.run(Watching(situation.world.exchange), DirectRecord(log))
    assert seen
    assert all(seen)


def test_without_a_record_it_goes_on_and_says_so() -> None:
    situation = Situation()
    report = situation.run(record=DirectRecord(None, trouble="the disk is gone"))
    demand_flat(situation, report)
    assert (report.recorded, report.record_trouble) == (False, "the disk is gone")
    assert "cannot be recorded (the disk is gone)" in situation.said[0]


def test_a_record_that_fails_half_way_stops_nothing(tmp_path: Path) -> None:
    situation = Situation()
    log = FallbackLog(tmp_path / "fallback.jsonl", (0, GENESIS))
    record = DirectRecord(log)
    written = log._write

    def fail_later(line: bytes) -> None:
        if log._n >= 3:
            raise OSError(28, "No space left on device")
        written(line)

    log._write = fail_later  # type: ignore[method-assign]
    report = situation.run(record=record)
    demand_flat(situation, report)
    assert not report.recorded
    assert "No space left" in report.record_trouble
    assert len(read_fallback(tmp_path / "fallback.jsonl").records) == 3


def test_a_thin_market_is_closed_in_pieces_with_one_order() -> None:
    situation = Situation(cap="0.1", volume=100.0)
    report = situation.run()
    demand_flat(situation, report)
    assert situation.closes() == ["AAA", "BBB"]


def test_a_market_that_does_not_move_queues_the_close_and_is_p0() -> None:
    situation = Situation(moves=False)
    report = situation.run()
    assert not report.flat
    assert {line.step for line in report.lines} == {"queued"}
    assert "P0" in report.urgent
    assert "queued" in report.urgent
    assert any(line.startswith("P0: not flat after 60 s: AAA 100, BBB -50") for line in situation.said)
    assert situation.closes() == ["AAA", "BBB"], "a waiting close is not sent twice"
    situation.moves = True
    demand_flat(situation, situation.run())


def test_a_closed_market_refuses_and_is_tried_again_without_haste() -> None:
    situation = Situation(moves=False)
    venue = situation.world.exchange
    for order in venue.open_orders():
        venue.cancel(order.cl_ord_id)
    venue.close_session(venue.account().as_of)
    report = situation.run()
    assert not report.flat
    assert all("market_closed" in line.detail for line in report.lines)
    assert all(20 <= line.attempts <= 25 for line in report.lines), "one every five seconds for two minutes"


def test_an_exit_that_cannot_be_cancelled_reserves_what_it_may_still_fill() -> None:
    """Its cancel is refused for good: after five seconds only the rest, here nothing, is closed beside it."""
    situation = Situation()
    plan = FaultPlan((PlannedFault(call=Call.CANCEL, fault=Fault.REFUSE, times=10_000),))
    broker = FaultyBroker(SimulatedBroker(situation.world.exchange), plan)
    report = situation.run(broker)
    assert not report.flat
    assert situation.closes() == []
    never_beyond_flat(situation)
    assert broker.calls[Call.CANCEL] < 200, "a refused cancel is not repeated without end"


def test_an_unreadable_broker_is_asked_until_it_answers_and_never_taken_for_flat() -> None:
    situation = Situation()
    lost = PlannedFault(call=Call.POSITIONS, fault=Fault.UNREACHABLE, times=30)
    report = situation.run(FaultyBroker(SimulatedBroker(situation.world.exchange), FaultPlan((lost,))))
    demand_flat(situation, report)
    gone = PlannedFault(call=Call.OPEN_ORDERS, fault=Fault.UNREACHABLE, times=10_000)
    situation = Situation()
    report = situation.run(FaultyBroker(SimulatedBroker(situation.world.exchange), FaultPlan((gone,))))
    assert not report.flat
    assert "unreachable" in report.unread
    assert "positions unknown" in report.urgent


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("fault", [Fault.DROP_REQUEST, Fault.LOSE_ACK])
def test_a_close_without_an_answer_is_asked_for_and_never_doubled(fault: Fault, unique: bool) -> None:
    situation = Situation()
    plan = FaultPlan((PlannedFault(call=Call.SUBMIT, fault=fault, times=2),))
    broker = FaultyBroker(SimulatedBroker(situation.world.exchange), plan)
    broker.enforces_unique_ids = unique
    report = situation.run(broker)
    demand_flat(situation, report)
    assert sorted(situation.closes()) == ["AAA", "BBB"]
    expected = 2 if fault is Fault.DROP_REQUEST and not unique else 1
    assert {line.attempts for line in report.lines} == {expected}


def test_a_symbol_that_breaks_does_not_hold_up_the_others() -> None:
    situation = Situation()

    class Broken(SimulatedBroker):
        def submit(self, request: OrderRequest) -> None:
            if request.symbol == "AAA":
                raise RuntimeError("a bug in the adapter")
            super().submit(request)

    report = situation.run(Broken(situation.world.exchange))
    assert not report.flat
    lines = {line.symbol: line for line in report.lines}
    assert "a bug in the adapter" in lines["AAA"].detail
    assert lines["BBB"].step == "flat"


def test_nothing_held_is_flat_at_once() -> None:
    situation = Situation()
    situation.run()
    report = situation.run()
    assert report.flat
    assert report.lines == ()
    assert report.seconds == Patience().settle_s, "what was on its way has had its time to show up"


_FAULTS = st.builds(
    lambda call, fault, first, times: PlannedFault(call=call, fault=fault, first=first, times=times),
    call=st.sampled_from([Call.SUBMIT, Call.CANCEL]),
    fault=st.sampled_from([Fault.DROP_REQUEST, Fault.LOSE_ACK, Fault.REFUSE]),
    first=st.integers(1, 6),
    times=st.integers(1, 3),
) | st.builds(
    lambda call, first, times: PlannedFault(call=call, fault=Fault.UNREACHABLE, first=first, times=times),
    call=st.sampled_from([Call.POSITIONS, Call.OPEN_ORDERS, Call.ORDER, Call.ACCOUNT]),
    first=st.integers(1, 12),
    times=st.integers(1, 6),
)


@given(
    faults=st.lists(_FAULTS, max_size=6),
    unique=st.booleans(),
    cap=st.sampled_from([None, "0.02"]),
    hiccup=st.integers(0, 20),
)
def test_whatever_fails_for_a_while_it_ends_flat_and_never_beyond(
    faults: list[PlannedFault], unique: bool, cap: str | None, hiccup: int
) -> None:
    """Requests lost and refused, reads failing, a thin market, a market that stands still for some looks."""
    situation = Situation(cap=cap)
    broker = FaultyBroker(SimulatedBroker(situation.world.exchange), FaultPlan(tuple(faults)))
    broker.enforces_unique_ids = unique
    moving: Callable[[], None] = situation.move
    looks = 0

    def sometimes() -> None:
        nonlocal looks
        looks += 1
        if looks > hiccup:
            moving()

    situation.move = sometimes  # type: ignore[method-assign]
    report = situation.run(broker, wait_s=600.0)
    demand_flat(situation, report)
