"""A Redis-compatible server of our own, reached through a private Unix socket (§6)."""

import signal
import socket as sockets
from pathlib import Path
from typing import ClassVar

from qmworkbench.service.servers import binaries
from qmworkbench.service.servers.binaries import Program
from qmworkbench.service.servers.own import OwnServer, Signals


class RedisServer(OwnServer):
    """One server with its file in `home`. It listens on no port: who may enter the socket's directory may talk to it.

    What it holds is written as it changes (appendonly, each second): the journal is the record, this only carries it.
    """

    kind: ClassVar[str] = "redis"
    ready_s: ClassVar[float] = 15.0
    stop: ClassVar[Signals] = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 2.0))
    crash: ClassVar[Signals] = ((signal.SIGKILL, 5.0),)

    def program(self) -> Program:
        """Valkey, or Redis 7 or newer. Raises NoServer."""
        return binaries.redis()

    def command(self, program: Program, socket: Path) -> list[str | Path]:
        """How it is started."""
        settings = ["--port", "0", "--unixsocket", str(_door(socket)), "--unixsocketperm", "700"]
        settings += ["--dir", str(self.home), "--appendonly", "yes", "--appendfsync", "everysec"]
        return [program.path, *settings, "--save", "", "--daemonize", "no"]

    def answers(self, socket: Path) -> bool:
        """Whether it takes connections and has read its file; asked in its own few words, no client is needed."""
        try:
            with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as asked:
                asked.settimeout(1.0)
                asked.connect(str(_door(socket)))
                asked.sendall(b"PING\r\n")
                return asked.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def address(self) -> str:
        """How to reach it. Raises NoServer where it does not run."""
        return self.url()

    def url(self) -> str:
        """How to reach it. Raises NoServer where it does not run."""
        return f"unix://{_door(Path(self.demand_running().socket))}"


def _door(socket: Path) -> Path:
    return socket / "redis.sock"
