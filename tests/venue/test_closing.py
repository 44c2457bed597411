"""The end of a session: who trades at the close, who expires, and what a new session starts with."""

from datetime import timedelta
from decimal import Decimal as D

import msgspec
import pytest

from qmworkbench.domain.orders import PositionEffect, Side, TimeInForce
from qmworkbench.venue.records import VenueError
from tests.venue.worlds import OPEN, World, at, bracket, terms

CLOSE = TimeInForce.AT_CLOSE


@pytest.fixture
def world() -> World:
    world = World()
    world.feed({"AAA": (100, 100, 100, 100), "BBB": (50, 50, 50, 50)})
    return world


class TestTheClosingPrint:
    def test_a_symbol_that_stopped_trading_has_none(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=95, close=True))
        world.bars((100, 100, 100, 100))
        world.end(minute=1 + 31)
        assert world.fills() == [(1, "+100", "100")]
        assert world.why("in/close") == "no_closing_print"
        assert world.why("in/stop") == "session_over"
        assert world.qty() == 100

    def test_half_an_hour_old_still_counts(self, world: World) -> None:
        world.buy("in", legs=bracket("in", close=True))
        world.bars((100, 101, 100, 101))
        world.end(minute=1 + 30)
        assert world.fills()[-1] == (31, "-100", "101")

    def test_a_halted_symbol_has_none(self, world: World) -> None:
        world.buy("in", legs=bracket("in", close=True))
        world.bars((100, 100, 100, 100))
        world.exchange.halt("AAA")
        world.end()
        assert world.why("in/close") == "no_closing_print"

    def test_yesterdays_print_is_not_todays(self, world: World) -> None:
        world.buy("in", legs=())
        world.bars((100, 100, 100, 100))
        world.end()
        world.exchange.open_session("next", at(1))
        world.send("out", Side.SELL, 100, effect=PositionEffect.CLOSE, tif=CLOSE, decided=at(0))
        world.end(minute=5)
        assert world.why("out") == "no_closing_print"

    def test_what_is_decided_at_the_last_print_cannot_have_it(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        world.send("out", Side.SELL, 100, effect=PositionEffect.CLOSE, tif=CLOSE)
        world.end()
        assert world.why("out") == "no_closing_print"

    def test_costs_apply(self) -> None:
        world = World(model=terms(slippage_bps=D(10), round_to_tick=True))
        world.bars((100, 100, 100, 100))
        world.buy("in", legs=bracket("in", close=True))
        world.bars((100, 100, 100, 100))
        world.end()
        assert world.fills() == [(1, "+100", "100.1"), (1, "-100", "99.9")]

    def test_entries_may_wait_for_the_close(self, world: World) -> None:
        world.send("in", Side.BUY, 10, tif=CLOSE)
        world.bars((101, 102, 100, 102))
        assert world.fills() == []
        world.end()
        assert world.fills() == [(1, "+10", "102")]

    def test_an_entry_against_a_position_does_not_flip_it(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        world.sell("short", tif=CLOSE)
        world.bars((100, 100, 100, 100))
        world.end()
        assert world.why("short") == "opposite_position"
        assert world.qty() == 100

    def test_two_closes_of_one_position_close_it_once(self, world: World) -> None:
        world.buy("in", legs=bracket("in", close=True))
        world.bars((100, 100, 100, 100))
        world.send("out", Side.SELL, 100, effect=PositionEffect.CLOSE, tif=CLOSE)
        world.bars((100, 100, 100, 100))
        world.end()
        assert world.qty() == 0
        assert world.fills() == [(1, "+100", "100"), (2, "-100", "100")]
        assert world.why("out") == "nothing_to_reduce"

    def test_a_close_of_more_than_is_held_is_cut(self, world: World) -> None:
        world.buy("in", 60)
        world.bars((100, 100, 100, 100))
        world.send("out", Side.SELL, 100, effect=PositionEffect.CLOSE, tif=CLOSE)
        world.bars((100, 100, 100, 100))
        world.end()
        assert world.fills() == [(1, "+60", "100"), (2, "-60", "100")]
        assert world.why("out") == "nothing_to_reduce"

    def test_the_last_print_of_a_frame_that_nobody_worked_in_is_known(self) -> None:
        """Prints count from before the order came, though the books did not follow the symbol then."""
        world = World()
        world.bars((100, 100, 100, 100), (100, 100, 100, 103))
        world.send("in", Side.BUY, 10, tif=CLOSE, decided=at(0))
        world.end()
        assert world.fills() == [(1, "+10", "103")]


class TestSessions:
    def test_day_orders_end_and_gtc_orders_stay(self, world: World) -> None:
        world.buy("day", limit=90, tif=TimeInForce.DAY)
        world.buy("gtc", limit=90, tif=TimeInForce.GTC, legs=bracket("gtc", stop=80, tif=TimeInForce.GTC))
        world.end()
        assert world.why("day") == "session_over"
        assert [order.cl_ord_id for order in world.exchange.open_orders()] == ["gtc"]
        world.exchange.open_session("next", at(1000))
        world.minute = 1000
        world.bars((89, 90, 88, 89))
        assert [order.cl_ord_id for order in world.exchange.open_orders()] == ["gtc/stop"]

    def test_profit_and_fees_count_from_zero_and_positions_stay(self) -> None:
        world = World(model=terms(fees=msgspec.structs.replace(terms().schedules["equity"].fees, min_per_order=D(1))))  # type: ignore[index]
        world.bars((100, 100, 100, 100))
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        world.close_long("out", 50)
        world.bars((102, 102, 102, 102))
        account = world.exchange.account()
        assert (account.realized_pnl, account.fees) == (D(100), D(2))
        world.end()
        world.exchange.open_session("next", at(1000))
        account = world.exchange.account()
        assert (account.realized_pnl, account.fees) == (D(0), D(0))
        assert account.cash == D(1_000_000) - 10000 + 5100 - 2
        assert world.qty() == 50

    def test_opening_twice_changes_nothing(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        before = world.exchange.account()
        world.exchange.open_session("2018-03-02", OPEN)
        assert world.exchange.account() == before

    def test_a_closed_session_stays_closed(self, world: World) -> None:
        world.end()
        world.exchange.open_session("2018-03-02", OPEN)
        assert world.exchange.session == ("2018-03-02", False)

    def test_closing_twice_is_harmless(self, world: World) -> None:
        world.buy("in", limit=90, tif=TimeInForce.DAY)
        world.end()
        before = (world.said(), world.exchange.last_as_of)
        world.end(minute=500)
        assert (world.said(), world.exchange.last_as_of) == before

    def test_a_session_left_open_is_ended_by_the_next(self, world: World) -> None:
        world.buy("in", limit=90, tif=TimeInForce.DAY)
        world.exchange.open_session("next", at(1000))
        assert world.why("in") == "session_over"

    def test_time_does_not_run_backwards(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        with pytest.raises(VenueError, match="time does not run backwards; start with fresh books"):
            world.exchange.open_session("2018-03-01", OPEN - timedelta(days=1))

    def test_local_time_is_refused(self, world: World) -> None:
        with pytest.raises(VenueError, match="give an aware UTC time"):
            world.exchange.close_session(at(5).replace(tzinfo=None))

    def test_frames_of_a_closed_market_match_nothing(self, world: World) -> None:
        world.buy("in", limit=99, tif=TimeInForce.GTC)
        world.end()
        world.bars((90, 90, 90, 90))
        assert world.fills() == []
