"""A platform watched from elsewhere: its screen over Redis, no command, and nothing of a platform that is gone."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from qmworkbench.bus.redis_streams import LiveState, client_of
from qmworkbench.domain.commands import Pause
from qmworkbench.domain.events import wire_name
from qmworkbench.domain.events.session import PreflightRecorded, SessionOpened, SessionSummarized
from qmworkbench.service import live_state
from qmworkbench.service.api import create_api
from qmworkbench.service.health import HealthBoard, HealthReport
from qmworkbench.service.live import serve_day
from qmworkbench.service.live_state import Origin, encoded, key_of
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.views import ViewBuilder
from qmworkbench.service.watched import WatchedPlatform
from tests import servers
from tests.service.conftest import events_of
from tests.service.day_process import all_good
from tests.service.fakes import NOON

TOKEN = "a-token-of-this-test"
MILESTONES = (SessionOpened, PreflightRecorded, SessionSummarized)


def report() -> HealthReport:
    return HealthBoard().report(version="1", journal_seq=3, durable_seq=3, at=NOON)


def origin(process_id: str, stream: str = "qm:none:0:decisions") -> Origin:
    return Origin(host="desk", pid=7, process_id=process_id, since=NOON, stream=stream)


@pytest.fixture
def live() -> Iterator[tuple[str, str, LiveState]]:
    """A server's address, a book's name, and where its view is put."""
    url, book = servers.redis().url(), f"b{time.time_ns()}"
    with client_of(url) as client:
        yield url, book, LiveState(client, key_of("local", book), expires_s=300)


def asked(platform: WatchedPlatform, method: str, path: str, **how: object) -> httpx.Response:
    async def ask() -> httpx.Response:
        app = httpx.ASGITransport(create_api(platform, TOKEN))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=app, base_url="http://127.0.0.1", headers=headers) as client:
            return await client.request(method, path, **how)  # type: ignore[arg-type]

    return asyncio.run(ask())


def test_what_is_shown_expires_with_who_showed_it(live: tuple[str, str, LiveState]) -> None:
    url, book, state = live
    watched = WatchedPlatform(url, environment="local", book=book, poll_s=60)
    try:
        told = asked(watched, "GET", "/api/snapshot")
        assert (told.status_code, "no platform shows it in Redis" in told.json()["reason"]) == (503, True)
        builder = ViewBuilder()
        for process_id in ("first", "second"):
            # The second process counts its versions anew: what it shows must not pass for what is known.
            view = (builder if process_id == "first" else ViewBuilder()).build({"by": process_id}, seq=3, wall_at=NOON)
            assert view is not None
            state.put(3, encoded(origin(process_id), view, report()))
            watched.look()
            shown = asked(watched, "GET", "/api/snapshot").json()
            assert (shown["by"], shown["version"]) == (process_id, 1 if process_id == "first" else 2)
            assert asked(watched, "GET", f"/api/snapshot?since={shown['version']}").json()["unchanged"] is True
        assert asked(watched, "GET", "/api/health").json()["journal_seq"] == 3
        body = {
            "command_id": "c",
            "client_ts": datetime.now(UTC).isoformat(),
            "state_version": None,
            "operator": "kim",
            "origin": "page",
            "command": msgspec.to_builtins(Pause(reason="a test")),
        }
        answer = asked(watched, "POST", "/api/commands", json=body)
        assert answer.status_code == 409, answer.text
        assert answer.json()["reason"] == "this page watches process 7 on desk and gives no commands"
        assert asked(watched, "GET", "/api/why?symbol=A&at=10:00").status_code == 422
        assert asked(watched, "GET", "/api/order?id=x").status_code == 404
        with client_of(url) as client:
            (key,) = client.keys(f"*{book}*")
            assert 0 < client.pttl(key) <= 300_000, "it goes by itself, in its time"
            client.pexpire(key, 1)
            while client.exists(key):
                time.sleep(0.002)
        watched.look()
        assert asked(watched, "GET", "/api/snapshot").status_code == 503
    finally:
        watched.close()


def test_a_served_day_is_watched_with_its_milestones(short_plan: DayPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = dataclasses.replace(short_plan, book=f"w{time.time_ns()}", bus_url=servers.redis().url())
    monkeypatch.setattr(live_state, "PUT_EVERY_S", 0.05)
    result = asyncio.run(serve_day(plan, all_good))
    watched = WatchedPlatform(plan.bus_url, environment="local", book=plan.book, poll_s=60)
    try:
        shown = msgspec.json.decode(watched.view().body)
        assert (shown["book"], shown["session_id"]) == (plan.book, result.session)
        assert watched.origin is not None
        types = ("session.opened", "session.preflight_recorded", "session.summarized")
        records, head = asyncio.run(watched.events(0, 500, types))
        expected = [(n, event) for n, event in enumerate(events_of(plan), 1) if isinstance(event, MILESTONES)]
        assert [(record.seq, record.type) for record in records] == [(n, wire_name(event)) for n, event in expected]
        assert head <= len(events_of(plan))
        assert len(asyncio.run(watched.events(expected[0][0], 1, types))[0]) == 1
    finally:
        watched.close()
