"""Real servers for tests, started when the first test asks and stopped when the run ends (§6).

Each test process has its own. What a killed run left behind is stopped by the next one.
"""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from qmworkbench.service.servers import desk, process
from qmworkbench.service.servers.binaries import NoServer
from qmworkbench.service.servers.postgres import PostgresServer
from qmworkbench.service.servers.redis import RedisServer

_ALL: Final = Path(tempfile.gettempdir()) / f"qm-test-servers-{os.getuid()}"


@cache
def _home() -> Path:
    _ALL.mkdir(mode=0o700, exist_ok=True)
    for left in _ALL.iterdir():
        if left.name.isdigit() and not process.started_at(int(left.name)):
            desk.down(left)
            shutil.rmtree(left, ignore_errors=True)
    mine = _ALL / str(os.getpid())
    mine.mkdir(mode=0o700, exist_ok=True)
    return mine


@cache
def postgres() -> PostgresServer:
    """A running PostgreSQL. Skips the test where none can be had, saying why."""
    server = PostgresServer(_home() / "postgres")
    try:
        server.up()
    except NoServer as missing:
        pytest.skip(str(missing))
    return server


@cache
def redis() -> RedisServer:
    """A running Redis-compatible server. Skips the test where none can be had, saying why."""
    server = RedisServer(_home() / "redis")
    try:
        server.up()
    except NoServer as missing:
        pytest.skip(str(missing))
    return server


def stop_all() -> None:
    """Stop what this process started."""
    if _home.cache_info().currsize:
        desk.down(_home())
        shutil.rmtree(_home(), ignore_errors=True)
