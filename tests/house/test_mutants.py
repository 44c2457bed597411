"""Mutation testing itself: which small bugs it plants, where it leaves a source alone, and what it reports."""

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mutation_record import Record, Result

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def _scripts_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


SOURCE = '''"""A module."""

LIMIT: int = 3


def rule(price: int, qty: int = 0) -> bool:
    """Whether it passes."""
    if price < LIMIT and not qty:
        raise ValueError(f"{price + 1} is too little")
    total = min(price, qty) * 2
    note("seen", total)
    return total >= LIMIT
'''


def changes() -> list[tuple[int, str]]:
    from mutation_operators import mutants

    return [(mutant.line_no, mutant.change) for mutant in mutants(SOURCE)]


def test_each_small_bug_is_planted_once() -> None:
    found = changes()
    assert len(found) == len({mutant.name for mutant in _mutants()})
    for expected in (
        (3, "3 to 4"),
        (6, "0 to 1"),
        (8, "Lt to LtE"),
        (8, "Lt to GtE"),
        (8, "and to or"),
        (8, "drop part 1 of and"),
        (8, "drop part 2 of and"),
        (8, "drop not"),
        (8, "if True"),
        (8, "if False"),
        (10, "min to max"),
        (10, "Mult to Div"),
        (10, "2 to 3"),
        (11, "drop the statement"),
        (12, "GtE to Gt"),
        (12, "GtE to Lt"),
    ):
        assert expected in found


def test_texts_annotations_and_messages_are_left_alone() -> None:
    assert not [change for line, change in changes() if line in (1, 7, 9)]
    assert all("seen" not in change for _, change in changes())


def _mutants() -> list[object]:
    from mutation_operators import mutants

    return list(mutants(SOURCE))


def test_a_mutant_is_the_module_with_one_thing_changed() -> None:
    from mutation_operators import mutants

    plain = ast.unparse(ast.parse(SOURCE))
    for mutant in mutants(SOURCE):
        other = ast.unparse(mutant.tree)
        differing = [pair for pair in zip(plain.splitlines(), other.splitlines(), strict=False) if pair[0] != pair[1]]
        assert differing, mutant.name
        compile(mutant.tree, "module", "exec")
    assert ast.unparse(ast.parse(SOURCE)) == plain


def test_only_what_runs_when_called_counts_as_inside() -> None:
    from mutation_operators import mutants

    inside = {mutant.line_no for mutant in mutants(SOURCE) if mutant.inside}
    assert inside == {8, 10, 11, 12}


def test_a_mutant_is_reached_by_whoever_runs_any_line_of_its_statement() -> None:
    from mutation_operators import mutants

    lines = ["def told(x):", "    if (", "        x", "        > 3", "    ):", "        return (", "            1"]
    source = "\n".join([*lines, "            + x", "        )", "    return 5", ""])
    reached = {(m.change, m.line_no): (m.statement.start, m.statement.stop) for m in mutants(source)}
    assert reached["Gt to GtE", 3] == reached["if True", 2] == (2, 6)
    assert reached["1 to 2", 7] == reached["Add to Sub", 7] == (6, 10)
    assert reached["5 to 6", 10] == (10, 11)


def test_living_functions_take_the_mutants_code() -> None:
    from mutation_operators import mutants
    from mutation_session import functions_of, swap

    path = "/nowhere/rules.py"
    space: dict[str, object] = {"note": lambda *_: None}
    exec(compile(SOURCE, path, "exec"), space)
    rule = space["rule"]
    assert callable(rule)
    assert rule(5, 2) is True
    (mutant,) = [m for m in mutants(SOURCE) if m.change == "min to max"]
    (other,) = [m for m in mutants(SOURCE) if (m.line_no, m.change) == (12, "GtE to Lt")]
    assert swap(functions_of(path), path, other.tree) == 1
    assert rule(5, 2) is False
    assert swap(functions_of(path), path, mutant.tree) == 1
    assert rule(1, 5) is True


def test_the_report_tells_survivors_with_their_reasons() -> None:
    from mutation_record import Result
    from mutation_report import Seen, explained, tables

    kept = Result(3, "if a < b:", "Lt to LtE", "survived")
    open_one = Result(9, "return a | b", "BitOr to BitAnd", "survived")
    seen = Seen(
        "m.py", {"1": kept, "2": open_one, "3": Result(4, "x", "y", "killed")}, planted=7, file="0123", before={"3"}
    )
    reasons = [{"module": "m.py", "line": "if a < b:", "changes": ["Lt to LtE"], "why": "they are never equal"}]
    assert explained(reasons, "m.py", kept) == "they are never equal"
    assert explained(reasons, "other.py", kept) == ""
    text = tables([seen], reasons)
    assert "| `m.py` | 7 | 3 | 1 | 2 | 1 | 1 | `0123` |" in text
    assert "| **all** | **7** | **3** | **1** | **2** | **1** | **1** | |" in text
    assert "they are never equal" in text
    assert "return a \\| b" in text
    assert "**no test would miss it**" in text


BOTH = """LIMIT = 3

def one(x):
    return x < LIMIT

class Two:
    def say(self, y):
        return y > 0  # as it is
"""


def _asked(source: str, outcome: str) -> "dict[str, Result]":
    from mutants import mutants, placed
    from mutation_record import Result

    every = list(mutants(source))
    places = placed(source, every)
    return {m.name: Result(m.line_no, m.line, m.change, outcome, places[m.name]) for m in every}


def _believed(record: "Record", digest: str, source: str) -> set[str]:
    from mutants import mutants, placed
    from mutation_record import believed

    return set(believed(record, digest, placed(source, list(mutants(source)))))


def test_what_was_found_stands_while_its_function_is_the_same() -> None:
    from mutants import mutants, placed
    from mutation_record import Record, believed

    killed = Record("d", "f", _asked(BOTH, "killed"))
    lived = Record("d", "f", _asked(BOTH, "survived"))
    assert len(killed.results) > 5
    assert _believed(killed, "d", BOTH) == _believed(lived, "d", BOTH) == set(killed.results)
    assert _believed(killed, "other", BOTH) == set(killed.results), "a test that is added cannot revive the killed"
    assert _believed(lived, "other", BOTH) == set(), "a survivor may fall to other tests"
    explained = believed(lived, "other", placed(BOTH, list(mutants(BOTH))), lambda result: result.change == "Gt to GtE")
    assert {result.change for result in explained.values()} == {"Gt to GtE"}, "no test could find it"
    moved = BOTH.replace("class Two:", "class Two:\n    # lower down").replace("  # as it is", "")
    assert _believed(killed, "other", moved) == {n for n in killed.results if "as it is" not in n}
    another = BOTH.replace("def one(x):", "def one(x, z=None):")
    lost = set(killed.results) - _believed(killed, "other", another)
    assert lost == {n for n in killed.results if n.startswith("return x")}


def test_what_is_known_is_read_as_it_was_written(tmp_path: Path) -> None:
    from mutation_record import EMPTY, Record, file_name, read, write

    kept = tmp_path / "new" / "rules.json"
    assert read(kept) == EMPTY
    record = Record("d", file_name(BOTH), _asked(BOTH, "survived"))
    write(kept, record)
    assert read(kept) == record
    assert file_name("hello\n") == "ce01362503", "as git names it"


def test_every_mapped_module_and_test_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    import mutants

    for name, (path, _) in mutants.MAPPED.items():
        assert (SCRIPTS.parent / path).is_file(), name
        assert mutants.subject(name, SCRIPTS.parent).tests, name
    assert "mutants" in sys.modules
