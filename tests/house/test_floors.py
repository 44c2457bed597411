"""The floors and the forbidden imports: kept by the code, and broken by what they are there to catch."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.house.checkout import FLOORS, PURE_FLOORS, ROOT, empty_house

_LINT = Path(sys.executable).parent / "lint-imports"


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([_LINT, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_code_keeps_every_contract() -> None:
    kept = _lint(ROOT)
    assert kept.returncode == 0, kept.stdout + kept.stderr


def test_an_empty_house_keeps_every_contract(tmp_path: Path) -> None:
    kept = _lint(empty_house(tmp_path))
    assert kept.returncode == 0, kept.stdout + kept.stderr
    assert "0 broken" in kept.stdout


def test_every_upward_import_is_caught(tmp_path: Path) -> None:
    house = empty_house(tmp_path)
    upward = [(low, high) for lower, upper in pairwise(FLOORS) for low in lower for high in upper]
    for low, high in upward:
        (house / "qmworkbench" / low / f"to_{high}.py").write_text(f'"""Up."""\nimport qmworkbench.{high}\n')
    told = _lint(house)
    assert told.returncode == 1
    for low, high in upward:
        assert f"qmworkbench.{low}.to_{high} -> qmworkbench.{high}" in told.stdout


def test_rooms_of_one_floor_do_not_import_each_other(tmp_path: Path) -> None:
    house = empty_house(tmp_path)
    (house / "qmworkbench/market/planted.py").write_text('"""Sideways."""\nimport qmworkbench.storage\n')
    assert "qmworkbench.market.planted -> qmworkbench.storage" in _lint(house).stdout


def test_a_room_without_a_floor_is_caught(tmp_path: Path) -> None:
    house = empty_house(tmp_path)
    (house / "qmworkbench/attic.py").write_text('"""No floor."""\n')
    told = _lint(house)
    assert told.returncode == 1
    assert "attic" in told.stdout


PLANTED = [
    ("qmworkbench/domain", "import polars", "domain knows the standard library and msgspec only"),
    *(
        (f"qmworkbench/{room}", f"import {library}", "touch no disk, network, loop, thread or clock")
        for room in PURE_FLOORS
        for library in (
            "sqlite3",
            "sqlalchemy",
            "httpx",
            "fastapi",
            "asyncio",
            "threading",
            "socket",
            "os",
            "time",
        )
    ),
    ("qmworkbench/service", "import vectorbt", "vectorbt is imported in research and nowhere else"),
    ("dashboards", "import qmworkbench.trading", "The dashboards talk to the Core API alone"),
    ("dashboards", "import qmworkbench.reporting", "The dashboards talk to the Core API alone"),
    ("qmworkbench/cli", "import dashboards", "The platform runs without its pages"),
    ("qmworkbench/venue", "import qmworkbench.storage", "The venue plays the other side"),
]


@pytest.fixture(scope="module")
def verdict_on_planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a house with every mistake of PLANTED in it, on one line (it wraps names)."""
    house = empty_house(tmp_path_factory.mktemp("planted"))
    for number, (room, line, _) in enumerate(PLANTED):
        (house / room / f"planted_{number}.py").write_text(f'"""Planted."""\n{line}\n')
    told = _lint(house)
    assert told.returncode == 1
    return " ".join(told.stdout.split())


@pytest.mark.parametrize("number", range(len(PLANTED)), ids=[f"{room}: {line}" for room, line, _ in PLANTED])
def test_a_forbidden_import_is_caught(verdict_on_planted: str, number: int) -> None:
    room, line, contract = PLANTED[number]
    target = line.removeprefix("import ")
    broken = verdict_on_planted.partition("Broken contracts")[2]
    assert contract in broken
    assert f"{room.replace('/', '.')}.planted_{number} -> {target}" in broken


def test_what_is_allowed_stays_allowed(tmp_path: Path) -> None:
    house = empty_house(tmp_path)
    (house / "qmworkbench/reporting/figures.py").write_text('"""Shared."""\nimport qmworkbench.domain\n')
    allowed = {
        "qmworkbench/research/planted.py": "import vectorbt",
        "qmworkbench/trading/planted.py": "import numpy, polars, msgspec, decimal",
        "qmworkbench/brokers/planted.py": "import qmworkbench.venue",
        "qmworkbench/venue/planted.py": "import qmworkbench.market",
        "dashboards/planted.py": "import httpx, qmworkbench.reporting.figures",
    }
    for name, line in allowed.items():
        (house / name).write_text(f'"""Planted."""\n{line}\n')
    kept = _lint(house)
    assert kept.returncode == 0, kept.stdout + kept.stderr
