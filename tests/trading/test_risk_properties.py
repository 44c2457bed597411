"""What the Risk Manager promises in any state: nothing passes above a limit, exposure is never too low (§11)."""

from dataclasses import dataclass
from decimal import Decimal as D
from itertools import product
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain.events.market import Mark
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import TERMINAL, Leg, Order, OrdStatus, Replacement, Side
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import exposure, risk
from qmworkbench.trading.denials import sentence
from qmworkbench.trading.state import EXTERNAL, State, decode_state, encode_state, state_hash
from tests.trading.risk_cases import MINE, OTHER, a_state, an_entry, an_exit, hold, order, verdicts

SYMBOLS = ("AAA", "BBB", "CCC")
OWNERS = (MINE, OTHER, EXTERNAL)
QTY = st.integers(1, 400)
PRICES = st.integers(15, 45).map(D)


@st.composite
def an_order(draw: st.DrawFn, state: State, leg: Leg, side: Side, **fixed: Any) -> Order:
    qty = draw(QTY)
    status = draw(st.sampled_from([s for s in OrdStatus if s is not OrdStatus.DENIED]))
    asked = draw(st.none() | QTY) if status is OrdStatus.PENDING_REPLACE else None
    made = order(
        state,
        qty,
        side,
        leg,
        status=status,
        px=draw(PRICES),
        cum_qty=D(draw(st.integers(0, qty))),
        limit_px=draw(st.none() | PRICES),
        replacing=None if asked is None else Replacement(cl_ord_id="r", order_qty=D(asked)),
        **fixed,
    )
    if status in TERMINAL and draw(st.booleans()):
        state.unproven[made.cl_ord_id] = D(draw(QTY))
    return made


@st.composite
def states(draw: st.DrawFn) -> State:
    """A session in which several instances and a stranger hold things, and have sent orders of every status."""
    state = a_state(
        max_position_qty=D(draw(st.integers(100, 3000))),
        max_position_notional=D(draw(st.integers(1000, 60_000))),
        max_position_equity_pct=D(draw(st.integers(1, 50))),
        max_symbol_equity_pct=draw(st.none() | st.integers(1, 60).map(D)),
        max_strategy_equity_pct=D(draw(st.integers(50, 100))),
        max_open_positions=draw(st.integers(1, 4)),
    )
    for symbol in SYMBOLS:
        state.marks[symbol] = Mark(symbol=symbol, px=draw(PRICES), at=state.clock())
    for owner, symbol in draw(st.lists(st.tuples(st.sampled_from(OWNERS), st.sampled_from(SYMBOLS)), max_size=4)):
        if state.position(owner, symbol) is None:
            held = draw(st.integers(-400, 400).filter(bool))
            hold(state, held, symbol, owner, px=draw(PRICES))
            if draw(st.booleans()):
                out = Side.SELL if held > 0 else Side.BUY
                fixed = {"symbol": symbol, "strategy_id": owner}
                draw(an_order(state, Leg.EXIT if owner != EXTERNAL else Leg.ENTRY, out, **fixed))
    for _ in range(draw(st.integers(0, 4))):
        fixed = {"symbol": draw(st.sampled_from(SYMBOLS)), "strategy_id": draw(st.sampled_from(OWNERS))}
        draw(an_order(state, Leg.ENTRY, draw(st.sampled_from(Side)), **fixed))
    return state


@st.composite
def entries(draw: st.DrawFn) -> risk.Intent:
    """An entry of MINE, sound by itself."""
    symbol, side = draw(st.sampled_from(SYMBOLS)), draw(st.sampled_from(Side))
    return an_entry(symbol, D(draw(QTY)), side, decision_px=draw(PRICES))


@dataclass(frozen=True)
class May:
    """What one order may still do, by brute force: the quantities that could yet fill."""

    order: Order
    fills: tuple[D, ...]


def what_may_come(state: State, symbol: str) -> list[May]:
    """Every order of the symbol with what it may still fill: nothing, what it has left, what a replace would leave."""
    found = []
    for placed in state.orders.values():
        if placed.symbol != symbol:
            continue
        fills = {D(0), state.unproven.get(placed.cl_ord_id, D(0))}
        if placed.status not in TERMINAL:
            fills.add(placed.order_qty - placed.cum_qty)
            if placed.replacing is not None:
                fills.add(placed.replacing.order_qty - placed.cum_qty)
        found.append(May(placed, tuple(sorted(q for q in fills if q >= 0))))
    return [may for may in found if may.fills != (D(0),)]


def all_that_may_be_held(state: State, symbol: str) -> list[dict[str, D]]:
    """Each owner's position after every combination of fills. An exit closes at most what its owner holds."""
    may = what_may_come(state, symbol)
    outcomes = []
    for chosen in product(*(m.fills for m in may)):
        held = {p.strategy_id: p.qty for p in state.holders(symbol)}
        for m, qty in zip(may, chosen, strict=True):
            before, sign = held.get(m.order.strategy_id, D(0)), m.order.side.sign
            closable = max(D(0), -sign * before)
            held[m.order.strategy_id] = before + sign * (qty if m.order.leg is Leg.ENTRY else min(qty, closable))
        outcomes.append(held)
    return outcomes


@settings(max_examples=150, deadline=None)
@given(states())
def test_the_worst_case_is_never_below_anything_that_could_happen(state: State) -> None:
    for symbol, side in product(SYMBOLS, Side):
        worst = exposure.worst_qty(state, symbol, side)
        for held in all_that_may_be_held(state, symbol):
            assert worst >= side.sign * sum(held.values()), "the broker's net position"
            assert worst >= sum(max(side.sign * qty, D(0)) for qty in held.values()), "each owner's part by itself"


@settings(max_examples=200, deadline=None)
@given(states(), entries())
def test_no_entry_passes_above_any_limit_whatever_fills(state: State, intent: risk.Intent) -> None:
    if not all(verdict.passed for verdict in risk.judge(state, intent)):
        return
    limits, request, day = state.day.limits, intent.request, state.day
    equity, side = day.start_equity, request.side
    assert equity is not None
    assert state.account is not None
    assert limits.max_position_qty is not None
    for held in all_that_may_be_held(state, request.symbol):
        qty = sum(max(side.sign * q, D(0)) for q in held.values()) + request.order_qty
        other = sum(max(-side.sign * q, D(0)) for q in held.values())
        worth = qty * intent.decision_px
        assert qty <= limits.max_position_qty
        assert worth <= limits.max_position_notional
        assert worth * 100 <= limits.max_position_equity_pct * equity
        if limits.max_symbol_equity_pct is not None:
            assert (worth + other * intent.decision_px) * 100 <= limits.max_symbol_equity_pct * equity
    coming = [(m.order, max(m.fills)) for symbol in SYMBOLS for m in what_may_come(state, symbol)]
    opening = [(o, q) for o, q in coming if o.leg is Leg.ENTRY]
    mine = sum(q * o.decision_px for o, q in opening if o.strategy_id == MINE)
    mine += sum(abs(p.qty) * state.marks[p.symbol].px for p in state.positions.values() if p.strategy_id == MINE)
    mine += request.order_qty * intent.decision_px
    assert mine * 100 <= limits.max_strategy_equity_pct * equity
    symbols = {p.symbol for p in state.positions.values()} | {o.symbol for o, _ in opening} | {request.symbol}
    assert len(symbols) <= limits.max_open_positions
    tied_up = sum(q * o.decision_px for o, q in opening) + request.order_qty * intent.decision_px
    assert tied_up <= state.account.buying_power


TIGHTER: dict[str, Any] = {
    "max_daily_loss": D("0.01"),
    "max_daily_loss_pct": D("0.0001"),
    "max_position_qty": D(1),
    "max_position_notional": D(1),
    "max_position_equity_pct": D("0.01"),
    "max_symbol_equity_pct": D("0.01"),
    "max_strategy_equity_pct": D(50),
    "max_trades_per_day": 0,
    "max_open_positions": 0,
    "price_collar_bps": 1,
    "stale_quote_s": 1,
    "max_clock_skew_ms": 1,
    "max_submits_per_minute": 0,
    "entry_delay_min": 300,
    "entry_cutoff_min": 300,
}


def test_every_limit_that_a_rule_reads_can_be_tightened() -> None:
    """What is no limit of a rule: names, the strategies' own counts, the list of blocked symbols."""
    no_rule = {"blocked_symbols", "version", "owner", "approved_by", "approved_hash", "max_rejections_per_strategy"}
    assert TIGHTER.keys() | no_rule == set(Limits.__struct_fields__)


@settings(max_examples=150, deadline=None)
@given(states(), entries(), st.sampled_from(sorted(TIGHTER)))
def test_a_tighter_limit_never_lets_more_pass(state: State, intent: risk.Intent, name: str) -> None:
    state.day.net_realized_pnl, state.day.clock_skew_ms = D(-5), 20
    before = {v.code for v in risk.judge(state, intent) if not v.passed}
    tighter = {name: TIGHTER[name]}
    if name == "max_strategy_equity_pct":
        tighter["max_position_equity_pct"] = min(state.day.limits.max_position_equity_pct, D(50))
    state.day.limits = msgspec.structs.replace(state.day.limits, **tighter)
    after = {v.code for v in risk.judge(state, intent) if not v.passed}
    assert before <= after


@settings(max_examples=150, deadline=None)
@given(states(), st.sampled_from(SYMBOLS), st.sampled_from(OWNERS), QTY, st.sampled_from(Side))
def test_an_exit_that_passes_never_turns_a_position_around(
    state: State, symbol: str, owner: str, qty: int, side: Side
) -> None:
    passed = all(v.passed for v in risk.judge(state, an_exit(D(qty), side, symbol, owner)))
    held = state.position(owner, symbol)
    room = -side.sign * held.qty if held is not None else D(0)
    exits = [m for m in what_may_come(state, symbol) if m.order.strategy_id == owner and m.order.side is side]
    on_the_way = sum((max(m.fills) for m in exits if m.order.leg is not Leg.ENTRY), D(0))
    assert passed is (qty <= room - on_the_way)


@settings(max_examples=100, deadline=None)
@given(states(), entries(), st.booleans())
def test_judging_is_a_pure_question_with_one_answer(state: State, intent: risk.Intent, halted: bool) -> None:
    state.halt.state = TradingState.HALTED if halted else TradingState.ACTIVE
    before = state_hash(state)
    first = risk.judge(state, intent)
    assert risk.judge(state, intent) == first
    assert risk.judge(decode_state(encode_state(state)), intent) == first, "a checkpoint answers alike"
    assert state_hash(state) == before, "a question changes nothing"
    for verdict in first:
        said = sentence(verdict)
        assert said.startswith(f"{verdict.code}: ")
        assert "{" not in said
    assert verdicts(state, intent)["trading_state"].passed is not halted
