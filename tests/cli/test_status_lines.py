"""`qm status`: what a person must not miss where there is no page: components, causes, questions, orders."""

import contextlib
from pathlib import Path
from typing import Any

from qmworkbench.cli.options import config_of
from qmworkbench.cli.status import Line, view_now
from qmworkbench.cli.status_lines import lines_of

REDUCING = "HALTED – entries blocked, exits running"
SINCE = "2024-03-08T15:00:00Z"


def told(home: Path, **changes: Any) -> list[Line]:
    """The lines of a closed book's record, with these parts of the snapshot in place of its own."""
    with contextlib.chdir(home):
        config = config_of(None, None, None)
        view, _, _ = view_now(config)
        return lines_of(config, view | changes, "core API", "")


def named(lines: list[Line], name: str) -> list[tuple[str, str]]:
    return [(line.state, line.value) for line in lines if line.name == name]


def component(name: str, status: str, detail: str, *, critical: bool) -> dict[str, Any]:
    return {"component": name, "status": status, "detail": detail, "critical": critical, "last_success": SINCE}


def test_components_that_are_not_well_are_told_and_a_critical_one_is_red(closed_home: Path) -> None:
    well = component("api", "healthy", "", critical=False)
    ill = [
        component("store", "failed", "a commit has been under way for 9 s", critical=True),
        component("analytics", "failed", "projections stopped", critical=False),
        component("scanner", "degraded", "boundaries run late", critical=False),
    ]
    lines = told(closed_home, health={"components": [*ill, well]})
    assert named(lines, "store") == [("fail", "failed: a commit has been under way for 9 s")]
    assert named(lines, "analytics") == [("warn", "failed: projections stopped")]
    assert named(lines, "scanner") == [("warn", "degraded: boundaries run late")]
    assert named(lines, "api") == []
    assert named(told(closed_home, health={"components": [well]}), "components") == [("ok", "all 1 healthy")]
    assert named(told(closed_home), "components") == [], "the record alone knows nothing of components"


def test_every_cause_of_a_halt_stands_with_its_author_and_time(closed_home: Path) -> None:
    loss = {"code": "max_daily_loss", "reason": "beyond the limit", "by": "risk_manager", "since": SINCE}
    pause = {"code": "operator_pause", "reason": "odd prints", "by": "ana", "since": "2024-03-08T14:40:00Z"}
    run = {"strategy_id": "orb", "state": "active", "shown": "ACTIVE", "ended": "", "trades": 1}
    halted = {"state": "reducing", "shown": REDUCING, "causes": [loss, pause], **loss}
    lines = told(closed_home, trading_state=halted, runs=[run])
    assert named(lines, "trading state") == [("warn", f"{REDUCING}: beyond the limit (by risk_manager, since {SINCE})")]
    assert named(lines, "halted by too") == [("warn", "odd prints (by ana, since 2024-03-08T14:40:00Z)")]
    assert named(lines, "orb") == [("warn", "held by the book; by itself ACTIVE, 1 trade")], "the worse of both counts"
    active = told(closed_home, trading_state=halted | {"state": "active", "shown": "ACTIVE"}, runs=[run])
    assert named(active, "halted by too") == []
    assert named(active, "orb") == [("ok", "ACTIVE, 1 trade")]


def test_an_emergency_is_watched_symbol_by_symbol(closed_home: Path) -> None:
    lines = [
        {"symbol": "", "step": "entries_canceled", "attempt": 1, "detail": "2 entry orders asked to cancel"},
        {"symbol": "AMD", "step": "flat", "attempt": 1, "detail": "the broker holds nothing"},
        {"symbol": "NVDA", "step": "close_sent", "attempt": 2, "detail": "820 of 820"},
    ]
    halted = {"state": "halted", "shown": "HALTED – only liquidation may pass", "code": "emergency", "causes": []}
    halted |= {"reason": "odd", "by": "ana", "since": SINCE}
    begun = {"completed_at": None, "lines": lines}
    (line,) = named(told(closed_home, trading_state=halted, emergency=begun), "emergency")
    assert line == ("warn", "liquidating, 1 of 2 flat: NVDA close sent 820 of 820")
    over = told(closed_home, trading_state=halted, emergency=begun | {"completed_at": SINCE})
    assert named(over, "emergency") == [("warn", f"flat at the broker since {SINCE}; reconcile before a resume")]


def test_a_question_that_waits_is_told_with_the_command_that_answers_it(closed_home: Path) -> None:
    asked = {"decision_id": "d1", "question": "Continue?", "options": ["continue_exits", "liquidate"], "since": SINCE}
    (line,) = named(told(closed_home, decisions=[asked]), "decision required")
    assert line == ("warn", f"Continue? Asked {SINCE}: `qm decide d1 continue_exits|liquidate --reason …`")


def test_open_orders_are_counted_and_where_their_ids_are(closed_home: Path) -> None:
    working = [{"open": True, "status": "accepted"}, {"open": True, "status": "unknown"}]
    lines = told(closed_home, orders=[*working, {"open": False, "status": "filled"}])
    assert named(lines, "orders") == [("warn", "2 open, 1 in doubt: `qm order list` has their ids")]
    assert named(told(closed_home), "orders") == [("ok", "0 open")]
