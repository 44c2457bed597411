"""What the command desk offers, and why not."""

from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models.desk import desk
from tests.dashboards import scenarios
from tests.dashboards.readings import reading

NEW_YORK = ZoneInfo("America/New_York")


def test_an_active_day_offers_pause_and_not_resume() -> None:
    view = desk(reading(), NEW_YORK)
    assert {name for name, why in view["offers"].items() if not why} == {
        "pause", "block", "unblock", "drop", "stop", "cancel", "replace", "close", "reconcile", "note",
    }  # fmt: skip
    assert view["offers"]["resume"] == "the book is ACTIVE"
    assert view["offers"]["release"] == "no entries are held"


def test_a_halt_offers_resume() -> None:
    offers = desk(reading(scenarios.daily_loss()), NEW_YORK)["offers"]
    assert (offers["resume"], offers["pause"]) == ("", "entries are blocked already")
    assert desk(reading(scenarios.recovered()), NEW_YORK)["offers"]["release"] == ""


def test_without_an_open_session_nothing_is_offered() -> None:
    for given in (reading(scenarios.empty()), Reading()):
        assert set(desk(given, NEW_YORK)["offers"].values()) == {"no session is open"}


def test_after_the_close_notes_are_still_taken() -> None:
    offers = desk(reading(scenarios.closed()[0]), NEW_YORK)["offers"]
    assert {name for name, why in offers.items() if not why} == {"note"}


def test_forms_can_name_what_there_is() -> None:
    view = desk(reading(), NEW_YORK)
    assert view["watched"] == ["AMD", "BABA", "LRCX", "NVDA", "TWTR"]
    assert view["blocked"] == ["TSLA"]
    assert view["strategies"] == ["donchian-1", "orb-1"]
    assert "GS" in view["symbols"]
    assert view["version"] == 40


def test_the_machine_checks_the_lines_that_it_can() -> None:
    """§23 line by line: what a person ticks, and what the platform has found by itself."""
    lines = {line["label"]: line for line in desk(reading(*scenarios.must_halt()), NEW_YORK)["lines"]}
    assert list(lines) == [
        "Incident cause understood", "Broker state reconciled", "Internal state repaired", "Risk controls verified",
        "Operator decision recorded",
    ]  # fmt: skip
    assert not lines["Broker state reconciled"]["ok"]
    assert "no reconciliation has passed" in lines["Broker state reconciled"]["text"]
    assert "still stands" in lines["Incident cause understood"]["text"]
    assert [line["name"] for line in lines.values() if line["name"]] == [
        "cause_understood", "internal_state_repaired", "risk_controls_verified",
    ]  # fmt: skip
    calm = {line["label"]: line for line in desk(reading(scenarios.daily_loss()), NEW_YORK)["lines"]}
    assert calm["Broker state reconciled"] == {
        "name": "", "label": "Broker state reconciled", "ok": True, "text": "clean at 13:00:00",
    }  # fmt: skip


def test_hands_on_forms_name_what_works_and_what_is_held() -> None:
    view = desk(reading(), NEW_YORK)
    assert {"value": "orb-1|NVDA", "label": "NVDA 42 (orb-1)"} in view["held"]
    working = {each["value"] for each in view["working"]}
    assert working
    assert {each["value"] for each in view["replaceable"]} <= working
    snapshot = scenarios.day()
    for order in snapshot["orders"]:
        order["cancel_asked"] = True
    asked = desk(reading(snapshot), NEW_YORK)
    assert (asked["working"], asked["offers"]["cancel"]) == ([], "no order works")


def test_a_stopped_strategy_may_be_restarted_and_what_speaks_against_it_is_read_first() -> None:
    view = desk(reading(scenarios.stopped_strategy()), NEW_YORK)
    assert (view["stopped"], view["offers"]["restart"]) == (["donchian-1"], "")
    assert view["against_restart"]["donchian-1"][0].startswith("in doubt: qm-baba-entry-3")
    assert desk(reading(scenarios.daily_loss()), NEW_YORK)["offers"]["restart"] == "resume the book first"
    assert desk(reading(), NEW_YORK)["offers"]["restart"] == "no strategy is stopped"
