"""Kill a trading day at random instants, start it again each time, and hold what it promises (§19).

    python scripts/soak.py [--kills 20] [--seed 1] [--data FILE --date DATE]

Each kill is a SIGKILL of a real `qm day` at a random moment of its life; the same command is then started again, until
the day closes. Afterwards positions must equal the venue's, no order may have been intended twice, no break found, the
session be marked recovered wherever it was cut, and the journal be whole. Prints one JSON line; exit code 1 says what
did not hold.
"""

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def command(directory: Path, arguments: argparse.Namespace) -> list[str]:
    """The day as a person would type it."""
    qm = [str(Path(sys.executable).with_name("qm")), "day", "--headless", "--no-reports", "--json"]
    if arguments.data:
        qm += ["--data", str(Path(arguments.data).resolve()), "--date", arguments.date]
    return qm


def run(line: list[str], directory: Path, limit_s: float | None) -> subprocess.CompletedProcess[str]:
    """Run it to its end, or kill it after `limit_s`."""
    started = subprocess.Popen(line, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = started.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        started.send_signal(signal.SIGKILL)
        out, err = started.communicate()
    return subprocess.CompletedProcess(line, started.returncode, out, err)


def held(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a file nobody writes any more."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


def faults(book: Path, result: dict[str, Any], cut_in_session: int) -> list[str]:
    """What does not hold, in words; empty when all does."""
    from qmworkbench.domain.events import decode
    from qmworkbench.domain.events.orders import OrderIntended
    from qmworkbench.domain.events.session import SessionClosed
    from qmworkbench.storage.journal_reader import JournalReader
    from qmworkbench.trading.fold import fold

    found = []
    with JournalReader(book / "journal.db") as journal:
        records = list(journal.records())
        journal.verify()
    events = [decode(record.payload) for record in records]
    state = fold(events)
    intents = Counter(e.request.cl_ord_id for e in events if isinstance(e, OrderIntended))
    doubled = [name for name, times in intents.items() if times > 1]
    ours = {symbol: state.net_qty(symbol) for symbol in state.held_symbols()}
    theirs = {row[0]: row[1] for row in held(book / "venue" / "venue.db", "select symbol, qty from positions")}
    theirs = {symbol: qty for symbol, qty in theirs.items() if float(qty)}
    if {s: float(q) for s, q in ours.items()} != {s: float(q) for s, q in theirs.items()}:
        found.append(f"positions differ: ours {ours}, the venue's {theirs}")
    if doubled:
        found.append(f"intended twice: {doubled}")
    if result["breaks"]:
        found.append(f"{result['breaks']} breaks")
    if cut_in_session and not result["recovered"]:
        found.append("cut within the session, and not marked recovered")
    if sum(isinstance(event, SessionClosed) for event in events) != 1:
        found.append("the session was not closed exactly once")
    return found


def main() -> int:
    """Kill, resume, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", default="")
    parser.add_argument("--date", default="")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    began, kills, cut, days, wrong = time.perf_counter(), 0, 0, 0, []
    while kills < arguments.kills:
        days += 1
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            line, book = command(directory, arguments), directory / "data/books/local/main"
            cut_here = 0
            while True:
                # Some lives are short enough to die while starting, most die somewhere in the session.
                life_s = dice.uniform(0.5, 6.0) if kills < arguments.kills else None
                ended = run(line, directory, life_s)
                if ended.returncode != -signal.SIGKILL:
                    break
                kills += 1
                cut_here += (book / "journal.db").exists() and bool(
                    held(book / "journal.db", "select 1 from decisions where type = 'session.opened' limit 1")
                )
                print(f"kill {kills} after {life_s:.1f} s", file=sys.stderr)
            if ended.returncode != 0:
                print(ended.stderr, file=sys.stderr)
                wrong.append(f"day {days} ended with exit code {ended.returncode}")
                break
            cut += cut_here
            result = json.loads(ended.stdout.strip().splitlines()[-1])
            wrong += [f"day {days}: {fault}" for fault in faults(book, result, cut_here)]
    report = {"kills": kills, "within_a_session": cut, "days": days, "wrong": wrong}
    print(json.dumps(report | {"took_s": round(time.perf_counter() - began, 1)}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
