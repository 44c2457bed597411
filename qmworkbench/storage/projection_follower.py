"""The thread that keeps projections near the journal's head while a session runs (§20 "analytics lag")."""

import threading
from collections.abc import Sequence
from typing import Final

from qmworkbench.domain.events import Event
from qmworkbench.ports import Bus
from qmworkbench.storage.projections import Projector, Source

# Waking for every boundary of a fast replay would cost the kernel more than it is worth.
PAUSE_S: Final = 0.25


class ProjectionFollower:
    """Catches up from the journal whenever the bus says that something became durable.

    Its trouble is nobody else's: an error ends it, stays in `error`, and shows as growing lag.
    """

    def __init__(self, projector: Projector, source: Source, bus: Bus, *, pause_s: float = PAUSE_S) -> None:
        self.error = ""
        self._projector = projector
        self._source = source
        self._pause_s = pause_s
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._unfollow = bus.follow(self._told)
        self._news.set()  # what was recorded before we came
        self._thread = threading.Thread(target=self._run, name="projections", daemon=True)
        self._thread.start()

    def lag(self) -> int:
        """How many durable decisions are not projected yet."""
        return self._projector.lag(self._source)

    def stop(self) -> None:
        """Project what is durable by now, and end; twice is fine."""
        self._unfollow()
        self._stopping.set()
        self._news.set()
        self._thread.join()

    def _told(self, seq: int, events: Sequence[Event]) -> None:
        self._news.set()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._news.wait()
                self._news.clear()
                self._projector.catch_up(self._source)
                self._stopping.wait(self._pause_s)
            self._projector.catch_up(self._source)
        except Exception as error:  # kept for health to show; projections are made again from the journal
            self.error = f"{type(error).__name__}: {error}"
            self._unfollow()
