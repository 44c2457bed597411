"""Snapshots as the Core API gives them, one per situation the page has to show; every call makes fresh ones.

The ordinary day is session.json; the others are changes to it.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DAY = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)  # 09:30 in New York
NOON = DAY + timedelta(minutes=212)
HALTED = "HALTED – only liquidation may pass"
REDUCING = "HALTED – entries blocked, exits running"

COMPONENTS = {
    "api": 1.8,
    "bus": 0.1,
    "store": 0.4,
    "market_data": 3.2,
    "execution_broker": 1.1,
    "scanner": 0.9,
    "allocator": 0.2,
    "risk_manager": 0.1,
    "execution": 0.6,
    "analytics": 4.4,
}
CRITICAL = {"store", "execution_broker", "risk_manager", "execution"}


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def minute(n: int, seconds: int = 0) -> str:
    """Minute `n` of the session."""
    return iso(DAY + timedelta(minutes=n, seconds=seconds))


def health(status: str = "healthy", **ill: tuple[str, str]) -> dict[str, Any]:
    """A health report; `ill` names components with their (status, detail)."""
    parts = []
    for name, latency_ms in COMPONENTS.items():
        state, detail = ill.get(name, ("healthy", ""))
        part = {"component": name, "status": state, "latency_ms": latency_ms, "detail": detail}
        last = iso(NOON - timedelta(seconds=1 if state == "healthy" else 95))
        parts.append(part | {"last_success": last, "critical": name in CRITICAL})
    report = {"status": status, "version": "0.1.0", "journal_seq": 4212, "durable_seq": 4212, "at": iso(NOON)}
    return report | {"components": parts}


def day(version: int = 40) -> dict[str, Any]:
    """An ordinary market session at 13:02 New York, three positions open."""
    given: dict[str, Any] = json.loads(Path(__file__).with_name("session.json").read_text(encoding="utf-8"))
    return given | {"version": version}


def empty() -> dict[str, Any]:
    """A platform that runs and has opened no session."""
    given = day(version=1)
    kept = ("version", "wall_at", "book", "lateness", "trading_state")
    return {name: given[name] for name in kept} | {
        "at": None,
        "environment": "",
        "session_id": "",
        "phase": "",
        "phases": [phase | {"entered_at": None} for phase in given["phases"]],
        "broker": {"connected": False, "detail": "no answer from the broker"},
        "reconciliation": {"result": None, "trigger": None, "completed_at": None, "breaks": 0, "unresolved": []},
        "emergency": None,
        **{name: [] for name in ("alerts", "positions", "orders", "fills", "trades", "equity_curve")},
    }


def unseen(snapshot: dict[str, Any]) -> None:
    """Nothing has been observed for the analytics signals yet."""
    snapshot["analytics"]["observed_at"] = None
    for signal in snapshot["analytics"]["signals"]:
        signal |= {"state": "none", "subject": "", "value": None, "threshold": None, "unit": "", "sample": 0}
        signal |= {"needed": 0, "text": "no entry yet"}


def halted(snapshot: dict[str, Any], state: str, shown: str, **why: str) -> None:
    snapshot["trading_state"] = {
        "state": state,
        "shown": shown,
        "code": "",
        "reason": "",
        "by": "",
        "since": None,
        "compared": "",
        "causes": [],
    } | why
    for run in snapshot["runs"]:
        run |= {"state": state, "shown": shown}


def alert(priority: str, kind: str, text: str, remedy: str) -> dict[str, Any]:
    return {"alert_id": f"a-{kind}", "priority": priority, "kind": kind, "text": text, "remedy": remedy}


def daily_loss() -> dict[str, Any]:
    """Halted by the daily loss limit, with the question that only a person may answer."""
    snapshot = day(version=61)
    text = "day P&L -1012.40 is beyond the limit of -1000 USD"
    halted(snapshot, "reducing", REDUCING, code="max_daily_loss", reason=text, by="risk_manager", since=minute(209))
    snapshot["account"] |= {"equity": "98987.60", "day_pnl": "-1012.40"}
    snapshot["account"] |= {"realized_pnl": "-861.22", "unrealized_pnl": "-139.08"}
    snapshot["risk"]["daily_loss"] = {"used": "1012.40", "limit": "1000", "pct": 101.24}
    snapshot["equity_curve"] = [
        [at, f"{float(value) - n * n * 0.0317:.2f}"] for n, (at, value) in enumerate(snapshot["equity_curve"])
    ]
    remedy = "confirm that no new entries pass; decide: continue exits or liquidate; record the incident (§11)"
    snapshot["alerts"] = [alert("P1", "max_daily_loss", text, remedy)]
    question = f"{text}. Continue open positions under their exits, or liquidate?"
    decision = {"decision_id": "d1", "question": question, "options": ["continue_exits", "liquidate"]}
    snapshot["decisions"] = [decision | {"since": minute(209), "escalated_at": None}]
    return snapshot


def emergency(flat: int = 1, *, done: bool = False) -> dict[str, Any]:
    """Emergency Liquidate & Halt: `flat` of three symbols are flat; `done` once the broker says so of all."""
    snapshot = day(version=80 + flat + done)
    reason = "Execution behavior is unsafe"
    halted(snapshot, "halted", HALTED, code="emergency", reason=reason, by="ana", since=minute(212, 4))
    steps = [("close_sent", 2, "820 of 820"), ("exits_canceled", 0, "1 resting orders asked to cancel")]
    lines = []
    for n, symbol in enumerate(("NVDA", "AMD", "BABA")):
        is_flat = n < flat or done
        step, attempt, detail = ("flat", 1, "the broker holds nothing") if is_flat else steps[min(1, n - flat)]
        lines.append({"symbol": symbol, "step": step, "attempt": attempt, "detail": detail})
    snapshot["positions"] = [] if done else snapshot["positions"][flat:]
    snapshot["orders"] = [order for order in snapshot["orders"] if order["leaves_qty"] == "0"]
    begun = {"emergency_id": "e1", "reason": reason, "by": "ana", "started_at": minute(212, 4), "lines": lines}
    snapshot["emergency"] = begun | {"completed_at": minute(212, 31) if done else None}
    remedy = "watch cancels and closes until every position is zero; do not resume before reconciliation (§15)"
    snapshot["alerts"] = [alert("P0", "emergency_halt", f"Emergency Liquidate & Halt by ana: {reason}", remedy)]
    return snapshot


def stale_feed() -> tuple[dict[str, Any], dict[str, Any]]:
    """Market data stopped arriving."""
    snapshot = day(version=70)
    snapshot["feed"] |= {"state": "stale", "detail": "no bar for 185 s"}
    snapshot["silenced"] = "market data is stale"
    remedy = "confirm that reconnects are running; halt if it lasts (§12)"
    snapshot["alerts"] = [alert("P1", "market_data_disconnect", "market data is stale: no bar for 185 s", remedy)]
    return snapshot, health("degraded", market_data=("degraded", "no bar for 185 s"))


def must_halt() -> tuple[dict[str, Any], dict[str, Any]]:
    """Market data went bad while the book was paused already: two causes, one of them a line of §23."""
    snapshot = day(version=72)
    reason = "market data is stale for 305 s: no bar for 490 s"
    why = {"code": "must_halt.data_degraded", "reason": reason, "by": "platform", "since": minute(211)}
    halted(snapshot, "reducing", REDUCING, **why)
    pause = {"code": "operator_pause", "condition": "", "remedy": "", "reason": "odd prints", "by": "ana"}
    remedy = "check the feed; exits run by the broker's resting orders; liquidate only by decision"
    snapshot["trading_state"]["causes"] = [
        why | {"condition": "data quality severely degraded", "remedy": remedy},
        pause | {"since": minute(205)},
    ]
    snapshot["feed"] |= {"state": "stale", "detail": "no bar for 490 s", "since": minute(206)}
    snapshot["silenced"] = "stale: no bar for 490 s"
    against = {
        "incident cause understood": [f"it still stands: {reason}"],
        "broker state reconciled": ["no reconciliation has passed since the halt"],
    }
    for line in snapshot["resume"]:
        line["against"] = against.get(line["line"], [])
    text = f"must halt: data quality severely degraded: {reason}. The book is {REDUCING}"
    snapshot["alerts"] = [alert("P0", "must_halt", text, f"{remedy}; leave the halt with `qm resume`")]
    return snapshot, health("degraded", market_data=("degraded", "no bar for 490 s"))


def stopped_strategy() -> dict[str, Any]:
    """One instance stopped by its broker's rejections: it holds a position, and may not restart yet."""
    snapshot = day(version=73)
    run = snapshot["runs"][1]
    run |= {"state": "reducing", "shown": REDUCING, "code": "contradiction.over_fill", "by": "oms"}
    run |= {"why": "BABA: filled 120 of 60", "since": minute(208), "in_doubt": ["qm-baba-entry-3"]}
    run["against_restart"] = [
        {"reason": "in doubt: qm-baba-entry-3", "remedy": "the broker is being asked: wait, or `qm order inspect ID`"},
        {"reason": "it was stopped by contradiction.over_fill and nothing has been reconciled since",
         "remedy": "a comparison was started: look at its result, then restart again"},
    ]  # fmt: skip
    return snapshot


def red_platform() -> tuple[dict[str, Any], dict[str, Any]]:
    """The execution broker does not answer while positions are open: nothing above the platform can be relied on."""
    snapshot = day(version=75)
    snapshot["broker"] = {"connected": False, "detail": "no answer from the broker"}
    snapshot["entries_held"] = "the execution broker does not answer"
    text = "the execution broker does not answer: connection refused"
    remedy = "verify positions at the broker directly; entries wait until it is back and reconciled"
    snapshot["alerts"] = [alert("P0", "execution_broker_disconnect", text, remedy)]
    ill = {"execution_broker": ("failed", "connection refused"), "analytics": ("degraded", "12 s behind")}
    return snapshot, health("failed", **ill)


def recovered() -> dict[str, Any]:
    """A session another process left unfinished: entries wait for a person."""
    snapshot = day(version=50)
    snapshot |= {"recovered": True, "unattended": True}
    snapshot["entries_held"] = "recovered session: entries wait for a release"
    snapshot["reconciliation"] |= {"trigger": "recovery", "result": "clean"}
    return snapshot


def mismatch() -> dict[str, Any]:
    """A break with the broker that nobody has resolved."""
    snapshot = day(version=55)
    found = {"kind": "position_qty", "symbol": "AMD", "before": "820", "after": "900", "severity": "P0"}
    found["cause"] = "the broker reports more than our executions add up to"
    found["break_id"] = "b-amd"
    snapshot["reconciliation"] |= {"result": "unresolved", "breaks": 1, "unresolved": [found]}
    return snapshot


def closed() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The session is over: snapshot, and the milestones the journal holds."""
    snapshot = day(version=99)
    snapshot |= {"phase": "closed", "at": minute(391), "positions": [], "entries_held": ""}
    for n, phase in enumerate(snapshot["phases"]):
        phase["entered_at"] = phase["entered_at"] or minute(386 + n)
    snapshot["feed"] |= {"boundary": 390, "boundary_at": minute(390)}
    snapshot["orders"] = [order for order in snapshot["orders"] if order["leaves_qty"] == "0"]
    snapshot["account"] |= {"unrealized_pnl": "0.00", "realized_pnl": "425.07", "cash": "100412.87"}
    snapshot["risk"]["open_positions"]["used"] = 0
    for run in snapshot["runs"]:
        run["ended"] = True
    recorded = {"type": "session.preflight_recorded", "verdict": "GO", "failed": []}
    summary = {"trades": 11, "orders": 42, "fills": 31, "breaks": 0, "net_pnl": "412.87", "recovered": False}
    milestones = [
        {"seq": 1, "type": "session.opened", "at": minute(-30)},
        recorded | {"seq": 9, "at": minute(-29), "phase": "pre-start"},
        recorded | {"seq": 30, "at": minute(-6), "phase": "pre-market"},
        {"seq": 4100, "type": "session.summarized", "at": minute(391)} | summary,
    ]
    return snapshot, milestones
