"""The rows of the projected tables as objects: a class for each table, its columns as attributes (§17).

A row is made with its primary key, in column order, and what is known of it by name; the rest is None, as in the table.
A name that is no column is an error. Values are those stored: text, numbers, 0 or 1.
"""

import sys
from typing import Any, Final

import msgspec
from sqlalchemy import Table

from qmworkbench.storage import tables

Row = Any  # of a class below: what columns a table has is said in table_list.py, not to a type checker
TABLES: Final[dict[type, Table]] = {}


def _of(table: Table) -> Any:
    # msgspec knows a field by the very string it was declared with, and looks longer at one that is merely equal.
    names = [sys.intern(str.__str__(column.name)) for column in table.columns]
    made = msgspec.defstruct(f"{table.name}_row", [(name, Any, None) for name in names], gc=False)
    TABLES[made] = table
    return made


Session: Final = _of(tables.SESSIONS)
SessionSummary: Final = _of(tables.SESSION_SUMMARIES)
Phase: Final = _of(tables.PHASES)
Preflight: Final = _of(tables.PREFLIGHTS)
Service: Final = _of(tables.SERVICES)
Run: Final = _of(tables.RUNS)
Account: Final = _of(tables.ACCOUNT)
Order: Final = _of(tables.ORDERS)
Execution: Final = _of(tables.EXECUTIONS)
QuarantinedReport: Final = _of(tables.QUARANTINED_REPORTS)
Position: Final = _of(tables.POSITIONS)
Restatement: Final = _of(tables.RESTATEMENTS)
CashActivity: Final = _of(tables.CASH_ACTIVITIES)
Trade: Final = _of(tables.TRADES)
Candidate: Final = _of(tables.CANDIDATES)
MomentumSnapshot: Final = _of(tables.MOMENTUM_SNAPSHOTS)
Watched: Final = _of(tables.WATCHLIST)
Assignment: Final = _of(tables.ASSIGNMENTS)
Signal: Final = _of(tables.SIGNALS)
RiskDecision: Final = _of(tables.RISK_DECISIONS)
RiskViolation: Final = _of(tables.RISK_VIOLATIONS)
BlockedSymbol: Final = _of(tables.BLOCKED_SYMBOLS)
Reconciliation: Final = _of(tables.RECONCILIATIONS)
Break: Final = _of(tables.BREAKS)
Repair: Final = _of(tables.REPAIRS)
Alert: Final = _of(tables.ALERTS)
Incident: Final = _of(tables.INCIDENTS)
Command: Final = _of(tables.COMMANDS)
OperatorNote: Final = _of(tables.OPERATOR_NOTES)
RequiredDecision: Final = _of(tables.REQUIRED_DECISIONS)
StateChange: Final = _of(tables.STATE_CHANGES)
EmergencyStep: Final = _of(tables.EMERGENCY_STEPS)
ConnectionChange: Final = _of(tables.CONNECTION_CHANGES)
Boundary: Final = _of(tables.BOUNDARIES)
HealthSample: Final = _of(tables.HEALTH_SAMPLES)
SloSample: Final = _of(tables.SLO_SAMPLES)
Process: Final = _of(tables.PROCESSES)
Watermark: Final = _of(tables.WATERMARKS)
