"""Tables, tiles and chips as HTML: numbers aligned and signed, statuses in words, no bare nulls (§17, §18)."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.domain.numbers import cents

DASH: Final = "–"
_HYPHEN: Final = re.compile(r"(?<![\w.:/-])-(?=\d)")


class Html(str):
    """A finished piece of a page; notebooks show it as it is."""

    def _repr_html_(self) -> str:
        return f'<div class="qm">{self}</div>'

    def __repr__(self) -> str:
        return f"<{len(self):,} characters of HTML>"


Format = Callable[[Any], str]


@dataclass(frozen=True)
class Column:
    """One column: its key in the rows, its heading, how a value is written (HTML), and how it lies in the table.

    `kind`: text, prose (sentences beside figures), num (right-aligned, tabular), id (small, fixed width) or keep
    (never broken).
    """

    key: str
    label: str
    format: Format | None = None
    kind: str = "text"


# --- values ----------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """Plain text, escaped, its negative numbers with a real minus sign; an empty value is a dash."""
    return escape(_HYPHEN.sub("\N{MINUS SIGN}", str(value))) if value not in (None, "") else DASH


def signed_money(value: float | Decimal | None) -> str:
    """Money with its sign, to the cent, coloured by it; zero is neutral and has none."""
    if value is None:
        return DASH
    shown = cents(Decimal(str(value)))
    if shown == 0:
        return "0.00"
    kind = "gain" if shown > 0 else "loss"
    return f'<span class="{kind}">{minus(f"{shown:+,.2f}")}</span>'


def money(value: float | Decimal | None) -> str:
    """Money without a sign of its own, to the cent."""
    # A loss of less than half a cent is none: no minus before a zero.
    return DASH if value is None else minus(f"{cents(Decimal(str(value))) + 0:,.2f}")


def price(value: float | Decimal | None) -> str:
    """A price with as many decimals as it has, two at least and five at most."""
    if value is None:
        return DASH
    written = f"{float(value):,.5f}".rstrip("0")
    whole, _, decimals = written.partition(".")
    return minus(f"{whole}.{decimals.ljust(2, '0')}")


def number(decimals: int = 0, unit: str = "", *, sign: bool = False) -> Format:
    """A number to some decimals, with a unit behind it."""

    def write(value: float | None) -> str:
        if value is None:
            return DASH
        written = f"{value:{'+' if sign else ''},.{decimals}f}"
        # A rounded nothing has no sign.
        written = written.lstrip("+-") if not written.strip("+-0.,") else written
        return minus(f"{written}\N{NO-BREAK SPACE}{unit}" if unit else written)

    return write


def share(value: float | None) -> str:
    """A fraction as a percentage."""
    return DASH if value is None else f"{value * 100:.0f}\N{NO-BREAK SPACE}%"


def r_multiple(value: float | None) -> str:
    """A multiple of the initial risk, signed and coloured."""
    if value is None:
        return DASH
    shown = round(value, 2)
    if shown == 0:
        return "0.00\N{NO-BREAK SPACE}R"
    kind = "gain" if shown > 0 else "loss"
    return f'<span class="{kind}">{minus(f"{shown:+.2f}")}\N{NO-BREAK SPACE}R</span>'


_FEATURE: Final = re.compile(r"\b([a-z][a-z0-9_]*) (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?=$|,|;| ·)")
_NEXT_FEATURE: Final = re.compile(r", (?=[a-z][a-z0-9_]* -?\d)")


def features(value: str | None) -> str:
    """A strategy's features as it tells them ("channel_high 14.2, atr 0.1"), readable; sentences stay sentences."""
    said = _NEXT_FEATURE.sub(" · ", value or "")
    return text(_FEATURE.sub(lambda found: f"{found[1].replace('_', ' ')} {_short(found[2])}", said))


def _short(written: str) -> str:
    """A number as short as a glance needs: four digits, millions in words; whole numbers as they are."""
    value = float(written)
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.1f} million"
    if written.lstrip("-").isdigit():
        return written
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"


def clock(zone: str, pattern: str = "%H:%M") -> Format:
    """A time of day in the exchange's zone."""
    local = ZoneInfo(zone)

    def write(value: datetime | None) -> str:
        return DASH if value is None else value.astimezone(local).strftime(pattern)

    return write


def minus(written: str) -> str:
    """A hyphen before a number as a real minus sign, which is as wide as a plus."""
    return written.replace("-", "\N{MINUS SIGN}", 1) if written.startswith("-") else written


# --- pieces ----------------------------------------------------------------------------------------------------------

_CHIPS: Final = {
    CheckStatus.PASS: ("pass", "✓ pass"),
    CheckStatus.WARN: ("warn", "! warn"),
    CheckStatus.FAIL: ("fail", "✕ fail"),
    CheckStatus.NOT_APPLICABLE: ("na", "– n/a"),
}


def chip(status: CheckStatus | None) -> Html:
    """A status as a chip: sign, word and colour. None: not looked at yet."""
    kind, word = _CHIPS[status] if status is not None else ("na", "not looked at")
    return Html(f'<span class="chip {kind}">{word}</span>')


def table(
    rows: pl.DataFrame | Iterable[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    empty: str,
    caption: str = "",
    stack: bool = False,
    kind: str = "",
    flag: Callable[[Mapping[str, Any]], bool] | None = None,
) -> Html:
    """Rows as a table; `empty` is the sentence shown where there are none.

    `stack` turns rows into cards on a phone, for tables of sentences; others scroll within themselves. `flag` marks a
    row that wants attention.
    """
    given = list(rows.iter_rows(named=True)) if isinstance(rows, pl.DataFrame) else list(rows)
    if not given:
        return Html(f'<div class="none">{escape(empty)}</div>')
    head = "".join(f'<th class="{c.kind}" scope="col">{escape(c.label)}</th>' for c in columns)
    body = "".join(_row(row, columns, flag is not None and flag(row)) for row in given)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    narrow = len(columns) <= 8 and all(c.kind in ("num", "keep") for c in columns)
    classes = " ".join(word for word in (kind, "stack" if stack else "fit" if narrow else "") if word)
    return Html(
        f'<div class="scroll"><table class="{classes}">{said}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(row: Mapping[str, Any], columns: Sequence[Column], flagged: bool) -> str:
    cells = "".join(f'<td class="{c.kind}"{_label(c)}>{(c.format or text)(row.get(c.key))}</td>' for c in columns)
    return f'<tr class="flag">{cells}</tr>' if flagged else f"<tr>{cells}</tr>"


def _label(column: Column) -> str:
    return f' data-label="{escape(column.label)}"' if column.label else ""


def tiles(entries: Sequence[tuple[str, str, str]]) -> Html:
    """Headline figures: (label, value as HTML, note as text)."""
    made = "".join(
        f'<div class="tile"><span class="label">{escape(label)}</span><span class="value">{value}</span>'
        f'<span class="note">{escape(note)}</span></div>'
        for label, value, note in entries
    )
    return Html(f'<div class="tiles">{made}</div>')


def checks_table(checks: Sequence[Check], *, empty: str) -> Html:
    """A checklist with what was seen; what is not green comes first."""
    worst = [CheckStatus.FAIL, CheckStatus.WARN, CheckStatus.PASS, CheckStatus.NOT_APPLICABLE]
    ordered = sorted(checks, key=lambda check: worst.index(check.status))
    rows = [
        {
            "status": check.status,
            "title": _titled(check),
            "seen": _seen(check),
            "expected": _expected(check),
            "remedy": text(check.remedy) if check.remedy else "",
        }
        for check in ordered
    ]
    columns = [
        Column("status", "", chip, "keep"),
        Column("title", "Check", str),
        Column("seen", "Seen", str),
        Column("expected", "Expected", str),
        Column("remedy", "What to do", str),
    ]
    if not any(row["remedy"] for row in rows):
        columns.pop()
    return table(
        rows, columns, empty=empty, stack=True, kind="checks", flag=lambda row: row["status"] is CheckStatus.FAIL
    )


def _titled(check: Check) -> str:
    where = f"{escape(check.section)} · <code>{escape(check.check_id)}</code>"
    return f"{escape(check.title)}<br><small>{where}</small>"


def _seen(check: Check) -> str:
    parts = [f"<b>{escape(check.value)}</b>"]
    if check.detail:
        parts.append(escape(check.detail))
    parts.append(f"<small>{escape(check.looked_at)}</small>")
    if check.confirmed_by:
        nobody = ", nobody looked" if check.confirmed_by.startswith("policy:") else ""
        parts.append(f"<small>signed by {escape(check.confirmed_by)}{nobody}</small>")
    return "<br>".join(parts)


def _expected(check: Check) -> str:
    if not check.threshold:
        return escape(check.expectation)
    source = f" ({escape(check.threshold_source)})" if check.threshold_source else ""
    return f"{escape(check.expectation)}<br><small>limit {escape(check.threshold)}{source}</small>"


def section(title: str, *pieces: str, note: str = "") -> Html:
    """A heading with what belongs under it."""
    said = f'<p class="muted">{escape(note)}</p>' if note else ""
    return Html(f"<section><h2>{escape(title)}</h2>{said}{''.join(pieces)}</section>")


def subsection(title: str, *pieces: str, note: str = "") -> Html:
    """A smaller heading with what belongs under it."""
    said = f'<p class="muted">{escape(note)}</p>' if note else ""
    return Html(f"<div><h3>{escape(title)}</h3>{said}{''.join(pieces)}</div>")
