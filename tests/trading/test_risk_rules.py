"""Each rule of the Risk Manager at its limit, one beyond it, and with its figure unknown (§11)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events.market import FeedState, Mark
from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Leg, OrdStatus, OrdType, Replacement, Side
from qmworkbench.domain.sessions import BlockScope, Environment, Phase, Priority, TradingState
from qmworkbench.trading import coming, exposure, risk
from qmworkbench.trading.denials import sentence
from qmworkbench.trading.risk import ENTRY_RULES, EXIT_RULES
from qmworkbench.trading.state import EXTERNAL, Block, State
from tests.trading.risk_cases import MINE, OTHER, SYMBOL, a_state, an_entry, an_exit, failed, hold, order, verdicts

Arrange = Callable[[State], Any]


def terms(**changes: Any) -> Arrange:
    """The symbol's instrument with other terms."""

    def arrange(state: State) -> None:
        known = state.day.instruments
        known[SYMBOL] = msgspec.structs.replace(known[SYMBOL], **changes)

    return arrange


def account(**changes: Any) -> Arrange:
    def arrange(state: State) -> None:
        assert state.account is not None
        state.account = msgspec.structs.replace(state.account, **changes)

    return arrange


def limits(**changes: Any) -> Arrange:
    def arrange(state: State) -> None:
        state.day.limits = msgspec.structs.replace(state.day.limits, **changes)

    return arrange


def day(**changes: Any) -> Arrange:
    def arrange(state: State) -> None:
        for name, value in changes.items():
            setattr(state.day, name, value)

    return arrange


def book(**changes: Any) -> Arrange:
    def arrange(state: State) -> None:
        for name, value in changes.items():
            setattr(state, name, value)

    return arrange


def both(*steps: Arrange) -> Arrange:
    def arrange(state: State) -> None:
        for step in steps:
            step(state)

    return arrange


def halted(state: State) -> None:
    state.halt.state = TradingState.REDUCING


def own_halt(state: State) -> None:
    state.day.runs[MINE].state = TradingState.HALTED


def ended(state: State) -> None:
    state.day.runs[MINE].ended = True


def no_mark(state: State) -> None:
    del state.marks[SYMBOL]


def aged(seconds: float) -> Arrange:
    def arrange(state: State) -> None:
        state.marks[SYMBOL] = Mark(symbol=SYMBOL, px=D(30), at=state.clock() - timedelta(seconds=seconds))

    return arrange


def since_open(minutes: float) -> Arrange:
    def arrange(state: State) -> None:
        state.now = state.day.opens_at + timedelta(minutes=minutes)
        aged(0)(state)

    return arrange


def before_close(minutes: float) -> Arrange:
    def arrange(state: State) -> None:
        state.now = state.day.closes_at - timedelta(minutes=minutes)
        aged(0)(state)

    return arrange


def half_day(state: State) -> None:
    """The market closes three hours early; it is one minute before that close."""
    state.day.closes_at -= timedelta(hours=3)
    before_close(1)(state)


def submitted(count: int) -> Arrange:
    def arrange(state: State) -> None:
        state.day.submits = [state.clock() - timedelta(seconds=90)] * 5 + [state.clock()] * count

    return arrange


def lost(amount: str) -> Arrange:
    return day(net_realized_pnl=D(amount))


def broken(state: State) -> None:
    found = BreakFound(
        at=state.clock(),
        break_id="b",
        kind=BreakKind.CASH,
        symbol="",
        severity=Priority.P1,
        before="1",
        after="2",
        cause="",
        authority="broker",
    )
    state.reconciliation.unresolved["b"] = found


def blocked(state: State) -> None:
    state.blocked[SYMBOL] = Block(scope=BlockScope.PERMANENT, by="ann", reason="news", at=state.clock())


def positions(*symbols: str) -> Arrange:
    def arrange(state: State) -> None:
        for symbol in symbols:
            hold(state, 1, symbol, px=state.marks[symbol].px)

    return arrange


def on_the_way(qty: int, side: Side = Side.BUY, **more: Any) -> Arrange:
    return lambda state: order(state, qty, side, **more)


def held(qty: int, **more: Any) -> Arrange:
    return lambda state: hold(state, qty, **more)


def no_rate(state: State) -> None:
    known = state.day.instruments
    known[SYMBOL] = msgspec.structs.replace(known[SYMBOL], currency="GBP")


SMALL = {"equity": D(24_999), "day_trades": 2}
HUNDRED_AT_30 = D(3000)  # what the entry under test is worth


@dataclass(frozen=True)
class Case:
    """What a rule of `code` says of an entry in a state arranged so: whether it passes, and what it saw."""

    code: str
    passes: bool
    arrange: Arrange
    entry: dict[str, Any] | None = None
    value: str | None = None


CASES = [
    Case("trading_state", False, halted, value="book is HALTED – entries blocked, exits running"),
    Case("trading_state", False, own_halt, value="strategy is HALTED – only liquidation may pass"),
    Case("critical_health", False, day(critical_down=("risk_manager", "oms")), value="risk_manager, oms"),
    Case("environment_armed", False, day(environment=Environment.LIVE), value="live"),
    Case("environment_armed", True, day(environment=Environment.PAPER), value="paper"),
    Case("entries_released", False, day(entries_held="recovered session"), value="recovered session"),
    Case("run_active", False, ended),
    Case("run_active", False, day(runs={})),
    Case("session_window", True, both(limits(entry_delay_min=5), since_open(5))),
    Case("session_window", False, both(limits(entry_delay_min=5), since_open(4.99))),
    Case("session_window", False, both(limits(entry_cutoff_min=15), before_close(15))),
    Case("session_window", True, both(limits(entry_cutoff_min=15), before_close(15.01))),
    Case("session_window", False, day(phase=Phase.SHUTDOWN)),
    Case("session_window", False, half_day),
    Case("broker_connected", False, book(connected=False), value="False"),
    Case("feed_quality", False, book(feed=FeedState.STALE), value="stale"),
    Case("clock_skew", True, day(clock_skew_ms=500), value="500 ms"),
    Case("clock_skew", True, day(clock_skew_ms=-500), value="-500 ms"),
    Case("clock_skew", False, day(clock_skew_ms=501), value="501 ms"),
    Case("clock_skew", False, day(clock_skew_ms=-501), value="-501 ms"),
    Case("clock_skew", True, day(environment=Environment.BACKTEST), value="one clock"),
    Case("clock_skew", False, day(environment=Environment.PAPER), value="unknown (nobody told)"),
    Case("clock_skew", False, day(environment=Environment.LIVE), value="unknown (nobody told)"),
    Case("reconciled", False, broken, value="1 open breaks"),
    Case("reconciled", False, day(recovering=True), value="recovering"),
    Case("blocked_symbol", False, blocked, value="permanent: news"),
    Case("ownership", False, day(owners={SYMBOL: [OTHER]}), value=OTHER),
    Case("ownership", False, day(owners={}), value="nobody"),
    Case("ownership", True, day(owners={SYMBOL: [OTHER, MINE]})),
    Case("conversion_rate", False, no_rate, value="no rate from GBP to USD is recorded"),
    Case("conversion_rate", False, day(instruments={}), value="no instrument"),
    Case("instrument", False, day(instruments={}), value="unknown symbol"),
    Case("instrument", True, terms(lot_size=D(50)), {"qty": D(100)}),
    Case("instrument", False, terms(lot_size=D(50)), {"qty": D(125)}, "not on the lot grid"),
    Case("instrument", False, terms(lot_size=D(1)), {"qty": D("0.5")}),
    Case("instrument", False, terms(min_qty=D(101)), {"qty": D(100)}),
    Case("instrument", True, terms(min_qty=D(100)), {"qty": D(100)}),
    Case("instrument", False, terms(min_qty=D(0)), {"qty": D(0)}),
    Case("instrument", True, terms(lot_size=D("0.001"), min_qty=D("0.001")), {"qty": D("0.001")}),
    Case("short_sale", True, terms(shortable=False), {"side": Side.BUY}),
    Case("short_sale", True, terms(), {"side": Side.SELL}, "may be sold short"),
    Case("short_sale", False, terms(shortable=False), {"side": Side.SELL}, "may not be sold short"),
    Case("short_sale", False, terms(easy_to_borrow=False), {"side": Side.SELL}),
    Case("short_sale", False, account(shorting_enabled=False), {"side": Side.SELL}),
    Case("short_sale", False, book(account=None), {"side": Side.SELL}, "unknown (no account statement)"),
    Case("short_sale", False, day(instruments={}), {"side": Side.SELL}, "unknown (no instrument)"),
    Case("min_notional", True, terms(min_notional=HUNDRED_AT_30), value="3000.00"),
    Case("min_notional", False, terms(min_notional=HUNDRED_AT_30 + D("0.01"))),
    Case("min_notional", False, day(instruments={}), value="unknown (no instrument)"),
    Case("max_daily_loss", True, lost("-999.99"), value="-999.99"),
    Case("max_daily_loss", False, lost("-1000"), value="-1000.00"),
    Case("max_daily_loss", False, both(lost("-999.99"), day(fees=D("0.01"))), value="-1000.00"),
    Case("max_daily_loss", False, both(held(100, px=D(40)), lost("0")), value="-1000.00"),
    Case("max_daily_loss", False, both(limits(max_daily_loss_pct=D("0.5")), lost("-500"))),
    Case("max_daily_loss", True, both(limits(max_daily_loss_pct=D("0.5")), lost("-499.99"))),
    Case("max_daily_loss", False, both(limits(max_daily_loss_pct=D(50)), lost("-1000"))),
    Case("max_daily_loss", False, day(start_equity=None), value="unknown (no session-start equity)"),
    Case("max_daily_loss", False, both(held(1, px=D(30)), no_mark), value=f"unknown ({SYMBOL}: no price yet)"),
    Case("max_trades_per_day", True, both(limits(max_trades_per_day=3), day(entries_intended=2)), value="2"),
    Case("max_trades_per_day", False, both(limits(max_trades_per_day=3), day(entries_intended=3)), value="3"),
    Case("max_trades_per_day", False, limits(max_trades_per_day=0), value="0"),
    Case("max_open_positions", True, both(limits(max_open_positions=2), positions("AAA", SYMBOL)), value="1"),
    Case("max_open_positions", False, both(limits(max_open_positions=2), positions("AAA", "CCC")), value="2"),
    Case(
        "max_open_positions",
        False,
        both(limits(max_open_positions=2), positions("AAA"), on_the_way(1, symbol="CCC", strategy_id=OTHER)),
        value="2",
    ),
    Case("max_position_qty", True, both(limits(max_position_qty=D(300)), held(200)), value="300"),
    Case("max_position_qty", False, both(limits(max_position_qty=D(300)), held(201)), value="301"),
    Case("max_position_qty", False, both(limits(max_position_qty=D(300)), held(201, strategy_id=OTHER))),
    Case("max_position_qty", True, both(limits(max_position_qty=D(300)), held(-500, strategy_id=OTHER)), value="100"),
    Case("max_position_qty", True, both(limits(max_position_qty=None), held(100_000))),
    Case("max_position_notional", True, both(limits(max_position_notional=D(9000)), held(200)), value="9000.00"),
    Case("max_position_notional", False, both(limits(max_position_notional=D(9000)), held(201)), value="9030.00"),
    Case("max_position_notional", False, both(limits(max_position_notional=D(9000)), held(200, px=D(31)))),
    Case("max_position_notional", False, no_rate, value="unknown (no rate)"),
    Case("max_position_equity_pct", True, held(400), value="15.00"),
    Case("max_position_equity_pct", False, held(401), value="15.03"),
    Case("max_position_equity_pct", False, day(start_equity=None)),
    Case("max_position_equity_pct", False, day(start_equity=D(0))),
    Case("max_position_equity_pct", False, no_rate),
    Case("max_symbol_equity_pct", True, held(-100_000, strategy_id=OTHER), value="not limited"),
    Case(
        "max_symbol_equity_pct",
        True,
        both(limits(max_symbol_equity_pct=D(15)), held(-400, strategy_id=OTHER)),
        value="15.00",
    ),
    Case("max_symbol_equity_pct", False, both(limits(max_symbol_equity_pct=D(15)), held(-401, strategy_id=OTHER))),
    Case("max_symbol_equity_pct", False, both(limits(max_symbol_equity_pct=D(15)), no_rate)),
    Case("max_symbol_equity_pct", False, both(limits(max_symbol_equity_pct=D(15)), day(start_equity=None))),
    Case("max_strategy_equity_pct", True, held(2850, symbol="AAA", px=D(20)), value="60.00"),
    Case("max_strategy_equity_pct", False, held(2851, symbol="AAA", px=D(20)), value="60.02"),
    Case("max_strategy_equity_pct", True, held(9000, symbol="AAA", px=D(20), strategy_id=OTHER), value="3.00"),
    Case("max_strategy_equity_pct", False, on_the_way(2851, symbol="AAA", px=D(20)), value="60.02"),
    Case("max_strategy_equity_pct", False, both(held(1, px=D(30)), no_rate)),
    Case("max_strategy_equity_pct", False, no_rate, value="unknown (a rate or price is missing)"),
    Case("max_strategy_equity_pct", False, day(start_equity=None)),
    Case("buying_power", True, account(buying_power=D(3000)), value="3000.00"),
    Case("buying_power", False, account(buying_power=D("2999.99"))),
    Case("buying_power", True, both(account(buying_power=D(1500)), terms(margin_rate=D("0.5")))),
    Case("buying_power", False, both(account(buying_power=D(3029)), on_the_way(1, strategy_id=OTHER))),
    Case("buying_power", True, both(account(buying_power=D(3030)), on_the_way(1, strategy_id=OTHER))),
    Case("buying_power", False, both(account(buying_power=D(3099)), book(spent={"9": D(100)}))),
    Case("buying_power", True, both(account(buying_power=D(3100)), book(spent={"9": D(100)}))),
    Case("buying_power", False, book(account=None)),
    Case("buying_power", False, no_rate),
    Case("day_trades", True, account(equity=D(1), day_trades=9), value="not counted here"),
    Case("day_trades", True, both(terms(day_trade_rule=True), account(equity=D(25_000), day_trades=9))),
    Case("day_trades", True, both(terms(day_trade_rule=True), account(**SMALL)), value="up to 3"),
    Case("day_trades", False, both(terms(day_trade_rule=True), account(**SMALL | {"day_trades": 3})), value="up to 4"),
    Case("day_trades", False, both(terms(day_trade_rule=True), account(**SMALL), positions("AAA"))),
    Case("day_trades", False, both(terms(day_trade_rule=True), account(**SMALL), on_the_way(1))),
    Case("day_trades", False, both(terms(day_trade_rule=True), account(**SMALL | {"day_trades": None}))),
    Case("day_trades", False, both(terms(day_trade_rule=True), account(**SMALL | {"pattern_day_trader": True}))),
    Case("day_trades", False, both(terms(day_trade_rule=True), book(account=None))),
    Case("day_trades", False, both(terms(day_trade_rule=True), account(equity=D(30_000)), day(start_equity=None))),
    Case("day_trades", False, both(terms(day_trade_rule=True), account(day_trades=3), day(start_equity=D(24_999)))),
    Case(
        "day_trades", False, both(terms(day_trade_rule=True), account(**SMALL), day(trades=1), book(exec_cursor=10**9))
    ),
    Case("day_trades", False, both(account(**SMALL), day(instruments={}))),
    Case("price_collar", True, terms(), {"limit_px": D(36)}, "2000 bps"),
    Case("price_collar", False, terms(), {"limit_px": D("36.02")}, "2007 bps"),
    Case("price_collar", True, terms(), {"limit_px": D(24)}, "2000 bps"),
    Case("price_collar", False, terms(), {"limit_px": D("23.98")}),
    Case("price_collar", False, terms(), {"stop_px": D("23.98")}),
    Case("price_collar", False, terms(), {"decision_px": D(300)}),
    Case("price_collar", False, terms(), {"decision_px": D(0), "stop_px": D(0)}),
    Case("price_collar", True, no_mark, {"decision_px": D(300)}),
    Case("stop_side", True, terms(), {"stop_px": D(0)}, "no stop") if False else Case("stop_side", True, terms()),
    Case("stop_side", False, terms(), {"stop_px": D(30)}, "30"),
    Case("stop_side", False, terms(), {"stop_px": D(30), "side": Side.SELL}, "30"),
    Case("stop_side", True, terms(), {"stop_px": D("30.01"), "side": Side.SELL}),
    Case("stop_side", True, terms(), {"stop_px": D("29.99")}),
    Case("stop_side", False, terms(), {"stop_px": D("29.99"), "side": Side.SELL}),
    Case("stale_quote", True, aged(180), value="180 s"),
    Case("stale_quote", False, aged(180.5)),
    Case("stale_quote", False, no_mark, value="unknown (no quote)"),
    Case("stale_quote", True, both(limits(stale_quote_s=30), aged(60)), value="60 s"),
    Case("stale_quote", False, both(limits(stale_quote_s=30), aged(61))),
    Case("stale_quote", True, aged(-0.5)),
    Case("stale_quote", False, aged(-0.501)),
    Case("submit_rate", True, submitted(59), value="59 in the last minute"),
    Case("submit_rate", False, submitted(60), value="60 in the last minute"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{'passes' if case.passes else 'denies'}")
def test_a_rule_at_its_limit_beyond_it_and_in_the_dark(case: Case) -> None:
    state = a_state()
    assert not failed(state, an_entry()), "everything else is in order"
    case.arrange(state)
    verdict = verdicts(state, an_entry(**(case.entry or {})))[case.code]
    assert verdict.passed is case.passes, verdict
    if case.value is not None:
        assert verdict.value == case.value
    assert "{" not in sentence(verdict)
    assert sentence(verdict).startswith(f"{case.code}: ")


def test_every_entry_rule_is_held_at_a_limit() -> None:
    assert {case.code for case in CASES} == {rule.code for rule in ENTRY_RULES}


def test_every_rule_answers_under_its_own_code_in_a_fixed_order() -> None:
    state = a_state()
    assert [v.code for v in risk.judge(state, an_entry())] == [rule.code for rule in ENTRY_RULES]
    assert [v.code for v in risk.judge(state, an_exit(D(1)))] == [rule.code for rule in EXIT_RULES]
    assert all(isinstance(v, RuleVerdict) for v in risk.judge(state, an_entry()))


def test_a_stop_is_not_demanded() -> None:
    verdict = verdicts(a_state(), msgspec.structs.replace(an_entry(), stop_px=None))["stop_side"]
    assert (verdict.passed, verdict.value) == (True, "no stop")


def test_a_trailing_stops_limit_is_in_reach_too() -> None:
    request = an_entry().request
    (leg,) = request.legs
    far = msgspec.structs.replace(leg, ord_type=OrdType.LIMIT, leg=Leg.TARGET, limit_px=D("36.01"), stop_px=None)
    intent = msgspec.structs.replace(an_entry(), request=msgspec.structs.replace(request, legs=(leg, far)))
    assert failed(a_state(), intent) == ["price_collar"]


# --- the worst case -------------------------------------------------------------------------------------

COUNTED = [status for status in OrdStatus if status not in (OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED)]
COUNTED = [status for status in COUNTED if status not in (OrdStatus.EXPIRED, OrdStatus.DENIED)]


@pytest.mark.parametrize("status", COUNTED)
def test_whatever_may_still_fill_counts_in_full(status: OrdStatus) -> None:
    state = a_state(max_position_qty=D(300))
    order(state, 201, status=status)
    assert "max_position_qty" in failed(state, an_entry())
    assert failed(state, an_entry(qty=D(99))) == []


def test_a_partial_fill_counts_once_as_held_and_the_rest_as_open() -> None:
    state = a_state(max_position_qty=D(300))
    order(state, 201, status=OrdStatus.PARTIALLY_FILLED, cum_qty=D(150))
    assert failed(state, an_entry()) == []
    hold(state, 150)
    assert verdicts(state, an_entry())["max_position_qty"].value == "301"


def test_while_a_replace_is_unanswered_the_larger_of_both_counts() -> None:
    for old, new in ((100, 201), (201, 100)):
        state = a_state(max_position_qty=D(300))
        replacing = Replacement(cl_ord_id="r", order_qty=D(new), limit_px=D(50))
        order(state, old, status=OrdStatus.PENDING_REPLACE, replacing=replacing)
        seen = verdicts(state, an_entry())
        assert seen["max_position_qty"].value == "301"
        assert seen["max_position_notional"].value == f"{201 * 50 + 3000:.2f}", "at the highest price asked for"


def test_what_a_cancel_or_a_bust_left_unproven_counts() -> None:
    state = a_state(max_position_qty=D(300))
    ended_order = order(state, 500, status=OrdStatus.CANCELED)
    assert failed(state, an_entry()) == []
    state.unproven[ended_order.cl_ord_id] = D(201)
    assert "max_position_qty" in failed(state, an_entry())


def test_orders_that_nobody_here_sent_count() -> None:
    state = a_state(max_position_qty=D(300))
    order(state, 201, leg=Leg.EXIT, strategy_id=EXTERNAL)
    assert "max_position_qty" in failed(state, an_entry())
    assert verdicts(state, an_entry())["buying_power"].limit == f"{100_000 - 201 * 30:.2f}"


def test_what_a_strangers_ended_order_may_have_filled_counts_as_exposure_and_holds_no_exit() -> None:
    state = a_state(max_position_qty=D(300))
    theirs = order(state, 500, Side.BUY, Leg.EXIT, strategy_id=EXTERNAL, status=OrdStatus.EXPIRED)
    state.unproven[theirs.cl_ord_id] = D(201)
    assert "max_position_qty" in failed(state, an_entry())
    hold(state, -100, strategy_id=EXTERNAL)
    assert failed(state, an_exit(D(100), Side.BUY, strategy_id=EXTERNAL)) == []


def test_unproven_fills_are_counted_for_their_own_symbol_owner_and_side_alone() -> None:
    for strategy_id, symbol, side in ((OTHER, SYMBOL, Side.SELL), (MINE, "AAA", Side.SELL), (MINE, SYMBOL, Side.BUY)):
        state = a_state()
        hold(state, 100)
        ended_order = order(
            state, 90, side, Leg.EXIT, symbol=symbol, strategy_id=strategy_id, status=OrdStatus.CANCELED
        )
        state.unproven[ended_order.cl_ord_id] = D(90)
        assert failed(state, an_exit(D(100))) == []
        assert verdicts(state, an_entry())["max_position_qty"].value == "200", "an exit is no exposure"
    for symbol, side in (("AAA", Side.SELL), (SYMBOL, Side.SELL)):
        placed = order(state, 50, side, Leg.EXIT, symbol=symbol, status=OrdStatus.CANCELED)
        state.unproven[placed.cl_ord_id] = D(50)
    assert failed(state, an_exit(D(51))) == ["reduce_only"], "one that does not count hides none that does"
    assert failed(state, an_exit(D(50))) == []


def test_what_is_known_of_no_order_is_of_no_symbol() -> None:
    state = a_state()
    hold(state, 100)
    state.unproven["forgotten"] = D(10**6)
    assert failed(state, an_exit(D(100))) == []
    assert failed(state, an_entry()) == []


def test_where_money_cannot_be_counted_the_instances_share_is_unknown_and_not_an_error() -> None:
    state = a_state()
    known = state.day.instruments
    for symbol in ("AAA", "CCC"):
        hold(state, 10, symbol, px=D(20))
        order(state, 10, symbol=symbol, px=D(20))
        known[symbol] = msgspec.structs.replace(known[symbol], currency="GBP")
    hold(state, 10, "DDD", px=D(50))
    share = verdicts(state, an_entry())["max_strategy_equity_pct"]
    assert share.value == "unknown (a rate or price is missing)"
    assert exposure.Exposure(state, OTHER, SYMBOL, D(30), D(1)).strategy_value == 0


def test_an_order_in_a_symbol_that_left_the_universe_ties_up_all_that_was_set_aside() -> None:
    state = a_state()
    order(state, 100, symbol="AAA", px=D(20))
    del state.day.instruments["AAA"]
    assert verdicts(state, an_entry())["buying_power"].limit == "98000.00"


def test_our_own_exits_are_no_exposure_and_no_relief() -> None:
    state = a_state(max_position_qty=D(300))
    hold(state, 200)
    for leg in (Leg.STOP, Leg.TARGET, Leg.EXIT):
        order(state, 200, Side.SELL, leg)
    assert verdicts(state, an_entry())["max_position_qty"].value == "300"


def test_an_order_is_worth_the_highest_of_its_prices() -> None:
    state = a_state()
    order(state, 100, limit_px=D(33), px=D(32))
    assert verdicts(state, an_entry())["max_position_notional"].value == "6300.00"
    state = a_state()
    order(state, 100, stop_px=D(34), limit_px=D(33))
    assert verdicts(state, an_entry())["max_position_notional"].value == "6400.00"
    assert verdicts(state, an_entry())["buying_power"].limit == "96600.00"


@pytest.mark.parametrize(
    ("decided", "limit", "stop", "worst"),
    [
        (32, None, None, 32),
        (32, 25, 20, 32),
        (32, 33, 20, 33),
        (32, 25, 34, 34),
        (20, 33, 34, 34),
        (20, 34, 33, 34),
        (20, None, None, 20),
    ],
)
def test_the_worst_price_is_the_highest_of_all(decided: int, limit: int | None, stop: int | None, worst: int) -> None:
    prices = {"limit_px": None if limit is None else D(limit), "stop_px": None if stop is None else D(stop)}
    placed = order(a_state(), 100, px=D(decided), **prices)
    assert coming.worst_px(placed) == worst
    for asked in ({"limit_px": D(35)}, {"stop_px": D(35)}, {"limit_px": D(35), "stop_px": D(1)}):
        placed.replacing = Replacement(cl_ord_id="r", order_qty=D(100), **asked)
        assert coming.worst_px(placed) == 35
    placed.replacing = Replacement(cl_ord_id="r", order_qty=D(100), limit_px=D(1), stop_px=D(1))
    assert coming.worst_px(placed) == worst


def test_the_worst_quantity_is_what_is_held_and_may_come_of_that_symbol_on_that_side() -> None:
    state = a_state()
    hold(state, 100)
    hold(state, -70, strategy_id=OTHER)
    order(state, 10)
    order(state, 7, Side.SELL)
    order(state, 500, symbol="AAA")
    order(state, 500, Side.SELL, symbol="AAA")
    assert exposure.worst_qty(state, SYMBOL, Side.BUY) == 110
    assert exposure.worst_qty(state, SYMBOL, Side.SELL) == 77
    assert exposure.worst_qty(state, "AAA", Side.BUY) == 500
    assert exposure.worst_qty(state, "CCC", Side.BUY) == 0


def test_what_an_order_may_still_fill_is_never_less_than_nothing() -> None:
    placed = order(a_state(), 100, cum_qty=D(130))
    assert coming.open_qty(placed) == 0
    placed.cum_qty = D(40)
    assert coming.open_qty(placed) == 60
    placed.status = OrdStatus.FILLED
    assert coming.open_qty(placed) == 0


def test_each_side_is_worth_what_is_held_and_coming_there_at_the_dearer_price() -> None:
    state = a_state()
    hold(state, 100, px=D(32))
    hold(state, -50, strategy_id=OTHER, px=D(20))
    order(state, 10, px=D(31))
    order(state, 20, Side.SELL, px=D(29))
    sums = exposure.Exposure(state, MINE, SYMBOL, D(30), D(2))
    assert (sums.buy_qty, sums.sell_qty) == (110, 70)
    assert sums.value(Side.BUY) == 2 * (100 * 32 + 10 * 31)
    assert sums.value(Side.SELL) == 2 * (50 * 30 + 20 * 30)
    assert (sums.qty(Side.BUY), sums.qty(Side.SELL)) == (110, 70)
    assert sums.others == 0
    assert sums.tied_up == 10 * 31 + 20 * 29
    assert sums.strategy_value == 100 * 32 + 10 * 31 + 20 * 29
    hold(state, 1, "AAA", OTHER, px=D(20))
    order(state, 3, symbol="AAA", strategy_id=OTHER, px=D(20))
    sums = exposure.Exposure(state, MINE, SYMBOL, D(30), D(2))
    assert (sums.buy_qty, sums.sell_qty, sums.others) == (110, 70, 1), "another symbol is none of this one's sides"
    assert sums.strategy_value == 100 * 32 + 10 * 31 + 20 * 29, "what others hold and send is theirs"
    assert exposure.Exposure(state, MINE, "AAA", D(20), D(1)).buy_qty == 1 + 3
    assert exposure.Exposure(state, MINE, SYMBOL, D(30), None).value(Side.BUY) is None


def test_what_an_instance_holds_counts_at_the_mark_or_dearer_and_at_cost_without_one() -> None:
    state = a_state()
    held_there = hold(state, 100, "AAA", px=D(25))
    assert exposure.Exposure(state, MINE, SYMBOL, D(30), D(1)).strategy_value == 2500, "decided at 25, now 20"
    held_there.decision_px = D(15)
    assert exposure.Exposure(state, MINE, SYMBOL, D(30), D(1)).strategy_value == 2000
    del state.marks["AAA"]
    assert exposure.Exposure(state, MINE, SYMBOL, D(30), D(1)).strategy_value == 2500
    assert exposure.Exposure(state, OTHER, SYMBOL, D(30), D(1)).strategy_value == 0


def test_each_order_ties_up_its_own_margin() -> None:
    state = a_state()
    known = state.day.instruments
    known["AAA"] = msgspec.structs.replace(known["AAA"], margin_rate=D("0.5"))
    order(state, 100, symbol="AAA", px=D(20))
    order(state, 100, symbol="CCC", px=D(40))
    assert verdicts(state, an_entry())["buying_power"].limit == f"{100_000 - 1000 - 4000}.00"


def test_what_is_spent_counts_at_the_highest_margin_it_could_be_of() -> None:
    state = a_state()
    known = state.day.instruments
    for symbol, rate in ((SYMBOL, "0.1"), ("AAA", "0.5")):
        known[symbol] = msgspec.structs.replace(known[symbol], margin_rate=D(rate))
    state.spent = {"7": D(200)}
    assert verdicts(state, an_entry())["buying_power"].limit == "99980.00"
    hold(state, 10, "AAA", px=D(20))
    assert verdicts(state, an_entry())["buying_power"].limit == "99900.00"


def test_an_order_whose_rate_is_gone_ties_up_what_was_set_aside() -> None:
    state = a_state()
    order(state, 100, symbol="AAA", px=D(20))
    known = state.day.instruments
    known["AAA"] = msgspec.structs.replace(known["AAA"], currency="GBP")
    assert verdicts(state, an_entry())["buying_power"].limit == "98000.00"


def free_with(*held_here: tuple[str, int], shared: bool = True) -> D:
    """What is left of buying power where instances hold these quantities of USDCHF, or of AAA."""
    state = a_state(shared=shared)
    symbol = "USDCHF" if shared else "AAA"
    for owner, qty in held_here:
        hold(state, qty, symbol, owner, px=state.marks[symbol].px)
    state.account = msgspec.structs.replace(state.account, buying_power=D(10_000))  # type: ignore[type-var]
    mine = "USDJPY" if shared else SYMBOL
    return D(verdicts(state, an_entry(mine, decision_px=state.marks[mine].px))["buying_power"].limit)


@pytest.mark.parametrize(
    ("one", "two", "hidden"), [(100, -60, 60), (60, -100, 60), (100, -100, 100), (1, -60, 1), (60, -1, 1), (100, 60, 0)]
)
@pytest.mark.parametrize("shared", [True, False])
def test_positions_against_each_other_tie_up_what_either_would_alone(
    one: int, two: int, hidden: int, shared: bool
) -> None:
    state = a_state(shared=shared)
    symbol = "USDCHF" if shared else "AAA"
    worth = state.notional(symbol, D(hidden), state.marks[symbol].px)
    assert worth is not None
    tied_up = worth * state.day.instruments[symbol].margin_rate
    assert free_with((MINE, one), (OTHER, two), shared=shared) == (10_000 - tied_up).quantize(D("0.01"))


def test_a_symbol_held_on_one_side_hides_nothing() -> None:
    state = a_state()
    hold(state, 100, "AAA", px=D(20))
    hold(state, 100, "CCC", px=D(40))
    hold(state, 60, "CCC", OTHER, px=D(40))
    hold(state, -10, "DDD", px=D(50))
    hold(state, 10, "DDD", OTHER, px=D(50))
    assert verdicts(state, an_entry())["buying_power"].limit == "99500.00"


def test_what_stands_against_each_other_and_cannot_be_valued_is_no_error() -> None:
    for lacking in ("mark", "rate"):
        state = a_state()
        hold(state, -10, "DDD", px=D(50))
        hold(state, 10, "DDD", OTHER, px=D(50))
        known = state.day.instruments
        if lacking == "mark":
            del state.marks["DDD"]
        else:
            known["DDD"] = msgspec.structs.replace(known["DDD"], currency="GBP")
        assert verdicts(state, an_entry())["buying_power"].limit == "100000.00"


def test_what_was_spent_on_a_symbol_that_left_the_universe_counts_in_full() -> None:
    state = a_state()
    known = state.day.instruments
    known[SYMBOL] = msgspec.structs.replace(known[SYMBOL], margin_rate=D("0.1"))
    hold(state, 10, "AAA", px=D(20))
    del known["AAA"]
    state.spent = {"7": D(200)}
    assert verdicts(state, an_entry())["buying_power"].limit == "99800.00"


# --- exits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("qty", "passes"), [(100, True), (101, False), (0, False), (-1, False)])
def test_an_exit_closes_what_is_held_and_not_a_share_more(qty: int, passes: bool) -> None:
    state = a_state()
    hold(state, 100)
    assert (failed(state, an_exit(D(qty))) == []) is passes


def test_an_exit_of_nothing_or_on_the_wrong_side_is_none() -> None:
    state = a_state()
    assert failed(state, an_exit(D(1))) == ["reduce_only"]
    hold(state, 100)
    assert failed(state, an_exit(D(1), Side.BUY)) == ["reduce_only"]
    assert failed(state, an_exit(D(1), strategy_id=OTHER)) == ["reduce_only"], "what others hold is theirs"


def test_lean_4680_a_fresh_account_statement_does_not_let_the_same_shares_be_sold_twice() -> None:
    """Lean #4680: a daily cash sync made the books forget what was on its way, and it was sold again."""
    state = a_state()
    hold(state, 100)
    out = order(state, 60, Side.SELL, Leg.EXIT, status=OrdStatus.UNKNOWN)
    assert state.account is not None
    state.account = msgspec.structs.replace(state.account, cash=D(10**9), buying_power=D(10**9), cursor=10**9)
    assert failed(state, an_exit(D(41))) == ["reduce_only"]
    assert failed(state, an_exit(D(40))) == []
    out.status = OrdStatus.CANCELED
    state.unproven[out.cl_ord_id] = D(30)
    assert failed(state, an_exit(D(71))) == ["reduce_only"], "the broker told of fills that we have not seen"
    assert failed(state, an_exit(D(70))) == []


def test_an_exit_being_replaced_counts_with_the_larger_quantity() -> None:
    state = a_state()
    hold(state, 100)
    larger = Replacement(cl_ord_id="r", order_qty=D(80))
    order(state, 50, Side.SELL, Leg.EXIT, status=OrdStatus.PENDING_REPLACE, replacing=larger)
    assert failed(state, an_exit(D(21))) == ["reduce_only"]
    assert failed(state, an_exit(D(20))) == []


def test_nothing_but_the_cap_ever_holds_an_exit() -> None:
    state = a_state(max_trades_per_day=0, max_submits_per_minute=0)
    hold(state, 100)
    both(halted, own_halt, broken, blocked, ended, lost("-99999"), submitted(500), half_day)(state)
    both(book(connected=False, feed=FeedState.STALE, account=None), no_mark)(state)
    day(critical_down=("risk_manager",), environment=Environment.LIVE, start_equity=None, entries_held="x")(state)
    day(phase=Phase.SHUTDOWN, recovering=True, owners={}, instruments={}, clock_skew_ms=10**6)(state)
    assert len(failed(state, an_entry())) > 20
    assert failed(state, an_exit(D(100))) == []


# --- what cannot be judged -------------------------------------------------------------------------------


def test_an_entry_without_a_size_never_passes() -> None:
    state = a_state()
    nothing = an_entry(qty=D(0))
    assert [v.code for v in risk.judge_unsized(state, nothing) if not v.passed] == ["instrument"]
    day(owners={})(state)
    assert [v.code for v in risk.judge_unsized(state, nothing) if not v.passed] == ["ownership"]


def test_figures_that_are_no_numbers_deny_and_nothing_falls_over() -> None:
    """Absurd prices: NaN, infinite, negative, zero, immense."""
    for px in (D("NaN"), D("Infinity"), D("-Infinity"), D(-30), D(0), D(10) ** 12):
        intent = msgspec.structs.replace(an_entry(), decision_px=px)
        state = a_state()
        assert failed(state, intent), px
        state.marks[SYMBOL] = Mark(symbol=SYMBOL, px=px, at=state.clock())
        hold(state, 1)
        assert failed(state, an_entry()), f"a mark of {px}"


def test_a_rule_that_fails_to_answer_denies_by_its_name() -> None:
    state = a_state()
    state.marks[SYMBOL] = None  # type: ignore[assignment]
    found = [v for v in risk.judge(state, an_entry()) if v.code == risk.RULE_FAILED]
    assert found == []
    state.day.submits = None  # type: ignore[assignment]
    (only,) = [v for v in risk.judge(state, an_entry()) if v.code == risk.RULE_FAILED]
    assert not only.passed
    assert only.value == "submit_rate: TypeError: object of type 'NoneType' has no len()"
    assert "cannot answer (submit_rate" in sentence(only)
    assert len(risk.judge(state, an_entry())) == len(ENTRY_RULES), "the others are asked all the same"


def test_a_case_that_cannot_be_made_is_a_denial() -> None:
    state = a_state()
    state.day.instruments = None  # type: ignore[assignment]
    (only,) = risk.judge(state, an_entry())
    assert (only.code, only.passed) == (risk.RULE_FAILED, False)
    assert only.value.startswith("the case: ")


def test_limits_are_texts_once() -> None:
    held_limits = Limits()
    assert held_limits.texts is held_limits.texts
    assert held_limits.texts["max_daily_loss_pct"] == "none"


@pytest.mark.parametrize(
    ("arrange", "limit"),
    [
        (lost("0"), "-1000"),
        (both(held(1, px=D(30)), no_mark), "-1000"),
        (limits(max_daily_loss_pct=D("0.5")), "-500.000"),
        (limits(max_daily_loss_pct=D(50)), "-1000"),
        (day(start_equity=None), "-1000"),
    ],
)
def test_the_days_loss_is_shown_as_the_negative_amount_it_is(arrange: Arrange, limit: str) -> None:
    state = a_state()
    arrange(state)
    assert D(verdicts(state, an_entry())["max_daily_loss"].limit) == D(limit)


def test_orders_in_a_foreign_currency_count_at_its_rate_each_of_them() -> None:
    state = a_state(shared=True)
    px = state.marks["USDJPY"].px
    rate = state.rate("JPY")
    assert rate is not None
    order(state, 100, symbol="USDJPY", px=px)
    order(state, 300, symbol="USDJPY", px=px)
    order(state, 50, symbol="GBPUSD", px=D(2))
    sums = exposure.Exposure(state, MINE, "EURGBP", D(1), D(1))
    assert sums.strategy_value == 400 * px * rate + 100
    yen, pound = (state.day.instruments[s].margin_rate for s in ("USDJPY", "GBPUSD"))
    assert sums.tied_up == 100 * px * rate * yen + 300 * px * rate * yen + 100 * pound


def test_what_passes_says_what_was_seen() -> None:
    seen = verdicts(a_state(), an_entry())
    assert (seen["broker_connected"].value, seen["broker_connected"].limit) == ("True", "True")
    assert (seen["instrument"].value, seen["instrument"].limit) == ("fits", "lot 1")
    state = a_state()
    state.connected = False
    assert (verdicts(state, an_entry())["broker_connected"].limit) == "True"


def test_only_what_was_opened_today_and_what_no_statement_counts_yet_are_day_trades_to_come() -> None:
    state = a_state()
    both(terms(day_trade_rule=True), account(**SMALL | {"day_trades": 0}), day(trades=3))(state)
    assert state.account is not None
    state.exec_cursor = state.account.cursor
    assert verdicts(state, an_entry())["day_trades"].value == "up to 1", "the statement has the three that closed"
    state.exec_cursor += 1
    assert verdicts(state, an_entry())["day_trades"].value == "up to 4"
    state.exec_cursor -= 1
    carried = hold(state, 1, "AAA", px=D(20))
    assert verdicts(state, an_entry())["day_trades"].value == "up to 2"
    carried.opened_at = state.day.opens_at - timedelta(days=1)
    assert verdicts(state, an_entry())["day_trades"].value == "up to 1"
    carried.opened_at = None
    assert verdicts(state, an_entry())["day_trades"].value == "up to 2", "since when is not known"
