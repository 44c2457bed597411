"""What a session that was killed again and again has left, read from the journal and from the venue's own file (§19).

Neither is asked what it thinks: the journal is folded anew, the venue's tables are read as they are, and one is held
against the other.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from kill_life import DAY, paths_of

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import EntriesReleased
from qmworkbench.domain.events.orders import FillRecorded, OrderIntended
from qmworkbench.domain.events.reconciliation import SessionRecovered
from qmworkbench.domain.events.session import SessionClosed
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.trading.fold import fold
from qmworkbench.venue.wire.names import wire_id

VENUE: Final = "sim"
CRITERIA: Final = 6


def begun(root: Path) -> bool:
    """Whether a session is on record that the next life must take over: one beyond its first checklist, not closed."""
    journal = paths_of(root).journal
    if not journal.exists():
        return False
    try:
        begun_at = _rows(journal, "SELECT 1 FROM decisions WHERE type = 'session.preflight_recorded' LIMIT 1")
        closed_at = _rows(journal, "SELECT 1 FROM decisions WHERE type = 'session.closed' LIMIT 1")
    except sqlite3.OperationalError:  # cut off before its tables were made
        return False
    return bool(begun_at) and not closed_at


def evidence(root: Path, venue_db: Path, *, cut: bool) -> dict[str, Any]:
    """What was found: counts, and in `wrong` everything that does not hold. `cut`: a life ended within the session."""
    paths = paths_of(root)
    wrong: list[str] = []
    with JournalReader(paths.journal) as journal:
        journal.verify()
        events = [event for _, event in journal.events()]
    state = fold(events)
    intents = [event for event in events if isinstance(event, OrderIntended)]
    orders = _rows(venue_db, "SELECT * FROM orders")
    trades = _rows(venue_db, "SELECT * FROM executions WHERE exec_type = 'trade'")
    duplicates = _duplicates(intents, orders)
    lost = _lost(events, trades, wrong)
    wrong += duplicates + lost + _positions(state, venue_db) + _entries_while_held(events)
    criteria = _criteria(paths.session(f"main-{DAY.isoformat()}").root, wrong)
    if cut and not any(isinstance(event, SessionRecovered) for event in events):
        wrong.append("cut within the session, and never marked recovered")
    if cut and not criteria:
        wrong.append("cut within the session, and no acceptance of a recovery was kept")
    if sum(isinstance(event, SessionClosed) for event in events) != 1:
        wrong.append("the session was not closed exactly once")
    if state.reconciliation.unresolved:
        wrong.append(f"breaks are open: {sorted(state.reconciliation.unresolved)}")
    return {
        "orders": len([row for row in orders if row["parent_id"] is None]),
        "fills": len(trades),
        "duplicates": len(duplicates),
        "lost_fills": len(lost),
        "recoveries": criteria,
        "wrong": wrong,
    }


def _rows(database: Path, query: str) -> list[dict[str, Any]]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def _duplicates(intents: Sequence[OrderIntended], orders: Sequence[dict[str, Any]]) -> list[str]:
    """Intents on record twice, orders at the venue without one or other than it, and one wish that went in twice."""
    found = [f"intended twice: {n}" for n, times in Counter(i.request.cl_ord_id for i in intents).items() if times > 1]
    by_name = {intent.request.cl_ord_id: intent for intent in intents}
    wishes: Counter[tuple[Any, ...]] = Counter()
    for row in orders:
        if row["parent_id"] is not None:
            continue
        intent = by_name.get(row["cl_ord_id"])
        if intent is None:
            found.append(f"at the venue without an intent: {row['cl_ord_id']}")
            continue
        asked = intent.request
        if (asked.symbol, asked.side.value) != (row["symbol"], row["side"]):
            found.append(f"{row['cl_ord_id']} is another order at the venue than was intended")
        wishes[intent.strategy_id, asked.symbol, intent.signal_id, intent.leg, intent.attempt] += 1
    return found + [f"sent twice: {wish}" for wish, times in wishes.items() if times > 1]


def _lost(events: Sequence[Event], trades: Sequence[dict[str, Any]], wrong: list[str]) -> list[str]:
    """Executions of the venue that are not booked here; what is booked and never was there is wrong as well."""
    booked = Counter(event.exec_id for event in events if isinstance(event, FillRecorded))
    theirs = {wire_id(VENUE, "execution", row["exec_id"]): row for row in trades}
    wrong += [f"booked and not the venue's: {name}" for name in booked if name not in theirs]
    wrong += [f"booked {times} times: {name}" for name, times in booked.items() if times > 1]
    missing = [row for name, row in theirs.items() if name not in booked]
    return [f"lost: {r['side']} {r['last_qty']} {r['symbol']} at {r['last_px']} ({r['cl_ord_id']})" for r in missing]


def _positions(state: Any, venue_db: Path) -> list[str]:
    ours = {symbol: state.net_qty(symbol) for symbol in state.held_symbols() if state.net_qty(symbol)}
    rows = _rows(venue_db, "SELECT symbol, qty FROM positions")
    theirs = {row["symbol"]: type(state.net_qty("-"))(row["qty"]) for row in rows}
    return [] if ours == {s: q for s, q in theirs.items() if q} else [f"positions: ours {ours}, the venue's {theirs}"]


def _entries_while_held(events: Sequence[Event]) -> list[str]:
    """No entry between a crash and its release."""
    held, found = False, []
    for event in events:
        if isinstance(event, SessionRecovered):
            held = True
        elif isinstance(event, EntriesReleased):
            held = False
        elif held and isinstance(event, OrderIntended) and event.request.position_effect is PositionEffect.OPEN:
            found.append(f"an entry before the release after a crash: {event.request.cl_ord_id}")
    return found


def _criteria(session: Path, wrong: list[str]) -> int:
    """How many recoveries kept §19's six criteria with their evidence; those that do not hold are wrong."""
    kept = sorted(session.glob("recovery-*.json"))
    for file in kept:
        checks = json.loads(file.read_bytes())
        checks = checks["checks"] if isinstance(checks, dict) else checks
        if len(checks) != CRITERIA:
            wrong.append(f"{file.name} has {len(checks)} criteria, not {CRITERIA}")
        for check in checks:
            if check["status"] != "pass":
                wrong.append(f"{file.name}: {check['title']}: {check['value']}, {check.get('detail', '')}")
    return len(kept)
