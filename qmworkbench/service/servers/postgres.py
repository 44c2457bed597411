"""A PostgreSQL cluster of our own: made, started, stopped, and reached through a private Unix socket (§6)."""

import signal
from pathlib import Path
from typing import Final

import psycopg

from qmworkbench.service.servers import binaries, process
from qmworkbench.service.servers.binaries import NoServer
from qmworkbench.service.servers.process import Running

KIND: Final = "postgres"
USER: Final = "qm"
DATABASE: Final = "qm"
READY_S: Final = 30.0
# Fast shutdown first: sessions are ended and everything is written. Immediate is a crash that recovers by itself.
_STOP: Final = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 2.0))
_INITDB: Final = ("--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-instructions")


class PostgresServer:
    """One cluster in `home`. Who may enter its socket's directory, which is ours alone, is the cluster's owner.

    `durable` False gives up fsync, for tests that do not cut the power.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home
        self._durable = durable

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    def running(self) -> Running | None:
        """What runs here; None where nothing does."""
        found = process.kept(self.home)
        return found if found is not None and found.is_alive() else None

    def dsn(self, database: str = DATABASE) -> str:
        """How to reach it. Raises NoServer where it does not run."""
        found = self.running()
        if found is None:
            raise NoServer(f"no PostgreSQL runs in {self.home}: `qm services up`")
        return f"postgresql:///{database}?host={found.socket}&user={USER}"

    def up(self) -> Running:
        """Start it, making the cluster where there is none; one that runs stays. Raises NoServer."""
        found = self.running()
        if found is not None:
            return found
        program = binaries.postgres()
        process.hand_over(self.home)
        data = self.home / "data"
        if not (data / "PG_VERSION").exists():
            process.run([program.beside("initdb"), "-D", data, *_INITDB], f"making a cluster in {data}")
        _demand_same_major(data, program.version)
        socket = process.socket_directory("pg", self.home)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket),
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on",
            "logging_collector": "off",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        pid = process.launch([program.path, "-D", data, *flags], self.log)
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
            process.wait_until(lambda: _answers(socket), pid, self.log, "PostgreSQL", timeout_s=READY_S)
            _database(socket)
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
        """End it and all its sessions at once, as a crash would: for tests. What was committed is there afterwards."""
        found = process.kept(self.home)
        if found is not None:
            process.stop(found, ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)))
            process.forget(self.home)


def _demand_same_major(data: Path, version: str) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != version.split(".", maxsplit=1)[0]:
        raise NoServer(
            f"{data} was made by PostgreSQL {made_by} and {version} is what there is: "
            f"install PostgreSQL {made_by}, or dump it there and restore it here"
        )


def _connected(socket: Path, database: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(host=str(socket), user=USER, dbname=database, autocommit=True, connect_timeout=5)


def _answers(socket: Path) -> bool:
    try:
        _connected(socket, "postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _database(socket: Path) -> None:
    with _connected(socket, "postgres") as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if known is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")
