"""Kill a journal's writer and its server at random instants, and lose nothing that was acknowledged (§21).

    python scripts/kill_stores.py [--kills 60] [--store sqlite|postgres|both] [--seed 1] [--json]

Each life is a process that appends in small groups and says what was acknowledged. It ends with a SIGKILL at an instant
drawn from the seed, or, on PostgreSQL, by a SIGKILL of the server's process behind it, or a crash of the whole server.
The next life opens the book again: it has to hold everything that was acknowledged. Afterwards every record is read
and compared, and the chain walked. One summary line for each store; exit code 1 says that something was lost.
"""

import argparse
import json
import os
import random
import select
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from qmworkbench.domain.events import Event  # noqa: E402  (its place is known from here on)
from qmworkbench.domain.events.control import EntriesHeld  # noqa: E402
from qmworkbench.service.servers import process  # noqa: E402
from qmworkbench.service.servers.binaries import NoServer  # noqa: E402
from qmworkbench.service.servers.postgres import PostgresServer  # noqa: E402
from qmworkbench.storage.chained import ChainedJournal  # noqa: E402
from qmworkbench.storage.journal import SqliteJournal  # noqa: E402
from qmworkbench.storage.postgres.journal import PostgresJournal  # noqa: E402
from qmworkbench.storage.refused import StorageRefused  # noqa: E402

LIFE_S = 60.0
GROUP = 3
_ACK = struct.Struct("<qq")  # the sequence that is durable, and the server process that made it so (0: none)
_BEGAN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)

Open = Callable[[], ChainedJournal[Any]]


@dataclass
class Tally:
    """What a store went through. `lost` counts acknowledged records that were not there afterwards."""

    store: str
    kills: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    records: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


def event(n: int) -> Event:
    """Decision number `n`, the number inside."""
    return EntriesHeld(at=_BEGAN + timedelta(milliseconds=n), reason=f"number {n}")


def write(opened: Open, pipe: int) -> None:
    """A life: append until killed. Ends with code 0 where the journal failed, which a dead server makes it do."""
    journal = _patiently(opened)
    backend = journal._writer.ask(lambda c: c.info.backend_pid) if isinstance(journal, PostgresJournal) else 0
    os.write(pipe, _ACK.pack(journal.durable_seq, backend))
    try:
        while True:
            head = journal.head[0]
            journal.append([event(n) for n in range(head + 1, head + 1 + GROUP)])
            os.write(pipe, _ACK.pack(journal.sync(), backend))
    except Exception:
        os._exit(0)


def _patiently(opened: Open) -> ChainedJournal[Any]:
    """The book, once the server has noticed that its last writer is dead, or has recovered."""
    gives_up_s = time.monotonic() + LIFE_S / 2
    while True:
        try:
            return opened()
        except StorageRefused as refused:
            if time.monotonic() > gives_up_s:
                print(refused, file=sys.stderr)
                raise
            time.sleep(0.1)


class Life:
    """One writing process, and what it has said."""

    def __init__(self, opened: Open) -> None:
        self._read, pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            try:
                write(opened, pipe)
            finally:
                os._exit(1)
        os.close(pipe)
        self.first, self.backend = self._next()

    def _next(self) -> tuple[int, int]:
        if not select.select([self._read], [], [], LIFE_S)[0]:
            raise TimeoutError(f"the writer said nothing for {LIFE_S:g} s")
        said = os.read(self._read, _ACK.size)
        if len(said) < _ACK.size:
            raise EOFError("the writer could not open the book")
        seq, backend = _ACK.unpack(said)
        return seq, backend

    def end(self) -> int:
        """The last sequence that was acknowledged, once the process is gone."""
        last = self.first
        try:
            while True:
                last = self._next()[0]
        except EOFError:
            os.waitpid(self.pid, 0)
            os.close(self._read)
            return last


def torture(store: str, opened: Open, kills: int, seed: int, server: PostgresServer | None) -> Tally:
    """Kill again and again, then hold the book against what was said."""
    instants, tally = random.Random(seed), Tally(store)
    for _ in range(kills):
        life = Life(opened)
        if life.first < tally.acknowledged:
            tally.wrong.append(f"{tally.acknowledged} were acknowledged, {life.first} are there")
        time.sleep(instants.uniform(0.005, 0.12))
        how = instants.choice(["writer", "writer", "server process", "server"]) if server is not None else "writer"
        if how == "writer":
            os.kill(life.pid, signal.SIGKILL)
        elif how == "server process":
            os.kill(life.backend, signal.SIGKILL)
        else:
            assert server is not None, "only a server is killed"
            server.kill()
        tally.acknowledged = max(tally.acknowledged, life.end())
        tally.kills[how] = tally.kills.get(how, 0) + 1
        if server is not None:
            _answering(server)
    with _patiently(opened) as journal:
        told = [found for _, found in journal.read()]
        journal.verify()
    tally.records = len(told)
    expected = [event(n) for n in range(1, tally.acknowledged + 1)]
    tally.lost = sum(one != other for one, other in zip(expected, told, strict=False)) + max(
        0, len(expected) - len(told)
    )
    return tally


def _answering(server: PostgresServer) -> None:
    """Wait until the server is itself again: after the death of one of its processes it recovers."""
    found = server.up()
    process.wait_until(
        lambda: server.answers(Path(found.socket)), found.pid, server.log, "postgres", timeout_s=server.ready_s
    )


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60, help="of each store")
    parser.add_argument("--store", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tallies = []
    with tempfile.TemporaryDirectory(prefix="qm-kill-stores-") as home:
        if given.store != "postgres":
            path = Path(home) / "journal.db"
            opened: Open = lambda: SqliteJournal(path, book="killed")  # noqa: E731
            tallies.append(torture("sqlite", opened, given.kills, given.seed, None))
        if given.store != "sqlite":
            server = PostgresServer(Path(home) / "postgres")
            try:
                dsn = server.up() and server.dsn()
            except NoServer as missing:
                print(missing, file=sys.stderr)
                return 1
            try:
                there: Open = lambda: PostgresJournal(dsn, book="killed")  # noqa: E731
                tallies.append(torture("postgres", there, given.kills, given.seed, server))
            finally:
                server.down()
    for tally in tallies:
        killed = ", ".join(f"{count} of the {how}" for how, count in sorted(tally.kills.items()))
        line = f"{tally.store}: {sum(tally.kills.values())} kills ({killed}), {tally.acknowledged:,} records"
        print(json.dumps(tally.__dict__) if given.json else f"{line} acknowledged, {tally.lost} lost")
        for wrong in tally.wrong:
            print(wrong, file=sys.stderr)
    return 1 if any(tally.lost or tally.wrong for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
