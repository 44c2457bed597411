"""A Redis-compatible server of our own, reached through a private Unix socket (§6)."""

import signal
import socket as sockets
from pathlib import Path
from typing import Final

from qmworkbench.service.servers import binaries, process
from qmworkbench.service.servers.binaries import NoServer
from qmworkbench.service.servers.process import Running

KIND: Final = "redis"
READY_S: Final = 15.0
_STOP: Final = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 2.0))


class RedisServer:
    """One server with its file in `home`. It listens on no port: who may enter the socket's directory may talk to it.

    What it holds is written as it changes (appendonly, each second): the journal is the record, this only carries it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def log(self) -> Path:
        return self.home / "redis.log"

    def running(self) -> Running | None:
        """What runs here; None where nothing does."""
        found = process.kept(self.home)
        return found if found is not None and found.is_alive() else None

    def url(self) -> str:
        """How to reach it. Raises NoServer where it does not run."""
        found = self.running()
        if found is None:
            raise NoServer(f"no Redis-compatible server runs in {self.home}: `qm services up`")
        return f"unix://{found.socket}/redis.sock"

    def up(self) -> Running:
        """Start it; one that runs stays. Raises NoServer."""
        found = self.running()
        if found is not None:
            return found
        program = binaries.redis()
        process.hand_over(self.home)
        socket = process.socket_directory("redis", self.home)
        door = socket / "redis.sock"
        settings = ["--port", "0", "--unixsocket", str(door), "--unixsocketperm", "700", "--dir", str(self.home)]
        settings += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no"]
        pid = process.launch([program.path, *settings], self.log)
        started = Running(
            kind=KIND,
            pid=pid,
            started=process.started_at(pid),
            program=str(program.path),
            version=program.version,
            source=program.source,
            socket=str(socket),
        )
        process.keep(self.home, started)
        try:
            process.wait_until(lambda: _answers(door), pid, self.log, "the Redis-compatible server", timeout_s=READY_S)
        except NoServer:
            self.down()
            raise
        return started

    def down(self) -> bool:
        """Stop it; says whether it ran. Raises NoServer where it does not end."""
        found = process.kept(self.home)
        if found is None:
            return False
        ran = found.is_alive()
        process.stop(found, _STOP)
        process.forget(self.home)
        return ran

    def kill(self) -> None:
        """End it at once, as a crash would: for tests."""
        found = process.kept(self.home)
        if found is not None:
            process.stop(found, ((signal.SIGKILL, 5.0),))
            process.forget(self.home)


def _answers(door: Path) -> bool:
    """Whether it takes connections and has read its file; asked in its own few words, no client is needed for that."""
    try:
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as asked:
            asked.settimeout(1.0)
            asked.connect(str(door))
            asked.sendall(b"PING\r\n")
            return asked.recv(64).startswith(b"+PONG")
    except OSError:
        return False
