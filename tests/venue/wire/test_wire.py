"""The venue on the wire as any client sees it: shapes, errors, limits, its stream, and a door that stays closed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import websocket

from qmworkbench.venue.records import VenueError
from qmworkbench.venue.wire.limiter import Limiter
from qmworkbench.venue.wire.names import TOKEN_HEADER, ns_from, rfc3339
from qmworkbench.venue.wire.server import listen
from tests.brokers.serving import KEY, PATIENCE_S, PLAIN, SECRET, TOKEN, Served, WireWorld, served
from tests.venue.worlds import World

ROOT = Path(__file__).resolve().parents[3]
FLAT = (100, 100, 100, 100)
BUY = {"symbol": "AAA", "side": "buy", "type": "market", "time_in_force": "day", "qty": "100"}


class Client:
    """Someone who knows Alpaca's interface and nothing of ours."""

    def __init__(self, venue: Served, *, key: str = KEY, secret: str = SECRET) -> None:
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        self.http = httpx.Client(
            base_url=venue.address.url, headers=headers, trust_env=False, timeout=PATIENCE_S, verify=PLAIN
        )

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, path, **more)

    def buys(self, **changes: Any) -> httpx.Response:
        return self("POST", "/v2/orders", json=BUY | changes)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "venue.db") as served_venue:
        yield served_venue


@pytest.fixture
def world(venue: Served) -> Iterator[World]:
    world = WireWorld(venue)
    world.bars(FLAT)
    yield world
    world.exchange.close()


@pytest.fixture
def client(venue: Served, world: World) -> Iterator[Client]:
    client = Client(venue)
    yield client
    client.http.close()


def spec() -> dict[str, Any]:
    file = ROOT.parent / "shared" / "fixtures" / "specs" / "alpaca" / "2026-06_trading-api.json"
    if not file.is_file():
        pytest.skip("the broker's specification (../shared/fixtures) is not beside this checkout")
    found: dict[str, Any] = json.loads(file.read_bytes())["components"]["schemas"]
    return found


def test_orders_positions_and_fills_have_the_fields_of_the_specification(client: Client, world: World) -> None:
    order = client.buys().json()
    world.bars(FLAT)
    known = spec()
    assert set(order) - {"qm"} <= set(known["Order"]["properties"]) | {"created_at", "updated_at", "filled_at"}
    for name, held in (("Order", order), ("Position", client("GET", "/v2/positions").json()[0])):
        missing = [field for field in known[name].get("required", ()) if field not in held]
        assert missing == []
    (fill,) = client("GET", "/v2/account/activities/FILL").json()
    assert set(fill) - {"qm"} == set(known["TradingActivities"]["properties"])
    stated = client("GET", "/v2/account").json()
    assert {"cash", "equity", "buying_power", "daytrade_count", "pattern_day_trader", "shorting_enabled"} <= set(stated)
    assert all(isinstance(stated[name], str) for name in ("cash", "equity", "buying_power"))
    assert client("GET", "/v2/clock").json()["is_open"] is True


@pytest.mark.parametrize(
    ("changes", "status", "number", "code"),
    [
        ({"symbol": "NOSUCH"}, 422, 42210000, "unknown_symbol"),
        ({"qty": "1000000"}, 403, 40310000, "insufficient_buying_power"),
        ({"side": "sell", "position_intent": "sell_to_close"}, 403, 40310000, "nothing_to_reduce"),
        ({"qty": "NaN"}, 422, 42210000, "malformed"),
        ({"qty": None, "notional": "500"}, 422, 42210000, "malformed"),
        ({"side": "hold"}, 422, 42210000, "malformed"),
        ({"order_class": "oco"}, 422, 42210000, "malformed"),
        ({"order_class": "bracket"}, 422, 42210000, "malformed"),
        ({"extended_hours": True}, 422, 42210000, "malformed"),
        ({"qm": {"surprise": 1}}, 422, 42210000, "malformed"),
    ],
)
def test_a_no_has_its_status_its_number_and_its_code(
    client: Client, changes: dict[str, Any], status: int, number: int, code: str
) -> None:
    answer = client.buys(**changes)
    assert (answer.status_code, answer.json()["code"], answer.json()["qm"]["code"]) == (status, number, code)
    assert client("GET", "/v2/orders", params={"status": "all"}).json() == []


def test_an_id_is_taken_once_and_an_order_found_by_it(client: Client) -> None:
    order = client.buys(client_order_id="mine").json()
    assert client.buys(client_order_id="mine").status_code == 422
    asked = {"client_order_id": "mine"}
    assert client("GET", "/v2/orders:by_client_order_id", params=asked).json()["id"] == order["id"]
    nobody = client("GET", "/v2/orders:by_client_order_id", params={"client_order_id": "nobody"})
    assert (nobody.status_code, nobody.json()["code"]) == (404, 40410000)


def test_legs_of_a_bracket_are_made_by_the_venue_and_nested_in_their_entry(client: Client, world: World) -> None:
    exits = {"stop_loss": {"stop_price": "95"}, "take_profit": {"limit_price": "105"}}
    entry = client.buys(order_class="bracket", client_order_id="in", **exits).json()
    assert [(leg["type"], leg["status"]) for leg in entry["legs"]] == [("stop", "held"), ("limit", "held")]
    assert len({leg["client_order_id"] for leg in entry["legs"]} | {"in"}) == 3
    world.bars(FLAT)
    open_now = client("GET", "/v2/orders", params={"status": "open", "nested": "true"}).json()
    assert [leg["status"] for leg in open_now[0]["legs"]] == ["new", "new"]


def test_a_replace_is_another_order_that_names_the_first(client: Client) -> None:
    first = client.buys(type="limit", limit_price="50").json()
    second = client("PATCH", f"/v2/orders/{first['id']}", json={"qty": "60"}).json()
    assert (second["replaces"], second["qty"]) == (first["id"], "60")
    before = client("GET", f"/v2/orders/{first['id']}").json()
    assert (before["status"], before["replaced_by"]) == ("replaced", second["id"])


def test_everything_is_cancelled_and_closed_with_one_answer_each(client: Client, world: World) -> None:
    client.buys()
    world.bars(FLAT)
    resting = [client.buys(type="limit", limit_price=px, qty="1").json()["id"] for px in ("50", "51")]
    cancelled = client("DELETE", "/v2/orders")
    assert cancelled.status_code == 207
    assert sorted(entry["id"] for entry in cancelled.json()) == sorted(resting)
    closed = client("DELETE", "/v2/positions")
    assert (closed.status_code, [entry["symbol"] for entry in closed.json()]) == (207, ["AAA"])
    world.bars(FLAT)
    assert client("GET", "/v2/positions").json() == []
    assert client("DELETE", "/v2/positions/AAA").status_code == 404
    late = client("DELETE", f"/v2/orders/{resting[0]}")
    assert (late.status_code, late.json()["message"]) == (422, 'order is already in "canceled" state')


def test_activities_come_page_by_page(client: Client, world: World) -> None:
    for _ in range(5):
        client.buys(qty="1")
    world.bars(FLAT)
    whole = client("GET", "/v2/account/activities/FILL", params={"direction": "asc"}).json()
    pages: list[Any] = []
    token: dict[str, str] = {}
    while page := client(
        "GET", "/v2/account/activities/FILL", params={"direction": "asc", "page_size": 2} | token
    ).json():
        pages += page
        token = {"page_token": page[-1]["id"]}
    assert pages == whole
    assert len(whole) == 5


def test_the_limit_is_told_in_headers_and_kept(tmp_path: Path) -> None:
    with served(tmp_path / "venue.db", per_minute=3) as venue:
        client = Client(venue)
        answers = [client("GET", "/v2/account") for _ in range(4)]
        client.http.close()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}


def test_a_minute_later_requests_pass_again() -> None:
    now = [0.0]
    limiter = Limiter(2, clock=lambda: now[0])
    assert [limiter.take() for _ in range(3)] == [True, True, False]
    now[0] = 60.1
    assert limiter.take()


def test_without_the_accounts_key_or_the_doors_token_nothing_opens(venue: Served, world: World) -> None:
    stranger = Client(venue, secret="another-secret-altogether")
    assert stranger("GET", "/v2/account").status_code == 401
    account_holder = Client(venue)
    for token in ("", SECRET, "wrong"):
        answer = account_holder("POST", "/control/halt", content=b"\x80", headers={TOKEN_HEADER: token})
        assert answer.status_code == 401
    body = msgspec.msgpack.encode({"symbol": "AAA", "halted": True})
    assert account_holder("POST", "/control/halt", content=body, headers={TOKEN_HEADER: TOKEN}).status_code == 200
    assert account_holder.buys().json()["qm"]["code"] == "halted"
    stranger.http.close()
    account_holder.http.close()


def test_the_stream_tells_in_binary_frames_whoever_has_said_who_they_are(
    venue: Served, client: Client, world: World
) -> None:
    def said(socket: Any, action: str, data: dict[str, Any]) -> Any:
        socket.send(json.dumps({"action": action, "data": data}))
        opcode, frame = socket.recv_data()
        assert opcode == websocket.ABNF.OPCODE_BINARY
        return json.loads(frame)["data"]

    socket = websocket.create_connection(f"ws{venue.address.url.removeprefix('http')}/stream", timeout=PATIENCE_S)
    try:
        assert said(socket, "authenticate", {"key_id": KEY, "secret_key": "wrong"})["status"] == "unauthorized"
        assert said(socket, "authenticate", {"key_id": KEY, "secret_key": SECRET})["status"] == "authorized"
        assert said(socket, "listen", {"streams": ["trade_updates", "weather"]})["streams"] == ["trade_updates"]
        client.buys()
        world.bars(FLAT)
        events = [json.loads(socket.recv_data()[1])["data"] for _ in range(2)]
    finally:
        socket.close()
    assert [event["event"] for event in events] == ["new", "fill"]
    assert {"execution_id", "price", "qty", "timestamp", "order"} <= set(events[1])


def test_a_venue_that_is_served_again_says_the_same(tmp_path: Path) -> None:
    def seen(venue: Served) -> list[Any]:
        client = Client(venue)
        paths = ("/v2/orders?status=all&nested=true", "/v2/account/activities/FILL", "/v2/positions")
        told = [client("GET", path).json() for path in paths]
        client.http.close()
        return told

    with served(tmp_path / "venue.db") as venue:
        world = WireWorld(venue)
        world.bars(FLAT)
        client = Client(venue)
        exits = {"stop_loss": {"stop_price": "95"}, "take_profit": {"limit_price": "105"}}
        client.buys(order_class="bracket", client_order_id="in", **exits)
        world.bars(FLAT)
        client.http.close()
        world.exchange.close()
        before = seen(venue)
    with served(tmp_path / "venue.db") as venue:
        assert seen(venue) == before


def test_it_listens_on_this_machine_alone() -> None:
    with pytest.raises(VenueError, match="on this machine alone"):
        listen(None, host="0.0.0.0")  # type: ignore[arg-type]


@pytest.mark.parametrize("ns", [0, 1, 999_999_999, 1_520_001_060_000_000_007])
def test_times_are_told_to_the_nanosecond_and_read_back(ns: int) -> None:
    assert ns_from(rfc3339(ns)) == ns
