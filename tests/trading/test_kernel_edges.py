"""Single rules at their edges: money reserved and spent, partial fills, absence, blocks over days, other currencies."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.market import Mark
from qmworkbench.domain.events.orders import ExecutionReported, OrderDenied, OrderQueried
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.instruments import AssetClass, forex_pair
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Leg, OrdStatus
from qmworkbench.domain.sessions import BlockScope, TradingState
from qmworkbench.trading.phases import SessionRefused
from qmworkbench.venue.costs import CostSchedule, VenueModel
from tests.trading.test_kernel_rules import EARLY, entry, events, held, intents, opened, report_for
from tests.trading.world import Faults, World

RICH = Limits(
    entry_cutoff_min=1,
    max_position_notional=Decimal(80_000),
    max_position_equity_pct=Decimal(80),
    max_strategy_equity_pct=Decimal(100),
    max_position_qty=None,
)


def test_money_on_its_way_is_not_spent_twice() -> None:
    """Two entries at one boundary, each 60 % of what there is: the first reserves, the second is denied."""
    world = World(limits=RICH)
    world.budget_pct = Decimal(60)
    world.open()
    world.boundary(1, [])
    world.boundary(2, [world.row("AAA", entry_long=True), world.row("BBB", entry_long=True)])
    assert [e.request.symbol for e in intents(world, Leg.ENTRY)] == ["AAA"]
    assert "buying_power" in events(world, OrderDenied)[-1].reason


def test_a_fill_newer_than_the_account_statement_is_counted_against_it() -> None:
    world = World(limits=RICH)
    world.budget_pct = Decimal(60)
    world.statements = False
    world.open()
    world.boundary(1, [])
    entry(world)
    world.boundary(3, [])
    assert world.state.net_qty("AAA") > 0
    entry(world, "BBB")
    assert "buying_power" in events(world, OrderDenied)[-1].reason


def test_an_exit_closes_what_was_filled_not_what_was_wanted() -> None:
    terms = CostSchedule(participation=Decimal("0.005"))
    capped = VenueModel(name="capped", schedules=dict.fromkeys(AssetClass, terms))
    world = opened(model=capped)
    entry(world)
    world.boundary(3, [])
    qty, wanted = world.state.net_qty("AAA"), intents(world, Leg.ENTRY)[0].request.order_qty
    assert 0 < qty < wanted, "the volume cap cut the entry"
    entry_order = world.state.orders[intents(world, Leg.ENTRY)[0].request.cl_ord_id]
    assert (entry_order.status, entry_order.cum_qty) == (OrdStatus.CANCELED, qty)
    world.boundary(4, [world.row("AAA", exit_long=True)])
    assert intents(world, Leg.EXIT)[0].request.order_qty == qty


def test_one_answer_proves_nothing_before_its_cursor_has_caught_up() -> None:
    world = opened()
    world.faults = Faults(lost_request=1.0)
    entry(world)
    name = intents(world, Leg.ENTRY)[0].request.cl_ord_id
    assert world.state.orders[name].status is OrdStatus.UNKNOWN, "one answer within the grace proves nothing"
    world.tick(6)
    world.tick(6)
    assert world.state.orders[name].status is OrdStatus.CANCELED, "absent at an exact cursor, after the grace: proven"
    again = opened()
    again.faults = Faults(lost_request=1.0, unreachable=1.0)
    entry(again)
    name = intents(again, Leg.ENTRY)[0].request.cl_ord_id
    assert again.state.orders[name].status is OrdStatus.UNKNOWN, "no answer proves nothing"
    again.kernel.state.exec_cursor = 99
    stale = OrderQueried(at=again.at(), cl_ord_id=name, complete=True, cursor=98)
    again.kernel.step(stale)
    assert again.state.orders[name].status is OrdStatus.UNKNOWN, "an answer older than what we know proves nothing"


def test_an_over_fill_is_exposure_whatever_it_should_have_been() -> None:
    world = held()
    sent = intents(world, Leg.ENTRY)[0].request
    qty = world.state.net_qty("AAA")
    world.kernel.step(ExecutionReported(at=world.at(), report=report_for(world, cl_ord_id=sent.cl_ord_id)))
    assert world.state.net_qty("AAA") == qty + 10


def test_a_stopped_strategy_loses_its_entries_and_keeps_its_exits() -> None:
    world = held()
    entry(world, "BBB")
    assert [o for o in world.exchange.open_orders() if o.symbol == "BBB"]
    world.command(commands.StopStrategy(reason="odd", strategy_id="test-1"))
    assert not [o for o in world.exchange.open_orders() if o.symbol == "BBB"]
    assert world.state.trading_state("test-1") is TradingState.REDUCING
    assert {o.leg for o in world.exchange.open_orders()} == {Leg.STOP, Leg.TARGET, Leg.CLOSE}


@pytest.mark.parametrize("command", [commands.Pause(reason="r"), commands.EmergencyLiquidateAndHalt(reason="r")])
def test_no_entry_outlives_a_halt(command: Any) -> None:
    world = opened()
    entry(world)
    assert world.exchange.open_orders()
    world.command(command)
    assert not [o for o in world.exchange.open_orders() if o.leg is Leg.ENTRY]


def test_a_cancel_that_got_lost_is_asked_again_but_not_at_once() -> None:
    world = held()
    world.faults = Faults(lost_request=1.0)
    world.boundary(4, [world.row("AAA", exit_long=True)])
    asked = [o for o in world.state.exit_legs("test-1", "AAA") if o.cancel_failed]
    assert len(asked) == 3
    world.faults = Faults()
    world.boundary(5, [])
    world.boundary(6, [])
    assert world.state.net_qty("AAA") == 0


def test_a_permanent_block_outlives_the_day_and_a_session_block_does_not() -> None:
    world = opened()
    world.command(commands.BlockSymbol(symbol="AAA", scope=BlockScope.SESSION, reason="today"))
    world.command(commands.BlockSymbol(symbol="BBB", scope=BlockScope.PERMANENT, reason="for good"))
    world.command(commands.Pause(reason="a halt stays too"))
    world.close()
    world.open_again()
    assert sorted(world.state.blocked) == ["BBB"]
    assert world.state.halt.state is TradingState.REDUCING
    assert world.state.day.entries_intended == 0


def test_a_closed_session_never_runs_again() -> None:
    world = opened()
    world.close()
    again = decode(world.journal[0])
    assert isinstance(again, SessionOpened)
    with pytest.raises(SessionRefused, match="--fresh"):
        world.feed(msgspec.structs.replace(again, at=world.at()))


def test_foreign_money_converts_through_recorded_rates_or_blocks() -> None:
    world = opened()
    state = world.state
    state.day.instruments["USDJPY"] = forex_pair("USDJPY")
    state.day.instruments["EURGBP"] = forex_pair("EURGBP")
    assert state.rate("JPY") is None
    assert state.notional("USDJPY", Decimal(1000), Decimal(110)) is None, "a missing rate is not a rate of one"
    state.marks["USDJPY"] = Mark(symbol="USDJPY", px=Decimal(110), at=world.at())
    state.marks["GBPUSD"] = Mark(symbol="GBPUSD", px=Decimal("1.25"), at=world.at())
    assert state.notional("USDJPY", Decimal(1100), Decimal(110)) == pytest.approx(Decimal(1100))
    assert state.notional("EURGBP", Decimal(100), Decimal("0.88")) == Decimal("110.0000")


def test_limits_in_the_file_block_symbols_that_only_the_file_unblocks() -> None:
    world = opened(limits=Limits(entry_cutoff_min=1, blocked_symbols=("AAA",)))
    entry(world)
    assert not intents(world, Leg.ENTRY)
    answered = world.command(commands.UnblockSymbol(symbol="AAA", reason="please"))
    assert "limits file" in answered[-1].reason  # type: ignore[attr-defined]
    assert EARLY.blocked_symbols == ()
