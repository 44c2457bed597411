"""Our ledger beside the broker's statement: paired by id, on the net of all owners, nothing lost (§17)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from qmworkbench.domain.events.orders import FillRecorded
from qmworkbench.domain.events.overnight import ActivitiesObserved, CashBooked, PositionRestated
from qmworkbench.domain.execution import AccountActivity, ActivityKind
from qmworkbench.domain.orders import Side
from qmworkbench.reporting.money_lines import money_lines
from qmworkbench.venue.records import StatementLine

AT = datetime(2026, 3, 2, 15, tzinfo=UTC)


def fill(exec_id: str, realized: str, **more: Any) -> FillRecorded:
    given: dict[str, Any] = {
        "at": AT,
        "exec_id": exec_id,
        "cl_ord_id": f"o-{exec_id}",
        "strategy_id": "a",
        "symbol": "EURUSD",
        "side": Side.SELL,
        "last_qty": Decimal(1000),
        "last_px": Decimal("1.1"),
        "fee": Decimal("0.25"),
        "transact_time": AT,
        "realized_pnl": Decimal(realized),
        "position_qty": Decimal(0),
        "position_cost": Decimal(0),
        "conversion_rate": Decimal(1),
    }
    return FillRecorded(**{**given, **more})


def line(ref: str, realized: str, cash: str, **more: Any) -> StatementLine:
    given: dict[str, Any] = {"cursor": 1, "at": AT, "what": "trade", "ref": ref, "symbol": "EURUSD", "side": "sell"}
    money = {"fee": Decimal("0.25"), "realized_pnl": Decimal(realized), "cash_delta": Decimal(cash)}
    return StatementLine(**{**given, **money, **more})


def test_a_fill_is_compared_on_the_net_of_all_owners() -> None:
    told = money_lines([fill("x1", "12.5", net_realized_pnl=Decimal("3"))], [line("x1", "3", "2.75")])
    assert [(one.our_realized, one.their_realized, one.apart, one.one_sided) for one in told] == [(3, 3, 0, False)]


def test_without_other_owners_the_fills_own_result_is_the_net() -> None:
    (told,) = money_lines([fill("x1", "12.5")], [line("x1", "12.49", "12.24")])
    assert told.apart == Decimal("0.01")


def test_a_line_that_one_side_lacks_is_told_from_the_other() -> None:
    told = money_lines([fill("x1", "1")], [line("x2", "2", "1.75")])
    assert [(one.ref, one.one_sided, one.apart) for one in told] == [("x2", True, 2), ("x1", True, 1)]


def test_a_fee_of_the_night_is_compared_by_its_cash() -> None:
    activity = AccountActivity(
        cursor=3,
        activity_id="f1",
        kind=ActivityKind.FINANCING,
        symbol="EURUSD",
        effective="2026-03-02",
        qty_before=Decimal(1000),
        qty_after=Decimal(1000),
        transact_time=AT,
        amount=Decimal("-0.30"),
    )
    shares = [
        CashBooked(
            at=AT,
            activity_id="f1",
            activity=ActivityKind.FINANCING,
            strategy_id=owner,
            symbol="EURUSD",
            amount=Decimal(amount),
            cause="financing",
        )
        for owner, amount in (("a", "-0.10"), ("b", "-0.20"))
    ]
    theirs = StatementLine(cursor=3, at=AT, what="financing", ref="f1", symbol="EURUSD", cash_delta=Decimal("-0.30"))
    events = [ActivitiesObserved(at=AT, activities=(activity,)), *shares]
    (told,) = money_lines(events, [theirs])
    assert (told.our_cash, told.their_cash, told.apart) == (Decimal("-0.30"), Decimal("-0.30"), 0)
    (short,) = money_lines(events[:-1], [theirs])
    assert short.apart == Decimal("0.20")


def test_what_a_position_was_paid_out_with_is_its_realized_result() -> None:
    activity = AccountActivity(
        cursor=3,
        activity_id="d1",
        kind=ActivityKind.DELISTING,
        symbol="AAA",
        effective="2026-03-02",
        qty_before=Decimal(10),
        qty_after=Decimal(0),
        transact_time=AT,
        amount=Decimal(50),
    )
    restated = PositionRestated(
        at=AT,
        activity_id="d1",
        activity=ActivityKind.DELISTING,
        strategy_id="a",
        symbol="AAA",
        new_symbol="",
        qty_before=Decimal(10),
        qty_after=Decimal(0),
        cost_before=Decimal(80),
        cost_after=Decimal(0),
        cause="delisted",
        realized_pnl=Decimal(-30),
    )
    theirs = line("d1", "-30", "50", what="delisting", symbol="AAA", side="", fee=Decimal(0))
    (told,) = money_lines([ActivitiesObserved(at=AT, activities=(activity,)), restated], [theirs])
    assert (told.our_realized, told.apart) == (-30, 0)
