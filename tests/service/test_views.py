"""The snapshot every screen shows: what it holds, when its number rises, and that people can read its numbers."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import FillRecorded, OrderIntended, RiskDecided, TradeClosed
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind
from qmworkbench.domain.instruments import forex_pair, us_equity
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import PHASE_ORDER, Priority
from qmworkbench.service import view_rows
from qmworkbench.service.chronicle import DENIALS_KEPT, FILLS_KEPT, Chronicle
from qmworkbench.service.health import COMPONENTS, CRITICAL, HealthBoard, HealthStatus, changed
from qmworkbench.service.lateness import WINDOW, Lateness, StageTimes
from qmworkbench.service.view_rows import ORDERS_KEPT
from qmworkbench.service.views import CURVE_POINTS, ViewBuilder, view_of
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State
from tests.service.conftest import PastDay
from tests.service.fakes import NOON


def told(events: list[Event]) -> tuple[State, Chronicle]:
    chronicle = Chronicle()
    for seq, event in enumerate(events, start=1):
        chronicle.receive(seq, (event,))
    return fold(events), chronicle


def shown(events: list[Event]) -> dict[str, Any]:
    state, chronicle = told(events)
    content = view_of(state, chronicle, None, Lateness(2000))
    built = ViewBuilder().build(content, seq=1, wall_at=NOON)
    assert built is not None
    found = json.loads(built.body)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def mid_day(past_day: PastDay) -> list[Event]:
    """The day up to its third fill: something is held."""
    events = past_day.events
    third = [number for number, event in enumerate(events) if isinstance(event, FillRecorded)][2]
    return events[: third + 1]


def test_a_difference_that_is_left_is_told_with_the_name_it_is_settled_by(mid_day: list[Event]) -> None:
    found = BreakFound(
        at=mid_day[-1].at,
        break_id="b1",
        kind=BreakKind.CASH,
        symbol="",
        before="100000",
        after="100077.50",
        cause="a deposit",
        severity=Priority.P1,
        authority="",
    )
    (told,) = shown([*mid_day, found])["reconciliation"]["unresolved"]
    assert (told["break_id"], told["kind"], told["after"]) == ("b1", "cash", "100077.50")


def test_every_part_of_the_contract_is_there(mid_day: list[Event]) -> None:
    view = shown(mid_day)
    expected = """version wall_at at book environment session_id phase phases trading_state entries_held unattended
    recovered silenced feed broker account risk radar watchlist positions orders fills trades alerts decisions
    emergency reconciliation resume runs equity_curve lateness""".split()
    assert set(view) == set(expected)
    assert [phase["phase"] for phase in view["phases"]] == [phase.value for phase in PHASE_ORDER]
    assert view["phases"][-1]["entered_at"] is None
    assert view["feed"]["boundary"] > 0
    assert view["positions"]
    position = view["positions"][0]
    assert set(position) == {
        "symbol",
        "strategy_id",
        "side",
        "qty",
        "avg_px",
        "mark_px",
        "unrealized_pnl",
        "pips",
        "stop_px",
        "target_px",
        "opened_at",
        "exit_wanted",
    }
    assert Decimal(position["stop_px"]) < Decimal(position["avg_px"]), "the stop that rests at the broker"


def test_a_book_without_a_session_can_be_shown() -> None:
    view = shown([])
    assert (view["session_id"], view["positions"], view["emergency"]) == ("", [], None)


def test_decimals_travel_as_text_and_averages_stay_readable(past_day: PastDay) -> None:
    view = shown(past_day.events)
    for trade in view["trades"]:
        assert isinstance(trade["net_pnl"], str)
        assert len(trade["entry_px"].split(".")[-1]) <= 8
        assert "E" not in trade["entry_px"]
    net = sum(Decimal(trade["net_pnl"]) for trade in view["trades"])
    assert net == past_day.result.net_pnl


def test_open_orders_come_first_and_the_rest_newest_first(mid_day: list[Event]) -> None:
    rows = shown(mid_day)["orders"]
    open_ones = [row for row in rows if row["leaves_qty"] != "0"]
    assert rows[: len(open_ones)] == open_ones
    ended = [row["last_at"] for row in rows[len(open_ones) :]]
    assert ended == sorted(ended, reverse=True)
    assert len(ended) <= ORDERS_KEPT


def test_money_on_the_account_adds_up(mid_day: list[Event]) -> None:
    account = shown(mid_day)["account"]
    day_pnl = Decimal(account["realized_pnl"]) + Decimal(account["unrealized_pnl"]) - Decimal(account["fees"])
    assert abs(Decimal(account["day_pnl"]) - day_pnl) <= Decimal("0.02")


def test_the_number_rises_only_when_something_changed() -> None:
    builder = ViewBuilder()
    first = builder.build({"phase": "startup"}, seq=1, wall_at=NOON)
    assert first is not None
    assert builder.build({"phase": "startup"}, seq=2, wall_at=NOON + timedelta(seconds=9)) is None
    second = builder.build({"phase": "pre_market"}, seq=3, wall_at=NOON)
    assert second is not None
    assert (first.version, second.version, second.seq) == (1, 2, 3)
    assert msgspec.json.decode(second.unchanged) == {"version": 2, "unchanged": True}
    assert msgspec.json.decode(first.body)["phase"] == "startup", "a version never changes"


def test_a_chronicle_read_from_the_journal_is_the_one_that_was_followed(past_day: PastDay) -> None:
    _, chronicle = told(past_day.events)
    assert [fill.exec_id for fill in chronicle.fills] == [
        event.exec_id for event in past_day.events if isinstance(event, FillRecorded)
    ][-FILLS_KEPT:]
    assert chronicle.trades == [event for event in past_day.events if isinstance(event, TradeClosed)]
    assert chronicle.bars == past_day.result.bars
    intents = [event for event in past_day.events if isinstance(event, OrderIntended)]
    denied = [event for event in past_day.events if isinstance(event, RiskDecided) and not event.allowed]
    assert intents
    assert len(chronicle.denials) == min(len(denied), DENIALS_KEPT)
    chronicle.receive(0, past_day.events[:1])
    assert (chronicle.trades, chronicle.bars) == ([], 0), "another session begins with nothing"


def test_the_equity_curve_has_one_point_a_boundary_and_is_thinned_evenly() -> None:
    chronicle = Chronicle()
    for minute in range(3 * CURVE_POINTS):
        chronicle.equity_at(NOON + timedelta(minutes=minute), Decimal(minute))
        chronicle.equity_at(NOON + timedelta(minutes=minute), Decimal(minute) + 1)
    curve = view_of(State(), chronicle, None, Lateness(2000))["equity_curve"]
    assert len(curve) <= CURVE_POINTS + 1
    assert curve[-1] == (NOON + timedelta(minutes=3 * CURVE_POINTS - 1), Decimal(3 * CURVE_POINTS))


# --- lateness -------------------------------------------------------------------------------------------------------


def test_drift_is_told_once_when_it_begins_and_ends_when_boundaries_are_in_time_again() -> None:
    lateness = Lateness(100.0)
    events = [type(e).__name__ for _ in range(WINDOW) for e in lateness.note(NOON, 1, 99.0, StageTimes())]
    assert (events, lateness.alert()) == (["BoundaryTimed"] * WINDOW, None)
    late = [lateness.note(NOON, 1, 500.0, StageTimes()) for _ in range(5)]
    assert [len(told) for told in late] == [1, 2, 1, 1, 1], "one late boundary in twenty is still within 95 %"
    assert lateness.drifted
    alert = lateness.alert()
    assert alert is not None
    assert (alert.kind, alert.priority) == ("scanner_timing_drift", "P2")
    for _ in range(WINDOW):
        lateness.note(NOON, 1, 1.0, StageTimes())
    assert (lateness.drifted, lateness.alert(), lateness.p95_ms) == (False, None, 1.0)


def test_a_replay_without_pace_is_never_late() -> None:
    lateness = Lateness(100.0)
    for _ in range(50):
        lateness.note(NOON, 1, 0.0, StageTimes(radar_ms=5000))
    assert not lateness.drifted


def test_a_tolerance_that_makes_no_sense_is_refused() -> None:
    for tolerance in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="above zero"):
            Lateness(tolerance)


# --- health ---------------------------------------------------------------------------------------------------------


def board_where_all_is_well() -> HealthBoard:
    board = HealthBoard()
    for name in COMPONENTS:
        board.succeeded(name, NOON, 1.0)
    return board


def report(board: HealthBoard) -> Any:
    return board.report(version="0", journal_seq=2, durable_seq=1, at=datetime.now(UTC))


def test_before_anything_was_started_the_platform_is_failed() -> None:
    board = HealthBoard()
    assert report(board).status == HealthStatus.FAILED
    assert set(report(board).critical_down) == CRITICAL


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_failed_component_fails_the_platform_only_if_it_is_critical(component: str) -> None:
    board = board_where_all_is_well()
    assert report(board).status == HealthStatus.HEALTHY
    board.failed(component, "it is gone")
    found = report(board)
    assert found.status == (HealthStatus.FAILED if component in CRITICAL else HealthStatus.DEGRADED)
    assert found.critical_down == ((component,) if component in CRITICAL else ())
    worst = found.components[0]
    assert (worst.component, worst.detail, worst.last_success) == (component, "it is gone", NOON)
    board.succeeded(component, NOON + timedelta(seconds=1), 3.0)
    assert report(board).status == HealthStatus.HEALTHY
    assert board.of(component).latency_ms == 3.0


def test_only_a_change_of_status_is_news() -> None:
    board = board_where_all_is_well()
    known = {c.component: c for c in board.components()}
    board.succeeded("store", NOON + timedelta(seconds=5), 2.0)
    assert changed(known, board.components()) == []
    board.degraded("bus", "slow")
    assert [c.component for c in changed(known, board.components())] == ["bus"]


def test_a_component_nobody_knows_is_named() -> None:
    with pytest.raises(KeyError, match="redis"):
        HealthBoard().succeeded("redis", NOON)


def test_a_pair_is_told_in_pips_and_a_share_is_not() -> None:
    held = Position(strategy_id="fx", symbol="EURUSD", qty=Decimal(-1000), cost=Decimal(-1234))
    instrument = forex_pair("EURUSD")
    assert view_rows._pips(held, Decimal("1.2328"), instrument) == Decimal("12.0")
    yen = Position(strategy_id="fx", symbol="USDJPY", qty=Decimal(1000), cost=Decimal(110_000))
    assert view_rows._pips(yen, Decimal("109.955"), forex_pair("USDJPY")) == Decimal("-4.5")
    share = Position(strategy_id="us", symbol="AAPL", qty=Decimal(10), cost=Decimal(1000))
    assert view_rows._pips(share, Decimal(110), us_equity("AAPL")) is None
