"""The page's door to the Core API: what it finds, what it sends, and every way the other side can fail."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards.core_api import (
    ApiTrouble,
    CoreApi,
    Endpoint,
    EndpointInvalid,
    book_endpoint,
    checked,
    given_endpoint,
    page_key,
)
from dashboards.reading import LinkState
from tests.dashboards import scenarios
from tests.dashboards.fake_core_api import TOKEN, FakeCoreApi


@pytest.fixture
def fake() -> Iterator[FakeCoreApi]:
    served = FakeCoreApi(scenarios.day(), scenarios.health())
    yield served
    served.close()


@pytest.fixture
def api(fake: FakeCoreApi, tmp_path: Path) -> Iterator[CoreApi]:
    fake.write_api_json(tmp_path)
    door = CoreApi(book_endpoint(tmp_path))
    yield door
    door.close()


def test_the_whole_snapshot_then_nothing_new(api: CoreApi) -> None:
    endpoint = api.locate()
    snapshot = api.snapshot(endpoint, None)
    assert snapshot is not None
    assert snapshot["version"] == 40
    assert api.snapshot(endpoint, 40) is None
    assert api.snapshot(endpoint, 39) is not None


def test_a_failed_platforms_503_is_a_report(api: CoreApi, fake: FakeCoreApi) -> None:
    fake.health = scenarios.health("failed", store=("failed", "disk full"))
    assert api.health(api.locate())["status"] == "failed"


def test_events_are_read_to_the_end(api: CoreApi, fake: FakeCoreApi) -> None:
    fake.events = [{"seq": n, "type": "session.opened"} for n in range(1, 1203)]
    fake.events.append({"seq": 1300, "type": "order.intended"})
    found = api.events(api.locate(), ("session.opened", "session.summarized"))
    assert [event["seq"] for event in found] == list(range(1, 1203))


def test_the_token_is_sent_and_a_wrong_one_is_refused_in_words(fake: FakeCoreApi) -> None:
    door = CoreApi(lambda: Endpoint(fake.url, "wrong"))
    with pytest.raises(ApiTrouble) as caught:
        door.snapshot(door.locate(), None)
    assert caught.value.link.state is LinkState.REFUSED
    assert "401: the token is missing or wrong" in caught.value.link.detail
    assert fake.headers == ["Bearer wrong"]
    door.close()


def test_nobody_listens(api: CoreApi, fake: FakeCoreApi) -> None:
    endpoint = api.locate()
    fake.stop()
    with pytest.raises(ApiTrouble) as caught:
        api.snapshot(endpoint, None)
    assert caught.value.link.state is LinkState.DOWN
    assert caught.value.link.detail == f"nothing answers at 127.0.0.1:{fake.port}"


def test_something_else_listens(api: CoreApi, fake: FakeCoreApi) -> None:
    fake.mode = "garbage"
    with pytest.raises(ApiTrouble) as caught:
        api.snapshot(api.locate(), None)
    assert "not what the Core API sends" in caught.value.link.detail


def test_a_snapshot_without_version_is_none(api: CoreApi, fake: FakeCoreApi) -> None:
    fake.snapshot = {"version": "new"}
    with pytest.raises(ApiTrouble, match="no version"):
        api.snapshot(api.locate(), None)


def test_a_refused_command_is_an_answer_not_a_trouble(api: CoreApi, fake: FakeCoreApi) -> None:
    fake.answer["pause"] = (409, {"accepted": False, "reason": "too old", "remedy": "again"})
    code, answer = api.command({"command_id": "c1", "command": {"command": "pause"}})
    assert (code, answer["reason"], answer["command_id"]) == (409, "too old", "c1")


def test_a_command_to_nobody_was_not_delivered(api: CoreApi, fake: FakeCoreApi, tmp_path: Path) -> None:
    fake.stop()
    with pytest.raises(ApiTrouble) as caught:
        api.command({"command_id": "c1", "command": {"command": "pause"}})
    assert not caught.value.delivered
    (tmp_path / "api.json").unlink()
    with pytest.raises(ApiTrouble) as caught:
        api.command({"command_id": "c1", "command": {"command": "pause"}})
    assert caught.value.link.state is LinkState.ABSENT
    assert not caught.value.delivered


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"url": "http://127.0.0.1:1"}', '{"url": 3, "token": "x"}'])
def test_a_damaged_api_json_is_told_and_not_fatal(tmp_path: Path, content: str) -> None:
    (tmp_path / "api.json").write_text(content)
    with pytest.raises(ApiTrouble, match=r"api\.json cannot be used") as caught:
        book_endpoint(tmp_path)()
    assert caught.value.link.state is LinkState.ABSENT


def test_a_book_without_a_platform(tmp_path: Path) -> None:
    with pytest.raises(ApiTrouble, match="no platform is running in this book"):
        book_endpoint(tmp_path)()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com:80",
        "https://127.0.0.1:1",
        "http://127.0.0.1",
        "http://127.0.0.1.evil.example:80",
        "ftp://localhost:1",
        "http://user@evil.example:80",
        "",
    ],
)
def test_the_token_goes_nowhere_but_to_loopback(tmp_path: Path, url: str) -> None:
    with pytest.raises(EndpointInvalid, match="loopback"):
        checked(url, "t")
    (tmp_path / "api.json").write_text(json.dumps({"url": url, "token": "t"}))
    with pytest.raises(ApiTrouble, match=r"api\.json cannot be used"):
        book_endpoint(tmp_path)()


def test_a_given_address_reads_its_token_anew(tmp_path: Path) -> None:
    file = tmp_path / "token"
    locate = given_endpoint("http://127.0.0.1:8000", file)
    with pytest.raises(ApiTrouble, match="token file cannot be used"):
        locate()
    file.write_text("first\n")
    assert locate().token == "first"
    file.write_text("second")
    assert locate().token == "second"


def test_the_token_is_in_no_text_about_the_endpoint() -> None:
    assert TOKEN not in repr(Endpoint("http://127.0.0.1:1", TOKEN))


def test_the_page_key_follows_from_the_token_and_does_not_tell_it() -> None:
    assert page_key("a") == page_key("a") != page_key("b")
    assert TOKEN not in page_key(TOKEN)
    assert len(page_key("a")) == 24
