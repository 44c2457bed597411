"""What mutation testing found, as docs/mutation.md tells it (scripts/mutants.py)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation_record import Result

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
PAGE = ROOT / "docs" / "mutation.md"
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Seen:
    """A module's mutants as far as they were asked about, and how many there are in all.

    `file` is what git calls the module's content at its last run; `before` names the results that are older than a
    change of their function, or of the tests that a mutant survived.
    """

    path: str
    results: Mapping[str, Result]
    planted: int
    file: str = ""
    before: Collection[str] = ()

    @property
    def survivors(self) -> list[Result]:
        return sorted(
            (r for r in self.results.values() if r.outcome == "survived"), key=lambda r: (r.line_no, r.change)
        )


def explained(reasons: Sequence[Mapping[str, Any]], path: str, result: Result) -> str:
    """Why a survivor is no bug that a test could find; "" where nobody has said."""
    for reason in reasons:
        if reason["module"] == path and reason["line"] == result.line and result.change in reason["changes"]:
            return str(reason["why"])
    return ""


def write_report(seen: Sequence[Seen], reasons: Sequence[Mapping[str, Any]]) -> None:
    """Put the tables between the two marks of the page."""
    text = PAGE.read_text()
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    PAGE.write_text(f"{before}{_BEGIN}\n{tables(seen, reasons)}{_END}{after}")


def tables(seen: Sequence[Seen], reasons: Sequence[Mapping[str, Any]]) -> str:
    """The figures by module and in all, then each survivor with its reason."""
    lines = ["| module | mutants | asked | killed | survived | explained | asked before a change | of file |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---|"]
    rows = [(one, figures(one, reasons)) for one in seen]
    for one, row in rows:
        lines.append(f"| `{one.path}` | {' | '.join(map(str, row))} | {f'`{one.file}`' if one.file else ''} |")
    total = [sum(column) for column in zip(*(row for _, row in rows), strict=True)]
    lines.append(f"| **all** | {' | '.join(f'**{figure}**' for figure in total)} | |")
    lines += ["", "| survivor | change | why it stands |", "|---|---|---|"]
    for one in seen:
        for result in one.survivors:
            why = explained(reasons, one.path, result) or "**no test would miss it**"
            code = result.line.replace("|", "\\|")
            lines.append(f"| `{one.path}` `{code}` | {result.change} | {why} |")
    return "\n".join(lines) + "\n"


def figures(one: Seen, reasons: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Mutants, asked, killed, survived, explained, and how many of the asked were asked before a change."""
    survivors, asked = one.survivors, len(one.results)
    told = sum(bool(explained(reasons, one.path, result)) for result in survivors)
    return one.planted, asked, asked - len(survivors), len(survivors), told, len(one.before)
