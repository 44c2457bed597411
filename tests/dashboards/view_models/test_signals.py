"""The panel of the four signals: what speaks, what is quiet, and what has not seen enough to say either."""

from typing import Any
from zoneinfo import ZoneInfo

from dashboards.view_models.page import page_view
from dashboards.view_models.signals import signals
from dashboards.view_models.verdict import UNRELIABLE, judge
from qmworkbench.analytics.signal_readings import CODES
from tests.dashboards import scenarios
from tests.dashboards.readings import DOWN, reading

NEW_YORK = ZoneInfo("America/New_York")


def panel(snapshot: dict[str, Any] | None = None) -> dict[str, Any]:
    given = reading(snapshot)
    return signals(given, judge(given), NEW_YORK)


def texts(row: dict[str, Any]) -> list[str]:
    return [each if isinstance(each, str) else each["text"] for each in row["cells"]]


def test_each_signal_has_its_state_value_threshold_and_sample() -> None:
    shown = panel()["rows"]
    assert [texts(row) for row in shown] == [
        ["Unusual slippage", "quiet", "6.4 bps", "25", "9"],
        ["Repeated failed entries", "speaks", "3", "3", "4"],
        ["Systematic late exits", "too few", "25 %", "50", "4 of 5"],
        ["Unusual concentration", "too few", "41.2 %", "50", "3 of 4"],
    ]
    assert [row["cells"][0]["text"] if isinstance(row["cells"][0], dict) else row["cells"][0] for row in shown] == list(
        CODES.values()
    )


def test_what_speaks_stands_out_and_says_what_of() -> None:
    table = panel()
    speaking = table["rows"][1]
    assert speaking["cells"][1] == {
        "text": "speaks",
        "tone": "warn",
        "chip": True,
        "hint": speaking["cells"][1]["hint"],
    }
    assert speaking["below"] == "3 of the last 4 entries of TSLA failed: 1 denied, 2 stopped out at once"
    assert (table["note"], table["note_tone"]) == ("1 speaks, looked at 13:00", "warn")
    assert [row["tone"] for row in table["rows"]] == ["", "", "dim", "dim"]


def test_nothing_seen_yet_is_told_and_not_called_quiet() -> None:
    snapshot = scenarios.day()
    scenarios.unseen(snapshot)
    table = panel(snapshot)
    assert table["note"] == "not looked at yet"
    assert texts(table["rows"][0]) == ["Unusual slippage", "none yet", "–", "–", "–"]
    assert table["rows"][0]["below"] == "no entry yet"


def test_without_enough_anywhere_it_is_too_early() -> None:
    snapshot = scenarios.day()
    snapshot["analytics"]["signals"] = snapshot["analytics"]["signals"][2:]
    assert panel(snapshot)["note"] == "too early, looked at 13:00"


def test_a_platform_without_a_session_or_without_the_signals_says_when_they_come() -> None:
    for snapshot in (scenarios.empty(), {k: v for k, v in scenarios.day().items() if k != "analytics"}):
        table = panel(snapshot)
        assert (table["rows"], table["empty"]) == ([], "No signals yet: they come with the session.")


def test_above_a_red_platform_they_are_marked_as_everything_else() -> None:
    given = reading(link=DOWN)
    assert signals(given, judge(given), NEW_YORK)["mark"] == UNRELIABLE
    assert "signals" in page_view(given, NEW_YORK)
