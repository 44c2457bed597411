"""Kill the platform at random instants of a session whose venue is another process, and hold §19's promises.

    python scripts/kill.py [--kills 200] [--seed 1] [--venue-kills N] [--venue-stops N] [--json]

Each kill is a SIGKILL of a real process at an instant drawn from the seed; the next life takes the session over, until
it closes, and the next session begins. Now and then it is the venue that is killed and started again, or stopped for a
while. Afterwards journal and venue file are held against each other (kill_evidence.py): no order twice, no fill lost,
every criterion of every recovery met. Ends with one summary line, `--json` with one object; exit code 1 says what did
not hold.
"""

import argparse
import gc
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]
os.environ.setdefault("POLARS_ENGINE_AFFINITY", "in-memory")
os.environ.setdefault("POLARS_MAX_THREADS", "1")  # a life is short: threads would cost more than they give

from kill_evidence import begun, evidence  # noqa: E402  (its place is known from here on)
from kill_life import fork_life, make_bars  # noqa: E402

from qmworkbench.venue.wire.address import VenueAddress, read_note  # noqa: E402

LIFE_S = 120.0


class Venue:
    """`qm venue serve` on a file of its own, the same address in every one of its lives."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "venue" / "venue.db"
        self.db.parent.mkdir(parents=True)
        self._folder = folder
        self._port = 0
        self._process = self._start()
        self.address = self._await()
        self._port = int(self.address.url.rpartition(":")[2])

    def _start(self) -> "subprocess.Popen[bytes]":
        line = [sys.executable, "-c", "from qmworkbench.cli.venue import app; app()", "serve"]
        secrets = {"KEY_ID": "kill", "SECRET": "the-secret-of-a-killed-day", "TOKEN": "the-token-of-a-killed-day"}
        own = {name: value for name, value in os.environ.items() if not name.startswith("QM_")}
        own |= {f"QM_BROKER__{name}": value for name, value in secrets.items()}
        own["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
        log = (self._folder / "venue.log").open("ab")
        with log:
            return subprocess.Popen(
                [*line, "--db", str(self.db), "--port", str(self._port)],
                cwd=self._folder,
                env=own,
                stdout=log,
                stderr=log,
            )

    def _await(self) -> VenueAddress:
        gives_up = time.monotonic() + 300
        while True:
            noted = read_note(self.db)
            if noted is not None and noted.pid == self._process.pid:
                return noted
            if self._process.poll() is not None or time.monotonic() > gives_up:
                raise SystemExit(f"the venue did not come up: {(self._folder / 'venue.log').read_text()[-2000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, and start anew."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()
        self._await()

    def stop_for(self, seconds: float) -> None:
        """SIGSTOP, and let it go on after a while."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """In order, once the session is over."""
        self._process.terminate()
        self._process.wait(120)


@dataclass
class Tally:
    """What has been done and found."""

    kills: int = 0
    within_a_session: int = 0
    venue_kills: int = 0
    venue_stops: int = 0
    gave_up: int = 0
    sessions: int = 0
    orders: int = 0
    fills: int = 0
    recoveries: int = 0
    duplicates: int = 0
    lost_fills: int = 0
    wrong: list[str] = field(default_factory=list)

    def take(self, found: dict[str, Any]) -> None:
        """Add what one session came to."""
        for name in ("orders", "fills", "recoveries", "duplicates", "lost_fills"):
            setattr(self, name, getattr(self, name) + found[name])
        self.wrong += [f"session {self.sessions}: {what}" for what in found["wrong"]]


def heard(hear: int, what: bytes, times: int) -> bool:
    """Wait until a life has told something so often; False where it has ended before."""
    gives_up = time.monotonic() + LIFE_S
    while times:
        ready, _, _ = select.select([hear], [], [], max(gives_up - time.monotonic(), 0))
        told = os.read(hear, 1) if ready else b""
        if not told:
            return False
        times -= told == what
    return True


def ended_within(hear: int, seconds: float) -> bool:
    """Let a life go on for so long; says whether it came to its end meanwhile."""
    gives_up = time.monotonic() + seconds
    while select.select([hear], [], [], max(gives_up - time.monotonic(), 0))[0]:
        if os.read(hear, 1) in (b"", b"c"):
            return True
        if time.monotonic() >= gives_up:
            break
    return False


class Hunter:
    """Draws the instants of one run from its seed."""

    def __init__(self, seed: int, wanted: argparse.Namespace) -> None:
        self._dice = random.Random(seed)
        self._wanted = wanted
        self._began = time.perf_counter()
        self.tally = Tally()

    def done(self) -> bool:
        """Whether everything asked for has been done, or enough is wrong."""
        tally, wanted = self.tally, self._wanted
        out_of_time = wanted.limit_s is not None and time.perf_counter() - self._began > wanted.limit_s
        return (
            bool(tally.wrong)
            or out_of_time
            or (
                tally.kills >= wanted.kills
                and tally.venue_kills >= wanted.venue_kills
                and tally.venue_stops >= wanted.venue_stops
            )
        )

    def session(self, folder: Path) -> None:
        """One session, lives after lives, to its close and its evidence."""
        tally = self.tally
        tally.sessions += 1
        seed = self._dice.randrange(1, 10_000)
        _apart(lambda: make_bars(folder, seed))
        venue = Venue(folder)
        cut = False
        try:
            while (ended := self._life(folder, venue)) in ("killed", "gave up"):
                cut = cut or begun(folder)
            if ended != "closed":
                tally.wrong.append(f"session {tally.sessions} (data seed {seed}): a life ended by itself: {ended}")
        finally:
            venue.end()
        if not tally.wrong:
            tally.take(_apart(lambda: evidence(folder, venue.db, cut=cut)))

    def _life(self, folder: Path, venue: Venue) -> str:
        """One life: "killed", "closed", "gave up", or what became of it."""
        trouble, (until, times, delay_s) = self._trouble(), self._instant()
        pid, hear = fork_life(folder, venue.address)
        try:
            alive = trouble and heard(hear, until, times) and not ended_within(hear, delay_s)
            if alive and trouble == "kill":
                return self._killed(pid, folder)
            if alive:
                self._upset(trouble, venue)
            heard(hear, b"its end", 1)
            ended = _reaped(pid)
        finally:
            os.close(hear)
        if ended != "closed" and trouble.startswith("venue"):
            # A platform that finds no broker says so and ends; whoever runs it starts it again.
            self.tally.gave_up += 1
            return "gave up"
        return ended

    def _instant(self) -> tuple[bytes, int, float]:
        """When a life is struck: so long after it has told something so often. While it starts, while it opens or takes
        over, somewhere around a boundary, or once the market has closed.
        """
        dice, kind = self._dice, self._dice.random()
        if kind < 0.1:
            return b"", 0, dice.uniform(0.0, 0.4)
        if kind < 0.25:
            return b"o", 1, dice.uniform(0.0, 0.6)
        if kind < 0.9:
            return b".", dice.randint(1, 10), dice.uniform(0.0, 0.06)
        return b"l", 1, dice.uniform(0.0, 0.8)

    def _trouble(self) -> str:
        """What is to happen to the next life; "" where nothing is asked for any more."""
        tally, wanted = self.tally, self._wanted
        left = {
            "kill": wanted.kills - tally.kills,
            "venue_kill": wanted.venue_kills - tally.venue_kills,
            "venue_stop": wanted.venue_stops - tally.venue_stops,
        }
        open_yet = [name for name, more in left.items() for _ in range(max(more, 0))]
        return self._dice.choice(open_yet) if open_yet else ""

    def _upset(self, trouble: str, venue: Venue) -> None:
        if trouble == "venue_kill":
            self.tally.venue_kills += 1
            venue.kill()
        else:
            self.tally.venue_stops += 1
            venue.stop_for(0.2 + self._dice.random())

    def _killed(self, pid: int, folder: Path) -> str:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.tally.kills += 1
        self.tally.within_a_session += begun(folder)
        return "killed"


def _reaped(pid: int) -> str:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return "closed" if code == 0 else f"exit code {code}"


def _apart(look: Any) -> Any:
    """Do something in a process of its own: what forks lives does nothing else."""
    hear, tell = os.pipe()
    pid = os.fork()
    if not pid:
        with os.fdopen(tell, "w") as out:
            try:
                json.dump(look(), out)
            except BaseException as error:
                json.dump({"error": f"{type(error).__name__}: {error}"}, out)
        os._exit(0)
    os.close(tell)
    with os.fdopen(hear) as told:
        found = json.load(told)
    os.waitpid(pid, 0)
    if found and "error" in found:
        nothing = dict.fromkeys(("orders", "fills", "recoveries", "duplicates", "lost_fills"), 0)
        return nothing | {"wrong": [f"the evidence cannot be read: {found['error']}"]}
    return found


def main() -> int:
    """Kill, resume, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--venue-kills", type=int, default=5)
    parser.add_argument("--venue-stops", type=int, default=5)
    parser.add_argument("--limit-s", type=float, default=None, help="begin no further session after so many seconds")
    parser.add_argument("--json", action="store_true", help="end with one JSON object instead of a line")
    parser.add_argument("--keep", default="", help="keep the sessions' files in this folder")
    arguments = parser.parse_args()
    began = time.perf_counter()
    gc.collect()
    gc.freeze()  # what was imported is shared with every life: its collector need not walk, and so copy, all of it
    hunter = Hunter(arguments.seed, arguments)
    with tempfile.TemporaryDirectory() as scratch:
        below = Path(arguments.keep or scratch)
        while not hunter.done():
            folder = below / f"session-{hunter.tally.sessions + 1}"
            folder.mkdir(parents=True)
            hunter.session(folder)
            print(f"{hunter.tally.kills} kills, {hunter.tally.sessions} sessions", file=sys.stderr, flush=True)
    tally = hunter.tally
    report = vars(tally) | {"seed": arguments.seed, "took_s": round(time.perf_counter() - began, 1)}
    if arguments.json:
        print(json.dumps(report))
    else:
        print(
            f"{tally.kills} kills ({tally.within_a_session} within a session, {tally.venue_kills} of the venue, "
            f"{tally.venue_stops} stops of it) in {tally.sessions} sessions of {tally.orders} orders and {tally.fills} "
            f"fills: {tally.duplicates} duplicates, {tally.lost_fills} lost fills, {tally.recoveries} recoveries with "
            f"all six criteria met, {len(tally.wrong)} things wrong, {report['took_s']} s"
        )
        for what in tally.wrong:
            print(f"  wrong: {what}")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
