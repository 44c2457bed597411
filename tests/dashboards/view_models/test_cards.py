"""The account cards."""

from decimal import Decimal
from typing import Any

import pytest

from dashboards.reading import Reading
from dashboards.view_models.cards import cards, share
from dashboards.view_models.verdict import judge
from tests.dashboards import scenarios
from tests.dashboards.readings import reading


def by_label(given: Reading) -> dict[str, dict[str, Any]]:
    return {card["label"]: card for card in cards(given, judge(given))}


def test_every_figure_of_the_account_has_its_card() -> None:
    shown = by_label(reading())
    assert {label: (card["value"], card["unit"], card["note"]) for label, card in shown.items()} == {
        "Equity": ("100,412.87", "USD", "last broker statement"),
        "Day P&L": ("+412.87", "", "+0.41% of 100,000.00"),
        "Realized": ("+338.12", "", "fees 12.20"),
        "Unrealized": ("+86.95", "", "open positions"),
        "Buying power": ("148,236.84", "", "cash 74,118.42"),
        "Daily loss": ("0.00", "of 1,000.00", "1,000.00 left"),
        "Trades": ("11", "of 30", "19 left"),
        "Open positions": ("3", "of 10", "7 left"),
    }


def test_losses_are_red_and_a_used_up_limit_too() -> None:
    shown = by_label(reading(scenarios.daily_loss()))
    assert (shown["Day P&L"]["value"], shown["Day P&L"]["tone"]) == ("−1,012.40", "bad")
    loss = shown["Daily loss"]
    assert (loss["tone"], loss["pct"], loss["note"]) == ("bad", 100.0, "0.00 left")


@pytest.mark.parametrize(("used", "tone"), [(22, ""), (23, "warn"), (29, "warn"), (30, "bad"), (31, "bad")])
def test_a_limit_warns_from_three_quarters(used: int, tone: str) -> None:
    snapshot = scenarios.day()
    snapshot["risk"]["trades"]["used"] = used
    assert by_label(reading(snapshot))["Trades"]["tone"] == tone


def test_what_is_unknown_is_not_zero() -> None:
    snapshot = scenarios.day()
    snapshot["account"] |= {"unrealized_pnl": None, "day_pnl": None}
    snapshot["risk"]["daily_loss"] = {"used": None, "limit": "1000", "pct": None}
    shown = by_label(reading(snapshot))
    assert (shown["Unrealized"]["value"], shown["Unrealized"]["note"]) == ("–", "a position has no price yet")
    assert (shown["Day P&L"]["value"], shown["Day P&L"]["tone"]) == ("–", "")
    assert (shown["Daily loss"]["value"], shown["Daily loss"]["pct"]) == ("–", None)


def test_without_a_session_the_cards_stay_and_claim_nothing() -> None:
    shown = by_label(reading(scenarios.empty()))
    assert len(shown) == 8
    assert {card["value"] for card in shown.values()} == {"–"}


def test_marks_follow_the_verdict() -> None:
    assert {card["mark"] for card in by_label(reading(*scenarios.red_platform())).values()} == {"unreliable"}
    stale = by_label(reading(*scenarios.stale_feed()))
    marked = {label for label, card in stale.items() if card["mark"] == "stale prices"}
    assert marked == {"Equity", "Day P&L", "Unrealized", "Daily loss"}


def test_share() -> None:
    assert share(Decimal(5), Decimal(20)) == 25
    assert share(Decimal(1), Decimal(0)) == 100
    assert share(Decimal(-5), Decimal(20)) == 0
    assert share(None, Decimal(1)) is None
    assert share(Decimal(1), None) is None
