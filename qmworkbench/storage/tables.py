"""The projected tables: what happened, as SQL a person would write (§17, §18, DESIGN "Projections").

Every table is a fold over the journal and can be made again from it; storage/table_list.py says what each holds. NULL
means absent or not yet. Money is in account currency unless the column is a price, which is in the instrument's. `seq`
is the journal record that made the row, `session_id` "" before any session was opened. Telemetry knows no session: its
tables (boundaries, health_samples, processes) are told apart by time alone.
"""

from typing import Final

from sqlalchemy import MetaData

from qmworkbench.storage.paragraphs import tables_of
from qmworkbench.storage.table_list import TRADING
from qmworkbench.storage.table_list_control import CONTROL

METADATA: Final = MetaData()

_made: Final = tables_of(TRADING, METADATA) | tables_of(CONTROL, METADATA)

SESSIONS: Final = _made["sessions"]
SESSION_SUMMARIES: Final = _made["session_summaries"]
PHASES: Final = _made["phases"]
PREFLIGHTS: Final = _made["preflights"]
SERVICES: Final = _made["services"]
RUNS: Final = _made["runs"]
ACCOUNT: Final = _made["account"]
ORDERS: Final = _made["orders"]
EXECUTIONS: Final = _made["executions"]
QUARANTINED_REPORTS: Final = _made["quarantined_reports"]
POSITIONS: Final = _made["positions"]
RESTATEMENTS: Final = _made["restatements"]
CASH_ACTIVITIES: Final = _made["cash_activities"]
TRADES: Final = _made["trades"]
CANDIDATES: Final = _made["candidates"]
MOMENTUM_SNAPSHOTS: Final = _made["momentum_snapshots"]
WATCHLIST: Final = _made["watchlist"]
ASSIGNMENTS: Final = _made["assignments"]
SIGNALS: Final = _made["signals"]
RISK_DECISIONS: Final = _made["risk_decisions"]
RISK_VIOLATIONS: Final = _made["risk_violations"]
BLOCKED_SYMBOLS: Final = _made["blocked_symbols"]
RECONCILIATIONS: Final = _made["reconciliations"]
BREAKS: Final = _made["breaks"]
REPAIRS: Final = _made["repairs"]
ALERTS: Final = _made["alerts"]
INCIDENTS: Final = _made["incidents"]
COMMANDS: Final = _made["commands"]
OPERATOR_NOTES: Final = _made["operator_notes"]
REQUIRED_DECISIONS: Final = _made["required_decisions"]
STATE_CHANGES: Final = _made["state_changes"]
EMERGENCY_STEPS: Final = _made["emergency_steps"]
CONNECTION_CHANGES: Final = _made["connection_changes"]
BOUNDARIES: Final = _made["boundaries"]
HEALTH_SAMPLES: Final = _made["health_samples"]
SLO_SAMPLES: Final = _made["slo_samples"]
PROCESSES: Final = _made["processes"]
WATERMARKS: Final = _made["watermarks"]
