"""Where journal and bus are, and the servers they need (§6, DESIGN §6)."""

from typing import Literal

from pydantic import SecretStr

from qmworkbench.service.config_section import Section


class ServersSection(Section):
    """Servers a desk has already; empty: those of `qm services up`. Addresses may hold passwords, so they are secret:
    never printed whole, never part of a hash.

    `postgres`: a libpq connection string or URI. `redis`: a redis://, rediss:// or unix:// URL.
    """

    postgres: SecretStr = SecretStr("")
    redis: SecretStr = SecretStr("")


class StoreSection(Section):
    """What carries a new book: `kind` its journal, which stays where it began, `bus` what became durable."""

    kind: Literal["sqlite", "postgres"] = "sqlite"
    bus: Literal["in-process", "redis"] = "in-process"
