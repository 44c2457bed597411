"""A day as a service: commanded over its API, decided as the plain loop decides, alone without readers."""

import asyncio
import dataclasses
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from qmworkbench.domain.commands import EmergencyLiquidateAndHalt, Pause
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import CommandReceived, EmergencyCompleted
from qmworkbench.domain.events.orders import OrderIntended, TradeClosed
from qmworkbench.domain.events.reconciliation import SessionRecovered
from qmworkbench.domain.events.session import HealthObserved, SessionClosed, SessionEnding, SessionOpened
from qmworkbench.domain.events.telemetry import BoundaryTimed, HealthSampled, ProcessEnded, ProcessStarted
from qmworkbench.domain.execution import BrokerOrder
from qmworkbench.domain.orders import Leg, PositionEffect
from qmworkbench.domain.sessions import TradingState
from qmworkbench.ports import JournalFailed
from qmworkbench.service import health_watch, lanes
from qmworkbench.service import live as live_day
from qmworkbench.service.blocking import BesideTheLoop
from qmworkbench.service.command_desk import CommandRequest
from qmworkbench.service.direct_report import Patience
from qmworkbench.service.direct_takeover import InProcessEmergency
from qmworkbench.service.headless import run_headless
from qmworkbench.service.health_watch import look
from qmworkbench.service.live import LiveDay, serve_day
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform, StopRequested, open_platform
from qmworkbench.service.result import DayResult
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.trading.fold import fold
from tests.service.conftest import events_of
from tests.service.day_process import all_good, plan_for

PACE = 14_400.0  # market seconds per wall second: 120 minutes in half a second, where the machine is as quick
PATIENCE_S = 300.0  # until something is given up that happens on any machine


class Day:
    """A day served in a thread of its own; the test is its operator. API and view stay until `over`, or `stopped`.

    Its market stands still in `where` from the first position on, until `go_on`: however slow the machine, what the
    test does then happens in the middle of a day in which something is held.
    """

    def __init__(self, plan: DayPlan, where: tuple[str, str] = ("frames", "compute")) -> None:
        self.plan = plan
        self._where = where
        self.stands = threading.Event()
        self._goes = threading.Event()
        self.result: DayResult | None = None
        self.error: BaseException | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.client = self._connected()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.error = error
        finally:
            self._closed.set()

    async def _serve(self) -> None:
        def closed(result: DayResult) -> None:
            self.result = result
            self._closed.set()

        self._loop = asyncio.get_running_loop()
        with open_platform(self.plan, work=BesideTheLoop()) as self.platform:
            self.platform.boundary_listeners.append(self._stand_still_once_holding)
            self._live = LiveDay(self.platform)
            await self._live.run(all_good, stay=True, on_closed=closed)

    def _stand_still_once_holding(self, _: object) -> None:
        """At the first boundary: by then everything is there whose calls can be held up."""
        if self.platform.day.boundary > 1:
            return
        whose, name = getattr(self.platform, self._where[0]), self._where[1]
        call = getattr(whose, name)

        def standing(*arguments: Any) -> Any:
            if self.platform.state.positions and not self._goes.is_set():
                self.stands.set()
                assert self._goes.wait(PATIENCE_S)
            return call(*arguments)

        setattr(whose, name, standing)

    def go_on(self) -> None:
        self._goes.set()

    def _connected(self) -> httpx.Client:
        path = self.plan.paths.api_json
        self.until(path.exists)
        address = json.loads(path.read_text())
        return httpx.Client(
            base_url=address["url"], headers={"Authorization": f"Bearer {address['token']}"}, timeout=PATIENCE_S
        )

    def until(self, holds: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = holds()
            if found:
                return found
            assert self._thread.is_alive(), f"the day ended before that: {self.error or self.result}"
            time.sleep(0.005)
        raise AssertionError(f"it did not come to that within {PATIENCE_S:g} s")

    def view(self) -> dict[str, Any]:
        found = self.client.get("/api/snapshot").json()
        assert isinstance(found, dict)
        return found

    def seen(self, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.until(lambda: view if holds(view := self.view()) else None)
        return found

    def order(self, command: str, **arguments: Any) -> httpx.Response:
        return self.client.post(
            "/api/commands",
            json={
                "command_id": uuid.uuid4().hex,
                "client_ts": datetime.now(UTC).isoformat(),
                "operator": "ana",
                "origin": "test",
                "command": {"command": command, "reason": "the test wants it"} | arguments,
            },
        )

    def stop(self) -> None:
        """What Ctrl-C does."""
        self._loop.call_soon_threadsafe(self._live.stop, "stopped by the test")

    def over(self) -> DayResult:
        """Let the market go on, wait for the close, then leave."""
        self.go_on()
        assert self._closed.wait(PATIENCE_S)
        if self.error is None:
            self.stop()
        self._thread.join(PATIENCE_S)
        self.client.close()
        if self.error is not None:
            raise self.error
        assert self.result is not None, "the day did not end"
        return self.result


@pytest.fixture
def paced(short_plan: DayPlan) -> DayPlan:
    return dataclasses.replace(short_plan, speed=PACE)


def holding(view: dict[str, Any]) -> bool:
    return bool(view["positions"])


def entries(events: list[Event]) -> list[Event]:
    return [
        event
        for event in events
        if isinstance(event, OrderIntended) and event.request.position_effect is PositionEffect.OPEN
    ]


def after(events: list[Event], command: str) -> list[Event]:
    """What came after a command."""
    at = next(
        number
        for number, event in enumerate(events)
        if isinstance(event, CommandReceived) and event.command.__struct_config__.tag == command
    )
    return events[at:]


def test_without_a_command_it_decides_as_the_plain_loop_does_and_leaves_no_address(
    paced: DayPlan, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that stalls for a second is a broker that hangs, or a disk: then the clock is told, and recorded.
    monkeypatch.setattr(live_day, "HANGS_AFTER_S", 3600.0)
    monkeypatch.setattr(lanes, "HANGS_AFTER_S", 3600.0)
    monkeypatch.setattr(health_watch, "COMMIT_LIMIT_S", 3600.0)
    plain = plan_for(tmp_path_factory.mktemp("plain"), paced.data, compute="one-pass")
    expected = run_headless(plain, all_good)
    served = dataclasses.replace(paced, speed=2 * PACE)
    mute: list[socket.socket] = []

    def a_page_dies_while_asking(platform: Platform) -> None:
        def at_boundary(delivery: object) -> None:
            if not mute:
                address = json.loads(served.paths.api_json.read_text())
                host, port = address["url"].removeprefix("http://").split(":")
                mute.append(socket.create_connection((host, int(port))))
                mute[0].sendall(b"GET /api/snapshot HTTP/1.1\r\nHost: localhost\r\n")

        platform.boundary_listeners.append(at_boundary)

    result = asyncio.run(serve_day(served, all_good, on_open=a_page_dies_while_asking))
    mute[0].close()
    opened = [next(e for e in events_of(plan) if isinstance(e, SessionOpened)) for plan in (plain, paced)]
    if opened[0].code_version == opened[1].code_version:
        assert result.decision_head == expected.decision_head
    assert events_of(paced)[1:] == events_of(plain)[1:]
    assert not paced.paths.api_json.exists()


def test_a_pause_stops_entries_and_a_resume_needs_every_line(paced: DayPlan) -> None:
    day = Day(paced)
    day.seen(holding)
    answer = day.order("pause")
    assert (answer.status_code, answer.json()["effect"]) == (200, TradingState.REDUCING.shown)
    view = day.seen(lambda view: view["trading_state"]["state"] == "reducing")
    assert (view["trading_state"]["by"], view["trading_state"]["code"]) == ("ana", "operator_pause")
    refused = day.order(
        "resume", incident="", cause_understood=True, internal_state_repaired=True, risk_controls_verified=False
    )
    assert refused.status_code == 409, refused.json()
    assert "risk controls verified" in refused.json()["reason"]
    result = day.over()
    told = after(events_of(paced), "pause")
    assert entries(told) == []
    assert result.breaks == 0


def test_emergency_liquidates_everything_and_the_book_stays_halted(paced: DayPlan) -> None:
    day = Day(paced)
    held = {position["symbol"] for position in day.seen(holding)["positions"]}
    answer = day.order("emergency", reason="")
    assert answer.status_code == 200
    assert "until flat" in answer.json()["effect"]
    day.go_on()
    view = day.seen(lambda view: view["emergency"] and view["emergency"]["completed_at"])
    assert view["positions"] == []
    assert view["trading_state"]["shown"] == TradingState.HALTED.shown
    assert held <= {line["symbol"] for line in view["emergency"]["lines"] if line["step"] == "flat"}
    assert any(alert["kind"] == "emergency_halt" and alert["priority"] == "P0" for alert in view["alerts"])
    result = day.over()
    told = after(events_of(paced), "emergency")
    assert any(isinstance(event, EmergencyCompleted) for event in told)
    assert entries(told) == []
    state = fold(events_of(paced))
    assert (state.halt.state, state.positions, result.breaks) == (TradingState.HALTED, {}, 0)


def test_an_emergency_goes_out_while_a_frame_is_still_being_computed(paced: DayPlan) -> None:
    day = Day(paced)
    day.until(day.stands.is_set)
    boundary = day.platform.day.boundary
    assert day.order("emergency").status_code == 200
    state = day.platform.state
    resting = (Leg.STOP, Leg.TARGET, Leg.CLOSE)
    assert [order for order in state.orders.values() if order.leg in resting]
    day.until(lambda: state.emergency and not [order for order in state.working() if order.leg in resting])
    assert day.platform.day.boundary == boundary, "no further bars had been taken in when the broker confirmed"
    day.over()
    assert fold(events_of(paced)).positions == {}


@pytest.mark.parametrize("where", [("broker", "reports"), ("exchange", "on_frame"), ("bars", "append")])
def test_market_time_never_runs_past_bars_that_are_being_taken_in(paced: DayPlan, where: tuple[str, str]) -> None:
    """However long it takes to take in a boundary, what is ordered meanwhile is dated before its bars."""
    day = Day(paced, where)
    day.until(day.stands.is_set)
    time.sleep(5 * 60 / PACE)  # five boundaries' worth of wall time
    assert day.order("add_note", kind="operator").status_code == 200
    assert day.over().breaks == 0


def test_a_blocked_symbol_never_comes_back_and_a_dropped_one_is_let_go(paced: DayPlan) -> None:
    day = Day(paced)
    day.until(day.stands.is_set)
    watched = day.platform.day.watchlist
    symbol = next(item.symbol for item in watched.values() if item.state in ("assigned", "entered"))
    assert day.order("block", symbol="NOSUCH").status_code == 409
    assert day.order("block", symbol=symbol).status_code == 200
    view = day.seen(lambda view: [b for b in view["risk"]["blocked"] if b["symbol"] == symbol])
    assert next(item["state"] for item in view["watchlist"] if item["symbol"] == symbol) == "blocked"
    day.over()
    assert [e for e in entries(after(events_of(paced), "block")) if e.request.symbol == symbol] == []  # type: ignore[attr-defined]


def test_an_early_end_leaves_flat_and_closes_the_session(paced: DayPlan) -> None:
    day = Day(paced)
    day.seen(holding)
    assert day.order("end_session").status_code == 200
    result = day.over()
    events = events_of(paced)
    ending = next(event for event in events if isinstance(event, SessionEnding))
    assert ending.reason == "ended early: the test wants it"
    assert ending.at < paced.data.window.closes_at
    assert isinstance(events[-1], SessionClosed)
    assert fold(events).positions == {}
    assert (result.breaks, result.bars < paced.data.bars) == (0, True)
    assert any(isinstance(event, TradeClosed) for event in after(events, "end_session"))


def test_what_is_served_while_it_runs(paced: DayPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_watch, "COMMIT_LIMIT_S", 3600.0)  # nor is a slow disk what is looked at here
    day = Day(paced)
    view = day.seen(holding)
    assert day.client.get(f"/api/snapshot?since={view['version'] + 10**6}").json()["version"] >= view["version"]
    health = day.client.get("/api/health").json()
    # Boundaries and the event loop may run late on a busy machine; nothing else may be wrong.
    assert {c["component"] for c in health["components"] if c["status"] != "healthy"} <= {"scanner", "api"}, health
    assert len(health["components"]) == 10
    assert health["journal_seq"] >= health["durable_seq"] > 0
    body = day.client.get("/api/events?after=0&limit=3").json()
    assert [event["seq"] for event in body["events"]] == [1, 2, 3]
    assert body["events"][0]["type"] == "session.opened"
    assert body["head"] >= 3
    only = day.client.get("/api/events?types=order.intended&limit=5").json()["events"]
    assert {event["type"] for event in only} == {"order.intended"}
    symbol = only[0]["request"]["symbol"]
    before = day.platform.day.boundary_at - timedelta(minutes=2)  # type: ignore[operator]
    answer = day.client.get(f"/api/why?symbol={symbol}&at={before.astimezone(ZoneInfo('America/New_York')):%H:%M}")
    assert answer.status_code == 200
    assert answer.json()["evidence"]["verified"]
    assert day.client.get("/api/why?symbol=X&at=noon").status_code == 422
    assert day.order("end_session").status_code == 200
    day.over()
    with JournalReader(paced.paths.journal) as journal:
        told = [type(event) for _, event in journal.events(stream="telemetry")]
    assert told[0] is ProcessStarted
    assert told[-1] is ProcessEnded
    assert {BoundaryTimed, HealthSampled} <= set(told)


def test_a_stop_ends_it_at_a_safe_point_and_the_plain_loop_can_finish_the_day(paced: DayPlan) -> None:
    day = Day(paced)
    day.seen(holding)
    day.stop()
    day.go_on()
    with pytest.raises(StopRequested):
        day.over()
    assert not paced.paths.api_json.exists()
    result = run_headless(paced, all_good)
    assert (result.recovered, result.breaks) == (True, 0)


def test_what_a_takeover_has_not_started_yet_has_not_gone_down(
    short_plan: DayPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that cries wolf at each takeover is not read at the next one."""
    first: list[Platform] = []

    def stops(delivery: object) -> None:
        first[0].stop = "stopped by the test" if first[0].state.positions else ""

    with pytest.raises(StopRequested):
        run_headless(short_plan, all_good, on_open=first.append, on_boundary=stops)
    before = len(events_of(short_plan))
    monkeypatch.setattr(live_day, "HEALTH_EVERY_S", 0.01)
    rounds = threading.Event()

    def opened(platform: Platform) -> None:
        durability, telemetry, seen = platform.journal.durability, platform.shell.telemetry, 0

        def told(events: Any) -> None:
            nonlocal seen
            seen += 1
            if seen > 2:
                rounds.set()  # the watch has looked, and might have put on record what it saw
            telemetry(events)

        def slow() -> dict[str, str]:
            assert rounds.wait(PATIENCE_S)
            return durability()

        platform.journal.durability, platform.shell.telemetry = slow, told  # type: ignore[method-assign]

    again = dataclasses.replace(short_plan, standby=True, speed=PACE)
    result = asyncio.run(serve_day(again, all_good, on_open=opened))
    assert result.recovered
    later = events_of(again)[before:]
    assert any(isinstance(event, SessionRecovered) for event in later)
    assert [event for event in later if isinstance(event, HealthObserved)] == []


def test_when_the_journal_fails_health_says_so_and_only_the_emergency_goes_out(paced: DayPlan) -> None:
    direct = Direct()

    async def served() -> None:
        with open_platform(paced, work=BesideTheLoop()) as platform:
            live = LiveDay(platform, direct_emergency=direct)
            task = asyncio.create_task(live.run(all_good))
            while not platform.state.positions:  # noqa: ASYNC110  (the kernel sets no event for a test)
                await asyncio.sleep(0.01)

            async def fails() -> int:
                raise JournalFailed("the disk is full")

            synced, platform.journal.synced = platform.journal.synced, fails  # type: ignore[method-assign]
            with pytest.raises(JournalFailed):
                await platform.shell.durable()
            platform.journal.synced = synced  # type: ignore[method-assign]
            assert live.core.health().status in ("healthy", "degraded", "failed")
            look(platform, serving=True, loop_lag_ms=0.0)
            assert live.core.health().status == "failed"
            await live.core.refresh()
            assert b"platform_stopped" in live.core.view().body
            common: dict[str, Any] = {"client_ts": platform.wall(), "operator": "ana", "origin": "test"}
            with pytest.raises(JournalFailed):
                await live.core.command(CommandRequest(command_id="1", command=Pause(reason="x"), **common))
            answer = await live.core.command(
                CommandRequest(command_id="2", command=EmergencyLiquidateAndHalt(reason="now"), **common)
            )
            assert (answer.accepted, answer.effect) == (True, "everything was closed directly")
            with pytest.raises(JournalFailed):
                await task

    asyncio.run(served())
    assert direct.asked == [("ana", "now")]


class Direct:
    """A direct emergency that only takes note of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, operator: str, reason: str) -> str:
        self.asked.append((operator, reason))
        return "everything was closed directly"

    def shown(self) -> dict[str, Any] | None:
        return {"by": self.asked[-1][0], "lines": []} if self.asked else None

    async def finished(self, wait_s: float) -> bool:
        return True


def test_an_emergency_that_the_journals_failure_cuts_off_goes_on_by_itself(paced: DayPlan) -> None:
    """hummingbot #2534: the kill switch crashed, and orders went on."""
    emergency = InProcessEmergency(Patience(wait_s=1.0, poll_s=0.05))
    at_the_venue: list[BrokerOrder] = []
    held: list[str] = []

    async def served() -> None:
        with open_platform(paced, work=BesideTheLoop()) as platform:
            emergency.opened(platform)
            live = LiveDay(platform, direct_emergency=emergency)
            task = asyncio.create_task(live.run(all_good))
            while not platform.state.positions:  # noqa: ASYNC110  (the kernel sets no event for a test)
                await asyncio.sleep(0.01)

            async def fails() -> int:
                raise JournalFailed("the disk is full")

            now = {"client_ts": platform.wall(), "operator": "ana", "origin": "test"}
            platform.shell.decide(
                CommandReceived(
                    at=live.pace.market_now(),
                    command_id="1",
                    command=EmergencyLiquidateAndHalt(reason="enough"),
                    operator=now["operator"],
                    origin=now["origin"],
                )
            )
            platform.journal.synced = fails  # type: ignore[method-assign]
            held.extend(platform.state.held_symbols())
            with pytest.raises(JournalFailed):
                await task
            at_the_venue.extend(platform.broker.open_orders())

    asyncio.run(served())
    assert emergency.report is not None
    assert "goes on without the platform's journal" in emergency.shown()["reason"]  # type: ignore[index]
    assert sorted(order.symbol for order in at_the_venue) == sorted(set(held)), "one close each, and nothing else"
    assert {order.position_effect for order in at_the_venue} == {PositionEffect.CLOSE}
