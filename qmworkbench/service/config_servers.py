"""Where PostgreSQL and Redis are, for a desk that has its own (§6). Empty: those of `qm services up`."""

from pydantic import SecretStr

from qmworkbench.service.config_section import Section


class ServersSection(Section):
    """Addresses may hold passwords, so they are secret: never printed whole, never part of a hash.

    `postgres`: a libpq connection string or URI. `redis`: a redis://, rediss:// or unix:// URL.
    """

    postgres: SecretStr = SecretStr("")
    redis: SecretStr = SecretStr("")
