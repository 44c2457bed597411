"""What a bar store says of itself: its manifest, and beside every part the part's own (§5 Data Check).

A store is a directory:

    manifest.json                    what all parts share, what was added, and the parts there are
    2024-03-08-1f3a9c2b70d4.parquet  one part: the bars of a date, a month or a year, by symbol and time
    2024-03-08-1f3a9c2b70d4.json     its manifest: origin, hash, zone, prices, gaps, symbols
    actions-….parquet                corporate actions, where any were given: kept beside the prices, never in them

A part's name holds the beginning of its hash, and a part is never written to again. `manifest.json` is replaced whole:
a reader sees the store before an addition or after it, and a killed addition leaves nothing that counts.
"""

from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from qmworkbench.market.findings import DataRefused, Finding, Severity

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
# Rows of a row group: Parquet keeps the first and last symbol of each, so so many rows are read for one symbol's day.
ROW_GROUP_ROWS: Final = 32_768
_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600


class Cut(StrEnum):
    """How long a part is. Minutes fill a file by the day; a year of daily bars is smaller than that."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"

    @classmethod
    def of(cls, interval_s: int) -> "Cut":
        """The cut for bars of that length where nobody asks for another."""
        if interval_s >= _DAY_S:
            return cls.YEAR
        return cls.MONTH if interval_s >= _HOUR_S else cls.DAY

    def first_day(self, day: pl.Expr) -> pl.Expr:
        """The first day of the part that a trading date belongs to."""
        return day.dt.truncate({Cut.DAY: "1d", Cut.MONTH: "1mo", Cut.YEAR: "1y"}[self])

    def key(self, first_day: date) -> str:
        """What a part is called: 2024-03-08, 2024-03 or 2024, so that they sort as they follow."""
        return first_day.isoformat()[: {Cut.DAY: 10, Cut.MONTH: 7, Cut.YEAR: 4}[self]]


class Prices(StrEnum):
    """What was done to the prices before they came: nothing, or splits (and perhaps dividends) are worked in."""

    AS_PRINTED = "as printed"
    ADJUSTED = "adjusted"


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that was added: its name, hash, size in bytes, and the rows read from it."""

    name: str
    sha256: str
    bytes: int
    rows: int


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """One `qm data add`. `new_rows` were not there before, `replaced` were there with other values.

    `source` is where the files come from in the words of who added them, `licence` who may use them, "" where nobody
    said.
    """

    number: int
    given: str
    source: str
    licence: str
    added_at: datetime
    files: tuple[SourceFile, ...]
    new_rows: int
    replaced: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part as the store's manifest has it: enough to know whether it has to be opened.

    `dates` counts rows by trading date; `symbols` how many there are, from `first_symbol` to `last_symbol`.
    `manifest_sha256` is of the part's own manifest.
    """

    key: str
    file: str
    sha256: str
    manifest_sha256: str
    bytes: int
    rows: int
    symbols: int
    first_symbol: str
    last_symbol: str
    first_ts: datetime
    last_ts: datetime
    dates: dict[date, int]
    quotes: bool

    @property
    def manifest_file(self) -> str:
        """The name of the part's own manifest."""
        return f"{self.file.removesuffix('.parquet')}.json"


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """A stretch in which no symbol has a bar though the market was open: `bars` intervals from `begins` on."""

    begins: datetime
    ends: datetime
    bars: int


class PartGaps(msgspec.Struct, frozen=True, kw_only=True):
    """What is not there of a part: `held` of `expected` regular bars of the symbols on the sessions they traded in.

    `holes`: nobody has a bar; `missing_sessions`: between the part's first session and its last, without one.
    """

    expected: int
    held: int
    holes: tuple[Hole, ...]
    missing_sessions: tuple[date, ...]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What an addition gave a part: its number, its source, and the hash of its file ("" where there were several)."""

    addition: int
    source: str
    sha256: str
    rows: int


class PartManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One part by itself. `kept_aside` counts rows by the reason why a session would not use them; `symbols` all rows
    by symbol.
    """

    key: str
    file: str
    sha256: str
    rows: int
    first_ts: datetime
    last_ts: datetime
    timezone: str
    market: str
    interval_s: int
    prices: Prices
    origins: tuple[Origin, ...]
    gaps: PartGaps
    kept_aside: dict[str, int]
    symbols: dict[str, int]


class ActionsFile(msgspec.Struct, frozen=True, kw_only=True):
    """The store's corporate actions."""

    file: str
    sha256: str
    rows: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The store as a whole. Times are UTC throughout; `market` is the calendar, `prices` what all bars are in."""

    format: int = FORMAT
    timezone: str = "UTC"
    market: str
    interval_s: int
    cut: Cut
    prices: Prices
    actions: ActionsFile | None = None
    additions: tuple[Addition, ...]
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """How many bars there are."""
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """How large the parts are on disk."""
        return sum(part.bytes for part in self.parts)

    @property
    def quotes(self) -> bool:
        """Whether any part knows spreads."""
        return any(part.quotes for part in self.parts)


def is_store(path: Path) -> bool:
    """Whether a bar store is there."""
    return (path / MANIFEST).is_file()


def read_manifest(path: Path) -> Manifest:
    """The manifest of the store at `path`. Raises DataRefused where there is none, or none that can be read."""
    try:
        raw = (path / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise store_refused("store_missing", "there is no bar store: it has no manifest.json.", path) from None
    except OSError as error:
        raise store_refused("store_damaged", f"manifest.json cannot be read: {error.strerror}.", path) from None
    try:
        found = msgspec.json.decode(raw, type=Manifest)
    except msgspec.MsgspecError as error:
        raise store_refused(
            "store_damaged", f"manifest.json is cut short or was written to by another hand: {error}.", path
        ) from None
    if found.format != FORMAT:
        message = f"it is of format {found.format}, and this version reads {FORMAT}."
        raise store_refused("store_format", message, path)
    return found


def encoded(struct: msgspec.Struct) -> bytes:
    """A manifest as its file's bytes."""
    return msgspec.json.format(msgspec.json.encode(struct), indent=1) + b"\n"


# What a store is refused for: code -> what to do. The message is made where the fault is seen.
REMEDIES: Final[dict[str, str]] = {
    "store_missing": "Check the path, or begin one: qm data add FILE --store NAME.",
    "store_damaged": "Restore manifest.json from a copy, or move the store aside and add its sources again.",
    "store_format": "Use the version of the workbench that wrote it, or add its sources again.",
    "store_changed": "Open it again: an addition has ended meanwhile.",
    "store_in_use": "Wait for the other addition to end.",
    "store_differs": "Add them to a store of their own: --store OTHER.",
    "part_missing": "Restore the file from a copy, or add its sources again to a new store.",
    "part_damaged": "Restore the file from a copy, or add its sources again to a new store.",
    "actions_damaged": "Restore the file from a copy, or add the actions again to a new store.",
    "conflicting_bars": "Find out which is right; to take the new ones, add them again with --replace.",
    "conflicting_duplicate": "Keep the row that your provider confirms.",
    "conflicting_actions": "Find out which is right; to take the new ones, add them again with --replace.",
    "source_changed": "Add it again once nobody writes to it.",
    "unplaced_rows": "Leave these rows out: a bar without symbol or time belongs nowhere.",
    "nothing_to_add": "Name a Parquet or CSV file of bars, or a directory that holds some.",
    "store_not_written": "Free disk space or repair the disk, then add again; the store is as it was before.",
}


def store_finding(code: str, message: str, path: Path | str, *, rows: int = 0, sample: tuple[str, ...] = ()) -> Finding:
    """A finding that refuses, with its remedy from REMEDIES."""
    return Finding(
        code=code,
        severity=Severity.REFUSE,
        message=message,
        file=str(path),
        rows=rows,
        sample=sample,
        remedy=REMEDIES[code],
    )


def store_refused(
    code: str, message: str, path: Path | str, *, rows: int = 0, sample: tuple[str, ...] = ()
) -> DataRefused:
    """The refusal with that one finding."""
    return DataRefused([store_finding(code, message, path, rows=rows, sample=sample)])
