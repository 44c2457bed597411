"""The auditor is not to be fooled: each rule is broken on purpose in the journal of a day on which none was (§20)."""

import ast
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from qmworkbench.analytics.audit import Auditor, audit
from qmworkbench.domain.events import Event, control, decode, orders, reconciliation
from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.execution import ReplaceRequest, SubmitOutcome
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Leg, Side
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.state import EXTERNAL
from tests.trading.world import Faults, World

ROOT = Path(__file__).resolve().parents[2]


def traded(seed: int = 3, **kwargs: Any) -> tuple[list[Event], dict[str, Decimal]]:
    world = World(seed=seed, boundaries=16, signal_rate=0.6, limits=Limits(entry_cutoff_min=1), **kwargs).run()
    return [decode(line) for line in world.journal], {key: held.qty for key, held in world.state.positions.items()}


@pytest.fixture(scope="module")
def day() -> list[Event]:
    return traded()[0]


def rules(events: list[Event], **kwargs: Any) -> set[str]:
    return {finding.rule for finding in audit(events, carried_positions={}, **kwargs).findings}


def first(events: list[Event], kind: type[Event], holds: Callable[[Any], bool] = lambda event: True) -> Any:
    return next(event for event in events if isinstance(event, kind) and holds(event))


def instead(events: list[Event], old: Event, *new: Event) -> list[Event]:
    at = events.index(old)
    return [*events[:at], *new, *events[at + 1 :]]


def is_entry(event: orders.OrderIntended) -> bool:
    return event.leg is Leg.ENTRY


def test_a_clean_day_has_nothing_and_its_positions_are_the_folded_ones(day: list[Event]) -> None:
    found = audit(day, carried_positions={}, positions={})
    assert found.findings == []
    assert found.checked > 20


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 5_000), crash=st.booleans())
def test_no_day_however_faulty_has_a_finding(seed: int, crash: bool) -> None:
    faults = Faults(lost_request=0.1, lost_ack=0.1, refused=0.05, unreachable=0.05, crash=0.01 if crash else 0.0)
    events, positions = traded(seed, faults=faults)
    assert audit(events, carried_positions={}, positions=positions).findings == []


def test_an_intent_must_be_the_one_that_was_judged(day: list[Event]) -> None:
    said = first(day, orders.RiskDecided, lambda event: event.allowed)
    assert "intent of another decision" in rules(instead(day, said, replace(said, symbol="ZZZ")))
    failed = RuleVerdict("max_trades_per_day", False, "9", "8")
    assert "allowed against a rule" in rules(instead(day, said, replace(said, rules=(failed,))))
    assert "judged under other limits" in rules(instead(day, said, replace(said, limits_hash="f" * 16)))
    assert "intent without risk decision" in rules(instead(day, said, replace(said, allowed=False, rules=(failed,))))


def test_every_denial_has_its_refusal_and_every_refusal_its_denial(day: list[Event]) -> None:
    said = first(day, orders.RiskDecided, lambda event: event.allowed)
    unheard = replace(said, cl_ord_id="never-told", allowed=False)
    assert "denial without refusal" in rules([*day, unheard])
    meant = first(day, orders.OrderIntended)
    refused = orders.OrderDenied(
        at=meant.at,
        request=replace(meant.request, cl_ord_id="no-word"),
        strategy_id=meant.strategy_id,
        leg=meant.leg,
        signal_id="",
        decision_px=meant.decision_px,
        reason="because",
    )
    assert "refusal without risk decision" in rules([*day, refused])


def test_no_entry_between_a_crash_and_its_release(day: list[Event]) -> None:
    entry = first(day, orders.OrderIntended, is_entry)
    crash = reconciliation.SessionRecovered(at=entry.at, from_seq=1, in_doubt=0)
    assert "entry while entries were held" in rules(instead(day, entry, crash, entry))
    released = control.EntriesReleased(at=entry.at, by="ann", reason="looked at it")
    assert "entry while entries were held" not in rules(instead(day, entry, crash, released, entry))


def test_a_replace_needs_its_order_and_its_request_and_may_not_enlarge_an_entry_in_a_halt(day: list[Event]) -> None:
    entry = first(day, orders.OrderIntended, is_entry)
    name, qty = entry.request.cl_ord_id, entry.request.order_qty
    asked = orders.ReplaceRequested(
        at=entry.at,
        order=name,
        request=ReplaceRequest(cl_ord_id="second", orig_cl_ord_id=name, order_qty=qty + 1),
        reason="more",
    )
    halted = control.TradingStateChanged(
        at=entry.at,
        scope="book",
        before=TradingState.ACTIVE,
        after=TradingState.REDUCING,
        code="test",
        reason="",
        by="test",
    )
    assert rules(instead(day, entry, entry, asked)) == set()
    assert "entry while halted" in rules(instead(day, entry, entry, halted, asked))
    smaller = replace(asked, request=replace(asked.request, order_qty=qty - 1))
    found = audit(instead(day, entry, entry, halted, smaller), carried_positions={}).findings
    assert "second" not in {finding.subject for finding in found}
    assert "replace without order" in rules([*day, replace(asked, order="nobody")])
    sent = orders.ReplaceObserved(at=entry.at, order=name, cl_ord_id="third", outcome=SubmitOutcome.SENT)
    assert "replace without request" in rules([*day, sent])


def test_a_fill_belongs_to_its_own_order(day: list[Event]) -> None:
    fill = first(day, orders.FillRecorded)
    other = replace(fill, side=fill.side.opposite)
    assert "fill of another order" in rules(instead(day, fill, other))
    assert "fill without order" in rules(instead(day, fill, replace(fill, strategy_id=EXTERNAL)))


def test_a_position_that_its_fills_do_not_make_is_found(day: list[Event]) -> None:
    fill = first(day, orders.FillRecorded)
    assert "position without fills" in rules(instead(day, fill, replace(fill, position_qty=fill.position_qty + 1)))
    assert "position without fills" in rules(instead(day, fill))
    assert "position without fills" in rules(day, positions={"test-1|AAA": Decimal(3)})
    found = audit(day, positions={"test-1|AAA": Decimal(3)}).findings
    assert [(f.subject, f.rule) for f in found] == [("AAA", "position without fills")]
    assert "test-1 holds 3" in found[0].detail


def test_what_nobody_here_sent_is_matched_to_the_order_it_was_taken_in_as(day: list[Event]) -> None:
    fill = first(day, orders.FillRecorded)
    foreign = replace(
        fill,
        exec_id="odd-1",
        cl_ord_id="somebody",
        strategy_id=EXTERNAL,
        symbol="BBB",
        side=Side.BUY,
        position_qty=fill.last_qty,
    )
    told = first(day, orders.ExecutionReported)
    heard = replace(told, report=replace(told.report, exec_id="odd-1", cl_ord_id="somebody"))
    assert rules([*day, heard, foreign]) == {"fill without order"}
    theirs = {
        "cl_ord_id": "somebody",
        "order_id": "b-1",
        "symbol": "BBB",
        "side": "buy",
        "position_effect": "open",
        "ord_type": "limit",
        "time_in_force": "day",
        "ord_status": "accepted",
        "order_qty": "500",
        "cum_qty": "0",
        "leaves_qty": "500",
        "avg_px": "0",
        "transact_time": fill.at.isoformat(),
    }
    plain = {"type": "reconciliation.order_adopted", "at": fill.at.isoformat(), "strategy_id": EXTERNAL}
    adopted = decode(msgspec.json.encode(plain | {"order": theirs}))
    assert rules([*day, adopted, heard, foreign]) == set()


def test_asked_twice_it_says_the_same_and_a_new_beginning_forgets_what_was_found(day: list[Event]) -> None:
    walk = Auditor(carried_positions={})
    for event in instead(day, first(day, orders.RiskDecided)):
        walk.take(event)
    assert walk.concluded().findings == walk.concluded().findings != []
    walk.begin_anew()
    assert walk.concluded().findings == []


def test_it_knows_neither_kernel_nor_risk_nor_fold() -> None:
    """Independence is what an auditor is for: it may read words and constants, never what decided."""
    for name in ("audit", "audit_positions"):
        tree = ast.parse((ROOT / "qmworkbench" / "analytics" / f"{name}.py").read_text())
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not [module for module in imported if module.startswith("qmworkbench.trading")], name
