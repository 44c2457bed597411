"""A real platform killed at random instants against a venue in another process: a fixed corpus of seeds (§19).

The whole of it is `make kill`, with two hundred kills and more; these are twenty, of the platform, and the venue itself
killed and stopped in the middle.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Seed: kills of the platform, kills of the venue, stops of the venue.
CORPUS = {1: (10, 1, 0), 2: (10, 0, 1)}


def hunt(*arguments: str) -> dict[str, Any]:
    line = [sys.executable, str(ROOT / "scripts" / "kill.py"), "--json", *arguments]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert ended.stdout.strip(), ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    assert ended.returncode == (1 if found["wrong"] else 0), ended.stderr
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", CORPUS)
def test_no_order_twice_no_fill_lost_and_every_recovery_accepted(seed: int) -> None:
    kills, venue_kills, venue_stops = CORPUS[seed]
    found = hunt(
        "--seed", str(seed), "--kills", str(kills), "--venue-kills", str(venue_kills), "--venue-stops", str(venue_stops)
    )  # fmt: skip
    assert found["wrong"] == []
    assert (found["duplicates"], found["lost_fills"]) == (0, 0)
    assert (found["kills"], found["venue_kills"], found["venue_stops"]) == (kills, venue_kills, venue_stops)
    # A hunt that hits nothing, or a session in which nothing trades, would prove nothing.
    assert found["within_a_session"] >= kills // 2
    assert found["recoveries"] >= 1
    assert found["fills"] >= 20
