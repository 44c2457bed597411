"""How many requests a minute an account may send, and the headers that say how many are left (§12)."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_MINUTE_S: Final = 60.0


class Limiter:
    """Counts requests over the last minute. `per_minute` None: no limit, and no header either."""

    def __init__(self, per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._taken: deque[float] = deque()

    def take(self) -> bool:
        """Count one request; says whether it may pass."""
        if self.per_minute is None:
            return True
        now = self._clock()
        while self._taken and self._taken[0] <= now - _MINUTE_S:
            self._taken.popleft()
        if len(self._taken) >= self.per_minute:
            return False
        self._taken.append(now)
        return True

    def headers(self) -> dict[str, str]:
        """X-RateLimit headers, as Alpaca names them; empty without a limit."""
        if self.per_minute is None:
            return {}
        reset = time.time() + (self._taken[0] + _MINUTE_S - self._clock() if self._taken else _MINUTE_S)
        return {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(max(0, self.per_minute - len(self._taken))),
            "X-RateLimit-Reset": str(int(reset)),
        }
