"""A checklist at a glance: one square for each check, by section, the worst first (§5, §8, §17)."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.reporting.style import FONT, GAIN, INK, LOSS, MUTED
from qmworkbench.reporting.tables import Html

_FILL: Final = {
    CheckStatus.PASS: GAIN,
    CheckStatus.WARN: "#e0a000",
    CheckStatus.FAIL: LOSS,
    CheckStatus.NOT_APPLICABLE: "#c4ccd4",
}
# Each status has its own sign as well, for those who see no colours and for black-and-white print.
_SIGN: Final = {CheckStatus.PASS: "✓", CheckStatus.WARN: "!", CheckStatus.FAIL: "✕", CheckStatus.NOT_APPLICABLE: "–"}
_ORDER: Final = tuple(_FILL)
_WORST_FIRST: Final = (CheckStatus.FAIL, CheckStatus.WARN, CheckStatus.PASS, CheckStatus.NOT_APPLICABLE)
_SIZE, _GAP, _ROW, _LEFT = 20, 4, 30, 250


def status_matrix(checks: Sequence[Check], *, label: str, group: Callable[[Check], str] | None = None) -> Html:
    """Squares by section (or by `group`), in the order in which they were looked at; each tells its check on hover."""
    sections: dict[str, list[Check]] = {}
    for check in checks:
        sections.setdefault((group or _section)(check), []).append(check)
    width = _LEFT + max((len(found) for found in sections.values()), default=1) * (_SIZE + _GAP)
    height = _ROW * max(1, len(sections))
    rows = "".join(_row(name, found, number) for number, (name, found) in enumerate(sections.items()))
    told = f"{label}: {counted(checks)}"
    drawn = (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="{escape(FONT)}">{rows}</svg>'
    )
    said = f"<figcaption>{escape(counted(checks))}</figcaption>"
    return Html(f'<figure style="max-width:{width}px">{drawn}{said}</figure>')


def checklist(checks: Sequence[Check], *, group: Callable[[Check], str] | None = None) -> Html:
    """Every check as one short line in two columns, by section (or by `group`): sign, title, what was seen.

    A check that is not green is told whole, with its remedy.
    """
    sections: dict[str, list[Check]] = {}
    for check in checks:
        sections.setdefault((group or _section)(check), []).append(check)
    parts = []
    for name, found in sections.items():
        ordered = sorted(found, key=lambda check: _WORST_FIRST.index(check.status))
        parts.append(f"<section><h4>{escape(name)}</h4>{''.join(_short(check) for check in ordered)}</section>")
    return Html(f'<div class="checklist">{"".join(parts)}</div>')


def _short(check: Check) -> str:
    sign, said = _SIGN[check.status], escape(check.value)
    whole = check.status in (CheckStatus.FAIL, CheckStatus.WARN)
    told = f"<p>{escape(f'{check.detail} {check.remedy}'.strip())}</p>" if whole else ""
    kind = {CheckStatus.NOT_APPLICABLE: "na"}.get(check.status, check.status.value)
    return (
        f'<div class="line {kind}" title="{escape(f"{check.title}: {check.value}")}"><b aria-label="{kind}">{sign}</b>'
        f"<span>{escape(check.title)}</span><i>{said}</i>{told}</div>"
    )


def counted(checks: Sequence[Check]) -> str:
    """How many checks have each status, in words."""
    words = {"pass": "passed", "warn": "warned", "fail": "failed", "not_applicable": "not applicable here"}
    return ", ".join(
        f"{number} {words[status]}" for status in _ORDER if (number := sum(check.status is status for check in checks))
    )


def _section(check: Check) -> str:
    return check.section.split(";")[0].split(" (")[0]


def _row(name: str, checks: Sequence[Check], number: int) -> str:
    y = number * _ROW + 5
    ordered = sorted(checks, key=lambda check: _WORST_FIRST.index(check.status))
    squares = "".join(_square(check, _LEFT + place * (_SIZE + _GAP), y) for place, check in enumerate(ordered))
    words = f'<text x="0" y="{y + 14}" font-size="12.5" fill="{INK}">{escape(name)}</text>'
    return words + squares


def _square(check: Check, x: int, y: int) -> str:
    ink = MUTED if check.status is CheckStatus.NOT_APPLICABLE else "#fff"
    return (
        f"<g><title>{escape(f'{check.title}: {check.value}')}</title>"
        f'<rect x="{x}" y="{y}" width="{_SIZE}" height="{_SIZE}" rx="4" fill="{_FILL[check.status]}"/>'
        f'<text x="{x + _SIZE / 2}" y="{y + 14.5}" font-size="12" font-weight="700" text-anchor="middle" fill="{ink}">'
        f"{_SIGN[check.status]}</text></g>"
    )
