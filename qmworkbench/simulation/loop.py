"""Virtual time and what happens in it: one heap, one thread, one order of things (§19).

Time is whole milliseconds since the session's open. What is due at the same moment happens in the order in which it
was asked for.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final

OPEN: Final = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
SECOND: Final = 1_000
MINUTE: Final = 60_000
DAY_MINUTES: Final = 1_440  # from one open to the next
_TICK: Final = timedelta(milliseconds=1)


def at(ms: int) -> datetime:
    """The moment `ms` after the open, aware UTC."""
    return OPEN + ms * _TICK


class Loop:
    """The heap."""

    def __init__(self, begin_ms: int) -> None:
        self.now = begin_ms
        self.steps = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._asked = 0

    def call(self, after_ms: int, action: Callable[..., None], *given: Any) -> None:
        """Do this `after_ms` from now, never earlier than now."""
        self._asked += 1
        heappush(self._heap, (self.now + max(0, after_ms), self._asked, action, given))

    def step(self) -> bool:
        """Do the next thing; False when nothing is left. Raises what the action raises, the step being done."""
        if not self._heap:
            return False
        due, _, action, given = heappop(self._heap)
        self.now = due
        self.steps += 1
        action(*given)
        return True

    @property
    def next_ms(self) -> int | None:
        """When the next thing is due, None when nothing is."""
        return self._heap[0][0] if self._heap else None
