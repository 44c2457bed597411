"""The Core API over a real socket: who is let in, what is answered, and that nobody waits for anybody else."""

import asyncio
import json
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from qmworkbench.domain.chain import Record
from qmworkbench.domain.commands import EmergencyLiquidateAndHalt, Pause
from qmworkbench.domain.events import encode, wire_name
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.ports import JournalFailed
from qmworkbench.service.api import create_api
from qmworkbench.service.api_server import ApiAddress, ApiServer, ApiUnavailable, remove_address, write_address
from qmworkbench.service.chronicle import CommandAnswer
from qmworkbench.service.command_desk import CommandDesk, CommandRequest
from qmworkbench.service.health import COMPONENTS, HealthBoard, HealthReport
from qmworkbench.service.views import View, ViewBuilder
from tests.service.fakes import NOON

TOKEN = "a-token-of-this-test"
PATIENCE_S = 120.0


class FakePlatform:
    """Holds one view, answers commands with their name, and can be told to fail or to be slow."""

    def __init__(self) -> None:
        self.builder = ViewBuilder()
        self.board = HealthBoard()
        for name in COMPONENTS:
            self.board.succeeded(name, NOON)
        self.shown = self._built({"phase": "market_session"})
        self.taken: list[CommandRequest] = []
        self.executed: list[CommandRequest] = []
        self.answers: dict[str, CommandAnswer] = {}
        self.failing: Exception | None = None
        self.held: threading.Event | None = None
        self.desk = CommandDesk(self._execute, answered=self.answers.get, wall=lambda: NOON)

    def _built(self, content: dict[str, Any]) -> View:
        built = self.builder.build(content, seq=1, wall_at=NOON)
        assert built is not None
        return built

    def change(self, **content: Any) -> None:
        self.shown = self._built(content)

    def view(self) -> View:
        return self.shown

    def health(self) -> HealthReport:
        return self.board.report(version="0", journal_seq=5, durable_seq=4, at=NOON)

    async def command(self, request: CommandRequest) -> CommandAnswer:
        self.taken.append(request)
        return await self.desk.take(request)

    async def _execute(self, request: CommandRequest) -> CommandAnswer:
        self.executed.append(request)
        if self.failing is not None:
            raise self.failing
        if self.held is not None:
            await asyncio.to_thread(self.held.wait, PATIENCE_S)
        answer = CommandAnswer(accepted=True, command_id=request.command_id, effect=type(request.command).__name__)
        self.answers[request.command_id] = answer
        return answer

    async def events(self, after: int, limit: int, types: Sequence[str]) -> tuple[list[Record], int]:
        records = []
        for seq in range(after + 1, 4):
            event = ClockTicked(at=NOON + timedelta(seconds=seq))
            if not types or wire_name(event) in types:
                records.append(Record(seq=seq, type=wire_name(event), payload=encode(event), prev_hash="", hash=""))
        return records[:limit], 3

    async def why(self, symbol: str, at: str) -> tuple[Sequence[str], dict[str, Any]]:
        if at == "25:00":
            raise ValueError("25:00 is no time")
        return [f"{symbol} at {at}"], {"boundary": 34}


class Served:
    def __init__(self) -> None:
        self.platform = FakePlatform()
        self.url = ""
        self._started = threading.Event()
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(PATIENCE_S)
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the usual authorities take long to load
        self.stranger = httpx.Client(base_url=self.url, timeout=PATIENCE_S, verify=plain)
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE_S, verify=plain
        )

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = ApiServer(create_api(self.platform, TOKEN), host="127.0.0.1", port=0)
        self.url = await server.start()
        self._started.set()
        await self._stop.wait()
        await server.stop()

    def close(self) -> None:
        self.client.close()
        self.stranger.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)

    def post(self, **changes: Any) -> httpx.Response:
        return self.client.post("/api/commands", json=command(**changes))


def command(**changes: Any) -> dict[str, Any]:
    body = {
        "command_id": "c1",
        "client_ts": NOON.isoformat(),
        "state_version": 1,
        "operator": "ana",
        "origin": "page",
        "command": {"command": "pause", "reason": "lunch"},
    }
    return {name: value for name, value in (body | changes).items() if value is not ...}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture
def api(served: Served) -> Served:
    served.platform.__init__()  # type: ignore[misc]
    return served


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN]
)
@pytest.mark.parametrize(
    "path", ["/api/snapshot", "/api/events", "/api/why?symbol=SPY&at=10:04", "/api/commands", "/nowhere"]
)
def test_nothing_is_told_without_the_token(api: Served, authorization: str | None, path: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    method = "POST" if path == "/api/commands" else "GET"
    response = api.stranger.request(method, path, headers=headers, json=command() if method == "POST" else None)
    assert response.status_code == 401
    assert "api.json" in response.json()["remedy"]
    assert api.platform.executed == []


def test_a_prober_without_token_learns_the_status_code_alone(api: Served) -> None:
    response = api.stranger.get("/api/health")
    assert (response.status_code, response.json()) == (200, {})
    api.platform.board.failed("store", "the disk is full")
    assert api.stranger.get("/api/health").status_code == 503


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.0.2.7", "[::2]", ""])
def test_a_name_that_was_made_to_point_here_is_refused(api: Served, host: str) -> None:
    response = api.client.get("/api/snapshot", headers={"Host": host})
    assert response.status_code in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "LOCALHOST", "[::1]:9"])
def test_every_name_of_this_machine_is_served(api: Served, host: str) -> None:
    assert api.client.get("/api/snapshot", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_a_page_of_another_site_is_refused_even_with_the_token(api: Served, origin: str) -> None:
    response = api.client.post("/api/commands", json=command(), headers={"Origin": origin})
    assert response.status_code == 403
    assert api.platform.executed == []


def test_the_command_centers_own_page_is_served(api: Served) -> None:
    assert api.client.get("/api/snapshot", headers={"Origin": "http://localhost:5006"}).status_code == 200


def test_health_with_the_token_tells_every_component(api: Served) -> None:
    api.platform.board.degraded("market_data", "no bar for 3 boundaries")
    body = api.client.get("/api/health").json()
    assert (body["status"], body["journal_seq"], body["durable_seq"]) == ("degraded", 5, 4)
    assert body["components"][0]["component"] == "market_data"
    assert body["components"][0]["detail"] == "no bar for 3 boundaries"
    assert {c["component"] for c in body["components"] if c["critical"]} == {
        "store",
        "execution_broker",
        "risk_manager",
        "execution",
    }


def test_a_reader_who_has_this_version_is_told_so_and_nothing_else(api: Served) -> None:
    first = api.client.get("/api/snapshot").json()
    assert (first["version"], first["phase"]) == (1, "market_session")
    assert api.client.get("/api/snapshot?since=1").json() == {"version": 1, "unchanged": True}
    api.platform.change(phase="shutdown")
    second = api.client.get("/api/snapshot?since=1").json()
    assert (second["version"], second["phase"]) == (2, "shutdown")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/api/snapshot?since=x", "since"),
        ("/api/events?after=-1", "after"),
        ("/api/events?limit=5001", "limit"),
        ("/api/events?limit=1e3", "limit"),
        ("/api/why?symbol=SPY", "symbol and at"),
        ("/api/why?symbol=SPY&at=25:00", "25:00"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(api: Served, path: str, names: str) -> None:
    response = api.client.get(path)
    assert response.status_code == 422
    assert names in response.json()["reason"]
    assert response.json()["remedy"]


def test_events_are_given_after_a_sequence_with_their_own_numbers(api: Served) -> None:
    body = api.client.get("/api/events?after=1&limit=1&types=clock.ticked").json()
    assert body == {"events": [{"seq": 2, "type": "clock.ticked", "at": "2018-03-02T17:00:02Z"}], "head": 3}
    assert api.client.get("/api/events?types=other").json() == {"events": [], "head": 3}


def test_why_is_answered(api: Served) -> None:
    assert api.client.get("/api/why?symbol=SPY&at=10:04").json() == {
        "sentences": ["SPY at 10:04"],
        "evidence": {"boundary": 34},
    }


def test_a_command_is_carried_out_with_who_and_why(api: Served) -> None:
    response = api.post()
    assert (response.status_code, response.json()["accepted"]) == (200, True)
    (given,) = api.platform.executed
    assert (given.operator, given.origin, given.command) == ("ana", "page", Pause(reason="lunch"))


def test_the_same_command_id_is_one_command_even_when_both_are_under_way(api: Served) -> None:
    held = api.platform.held = threading.Event()
    answers: list[Any] = []
    senders = [threading.Thread(target=lambda: answers.append(api.post().json())) for _ in range(4)]
    for sender in senders:
        sender.start()
    while len(api.platform.taken) < 4:
        time.sleep(0.005)
    held.set()
    for sender in senders:
        sender.join()
    assert len(api.platform.executed) == 1
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)


def test_a_command_that_waited_in_a_hung_page_is_refused_and_an_emergency_is_not(api: Served) -> None:
    old = (NOON - timedelta(seconds=8)).isoformat()
    response = api.post(client_ts=old)
    assert response.status_code == 409
    assert "8.0 s old" in response.json()["reason"]
    assert api.platform.executed == []
    response = api.post(command_id="c2", client_ts=old, command={"command": "emergency", "reason": ""})
    assert response.status_code == 200
    assert isinstance(api.platform.executed[0].command, EmergencyLiquidateAndHalt)


def test_a_command_from_the_future_is_refused(api: Served) -> None:
    response = api.post(client_ts=(NOON + timedelta(seconds=60)).isoformat())
    assert response.status_code == 409
    assert "ahead" in response.json()["reason"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"command": {"command": "sell_everything", "reason": "x"}}, "sell_everything"),
        ({"command": {"command": "pause"}}, "reason"),
        ({"command": {"command": "pause", "reason": "  "}}, "reason"),
        ({"command": {"command": "pause", "reason": "x" * 2001}}, "2001"),
        ({"command": {"command": "block", "reason": "x"}}, "symbol"),
        ({"command_id": ""}, "command_id"),
        ({"command_id": "x" * 101}, "command_id"),
        ({"operator": " "}, "operator"),
        ({"client_ts": "2018-03-02T10:00:00"}, "time zone"),
        ({"client_ts": ...}, "client_ts"),
        ({"also": 1}, "also"),
    ],
)
def test_a_malformed_command_is_refused_in_a_sentence(api: Served, changes: dict[str, Any], names: str) -> None:
    response = api.post(**changes)
    assert response.status_code == 422
    assert names in response.json()["reason"]
    assert api.platform.executed == []


def test_no_json_and_too_much_of_it_are_refused(api: Served) -> None:
    assert api.client.post("/api/commands", content=b"pause!").status_code == 422
    assert api.client.post("/api/commands", content=b" " * 70_000).status_code == 413


def test_without_a_journal_nothing_is_ordered_and_the_way_out_is_named(api: Served) -> None:
    api.platform.failing = JournalFailed("the disk is full")
    response = api.post()
    assert response.status_code == 503
    assert "--direct" in response.json()["remedy"]


def test_a_page_that_stops_reading_and_a_slow_command_hold_nobody_up(api: Served) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    mute = socket.create_connection((host, int(port)))
    mute.sendall(b"GET /api/snapshot HTTP/1.1\r\nHost: localhost\r\n")  # and never finishes its request
    held = api.platform.held = threading.Event()
    slow = threading.Thread(target=api.post)
    slow.start()
    while not api.platform.executed:
        time.sleep(0.005)
    assert api.client.get("/api/snapshot").status_code == 200
    assert slow.is_alive(), "the snapshot was answered while the command was still being carried out"
    held.set()
    slow.join()
    mute.close()


def test_a_port_that_is_taken_is_named_with_its_remedy() -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()

    async def start() -> None:
        await ApiServer(create_api(FakePlatform(), TOKEN), host="127.0.0.1", port=taken.getsockname()[1]).start()

    with pytest.raises(ApiUnavailable, match=r"service\.port"):
        asyncio.run(start())
    taken.close()


def test_the_address_is_for_its_owner_alone_and_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "api.json"
    address = ApiAddress(url="http://127.0.0.1:1", token=TOKEN, pid=1, process_id="p1", started_at=NOON)
    write_address(path, address)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["url"] == "http://127.0.0.1:1"
    remove_address(path, "another process")
    assert path.exists()
    remove_address(path, "p1")
    assert not path.exists()
    remove_address(path, "p1")
