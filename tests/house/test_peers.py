"""docs/peers-failures.md names a test for every way in which peers have failed, and each of them exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_ROWS = [line for line in (ROOT / "docs" / "peers-failures.md").read_text().splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_row_is_held_by_tests_that_exist(row: str) -> None:
    named = re.findall(r"`(tests/[^`]+\.py)::(\w+)`", row)
    assert named, "no test is named"
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text())
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, function


def test_every_issue_of_a_peer_has_its_row() -> None:
    told = " ".join(row.split("|")[1] for row in _ROWS)
    assert len(re.findall(r"#\d+", told)) == 36
