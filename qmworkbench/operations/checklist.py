"""Which check answers which line of the runbook and the manifest (§5, §6, §7, §8, §17, §23; M: Pre-Flight).

`asks` is the line in our words, `key` a word or two by which it is recognised in the runbook. A test holds that every
checklist line there has its entry here, and that every check named here is made.
"""

from typing import Final

import msgspec


class RunbookLine(msgspec.Struct, frozen=True):
    """One line of a checklist: its section, what it asks, how to recognise it, and the checks that answer it."""

    section: str
    asks: str
    key: str
    check_ids: tuple[str, ...]


def _lines(section: str, *entries: tuple[str, str, str]) -> tuple[RunbookLine, ...]:
    return tuple(RunbookLine(section, asks, key, tuple(ids.split())) for asks, key, ids in entries)


_PRE_START: Final = _lines(
    "§5",
    ("the environment is the right one", "correct environment", "preflight.environment preflight.configuration"),
    ("the right credentials are loaded", "broker credentials", "preflight.credentials"),
    ("the right data provider is set", "market data provider configured", "preflight.data_provider"),
    ("the right execution broker is set", "execution broker configured", "preflight.execution_broker"),
    ("the screen shows the trading mode", "trading mode displayed", "preflight.mode_shown"),
    ("live is on purpose", "intentionally enabled", "preflight.live_intent"),
    ("the daily loss limit is right", "max daily loss", "preflight.max_daily_loss preflight.limits_approved"),
    ("the position size limit is right", "max position size", "preflight.max_position_size"),
    ("the trade count limit is right", "max trades per day", "preflight.max_trades"),
    ("blocked symbols are loaded", "blocked symbols", "preflight.blocked_list"),
    ("Redis answers", "Redis", "preflight.redis"),
    ("PostgreSQL answers", "PostgreSQL", "preflight.postgresql preflight.store_durable preflight.disk_space"),
    ("the API starts", "API service", "preflight.api_starts"),
    ("background jobs are as configured", "Background jobs", "preflight.background_jobs"),
    ("nothing hangs from before", "stuck processes", "preflight.no_stuck_processes"),
    ("data comes fast enough", "latency acceptable", "preflight.data_latency preflight.data_usable"),
    ("the clock is in step", "Clock synchronization", "preflight.clock"),
    ("the radar keeps the boundary", "minute boundary", "preflight.radar_timing"),
    ("retention is on", "retention rules", "preflight.retention"),
)
_STARTUP: Final = _lines(
    "§6",
    ("the API says healthy", "API health endpoint", "startup.api_health"),
    ("the page loads", "UI loads", "startup.page"),
    ("the account loads", "Account summary", "health.account_summary"),
    ("every service shows", "System Health panel", "startup.services health.all_green"),
    ("data is connected", "Data broker", "startup.data_broker"),
    ("execution is connected", "Execution broker", "health.execution_broker"),
    ("risk is active", "Risk manager", "health.risk_manager"),
    ("the scanner is active", "Scanner is active", "startup.scanner"),
    ("no stray orders came along", "unexpected open orders", "premarket.orders"),
)
_CRITICAL: Final = _lines(
    "§7",
    ("no broker, no trading", "execution broker is disconnected", "health.execution_broker"),
    ("no risk manager, no trading", "risk manager is unavailable", "health.risk_manager"),
    ("no account, no trading", "account summary cannot", "health.account_summary"),
    ("no reconciliation, no trading", "position reconciliation fails", "health.reconciled"),
    ("no clock, no trading", "clock synchronization", "health.clock"),
)
_PRE_MARKET: Final = _lines(
    "§8",
    ("buying power is right", "buying power", "premarket.buying_power"),
    ("equity and cash are right", "equity and cash", "premarket.equity_and_cash"),
    ("no stray positions", "unexpected positions", "premarket.positions"),
    ("no stray orders", "unexpected orders", "premarket.orders"),
    ("the blocked list is right", "blocked list", "premarket.blocked_list"),
    ("the scanner is set right", "scanner settings", "premarket.scanner_settings"),
    ("the parameters are right", "strategy parameters", "premarket.strategy_parameters"),
    ("alerts are on", "alerts are enabled", "premarket.alerts"),
    ("the emergency control works", "emergency halt control", "premarket.emergency"),
    ("the scan window is the intended one", "intended time window", "premarket.pre_open_scan premarket.scan_window"),
)
_POST_SESSION: Final = _lines(
    "§17",
    ("orders agree", "orders match", "post_session.orders_match"),
    ("executions agree", "executions match", "post_session.executions_match"),
    ("flat where it should be", "positions are flat", "post_session.flat"),
    ("the money agrees", "realized P&L", "post_session.realized_pnl"),
    ("blocks were kept", "blocked list", "post_session.blocked_list"),
    ("trades were closed", "analytics pipeline", "post_session.trades_closed"),
    ("recommendations were made", "recommendation", "post_session.recommendations"),
)
_SAFE_TO_START: Final = _lines(
    "§23",
    ("health is green", "health checks green", "health.all_green health.reported"),
    ("the account was verified", "account summary verified", "health.account_summary premarket.equity_and_cash"),
    ("nothing stray", "unexpected positions or orders", "premarket.positions premarket.orders"),
    ("risk is active", "risk manager active", "health.risk_manager"),
    ("execution is connected", "execution broker connected", "health.execution_broker"),
    ("data is connected", "data broker connected", "startup.data_broker"),
    ("the emergency control is there", "emergency halt available", "premarket.emergency"),
)
_MANIFEST: Final = _lines(
    "M: Pre-Flight",
    (
        "1: the control summary is green",
        "Control summary",
        "preflight.control_summary preflight.journal_verified premarket.trading_state startup.runs",
    ),
    ("2: broker and API answer", "Broker accounts", "preflight.broker_reachable startup.api_health"),
    ("3: the store is durable", "WAL mode", "preflight.store_durable"),
    ("4: no residual run", "residual runs", "preflight.residual_runs preflight.previous_session"),
    (
        "5: strategies are ready",
        "Strategies scheduled",
        "preflight.strategies_ready preflight.open_questions premarket.strategies_ready health.reconciled",
    ),
)

RUNBOOK_LINES: Final = (
    *_PRE_START,
    *_STARTUP,
    *_CRITICAL,
    *_PRE_MARKET,
    *_POST_SESSION,
    *_SAFE_TO_START,
    *_MANIFEST,
)
