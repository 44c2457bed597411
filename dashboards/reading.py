"""What the page knows of the platform at one moment: an immutable reading, replaced as a whole (§9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class LinkState(StrEnum):
    """How the page stands to the Core API."""

    WAITING = "waiting"  # not asked yet
    OK = "ok"
    ABSENT = "absent"  # no platform has said where it listens
    DOWN = "down"  # no answer, or an answer that is none
    REFUSED = "refused"  # it answers, but not to us
    ENDED = "ended"  # this page is being stopped, in order


@dataclass(frozen=True)
class Link:
    """The state of the connection in words: `title` for the veil, `detail` what was seen, `remedy` what to do."""

    state: LinkState
    title: str = ""
    detail: str = ""
    remedy: str = ""


WAITING: Final = Link(LinkState.WAITING, "Connecting", "the platform has not been asked yet", "")
ENDED: Final = Link(
    LinkState.ENDED, "This page has ended", "it was stopped in order", "if positions are open: qm emergency"
)
LINKED: Final = Link(LinkState.OK)


@dataclass(frozen=True)
class Reading:
    """One version of everything shown. `revision` rises when anything but the time of contact has changed.

    `snapshot` and `health` are the Core API's last answers, None before the first. `contact_at` and `boundary_at` are
    on this process's monotonic clock, in seconds: the last answer, and when a newer market boundary was first seen
    (None before that). `milestones` are the session's preflight and summary events, newest last.
    """

    revision: int = 0
    link: Link = WAITING
    snapshot: Mapping[str, Any] | None = None
    health: Mapping[str, Any] | None = None
    contact_at: float | None = None
    boundary_at: float | None = None
    milestones: tuple[Mapping[str, Any], ...] = field(default=())

    def contact_age_s(self, now: float) -> float | None:
        """Seconds since the platform last answered; None if it never has."""
        return None if self.contact_at is None else max(0.0, now - self.contact_at)

    def data_age_s(self, now: float) -> float | None:
        """Seconds since the last market boundary was seen; None before the first."""
        return None if self.boundary_at is None else max(0.0, now - self.boundary_at)
