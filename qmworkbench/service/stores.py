"""Which store and which bus a configuration means, and where their servers are (§6, DESIGN §6)."""

from typing import TYPE_CHECKING

from qmworkbench.service.servers.binaries import NoServer
from qmworkbench.service.servers.postgres import PostgresServer
from qmworkbench.service.servers.redis import RedisServer
from qmworkbench.storage.stores import SQLITE, Store

if TYPE_CHECKING:
    from qmworkbench.service.config import Config


def store_of(config: "Config") -> Store:
    """Where a new book's journal is to lie. Raises NoServer where PostgreSQL is wanted and none is given or runs."""
    if config.settings.store.kind == "sqlite":
        return SQLITE
    given = config.settings.servers.postgres.get_secret_value()
    own = PostgresServer(config.resolved("paths.data").absolute() / "servers" / "postgres")
    if not given and own.running() is None:
        raise NoServer("store.kind is postgres and none is given (servers.postgres) or runs here: `qm services up`")
    return Store(kind="postgres", address=given or own.dsn())


def bus_url(config: "Config") -> str:
    """The address of the Redis-compatible server of the bus; "" where the bus is in process. Raises NoServer."""
    if config.settings.store.bus == "in-process":
        return ""
    given = config.settings.servers.redis.get_secret_value()
    own = RedisServer(config.resolved("paths.data").absolute() / "servers" / "redis")
    if not given and own.running() is None:
        raise NoServer("store.bus is redis and none is given (servers.redis) or runs here: `qm services up`")
    return given or own.url()
