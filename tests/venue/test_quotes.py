"""Quotes instead of bars: who buys pays the ask, who sells gets the bid, and what is no market matches nothing."""

import math
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.instruments import us_equity
from qmworkbench.domain.numbers import decimal_of
from qmworkbench.domain.orders import Side, TimeInForce
from qmworkbench.trading.frames import Universe
from qmworkbench.venue.costs import ideal
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.orders import OrderRefused
from qmworkbench.venue.quotes import QuoteFrame
from tests.venue.worlds import OPEN, World, bracket, terms

DAY = TimeInForce.DAY
Two = tuple[float, ...]


class Quoted(World):
    """A world fed with quotes: (bid, ask[, bid size, ask size]) by symbol."""

    def quote(self, *moments: Two, symbol: str = "AAA") -> None:
        for moment in moments:
            self.quotes({symbol: moment})

    def quotes(self, by_symbol: Mapping[str, Two]) -> None:
        self.minute += 1
        rows = sorted((self.universe.index[symbol], quote) for symbol, quote in by_symbol.items())
        columns = [np.array([q[i] if i < len(q) else math.nan for _, q in rows], dtype=np.float64) for i in range(4)]
        frame = QuoteFrame(
            as_of=OPEN + timedelta(minutes=self.minute + 1),
            index=np.array([row for row, _ in rows], dtype=np.int32),
            bid=columns[0],
            ask=columns[1],
            bid_size=columns[2],
            ask_size=columns[3],
        )
        self.exchange.on_quotes(frame, self.universe)


@pytest.fixture
def world() -> Quoted:
    world = Quoted()
    world.quote((99.9, 100.1))
    return world


def test_market_orders_trade_on_the_far_side(world: Quoted) -> None:
    world.buy("in", 100)
    world.quote((99.8, 100.2))
    world.close_long("out", 100)
    world.quote((100.3, 100.5))
    assert world.fills() == [(1, "+100", "100.2"), (2, "-100", "100.3")]


@pytest.mark.parametrize(("ask", "filled"), [(99.01, False), (99.0, True), (98.9, True)])
def test_a_limit_trades_when_it_is_crossed(world: Quoted, ask: float, filled: bool) -> None:
    world.buy("in", 100, limit=99, tif=DAY)
    world.quote((98.5, ask))
    assert [px for _, _, px in world.fills()] == ([f"{D(str(ask)).normalize():f}"] if filled else [])


@pytest.mark.parametrize(("bid", "filled"), [(95.01, False), (95.0, True), (90.0, True)])
def test_a_stop_trades_when_its_own_side_reaches_it(world: Quoted, bid: float, filled: bool) -> None:
    world.buy("in", 100, legs=bracket("in", stop=95))
    world.quote((99.9, 100.1), (bid, 101))
    assert len(world.fills()) == 1 + filled
    assert world.qty() == (0 if filled else 100)


def test_a_trailing_stop_follows_the_side_it_would_trade_on(world: Quoted) -> None:
    world.buy("in", 100, legs=bracket("in", trail=100))
    world.quote((99.9, 100.1), (110, 120), (108.8, 109))
    assert world.fills()[-1] == (3, "-100", "108.8")


def test_a_bracket_on_the_wrong_side_of_the_spread_is_no_entry(world: Quoted) -> None:
    world.buy("in", 100, legs=bracket("in", stop=100))
    world.quote((99.9, 100.1))
    assert (world.fills(), world.why("in")) == ([], "stop_on_wrong_side")


@pytest.mark.parametrize(
    "quote", [(100.1, 100.1), (100.2, 100.1), (0, 100.1), (math.nan, 100), (100, math.inf), (-1, 5)]
)
def test_crossed_locked_and_impossible_quotes_match_nothing(world: Quoted, quote: Two) -> None:
    world.buy("in", 100)
    before = world.exchange.account()
    world.quote(quote)
    assert world.fills() == []
    assert world.exchange.account().buying_power == before.buying_power
    world.quote((99.9, 100.1))
    assert len(world.fills()) == 1


def test_no_more_than_is_quoted(world: Quoted) -> None:
    world.buy("a", 100, tif=DAY)
    world.buy("b", 100, tif=DAY)
    world.quote((99.9, 100.1, 5, 130), (99.9, 100.1, 5, 1000))
    assert world.fills() == [(1, "+100", "100.1"), (1, "+30", "100.1"), (2, "+70", "100.1")]


def test_half_the_spread_is_not_paid_twice() -> None:
    world = Quoted(model=terms(half_spread_bps=D(100), slippage_bps=D(10)))
    world.quote((99, 100))
    world.buy("in", 100)
    world.quote((99, 100))
    assert world.fills() == [(1, "+100", "100.1")]


def test_positions_are_worth_what_closing_them_would_bring(world: Quoted) -> None:
    world.buy("long", 100)
    world.quote((99, 101))
    assert world.exchange.positions()[0].market_px == D(99)
    assert world.exchange.account().equity == D(1_000_000 - 200)


def test_a_market_entry_ties_up_the_far_side(world: Quoted) -> None:
    world.buy("in", 100)
    assert world.exchange.account().buying_power == D(1_000_000) - D("10010")
    with pytest.raises(OrderRefused, match="no_market_price"):
        world.buy("other", 1, symbol="BBB")


def test_halts_and_closed_sessions_match_nothing(world: Quoted) -> None:
    world.buy("in", 100, tif=TimeInForce.GTC)
    world.exchange.halt("AAA")
    world.quote((99.9, 100.1))
    assert world.fills() == []
    world.exchange.resume("AAA")
    world.end()
    world.quote((99.9, 100.1))
    assert world.fills() == []


def test_quotes_are_no_closing_print(world: Quoted) -> None:
    world.buy("in", 100, legs=bracket("in", close=True))
    world.quote((99.9, 100.1), (99.9, 100.1))
    world.end()
    assert world.why("in/close") == "no_closing_print"


def test_over_a_restart(tmp_path: Path) -> None:
    told = []
    for restarts in (False, True):
        world = Quoted(path=tmp_path / f"{restarts}.db")
        world.quote((99.9, 100.1))
        world.buy("in", 100, legs=bracket("in", stop=95, trail=50))
        for moment in ((99.8, 100), (101, 101.2), (100.6, 100.7), (100.1, 100.2)):
            world.quote(moment)
            if restarts:
                world.restart()
        told.append((world.said(), world.exchange.account(), list(world.exchange.open_orders())))
        world.exchange.close()
    assert told[0] == told[1]


def test_no_fill_on_recorded_quotes_is_better_than_the_market(shared_data: Path) -> None:
    """A week of recorded bids and asks: every fill at the far side of its minute, or a limit that it had reached."""
    rows = pl.read_parquet(shared_data / "us_equity_quotes_minute_lean_201310.parquet")
    rows = rows.filter(pl.col("symbol") == "SPY").sort("ts").head(800)
    universe = Universe(["SPY"])
    quotes: dict[object, tuple[D, D]] = {}
    with Exchange(None, [us_equity("SPY")], ideal(), "USD", D(10_000_000)) as exchange:
        world = World(instruments=[us_equity("SPY")])
        world.exchange = exchange
        first = rows["ts"][0]
        exchange.open_session("week", first)
        for number, (ts, bid, ask) in enumerate(rows.select("ts", "bid_close", "ask_close").iter_rows()):
            at = ts + timedelta(minutes=1)
            frame = QuoteFrame(as_of=at, index=np.array([0], dtype=np.int32), bid=np.array([bid]), ask=np.array([ask]))
            exchange.on_quotes(frame, universe)
            quotes[at] = (decimal_of(bid), decimal_of(ask))
            px = D(str(round(bid, 2)))
            more = {"limit": px - D("0.02") * (number % 3), "tif": DAY} if number % 2 else {}
            if number % 7 == 3:
                world.send(f"e{number}", Side.BUY, 10, symbol="SPY", decided=at, **more)  # type: ignore[arg-type]
            if number % 7 == 5 and world.qty("SPY") >= 10:
                kind: dict[str, object] = {"limit": px + D("0.05")} if number % 2 else {}
                world.close_long(f"x{number}", 10, symbol="SPY", decided=at, **kind)
        fills = [said for said in exchange.reports(0) if said.exec_type is ExecType.TRADE]
    assert len(fills) > 30
    for fill in fills:
        bid, ask = quotes[fill.transact_time]
        assert bid < ask
        assert fill.last_px >= ask if fill.side is Side.BUY else fill.last_px <= bid
