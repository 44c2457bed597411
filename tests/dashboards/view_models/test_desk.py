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
        "pause", "block", "unblock", "drop", "stop", "reconcile", "note",
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


def test_the_machine_checks_the_line_that_it_can() -> None:
    """§23 "broker state reconciled": only a passed reconciliation after the halt counts."""
    snapshot = scenarios.daily_loss()
    assert desk(reading(snapshot), NEW_YORK)["reconciled"] == {"ok": True, "text": "clean at 13:00:00"}
    snapshot["reconciliation"]["completed_at"] = scenarios.minute(200)
    before = desk(reading(snapshot), NEW_YORK)["reconciled"]
    assert before == {"ok": False, "text": "clean at 12:50:00, before the halt: reconcile again"}
    assert not desk(reading(scenarios.mismatch()), NEW_YORK)["reconciled"]["ok"]
    assert not desk(reading(scenarios.empty()), NEW_YORK)["reconciled"]["ok"]
