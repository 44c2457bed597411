"""A catalog entry as a person reads it: what it says, section by section, in the terminal or as a page (§3, §8)."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance
    from qmworkbench.strategies.parameters import ParameterSpec, Value

_PAGE_WIDTH: Final = 132
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # the page asks nobody for anything
_INSTRUMENTS: Final = {"equity": "US shares and funds", "forex": "currency pairs"}
# A bar's usual length and the open of a full session, by market: what a bar number means on the clock.
_CLOCK: Final = {"equity": (timedelta(hours=9, minutes=30), 1), "forex": (timedelta(hours=17), 60)}
_STATUS_STYLE: Final = {
    "draft": ("dim", "na"),
    "experimental": ("yellow", "warn"),
    "paper-approved": ("cyan", "pass"),
    "live-approved": ("bold green", "pass"),
    "retired": ("red", "na"),
}


@dataclass(frozen=True)
class Section:
    """One part of a card: facts as name and text, or a table under `columns`."""

    title: str
    rows: Sequence[Sequence[str]]
    columns: Sequence[str] = ()


def sections(entry: "StrategyDefinition", instances: "Sequence[StrategyInstance]") -> list[Section]:
    """Everything the catalog says of a strategy, and the instances of it that run where nothing else is configured."""
    found = [
        Section("What it is for", _purpose(entry)),
        Section("Rules", _rules(entry)),
        Section("Exits and size", _exits(entry)),
        Section("Parameters", _parameters(entry), ("name", "approved", "allowed", "meaning")),
        Section("Published instances", _instances(entry, instances), _INSTANCE_COLUMNS),
        Section("Features it explains itself with", list(entry.features.items())),
        Section("Assumptions", [("", text) for text in entry.assumptions]),
        Section("Validation history", _history(entry), ("data", "what was done", "result", "version", "when, by")),
    ]
    return [section for section in found if section.rows or section.columns]


def _purpose(entry: "StrategyDefinition") -> list[tuple[str, str]]:
    params = entry.parameters({})
    anchor = entry.anchor(params)
    earlier = "all since the start" if anchor.bars is None else f"at most {anchor.bars}" if anchor.bars else "none"
    return [
        ("objective", entry.objective),
        ("instruments", ", ".join(_INSTRUMENTS.get(kind.value, kind.value) for kind in entry.asset_classes)),
        ("direction", {"long": "long", "short": "short", "both": "long and short"}[entry.direction.value]),
        ("requirements", _requirements(entry)),
        ("time window", _window(entry)),
        ("warm-up", f"{entry.warmup_bars(params)} bars of a symbol before its first signal"),
        ("history", f"bars before the session that can matter: {earlier}"
                    f"{f'; {anchor.sessions} earlier sessions at least' if anchor.sessions else ''}"),
    ]  # fmt: skip


def _requirements(entry: "StrategyDefinition") -> str:
    """Price, volume, turnover and float, each said even where nothing is asked."""
    asked = entry.requirements
    if asked.min_price is None and asked.max_price is None:
        price = "any price"
    else:
        low = "any" if asked.min_price is None else f"{asked.min_price:,g}"
        price = f"price from {low}" + ("" if asked.max_price is None else f" to {asked.max_price:,g}")
    volume = _least("session volume", asked.min_session_volume, "any volume")
    turnover = _least("session turnover", asked.min_session_turnover, "any turnover")
    most = asked.max_float_shares
    shares = "any float" if most is None else f"float of at most {most:,.0f} shares"
    return "; ".join((price, volume, turnover, shares))


def _least(what: str, value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{what} of at least {value:,.0f}"


def _window(entry: "StrategyDefinition") -> str:
    window, named = entry.window(entry.parameters({})), entry.entry_window

    opens, minutes = _CLOCK[entry.asset_classes[0].value]

    def bar(bound: object, name: object) -> str:
        """A bar's number, the parameter that says it, and when it closes."""
        at = datetime(2024, 1, 2, tzinfo=UTC) + opens + timedelta(minutes=minutes * (int(str(bound)) + 1))
        return f"bar {bound} ({f'{name}, ' if isinstance(name, str) else ''}{at:%H:%M})"

    last = "" if window.until_bar is None else f" to {bar(window.until_bar, named.until_bar)}"
    left = f" ({named.bars_left})" if isinstance(named.bars_left, str) else ""
    length = "one-minute" if minutes == 1 else "hourly"
    return (
        f"entries from {bar(window.from_bar, named.from_bar)}{last}, New York time on {length} bars, with "
        f"at least {window.bars_left} {'bar' if window.bars_left == 1 else 'bars'}{left} to come"
    )


def _rules(entry: "StrategyDefinition") -> list[tuple[str, str]]:
    return [(name, getattr(entry, name)) for name in ("entry", "confirming", "disqualifying", "invalidation")]


def _exits(entry: "StrategyDefinition") -> list[tuple[str, str]]:
    exits, params = entry.exits, entry.parameters({})

    def named(name: str | None, unit: str) -> str:
        if name is None:
            return "none"
        return f"{name}: {f'{params[name]} {unit}' if params[name] else 'none'} as approved"

    flat = entry.flat_policy(params).value.replace("_", " ")
    by = f" ({exits.flat})" if exits.flat in params else ""
    return [
        ("stop", exits.stop),
        ("target", exits.target),
        ("signal", exits.signal),
        ("trailing stop", named(exits.trail_bps, "bps")),
        ("longest hold", named(exits.max_hold_bars, "bars")),
        ("session's end", f"{flat}{by}"),
        ("size", entry.sizing),
    ]


def _parameters(entry: "StrategyDefinition") -> list[tuple[str, str, str, str]]:
    return [
        (spec.name, f"{shown(spec.approved)} {spec.unit}".strip(), _allowed(spec), spec.meaning)
        for spec in entry.parameter_specs
    ]


def _allowed(spec: "ParameterSpec") -> str:
    if spec.minimum is None or spec.maximum is None:
        return spec.range_text
    return f"{shown(spec.minimum)} to {shown(spec.maximum)}"


_INSTANCE_COLUMNS: Final = ("instances", "on", "account, each", "symbols", "other than the approved values")
_SHOWN_NAMES: Final = 3


def _instances(entry: "StrategyDefinition", instances: "Sequence[StrategyInstance]") -> list[tuple[str, ...]]:
    """Those that share everything but their symbols on one row."""
    alike: dict[tuple[str, ...], list[StrategyInstance]] = {}
    for one in instances:
        if one.strategy_id == entry.strategy_id:
            share, most = f"{float(one.capital_fraction) * 100:.6g} %", f"{one.max_symbols} at once"
            other = ", ".join(f"{name} {shown(value)}" for name, value in one.params.items()) or "–"
            alike.setdefault((one.asset_class.value, share, most, other), []).append(one)
    return [
        (_names([one.instance_id for one in ones]), _symbols(ones), share, most, other)
        for (_, share, most, other), ones in alike.items()
    ]


def _symbols(ones: "Sequence[StrategyInstance]") -> str:
    if ones[0].symbols == "*":
        return f"{_INSTRUMENTS[ones[0].asset_class.value]} of the scanner's choice"
    return _names(sorted({symbol for one in ones for symbol in one.symbols}))


def _names(names: Sequence[str]) -> str:
    some = ", ".join(names[:_SHOWN_NAMES])
    return some if len(names) <= _SHOWN_NAMES else f"{some} and {len(names) - _SHOWN_NAMES} more"


def _history(entry: "StrategyDefinition") -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for piece in entry.validation:
        granted = f"approves {piece.approves.value}" if piece.approves is not None else ""
        passed = piece.lookahead
        looked = (
            f"look-ahead passed by code {passed.code_hash} on bars {passed.data_hash}" if passed is not None else ""
        )
        when = ", ".join(part for part in (piece.on, piece.by, granted, looked) if part)
        rows.append((piece.data, piece.method, piece.result, piece.version or entry.version, when or "–"))
    return rows or [("none yet", "–", "–", entry.version, "–")]


def shown(value: "Value | None") -> str:
    """A parameter's value as people write it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else f"{value:,.12g}"


# --- in the terminal --------------------------------------------------------------------------------------------


def print_card(entry: "StrategyDefinition", parts: Sequence[Section]) -> None:
    """The card on standard output: as wide as the terminal, or as a page where there is none."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PAGE_WIDTH
    console = Console(file=sys.stdout, highlight=False, width=width)
    head = Text(entry.title, style="bold")
    head.append(f"\n{entry.strategy_id} {entry.version}", style="cyan")
    head.append("  ·  ").append(entry.status.value, style=_STATUS_STYLE[entry.status.value][0])
    head.append(f"  ·  owner: {entry.owner}  ·  approved set {entry.hash({})}", style="dim")
    console.print(Panel(head, expand=True, border_style="dim", padding=(0, 1)))
    for part in parts:
        console.print(Text(f"\n{part.title}", style="bold"))
        console.print(Padding(_as_table(part), (0, 0, 0, 1)))


def _as_table(part: Section) -> Any:
    from rich.table import Table
    from rich.text import Text

    if part.columns:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for at, column in enumerate(part.columns):
            table.add_column(column, style="cyan" if at == 0 else "", overflow="fold")
    elif not part.rows[0][0]:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for row in part.rows:
            table.add_row("•", Text(row[1]))
        return table
    else:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
    for row in part.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


# --- as a page --------------------------------------------------------------------------------------------------


def page(entry: "StrategyDefinition", parts: Sequence[Section]) -> str:
    """The card as one HTML document that fetches nothing and prints on A4."""
    from qmworkbench.reporting.style import CSS

    status = entry.status.value
    facts = "".join(
        f'<div class="tile"><span class="label">{escape(name)}</span><span class="value">{value}</span></div>'
        for name, value in (
            ("id and version", escape(f"{entry.strategy_id} {entry.version}")),
            ("status", f'<span class="chip {_STATUS_STYLE[status][1]}">{escape(status)}</span>'),
            ("owner", escape(entry.owner)),
            ("approved set", f"<code>{entry.hash({})}</code>"),
        )
    )
    body = "".join(f"<h2>{escape(part.title)}</h2>{_as_html(part)}" for part in parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<link rel="icon" href="data:,"><title>{escape(entry.title)} · strategy card</title>'
        f"<style>{CSS}</style></head>\n"
        f'<body style="margin:0"><main class="qm"><header><h1>{escape(entry.title)}</h1>'
        f'<span class="where">strategy card</span></header>\n<div class="tiles">{facts}</div>\n'
        f"{body}</main></body></html>\n"
    )


def _as_html(part: Section) -> str:
    if part.columns:
        head = "".join(f"<th>{escape(column)}</th>" for column in part.columns)
        rows = "".join(f"<tr>{_cells(row, part.columns)}</tr>" for row in part.rows)
        table = f'<table class="stack"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        return f'<div class="scroll">{table}</div>'
    if not part.rows[0][0]:
        return f"<ul>{''.join(f'<li>{escape(row[1])}</li>' for row in part.rows)}</ul>"
    rows = "".join(
        f'<tr><td class="keep" style="width:160px">{escape(row[0])}</td><td>{escape(row[1])}</td></tr>'
        for row in part.rows
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _cells(row: Iterable[str], columns: Sequence[str]) -> str:
    return "".join(
        f'<td class="text" data-label="{escape(column)}">{escape(cell)}</td>'
        for cell, column in zip(row, columns, strict=True)
    )
