"""The four stores of a review: incidents, operator notes, manual overrides, improvements for next time (§18)."""

from typing import Any, Final

import polars as pl

from qmworkbench.analytics.recommendations import Recommendation
from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.analytics.tables import Schema
from qmworkbench.domain.commands import NoteKind

# Commands that only write something down change nothing of what the platform did.
_NO_OVERRIDE: Final = ("add_note", "reconcile")
_SCHEMA: Final[Schema] = {
    "at": pl.Datetime("us", "UTC"),
    "what": pl.String,
    "by": pl.String,
    "source": pl.String,
}


def incidents(record: SessionRecord) -> pl.DataFrame:
    """Notes of incidents, and what happened that should have one: halts, emergencies, breaks, P0 and P1 alerts."""
    rows = _notes(record, NoteKind.INCIDENT)
    for halt in record["halts"].iter_rows(named=True):
        rows.append(_row(halt["at"], f"{halt['scope']}: {halt['what']} ({halt['reason']})", halt["by"], "journal"))
    for found in record["breaks"].iter_rows(named=True):
        what = f"{found['kind']} {found['symbol']}: {found['before']} here, {found['after']} at the broker"
        rows.append(_row(found["at"], f"{what} ({found['cause']})", "reconciliation", "journal"))
    for alert in record["alerts"].filter(pl.col("priority").is_in(["P0", "P1"])).iter_rows(named=True):
        rows.append(_row(alert["at"], f"{alert['priority']} {alert['kind']}: {alert['text']}", "platform", "alert"))
    return _table(rows)


def operator_notes(record: SessionRecord) -> pl.DataFrame:
    """What the operator wrote down."""
    return _table(_notes(record, NoteKind.OPERATOR))


def manual_overrides(record: SessionRecord) -> pl.DataFrame:
    """Notes of overrides, and every accepted command that changed what the platform would have done by itself."""
    rows = _notes(record, NoteKind.OVERRIDE)
    given = record["commands"].filter(pl.col("accepted") & ~pl.col("command").is_in(_NO_OVERRIDE))
    for command in given.iter_rows(named=True):
        what = f"{command['command']} {command['details']}".strip()
        rows.append(_row(command["at"], f"{what}: {command['reason']}", command["operator"], command["origin"]))
    return _table(rows)


def improvements(record: SessionRecord, recommended: tuple[Recommendation, ...]) -> pl.DataFrame:
    """Notes of improvements, and what the rules recommend."""
    rows = _notes(record, NoteKind.IMPROVEMENT)
    rows += [_row(record.closes_at, f"{r.title}: {r.action}", r.rule, "recommendation") for r in recommended]
    return _table(rows)


def unexplained(record: SessionRecord) -> int:
    """How many halts, emergencies and breaks have no incident note: each wants its story told (§11, §18)."""
    happened = record["halts"].filter(~pl.col("code").is_in(["resume"])).height + record["breaks"].height
    return max(0, happened - len(_notes(record, NoteKind.INCIDENT))) if happened else 0


def _notes(record: SessionRecord, kind: NoteKind) -> list[dict[str, Any]]:
    found = record["notes"].filter(pl.col("kind") == kind.value)
    return [_row(note["at"], note["text"], note["by"], "note") for note in found.iter_rows(named=True)]


def _row(at: object, what: str, by: str, source: str) -> dict[str, Any]:
    return {"at": at, "what": what, "by": by, "source": source}


def _table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("at", maintain_order=True)
