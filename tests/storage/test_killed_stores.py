"""A journal's writer and its server killed at random instants: a few of the 60 of `make crashes` (§21)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("store", "kills", "seed"), [("sqlite", 4, 3), ("postgres", 5, 5)])
def test_nothing_acknowledged_is_lost(store: str, kills: int, seed: int) -> None:
    if store == "postgres":
        servers.postgres()  # skips where there is none to be had
    line = [sys.executable, str(ROOT / "scripts" / "kill_stores.py"), "--store", store]
    done = subprocess.run(
        [*line, "--kills", str(kills), "--seed", str(seed), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sum(told["kills"].values()) == kills
    assert told["acknowledged"] > 0
    assert (told["lost"], told["wrong"]) == (0, [])
    if store == "postgres":
        assert {"writer", "server", "server process"} == set(told["kills"]), "the seed is one that has them all"
