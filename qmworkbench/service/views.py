"""The snapshot every screen shows: immutable, versioned, never built for a request (§9, DESIGN "Threads")."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from qmworkbench.domain.events import Alert
from qmworkbench.domain.events.control import RiskViolated
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.numbers import ZERO, cents
from qmworkbench.domain.sessions import ENTRY_CONDITION, PHASE_ORDER
from qmworkbench.service import view_control
from qmworkbench.service.chronicle import Chronicle
from qmworkbench.service.lateness import Lateness
from qmworkbench.service.view_rows import fill_row, order_row, orders_shown, position_row, radar_rows, trade_row
from qmworkbench.trading.radar_snapshot import RadarSnapshot
from qmworkbench.trading.state import Session, State, WatchItem

CURVE_POINTS: Final = 1000

_encoder = msgspec.json.Encoder(decimal_format="string")


@dataclass(frozen=True)
class View:
    """One version of the snapshot as it goes out: `body` is JSON; `seq` the journal sequence it shows."""

    version: int
    seq: int
    body: bytes

    @property
    def unchanged(self) -> bytes:
        """What a reader who already has this version is told."""
        return _encoder.encode({"version": self.version, "unchanged": True})


class ViewBuilder:
    """Builds versions: the number rises only when something other than the wall clock has changed."""

    def __init__(self) -> None:
        self._content = b""
        self._version = 0

    def build(self, content: dict[str, Any], *, seq: int, wall_at: datetime) -> View | None:
        """The next version, None where `content` is what the newest one shows."""
        encoded = _encoder.encode(content)
        if encoded == self._content:
            return None
        self._content = encoded
        self._version += 1
        opening = _encoder.encode({"version": self._version, "wall_at": wall_at})
        return View(self._version, seq, opening[:-1] + b"," + encoded[1:])


def view_of(state: State, chronicle: Chronicle, radar: RadarSnapshot | None, lateness: Lateness) -> dict[str, Any]:
    """Everything the command center shows, without version and wall clock. Decimals become JSON strings."""
    day = state.session
    content: dict[str, Any] = {
        "at": state.now,
        "book": state.book,
        "environment": day.environment if day else "",
        "session_id": day.session_id if day else "",
        "phase": day.phase if day else "",
        "phases": _phases(chronicle),
        "trading_state": view_control.trading_state(state),
        "broker": {"connected": state.connected, "detail": "" if state.connected else "no answer from the broker"},
        "alerts": [
            {"alert_id": a.alert_id, "priority": a.priority, "kind": a.kind, "text": a.text, "remedy": a.remedy}
            for a in sorted(_alerts(state, lateness), key=lambda a: (a.priority, a.alert_id))
        ],
        "positions": [position_row(state, held) for held in state.positions.values()],
        "orders": [order_row(order) for order in orders_shown(state)],
        "fills": [fill_row(fill) for fill in reversed(chronicle.fills)],
        "trades": [trade_row(trade) for trade in reversed(chronicle.trades)],
        "emergency": _emergency(state),
        "reconciliation": _reconciliation(state),
        "equity_curve": _thinned(chronicle.equity),
        "lateness": {
            "p95_ms": lateness.p95_ms,
            "tolerance_ms": lateness.tolerance_ms,
            "drifted": lateness.drifted,
        },
    }
    if day is not None:
        content |= _of_the_day(state, day, chronicle, radar)
    return content


def _of_the_day(state: State, day: Session, chronicle: Chronicle, radar: RadarSnapshot | None) -> dict[str, Any]:
    return {
        "entries_held": day.entries_held,
        "unattended": day.unattended,
        "recovered": day.recovered,
        "silenced": day.silenced,
        "feed": view_control.feed(state),
        "resume": view_control.resume_lines(state),
        "account": _account(state, day),
        "risk": _risk(state, day, chronicle),
        "radar": radar_rows(day, radar),
        "watchlist": [
            {
                "symbol": item.symbol,
                "state": item.state,
                "strategy_id": _given_to(item),
                "rank": item.rank,
                "reason": item.reason,
                "times": item.times,
            }
            for item in day.watchlist.values()
        ],
        "decisions": [
            {
                "decision_id": d.decision_id,
                "question": d.question,
                "options": d.options,
                "since": d.since,
                "escalated_at": d.escalated_at,
            }
            for d in day.decisions.values()
        ],
        "runs": [view_control.run_row(state, run) for run in day.runs.values()],
    }


def _given_to(item: WatchItem) -> str:
    """Who got the symbol: the instance, or how many of them share it."""
    if len(item.given_to) > 1:
        return f"{len(item.given_to)} instances"
    return item.given_to[0] if item.given_to else ""


def _alerts(state: State, lateness: Lateness) -> list[Alert]:
    late = lateness.alert()
    return [*state.alerts.values(), *([late] if late is not None else [])]


def _phases(chronicle: Chronicle) -> list[dict[str, Any]]:
    return [
        {"phase": phase, "entered_at": chronicle.phases.get(phase), "condition": ENTRY_CONDITION[phase]}
        for phase in PHASE_ORDER
    ]


def _account(state: State, day: Session) -> dict[str, Any]:
    account = state.account
    day_pnl, unrealized = state.day_pnl(), state.unrealized_pnl()
    return {
        "currency": day.account_currency,
        "cash": account.cash if account else None,
        "equity": account.equity if account else None,
        "buying_power": account.buying_power if account else None,
        "start_equity": day.start_equity,
        "realized_pnl": cents(day.net_realized_pnl + day.activity_pnl),
        "unrealized_pnl": None if unrealized is None else cents(unrealized),
        "fees": cents(day.fees),
        "day_pnl": None if day_pnl is None else cents(day_pnl),
    }


def _risk(state: State, day: Session, chronicle: Chronicle) -> dict[str, Any]:
    limits: Limits = day.limits
    day_pnl = state.day_pnl()
    loss = None if day_pnl is None else max(ZERO, -day_pnl)
    most = day.max_loss or limits.max_daily_loss
    recent = sum((state.clock() - at).total_seconds() < 60 for at in day.submits)
    return {
        "limits_hash": day.limits_hash,
        "daily_loss": {
            "used": None if loss is None else cents(loss),
            "limit": most,
            "pct": None if loss is None else round(float(loss / most * 100), 2),
        },
        "trades": {"used": day.entries_intended, "limit": limits.max_trades_per_day},
        "open_positions": {"used": len(state.held_symbols()), "limit": limits.max_open_positions},
        "entries_intended": day.entries_intended,
        "submits_last_minute": {"used": recent, "limit": limits.max_submits_per_minute},
        "blocked": [
            {"symbol": symbol, "scope": block.scope, "by": block.by, "reason": block.reason, "at": block.at}
            for symbol, block in sorted(state.blocked.items())
        ],
        "denials": list(reversed(chronicle.denials)),
        "violations": [_violation(found) for found in reversed(chronicle.violations)],
    }


def _violation(found: RiskViolated) -> dict[str, Any]:
    return {
        "at": found.at,
        "code": found.code,
        "scope": found.scope,
        "symbol": found.symbol,
        "value": found.value,
        "limit": found.limit,
        "effect": found.effect,
    }


def _emergency(state: State) -> dict[str, Any] | None:
    emergency = state.emergency
    if emergency is None:
        return None
    return {
        "emergency_id": emergency.emergency_id,
        "reason": emergency.reason,
        "by": emergency.by,
        "started_at": emergency.started_at,
        "completed_at": emergency.completed_at,
        "lines": [
            {"symbol": symbol, "step": line.step, "attempt": line.attempt, "detail": line.detail}
            for symbol, line in emergency.lines.items()
        ],
    }


def _reconciliation(state: State) -> dict[str, Any]:
    last = state.reconciliation
    return {
        "result": last.result,
        "trigger": last.trigger,
        "completed_at": last.completed_at,
        "breaks": last.breaks,
        "unresolved": [
            {
                "break_id": found.break_id,
                "kind": found.kind,
                "symbol": found.symbol,
                "before": found.before,
                "after": found.after,
                "cause": found.cause,
                "severity": found.severity,
            }
            for found in last.unresolved.values()
        ],
    }


def _thinned(curve: Sequence[tuple[datetime, Any]]) -> list[tuple[datetime, Any]]:
    """At most CURVE_POINTS points, evenly taken, the last always among them."""
    step = -(-len(curve) // CURVE_POINTS) or 1
    kept = list(curve[::step])
    if curve and kept[-1] != curve[-1]:
        kept.append(curve[-1])
    return kept
