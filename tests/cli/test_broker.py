"""`qm broker` and `qm venue`: a venue served and asked, and what is said when there is none (§12)."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qmworkbench.domain.orders import TimeInForce
from qmworkbench.venue.wire.address import note_of, read_note
from tests.cli.books import ROOT, Done, qm
from tests.venue.worlds import World


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A folder whose book has a venue that has traded: a position of 100 AAA, and an order that rests."""
    path = tmp_path / "data/books/local/main/venue/venue.db"
    path.parent.mkdir(parents=True)
    world = World(path=path, cash="100000")
    world.bars((100, 100, 100, 100))
    world.buy("in")
    world.buy("rests", limit=50, tif=TimeInForce.DAY)
    world.bars((100, 101, 99, 100))
    world.exchange.close()
    return tmp_path


@pytest.fixture
def serving(book: Path) -> Iterator[Path]:
    db = book / "data/books/local/main/venue/venue.db"
    env = {name: value for name, value in os.environ.items() if not name.startswith("QM_")} | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", "from qmworkbench.cli.venue import app; app()", "serve"]
    started = subprocess.Popen(line, cwd=book, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(6000):
            if read_note(db) is not None:
                break
            assert started.poll() is None, "the venue ended by itself"
            time.sleep(0.01)
        yield book
    finally:
        started.send_signal(signal.SIGTERM)
        assert started.wait(120) == 0
        assert not note_of(db).exists(), "nobody is sent to a venue that has ended"


def told(ended: Done) -> dict[str, Any]:
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def looked_at(folder: Path) -> None:
    held = told(qm(folder, "broker", "positions", "--json"))
    assert [(p["symbol"], p["qty"]) for p in held["positions"]] == [("AAA", "100")]
    resting = told(qm(folder, "broker", "orders", "--json"))
    assert [(o["cl_ord_id"], o["leaves_qty"]) for o in resting["orders"]] == [("rests", "100")]
    past = told(qm(folder, "broker", "history", "--fills", "--json"))
    assert [(r["cl_ord_id"], r["last_qty"]) for r in past["reports"]] == [("in", "100")]


def test_the_venues_file_is_read_without_kernel_or_journal(book: Path) -> None:
    looked_at(book)
    assert not (book / "data/books/local/main/journal.db").exists()


@pytest.mark.slow
def test_a_venue_that_is_served_is_asked_over_its_wire(serving: Path) -> None:
    looked_at(serving)


def test_without_a_venue_it_says_so_and_what_to_do(tmp_path: Path) -> None:
    for what in ("positions", "orders", "history"):
        ended = qm(tmp_path, "broker", what)
        assert ended.returncode == 2
        assert "qm day" in ended.stderr
    nowhere = qm(tmp_path, "day", "--headless", "--no-reports", "--symbols", "3", "--venue", "http://127.0.0.1:1")
    assert nowhere.returncode == 2
    assert "broker.key_id" in nowhere.stderr
