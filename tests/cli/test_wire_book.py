"""A book that traded over the wire: looked at between days it is the same on both sides, and it stays there (§14)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qmworkbench.domain.checks import CheckStatus
from qmworkbench.operations.post_session import post_session
from qmworkbench.reporting.comparison import gather
from qmworkbench.reporting.session_source import load_session
from qmworkbench.service.headless import run_headless
from qmworkbench.service.platform import Platform, StopRequested
from qmworkbench.venue.costs import costed
from qmworkbench.venue.exchange import VenueError
from qmworkbench.venue.reached import CALLS, WIRE, begun_by
from qmworkbench.venue.wire.address import VenueAddress
from tests.brokers.serving import served
from tests.cli.books import book_in, qm
from tests.service.day_process import all_good, cut_short, demo_day, plan_for

ANOTHER_FILE = "elsewhere.db"


def a_day(home: Path, venue: Callable[[], VenueAddress | None], **how: Any) -> None:
    plan = plan_for(home / "data", cut_short(demo_day()), compute="one-pass", find_venue=venue)
    run_headless(plan, all_good, **how)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose book had its day over the wire, with a venue that is no longer served."""
    home = tmp_path_factory.mktemp("wire")
    book_in(home).venue.parent.mkdir(parents=True)
    with served(book_in(home).venue, model=costed(), cash="100000") as venue:
        a_day(home, lambda: venue.address)
    return home


def said(home: Path, *arguments: str) -> dict[str, Any]:
    done = qm(home, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_both_sides_of_a_day_over_the_wire_agree(home: Path) -> None:
    evidence = gather(load_session(book_in(home).root))
    assert evidence.broker_error == ""
    assert len(evidence.executions or ()) > 2
    assert {(pair.ours, pair.theirs) for pair in evidence.executions or () if pair.ours != pair.theirs} == set()
    assert len(evidence.money_lines) >= len(evidence.executions or ())
    assert [check.value for check in post_session(evidence) if check.status is CheckStatus.FAIL] == []


def test_its_orders_are_inspected_reconciled_and_audited_between_days(home: Path) -> None:
    source = load_session(book_in(home).root)
    filled = [order for order in source.state.orders.values() if order.cum_qty and order.parent_id]
    assert filled, "an exit that the broker named is what could be misread"
    inspected = said(home, "order", "inspect", filled[0].cl_ord_id)
    assert inspected["finding"] == "agree"
    assert said(home, "reconcile")["result"] == "clean"
    assert said(home, "audit")["findings"] == []
    assert said(home, "recover")
    told = said(home, "broker", "history", "--fills")
    assert {report["exec_id"] for report in told["reports"]} == set(source.state.fills)


def test_a_book_begun_over_the_wire_is_not_run_in_process(home: Path) -> None:
    assert begun_by(book_in(home).venue) == WIRE
    with pytest.raises(VenueError, match=r"begun over the wire.*--venue auto.*--fresh"):
        a_day(home, lambda: None)


def test_a_book_begun_in_process_is_not_run_over_the_wire(tmp_path: Path) -> None:
    def stop(platform: Platform) -> None:
        def look(_: object) -> None:
            if platform.day.fills:
                platform.stop = "enough"

        platform.boundary_listeners.append(look)

    with pytest.raises(StopRequested):
        a_day(tmp_path, lambda: None, on_open=stop)
    venue_db = book_in(tmp_path).venue
    assert begun_by(venue_db) == CALLS
    with served(tmp_path / ANOTHER_FILE, model=costed(), cash="100000") as venue:
        with pytest.raises(VenueError, match=r"begun in the platform's own process.*--fresh"):
            a_day(tmp_path, lambda: venue.address)
        # The book's file is out of the way: what the journal has heard says it all the same.
        venue_db.rename(venue_db.with_name("away.db"))
        with pytest.raises(VenueError, match="begun in the platform's own process"):
            a_day(tmp_path, lambda: venue.address)
    with (
        served(venue_db.with_name("away.db"), model=costed(), cash="100000") as venue,
        pytest.raises(VenueError, match=r"refuses /control/session.*own process"),
    ):
        a_day(tmp_path / "another", lambda: venue.address)
