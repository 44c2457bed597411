"""The four signals of §9 as a table: what each sees, against which threshold, from how many observations."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import formats
from dashboards.view_models.tables import RIGHT, Cell, Row, Table, cell, column, row, table
from dashboards.view_models.verdict import Verdict, rows, section

TITLE: Final = "Analytics signals"
_COLUMNS: Final = (
    column("Signal"),
    column("State"),
    column("Value", RIGHT),
    column("At", RIGHT, hint="the threshold from which on it speaks"),
    column("Seen", RIGHT, hint="observations; of how many, while they are too few to say anything"),
)
# What a state is called, its tone, and what it means.
_STATES: Final = {
    "active": ("speaks", "warn", "at or beyond its threshold, and not yet clearly below it again; an alert stands"),
    "quiet": ("quiet", "ok", "enough observations, below the threshold"),
    "few": ("too few", "dim", "too few observations to say anything"),
    "none": ("none yet", "dim", "nothing to observe yet"),
}


def signals(reading: Reading, verdict: Verdict, zone: ZoneInfo) -> Table:
    """Every signal that speaks, and of the others the one nearest to it; none of them halts anything by itself."""
    given = section(reading.snapshot or {}, "analytics")
    found = rows(given, "signals")
    shown = [_row(each) for each in found]
    states = [str(each.get("state")) for each in found]
    told = table(
        TITLE,
        _COLUMNS,
        shown,
        empty="No signals yet: they come with the session.",
        mark=verdict.mark,
        note=_note(given, states, zone) if shown else "",
    )
    if "active" in states:
        told["note_tone"] = "warn"
    return told


def _note(given: Mapping[str, Any], states: Sequence[str], zone: ZoneInfo) -> str:
    at = given.get("observed_at")
    if not at:
        return "not looked at yet"
    speaking = states.count("active")
    told = (
        f"{speaking} speak{'s' if speaking == 1 else ''}" if speaking else "quiet" if "quiet" in states else "too early"
    )
    return f"{told}, looked at {formats.clock(at, zone, seconds=False)}"


def _row(each: Mapping[str, Any]) -> Row:
    state = str(each.get("state") or "none")
    word, tone, hint = _STATES.get(state, (state, "dim", ""))
    speaks = state == "active"
    unit = str(each.get("unit") or "")
    shown = row(
        f"{each.get('code')}|{each.get('subject')}",
        [
            cell(str(each.get("title") or formats.words(each.get("code"))), strong=speaks),
            cell(word, tone=tone, chip=True, hint=hint),
            cell(_amount(each.get("value"), unit), strong=speaks, tone="warn" if speaks else ""),
            _amount(each.get("threshold"), ""),
            _sample(each, state),
        ],
        tone="dim" if state in ("few", "none") else "",
    )
    # A number and its unit stay on one line.
    shown["below"] = str(each.get("text") or "").replace(" %", "\u00a0%").replace(" bps", "\u00a0bps")
    return shown


def _amount(value: Any, unit: str) -> str:
    amount = formats.decimal(value)
    if amount is None:
        return formats.ABSENT
    text = f"{amount:,.1f}".removesuffix(".0")
    return text if unit in ("entries", "") else f"{text} {unit}"


def _sample(each: Mapping[str, Any], state: str) -> Cell:
    seen, needed = formats.whole(each.get("sample")), formats.whole(each.get("needed"))
    if state == "none":
        return formats.ABSENT
    return f"{seen} of {needed}" if state == "few" else cell(seen, hint=f"needs {needed}")
