"""What can be wrong with recorded bars: every fault by code, severity and remedy (§5 Data Check)."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec
import polars as pl

SAMPLE_ROWS: Final = 5


class Severity(StrEnum):
    """REFUSE turns the whole file away, QUARANTINE keeps exactly these rows aside, NOTE changes nothing."""

    REFUSE = "refuse"
    QUARANTINE = "quarantine"
    NOTE = "note"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of trouble in one file, as data.

    `code` is stable; `message` says what was found in plain words; `rows` counts the rows concerned (0 where
    the finding is not about rows); `sample` shows up to five of them as text; `remedy` is empty only on a
    note that asks for nothing.
    """

    code: str
    severity: Severity
    message: str
    file: str
    rows: int = 0
    sample: tuple[str, ...] = ()
    remedy: str = ""

    def __str__(self) -> str:
        count = f" ({self.rows:,} rows)" if self.rows else ""
        remedy = f" Remedy: {self.remedy}" if self.remedy else ""
        return f"{self.file}: {self.code}{count}: {self.message}{remedy}"


class DataRefused(Exception):
    """Bars that no session can be made of. `findings` holds the reasons; at least one has severity REFUSE."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        refusals = [finding for finding in self.findings if finding.severity is Severity.REFUSE]
        super().__init__("\n".join(str(finding) for finding in refusals))


# Row faults: code -> (what is wrong with the row, what the owner of the file can do). A row has one reason,
# the first that fits in this order.
ROW_FAULTS: Final[dict[str, tuple[str, str]]] = {
    "missing_symbol": (
        "the symbol is null, empty or padded with spaces",
        "Find out which instrument the rows belong to and write its symbol, without spaces.",
    ),
    "missing_ts": (
        "the time is null",
        "Write the bar's open time; a bar without a time belongs to no session.",
    ),
    "null_value": (
        "a price or the volume is null",
        "Leave the row out where nothing traded; a missing bar means no trade, a null means nothing.",
    ),
    "not_finite": (
        "a price or the volume is NaN or infinite",
        "Leave the row out where nothing traded, and look for a division by zero in the export.",
    ),
    "negative_price": (
        "a price is below zero",
        "Check the sign and the adjustment for dividends in the export.",
    ),
    "zero_price": ("a price is zero", "Leave the row out where nothing traded; zero is not a price."),
    "high_below_low": ("the high lies below the low", "Check whether the columns high and low were swapped."),
    "outside_range": (
        "the open or the close lies outside low to high",
        "Fetch these bars again; rounding of some columns but not of others also causes this.",
    ),
    "negative_volume": (
        "the volume is below zero",
        "Fetch these bars again; a correction may have been booked as volume.",
    ),
    "crossed_quote": (
        "the ask lies below the bid at the close",
        "Fetch the quotes again from one venue; prices of two venues cross.",
    ),
    "out_of_session": (
        "the bar opens while the market is closed, outside extended hours too",
        "Check the time zone of the export: times must be UTC, and mean the bar's open.",
    ),
    "off_interval": (
        "the bar's open time is not on the grid of the bar interval",
        "Resample to one interval, with times that mean the bar's open.",
    ),
    "duplicate_row": ("the same bar is there more than once; one copy is used", "Drop the repetitions."),
    "conflicting_duplicate": (
        "symbol and time occur twice with different contents, and nothing says which is right; none is used",
        "Keep the row that your provider confirms.",
    ),
}

# What refuses the whole file: code -> remedy. The message is made where the fault is seen.
REFUSALS: Final[dict[str, str]] = {
    "file_missing": "Check the path, and that the disk it lies on is mounted.",
    "is_directory": "Name one Parquet file, or make a store of those there are: qm data add DIR --store NAME.",
    "not_parquet": "Convert it, such as polars.read_csv(FILE, try_parse_dates=True).write_parquet(NEW).",
    "unreadable": "Copy the file again and compare its size and hash with the source.",
    "empty_file": "Export or copy it again: there is not one row in it.",
    "missing_columns": "Name the columns exactly symbol, ts, open, high, low, close, volume.",
    "wrong_type": "Cast symbol to String, ts to Datetime('us', 'UTC'), prices and volume to Float64.",
    "naive_timestamp": (
        "Say which zone the times are in: ts.dt.replace_time_zone(ZONE).dt.convert_time_zone('UTC'), "
        "ZONE being 'UTC' or, for exchange time, 'America/New_York'."
    ),
    "not_a_session": "Choose one of the sessions named.",
    "calendar_unknown": "Choose a date within the years that the market's calendar covers.",
    "date_not_in_file": "Choose a date that the file holds, or a file that holds the date.",
    "empty_day": "Choose a date with bars, or fetch that day again.",
    "symbol_missing": "Name one of the file's symbols as it spells them.",
    "not_text": "Save it as plain UTF-8 text with one bar a line; archives are to be unpacked first.",
    "unknown_columns": (
        "Name the columns date or timestamp, open, high, low, close, volume, and symbol where there are several; "
        "or say --format histdata for its files without a header."
    ),
    "symbol_wanted": "Say which instrument the bars are of: --symbol NAME.",
    "zone_wanted": "Say which zone the times are in: --zone America/New_York for exchange time, --zone UTC for UTC.",
    "unreadable_line": "Correct the line, or leave it out of the file.",
    "no_usable_rows": "See why the rows were kept aside; most often the time zone of the export is wrong.",
    "mixed_calendars": "Split the file by market: one session trades one calendar.",
    "mixed_intervals": "Split the file by bar interval, or resample everything to the longest one.",
    "uneven_close": (
        "Resample to an interval that divides the session, such as 30 minutes, or to full hours of the clock "
        "(09:30, 10:00, 11:00 …)."
    ),
    "irregular_interval": "Resample to bars of one interval; ticks and trades are not bars.",
}


def refusal(code: str, message: str, file: str, *, rows: int = 0, sample: Sequence[str] = ()) -> Finding:
    """A finding that refuses the file, with its remedy from the table."""
    return Finding(
        code=code,
        severity=Severity.REFUSE,
        message=message,
        file=file,
        rows=rows,
        sample=tuple(sample),
        remedy=REFUSALS[code],
    )


def note(code: str, message: str, file: str, *, rows: int = 0, sample: Sequence[str] = (), remedy: str = "") -> Finding:
    """A finding that changes nothing but should be known."""
    return Finding(
        code=code,
        severity=Severity.NOTE,
        message=message,
        file=file,
        rows=rows,
        sample=tuple(sample),
        remedy=remedy,
    )


def quarantine_findings(quarantined: pl.DataFrame, file: str) -> list[Finding]:
    """One finding per reason in a quarantine frame, in the order of ROW_FAULTS, with sample rows."""
    found: list[Finding] = []
    if quarantined.is_empty():
        return found
    for code, (what, remedy) in ROW_FAULTS.items():
        rows = quarantined.filter(pl.col("reason") == code)
        if rows.is_empty():
            continue
        symbols = rows["symbol"].drop_nulls().n_unique()
        found.append(
            Finding(
                code=code,
                severity=Severity.QUARANTINE,
                message=f"{what}: {rows.height:,} rows of {symbols:,} symbols are kept aside.",
                file=file,
                rows=rows.height,
                sample=sample_of(rows),
                remedy=remedy,
            )
        )
    return found


def sample_of(rows: pl.DataFrame) -> tuple[str, ...]:
    """The first rows of a bar frame as one line of text each."""
    lines = []
    for row in rows.head(SAMPLE_ROWS).iter_rows(named=True):
        at = (
            row["ts"].strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z") if row["ts"] is not None else "no time"
        )
        values = " ".join(f"{name} {row[name]}" for name in ("open", "high", "low", "close", "volume"))
        lines.append(f"{row['symbol']} {at} {values}")
    return tuple(lines)


def listed(names: Sequence[str], limit: int = SAMPLE_ROWS) -> str:
    """Names as a phrase that stays short: the first few, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"
