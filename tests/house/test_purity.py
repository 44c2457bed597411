"""Decisions see no clock, no chance and no I/O: the rule holds on every pure floor and catches offenders."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.checkout import PURE_FLOORS, ROOT, empty_house, package_modules

IMPURE = [
    "import time",
    "from time import monotonic",
    "import datetime as dt\nNOW = dt.datetime.now(dt.UTC)",
    "from datetime import datetime\nNOW = datetime.utcnow()",
    "from datetime import date\nTODAY = date.today()",
    "import random",
    "from random import choice",
    "import secrets",
    "from uuid import uuid4",
    "import uuid\nID = uuid.uuid4()",
    "import numpy as np\nDRAW = np.random.default_rng()",
    "from numpy.random import default_rng",
    "import os",
    "from os import environ",
    "import socket",
    "import asyncio",
    "import threading",
    "import subprocess",
    "import concurrent.futures",
    "import multiprocessing",
    "import sqlite3",
    "import urllib.request",
    "from pathlib import Path",
    "import io",
    "import tempfile",
    "import logging",
    "import sys",
    "FILE = open('x')",
    "print('x')",
    "import polars as pl\nFRAME = pl.read_parquet('x')",
    "import polars as pl\nFRAME = pl.scan_parquet('x')",
    "import polars as pl\nFRAME = pl.LazyFrame({})",
]
# What the pure floors may import beyond the standard library.
ALLOWED = {
    "domain": {"msgspec"},
    "strategies": {"msgspec", "numpy", "polars"},
    "trading": {"msgspec", "numpy", "polars"},
    "operations": {"msgspec"},
}
# Built-ins whose answer depends on the process: str hashes differ by PYTHONHASHSEED, ids by address.
_IMPURE_BUILTINS = {"hash", "id", "open", "input", "eval", "exec", "__import__", "breakpoint"}


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The rules that ruff finds broken, by file, in a house with all of IMPURE planted in every room."""
    house = empty_house(tmp_path_factory.mktemp("house"))
    for room in (*PURE_FLOORS, "service"):
        for number, line in enumerate(IMPURE):
            (house / "qmworkbench" / room / f"planted_{number}.py").write_text(f'"""Planted."""\n\n{line}\n')
        innocent = "from datetime import UTC, datetime\n\nDAY = datetime(2018, 3, 2, tzinfo=UTC)"
        (house / "qmworkbench" / room / "innocent.py").write_text(f'"""Innocent."""\n\n{innocent}\n')
    ruff = [Path(sys.executable).parent / "ruff", "check", "--no-cache", "--output-format", "json", "."]
    found = subprocess.run(ruff, cwd=house, capture_output=True, text=True, check=False)
    assert found.returncode == 1, found.stderr
    rules: dict[str, set[str]] = {}
    for finding in json.loads(found.stdout):
        name = Path(finding["filename"]).resolve().relative_to(house.resolve() / "qmworkbench").as_posix()
        rules.setdefault(name, set()).add(finding["code"])
    return rules


@pytest.mark.parametrize("line", IMPURE)
@pytest.mark.parametrize("room", PURE_FLOORS)
def test_ruff_rejects_it(flagged: dict[str, set[str]], room: str, line: str) -> None:
    broken = flagged.get(f"{room}/planted_{IMPURE.index(line)}.py", set())
    assert broken & {"TID251", "PTH123", "T201"}, f"ruff lets {line!r} pass in {room}"


def test_purity_is_asked_of_the_pure_floors_alone(flagged: dict[str, set[str]]) -> None:
    assert not [name for name, rules in flagged.items() if name.startswith("service/") and "TID251" in rules]
    assert not [name for name in flagged if name.endswith("innocent.py")]


def _imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names - {"qmworkbench"}


def foreign_imports(room: str, source: str) -> set[str]:
    """Libraries that a module of a pure floor imports and must not know."""
    return _imported(ast.parse(source)) - ALLOWED[room] - sys.stdlib_module_names


def impure_steps(source: str) -> list[str]:
    """Calls whose answer depends on the process, and loops over a set, whose order does."""
    steps = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _IMPURE_BUILTINS:
            steps.append(f"line {node.lineno}: {node.func.id}()")
        looped = node.iter if isinstance(node, (ast.For, ast.comprehension)) else None
        if isinstance(looped, (ast.Set, ast.SetComp)) or (
            isinstance(looped, ast.Call)
            and isinstance(looped.func, ast.Name)
            and looped.func.id in {"set", "frozenset"}
        ):
            steps.append(f"line {looped.lineno}: a loop over a set")
    return steps


def _pure_modules() -> list[tuple[str, Path]]:
    rooms = [
        (path.relative_to(ROOT / "qmworkbench").parts[0], path)
        for path in package_modules()
        if "qmworkbench" in path.parts
    ]
    return [(room, path) for room, path in rooms if room in PURE_FLOORS]


def test_the_pure_floors_know_only_their_libraries() -> None:
    modules = _pure_modules()
    assert {room for room, _ in modules} == set(PURE_FLOORS)
    foreign = {path.name: found for room, path in modules if (found := foreign_imports(room, path.read_text()))}
    assert not foreign


def test_the_pure_floors_take_no_step_that_depends_on_the_process() -> None:
    impure = {path.name: found for _, path in _pure_modules() if (found := impure_steps(path.read_text()))}
    assert not impure


def test_the_two_readers_see_what_they_look_for() -> None:
    assert foreign_imports("domain", "import polars\nimport json\nfrom msgspec import Struct") == {"polars"}
    assert foreign_imports("trading", "import polars, numpy\nfrom httpx import get") == {"httpx"}
    assert impure_steps("for s in {1, 2}:\n    hash(s)") == ["line 1: a loop over a set", "line 2: hash()"]
    assert impure_steps("x = [a for a in set(b)]") == ["line 1: a loop over a set"]
    assert impure_steps("x = [a for a in sorted(set(b))]\nb.hash()") == []
