"""One producer for all open pages: asks the Core API a few times a second and keeps the newest reading (§9)."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from dashboards.core_api import ApiTrouble, CoreApi, Endpoint
from dashboards.reading import ENDED, LINKED, Link, Reading

POLL_S: Final = 0.4
HEALTH_EVERY_S: Final = 1.0
MILESTONES: Final = ("session.opened", "session.preflight_recorded", "session.summarized")


class SnapshotSource:
    """Polls in a thread of its own; `latest()` returns at once and what it returns never changes.

    The last snapshot is kept while the platform does not answer, with the link saying so: pages veil it instead of
    losing it.
    """

    def __init__(
        self, api: CoreApi, *, poll_s: float = POLL_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._poll_s = poll_s
        self._monotonic = monotonic
        self._reading = Reading()
        self._health_due = 0.0
        self._process_id = ""
        self._milestones_of: tuple[str, str] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="core-api-poll", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def end(self) -> None:
        """Poll a last time and then say that the page ends: what it shows from now on is the last it knew."""
        self.stop()
        self.poll()
        reading = self._reading
        self._reading = replace(reading, revision=reading.revision + 1, link=ENDED)

    def latest(self) -> Reading:
        """The newest reading. Never blocks."""
        return self._reading

    def now(self) -> float:
        """The clock that `contact_at` and `boundary_at` are on."""
        return self._monotonic()

    def poll(self) -> None:
        """Ask once. Every outcome, also a failure, becomes the newest reading."""
        try:
            endpoint = self._api.locate()
            self._read(endpoint)
        except ApiTrouble as trouble:
            self._lost(trouble.link)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.poll()
            self._stop.wait(self._poll_s)

    def _read(self, endpoint: Endpoint) -> None:
        before = self._reading
        known = before.snapshot
        # After a restart or a gap the same number may stand for other content: ask for all of it.
        same_life = before.link is LINKED and endpoint.process_id == self._process_id
        since = int(known["version"]) if known is not None and same_life else None
        fresh = self._api.snapshot(endpoint, since)
        self._process_id = endpoint.process_id
        snapshot = known if fresh is None else fresh
        now = self._monotonic()
        health = before.health
        if now >= self._health_due or before.link is not LINKED:
            health = self._api.health(endpoint)
            self._health_due = now + HEALTH_EVERY_S
        changed = fresh is not None or health != before.health or before.link is not LINKED
        self._reading = replace(
            before,
            revision=before.revision + changed,
            link=LINKED,
            snapshot=snapshot,
            health=health,
            contact_at=now,
            boundary_at=_boundary_seen(known, snapshot, before.boundary_at, now),
        )
        if snapshot is not None:
            self._note_milestones(endpoint, snapshot)

    def _note_milestones(self, endpoint: Endpoint, snapshot: Mapping[str, Any]) -> None:
        """Preflight verdicts and the summary, asked for once in each phase of each session."""
        stage = (str(snapshot.get("session_id", "")), str(snapshot.get("phase", "")))
        if stage == self._milestones_of or not stage[0]:
            return
        events = self._api.events(endpoint, MILESTONES)
        opened = max((n for n, event in enumerate(events) if event.get("type") == "session.opened"), default=-1)
        self._milestones_of = stage
        reading = self._reading
        self._reading = replace(reading, revision=reading.revision + 1, milestones=tuple(events[opened + 1 :]))

    def _lost(self, link: Link) -> None:
        reading = self._reading
        if reading.link != link:
            self._reading = replace(reading, revision=reading.revision + 1, link=link)


def _boundary_seen(
    known: Mapping[str, Any] | None, snapshot: Mapping[str, Any] | None, seen: float | None, now: float
) -> float | None:
    """When the present boundary was first seen; data are at least as old as that."""
    at = _boundary_of(snapshot)
    if at is None:
        return None
    return now if at != _boundary_of(known) or seen is None else seen


def _boundary_of(snapshot: Mapping[str, Any] | None) -> Any:
    feed = (snapshot or {}).get("feed")
    return feed.get("boundary_at") if isinstance(feed, dict) else None
