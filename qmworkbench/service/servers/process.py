"""Starting, finding and stopping a server process of our own, as root or not (§6).

PostgreSQL refuses to run as root. So as root a server is started in a user namespace of its own, where it is an
ordinary user while its files stay ours: no account is made, no file changes hands, no directory is opened up. Where the
kernel does not allow that, it runs as the unprivileged uid 65534, with files given to that uid in a directory of its
own.
"""

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from qmworkbench.service.servers.binaries import NoServer
from qmworkbench.storage.atomic import write_whole

NOBODY: Final = 65_534
_POLL_S: Final = 0.02
_STATE: Final = "server.json"
# Those this process started: they outlive it, and are reaped while it lives.
_CHILDREN: dict[int, "subprocess.Popen[bytes]"] = {}


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A server that was started here: `started` tells its process from a later one that got the same pid.

    `socket` is the directory of its Unix socket, kept short because a socket's path may have about a hundred bytes.
    """

    kind: str
    pid: int
    started: str
    program: str
    version: str
    source: str
    socket: str

    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return self.started != "" and started_at(self.pid) == self.started


def started_at(pid: int) -> str:
    """When a process began, as the kernel tells it; "" where there is no such process or it has ended unreaped."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self").exists() else _started_by_ps(pid)
    fields = told.rsplit(")", 1)[1].split()
    return "" if fields[0] == "Z" else fields[19]


def _started_by_ps(pid: int) -> str:
    """The same where there is no /proc (macOS)."""
    told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, since = told.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else since.strip()


@cache
def namespace_prefix() -> tuple[str, ...]:
    """What makes root an ordinary user in a namespace of its own; empty where the kernel does not allow it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    prefix = (unshare, "--user", "--map-user=1000", "--map-group=1000")
    try:
        tried = subprocess.run([*prefix, "true"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return prefix if tried.returncode == 0 else ()


def unprivileged(command: Sequence[str | Path]) -> tuple[list[str], dict[str, Any]]:
    """The command and the process arguments that run it as anybody but root."""
    plain = [str(part) for part in command]
    if os.geteuid() != 0:
        return plain, {}
    prefix = namespace_prefix()
    if prefix:
        return [*prefix, *plain], {}
    return plain, {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def hand_over(directory: Path) -> None:
    """Make a directory of ours, and give it to the one the server will run as where that is somebody else."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0 and not namespace_prefix():
        os.chown(directory, NOBODY, NOBODY)


def socket_directory(kind: str, home: Path) -> Path:
    """The private directory of a server's socket, with a short name that stays the same for one home.

    Raises NoServer where somebody else has made one of that name.
    """
    name = hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:12]
    made = Path(tempfile.gettempdir()) / f"qm-{kind}-{name}"
    hand_over(made)
    found = made.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), NOBODY) or found.st_mode & 0o077:
        raise NoServer(f"{made} is not a private directory of ours: remove it, whoever made it")
    return made


def launch(command: Sequence[str | Path], log: Path, *, environment: Mapping[str, str] | None = None) -> int:
    """Start a server in the background, its output appended to `log`; returns its pid. Raises NoServer."""
    full, arguments = unprivileged(command)
    with log.open("ab") as out:
        try:
            process = subprocess.Popen(
                full,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
                **arguments,
            )
        except OSError as error:
            raise NoServer(f"{full[0]} cannot be started: {error}") from error
    _CHILDREN[process.pid] = process
    return process.pid


def run(command: Sequence[str | Path], what: str, *, timeout_s: float = 60.0) -> None:
    """Run a program to its end as anybody but root. Raises NoServer with what it said."""
    full, arguments = unprivileged(command)
    try:
        done = subprocess.run(full, capture_output=True, text=True, timeout=timeout_s, check=False, **arguments)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoServer(f"{what} failed: {error}") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise NoServer(f"{what} failed: {last[0]}")


def wait_until(ready: Callable[[], bool], pid: int, log: Path, what: str, *, timeout_s: float) -> None:
    """Until `ready`. Raises NoServer where the process ends first or time runs out, with the log's last line."""
    began_s = time.monotonic()
    while not ready():
        ended = _has_ended(pid)
        if ended or time.monotonic() - began_s > timeout_s:
            why = "ended at once" if ended else f"did not answer within {timeout_s:g} s"
            raise NoServer(f"{what} {why}: {last_line(log)}; its log is {log}")
        time.sleep(_POLL_S)


def _has_ended(pid: int) -> bool:
    child = _CHILDREN.get(pid)
    return child.poll() is not None if child is not None else not started_at(pid)


def last_line(log: Path) -> str:
    """The last thing a server said, "it said nothing" where it did not."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"


def stop(running: Running, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """End a server: each signal in turn, with so many seconds to obey. Raises NoServer where none helps."""
    for number, patience_s in signals:
        if not running.is_alive():
            break
        os.kill(running.pid, number)
        deadline_s = time.monotonic() + patience_s
        while running.is_alive() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
    if running.is_alive():
        raise NoServer(f"{running.kind} (pid {running.pid}) does not end: end it by hand")
    child = _CHILDREN.pop(running.pid, None)
    if child is not None:
        child.wait()  # a pid that nobody has reaped looks like a server that still runs
    shutil.rmtree(running.socket, ignore_errors=True)


def keep(home: Path, running: Running) -> None:
    """Note what runs, for whoever looks next."""
    write_whole(home / _STATE, msgspec.json.format(msgspec.json.encode(running), indent=1))


def forget(home: Path) -> None:
    """Nothing runs here any more."""
    (home / _STATE).unlink(missing_ok=True)


def kept(home: Path) -> Running | None:
    """What was started here, running or not; None where nothing was, or the note cannot be read."""
    try:
        return msgspec.json.decode((home / _STATE).read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None
