"""Round trips recomputed from fills, and the audit of the journal: true on every world, and not to be fooled."""

from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.analytics.audit import audit
from qmworkbench.analytics.equity import day_figures, equity_curve
from qmworkbench.analytics.round_trips import round_trips, unmatched
from qmworkbench.analytics.session_record import NoSession, record_of
from qmworkbench.analytics.trades import trades_of
from qmworkbench.domain.commands import AddNote as Note
from qmworkbench.domain.commands import BlockSymbol, EmergencyLiquidateAndHalt, NoteKind, Pause
from qmworkbench.domain.events import Event, control, decode, orders
from qmworkbench.domain.numbers import ZERO, cents
from qmworkbench.domain.orders import TERMINAL, Leg
from qmworkbench.domain.sessions import TradingState
from qmworkbench.strategies.bars import RAW_SCHEMA
from tests.analytics.frames import ZONE
from tests.trading.test_kernel_world import BUSY
from tests.trading.test_shared_symbols import opposed, step
from tests.trading.world import SYMBOLS, Faults, World

replace = msgspec.structs.replace


def day(seed: int, boundaries: int = 20, **given: Any) -> World:
    """A whole day of the small world, closed."""
    world = World(seed=seed, boundaries=boundaries, **given)
    world.open()
    for number in range(1, boundaries + 1):
        world.boundary(number)
    world.close()
    return world


def events_of(world: World) -> list[Event]:
    return [decode(line) for line in world.journal]


@pytest.fixture(scope="module")
def traded() -> World:
    """A calm day with several trades and at least one cancel."""
    for seed in range(50):
        world = day(seed)
        if world.state.day.trades > 3 and any(isinstance(e, orders.CancelRequested) for e in events_of(world)):
            return world
    raise AssertionError("no seed trades enough")


def test_parts_that_were_set_off_against_each_other_are_trips_as_well() -> None:
    world = opposed()
    world.command(EmergencyLiquidateAndHalt(reason="out"))
    step(world)
    step(world)
    events = events_of(world)
    closed = [event for event in events if isinstance(event, orders.TradeClosed)]
    computed = round_trips(events)
    assert len(closed) == 2
    assert unmatched(computed, closed) == ()
    assert {trip.trade_id: trip.net_pnl for trip in computed.trips} == {e.trade_id: e.net_pnl for e in closed}
    assert computed.open_positions == 0


@pytest.mark.parametrize("seed", range(4))
def test_equity_is_the_accounts_over_shared_symbols_and_over_the_night(seed: int) -> None:
    world = World(
        seed=seed, shared=True, strategies=("a", "b", "c"), limits=BUSY, boundaries=12, flat_policy="carry"
    ).run()
    first = len(world.journal)
    world.open_again()
    for number in range(1, 13):
        world.boundary(number)
    world.close()
    curve = equity_curve(record_of(events_of(world)[first:]))
    # Rates move between fills and marks: cents, on a hundred thousand.
    assert curve["equity"][-1] == pytest.approx(float(world.exchange.account().equity), abs=3)
    assert curve["realized"][-1] == pytest.approx(float(world.state.day.net_realized_pnl), abs=0.01)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_trades_are_exactly_what_the_fills_say_on_any_day(seed: int) -> None:
    world = day(seed)
    events = events_of(world)
    closed = [event for event in events if isinstance(event, orders.TradeClosed)]
    computed = round_trips(events)
    assert unmatched(computed, closed) == ()
    assert {t.trade_id: t.net_pnl for t in computed.trips} == {t.trade_id: t.net_pnl for t in closed}
    assert computed.open_positions == len(world.state.positions) == 0
    assert audit(events).findings == []


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_lost_answers_and_crashes_leave_nothing_unaccounted_for(seed: int) -> None:
    faults = Faults(lost_request=0.1, lost_ack=0.1, refused=0.05, unreachable=0.05, crash=0.01)
    events = events_of(day(seed, faults=faults))
    found = audit(events)
    assert found.findings == []
    computed = round_trips(events)
    closed = [event for event in events if isinstance(event, orders.TradeClosed)]
    assert unmatched(computed, closed) == ()


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_the_record_agrees_with_the_folded_state(seed: int) -> None:
    world = day(seed)
    record, state = record_of(events_of(world)), world.state
    assert record.money.realized == state.day.realized_pnl
    assert record.money.fees == state.day.fees
    known = {row["cl_ord_id"]: row["status"] for row in record["orders"].iter_rows(named=True)}
    assert known == {name: order.status.value for name, order in state.orders.items()}
    ended = record["orders"].filter(record["orders"]["ended_at"].is_not_null())["cl_ord_id"].to_list()
    assert set(ended) == {name for name, order in state.orders.items() if order.status in TERMINAL}
    assert record["fills"].height == len(state.fills)
    assert record["trades"].height == state.day.trades
    assert record.is_closed


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_the_curve_ends_at_the_brokers_own_equity(seed: int) -> None:
    world = day(seed)
    record = record_of(events_of(world))
    curve = equity_curve(record)
    assert curve.height == world.boundaries + 1
    assert cents(Decimal(str(curve["equity"][-1]))) == cents(world.broker.account().equity)
    trades = trades_of(record, pl.DataFrame(schema=RAW_SCHEMA), zone=ZONE)
    figures = day_figures(record, trades, curve)
    assert figures.net_pnl == record.money.net
    assert figures.max_drawdown is not None
    assert figures.max_drawdown >= 0
    assert figures.start_equity == Decimal(100_000)


# --- the audit is not to be fooled ------------------------------------------------------------------------------


def rules(events: list[Event]) -> set[str]:
    return {finding.rule for finding in audit(events).findings}


def test_a_removed_risk_decision_is_found(traded: World) -> None:
    events = [e for e in events_of(traded) if not isinstance(e, orders.RiskDecided)]
    assert rules(events) == {"intent without risk decision", "refusal without risk decision"}


def test_a_removed_intent_is_found_at_its_send_and_its_fills(traded: World) -> None:
    events = [e for e in events_of(traded) if not (isinstance(e, orders.OrderIntended) and e.leg is Leg.ENTRY)]
    assert {"send without intent", "fill without order"} <= rules(events)


def test_a_repeated_intent_send_and_fill_are_found(traded: World) -> None:
    doubled: list[Event] = []
    for event in events_of(traded):
        doubled.append(event)
        if isinstance(event, orders.OrderIntended | orders.SubmitObserved | orders.FillRecorded):
            doubled.append(event)
    assert {"intended twice", "sent twice", "fill booked twice"} <= rules(doubled)


def test_a_fill_nobody_reported_is_found(traded: World) -> None:
    first = next(e for e in events_of(traded) if isinstance(e, orders.FillRecorded))
    invented = [*events_of(traded), replace(first, exec_id="made-up")]
    assert "fill without execution" in rules(invented)


def test_a_cancel_nobody_asked_for_is_found(traded: World) -> None:
    events = [e for e in events_of(traded) if not isinstance(e, orders.CancelRequested)]
    assert "cancel without request" in rules(events)


def test_an_entry_while_held_halted_or_closed_is_found(traded: World) -> None:
    events = events_of(traded)
    entry = next(e for e in events if isinstance(e, orders.OrderIntended) and e.leg is Leg.ENTRY)
    at = events.index(entry)
    held = control.EntriesHeld(at=entry.at, reason="a test holds them")
    assert "entry while entries were held" in rules([*events[:at], held, *events[at:]])
    change = control.TradingStateChanged(
        at=entry.at,
        scope="book",
        before=TradingState.ACTIVE,
        after=TradingState.REDUCING,
        code="test",
        reason="",
        by="test",
    )
    assert "entry while halted" in rules([*events[:at], change, *events[at:]])
    opened, rest = events[0], events[1:]
    early = [opened, replace(entry, at=opened.at), *rest]
    assert "entry outside the market session" in rules(early)


def test_a_changed_price_or_a_lost_trade_does_not_pass(traded: World) -> None:
    events = events_of(traded)
    closed = [e for e in events if isinstance(e, orders.TradeClosed)]
    assert len(unmatched(round_trips(events), closed[1:])) == 1
    assert len(unmatched(round_trips(events), [*closed, replace(closed[0], trade_id="ghost", symbol="ZZZ")])) == 1
    last = next(e for e in reversed(events) if isinstance(e, orders.FillRecorded))
    moved = [replace(e, fee=e.fee + 1) if e is last else e for e in events]
    before = sum((t.net_pnl for t in round_trips(events).trips), ZERO)
    after = sum((t.net_pnl for t in round_trips(moved).trips), ZERO)
    assert before - after == 1


# --- people ------------------------------------------------------------------------------


def test_commands_notes_and_halts_are_in_the_record() -> None:
    world = World(seed=1, boundaries=6)
    world.open()
    world.boundary(1)
    world.command(Pause(reason="looks odd"))
    world.command(BlockSymbol(symbol=SYMBOLS[0], reason="news"))
    world.command(BlockSymbol(symbol="NOPE", reason="typing error"))
    world.command(Note(reason="feed was slow", kind=NoteKind.INCIDENT))
    world.close()
    record = record_of(events_of(world))
    accepted = dict(zip(record["commands"]["command"], record["commands"]["accepted"], strict=True))
    assert accepted["pause"] is True
    assert record["commands"].filter(record["commands"]["details"].str.contains("NOPE"))["accepted"].to_list() == [
        False
    ]
    assert record["notes"]["text"].to_list() == ["feed was slow"]
    assert "operator_pause" in record["halts"]["code"].to_list()


def test_no_session_is_said_so(traded: World) -> None:
    with pytest.raises(NoSession, match="from its opening on"):
        record_of(events_of(traded)[1:])
