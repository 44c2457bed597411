"""From a wish to an order on record, term by term: size, legs, what is set aside, who closes what (§11, §13, §15)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.market import SignalIgnored, SignalRaised
from qmworkbench.domain.events.orders import OrderDenied, OrderIntended, RiskDecided
from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.orders import Leg, OrderStyle, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.domain.positions import Position
from qmworkbench.trading import holdings
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.intents import entry_qty, exits_sent, intend_entry, intend_exit, intend_liquidation
from qmworkbench.trading.session_state import Assignment, position_key
from qmworkbench.trading.state import EXTERNAL, State
from tests.trading.risk_cases import MINE, OTHER, PX, SYMBOL, D, a_state, hold

SIGNAL = f"{MINE}/{SYMBOL}/2026-03-02T14:31:00/entry"


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


# --- how much ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "px", "lot", "most", "qty"),
    [
        ("3000", "30", "1", None, 100),
        ("2999.99", "30", "1", None, 99),
        ("29.99", "30", "1", None, 0),
        ("3000", "30", "7", None, 98),
        ("3000", "30", "1", 99, 99),
        ("3000", "30", "1", 101, 100),
        ("3000", "30", "10", 95, 90),
        ("3000", "0", "1", None, 0),
        ("3000", "-1", "1", None, 0),
    ],
)
def test_a_budget_buys_whole_lots_within_the_limit(budget: str, px: str, lot: str, most: int | None, qty: int) -> None:
    state = a_state(max_position_qty=None if most is None else D(most))
    instruments = state.day.instruments
    instruments[SYMBOL] = msgspec.structs.replace(instruments[SYMBOL], lot_size=D(lot))
    assert entry_qty(state, SYMBOL, D(budget), D(px)) == qty


def test_a_budget_is_of_the_accounts_money() -> None:
    state = a_state()
    assert entry_qty(state, "nowhere", D(3000), D(30)) == 0
    state.day.instruments[SYMBOL] = msgspec.structs.replace(state.day.instruments[SYMBOL], currency="EUR")
    assert entry_qty(state, SYMBOL, D(3000), D(30)) == 0, "no rate"
    state.marks["EURUSD"] = msgspec.structs.replace(state.marks[SYMBOL], symbol="EURUSD", px=D(2))
    assert entry_qty(state, SYMBOL, D(3000), D(30)) == 50


# --- an entry ------------------------------------------------------------------------------------------------------


def owning(state: State, budget: str = "3000") -> State:
    key = position_key(MINE, SYMBOL)
    state.day.assignments[key] = Assignment(symbol=SYMBOL, strategy_id=MINE, budget=D(budget), at=state.clock())
    return state


def styled(state: State, policy: str = "at_close", **style: Any) -> State:
    run = state.day.runs[MINE]
    run.spec = msgspec.structs.replace(run.spec, order_style=OrderStyle(**style), flat_policy=policy)
    return state


def raised(state: State, **changes: Any) -> SignalRaised:
    base: dict[str, Any] = {
        "at": state.clock(),
        "signal_id": SIGNAL,
        "strategy_id": MINE,
        "symbol": SYMBOL,
        "kind": "entry_long",
        "decision_px": PX,
        "stop_px": D(27),
        "target_px": D(36),
        "max_hold_bars": 9,
    }
    return SignalRaised(**(base | changes))


def entered(state: State, **changes: Any) -> list[Event]:
    state.__dict__.clear()
    decision = Decision(state, state.clock())
    intend_entry(decision, raised(state, **changes))
    return decision.events


def test_an_entry_is_judged_recorded_and_sets_aside_what_it_may_cost() -> None:
    state = owning(a_state())
    judged, wish = entered(state)
    assert isinstance(judged, RiskDecided)
    assert isinstance(wish, OrderIntended)
    assert (judged.allowed, judged.leg, judged.strategy_id, judged.symbol) == (True, Leg.ENTRY, MINE, SYMBOL)
    assert judged.limits_hash == state.day.limits_hash
    request = wish.request
    assert (request.side, request.order_qty, request.ord_type) == (Side.BUY, 100, OrdType.MARKET)
    assert (request.position_effect, request.netted, request.cl_ord_id) == (
        PositionEffect.OPEN,
        False,
        judged.cl_ord_id,
    )
    assert (wish.reserve_notional, wish.decision_px, wish.max_hold_bars, wish.attempt) == (3000, PX, 9, 1)
    assert (wish.flat_policy, wish.signal_id, wish.reason) == ("at_close", SIGNAL, "")


def test_what_it_may_cost_at_its_own_price_is_what_it_is_sized_and_set_aside_by() -> None:
    dear = {"entry_type": OrdType.LIMIT, "entry_offset_bps": 100, "entry_time_in_force": TimeInForce.DAY}
    _, wish = entered(owning(styled(a_state(price_collar_bps=2500), **dear)))
    assert isinstance(wish, OrderIntended)
    assert (wish.request.limit_px, wish.request.order_qty) == (D("30.30"), 99)
    assert wish.reserve_notional == 99 * D("30.30")
    _, sold = entered(
        owning(styled(a_state(price_collar_bps=2500), **dear)), kind="entry_short", stop_px=D(33), target_px=D(24)
    )
    assert isinstance(sold, OrderIntended)
    assert (sold.request.side, sold.request.limit_px, sold.request.order_qty) == (Side.SELL, D("29.70"), 100)
    assert sold.reserve_notional == 3000, "what is sold is bought back at no less"


@pytest.mark.parametrize(
    ("policy", "rest", "kinds"),
    [
        ("at_close", TimeInForce.DAY, [Leg.STOP, Leg.TARGET, Leg.CLOSE]),
        ("carry", TimeInForce.GTC, [Leg.STOP, Leg.TARGET]),
    ],
)
def test_its_exits_go_with_it(policy: str, rest: TimeInForce, kinds: list[Leg]) -> None:
    (wish,) = of(entered(owning(styled(a_state(), policy)), trail_bps=50), OrderIntended)
    legs = wish.request.legs
    assert [leg.leg for leg in legs] == kinds
    stop, target = legs[:2]
    assert (stop.ord_type, stop.stop_px, stop.trail_bps, stop.time_in_force) == (OrdType.STOP, 27, 50, rest)
    assert (target.ord_type, target.limit_px, target.time_in_force) == (OrdType.LIMIT, 36, rest)
    if policy == "at_close":
        assert (legs[2].ord_type, legs[2].time_in_force) == (OrdType.MARKET, TimeInForce.AT_CLOSE)
    assert len({wish.request.cl_ord_id, *(leg.cl_ord_id for leg in legs)}) == len(kinds) + 1
    (bare,) = of(entered(owning(styled(a_state(), policy)), stop_px=None, target_px=None), OrderIntended)
    assert [leg.leg for leg in bare.request.legs] == kinds[2:]


def ignored(events: list[Event]) -> str:
    (event,) = events
    assert isinstance(event, SignalIgnored)
    return event.reason


def test_signals_that_lead_to_no_order_say_why() -> None:
    assert "buys nothing" in ignored(entered(owning(a_state(), "29.99")))
    tired = owning(a_state())
    tired.day.rejected_at[position_key(MINE, SYMBOL)] = tired.day.boundary
    assert "rejected an entry" in ignored(entered(tired))
    twice = owning(a_state())
    entered(twice)
    assert ignored(entered(twice)) == "this signal was already acted on"


def denied(events: list[Event]) -> OrderDenied:
    (judged,), (event,) = of(events, RiskDecided), of(events, OrderDenied)
    assert not judged.allowed
    assert of(events, OrderIntended) == []
    assert isinstance(event, OrderDenied)
    return event


def test_what_is_not_owned_has_no_rate_or_is_of_no_session_is_denied_on_record() -> None:
    nobodys = denied(entered(a_state()))
    assert (nobodys.request.order_qty, nobodys.leg, nobodys.signal_id) == (0, Leg.ENTRY, SIGNAL)
    abroad = owning(a_state())
    abroad.day.instruments[SYMBOL] = msgspec.structs.replace(abroad.day.instruments[SYMBOL], currency="EUR")
    assert denied(entered(abroad)).request.order_qty == 0
    gone = owning(styled(a_state(), entry_type=OrdType.LIMIT, entry_time_in_force=TimeInForce.DAY))
    del gone.day.instruments[SYMBOL]
    events = entered(gone)
    assert of(events, OrderIntended) == []


def test_a_denial_names_every_rule_that_failed() -> None:
    state = owning(a_state(max_position_notional=D(10), max_position_qty=D(5)))
    state.day.limits = msgspec.structs.replace(state.day.limits, max_position_qty=None)
    state.halt.state = state.halt.state.REDUCING
    event = denied(entered(state))
    assert event.reason.count(" | ") >= 1


# --- an exit -------------------------------------------------------------------------------------------------------

LIMITS = {"exit_type": OrdType.LIMIT, "exit_offset_bps": 0, "exit_timeout_s": 60}


def left(state: State, held: Position, kind: str = "exit", qty: int = 100) -> OrderRequest | None:
    """The order for an exit of that kind; None where it was denied."""
    state.__dict__.clear()
    decision = Decision(state, state.clock())
    allowed = intend_exit(decision, held, Leg.EXIT, D(qty), "why", f"{MINE}/{SYMBOL}/now/{kind}")
    wishes = of(decision.events, OrderIntended)
    assert bool(wishes) is allowed
    if not wishes:
        return None
    assert (wishes[0].reason, wishes[0].flat_policy) == ("why", held.flat_policy)
    request = wishes[0].request
    assert isinstance(request, OrderRequest)
    return request


@pytest.mark.parametrize(("qty", "side"), [(100, Side.SELL), (-100, Side.BUY)])
def test_an_exit_goes_the_other_way_by_the_styles_price(qty: int, side: Side) -> None:
    state = styled(a_state(), **LIMITS)
    request = left(state, hold(state, qty))
    assert request is not None
    assert (request.side, request.position_effect, request.order_qty) == (side, PositionEffect.CLOSE, 100)
    assert (request.ord_type, request.limit_px, request.netted) == (OrdType.LIMIT, PX, False)
    unmarked = styled(a_state(), **LIMITS)
    held = hold(unmarked, qty, px=D(28))
    unmarked.marks.clear()
    request = left(unmarked, held)
    assert request is not None
    assert request.limit_px == 28, "what it cost, where no price of today is known"


@pytest.mark.parametrize(("seconds", "market"), [(181, False), (180, True), (59, True)])
def test_a_limit_is_given_only_where_time_is_left_for_it(seconds: int, market: bool) -> None:
    state = styled(a_state(), **LIMITS)
    held = hold(state, 100)
    state.day.closes_at = state.clock() + timedelta(seconds=seconds)
    request = left(state, held)
    assert request is not None
    assert (request.limit_px is None) is market


def cancelled(state: State, request: OrderRequest) -> None:
    order = state.orders[request.cl_ord_id]
    order.status = OrdStatus.CANCELED
    holdings.follow_status(state, order)


def test_before_the_close_and_after_a_limit_that_failed_it_goes_to_the_market() -> None:
    state = styled(a_state(), **LIMITS)
    held = hold(state, 100)
    flat = left(state, held, "flat")
    assert flat is not None
    assert flat.ord_type is OrdType.MARKET
    cancelled(state, flat)
    first = left(state, held)
    assert first is not None
    cancelled(state, first)
    second = left(state, held)
    assert second is not None
    assert (first.ord_type, second.ord_type) == (OrdType.LIMIT, OrdType.MARKET)
    assert first.cl_ord_id != second.cl_ord_id
    held.exit_signal_id = f"{MINE}/{SYMBOL}/now/exit"
    assert [order.cl_ord_id for order in exits_sent(state, held)] == [first.cl_ord_id, second.cl_ord_id]
    assert [order.attempt for order in exits_sent(state, held)] == [1, 2]


def test_what_no_instance_here_runs_leaves_by_the_market() -> None:
    state = a_state()
    outside = hold(state, 100, strategy_id=EXTERNAL)
    request = left(state, outside)
    assert request is not None
    assert request.ord_type is OrdType.MARKET


def test_an_exit_beyond_what_is_held_is_denied() -> None:
    state = a_state()
    assert left(state, hold(state, 100), qty=101) is None


# --- an emergency's close ------------------------------------------------------------------------------------------


def liquidated(state: State, broker: int, qty: int) -> tuple[str, Side, Decimal, OrderIntended]:
    decision = Decision(state, state.clock())
    intend_liquidation(decision, SYMBOL, D(broker), D(qty), "e/1", D(31))
    judged, wish = decision.events
    assert isinstance(judged, RiskDecided)
    assert isinstance(wish, OrderIntended)
    (cap,) = judged.rules
    assert (judged.allowed, cap.passed, cap.limit) == (True, True, str(abs(broker)))
    assert cap.value == str(wish.request.order_qty)
    assert (judged.leg, wish.leg, judged.cl_ord_id) == (Leg.LIQUIDATE, Leg.LIQUIDATE, wish.request.cl_ord_id)
    return wish.strategy_id, wish.request.side, wish.request.order_qty, wish


@pytest.mark.parametrize(
    ("parts", "broker", "qty", "closed"),
    [
        ({}, 50, 50, (EXTERNAL, Side.SELL, 50)),
        ({}, -50, 50, (EXTERNAL, Side.BUY, 50)),
        ({MINE: 50}, 50, 50, (MINE, Side.SELL, 50)),
        ({MINE: 50}, 50, 30, (MINE, Side.SELL, 30)),
        ({MINE: 30}, 50, 50, (MINE, Side.SELL, 30)),
        ({MINE: 30, OTHER: 20}, 50, 50, (MINE, Side.SELL, 30)),
        ({MINE: 20, OTHER: 30}, 50, 50, (OTHER, Side.SELL, 30)),
        ({MINE: 25, OTHER: 25}, 50, 50, (OTHER, Side.SELL, 25)),
        ({MINE: 80, OTHER: -30}, 50, 50, (MINE, Side.SELL, 50)),
        ({MINE: 30, OTHER: -80}, -50, 50, (OTHER, Side.BUY, 50)),
        ({MINE: -50}, 50, 50, (EXTERNAL, Side.SELL, 50)),
    ],
    ids=str,
)
def test_the_largest_on_the_brokers_side_is_closed_first_and_no_more_than_it_holds(
    parts: dict[str, int], broker: int, qty: int, closed: tuple[str, Side, int]
) -> None:
    state = a_state()
    for owner, held in parts.items():
        hold(state, held, strategy_id=owner)
    owner, side, amount, wish = liquidated(state, broker, qty)
    assert (owner, side, amount) == closed
    assert (wish.request.ord_type, wish.request.position_effect) == (OrdType.MARKET, PositionEffect.CLOSE)
    assert (wish.attempt, wish.decision_px, wish.reserve_notional) == (1, 31, 0)
