"""The two servers a desk may run on, seen together: given from outside, started here, or not there (§6, §7).

Order of preference: a configured address, a server installed on the machine, the `servers` extra's own.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.service.servers.binaries import NoServer
from qmworkbench.service.servers.own import OwnServer
from qmworkbench.service.servers.postgres import PostgresServer
from qmworkbench.service.servers.redis import RedisServer

KINDS: Final = ("postgres", "redis")
_PASSWORD: Final = re.compile(r"(?<=:)[^:@/]+(?=@)|(?<=password=)[^&\s]+")
_REACH_S: Final = 3


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One server as it is found. `state`: given (configured, and it answers), unreachable (configured, and it does
    not), running (started here), stopped (can be started), missing (no program is there). `address` without passwords.
    """

    kind: str
    state: str
    address: str = ""
    version: str = ""
    source: str = ""
    pid: int | None = None
    detail: str = ""

    @property
    def usable(self) -> bool:
        return self.state in ("given", "running")


Addresses = Mapping[str, str]  # kind -> the configured address; "" or absent: none


def look(home: Path, given: Addresses, kinds: Sequence[str] = KINDS) -> list[Seen]:
    """Every server as it is now; starts nothing."""
    return [_given(kind, given[kind]) if given.get(kind) else _own(home, kind) for kind in kinds]


def up(home: Path, given: Addresses, kinds: Sequence[str] = KINDS) -> list[Seen]:
    """Start what is not given and does not run; what was started stays if a later one fails. Raises NoServer."""
    for kind in kinds:
        if not given.get(kind):
            server_in(home, kind).up()
    return look(home, given, kinds)


def down(home: Path, kinds: Sequence[str] = KINDS) -> dict[str, bool]:
    """Stop what was started here; says of each whether it ran. What is given is left alone. Raises NoServer."""
    return {kind: server_in(home, kind).down() for kind in reversed(kinds)}


def server_in(home: Path, kind: str) -> OwnServer:
    """Our own server of that kind, running or not."""
    return PostgresServer(home / kind) if kind == "postgres" else RedisServer(home / kind)


def without_password(address: str) -> str:
    """The address as it may be shown."""
    return _PASSWORD.sub("…", address)


def _given(kind: str, address: str) -> Seen:
    shown = without_password(address)
    try:
        version = _postgres_version(address) if kind == "postgres" else _redis_version(address)
    except Exception as error:  # whatever a driver raises: it is not to be had
        why = without_password(" ".join(str(error).split()))
        return Seen(kind=kind, state="unreachable", address=shown, source="configuration", detail=why)
    return Seen(kind=kind, state="given", address=shown, version=version, source="configuration")


def _postgres_version(dsn: str) -> str:
    import psycopg

    with psycopg.connect(dsn, connect_timeout=_REACH_S, autocommit=True) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]).split()[0] if row else ""


def _redis_version(url: str) -> str:
    import redis

    with redis.Redis.from_url(url, socket_connect_timeout=_REACH_S, socket_timeout=_REACH_S) as client:
        told = client.info("server")
    return str(told.get("valkey_version") or told.get("redis_version", ""))


def _own(home: Path, kind: str) -> Seen:
    server = server_in(home, kind)
    running = server.running()
    if running is not None:
        address = server.address()
        return Seen(
            kind=kind,
            state="running",
            address=address,
            version=running.version,
            source=running.source,
            pid=running.pid,
            detail=f"log {server.log}",
        )
    try:
        found = server.program()
    except NoServer as missing:
        return Seen(kind=kind, state="missing", detail=str(missing))
    return Seen(kind=kind, state="stopped", version=found.version, source=found.source, detail=str(found.path))
