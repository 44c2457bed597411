"""Health read bottom-up: a red platform makes everything above it unreliable."""

from typing import Any

import pytest

from dashboards.view_models.verdict import STALE_PRICES, UNRELIABLE, judge, stopped
from tests.dashboards import scenarios
from tests.dashboards.readings import ABSENT, DOWN, reading


def test_an_ordinary_day_is_green_from_the_bottom_up() -> None:
    verdict = judge(reading())
    assert [(layer.name, layer.tone) for layer in verdict.layers] == [
        ("Platform", "ok"),
        ("Strategies", "ok"),
        ("Portfolio", "ok"),
    ]
    assert (verdict.mark, verdict.price_mark) == ("", "")
    assert verdict.platform.detail == "all 10 components healthy"
    assert verdict.portfolio.word == "+412.87 USD"


def _unresolved() -> tuple[dict[str, Any], dict[str, Any]]:
    return scenarios.mismatch(), scenarios.health()


def _disconnected() -> tuple[dict[str, Any], dict[str, Any]]:
    return scenarios.day() | {"broker": {"connected": False, "detail": "reset by peer"}}, scenarios.health()


@pytest.mark.parametrize(
    ("snapshot", "health", "said"),
    [
        (*scenarios.red_platform(), "Execution broker: connection refused"),
        (*_unresolved(), "1 break with the broker unresolved: AMD"),
        (*_disconnected(), "execution broker disconnected: reset by peer"),
        (scenarios.day(), {}, "health is not known"),
        (scenarios.day(), {"status": "fine"}, "health is not known"),
        (scenarios.day(), {"status": "failed", "components": []}, "health says failed and names no component"),
    ],
)
def test_a_red_platform_makes_everything_above_unreliable(
    snapshot: dict[str, Any], health: dict[str, Any], said: str
) -> None:
    verdict = judge(reading(snapshot, health))
    assert verdict.platform.tone == "bad"
    assert said in verdict.platform.detail
    assert [(layer.word, layer.tone) for layer in verdict.layers[1:]] == [(UNRELIABLE, "dim")] * 2
    assert (verdict.mark, verdict.price_mark) == (UNRELIABLE, UNRELIABLE)


def test_no_contact_is_red_whatever_was_known() -> None:
    verdict = judge(reading(link=DOWN))
    assert (verdict.platform.tone, verdict.platform.word, verdict.mark) == ("bad", "no contact", UNRELIABLE)


def test_a_failed_part_that_is_not_critical_only_degrades() -> None:
    verdict = judge(reading(health=scenarios.health("degraded", analytics=("failed", "no disk"))))
    assert (verdict.platform.tone, verdict.platform.word, verdict.mark) == ("warn", "degraded", "")
    assert "Analytics: no disk" in verdict.platform.detail


def test_a_stale_feed_spoils_what_is_made_from_prices_and_nothing_else() -> None:
    verdict = judge(reading(*scenarios.stale_feed()))
    assert verdict.platform.tone == "warn"
    assert (verdict.mark, verdict.price_mark) == ("", STALE_PRICES)
    assert verdict.portfolio.tone == "warn"


def test_a_stale_feed_is_seen_although_health_has_not_noticed() -> None:
    snapshot, _ = scenarios.stale_feed()
    verdict = judge(reading(snapshot))
    assert verdict.platform.tone == "warn"
    assert "market data stale: no bar for 185 s" in verdict.platform.detail


def test_boundaries_that_run_late_degrade() -> None:
    late = {"lateness": {"p95_ms": 812.0, "tolerance_ms": 500.0, "drifted": True}}
    verdict = judge(reading(scenarios.day() | late))
    assert "boundaries run late: 812 ms at the 95th percentile" in verdict.platform.detail


def test_an_incomplete_reconciliation_degrades_and_concludes_nothing() -> None:
    snapshot = scenarios.day()
    snapshot["reconciliation"]["result"] = "incomplete"
    verdict = judge(reading(snapshot))
    assert verdict.platform.tone == "warn"
    assert "could not read the broker whole" in verdict.platform.detail


def test_strategies_that_do_not_enter_are_counted_and_named() -> None:
    snapshot = scenarios.day()
    snapshot["runs"][1] |= {"state": "reducing", "shown": scenarios.REDUCING}
    layer = judge(reading(snapshot)).strategies
    assert (layer.tone, layer.word) == ("warn", "1 of 2 active")
    assert layer.detail == f"donchian-1: {scenarios.REDUCING}"


@pytest.mark.parametrize("snapshot", [scenarios.daily_loss(), scenarios.emergency()])
def test_a_halted_book_holds_strategies_that_are_active_by_themselves(snapshot: dict[str, Any]) -> None:
    for run in snapshot["runs"]:
        run |= {"state": "active", "shown": "ACTIVE"}
    layer = judge(reading(snapshot)).strategies
    assert (layer.tone, layer.word, layer.detail) == ("warn", "held by the book", snapshot["trading_state"]["shown"])


def test_runs_that_have_ended() -> None:
    snapshot = scenarios.day()
    snapshot["runs"][0]["ended"] = True
    assert judge(reading(snapshot)).strategies.word == "1 active, 1 ended"
    snapshot["runs"][1]["ended"] = True
    assert judge(reading(snapshot)).strategies.word == "2 ended"
    assert judge(reading(snapshot | {"runs": []})).strategies.word == "none running"


@pytest.mark.parametrize(
    ("pct", "tone"), [(0.0, "ok"), (74.9, "ok"), (75, "warn"), (99.9, "warn"), (100, "bad"), (101.2, "bad")]
)
def test_the_portfolio_warns_before_the_limit_and_alarms_at_it(pct: float, tone: str) -> None:
    snapshot = scenarios.day()
    snapshot["risk"]["daily_loss"]["pct"] = pct
    assert judge(reading(snapshot)).portfolio.tone == tone


def test_an_unknown_day_pnl_is_not_zero() -> None:
    snapshot = scenarios.day()
    snapshot["account"]["day_pnl"] = None
    layer = judge(reading(snapshot)).portfolio
    assert (layer.tone, layer.word) == ("dim", "no P&L yet")


def test_a_platform_that_ended_after_its_session_is_no_alarm() -> None:
    snapshot, _ = scenarios.closed()
    for link in (ABSENT, DOWN):
        ended = reading(snapshot, link=link)
        assert stopped(ended)
        assert (judge(ended).platform.tone, judge(ended).mark) == ("dim", "")
    assert not stopped(reading(link=ABSENT))


def test_without_a_session_the_brokers_silence_is_not_held_against_the_platform() -> None:
    assert judge(reading(scenarios.empty())).platform.tone == "ok"


@pytest.mark.parametrize("broken", [None, 7, "text", [], ["x"], [None]])
def test_broken_sections_never_raise(broken: Any) -> None:
    names = ("account", "risk", "feed", "broker", "runs", "reconciliation", "lateness", "trading_state")
    judge(reading(scenarios.day() | dict.fromkeys(names, broken)))
    judge(reading(health={"status": "degraded", "components": broken}))
