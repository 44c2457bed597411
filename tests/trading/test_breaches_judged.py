"""When a denial is more than a denial: whom the alarm is for, and what is on record once or each time (§11)."""

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events.control import AlertRaised, RiskViolated
from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.orders import Side
from qmworkbench.trading import breaches, risk
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import State
from tests.trading.risk_cases import MINE, OTHER, SYMBOL, a_state, an_entry, hold, order

SIZE = RuleVerdict(code="max_position_notional", passed=False, value="9", limit="8")


def told(state: State, intent: risk.Intent, *codes: str) -> tuple[list[str], list[str]]:
    """The alarms' kinds and the violations' codes that follow when these rules have denied."""
    decision = Decision(state, state.clock())
    breaches.judged(decision, intent, [msgspec.structs.replace(SIZE, code=code) for code in codes or (SIZE.code,)])
    alarms = [e.alert.kind for e in decision.events if isinstance(e, AlertRaised)]
    return alarms, [e.code for e in decision.events if isinstance(e, RiskViolated)]


Arrange = Callable[[State], Any]
ALONE: list[Arrange] = [
    lambda state: None,
    lambda state: hold(state, 100),
    lambda state: order(state, 100),
    lambda state: hold(state, 100, "AAA", OTHER),
    lambda state: order(state, 100, symbol="AAA", strategy_id=OTHER),
]
BESIDE: list[Arrange] = [
    lambda state: hold(state, 10, strategy_id=OTHER),
    lambda state: (hold(state, 10), hold(state, 10, strategy_id=OTHER)),
    lambda state: order(state, 10, Side.SELL, strategy_id=OTHER),
    lambda state: (order(state, 10), order(state, 10, strategy_id=OTHER)),
]


@pytest.mark.parametrize("arrange", ALONE)
def test_who_is_alone_in_a_symbol_is_told_of_its_size(arrange: Arrange) -> None:
    state = a_state()
    arrange(state)
    assert told(state, an_entry(qty=D(1))) == (["position_size_violation"], [SIZE.code])


@pytest.mark.parametrize("arrange", BESIDE)
def test_whom_others_leave_no_room_is_not(arrange: Arrange) -> None:
    state = a_state()
    arrange(state)
    assert told(state, an_entry(qty=D(1))) == ([], [SIZE.code])


@pytest.mark.parametrize(
    ("limits", "qty", "alarmed"),
    [
        ({"max_position_qty": D(100)}, 100, False),
        ({"max_position_qty": D(100)}, 101, True),
        ({"max_position_qty": None}, 300, False),
        ({"max_position_qty": None, "max_position_notional": D(9000)}, 300, False),
        ({"max_position_qty": None, "max_position_notional": D(9000)}, 301, True),
        ({"max_position_notional": D(10**6), "max_position_equity_pct": D(9)}, 300, False),
        ({"max_position_notional": D(10**6), "max_position_equity_pct": D(9)}, 301, True),
        ({"max_position_notional": D(10**6), "max_position_equity_pct": D("9.0891")}, 300, False),
    ],
)
def test_beside_others_the_alarm_is_for_an_order_too_large_by_itself(
    limits: dict[str, Any], qty: int, alarmed: bool
) -> None:
    state = a_state(**limits)
    hold(state, 10, strategy_id=OTHER)
    assert (told(state, an_entry(qty=D(qty)))[0] != []) is alarmed


def test_a_size_that_cannot_be_counted_is_told_of() -> None:
    for lacking in ("rate", "equity"):
        state = a_state()
        hold(state, 10, strategy_id=OTHER)
        known = state.day.instruments
        if lacking == "rate":
            known[SYMBOL] = msgspec.structs.replace(known[SYMBOL], currency="GBP")
        else:
            state.day.start_equity = None
        assert told(state, an_entry(qty=D(1)))[0] == ["position_size_violation"]


@pytest.mark.parametrize("code", sorted(breaches.POSITION_SIZE))
def test_each_limit_of_size_is_a_violation(code: str) -> None:
    assert told(a_state(), an_entry(), code) == (["position_size_violation"], [code])


def test_other_denials_are_on_record_as_denials_alone() -> None:
    """Everything but size, the count of trades, and a rule that fails."""
    special = {*breaches.POSITION_SIZE, breaches.MAX_TRADES}
    others = [rule.code for rule in risk.ENTRY_RULES if rule.code not in special]
    assert told(a_state(), an_entry(), *others) == ([], [])
    assert told(a_state(), an_entry(), *others, breaches.MAX_TRADES) == (["max_trades_reached"], [breaches.MAX_TRADES])


def test_what_is_once_and_what_is_each_time() -> None:
    state = a_state()
    everything = (SIZE.code, breaches.MAX_TRADES, risk.RULE_FAILED)
    first = told(state, an_entry(), *everything)
    assert first == (["position_size_violation", "max_trades_reached", "risk_manager_failed"], list(everything))
    assert told(state, an_entry(), *everything) == ([], [SIZE.code])


def test_a_violation_names_the_strategy_the_symbol_and_the_order() -> None:
    state = a_state()
    decision = Decision(state, state.clock())
    breaches.judged(decision, an_entry(), [SIZE])
    violation, alarm = decision.events
    assert isinstance(violation, RiskViolated)
    assert isinstance(alarm, AlertRaised)
    assert (violation.scope, violation.symbol, violation.cl_ord_id) == (MINE, SYMBOL, "new")
    assert (violation.value, violation.limit, violation.effect) == ("9", "8", breaches.BLOCKED)
    assert violation.limits_hash == state.day.limits_hash
    assert MINE in alarm.alert.text
    assert "max_position_notional: a position would be worth 9; the limit is 8" in alarm.alert.text


def watched(state: State) -> list[Any]:
    """What the standing watches say of a state."""
    decision = Decision(state, state.clock())
    breaches.watch(decision)
    return decision.events


def test_a_loss_that_nobody_knows_denies_entries_and_halts_nothing() -> None:
    state = a_state()
    hold(state, 100)
    del state.marks[SYMBOL]
    assert watched(state) == []
    state = a_state()
    state.day.net_realized_pnl = D(-5000)
    state.day.start_equity = None
    assert watched(state) == []


def test_what_cannot_be_valued_is_told_in_the_order_of_symbols_once_prices_are_there() -> None:
    state = a_state()
    known = state.day.instruments
    for symbol in ("CCC", "AAA"):
        hold(state, 1, symbol, px=state.marks[symbol].px)
        known[symbol] = msgspec.structs.replace(known[symbol], currency="GBP")
    at, state.day.frame_at = state.day.frame_at, None
    assert at is not None
    assert watched(state) == [], "the session's first prices are still to come"
    state.day.frame_at = at
    (raised,) = watched(state)
    assert raised.alert.kind == "conversion_rate_missing"
    assert raised.alert.text.index("AAA") < raised.alert.text.index("CCC")
    assert watched(state) == []
    for symbol in ("CCC", "AAA"):
        known[symbol] = msgspec.structs.replace(known[symbol], currency="USD")
    (cleared,) = watched(state)
    assert cleared.alert_id == raised.alert.alert_id
