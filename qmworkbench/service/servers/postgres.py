"""A PostgreSQL cluster of our own: made, started, stopped, and reached through a private Unix socket (§6)."""

import signal
from pathlib import Path
from typing import ClassVar, Final

import psycopg

from qmworkbench.service.servers import binaries, process
from qmworkbench.service.servers.binaries import NoServer, Program
from qmworkbench.service.servers.own import OwnServer, Signals

USER: Final = "qm"
DATABASE: Final = "qm"
_INITDB: Final = ("--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-instructions")


class PostgresServer(OwnServer):
    """One cluster in `home`. Who may enter its socket's directory, which is ours alone, is the cluster's owner.

    `durable` False gives up fsync, for tests that do not cut the power.
    """

    kind: ClassVar[str] = "postgres"
    ready_s: ClassVar[float] = 30.0
    # Fast shutdown first: sessions are ended and everything is written. Immediate is a crash that recovers by itself.
    stop: ClassVar[Signals] = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 2.0))
    crash: ClassVar[Signals] = ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        super().__init__(home)
        self._durable = durable

    def program(self) -> Program:
        """PostgreSQL 15 or newer. Raises NoServer."""
        return binaries.postgres()

    def command(self, program: Program, socket: Path) -> list[str | Path]:
        """How the cluster is started; it is made first where there is none. Raises NoServer."""
        data = self.home / "data"
        if not (data / "PG_VERSION").exists():
            process.run([program.beside("initdb"), "-D", data, *_INITDB], f"making a cluster in {data}")
        _demand_same_major(data, program.version)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket),
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on",
            "logging_collector": "off",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [program.path, "-D", data, *flags]

    def answers(self, socket: Path) -> bool:
        """Whether it takes connections, and has the database, which is made here where it is missing."""
        try:
            with psycopg.connect(
                host=str(socket), user=USER, dbname="postgres", autocommit=True, connect_timeout=5
            ) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                if known is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.OperationalError:
            return False
        return True

    def address(self) -> str:
        """How to reach it. Raises NoServer where it does not run."""
        return self.dsn()

    def dsn(self, database: str = DATABASE) -> str:
        """How to reach one of its databases. Raises NoServer where it does not run."""
        return f"postgresql:///{database}?host={self.demand_running().socket}&user={USER}"


def _demand_same_major(data: Path, version: str) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != version.split(".", maxsplit=1)[0]:
        raise NoServer(
            f"{data} was made by PostgreSQL {made_by} and {version} is what there is: "
            f"install PostgreSQL {made_by}, or dump it there and restore it here"
        )
