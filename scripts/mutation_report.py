"""What mutation testing found, as docs/mutation.md tells it (scripts/mutants.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
PAGE = ROOT / "docs" / "mutation.md"
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Result:
    """What became of one mutant: killed by a test, by its running out of time or memory, or survived."""

    line_no: int
    line: str
    change: str
    outcome: str


@dataclass(frozen=True)
class Seen:
    """A module's mutants as far as they were asked about, and how many there are in all."""

    path: str
    results: Mapping[str, Result]
    planted: int

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
    """The figures by module, then each survivor with its reason."""
    lines = ["| module | mutants | asked | killed | survived | explained |", "|---|---:|---:|---:|---:|---:|"]
    for one in seen:
        survivors = one.survivors
        told = sum(bool(explained(reasons, one.path, result)) for result in survivors)
        asked = len(one.results)
        figures = (one.planted, asked, asked - len(survivors), len(survivors), told)
        lines.append(f"| `{one.path}` | {' | '.join(map(str, figures))} |")
    lines += ["", "| survivor | change | why it stands |", "|---|---|---|"]
    for one in seen:
        for result in one.survivors:
            why = explained(reasons, one.path, result) or "**no test would miss it**"
            code = result.line.replace("|", "\\|")
            lines.append(f"| `{one.path}` `{code}` | {result.change} | {why} |")
    return "\n".join(lines) + "\n"
