"""The preflight report: the manifest's five items on top, both phases' checklists beneath (§5, §8; M: Pre-Flight)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.domain.events.session import PreflightRecorded
from qmworkbench.operations.lines import several
from qmworkbench.operations.preflight import (
    FIVE_ITEMS,
    PreflightPhase,
    PreflightRecord,
    checks_hash,
    evidence_hash,
    item_status,
)
from qmworkbench.operations.preflight import preflight as judge
from qmworkbench.reporting.matrix import checklist, counted, status_matrix
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.parameters import PreflightParameters, home
from qmworkbench.reporting.session_source import found_book, newest_session
from qmworkbench.reporting.tables import Column, Html, checks_table, chip, section, subsection, table, text
from qmworkbench.storage.reading import open_book

MANIFEST_ALLOWS_S: Final = 90
_LEFT_ITEMS: Final = {PreflightPhase.PRE_START: "Before the start", PreflightPhase.PRE_MARKET: "Before the market"}


@dataclass(frozen=True, eq=False)
class Preflight:
    """What was found: the records of the phases looked at, and what is wrong with the record itself."""

    where: str
    records: tuple[PreflightRecord, ...]
    facts: dict[str, str]
    doubts: tuple[str, ...] = ()
    made_now: bool = False

    @property
    def checks(self) -> list[Check]:
        return [check for record in self.records for check in record.checks]

    def record(self, phase: PreflightPhase) -> PreflightRecord | None:
        return next((record for record in self.records if record.phase is phase), None)


def load(parameters: PreflightParameters) -> Preflight:
    """A session's recorded preflight, or the pre-start phase looked at now from the configuration.

    Raises StoreMissing and the like for a book that cannot be read.
    """
    if parameters.book_dir is not None:
        return _on_record(parameters.book_dir, parameters.session_id)
    return _now(parameters)


# --- on record -------------------------------------------------------------------------------------------------------


def _on_record(book_dir: Path, session_id: str) -> Preflight:
    with open_book(found_book(book_dir)) as book:
        chosen = session_id or newest_session(book)
        line = book.sessions().filter(book.sessions()["session_id"] == chosen)
        span = book.span(chosen)
        told = {
            event.phase: event
            for _, event in book.events(["session.preflight_recorded"], session=chosen)
            if isinstance(event, PreflightRecorded)
        }
        kept = {phase: _kept(book.paths.session(chosen).preflight(phase.value)) for phase in PreflightPhase}
        records = tuple(record for record in kept.values() if record is not None)
        doubts = [doubt for phase in PreflightPhase if (doubt := _doubt(phase, kept[phase], told.get(phase.value)))]
        facts = {
            "session": f"{chosen}, records {span[0]:,} to {span[1]:,}",
            **{f"{record.phase} evidence": evidence_hash(record.checks) for record in records},
        }
        where = f"book {book.journal.book} · {line['date'][0]} · {line['environment'][0]}"
    return Preflight(where, records, facts, tuple(doubts))


def _kept(path: Path) -> PreflightRecord | None:
    """A preflight as it lies beside its session (service/evidence.py keeps it), None where there is none."""
    return msgspec.json.decode(path.read_bytes(), type=PreflightRecord) if path.exists() else None


def _doubt(phase: PreflightPhase, kept: PreflightRecord | None, told: PreflightRecorded | None) -> str:
    """Why the kept checks cannot be taken for those the session was decided with; "" where they can."""
    if told is None:
        return ""
    if kept is None:
        return f"the {phase} checks are not beside the session any more; the journal says {told.verdict}"
    if checks_hash(kept.checks) != told.checks_hash or kept.failed != told.failed:
        return f"the {phase} checks beside the session are not those the journal was decided with: they were changed"
    return ""


# --- now -------------------------------------------------------------------------------------------------------------


def _now(parameters: PreflightParameters) -> Preflight:
    from qmworkbench.service.config import check

    began, at = time.perf_counter(), datetime.now(UTC)
    config, problems = check(flags=_flags(parameters), file=parameters.config, cwd=home())
    if config is None:
        from qmworkbench.service.config import as_checks

        environment, checks, where = "unknown", list(as_checks(problems)), "configuration refused"
    else:
        environment, checks = config.environment.value, list(_before_the_start(config))
        where = f"book {config.book} · {environment}"
    record = PreflightRecord(
        phase=PreflightPhase.PRE_START,
        session_id="",
        environment=environment,
        taken_at=at.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - began, 3),
        checks=tuple(checks),
    )
    files = ", ".join(str(file) for file in config.files) if config is not None else ""
    facts = {"configuration": files or "defaults", "pre-start evidence": evidence_hash(checks)}
    return Preflight(where, (record,), facts, made_now=True)


def _flags(parameters: PreflightParameters) -> dict[str, tuple[object, str]]:
    given: dict[str, Path | date | None] = {"data.file": parameters.data, "data.date": parameters.day}
    names = {"data.file": "data", "data.date": "day"}
    return {key: (str(value), f"parameter {names[key]}") for key, value in given.items() if value is not None}


def _before_the_start(config: object) -> Sequence[Check]:
    """The pre-start checklist with the book's lease taken for the moment; nothing is begun."""
    from qmworkbench.market.findings import DataRefused, Severity
    from qmworkbench.operations.manifest_items import unplanned
    from qmworkbench.service.config import Config
    from qmworkbench.service.evidence import gather_pre_start
    from qmworkbench.service.plan import DayRefused, plan_of
    from qmworkbench.service.platform import open_platform
    from qmworkbench.service.session_data import load_data
    from qmworkbench.storage.refused import StoreDamaged

    assert isinstance(config, Config)
    try:
        data = load_data(config)
    except DataRefused as refused:
        return [
            Check(
                check_id=f"preflight.data.{finding.code}",
                section="§5 Data Check",
                title="The market data can be traded from",
                status=CheckStatus.FAIL,
                looked_at=finding.file,
                value=finding.message,
                expectation="bars that a session can be made of",
                remedy=finding.remedy,
            )
            for finding in refused.findings
            if finding.severity is Severity.REFUSE
        ]
    try:
        plan = plan_of(config, data)
    except (DayRefused, StoreDamaged) as unfit:
        return [unplanned(str(unfit))]
    with open_platform(plan, command="preflight report") as platform:
        platform.session_paths.create()
        return judge(PreflightPhase.PRE_START, gather_pre_start(config, platform))


# --- pieces ----------------------------------------------------------------------------------------------------------


def five_items(found: Preflight) -> Html:
    """The manifest's five, each with the worst of its checks."""
    rows = []
    for item in FIVE_ITEMS:
        status = item_status(item, found.checks)
        mine = [check for check in found.checks if check.check_id in item.check_ids]
        odd = [check for check in mine if check.status in (CheckStatus.FAIL, CheckStatus.WARN)]
        looked = [check for check in mine if check.status is not CheckStatus.NOT_APPLICABLE]
        seen = "; ".join(f"{text(check.title)}: <b>{text(check.value)}</b>" for check in odd or looked[:3])
        rows.append({"number": str(item.number), "status": status, "title": item.title, "seen": seen})
    columns = [
        Column("number", "", kind="keep"),
        Column("status", "", chip, "keep"),
        Column("title", "Item"),
        Column("seen", "Seen", lambda seen: seen or "not looked at yet"),
    ]
    return section("The five items", table(rows, columns, empty="", stack=True, kind="five", flag=_failed))


def _failed(row: object) -> bool:
    return isinstance(row, dict) and row["status"] is CheckStatus.FAIL


def at_a_glance(found: Preflight) -> Html:
    """How long each phase took, who signed, and every line on one page: what is not green with all that was found."""
    told = [_phase_told(phase, found.record(phase)) for phase in PreflightPhase]
    signed = sorted({record.confirmed_by for record in found.records if record.confirmed_by})
    people = sum(bool(check.confirmed_by) for check in found.checks)
    told.append(f"{several(people, 'line')} that need a person, signed by <b>{text(', '.join(signed) or 'nobody')}</b>")
    glance = status_matrix(found.checks, label="Preflight checks", group=_group) if found.checks else Html("")
    return section(
        "Every line",
        f'<p class="told">{". ".join(told)}.</p><div class="screen">{glance}</div>',
        checklist(found.checks, group=_group),
    )


def _phase_told(phase: PreflightPhase, record: PreflightRecord | None) -> str:
    if record is None:
        return f"{_LEFT_ITEMS[phase]}: not looked at"
    taken = f"{counted(record.checks)}, in {record.seconds:.1f} of {MANIFEST_ALLOWS_S} s"
    return f"{_LEFT_ITEMS[phase]}: <b>{record.verdict.value}</b>, {taken}"


def _group(check: Check) -> str:
    first = check.section.split(";")[0].split(" (")[0]
    return "The manifest's items" if first.startswith("M:") else first


def phases(found: Preflight) -> Html:
    """The evidence of each phase line by line, what is not green first; on paper from a page of its own on.

    Folded on a screen where everything is green: the page above has said so.
    """
    pieces = []
    for phase in PreflightPhase:
        record = found.record(phase)
        if record is None:
            why = "This phase looks at a running platform." if found.made_now else "The session did not come to it."
            pieces.append(subsection(_LEFT_ITEMS[phase], f'<div class="none">{why}</div>'))
            continue
        note = f"Looked at {record.taken_at[:19].replace('T', ' ')} UTC."
        pieces.append(
            subsection(_LEFT_ITEMS[phase], checks_table(record.checks, empty="Nothing was looked at."), note=note)
        )
    green = all(check.status in (CheckStatus.PASS, CheckStatus.NOT_APPLICABLE) for check in found.checks)
    summary = "<summary>What was looked at, seen and expected</summary>"
    folded = f"<details{'' if green else ' open'}>{summary}{''.join(pieces)}</details>"
    return Html(f'<div class="apart">{section("The evidence, line by line", folded)}</div>')


def conclusion(found: Preflight) -> Conclusion:
    """NO-GO when any line failed; GO for a whole day takes both phases, a look now the first alone."""
    failed = [check for check in found.checks if check.status is CheckStatus.FAIL]
    warned = [check for check in found.checks if check.status is CheckStatus.WARN]
    reasons = [*found.doubts, *(f"{check.title}: {check.value}. {check.remedy}" for check in failed)]
    missing = [phase for phase in PreflightPhase if found.record(phase) is None]
    verdict = verdict_of(found.checks)
    if failed:
        headline = f"{several(len(failed), 'line')} failed, first: {failed[0].title.lower()}"
    elif found.doubts:
        verdict, headline = Verdict.INCOMPLETE, found.doubts[0]
    elif not found.records:
        verdict, headline = Verdict.INCOMPLETE, "this session has no preflight on record"
    elif missing and not found.made_now:
        verdict, headline = Verdict.INCOMPLETE, f"the {missing[0]} phase has not been looked at"
    else:
        looked = "both phases" if not missing else "the pre-start phase, looked at now"
        headline = f"{looked}: {counted(found.checks)}"
    reasons += [f"To know: {check.title}: {check.value}. {check.detail}" for check in warned]
    return Conclusion(verdict, headline, reasons=reasons, where=found.where, facts=found.facts)
