"""What must never be read in a log, a report or an error: secrets, known by their name or by their value (§21)."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

MASK: Final = "********"
# Below this a value is too common a string to be wiped out wherever it occurs; config refuses such secrets.
SHORTEST_SECRET: Final = 8

_NAMES: Final = re.compile(
    r"(^|[^a-z])(token|secret|password|passwd|passphrase|authorization|credentials?|cookie|bearer|private[_-]?key|api[_-]?key|access[_-]?key|"
    r"signature)([^a-z]|$)",
    re.IGNORECASE,
)
# A value may follow its name inside running text: a header, a URL, a line of an environment.
_INLINE: Final = (
    re.compile(rb"(?i)(bearer\s+)[^\s\"'\\,;]+"),
    re.compile(rb"(?i)(://[^/\s:@\"]*:)[^@\s/\"]+(?=@)"),
    re.compile(
        rb"(?i)((?:[a-z0-9]+[_-])*(?:token|secret|password|passwd|api_?key|access_?key)\\?[\"']?\s*[=:]\s*\\?[\"']?)[^\s\"'\\,;&}]+"
    ),
)
_PLAIN: Final = frozenset({str, int, float, bool, type(None), datetime, Decimal})


@lru_cache(maxsize=4096)
def names_a_secret(name: str) -> bool:
    """Whether something called `name` is to be masked whatever it holds: token, apiKey, ALPACA_SECRET_KEY, …"""
    return _NAMES.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)) is not None


class Redactor:
    """Wipes secrets out of mappings (by key) and out of finished text (by value, and by what stands before it).

    `secrets` are the values in use; shorter ones than SHORTEST_SECRET are ignored, as they would blot out common
    words.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings: dict[bytes, None] = {}
        for secret in secrets:
            if len(secret) < SHORTEST_SECRET:
                continue
            spellings[secret.encode()] = None
            # In a line of JSON, quotes and letters beyond ASCII are written otherwise.
            spellings[json.dumps(secret)[1:-1].encode()] = None
            spellings[json.dumps(secret, ensure_ascii=False)[1:-1].encode()] = None
        # Longest first: a secret may contain another.
        self._spellings = tuple(sorted(spellings, key=len, reverse=True))

    def line(self, text: bytes) -> bytes:
        """A finished line without any secret: the last thing before it is written."""
        for secret in self._spellings:
            if secret in text:
                text = text.replace(secret, MASK.encode())
        low = text.lower()
        # Letters that every inline pattern needs: most lines have none of them and are spared the patterns.
        if b"token" in low or b"secret" in low or b"passw" in low or b"key" in low or b"://" in low or b"bearer" in low:
            for pattern in _INLINE:
                text = pattern.sub(rb"\g<1>" + MASK.encode(), text)
        return text

    def text(self, text: str) -> str:
        """`line` for text that is not bytes yet."""
        return self.line(text.encode()).decode()

    def mapping(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The same fields, masked wherever a key at any depth names a secret."""
        masked = dict(fields)
        for key, value in fields.items():
            if names_a_secret(key):
                masked[key] = MASK if value else value
            elif value.__class__ not in _PLAIN:
                masked[key] = self._value(value)
        return masked

    def _value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self.mapping({str(key): inner for key, inner in value.items()})
        if isinstance(value, list | tuple):
            return [inner if inner.__class__ in _PLAIN else self._value(inner) for inner in value]
        return value
