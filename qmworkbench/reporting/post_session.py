"""The post-session report: §17's checks, both sides of the books, the day's phases, health and lateness (§16, §17)."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Final

import polars as pl

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.domain.events.session import PreflightRecorded
from qmworkbench.domain.events.telemetry import HealthSampled
from qmworkbench.domain.sessions import PHASE_ORDER, Phase
from qmworkbench.operations.post_session import post_session
from qmworkbench.operations.post_session_evidence import PostSessionEvidence
from qmworkbench.reporting import both_sides as sides
from qmworkbench.reporting import figures
from qmworkbench.reporting.comparison import gather
from qmworkbench.reporting.matrix import status_matrix
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.session_source import ZONE, SessionSource, load_session
from qmworkbench.reporting.style import LOSS
from qmworkbench.reporting.tables import (
    DASH,
    Column,
    Html,
    checks_table,
    clock,
    number,
    section,
    subsection,
    table,
    tiles,
)

_AT: Final = clock(ZONE, "%H:%M:%S")


@dataclass(frozen=True, eq=False)
class PostSession:
    """A session and what the comparison of both sides found."""

    source: SessionSource
    evidence: PostSessionEvidence

    @cached_property
    def checks(self) -> list[Check]:
        return post_session(self.evidence)


def load(book_dir: Path | str, session_id: str = "") -> PostSession:
    """The session to reconcile, with the broker's own books; "" takes the newest."""
    source = load_session(book_dir, session_id)
    return PostSession(source, gather(source))


# --- pieces ----------------------------------------------------------------------------------------------------------


def seven_checks(found: PostSession) -> Html:
    """§17's seven and what must hold of the record: as squares, then line by line."""
    glance = status_matrix(
        found.checks,
        label="Post-session checks",
        group=lambda check: "§17, the seven" if check.section.startswith("§17") else "The record",
    )
    return section("Checks", glance, checks_table(found.checks, empty="Nothing was looked at."))


def both_sides(found: PostSession) -> Html:
    """Orders, executions, positions and money as our books and the broker's have them."""
    return sides.both_sides(found.evidence)


def breaks(found: PostSession) -> Html:
    """Every break on record, before and after, with its cause; and the comparisons that were made."""
    columns = [
        Column("at", "At", _AT, "num"),
        Column("severity", "", kind="keep"),
        Column("kind", "Break", lambda kind: escape(kind.replace("_", " "))),
        Column("symbol", "Symbol", kind="keep"),
        Column("before", "We held"),
        Column("after", "The broker held"),
        Column("cause", "Cause"),
        Column("settled_at", "Settled", lambda at: _AT(at) if at else "open", "num"),
    ]
    record = found.source.record
    made = (
        record["reconciliations"]
        .group_by("trigger", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("made"),
            pl.col("at").last().alias("last_at"),
            pl.col("result").last().alias("last_result"),
            pl.col("breaks").sum().alias("breaks"),
            pl.col("repaired").sum().alias("repaired"),
        )
    )
    comparisons = [
        Column("trigger", "Comparison", lambda name: escape(name.replace("_", " ")), "keep"),
        Column("made", "Made", number(0), "num"),
        Column("last_at", "Last", _AT, "num"),
        Column("last_result", "Result", kind="keep"),
        Column("breaks", "Breaks", number(0), "num"),
        Column("repaired", "Repaired", number(0), "num"),
    ]
    listed = table(
        record["breaks"], columns, empty="No break was found, before or after repairs.", flag=lambda row: True
    )
    return section(
        "Breaks",
        listed,
        table(made, comparisons, empty="No comparison was made."),
        note="A repaired break still counts.",
    )


def the_day(found: PostSession) -> Html:
    """When each phase began, what held trading up, and what the checklists said."""
    record = found.source.record
    spans = _spans(record.phases, record.events[-1].at)
    marks = [("halt", row["at"], LOSS) for row in record["halts"].iter_rows(named=True)]
    said = [event for event in record.events if isinstance(event, PreflightRecorded)]
    entries = [
        (
            f"{event.phase.capitalize()} preflight",
            f"{event.verdict}",
            ", ".join(event.failed) or f"signed by {event.confirmed_by or 'nobody'}",
        )
        for event in said
    ]
    entries.append(
        ("Runs ended", f"{found.evidence.runs - len(found.evidence.runs_open)} of {found.evidence.runs}", "")
    )
    entries.append(("Alerts raised", f"{record['alerts'].height}", f"{_open_alerts(record['alerts'])} not cleared"))
    return section(
        "The day",
        tiles(entries),
        figures.timeline(spans, marks, zone=ZONE),
        subsection("Halts, emergencies, reports in conflict", _halts(record["halts"])),
        subsection("Alerts", _alerts(record["alerts"])),
    )


def _spans(phases: tuple[tuple[Phase, datetime], ...], last: datetime) -> list[tuple[str, datetime, datetime]]:
    """Each phase from its entry to the next one's."""
    ends = [at for _, at in phases[1:]] + [last]
    return [(phase.value.replace("_", " "), at, end) for (phase, at), end in zip(phases, ends, strict=True)]


def _open_alerts(alerts: pl.DataFrame) -> int:
    return alerts.filter(pl.col("cleared_at").is_null()).height


def _halts(halts: pl.DataFrame) -> Html:
    columns = [
        Column("at", "At", _AT, "num"),
        Column("scope", "Scope", kind="keep"),
        Column("what", "What"),
        Column("reason", "Reason"),
        Column("by", "By", kind="keep"),
    ]
    return table(halts, columns, empty="The book was active all day; no emergency, no report in conflict.", stack=True)


def _alerts(alerts: pl.DataFrame) -> Html:
    columns = [
        Column("at", "At", _AT, "num"),
        Column("priority", "", kind="keep"),
        Column("kind", "Alert", lambda kind: escape(kind.replace("_", " ")), "keep"),
        Column("text", "What"),
        Column("cleared_at", "Cleared", lambda at: _AT(at) if at else "open", "num"),
    ]
    return table(alerts, columns, empty="No alert was raised.", stack=True)


def machine(found: PostSession) -> Html:
    """How the platform kept up: lateness and stages of each boundary, and the components' health."""
    timings = found.source.timings
    pieces: list[str] = []
    if timings.height:
        work = pl.sum_horizontal("radar_ms", "signals_ms", "decide_ms", "journal_ms")
        total = timings.select(work.alias("ms"))["ms"]
        late = timings["lateness_ms"]
        drifts = [event for _, event in found.source.book.events(["telemetry.timing_drifted"], stream="telemetry")]
        drifted = f"drift alarms in this book: {len(drifts)}"
        pieces.append(
            tiles(
                [
                    ("Boundaries", f"{timings.height:,}", "timed"),
                    ("Work, median", number(1, "ms")(_quantile(total, 0.5)), "per boundary"),
                    ("Work, 95 %", number(1, "ms")(_quantile(total, 0.95)), "per boundary"),
                    (
                        "Lateness, 95 %",
                        number(0, "ms")(_quantile(late, 0.95)),
                        drifted,
                    ),
                ]
            )
        )
        pieces.append(figures.stages(timings))
    else:
        pieces.append('<div class="none">No boundary was timed.</div>')
    pieces.append(_health(found.source))
    paced = timings.filter(pl.col("lateness_ms") > 0).height > 0
    note = "" if paced else "A replay at full speed has no due times and is never late."
    return section("The machine", *pieces, note=note)


def _quantile(values: pl.Series, share: float) -> float | None:
    return values.quantile(share, interpolation="higher")


def _health(source: SessionSource) -> Html:
    """The last thing each component said, worst first."""
    last: dict[str, HealthSampled] = {}
    for _, event in source.book.events(["telemetry.health_sampled"], stream="telemetry"):
        if isinstance(event, HealthSampled):
            last[event.component] = event
    order = {"failed": 0, "degraded": 1, "healthy": 2}
    rows = [
        {"component": e.component, "status": e.status, "latency": e.latency_ms, "detail": e.detail or DASH}
        for e in sorted(last.values(), key=lambda e: (order.get(e.status, 3), e.component))
    ]
    columns = [
        Column("component", "Component", kind="keep"),
        Column("status", "Last said"),
        Column("latency", "Latency", number(1, "ms"), "num"),
        Column("detail", "Detail"),
    ]
    return table(rows, columns, empty="Health was not sampled: a headless replay has nobody to show it to.")


# --- the verdict -----------------------------------------------------------------------------------------------------


def conclusion(found: PostSession) -> Conclusion:
    """GO when every check passed; a session that has not begun its reconciliation is incomplete."""
    checks, record = found.checks, found.source.record
    verdict = verdict_of(checks)
    failed = [check for check in checks if check.status is CheckStatus.FAIL]
    reasons = [f"{check.title}: {check.value}. {check.detail}".rstrip(" .") + f". {check.remedy}" for check in failed]
    passed = sum(check.status is CheckStatus.PASS for check in checks)
    if failed:
        headline = f"{len(failed)} of {len(checks)} checks failed, first: {failed[0].title.lower()}"
    else:
        executed = len(found.evidence.executions or ())
        headline = f"{passed} of {len(checks)} checks passed; both sides agree on {executed} executions"
    reached = PHASE_ORDER.index(record.phases[-1][0]) if record.phases else 0
    if reached < PHASE_ORDER.index(Phase.RECONCILIATION):
        verdict, headline = Verdict.INCOMPLETE, f"the session is in {record.phases[-1][0].value}: it has not ended yet"
    return Conclusion(verdict, headline, reasons=reasons, where=found.source.where, facts=found.source.facts())
