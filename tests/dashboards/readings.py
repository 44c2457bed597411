"""Readings as the source would have made them of a snapshot and a health report."""

from collections.abc import Mapping
from typing import Any

from dashboards.reading import LINKED, Link, LinkState, Reading
from tests.dashboards import scenarios

DOWN = Link(LinkState.DOWN, "The platform does not answer", "nothing answers at 127.0.0.1:9", "qm emergency --direct")
ABSENT = Link(LinkState.ABSENT, "No platform is running", "no platform is running in this book", "start one")


def reading(
    snapshot: Mapping[str, Any] | None = None,
    health: Mapping[str, Any] | None = None,
    *,
    link: Link = LINKED,
    **more: Any,
) -> Reading:
    """An ordinary day unless said otherwise."""
    given = scenarios.day() if snapshot is None else snapshot
    report = scenarios.health() if health is None else health
    return Reading(revision=1, link=link, snapshot=given, health=report, **({"contact_at": 100.0} | more))
