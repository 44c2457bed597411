"""A share of the broker's rate limit that nothing but cancels and liquidation may use (DESIGN §3).

Cancels never wait: they pass even where the bucket is empty, and what they take is missing to others.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

# Of 200 requests a minute, forty are kept for getting out.
RESERVED_SHARE: Final = 0.2
USUAL: Final = 200


class Bucket:
    """Tokens that come back at `per_minute`; None until the broker has said that it counts."""

    def __init__(self, per_minute: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._per_minute: int | None = None
        self._tokens = 0.0
        self._at = clock()
        if per_minute is not None:
            self.limit(per_minute)

    def limit(self, per_minute: int) -> None:
        """The broker counts, and lets so many pass."""
        with self._lock:
            if per_minute != self._per_minute:
                self._per_minute, self._tokens, self._at = per_minute, float(per_minute), self._clock()

    def drain(self) -> None:
        """The broker says that it has had enough (429): it counts, whether it has said how far or not."""
        with self._lock:
            self._per_minute = self._per_minute or USUAL
            self._refill()
            self._tokens = min(self._tokens, 0.0)

    def take(self, *, urgent: bool) -> bool:
        """Take one token; `urgent` may use the reserve, and goes out even without one. Says whether to send."""
        with self._lock:
            if self._per_minute is None:
                return True
            self._refill()
            if not urgent and self._tokens - 1 < self._per_minute * RESERVED_SHARE:
                return False
            self._tokens = max(self._tokens - 1, -float(self._per_minute))
            return True

    def _refill(self) -> None:
        now = self._clock()
        assert self._per_minute is not None, "asked only where the broker counts"
        self._tokens = min(self._tokens + (now - self._at) * self._per_minute / 60.0, float(self._per_minute))
        self._at = now
