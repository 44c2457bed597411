"""The data check: what a bar file holds, what is wrong with it, and where it has holes, as a page (§5 Data Check)."""

import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from qmworkbench.domain.checks import Check, CheckStatus, verdict_of
from qmworkbench.market.findings import DataRefused, Severity
from qmworkbench.market.gaps import Gaps, find_gaps
from qmworkbench.market.inspection import Inspection, inspect
from qmworkbench.operations.lines import Line
from qmworkbench.reporting import svg
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.parameters import DataCheckParameters, home
from qmworkbench.reporting.style import ACCENT, LOSS
from qmworkbench.reporting.tables import Column, Html, number, section, table, text, tiles

_NEWEST: Final = 12
_LONGEST: Final = 20


@dataclass(frozen=True, eq=False)
class DataChecked:
    """What was found in a bar file; `gaps` None where it is refused, with `untold` saying why there are none.

    `file` is gone by now where a package's bars were looked at.
    """

    asked: DataCheckParameters
    file: Path
    found: Inspection
    gaps: Gaps | None
    untold: str


def load(parameters: DataCheckParameters) -> DataChecked:
    """Look at every row of the file, and for holes. Raises DataRefused for a name of nothing."""
    with tempfile.TemporaryDirectory(prefix="qm-data-check-") as room:
        file = _file(parameters, Path(room))
        found = inspect(file)
        try:
            gaps, untold = (None, "the file is refused") if found.refused else (find_gaps(file), "")
        except DataRefused as error:
            gaps, untold = None, str(error)
    return DataChecked(parameters, file, found, gaps, untold)


def _file(p: DataCheckParameters, room: Path) -> Path:
    """A path, the name of a file on the shelf, or a package's bars, written to `room` where they can be looked at."""
    from qmworkbench.service.config import load as configuration
    from qmworkbench.service.data_shelf import Shelf

    kind, _, name = p.data.partition(":")
    if kind == "package":
        from qmworkbench.market.adding.packages import package

        bars = package(name).bars()
        file = room / f"{name}.parquet"
        bars.write_parquet(file)
        return file
    given = Path(p.data)
    return Shelf(configuration(cwd=home()).resolved("paths.data")).meant(given, given) or given


# --- pieces ----------------------------------------------------------------------------------------------------------


def summary(checked: DataChecked) -> Html:
    """What the file holds."""
    found, gaps = checked.found, checked.gaps
    span = f"{found.first_ts:%Y-%m-%d} to {found.last_ts:%Y-%m-%d}" if found.first_ts and found.last_ts else "–"
    held = number(1, "%")(gaps.held / gaps.expected * 100) if gaps is not None and gaps.expected else "–"
    entries = [
        ("Rows", f"{found.rows:,}", span),
        ("Symbols", f"{found.symbols:,}", f"on {found.calendar or 'an unknown market'}"),
        ("Sessions", f"{len(found.sessions):,}", f"bars of {found.interval_s or '?'} s"),
        ("There of what could be", held, "a missing bar means no trade"),
    ]
    columns = [
        Column("date", "Session", str, "keep"),
        Column("symbols", "Symbols", number(0), "num"),
        Column("bars", "Bars", number(0), "num"),
        Column("pre_open", "Pre-open", number(0), "num"),
        Column("after_close", "After close", number(0), "num"),
        Column("quarantined", "Kept aside", number(0), "num"),
        Column("half_day", "", lambda half: "half day" if half else "", "keep"),
    ]
    names = [column.key for column in columns]
    rows = [{name: getattr(one, name) for name in names} for one in found.sessions[-_NEWEST:]]
    newest = table(rows, columns, empty="Not one session.", caption=f"the newest {len(rows)} sessions")
    return section(checked.file.name, tiles(entries), _by_session(checked), newest)


def _by_session(checked: DataChecked) -> Html:
    """Bars of every session, those with rows kept aside marked."""
    sessions = checked.found.sessions
    if not sessions:
        return Html("")
    at = range(len(sessions))
    bars = [one.bars for one in sessions]
    aside = [k for k, one in enumerate(sessions) if one.quarantined]

    def draw(axes: Axes, narrow: bool) -> None:
        axes.fill_between(at, bars, 0, step="mid", color=ACCENT, alpha=0.35, linewidth=0)
        if aside:
            axes.plot(aside, [bars[k] for k in aside], "o", color=LOSS, markersize=4, label="rows kept aside")
            axes.legend(loc="lower left")
        places = sorted({round(k * (len(sessions) - 1) / (3 if narrow else 7)) for k in range(4 if narrow else 8)})
        axes.set_xticks(places, [f"{sessions[k].date:%d %b %Y}".lstrip("0") for k in places])
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_ylim(0, max(bars) * 1.1 or 1)
        axes.set_ylabel("bars")
        axes.margins(x=0.01)

    return svg.figure(draw, label=f"Bars of each of {len(sessions)} sessions", height=170)


_SEVERITY: Final = {
    Severity.REFUSE: CheckStatus.FAIL,
    Severity.QUARANTINE: CheckStatus.WARN,
    Severity.NOTE: CheckStatus.NOT_APPLICABLE,
}


def findings(checked: DataChecked) -> Html:
    """Everything that is wrong or worth knowing, with its remedy."""
    rows = [
        {
            "severity": one.severity,
            "code": one.code,
            "message": one.message,
            "sample": "; ".join(one.sample[:3]),
            "rows": one.rows or None,
            "remedy": one.remedy,
        }
        for one in checked.found.findings
    ]
    columns = [
        Column("severity", "", _told, "keep"),
        Column("code", "Finding", lambda code: f"<code>{escape(code)}</code>", "keep"),
        Column("message", "What was found", kind="prose"),
        Column("rows", "Rows", number(0), "num"),
        Column("remedy", "What to do", kind="prose"),
    ]
    return section("Findings", table(rows, columns, empty="Nothing is wrong with it.", stack=True))


def _told(severity: Severity) -> str:
    words = {Severity.REFUSE: "refused", Severity.QUARANTINE: "kept aside", Severity.NOTE: "to know"}
    kind = {CheckStatus.FAIL: "fail", CheckStatus.WARN: "warn"}.get(_SEVERITY[severity], "na")
    return f'<span class="chip {kind}">{words[severity]}</span>'


def gaps(checked: DataChecked) -> Html:
    """Missing sessions, absent symbols, and the longest silences."""
    found = checked.gaps
    if found is None:
        return section("Gaps", f'<div class="none">{text(checked.untold)}</div>')
    missing = ", ".join(str(day) for day in found.missing_sessions[:_LONGEST]) or "none"
    absent = ", ".join(f"{name} ({len(days)})" for name, days in sorted(found.absent.items())[:_LONGEST]) or "none"
    said = f"<p>Sessions without a bar: {text(missing)}.</p><p>Symbols absent from whole sessions: {text(absent)}.</p>"
    columns = [
        Column("symbol", "Symbol", lambda name: text(name or "all of them"), "keep"),
        Column("date", "Session", str, "keep"),
        Column("begins", "From, UTC", lambda at: f"{at:%H:%M}", "keep"),
        Column("ends", "To, UTC", lambda at: f"{at:%H:%M}", "keep"),
        Column("bars", "Bars missing", number(0), "num"),
    ]
    names = [column.key for column in columns]
    rows: list[dict[str, Any]] = [{name: getattr(one, name) for name in names} for one in found.silences[:_LONGEST]]
    listed = table(rows, columns, empty=f"No silence of {found.least_bars} bars or more.")
    count = f"{found.silences_found:,} silences of {found.least_bars} bars and more; the longest first."
    return section("Gaps", said, listed, note=count)


# --- the verdict -----------------------------------------------------------------------------------------------------

_USABLE: Final = Line(
    check_id="data.usable",
    section="§5 Data Check",
    title="It can be traded on",
    looked_at="every row of the file",
    expectation="no finding that refuses it",
    remedy="as each refusal says",
)
_WHOLE: Final = Line(
    check_id="data.whole",
    section="§5 Data Check",
    title="It is whole",
    looked_at="every session between its first and its last",
    expectation="no session missing, no silence of all symbols at once",
    remedy="fetch the missing sessions again",
)
_CLEAN: Final = Line(
    check_id="data.clean",
    section="§5 Data Check",
    title="No row had to be kept aside",
    looked_at="every row of the file",
    expectation="none",
    remedy="as each finding says; the others can be traded on",
)


def checks(checked: DataChecked) -> list[Check]:
    """Whether the file can be traded on."""
    refused = [one.code for one in checked.found.findings if one.severity is Severity.REFUSE]
    aside = [one for one in checked.found.findings if one.severity is Severity.QUARANTINE]
    made = [_USABLE.judged(not refused, ", ".join(refused) or "not refused")]
    rows = sum(one.rows for one in aside)
    made.append(_CLEAN.warned(f"{rows:,} rows", "kept aside") if aside else _CLEAN.judged(True, "none"))
    if checked.gaps is not None:
        missing = len(checked.gaps.missing_sessions)
        made.append(_WHOLE.judged(checked.gaps.whole, f"{missing} sessions missing of {checked.gaps.sessions}"))
    return made


def conclusion(checked: DataChecked) -> Conclusion:
    """GO where it can be traded on and is whole."""
    made, found = checks(checked), checked.found
    bad = [one for one in made if one.status is CheckStatus.FAIL]
    said = "can be traded on" if not bad else f"{bad[0].title.lower()}: no, {bad[0].value}"
    headline = f"{checked.file.name}: {found.rows:,} rows of {found.symbols:,} symbols, {said}"
    reasons = [f"{one.title}: {one.value}. {one.detail}" for one in made if one.status is not CheckStatus.PASS]
    reasons += [str(one) for one in found.findings if one.severity is Severity.REFUSE]
    facts = {"data": checked.asked.data, "sessions": f"{len(found.sessions):,}"}
    return Conclusion(verdict_of(made), headline, reasons=reasons, where=checked.file.name, facts=facts)
