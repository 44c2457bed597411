"""How long a session's bulk is kept, by kind; orders and journal are kept for good (§5 Data Check, §22).

A plan is made first and shown; only a plan is carried out. It can name nothing but the bulk inside closed sessions'
own directories: never the journal, projections, checkpoints, the fallback log or the venue.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.storage.atomic import sync_directory
from qmworkbench.storage.paths import BookPaths, SessionPaths
from qmworkbench.storage.refused import StorageRefused

KINDS: Final = ("radar", "logs", "bars", "quarantine")
DEFAULT_DAYS: Final[Mapping[str, int]] = {"radar": 90, "logs": 180, "bars": 730, "quarantine": 730}
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})")


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Days to keep by kind, counted from the session's date; 0 keeps for good."""

    days: Mapping[str, int] = msgspec.field(default_factory=lambda: dict(DEFAULT_DAYS))

    def __post_init__(self) -> None:
        for kind, days in self.days.items():
            if kind not in KINDS:
                raise ValueError(f"retention.{kind}: no such kind; give days for {', '.join(KINDS)}")
            if days < 0:
                raise ValueError(f"retention.{kind} = {days} makes no sense: give days, or 0 to keep for good")

    def sentence(self) -> str:
        """The rule in words: preflight's evidence that it is active."""
        kept = (f"{kind} {self.days[kind]} days" if self.days.get(kind) else f"{kind} for good" for kind in KINDS)
        return ", ".join(kept) + "; orders and journal for good"


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the rule lets go: a directory or file of one session."""

    session_id: str
    kind: str
    path: Path
    age_days: int
    keep_days: int
    size_bytes: int


def plan(book: BookPaths, rule: Retention, *, today: date, closed: Sequence[str]) -> tuple[Expired, ...]:
    """What has expired by `today`, oldest first; nothing is touched. `closed` names the sessions that are closed.

    A session that is open, or whose id holds no date, keeps everything.
    """
    found = []
    for session_id in sorted(set(closed)):
        dated = _DATE.search(session_id)
        if dated is None:
            continue
        age = (today - date.fromisoformat(dated[1])).days
        for kind, path in _bulk(book.session(session_id)):
            keep = rule.days.get(kind, 0)
            if keep and age > keep:
                found.append(
                    Expired(
                        session_id=session_id,
                        kind=kind,
                        path=path,
                        age_days=age,
                        keep_days=keep,
                        size_bytes=_size(path),
                    )
                )
    return tuple(sorted(found, key=lambda entry: (-entry.age_days, entry.session_id, entry.kind)))


def carry_out(book: BookPaths, expired: Sequence[Expired]) -> int:
    """Remove what a plan names; returns the bytes freed. Raises StorageRefused for a path that is no session's bulk."""
    for entry in expired:
        if (entry.kind, entry.path) not in tuple(_bulk(book.session(entry.session_id), only_existing=False)):
            raise StorageRefused(
                f"{entry.path} is not the {entry.kind} of session {entry.session_id}: nothing was removed"
            )
    freed = 0
    for entry in expired:
        if entry.path.is_dir():
            shutil.rmtree(entry.path)
        elif entry.path.exists():
            entry.path.unlink()
        else:
            continue
        freed += entry.size_bytes
        sync_directory(entry.path.parent)
    return freed


def _bulk(session: SessionPaths, *, only_existing: bool = True) -> Iterator[tuple[str, Path]]:
    places = {
        "radar": session.radar,
        "logs": session.logs,
        "bars": session.bars,
        "quarantine": session.quarantine,
    }
    for kind in KINDS:
        if places[kind].exists() or not only_existing:
            yield kind, places[kind]


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
