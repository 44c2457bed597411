"""§17's seven checks: a clean day passes, a planted difference on either side never does."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.domain.numbers import cents
from qmworkbench.operations.post_session import order_difference, post_session
from qmworkbench.operations.post_session_evidence import (
    AuditFinding,
    Blocks,
    BreakSeen,
    ClosedTrades,
    ExecutionPair,
    HaltSeen,
    OrderPair,
    PositionPair,
    Statement,
)
from tests.operations.evidence_cases import CARRIED, MONEY_LINE, ended

replace = msgspec.structs.replace
GOOD = ended()
ORDER = GOOD.orders[0] if GOOD.orders else None
assert ORDER is not None
STATEMENT = GOOD.statement
assert STATEMENT is not None
REPAIRED = BreakSeen(
    break_id="b1", kind="position_qty", symbol="OPK", severity="P0", before="100", after="90", cause="?", settled=True
)


def failed(checks: list[Check]) -> list[str]:
    return [check.check_id.removeprefix("post_session.") for check in checks if check.status is CheckStatus.FAIL]


def test_a_clean_day_is_go_with_all_seven_first() -> None:
    checks = post_session(ended())
    assert verdict_of(checks) is Verdict.GO
    assert {check.status for check in checks} == {CheckStatus.PASS}
    assert [check.section for check in checks[:7]] == ["§17 Post-Session Reconciliation"] * 7


@dataclass(frozen=True)
class Case:
    name: str
    change: dict[str, Any]
    fails: tuple[str, ...]
    says: str = ""


CASES = [
    Case("order unknown to us", {"orders": (replace(ORDER, our_status=""),)}, ("orders_match",), "our books do not"),
    Case("order lost there", {"orders": (replace(ORDER, their_status=""),)}, ("orders_match",), "does not have it"),
    Case("other quantity", {"orders": (replace(ORDER, their_cum_qty=Decimal(90)),)}, ("orders_match",), "90 there"),
    Case("other ending", {"orders": (replace(ORDER, their_status="expired"),)}, ("orders_match",), "expired there"),
    Case("still open there", {"orders": (replace(ORDER, their_status="accepted"),)}, ("orders_match",)),
    Case(
        "execution we lack",
        {"executions": (ExecutionPair(exec_id="e2", symbol="A", theirs="A buy 1 at 2"),)},
        ("executions_match",),
    ),
    Case(
        "execution they lack",
        {"executions": (ExecutionPair(exec_id="e2", symbol="A", ours="A buy 1 at 2"),)},
        ("executions_match",),
    ),
    Case("not flat", {"positions": (PositionPair(symbol="OPK", our_qty=Decimal(5), their_qty=Decimal(5)),)}, ("flat",)),
    Case("ghost", {"positions": (replace(CARRIED, their_qty=Decimal(0)),)}, ("flat",), "differ"),
    Case("a cent off", {"statement": replace(STATEMENT, their_realized=Decimal("12.355"))}, ("realized_pnl",)),
    Case(
        "a line off though the sums agree",
        {"money_lines": (replace(MONEY_LINE, their_realized=Decimal("12.35")),)},
        ("realized_pnl",),
        "1 line differ: sim-1",
    ),
    Case(
        "a line that only the broker has",
        {"money_lines": (replace(MONEY_LINE, our_realized=None, our_fee=None),)},
        ("realized_pnl",),
        "sim-1",
    ),
    Case(
        "cash of an activity off",
        {"money_lines": (replace(MONEY_LINE, what="dividend", our_cash=Decimal(1)),)},
        ("realized_pnl",),
        "dividend",
    ),
    Case("fees off", {"statement": replace(STATEMENT, their_fees=Decimal("0.52"))}, ("realized_pnl",), "fees"),
    Case("equity off", {"statement": replace(STATEMENT, their_equity=Decimal(1))}, ("realized_pnl",), "equity"),
    Case("block lost", {"blocks": Blocks(updates=1, lost=("GME",))}, ("blocked_list",), "GME"),
    Case(
        "trades do not add up",
        {"closed_trades": ClosedTrades(trades=1, net_pnl=Decimal(5), from_fills=Decimal(4))},
        ("trades_closed",),
    ),
    Case(
        "round trip without trade",
        {"closed_trades": ClosedTrades(trades=0, net_pnl=Decimal(0), from_fills=Decimal(0), unmatched=("OPK",))},
        ("trades_closed",),
    ),
    Case("no recommendations", {"recommendations": None}, ("recommendations",)),
    Case("still open", {"closed": False, "phase": "market_session"}, ("session_closed",)),
    Case("residual run", {"runs_open": ("2018-03-02/orb-1",)}, ("runs_ended",)),
    Case("a repaired break", {"breaks": (REPAIRED,)}, ("breaks",), "1 settled"),
    Case("no comparison at the end", {"reconciliation": ""}, ("breaks",)),
    Case("an incomplete comparison", {"reconciliation": "incomplete"}, ("breaks",)),
    Case("edited journal", {"journal_verified": False, "journal_detail": "record 7"}, ("journal",), "record 7"),
    Case("journal unread", {"journal_verified": None}, ("journal",)),
    Case(
        "a send without intent",
        {"findings": (AuditFinding(rule="send", subject="qm-9", detail="no intent"),)},
        ("audit",),
        "qm-9",
    ),
    Case(
        "broker unread",
        {"orders": None, "executions": None, "positions": None, "statement": None, "broker_error": "timeout"},
        ("orders_match", "executions_match", "flat", "realized_pnl"),
        "timeout",
    ),
]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_one_difference_fails_its_own_check_and_no_other(case: Case) -> None:
    checks = post_session(ended(**case.change))
    assert failed(checks) == list(case.fails)
    assert verdict_of(checks) is Verdict.NO_GO
    said = " ".join(f"{c.value} {c.detail}" for c in checks if c.status is CheckStatus.FAIL)
    assert case.says in said
    assert all(check.remedy for check in checks if check.status is CheckStatus.FAIL)


def test_a_halt_is_listed_without_failing_the_day() -> None:
    halt = HaltSeen(at="2018-03-02T15:01:00Z", scope="book", what="reducing", reason="max daily loss", by="risk")
    checks = post_session(ended(halts=(halt,)))
    assert verdict_of(checks) is Verdict.GO
    told = next(c for c in checks if c.check_id == "post_session.halts")
    assert told.status is CheckStatus.WARN
    assert told.detail == "15:01:00 book: reducing (max daily loss)"
    many = next(c for c in post_session(ended(halts=(halt,) * 6)) if c.check_id == "post_session.halts")
    assert many.detail.endswith("; and 2 more")


def test_a_carried_position_is_no_break_and_unscheduled_recommendations_are_not_asked_for() -> None:
    checks = post_session(ended(positions=(CARRIED,), recommendations=None, recommendations_scheduled=False))
    assert failed(checks) == []
    assert next(c for c in checks if c.check_id.endswith("recommendations")).status is CheckStatus.NOT_APPLICABLE


def test_trades_are_compared_with_fills_only_once_flat() -> None:
    open_one = ClosedTrades(trades=1, net_pnl=Decimal(5), from_fills=Decimal(4), open_positions=1)
    assert failed(post_session(ended(closed_trades=open_one))) == []


# --- properties --------------------------------------------------------------------------------------------------

_AMOUNT = st.decimals(min_value=-(10**6), max_value=10**6, places=6)


@given(_AMOUNT, _AMOUNT)
def test_pnl_matches_exactly_when_a_statement_in_cents_could_not_tell(ours: Decimal, theirs: Decimal) -> None:
    said = Statement(
        currency="USD", our_realized=ours, their_realized=theirs, our_fees=Decimal(0), their_fees=Decimal(0)
    )
    matches = "realized_pnl" not in failed(post_session(ended(statement=said)))
    assert matches is (cents(ours) == cents(theirs) or abs(ours - theirs) <= Decimal("0.005"))


_WORD = st.sampled_from(["", "filled", "canceled", "expired", "rejected", "accepted", "partially_filled"])
_QTY = st.integers(0, 3).map(Decimal)


@given(_WORD, _QTY, _WORD, _QTY, st.booleans())
def test_an_order_agrees_only_where_no_share_and_no_ending_differs(
    ours: str, our_qty: Decimal, theirs: str, their_qty: Decimal, sent: bool
) -> None:
    pair = OrderPair(
        cl_ord_id="x",
        symbol="A",
        sent=sent,
        our_status=ours,
        our_cum_qty=our_qty,
        their_status=theirs,
        their_cum_qty=their_qty,
    )
    if order_difference(pair) == "" and ours and theirs:
        assert our_qty == their_qty
        assert ours == theirs or not {ours, theirs} & {"filled", "canceled", "expired", "rejected"}
    if ours == theirs and ours and our_qty == their_qty:
        assert order_difference(pair) == ""
