"""What becomes of a command between the browser and the Core API."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.commands import FIELDS, IN_HAND_MAX, NAMELESS, CommandSender, OrderMalformed, Outcome, body_of, label_of
from dashboards.core_api import CoreApi, book_endpoint
from qmworkbench.service.command_desk import read_request
from tests.dashboards import scenarios
from tests.dashboards.fake_core_api import FakeCoreApi


def message(command: str = "pause", **given: Any) -> dict[str, Any]:
    fields = {"command": command, "reason": "lunch"}
    envelope = {
        "command_id": "0123456789abcdef",
        "client_ts": "2018-03-02T18:02:00.000Z",
        "state_version": 40,
        "operator": "ana",
    }
    for name, value in given.items():
        (envelope if name in envelope else fields)[name] = value
    return envelope | {"command": fields}


class Heard:
    """Collects outcomes from the sender's threads."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._news = threading.Condition()

    def __call__(self, outcome: Outcome) -> None:
        with self._news:
            self.outcomes.append(outcome)
            self._news.notify_all()

    def until(self, state: str) -> Outcome:
        """The last outcome of this state, once there is one; others may have followed it by then."""

        def told() -> list[Outcome]:
            return [outcome for outcome in self.outcomes if outcome.state == state]

        with self._news:
            assert self._news.wait_for(told, timeout=120), self.outcomes
            return told()[-1]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeCoreApi]:
    served = FakeCoreApi(scenarios.day(), scenarios.health())
    served.write_api_json(tmp_path)
    yield served
    served.close()


@pytest.fixture
def sender(fake: FakeCoreApi, tmp_path: Path) -> Iterator[CommandSender]:
    api = CoreApi(book_endpoint(tmp_path))
    sending = CommandSender(api, emergency_tries_s=300, pause_s=0.02)
    yield sending
    sending.close()
    api.close()


@pytest.fixture
def impatient(fake: FakeCoreApi, tmp_path: Path) -> Iterator[CommandSender]:
    """One that gives an emergency up soon."""
    api = CoreApi(book_endpoint(tmp_path))
    sending = CommandSender(api, emergency_tries_s=0.3, pause_s=0.02)
    yield sending
    sending.close()
    api.close()


def test_a_command_arrives_as_it_was_given(sender: CommandSender, fake: FakeCoreApi) -> None:
    fake.answer["pause"] = (200, {"accepted": True, "effect": scenarios.REDUCING})
    heard = Heard()
    sender.send(message(), heard)
    outcome = heard.until("accepted")
    assert [each.state for each in heard.outcomes] == ["sending", "accepted"]
    assert (outcome.label, outcome.text) == ("Pause", scenarios.REDUCING)
    assert fake.commands == [
        {
            "command_id": "0123456789abcdef",
            "client_ts": "2018-03-02T18:02:00.000Z",
            "state_version": 40,
            "operator": "ana",
            "origin": "command center",
            "command": {"command": "pause", "reason": "lunch"},
        }
    ]


def test_a_refusal_is_shown_with_its_remedy(sender: CommandSender, fake: FakeCoreApi) -> None:
    fake.answer["block"] = (
        409,
        {"accepted": False, "reason": "XYZ is not in this session's universe", "remedy": "check the spelling"},
    )
    heard = Heard()
    sender.send(message("block", symbol="XYZ", scope="session"), heard)
    outcome = heard.until("refused")
    assert (outcome.label, outcome.text, outcome.remedy) == (
        "Block XYZ",
        "XYZ is not in this session's universe",
        "check the spelling",
    )


def test_the_same_id_is_posted_once(sender: CommandSender, fake: FakeCoreApi) -> None:
    heard = Heard()
    for _ in range(5):
        sender.send(message("emergency"), heard)
    heard.until("accepted")
    assert [outcome.state for outcome in heard.outcomes] == ["sending", "accepted"]
    assert len(fake.commands) == 1


def test_an_ordinary_command_to_nobody_is_not_tried_again(sender: CommandSender, fake: FakeCoreApi) -> None:
    """It would arrive when nobody wants it any more."""
    fake.stop()
    heard = Heard()
    sender.send(message(), heard)
    assert "Nothing was done" in heard.until("undelivered").text
    assert [outcome.state for outcome in heard.outcomes] == ["sending", "undelivered"]


def test_an_unanswered_command_is_asked_about_under_the_same_id(sender: CommandSender, fake: FakeCoreApi) -> None:
    fake.mode = "garbage"
    heard = Heard()

    def told(outcome: Outcome) -> None:
        if outcome.state == "retrying":
            fake.mode = "ok"  # before it is asked again, however long that takes to be noticed here
        heard(outcome)

    sender.send(message(), told)
    heard.until("accepted")
    assert [outcome.state for outcome in heard.outcomes] == ["sending", "retrying", "accepted"]
    assert [command["command_id"] for command in fake.commands] == ["0123456789abcdef"]


def test_a_command_that_is_never_answered_is_not_called_undone(sender: CommandSender, fake: FakeCoreApi) -> None:
    fake.mode = "garbage"
    heard = Heard()
    sender.send(message(), heard)
    assert "not known" in heard.until("unanswered").text


def test_an_emergency_is_tried_until_it_is_answered(sender: CommandSender, fake: FakeCoreApi) -> None:
    fake.stop()
    heard = Heard()
    sender.send(message("emergency", reason="unsafe"), heard)
    assert "qm emergency --direct" in heard.until("retrying").remedy
    fake.start()
    heard.until("accepted")
    assert len(fake.commands) == 1


def test_an_emergency_nobody_takes_says_so_loudly(impatient: CommandSender, fake: FakeCoreApi) -> None:
    fake.stop()
    heard = Heard()
    impatient.send(message("emergency"), heard)
    outcome = heard.until("undelivered")
    assert "Given up after" in outcome.text
    assert outcome.remedy == "in a terminal, now: qm emergency --direct"


def test_an_emergency_does_not_wait_behind_hanging_commands(sender: CommandSender, fake: FakeCoreApi) -> None:
    fake.mode = "hang"
    waiting = Heard()
    for n in range(IN_HAND_MAX):
        sender.send(message(command_id=f"hanging-{n}"), waiting)
    refused = Heard()
    sender.send(message(command_id="one-too-many"), refused)
    assert "8 commands are without an answer" in refused.until("refused").text
    fake.mode = "ok"
    heard = Heard()
    sender.send(message("emergency"), heard)
    heard.until("accepted")


def test_a_command_on_its_way_when_the_page_stops_is_told_as_not_delivered(tmp_path: Path, fake: FakeCoreApi) -> None:
    """Found under load: the page's server stopped between two tries, and the thread died of a closed client."""
    api = CoreApi(book_endpoint(tmp_path))
    api.close()
    sending, heard = CommandSender(api, emergency_tries_s=0.3, pause_s=0.02), Heard()
    sending.send(message(), heard)
    assert "is stopping" in heard.until("undelivered").text
    sending.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (message("launch"), "does not offer"),
        (message() | {"command": "pause"}, "does not offer"),
        (message(command_id="../../x"), "no usable id"),
        (message(command_id=7), "no usable id"),
        (message(client_ts="2018-03-02T18:02:00"), "not dated"),
        (message(client_ts=None), "not dated"),
        (message(reason=None), "reason is missing from the command pause"),
        (message("block", scope="session"), "symbol is missing from the command block"),
        (message("resume", incident="x", cause_understood="yes"), "cause_understood is missing"),
        (message(operator="  "), "no name was given"),
        ({}, "does not offer"),
    ],
)
def test_what_the_page_cannot_have_sent_goes_no_further(
    sender: CommandSender, fake: FakeCoreApi, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(OrderMalformed, match=said):
        body_of(given)
    heard = Heard()
    sender.send(given, heard)
    assert said in heard.until("refused").text
    assert fake.commands == []


def test_fields_that_do_not_belong_are_dropped() -> None:
    body = body_of(message("pause", token="x", symbol="SPY"))
    assert body["command"] == {"command": "pause", "reason": "lunch"}
    assert set(body) == {"command_id", "client_ts", "state_version", "operator", "origin", "command"}


def test_an_emergency_needs_no_name() -> None:
    assert body_of(message("emergency", operator=""))["operator"] == NAMELESS


@pytest.mark.parametrize("version", [None, "40", 4.5, True])
def test_a_version_that_is_none_is_sent_as_none(version: Any) -> None:
    assert body_of(message(state_version=version))["state_version"] is None


@pytest.mark.parametrize(
    ("command", "label"),
    [
        ({"command": "block", "symbol": "AMD"}, "Block AMD"),
        ({"command": "stop_strategy", "strategy_id": "orb-1"}, "Stop strategy orb-1"),
        ({"command": "decide", "choice": "continue_exits"}, "Decision continue exits"),
        ({"command": "emergency"}, "Emergency Liquidate & Halt"),
    ],
)
def test_labels(command: dict[str, Any], label: str) -> None:
    assert label_of(command) == label


def test_every_command_offered_is_one_the_platform_knows() -> None:
    """Held against the platform's own decoder, which the page itself never imports."""
    samples: dict[type, Any] = {str: "session", bool: True}
    special = {"kind": "operator"}
    for name, fields in FIELDS.items():
        command = {"command": name, "reason": "x"} | {f: special.get(f, samples[kind]) for f, kind in fields.items()}
        body = body_of(message() | {"command": command})
        assert read_request(json.dumps(body).encode()).command.reason == "x"
