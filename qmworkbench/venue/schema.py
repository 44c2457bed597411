"""The tables of the venue's file, how an older file becomes one of today, and the statements that write them (§14)."""

from typing import Final

from qmworkbench.venue.orders import VenueOrder
from qmworkbench.venue.records import AccountRow

SCHEMA_VERSION: Final = 4

ORDER_COLUMNS = tuple(VenueOrder.__struct_fields__)
ACCOUNT_COLUMNS = tuple(AccountRow.__struct_fields__)
_INTEGERS = {
    "seq",
    "trail_bps",
    "triggered",
    "held",
    "netted",
    "session_open",
    "session_no",
    "cancel_pending",
    "fills_late",
}


def _columns(names: tuple[str, ...], key: str) -> str:
    """Column definitions: exact numbers and times are text, which SQLite never rounds."""
    return ", ".join(
        f"{name} {'INTEGER' if name in _INTEGERS else 'TEXT'}{' PRIMARY KEY' if name == key else ''}" for name in names
    )


# Since version 2: what was booked overnight, and the terms of whatever was ever held or ordered.
_ACTIVITY_TABLES = """
CREATE TABLE activities (
    cursor INTEGER PRIMARY KEY, activity_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, symbol TEXT NOT NULL,
    effective TEXT NOT NULL, amount TEXT NOT NULL, realized_pnl TEXT NOT NULL, transact_time TEXT NOT NULL,
    activity TEXT NOT NULL
);
CREATE TABLE listings (symbol TEXT PRIMARY KEY, instrument TEXT NOT NULL) WITHOUT ROWID;
"""

# Since version 3: the ids orders went on under, quotes, round trips within a session, and what faults need to remember.
_VERSION_3_TABLES = """
CREATE TABLE order_ids (cl_ord_id TEXT PRIMARY KEY, first_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE quotes (symbol TEXT PRIMARY KEY, bid TEXT NOT NULL, ask TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE round_trips (
    session_no INTEGER NOT NULL, symbol TEXT NOT NULL, opened TEXT NOT NULL, closing INTEGER NOT NULL,
    day_trades INTEGER NOT NULL, trades INTEGER NOT NULL, PRIMARY KEY (session_no, symbol)
) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE scheduled (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, ref TEXT NOT NULL, frames INTEGER NOT NULL);
"""
_OPEN = "status IN ('accepted', 'partially_filled')"
_OPEN_INDEX = f"CREATE INDEX orders_open ON orders(status) WHERE {_OPEN};"

SCHEMA = f"""
CREATE TABLE account ({_columns(ACCOUNT_COLUMNS, "venue")});
CREATE TABLE orders ({_columns(ORDER_COLUMNS, "cl_ord_id")}) WITHOUT ROWID;
{_OPEN_INDEX}
CREATE TABLE positions (symbol TEXT PRIMARY KEY, qty TEXT NOT NULL, cost TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE executions (
    cursor INTEGER PRIMARY KEY, exec_id TEXT NOT NULL UNIQUE, exec_type TEXT NOT NULL,
    cl_ord_id TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL,
    last_qty TEXT NOT NULL, last_px TEXT NOT NULL, fee TEXT NOT NULL,
    cash_delta TEXT NOT NULL, realized_pnl TEXT NOT NULL, conversion_rate TEXT NOT NULL,
    transact_time TEXT NOT NULL, report TEXT NOT NULL
);
CREATE TABLE marks (symbol TEXT PRIMARY KEY, px TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rates (
    currency TEXT PRIMARY KEY, rate TEXT NOT NULL, at TEXT NOT NULL, source TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE halts (symbol TEXT PRIMARY KEY, halted INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE drills (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, symbol TEXT NOT NULL, detail TEXT NOT NULL);
{_ACTIVITY_TABLES}
{_VERSION_3_TABLES}
PRAGMA user_version = {SCHEMA_VERSION};
"""

# Version 1 knew no dates; the platform's session ids end in theirs.
_TO_2 = f"""
ALTER TABLE account ADD COLUMN session_date TEXT NOT NULL DEFAULT '';
UPDATE account SET session_date = substr(session_id, -10)
    WHERE session_id GLOB '*[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]';
{_ACTIVITY_TABLES}
"""
# Version 2 replaced no orders and counted no round trips: the count begins with the session that opens next.
_TO_3 = f"""
ALTER TABLE orders ADD COLUMN working_id TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN replaced_id TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN ahead_qty TEXT;
ALTER TABLE orders ADD COLUMN cancel_pending INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN fills_late INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN session_no INTEGER NOT NULL DEFAULT 0;
{_VERSION_3_TABLES}
"""
# Version 3 did not say how its clients reach it: the session that opens next does.
_TO_4 = "ALTER TABLE account ADD COLUMN reached_by TEXT NOT NULL DEFAULT '';"
_STEP = f"PRAGMA user_version = {SCHEMA_VERSION};"
MIGRATIONS: Final = {1: f"{_TO_2}{_TO_3}{_TO_4}{_STEP}", 2: f"{_TO_3}{_TO_4}{_STEP}", 3: f"{_TO_4}{_STEP}"}


def _upsert(table: str, columns: tuple[str, ...], key: str) -> str:
    values = ", ".join(f":{name}" for name in columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key.split(", "))
    insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"
    return f"{insert} ON CONFLICT({key}) DO UPDATE SET {changes}"


PUT_ACCOUNT = _upsert("account", ACCOUNT_COLUMNS, "venue")
PUT_ORDER = _upsert("orders", ORDER_COLUMNS, "cl_ord_id")
PUT_POSITION = _upsert("positions", ("symbol", "qty", "cost"), "symbol")
PUT_MARK = "INSERT OR REPLACE INTO marks (symbol, px, at) VALUES (?, ?, ?)"
PUT_RATE = _upsert("rates", ("currency", "rate", "at", "source"), "currency")
PUT_HALT = _upsert("halts", ("symbol", "halted"), "symbol")
PUT_LISTING = "INSERT OR REPLACE INTO listings (symbol, instrument) VALUES (?, ?)"
PUT_ACTIVITY = "INSERT INTO activities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
PUT_ENTRY = "INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
PUT_ORDER_ID = "INSERT INTO order_ids (cl_ord_id, first_id) VALUES (?, ?)"
PUT_QUOTE = _upsert("quotes", ("symbol", "bid", "ask", "at"), "symbol")
PUT_ROUND_TRIPS = _upsert(
    "round_trips", ("session_no", "symbol", "opened", "closing", "day_trades", "trades"), "session_no, symbol"
)
PUT_COUNTER = "INSERT OR REPLACE INTO counters (name, n) VALUES (?, ?)"
PUT_SCHEDULED = _upsert("scheduled", ("id", "kind", "ref", "frames"), "id")

_LIVE = f"({_OPEN} OR fills_late)"
LIVE_ORDERS = (
    f"SELECT * FROM orders WHERE {_LIVE} UNION "
    f"SELECT * FROM orders WHERE cl_ord_id IN (SELECT parent_id FROM orders WHERE {_OPEN}) ORDER BY seq"
)
FIND_ORDER = (
    "SELECT * FROM orders WHERE cl_ord_id = :id UNION ALL "
    "SELECT * FROM orders WHERE cl_ord_id = (SELECT first_id FROM order_ids WHERE cl_ord_id = :id)"
)
KNOWS = "SELECT 1 FROM orders WHERE cl_ord_id = :id UNION ALL SELECT 1 FROM order_ids WHERE cl_ord_id = :id"

# Every line that moved money, as an account statement lists it.
STATEMENT = """
SELECT cursor, transact_time AS at, exec_type AS what, exec_id AS ref, symbol, side, last_qty AS qty, last_px AS px,
       fee, realized_pnl, cash_delta FROM executions
    WHERE exec_type IN ('trade', 'trade_cancel') AND cursor > :after
UNION ALL
SELECT cursor, transact_time, kind, activity_id, symbol, '', '0', '0', '0', realized_pnl, amount FROM activities
    WHERE cursor > :after
ORDER BY cursor
"""
# One execution by its id, and whether it was taken back since.
EXECUTION = "SELECT report, cash_delta, realized_pnl FROM executions WHERE exec_id = ? AND exec_type = 'trade'"
TAKEN_BACK = "SELECT 1 FROM executions WHERE exec_type = 'trade_cancel' AND json_extract(report, '$.ref_exec_id') = ?"
