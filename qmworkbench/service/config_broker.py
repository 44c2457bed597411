"""`[broker]`: whether the simulated venue is played in this process, or is a process of its own (§12)."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from qmworkbench.service.config_problems import refusal
from qmworkbench.service.config_section import Section
from qmworkbench.service.redaction import SHORTEST_SECRET


class BrokerSection(Section):
    """`kind` wire: the venue of `qm venue serve`, over a broker's own order wire.

    Without a `url` it is the process that serves this book's venue file, which notes beside the file how it is reached.
    `key_id` and `secret` are the account's, `token` opens the control door through which a replay shows the bars.
    """

    kind: Literal["simulated", "wire"] = "simulated"
    url: str = ""
    key_id: str = ""
    secret: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")

    @field_validator("url")
    @classmethod
    def _is_one(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme != "http" or not parts.hostname):
            raise refusal("is no address of a venue", "give one such as http://127.0.0.1:8900, or none")
        if parts.username or parts.password:
            raise refusal("holds a password", "set broker.secret and broker.token instead")
        return url.rstrip("/")

    @field_validator("secret", "token")
    @classmethod
    def _long_enough(cls, given: SecretStr) -> SecretStr:
        if given.get_secret_value() and len(given.get_secret_value()) < SHORTEST_SECRET:
            raise refusal(f"is shorter than {SHORTEST_SECRET} characters", "give a longer one: it is wiped out of logs")
        return given
