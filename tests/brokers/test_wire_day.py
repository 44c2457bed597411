"""A trading day over the wire is the day in process, event for event; what differs is named here."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.market.session import SessionData
from qmworkbench.service.headless import run_headless
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.venue.costs import costed
from tests.brokers.serving import served
from tests.service.day_process import all_good, cut_short, demo_day, plan_for

# The broker's own numbers and names; everything else, times included, must agree.
NUMBERS = {"cursor", "after_cursor", "activity_cursor", "exec_cursor"}
# A trade is named after the executions that opened it.
NAMES = {"order_id", "exec_id", "ref_exec_id", "activity_id", "trade_id"}


def told(events: list[Event]) -> list[Any]:
    """Events as plain data, the broker's names and numbers replaced by the order in which they first came up."""
    seen: dict[str, dict[Any, str]] = {"number": {}, "name": {}}

    def plain(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {inner: plain(inner, held) for inner, held in value.items()}
        if isinstance(value, list | tuple):
            return [plain(key, held) for held in value]
        kind = "number" if key in NUMBERS else "name" if key in NAMES else ""
        if not kind or value in (None, 0, ""):
            return value
        if key == "exec_id":
            # An execution, an order: here they are numbered, there an order's beginning and end bear its name.
            kind = "name"
        return seen[kind].setdefault(value, f"{kind} {len(seen[kind])}")

    return [(type(event).__name__, plain("", msgspec.to_builtins(event))) for event in events]


@pytest.fixture(scope="module")
def short_day() -> SessionData:
    return cut_short(demo_day())


def decided(root: Path, data: SessionData, **how: Any) -> list[Event]:
    plan = plan_for(root, data, compute="one-pass", **how)
    run_headless(plan, all_good)
    with JournalReader(plan.paths.journal) as journal:
        return [event for _, event in journal.events()]


def test_the_same_day_over_the_wire_event_for_event(tmp_path: Path, short_day: SessionData) -> None:
    here = decided(tmp_path / "here", short_day)
    with served(tmp_path / "venue.db", model=costed(), cash="100000") as venue:
        there = decided(tmp_path / "there", short_day, find_venue=lambda: venue.address)
    assert len(told(here)) > 500
    assert any(name == "TradeClosed" for name, _ in told(here)), "a day on which nothing trades compares nothing"
    differing = [(ours, theirs) for ours, theirs in zip(told(here), told(there), strict=True) if ours != theirs]
    assert differing == []


def test_the_numbers_over_the_wire_rise_as_the_venues_do(tmp_path: Path, short_day: SessionData) -> None:
    with served(tmp_path / "venue.db", model=costed(), cash="100000") as venue:
        events = decided(tmp_path / "there", short_day, find_venue=lambda: venue.address)
        own = [report.cursor for report in venue.desk.exchange.reports(0)]
    heard = [event.report.cursor for event in events if type(event).__name__ == "ExecutionReported"]
    assert heard == sorted(set(heard))
    assert [cursor % 1000 for cursor in heard] == [cursor % 1000 for cursor in own]


def test_no_secret_of_the_account_is_in_what_a_day_leaves(tmp_path: Path, short_day: SessionData) -> None:
    with served(tmp_path / "venue.db", model=costed(), cash="100000") as venue:
        decided(tmp_path / "there", short_day, find_venue=lambda: venue.address)
        secrets = [venue.address.secret.encode(), venue.address.token.encode()]
        assert not re.search("secret-of|token-of", repr(venue.address))
    for file in (tmp_path / "there").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(secret in content for secret in secrets), file
