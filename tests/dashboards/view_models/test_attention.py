"""Alerts, decisions, the emergency and the end of a session."""

from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import attention
from tests.dashboards import scenarios
from tests.dashboards.readings import ABSENT, DOWN, reading

NEW_YORK = ZoneInfo("America/New_York")


def test_alerts_come_gravest_first_with_their_remedies() -> None:
    snapshot = scenarios.day()
    snapshot["alerts"] = [
        scenarios.alert("P2", "scanner_drift", "late", "look"),
        scenarios.alert("P0", "over_fill", "too much", "halt"),
        scenarios.alert("P1", "order_rejected", "no", "see why"),
    ]
    shown = attention.alerts(reading(snapshot))["items"]
    assert [(item["priority"], item["tone"], item["kind"], item["remedy"]) for item in shown] == [
        ("P0", "bad", "Over fill", "halt"),
        ("P1", "bad", "Order rejected", "see why"),
        ("P2", "warn", "Scanner drift", "look"),
    ]


def test_of_very_many_alerts_the_gravest_are_shown_and_all_are_counted() -> None:
    snapshot = scenarios.day()
    snapshot["alerts"] = [scenarios.alert(f"P{1 + n % 2}", f"kind_{n}", "text", "look") for n in range(200)]
    shown = attention.alerts(reading(snapshot))
    assert [item["priority"] for item in shown["items"]] == ["P1"] * attention.ALERTS_SHOWN
    assert shown["note"] == "200 open: 100 P1, 100 P2"
    assert shown["more"] == "194 more: 94 P1, 100 P2. `qm status` lists every one."
    snapshot["alerts"] += [scenarios.alert("P0", f"grave_{n}", "text", "look") for n in range(9)]
    assert [item["priority"] for item in attention.alerts(reading(snapshot))["items"]] == ["P0"] * 9
    few = attention.alerts(reading(snapshot | {"alerts": snapshot["alerts"][:6]}))
    assert (few["note"], few["more"]) == ("6 open", "")


def test_an_emergency_that_was_resumed_from_says_so() -> None:
    done = scenarios.emergency(done=True)
    scenarios.halted(done, "active", "ACTIVE")
    progress = attention.emergency(reading(done), NEW_YORK)["progress"]
    assert progress["headline"] == "Over: flat at the broker since 13:02:31"
    assert progress["detail"] == "The book has been resumed since and is ACTIVE."


def test_what_is_of_an_earlier_session_carries_its_day() -> None:
    snapshot = scenarios.daily_loss()
    snapshot["decisions"][0] |= {"since": "2018-03-01T20:50:00Z", "escalated_at": "2018-03-01T20:55:00Z"}
    (decision,) = attention.decisions(reading(snapshot), NEW_YORK)
    assert (decision["since"], decision["escalated"]) == ("Thu 15:50", "escalated Thu 15:55")
    done = scenarios.emergency(done=True)
    done["emergency"] |= {"started_at": "2018-03-01T20:50:00Z", "completed_at": "2018-03-01T20:51:00Z"}
    progress = attention.emergency(reading(done), NEW_YORK)["progress"]
    assert progress["headline"] == "Flat at the broker since Thu 15:51"
    assert progress["who"].startswith("ana at Thu 15:50: ")


def test_a_required_decision_offers_its_options() -> None:
    (decision,) = attention.decisions(reading(scenarios.daily_loss()), NEW_YORK)
    assert decision["since"] == "12:59:00"
    assert [(o["value"], o["label"], o["grave"]) for o in decision["options"]] == [
        ("continue_exits", "Continue exits", False),
        ("liquidate", "Liquidate everything", True),
    ]
    snapshot = scenarios.daily_loss()
    snapshot["decisions"][0]["escalated_at"] = scenarios.minute(214)
    assert attention.decisions(reading(snapshot), NEW_YORK)[0]["escalated"] == "escalated 13:04:00"


def test_the_armed_emergency_says_what_it_would_touch() -> None:
    view = attention.emergency(reading(), NEW_YORK)
    assert view["would"] == [
        "Stop all entries at once.",
        "Cancel 6 open orders, close 3 positions (NVDA 42, AMD 820, BABA 54).",
        "Stay halted until reconciled and released by a person.",
    ]
    assert view["progress"] is None
    assert len(view["reasons"]) == 5


def test_the_armed_emergency_trusts_the_broker_more_than_an_empty_list() -> None:
    would = attention.emergency(reading(scenarios.day() | {"positions": [], "orders": []}), NEW_YORK)["would"]
    assert would[1] == "Cancel 0 open orders, close whatever the broker holds."
    assert "No session is known" in attention.emergency(reading(scenarios.empty()), NEW_YORK)["would"][0]


def test_many_positions_are_counted_not_listed() -> None:
    snapshot = scenarios.day()
    snapshot["positions"] = [snapshot["positions"][0] | {"symbol": f"S{n}"} for n in range(9)]
    assert "close 9 positions (S0 42, S1 42, S2 42, S3 42, S4 42, S5 42 and 3 more)" in attention.emergency(
        reading(snapshot), NEW_YORK
    )["would"][1]  # fmt: skip


def test_progress_symbol_by_symbol_until_flat() -> None:
    progress = attention.emergency_progress(reading(scenarios.emergency(1)), NEW_YORK)["progress"]
    assert progress["headline"] == "Liquidating: 1 of 3 flat"
    assert progress["who"] == "ana at 13:02:04: Execution behavior is unsafe"
    assert [(line["symbol"], line["word"], line["detail"]) for line in progress["lines"]] == [
        ("NVDA", "flat", "the broker holds nothing"),
        ("AMD", "close sent", "820 of 820 · attempt 2"),
        ("BABA", "cancelling exits", "1 resting orders asked to cancel"),
    ]


def test_a_finished_emergency_says_that_the_book_stays_halted() -> None:
    progress = attention.emergency_progress(reading(scenarios.emergency(3, done=True)), NEW_YORK)["progress"]
    assert progress["done"]
    assert progress["headline"] == "Flat at the broker since 13:02:31"
    assert "remains HALTED – only liquidation may pass" in progress["detail"]


def test_an_emergency_without_lines_is_reading_the_broker() -> None:
    snapshot = scenarios.emergency(0)
    snapshot["emergency"]["lines"] = []
    progress = attention.emergency_progress(reading(snapshot), NEW_YORK)["progress"]
    assert progress["headline"] == "Liquidating: reading the broker's positions"


def test_an_overdue_emergency_and_a_step_nobody_knows() -> None:
    snapshot = scenarios.emergency(0)
    snapshot["emergency"]["lines"] = [
        {"symbol": "", "step": "overdue", "attempt": 0, "detail": "not flat after 180 s"},
        {"symbol": "AMD", "step": "pondering", "attempt": 3, "detail": ""},
    ]
    lines = attention.emergency_progress(reading(snapshot), NEW_YORK)["progress"]["lines"]
    assert [(line["word"], line["tone"], line["detail"]) for line in lines] == [
        ("overdue", "bad", "not flat after 180 s"),
        ("Pondering", "warn", "attempt 3"),
    ]


def test_during_the_day_there_is_no_closing_panel() -> None:
    assert attention.closing(reading(), NEW_YORK) is None


def test_a_closed_session_shows_summary_verdicts_and_reports() -> None:
    snapshot, milestones = scenarios.closed()
    snapshot["reports"] = [{"name": "post_session", "verdict": "NO-GO", "path": "reports/2018-03-02/post_session.html"}]
    panel = attention.closing(reading(snapshot, milestones=tuple(milestones[1:])), NEW_YORK)
    assert panel is not None
    assert panel["title"] == "Session 2018-03-02 is closed"
    assert [(fact["label"], fact["value"]) for fact in panel["facts"]] == [
        ("Net P&L", "+412.87"),
        ("Trades", "11"),
        ("Orders", "42"),
        ("Fills", "31"),
        ("Breaks", "0"),
    ]
    assert [(each["name"], each["verdict"], each["tone"], each["detail"]) for each in panel["verdicts"]] == [
        ("Preflight pre-start", "GO", "ok", ""),
        ("Preflight pre-market", "GO", "ok", ""),
        ("Post session", "NO-GO", "bad", "reports/2018-03-02/post_session.html"),
    ]


def test_a_book_without_a_session_says_what_to_do() -> None:
    waiting = attention.closing(reading(scenarios.empty()), NEW_YORK)
    assert waiting is not None
    assert waiting["title"] == "No session yet"
    absent = attention.closing(Reading(link=ABSENT), NEW_YORK)
    assert absent is not None
    assert (absent["title"], absent["text"]) == (
        "No platform is running",
        "no platform is running in this book. start one.",
    )
    down = attention.closing(Reading(link=DOWN), NEW_YORK)
    assert down is not None
    assert "qm emergency --direct" in down["text"]
