"""Where a book keeps everything: one directory per book, one per session within it (§2, §21)."""

import re
from dataclasses import dataclass
from pathlib import Path

from qmworkbench.storage.refused import StorageRefused

# A session id or book name becomes a directory: nothing that could climb out of the book or hide in it.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,99}")


@dataclass(frozen=True)
class SessionPaths:
    """One session's own directory within a book."""

    root: Path

    @property
    def bars(self) -> Path:
        """The bar store's directory (storage/barstore.py)."""
        return self.root / "bars"

    @property
    def radar(self) -> Path:
        """Radar snapshots by boundary (storage/snapshots.py)."""
        return self.root / "radar"

    @property
    def quarantine(self) -> Path:
        """Rows that were refused entry to the session, with the reason."""
        return self.root / "quarantine.parquet"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def preflight(self, phase: str) -> Path:
        """A phase's preflight with all it saw; `phase` is "pre-start" or "pre-market"."""
        return self.root / f"preflight-{phase}.json"

    def create(self) -> "SessionPaths":
        """Make the session's directories; those that exist are left as they are."""
        for directory in (self.bars, self.radar, self.logs):
            directory.mkdir(parents=True, exist_ok=True)
        return self


@dataclass(frozen=True)
class BookPaths:
    """The layout of one book's directory: one environment and account, every session of it.

    Nothing is created by naming it; `create()` makes the directories, readable by their owner alone because
    `api_json` holds a token.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @staticmethod
    def under(data: Path, environment: str, name: str) -> "BookPaths":
        """The book `name` of `environment` below a data directory: DATA/books/ENVIRONMENT/NAME."""
        return BookPaths(Path(data) / "books" / _checked("environment", environment) / _checked("book name", name))

    @property
    def journal(self) -> Path:
        return self.root / "journal.db"

    @property
    def projections(self) -> Path:
        return self.root / "projections.db"

    @property
    def fallback(self) -> Path:
        """The fallback log, there only once the journal has failed."""
        return self.root / "fallback.jsonl"

    @property
    def approvals(self) -> Path:
        """The ledger of parameter changes (storage/approvals.py), there once one was proposed."""
        return self.root / "approvals.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def sessions(self) -> Path:
        return self.root / "sessions"

    @property
    def venue(self) -> Path:
        """The simulated venue's own books; the platform never reads them but through the broker's door."""
        return self.root / "venue" / "venue.db"

    @property
    def lease(self) -> Path:
        """The single-writer lease."""
        return self.root / "lease"

    @property
    def api_json(self) -> Path:
        """Address and token of the running Core API."""
        return self.root / "api.json"

    def session(self, session_id: str) -> SessionPaths:
        """The directory of one session. Raises StorageRefused for an id that cannot be a directory's name."""
        return SessionPaths(self.sessions / _checked("session id", session_id))

    def create(self) -> "BookPaths":
        """Make the book's directories; those that exist are left as they are."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (self.checkpoints, self.sessions, self.venue.parent):
            directory.mkdir(exist_ok=True)
        return self


def _checked(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StorageRefused(
            f"{what} {name!r} cannot name a directory: use letters, digits and . _ = + -, "
            "starting with a letter or digit"
        )
    return name
