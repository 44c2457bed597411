"""The status bar, the notices and the veil: which state, why, and how old."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboards.reading import ENDED, Link, LinkState, Reading
from dashboards.view_models import status
from dashboards.view_models.verdict import judge
from tests.dashboards import scenarios
from tests.dashboards.readings import ABSENT, DOWN, reading

NEW_YORK = ZoneInfo("America/New_York")
REFUSED = Link(LinkState.REFUSED, "The platform refuses this page", "it answered 401: wrong", "restart the page")


def bar(given: Reading) -> dict[str, Any]:
    return status.status_bar(given, judge(given), NEW_YORK)


@pytest.mark.parametrize(
    ("environment", "text", "kind"),
    [
        ("local", "LOCAL", "local"),
        ("paper", "PAPER", "paper"),
        ("live", "LIVE", "live"),
        ("", "NO SESSION", "none"),
        ("moon", "MOON", "none"),
    ],
)
def test_the_environment_is_unmistakable(environment: str, text: str, kind: str) -> None:
    badge = bar(reading(scenarios.day() | {"environment": environment}))["environment"]
    assert (badge["text"], badge["kind"]) == (text, kind)


def test_live_says_that_it_is_real_money() -> None:
    assert "REAL CAPITAL" in bar(reading(scenarios.day() | {"environment": "live"}))["environment"]["detail"]


@pytest.mark.parametrize(
    ("snapshot", "tone", "shown", "why"),
    [
        (scenarios.day(), "ok", "ACTIVE", "entries and exits running"),
        (
            scenarios.daily_loss(),
            "warn",
            "HALTED – entries blocked, exits running",
            "Max daily loss · day P&L -1012.40 is beyond the limit of -1000 USD · by risk_manager · since 12:59:00",
        ),
        (
            scenarios.emergency(),
            "bad",
            "HALTED – only liquidation may pass",
            "Emergency · Execution behavior is unsafe · by ana · since 13:02:04",
        ),
        (scenarios.recovered(), "held", "ACTIVE", "entries held: recovered session: entries wait for a release"),
        (scenarios.stale_feed()[0], "held", "ACTIVE", "no entries while market data is stale; exits running"),
        (scenarios.day() | {"phase": "pre_market"}, "held", "ACTIVE", "entries pass in the market session only"),
        (scenarios.closed()[0], "dim", "ACTIVE", "the session is closed: nothing is traded"),
        (scenarios.empty(), "dim", "NO SESSION", ""),
    ],
)
def test_the_trading_state_says_what_passes_and_why(snapshot: dict[str, Any], tone: str, shown: str, why: str) -> None:
    state = bar(reading(snapshot))["state"]
    assert (state["tone"], state["text"], state["why"]) == (tone, shown, why)


def test_a_state_is_never_a_bare_halted() -> None:
    for snapshot in (scenarios.daily_loss(), scenarios.emergency()):
        view = bar(reading(snapshot))
        texts = [view["state"]["text"], view["title"], *(layer["word"] for layer in view["layers"])]
        assert all(text.strip().upper() != "HALTED" and not text.endswith("halted") for text in texts), texts
        assert view["title"].startswith("HALTED – ")


def test_active_is_not_green_under_a_red_platform() -> None:
    assert bar(reading(*scenarios.red_platform()))["state"]["tone"] == "doubt"
    down = bar(reading(link=DOWN))["state"]
    assert (down["tone"], down["why"]) == ("doubt", "platform no contact: this state is unreliable")


def test_a_state_that_was_never_learned_is_unknown_not_calm() -> None:
    state = bar(Reading(link=DOWN))["state"]
    assert (state["text"], state["tone"]) == ("STATE UNKNOWN", "bad")


def test_an_unknown_state_counts_as_the_worst() -> None:
    snapshot = scenarios.day()
    snapshot["trading_state"] = {"state": "sideways"}
    state = bar(reading(snapshot))["state"]
    assert (state["text"], state["tone"]) == ("STATE UNKNOWN", "bad")


def test_phase_boundary_and_clock() -> None:
    view = bar(reading())
    assert view["phase"] == {"text": "Market session", "progress": "boundary 212 of 390"}
    assert view["clock"] == {"time": "13:02:00 EST", "date": "Fri 2 Mar 2018", "replay": True}
    now = scenarios.day()
    assert not bar(reading(now | {"wall_at": now["at"]}))["clock"]["replay"]


def test_the_age_of_a_replay_is_measured_here() -> None:
    given = reading(boundary_at=88.0)
    assert status.data_age(given, 100.5, datetime.now(UTC)) == {"text": "data 12 s old", "tone": "dim"}


def test_the_age_of_live_data_is_the_markets_own() -> None:
    """A page opened late must not call old data fresh because it saw them only now."""
    snapshot = scenarios.day()
    live = reading(snapshot | {"wall_at": snapshot["at"]}, boundary_at=100.0)
    wall = scenarios.NOON + timedelta(seconds=185)
    assert status.data_age(live, 101.0, wall)["text"] == "data 3 min old"


def test_ages_without_data() -> None:
    assert status.data_age(reading(scenarios.empty()), 1.0, scenarios.NOON)["text"] == "no market data yet"
    assert (
        status.data_age(reading(scenarios.closed()[0], boundary_at=1.0), 9.0, scenarios.NOON)["text"]
        == "session closed"
    )
    stale = reading(scenarios.stale_feed()[0], boundary_at=1.0)
    assert status.data_age(stale, 186.5, scenarios.NOON) == {"text": "data 3 min old", "tone": "warn"}


def notices(given: Reading) -> list[tuple[str, str]]:
    return [(item["text"], item["detail"]) for item in status.notices(given, judge(given))]


def test_a_quiet_session_has_no_notices() -> None:
    assert notices(reading()) == []


def test_every_hold_and_mark_is_told() -> None:
    assert [text for text, _ in notices(reading(scenarios.recovered()))] == ["Entries held", "Recovered", "Unattended"]


def test_a_recovery_tells_what_of_section_19_holds() -> None:
    held = [{"title": f"criterion {n}", "status": "pass"} for n in range(6)]
    told = dict(notices(reading(scenarios.recovered() | {"recovery": held})))
    assert "6 of 6 criteria of §19 hold" in told["Recovered"]
    held[2]["status"] = "fail"
    told = dict(notices(reading(scenarios.recovered() | {"recovery": held})))
    assert "§19 does not hold: criterion 2" in told["Recovered, not accepted"]
    assert ("Scanner silent", "market data is stale") in notices(reading(*scenarios.stale_feed()))
    assert notices(reading(*scenarios.red_platform()))[0] == ("Platform failed", "Execution broker: connection refused")
    assert [text for text, _ in notices(reading(scenarios.daily_loss()))] == ["No entries", "1 decision required"]
    over = scenarios.closed()[0] | {"entries_held": "the market closed", "silenced": "no time left"}
    assert notices(reading(over, link=ABSENT)) == [
        ("Platform stopped", "its session is closed; this is its last state")
    ]


def veil(given: Reading, now: float) -> str:
    return str(status.veil(given, now)["state"])


def test_the_veil_falls_after_three_seconds_without_contact() -> None:
    assert veil(reading(contact_at=100.0), 102.9) == ""
    assert veil(reading(contact_at=100.0), 103.0) == "ok"  # the poll itself hangs
    assert veil(reading(link=DOWN, contact_at=100.0), 102.0) == ""
    told = status.veil(reading(link=DOWN, contact_at=100.0), 112.0)
    assert (told["state"], told["age_s"], told["remedy"]) == ("down", 12.0, DOWN.remedy)


def test_the_veil_falls_at_once_where_there_never_was_contact() -> None:
    assert veil(Reading(link=DOWN), 5.0) == "down"
    assert veil(Reading(link=REFUSED), 5.0) == "refused"


def test_no_veil_without_need() -> None:
    assert veil(Reading(), 5.0) == ""  # not asked yet
    assert veil(Reading(link=ABSENT), 5.0) == ""  # nothing has run yet: the page says so itself
    assert veil(reading(scenarios.closed()[0], link=ABSENT), 500.0) == ""  # it ended in order
    assert veil(reading(link=ABSENT), 500.0) == "absent"  # it vanished during the session


def test_a_page_that_ends_says_goodbye() -> None:
    said = status.veil(reading(link=ENDED), 101.0)
    assert (said["state"], said["title"]) == ("ended", "This page has ended")
    assert said["detail"] == "it was stopped in order; the platform may still be trading"
    assert "qm emergency" in said["remedy"]
    after = status.veil(reading(scenarios.closed()[0], link=ENDED), 101.0)
    assert (after["detail"], after["remedy"]) == ("the session is closed", "")
    assert judge(reading(link=ENDED)).platform.tone == "ok"  # what is shown is what was last known


def test_a_condition_of_the_runbook_is_a_banner_of_its_own_with_its_remedy() -> None:
    snapshot, report = scenarios.must_halt()
    given = reading(snapshot, report)
    first = status.notices(given, judge(given))[0]
    assert first["text"] == "Must halt: data quality severely degraded"
    assert (first["banner"], first["tone"]) == (True, "bad")
    assert first["remedy"].startswith("check the feed")
    assert not any(item.get("banner") for item in status.notices(reading(), judge(reading())))


def test_bad_data_says_what_it_does_and_when_it_halts() -> None:
    snapshot, report = scenarios.stale_feed()
    given = reading(snapshot, report)
    told = next(item for item in status.notices(given, judge(given)) if item["text"] == "Market data stale")
    assert "entries are blocked until it is good again; after 5 min of it the book halts" in told["detail"]


def test_a_page_without_contact_never_says_that_nothing_is_traded() -> None:
    """freqtrade #7738: the UI says offline while it trades."""
    veil = status.veil(reading(link=DOWN, contact_at=1.0), 100.0)
    assert "it may be trading all the same" in veil["detail"]


def test_a_cause_that_is_neither_the_newest_nor_a_condition_is_told_too() -> None:
    snapshot, report = scenarios.must_halt()
    given = reading(snapshot, report)
    told = notices(given)
    assert ("Halted too", "Operator pause: odd prints (by ana)") in told
    assert [text for text, _ in told].count("Halted too") == 1, "the condition stands in a banner of its own"


def test_the_words_of_a_halt_say_what_goes_on() -> None:
    """freqtrade #4837: "stopped trading" still exits, and the wording misled."""
    for snapshot in (scenarios.daily_loss(), scenarios.must_halt()[0]):
        shown = status.trading_state(reading(snapshot), judge(reading(snapshot)), NEW_YORK)["text"]
        assert shown == "HALTED – entries blocked, exits running"
