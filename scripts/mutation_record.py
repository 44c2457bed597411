"""What is known of each mutant, kept from run to run in .mutants/ (scripts/mutants.py).

A result belongs to the function that its mutant is in, by the text of that function without its comments: while the
function is the same, killed stays killed, whatever becomes of the rest of the module. A survivor is asked again as soon
as the module or one of its tests is another, unless it is explained (equivalent_mutants.toml). What was found before
the function changed is not believed, and a run asks it again; until then the report tells it as asked before a change.
"""

import ast
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Result:
    """What became of one mutant: killed by a test, by its running out of time or memory, or survived.

    `within` is the digest of the function it was planted in, as that was when its tests were asked.
    """

    line_no: int
    line: str
    change: str
    outcome: str
    within: str = ""


@dataclass(frozen=True)
class Record:
    """`digest` of the module and its tests at the last run, `file` as `git hash-object` names the module then."""

    digest: str
    file: str
    results: Mapping[str, Result]


EMPTY = Record("", "", {})


class Places:
    """Which function of a source a line is in, as a digest: of the outermost one, else of the module's statement."""

    def __init__(self, source: str) -> None:
        self._spans: list[tuple[range, str]] = []
        for node in ast.parse(source).body:
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                self._add(inner)
            return
        first = min((d.lineno for d in getattr(node, "decorator_list", ())), default=node.lineno)
        text = hashlib.sha256(ast.dump(node).encode()).hexdigest()[:12]
        self._spans.append((range(first, (node.end_lineno or first) + 1), text))

    def of(self, line_no: int) -> str:
        """The digest; "" outside of every function and statement."""
        return next((text for span, text in self._spans if line_no in span), "")


def file_name(source: str) -> str:
    """The name git has for a file of this content, shortened."""
    content = source.encode()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()[:10]


def read(kept: Path) -> Record:
    """What earlier runs have left; EMPTY where there is nothing."""
    if not kept.is_file():
        return EMPTY
    found = json.loads(kept.read_text())
    if "file" not in found:
        return EMPTY
    results = {name: Result(**fields) for name, fields in found["results"].items()}
    return Record(found["digest"], found["file"], results)


def write(kept: Path, record: Record) -> None:
    """Put it in the place of what was there, whole or not at all."""
    kept.parent.mkdir(exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(asdict(record), indent=1))
    part.replace(kept)


def believed(
    record: Record, digest: str, now: Mapping[str, str], known: Callable[[Result], bool] = lambda result: False
) -> dict[str, Result]:
    """The results that still say something of the module as it is: `now` has the place of each of its mutants, `known`
    says of which survivors it is known why no test could find them.
    """
    return {
        name: result
        for name, result in record.results.items()
        if now.get(name) == result.within and (result.outcome != "survived" or record.digest == digest or known(result))
    }
