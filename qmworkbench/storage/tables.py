"""The projected tables: what happened, as SQL a person would write (§17, §18, DESIGN "Projections").

Every table is a fold over the journal and can be made again from it. Columns by type: `text`, `whole` (integer),
`real`, `exact` (a Decimal, every digit kept), `moment` (UTC), `flag`, `json`. NULL means absent or not yet.
Money is in account currency unless the column is a price, which is in the instrument's. `seq` is the journal
record that made the row, `session_id` "" before any session was opened. Telemetry knows no session: its tables
(boundaries, health_samples, processes) are told apart by time alone.
"""

from typing import Any, Final

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeEngine, UserDefinedType

LAYOUT: Final = 1  # counts changes of these tables; another one is made again from the journal

METADATA: Final = MetaData()


class _Named(UserDefinedType[Any]):
    """A column type whose name says what its values are, so that a reader needs nothing but the file."""

    cache_ok = True
    name = ""

    def get_col_spec(self, **_: object) -> str:
        return self.name


class Exact(_Named):
    """A Decimal as text: SQLite has no exact number of its own."""

    cache_ok = True
    name = "DECIMAL_TEXT"


class Moment(_Named):
    """ISO 8601 in UTC, ending in Z."""

    cache_ok = True
    name = "TIMESTAMP_TEXT"


class Flag(_Named):
    """0 or 1."""

    cache_ok = True
    name = "BOOLEAN_INTEGER"


class Document(_Named):
    """JSON."""

    cache_ok = True
    name = "JSON_TEXT"


_TYPES: Final[dict[str, type[TypeEngine[Any]]]] = {
    "text": Text,
    "whole": Integer,
    "real": Float,
    "exact": Exact,
    "moment": Moment,
    "flag": Flag,
    "json": Document,
}


def _table(name: str, key: str, columns: str) -> Table:
    """A table from lines of `type name name …`; `key` names the primary key's columns."""
    keys = key.split()
    made = []
    for line in columns.strip().splitlines():
        kind, *names = line.split()
        made += [Column(n, _TYPES[kind](), primary_key=n in keys, nullable=n not in keys) for n in names]
    found_by_session = "session_id" in columns.split() and keys[0] != "session_id"
    extra = [Index(f"{name}_by_session", "session_id")] if found_by_session else []
    return Table(name, METADATA, *made, *extra)


SESSIONS: Final = _table(
    "sessions",
    "session_id",
    """
    text session_id environment
    text date
    moment opens_at closes_at
    whole interval_s boundaries symbols
    flag half_day unattended
    text account_currency code_version config_hash limits_hash data_source data_hash reference_hash
    json limits scan_settings
    moment opened_at
    whole opened_seq recoveries
    text phase pre_start pre_market ending
    exact start_equity start_cash
    whole trades orders fills breaks
    exact net_pnl
    moment summarized_at closed_at
    whole closed_seq
    """,
)
PHASES: Final = _table(
    "phases",
    "seq",
    """
    whole seq
    text session_id
    moment at
    text phase
    flag entered
    text condition found
    """,
)
PREFLIGHTS: Final = _table(
    "preflights",
    "seq",
    """
    whole seq
    text session_id
    moment at
    text phase verdict checks_hash
    json failed
    text confirmed_by
    """,
)
SERVICES: Final = _table(
    "services",
    "seq",
    """
    whole seq
    text session_id
    moment at
    text service
    whole position
    flag up
    """,
)
RUNS: Final = _table(
    "runs",
    "session_id strategy_id",
    """
    text session_id strategy_id run_id definition_id version owner status params_hash
    json params
    exact budget_pct
    whole max_symbols
    text flat_policy
    moment started_at ended_at faulted_at
    text reason fault
    whole trades
    """,
)
ACCOUNT: Final = _table(
    "account",
    "seq",
    """
    whole seq
    text session_id
    moment at as_of
    text currency
    exact cash equity buying_power realized_pnl unrealized_pnl positions_value fees
    whole cursor
    """,
)
ORDERS: Final = _table(
    "orders",
    "cl_ord_id",
    """
    text cl_ord_id session_id strategy_id symbol side position_effect leg ord_type time_in_force
    text status
    exact order_qty cum_qty leaves_qty avg_px limit_px stop_px
    whole trail_bps
    text order_id parent_id signal_id
    whole attempt
    exact decision_px reserve_notional fees
    moment intended_at submitted_at cancel_requested_at ended_at last_at
    text submit_outcome cancel_outcome reason
    whole seq
    """,
)
EXECUTIONS: Final = _table(
    "executions",
    "exec_id",
    """
    text exec_id session_id cl_ord_id strategy_id symbol side
    exact last_qty last_px fee
    moment transact_time
    exact realized_pnl conversion_rate position_qty position_cost slippage_bps
    flag adopted
    text ref_exec_id reversed_by
    moment at
    whole seq
    """,
)
QUARANTINED_REPORTS: Final = _table(
    "quarantined_reports",
    "seq",
    """
    whole seq
    text session_id
    moment at
    text exec_id cl_ord_id kind detail
    """,
)
POSITIONS: Final = _table(
    "positions",
    "strategy_id symbol",
    """
    text strategy_id symbol session_id
    exact qty cost avg_px realized_pnl fees
    moment opened_at last_at
    whole seq
    """,
)
TRADES: Final = _table(
    "trades",
    "session_id trade_id",
    """
    text session_id trade_id strategy_id symbol side
    exact qty entry_px exit_px
    moment opened_at closed_at
    exact gross_pnl fees net_pnl r_multiple
    text exit_leg exit_reason signal_id
    exact decision_px initial_stop_px target_px
    whole bars_held seq
    """,
)
CANDIDATES: Final = _table(
    "candidates",
    "session_id as_of symbol",
    """
    text session_id
    moment as_of
    text symbol
    flag passed
    whole rank
    real score last change
    text change_basis
    real rel_volume dollar_volume
    text failed
    whole seq
    """,
)
WATCHLIST: Final = _table(
    "watchlist",
    "session_id symbol",
    """
    text session_id symbol state reason
    whole rank
    moment found_at assigned_at entered_at exited_at closed_at expired_at blocked_at last_at
    json verdicts
    whole seq
    """,
)
ASSIGNMENTS: Final = _table(
    "assignments",
    "seq",
    """
    whole seq
    text session_id symbol strategy_id outcome
    exact budget
    text reason
    moment at ended_at
    text end_reason
    """,
)
SIGNALS: Final = _table(
    "signals",
    "signal_id",
    """
    text signal_id session_id strategy_id symbol kind
    moment at
    exact decision_px stop_px target_px
    whole trail_bps max_hold_bars
    text why outcome outcome_reason cl_ord_id
    whole seq
    """,
)
RISK_DECISIONS: Final = _table(
    "risk_decisions",
    "seq",
    """
    whole seq
    text session_id
    moment at
    text cl_ord_id strategy_id symbol leg
    flag allowed
    text failed
    json rules
    text limits_hash
    """,
)
BLOCKED_SYMBOLS: Final = _table(
    "blocked_symbols",
    "seq",
    """
    whole seq
    text session_id symbol scope reason by
    moment at
    flag active
    moment ended_at
    text ended_by end_reason
    """,
)
RECONCILIATIONS: Final = _table(
    "reconciliations",
    "seq",
    """
    whole seq
    text session_id trigger
    moment started_at completed_at
    text result
    whole breaks repaired
    json unresolved
    text detail
    """,
)
BREAKS: Final = _table(
    "breaks",
    "session_id break_id",
    """
    text session_id break_id kind symbol severity before after cause authority
    moment found_at last_at
    whole times_found
    flag open
    moment settled_at
    whole seq
    """,
)
REPAIRS: Final = _table(
    "repairs",
    "seq",
    """
    whole seq
    text session_id break_id kind symbol
    moment at
    text before after cause authority strategy_id qty avg_px
    """,
)
ALERTS: Final = _table(
    "alerts",
    "seq",
    """
    whole seq
    text session_id alert_id priority kind key text remedy
    moment at
    flag active
    moment cleared_at
    text clear_reason
    """,
)
COMMANDS: Final = _table(
    "commands",
    "command_id",
    """
    text command_id session_id command reason operator origin
    moment at
    json detail
    text outcome effect refusal remedy
    moment answered_at
    whole seq
    """,
)
NOTES: Final = _table(
    "notes",
    "note_id",
    """
    text note_id session_id kind text by
    moment at
    whole seq
    """,
)
REQUIRED_DECISIONS: Final = _table(
    "required_decisions",
    "session_id decision_id",
    """
    text session_id decision_id question
    json options
    moment at escalated_at
    whole waited_s
    moment answered_at
    text choice by reason
    whole seq
    """,
)
STATE_CHANGES: Final = _table(
    "state_changes",
    "seq",
    """
    whole seq
    text session_id
    moment at
    text scope before after code reason by
    """,
)
EMERGENCY_STEPS: Final = _table(
    "emergency_steps",
    "seq",
    """
    whole seq
    text session_id emergency_id
    moment at
    text step symbol detail by
    exact realized_pnl
    """,
)
CONNECTION_CHANGES: Final = _table(
    "connection_changes",
    "seq",
    """
    whole seq
    text session_id
    moment at
    text kind state detail
    whole rows
    """,
)
BOUNDARIES: Final = _table(
    "boundaries",
    "seq",
    """
    whole seq
    moment at
    whole boundary
    real lateness_ms radar_ms signals_ms decide_ms journal_ms
    """,
)
HEALTH_SAMPLES: Final = _table(
    "health_samples",
    "seq",
    """
    whole seq
    moment at
    text component status
    real latency_ms
    text last_success detail
    """,
)
PROCESSES: Final = _table(
    "processes",
    "process_id",
    """
    text process_id host user command
    whole pid
    json versions
    moment started_at ended_at
    whole exit_code
    text reason
    whole seq
    """,
)
WATERMARKS: Final = _table(
    "watermarks",
    "stream",
    """
    text stream
    whole seq layout
    text hash session
    moment at
    """,
)
