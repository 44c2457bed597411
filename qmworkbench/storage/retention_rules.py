"""What of a session ages out, as a closed list: by kind, the files and the rows it means, and for how long (§5, §22).

Whatever is not named here is kept for good: the journal above all, and every row of orders, executions, positions,
risk, control and the audit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.storage.paths import SessionPaths

_UNFINISHED: Final = ".unfinished"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of bulk: `days` it is usually kept, `what` it is, and the projected `tables` whose rows it means."""

    kind: str
    days: int
    what: str
    tables: tuple[str, ...] = ()


RULES: Final = (
    Rule(kind="radar", days=90, what="the radar's snapshots, boundary by boundary"),
    Rule(
        kind="momentum",
        days=90,
        what="each scan with its candidates, as rows",
        tables=("momentum_snapshots", "candidates"),
    ),
    Rule(
        kind="health",
        days=90,
        what="health samples and how long boundaries took, as rows",
        tables=("health_samples", "boundaries"),
    ),
    Rule(kind="quotes", days=730, what="the quoted spreads at each boundary"),
    Rule(kind="bars", days=730, what="bars, and the history the session stood on"),
    Rule(kind="quarantine", days=730, what="rows of market data that were refused"),
    Rule(kind="logs", days=180, what="the logs of its processes"),
)
KINDS: Final = tuple(rule.kind for rule in RULES)
DEFAULT_DAYS: Final[Mapping[str, int]] = {rule.kind: rule.days for rule in RULES}
TABLES: Final[Mapping[str, str]] = {table: rule.kind for rule in RULES for table in rule.tables}
# Rows of telemetry, which knows no session: they are told apart by their record's number.
TELEMETRY_TABLES: Final = ("boundaries", "health_samples", "processes")


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Days to keep by kind, counted from the session's date; 0 keeps for good."""

    days: Mapping[str, int] = msgspec.field(default_factory=lambda: dict(DEFAULT_DAYS))

    def __post_init__(self) -> None:
        for kind, days in self.days.items():
            if kind not in KINDS:
                raise ValueError(f"retention.{kind}: no such kind; give days for {', '.join(KINDS)}")
            if days < 0:
                raise ValueError(f"retention.{kind} = {days} makes no sense: give days, or 0 to keep for good")
        quotes, bars = self.days.get("quotes", 0), self.days.get("bars", 0)
        if quotes and not 0 < bars <= quotes:
            raise ValueError(
                f"retention.quotes = {quotes} is shorter than retention.bars = {bars or '0 (for good)'}: bars replayed "
                "without their quotes would decide otherwise; keep quotes as long as bars, or 0 for good"
            )

    def sentence(self) -> str:
        """The rule in words: preflight's evidence that it is active."""
        kept = (f"{kind} {self.days[kind]} days" if self.days.get(kind) else f"{kind} for good" for kind in KINDS)
        return ", ".join(kept) + "; orders and journal for good"


def bulk_files(session: SessionPaths) -> dict[str, tuple[Path, ...]]:
    """The files of a session by kind, those that are there; what is not among them never ages out."""
    in_bars = _files(session.bars)
    quotes = tuple(path for path in in_bars if is_quotes(path))
    found = {
        "radar": _files(session.radar),
        "quotes": quotes,
        "bars": tuple(path for path in in_bars if path not in quotes),
        "quarantine": (session.quarantine,) if session.quarantine.is_file() else (),
        "logs": _files(session.logs),
    }
    return {kind: files for kind, files in found.items() if files}


def kept_files(session: SessionPaths) -> tuple[Path, ...]:
    """What lies beside the bulk: verdicts, preflights, comparisons."""
    bulk = {path for files in bulk_files(session).values() for path in files}
    return tuple(path for path in _files(session.root) if path not in bulk)


def is_quotes(path: Path) -> bool:
    """Whether a file of the bars' directory holds the session's quotes (named_frames.py, `spreads`)."""
    return path.name.startswith("spreads.") and path.suffix == ".arrow"


def _files(directory: Path) -> tuple[Path, ...]:
    found = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    return tuple(sorted(path for path in found if not path.name.endswith(_UNFINISHED)))
