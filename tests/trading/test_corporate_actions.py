"""The broker's overnight entries in our books: applied once, shared out exactly, and no break the day after (§14)."""

from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain.corporate_actions import CorporateAction, exact_ratio
from qmworkbench.domain.events import Event, Input, decode
from qmworkbench.domain.events.orders import TradeClosed
from qmworkbench.domain.events.overnight import ActivitiesObserved, CashBooked, OrderRestated, PositionRestated
from qmworkbench.domain.events.reconciliation import BreakFound, BrokerConnectionChanged
from qmworkbench.domain.execution import AccountActivity, ActivityKind
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import BlockScope
from qmworkbench.trading import holdings
from qmworkbench.trading.sharing import shared, whole_lots_each
from qmworkbench.trading.state import EXTERNAL, Block
from qmworkbench.venue.activities import post
from tests.trading.world import OPEN, SYMBOLS, Faults, World

TUESDAY = OPEN + timedelta(days=1)


def action(kind: ActivityKind, symbol: str = "AAA", **more: Any) -> CorporateAction:
    return CorporateAction(kind=kind, symbol=symbol, ex_date=TUESDAY.date(), **more)


def split(ratio: str, symbol: str = "AAA") -> CorporateAction:
    return action(ActivityKind.SPLIT, symbol, ratio=exact_ratio(ratio))


@dataclass
class Nights(World):
    """A world whose venue books the night, and whose shell reads it as soon as the venue has opened."""

    flat_policy: str = "carry"
    boundaries: int = 20
    actions: tuple[CorporateAction, ...] = ()
    told: list[Input] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        opened = self.exchange.open_session

        def open_session(session_id: str, at: datetime) -> None:
            opened(session_id, at, day=at.date(), actions=self.actions)

        self.exchange.open_session = open_session  # type: ignore[method-assign, assignment]

    def feed(self, given: Input) -> list[Event]:
        if isinstance(given, BrokerConnectionChanged):
            fresh = self.broker.activities(self.state.activity_cursor)
            if fresh:
                super().feed(ActivitiesObserved(at=self.at(), activities=tuple(fresh)))
        return super().feed(given)

    def hold(self, symbol: str = "AAA", **row: Any) -> None:
        """A day on which one position is opened and carried."""
        self.open()
        px = D(str(self.px[symbol]))
        row = {"stop_px": px * D("0.9"), "target_px": px * D("1.15"), **row}
        still = {s: (self.px[s],) * 4 for s in self.universe.symbols}
        self.boundary(1, [self.row(symbol, entry_long=True, **row)], still)
        for number in range(2, self.boundaries + 1):
            self.boundary(number, [], still)
        self.close()

    def night(self, *actions: CorporateAction) -> list[Event]:
        """The next day's opening up to the market session; what it put on record."""
        self.actions = actions
        before = len(self.journal)
        self.open_again()
        return self.events()[before:]

    def events(self) -> list[Event]:
        return [decode(line) for line in self.journal]

    def of(self, kind: type[Event], after: int = 0) -> list[Any]:
        return [event for event in self.events()[after:] if isinstance(event, kind)]

    def assert_books_agree(self) -> None:
        assert self.state.day.phase == "market_session"
        assert not self.of(BreakFound)
        assert not self.state.reconciliation.unresolved
        assert not holdings.unsound(self.state)
        theirs = {held.symbol: (held.qty, held.avg_px) for held in self.broker.positions()}
        assert {symbol: (net.qty, net.avg_px) for symbol, net in self.state.net.items()} == theirs
        ours = {order.cl_ord_id: (order.symbol, order.order_qty, order.cum_qty) for order in self.state.working()}
        resting = {o.cl_ord_id: (o.symbol, o.order_qty, o.cum_qty) for o in self.broker.open_orders()}
        assert ours == resting
        for order in self.broker.open_orders():
            mine = self.state.orders[order.cl_ord_id]
            assert mine.limit_px == order.limit_px
            # Where a trailing stop stands is the broker's to know.
            assert mine.trail_bps is not None or mine.stop_px == order.stop_px


@pytest.fixture
def world() -> Nights:
    world = Nights()
    world.hold()
    return world


@pytest.mark.parametrize(
    "actions",
    [
        (split("7"),),
        (split("3:2"),),
        (split("1:3"),),
        (split("1:8"), action(ActivityKind.DIVIDEND, amount=D("0.37"))),
        (action(ActivityKind.DIVIDEND, amount=D("1.005")),),
        (action(ActivityKind.SYMBOL_CHANGE, new_symbol="BBB"),),
        (action(ActivityKind.SYMBOL_CHANGE, new_symbol="NEW"), split("2")),
        (action(ActivityKind.DELISTING, amount=D("21.5")),),
        (split("1:10000"),),
    ],
    ids=lambda actions: "+".join(str(a.kind) for a in actions),
)
def test_the_day_after_has_no_break(world: Nights, actions: tuple[CorporateAction, ...]) -> None:
    assert world.state.position("test-1", "AAA") is not None
    told = world.night(*actions)
    assert any(isinstance(event, ActivitiesObserved) for event in told)
    world.assert_books_agree()
    booked = sum((event.amount for event in told if isinstance(event, CashBooked)), ZERO)
    assert booked == sum((a.amount for a in world.broker.activities(0)), ZERO)
    for number in range(1, world.boundaries + 1):
        world.boundary(number, [])
    world.close()
    assert world.state.day.phase == "closed"
    assert not world.of(BreakFound)


def test_a_split_keeps_cost_and_restates_what_rests(world: Nights) -> None:
    before = copy(world.state.position("test-1", "AAA"))
    stop = next(o for o in world.state.working() if o.leg == "stop")
    was = (stop.order_qty, stop.stop_px)
    told = world.night(split("2"))
    held = world.state.position("test-1", "AAA")
    assert held is not None
    assert (held.qty, held.cost) == (before.qty * 2, before.cost)
    assert (held.entry_qty, held.entry_value) == (before.entry_qty * 2, before.entry_value)
    assert before.initial_stop_px is not None
    assert held.initial_stop_px == before.initial_stop_px / 2
    stop = world.state.orders[stop.cl_ord_id]
    assert was[1] is not None
    assert (stop.order_qty, stop.stop_px) == (was[0] * 2, was[1] / 2)
    assert [event.cause for event in told if isinstance(event, PositionRestated)] == [
        "split of 2026-03-03: 2 new for one old"
    ]


def test_a_trade_over_a_split_earns_what_it_earned() -> None:
    plain, over = Nights(), Nights()
    for world in (plain, over):
        world.hold()
        world.night(*([split("2")] if world is over else []))
        px = 22.0 if world is plain else 11.0
        world.px["AAA"] = px
        still = {s: (world.px[s],) * 4 for s in world.universe.symbols}
        world.boundary(1, [world.row("AAA", exit_long=True)], still)
        world.boundary(2, [], still)
    one, other = plain.of(TradeClosed)[0], over.of(TradeClosed)[0]
    assert one.gross_pnl == other.gross_pnl > 0
    assert one.r_multiple == other.r_multiple
    assert (other.entry_px * 2, other.exit_px * 2, other.qty) == (one.entry_px, one.exit_px, one.qty * 2)


def test_a_payout_ends_the_round_trip(world: Nights) -> None:
    held = world.state.position("test-1", "AAA")
    assert held is not None
    qty, cost = held.qty, held.cost
    told = world.night(action(ActivityKind.DELISTING, amount=D("21.5"), source="merger"))
    (trade,) = [event for event in told if isinstance(event, TradeClosed)]
    assert (trade.qty, trade.exit_px, trade.gross_pnl) == (qty, D("21.5"), qty * D("21.5") - cost)
    assert trade.exit_reason == "delisting of 2026-03-03: paid out at 21.5 (merger)"
    assert not world.state.positions
    assert not world.state.open_orders
    assert world.state.day.trades == 1


def test_the_opening_balance_holds_the_night_and_the_day_begins_at_nothing(world: Nights) -> None:
    before = world.broker.account().equity
    world.night(action(ActivityKind.DIVIDEND, amount=D(1)))
    held = world.state.position("test-1", "AAA")
    assert held is not None
    assert world.state.day.start_equity == before + held.qty
    assert (world.state.day.realized_pnl, world.state.day.activity_pnl) == (ZERO, ZERO)


def test_money_that_comes_in_mid_session_is_no_break(world: Nights) -> None:
    world.night()
    books = world.exchange._books
    held = books.positions["AAA"]
    terms = {"qty_before": held.qty, "qty_after": held.qty, "effective": "2026-03-03"}
    post(books, ActivityKind.DIVIDEND, "AAA", world.at(), amount=D("12.34"), **terms)  # type: ignore[arg-type]
    books.commit()
    world.feed(ActivitiesObserved(at=world.at(), activities=tuple(world.broker.activities(0))))
    assert world.state.day.activity_pnl == D("12.34")
    world.close()
    assert not world.of(BreakFound)


def test_a_name_takes_its_block_along(world: Nights) -> None:
    world.state.blocked["AAA"] = Block(scope=BlockScope.PERMANENT, by="tester", reason="too wild", at=world.at())
    world.night(action(ActivityKind.SYMBOL_CHANGE, new_symbol="NEW"))
    assert world.state.blocked["NEW"].reason == "too wild (as AAA)"
    assert [event.symbol for event in world.of(OrderRestated)] == ["NEW", "NEW"]


def drawn_actions(world: Nights, day: datetime) -> tuple[CorporateAction, ...]:
    """A night as it comes: some of everything, for symbols held and not."""
    draw, found = world.random, []
    for symbol in SYMBOLS:
        terms: dict[str, Any] = {"symbol": symbol, "ex_date": day.date()}
        if draw.random() < 0.5:
            ratio = exact_ratio(draw.choice(["2", "3:2", "7", "1:3", "1:8", "9:10"]))
            found.append(CorporateAction(kind=ActivityKind.SPLIT, ratio=ratio, **terms))
        if draw.random() < 0.4:
            amount = D(draw.randint(1, 900)) / 1000
            found.append(CorporateAction(kind=ActivityKind.DIVIDEND, amount=amount, **terms))
        if draw.random() < 0.15:
            found.append(CorporateAction(kind=ActivityKind.DELISTING, **terms))
    names = list(SYMBOLS)
    draw.shuffle(names)
    if draw.random() < 0.5:  # handed on along a chain, never in a circle
        for old, new in zip(names, [*names[1:3], "NEW"], strict=False):
            gone = any(a.kind is ActivityKind.DELISTING and a.symbol == old for a in found)
            if not gone:
                terms = {"symbol": old, "ex_date": day.date()}
                found.append(CorporateAction(kind=ActivityKind.SYMBOL_CHANGE, new_symbol=new, **terms))
    return tuple(found)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_week_of_nights_brings_the_books_agree(seed: int) -> None:
    world = Nights(seed=seed, boundaries=24, signal_rate=0.5, faults=Faults(crash=0.01 if seed % 2 else 0.0))
    for number in range(6):
        opens = OPEN + timedelta(days=number)
        world.now, world.calm = max(world.at(), opens - timedelta(minutes=10)), False
        world.actions = drawn_actions(world, opens)
        world.open(opens)
        world.assert_books_agree()
        for boundary in range(1, world.boundaries + 1):
            still = None if boundary < 4 else {s: (world.px[s],) * 4 for s in world.universe.symbols}
            world.boundary(boundary, None if boundary < 9 else [], still)
        world.close()
        assert world.state.day.phase == "closed"
        assert not world.of(BreakFound)
        assert not holdings.unsound(world.state)
    booked = sum((event.amount for event in world.of(CashBooked)), ZERO)
    assert booked == sum((a.amount for a in world.broker.activities(0)), ZERO)
    assert len(world.broker.activities(0)) == sum(len(e.activities) for e in world.of(ActivitiesObserved))


class TestOnce:
    def test_the_same_again_is_dropped(self, world: Nights) -> None:
        world.night(split("2"))
        size = len(world.journal)
        again = ActivitiesObserved(at=world.at(), activities=tuple(world.broker.activities(0)))
        assert world.feed(again) == []
        assert len(world.journal) == size
        world.assert_books_agree()

    def test_an_old_session_told_again_is_old_news(self, world: Nights) -> None:
        world.night(split("2"))
        world.close()
        old = tuple(world.broker.activities(0))
        world.actions = ()
        world.now = OPEN + timedelta(days=2, minutes=-10)
        world.open(OPEN + timedelta(days=2))
        assert world.feed(ActivitiesObserved(at=world.at(), activities=old)) == []

    def test_the_same_id_with_other_content_is_a_break_and_changes_nothing(self, world: Nights) -> None:
        world.night(split("2"))
        (told,) = world.broker.activities(0)
        held = world.state.position("test-1", "AAA")
        assert held is not None
        qty = held.qty
        other = msgspec.structs.replace(told, ratio=D(3))
        events = world.feed(ActivitiesObserved(at=world.at(), activities=(other,)))
        (found,) = [event for event in events if isinstance(event, BreakFound)]
        assert "other content" in found.cause
        assert held.qty == qty
        assert any(alert.kind == "activity_does_not_fit" for alert in world.state.alerts.values())

    def test_a_crash_in_between_changes_nothing(self, world: Nights) -> None:
        world.night(split("2"), action(ActivityKind.DIVIDEND, amount=D(1)))
        live = world.state
        world.restart()
        assert world.state.positions == live.positions
        assert world.state.activity_ids == live.activity_ids
        world.assert_books_agree()


class TestWhatDoesNotFit:
    def told(self, world: Nights, **changes: Any) -> AccountActivity:
        activity = AccountActivity(
            cursor=world.broker.account().cursor + 1,
            activity_id="x",
            kind=ActivityKind.SPLIT,
            symbol="AAA",
            effective="2026-03-03",
            qty_before=D(7),
            qty_after=D(14),
            transact_time=world.at(),
            ratio=D(2),
            px=D(10),
        )
        return msgspec.structs.replace(activity, **changes)

    def test_another_quantity_is_a_break_with_both_sides(self, world: Nights) -> None:
        world.night()
        held = world.state.position("test-1", "AAA")
        assert held is not None
        qty = held.qty
        events = world.feed(ActivitiesObserved(at=world.at(), activities=(self.told(world),)))
        (found,) = [event for event in events if isinstance(event, BreakFound)]
        assert (found.before, found.after) == (f"{qty}", "7")
        assert held.qty == 2 * qty  # the ratio is a fact all the same

    @pytest.mark.parametrize("kind", ActivityKind)
    def test_a_symbol_nobody_holds_is_a_break_and_no_crash(self, world: Nights, kind: ActivityKind) -> None:
        world.night()
        new = "NEW" if kind is ActivityKind.SYMBOL_CHANGE else ""
        ratio = D(2) if kind is ActivityKind.SPLIT else ZERO
        odd = self.told(world, kind=kind, symbol="ODD", new_symbol=new, ratio=ratio, amount=D("1.23"))
        events = world.feed(ActivitiesObserved(at=world.at(), activities=(odd,)))
        (found,) = [event for event in events if isinstance(event, BreakFound)]
        assert (found.symbol, found.before, found.after) == ("ODD", "0", "7")
        cash = [event for event in events if isinstance(event, CashBooked)]
        if kind not in (ActivityKind.SPLIT, ActivityKind.SYMBOL_CHANGE):
            assert [(event.strategy_id, event.amount) for event in cash] == [(EXTERNAL, D("1.23"))]


class TestSharing:
    def two(self, world: Nights, mine: str, outside: str) -> None:
        """The instance holds `mine` of AAA, somebody outside the rest."""
        held = world.state.position("test-1", "AAA")
        assert held is not None
        more = D(mine) + D(outside) - held.qty
        world.exchange.plant_break("AAA", qty_delta=more)
        px = held.avg_px
        holdings.restate(world.state, held, symbol="AAA", qty=D(mine), cost=D(mine) * px)
        other = Position(strategy_id=EXTERNAL, symbol="AAA", qty=D(outside), cost=D(outside) * px, flat_policy="carry")
        holdings.net_moved(world.state, "AAA", other.qty, other.cost)
        holdings.hold(world.state, other)

    @pytest.mark.parametrize(("mine", "outside"), [("150", "51"), ("151", "51"), ("1", "100"), ("300", "-99")])
    def test_fractions_go_where_the_most_of_a_share_is(self, world: Nights, mine: str, outside: str) -> None:
        self.two(world, mine, outside)
        told = world.night(split("1:8"), action(ActivityKind.DIVIDEND, amount=D("0.333")))
        parts = {held.strategy_id: held.qty for held in world.state.holders("AAA")}
        assert all(qty == int(qty) for qty in parts.values())
        (theirs,) = world.broker.positions()
        assert sum(parts.values()) == theirs.qty == int((D(mine) + D(outside)) / 8)
        assert abs(world.state.net["AAA"].avg_px - theirs.avg_px) < D("1e-20")
        for activity in world.broker.activities(0):
            booked = [e.amount for e in told if isinstance(e, CashBooked) and e.activity_id == activity.activity_id]
            assert sum(booked, ZERO) == activity.amount
        assert not holdings.unsound(world.state)

    @given(
        st.decimals("-1000", "1000", places=8),
        st.dictionaries(st.sampled_from("abcdef"), st.integers(-999, 999).filter(bool), min_size=1),
    )
    @settings(deadline=None)
    def test_shares_add_up_to_the_last_digit(self, amount: D, weights: dict[str, int]) -> None:
        exact = {name: D(weight) for name, weight in weights.items()}
        if sum(exact.values()):
            assert sum(shared(amount, exact).values(), ZERO) == amount

    @given(st.lists(st.integers(1, 4000), min_size=1, max_size=5), st.sampled_from([2, 3, 7, 8]), st.booleans())
    @settings(deadline=None)
    def test_whole_lots_add_up_to_the_brokers(self, parts: list[int], ratio: int, short: bool) -> None:
        held = [
            Position(strategy_id=f"s{k}", symbol="A", qty=(D(-n if short else n) / ratio).quantize(D("1e-8")))
            for k, n in enumerate(parts)
        ]
        target = D(int(D(sum(parts)) / ratio)) * (-1 if short else 1)
        lots = whole_lots_each(held, target, D(1))
        assert sum(lots.values(), ZERO) == target
        assert all(abs(lots[p.strategy_id] - p.qty) < 1 for p in held)
