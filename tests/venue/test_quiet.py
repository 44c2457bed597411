"""Bars that are told to be quiet from two comparisons: the exact rules say so too, and most bars are."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings

from qmworkbench.domain.instruments import forex_pair, us_equity
from qmworkbench.domain.orders import Side, TimeInForce
from qmworkbench.trading.frames import Universe
from qmworkbench.venue.bars import Row, rows_of
from qmworkbench.venue.matching import raised_peak, stirs
from qmworkbench.venue.quiet import is_quiet
from tests.venue.test_properties import CASH, MODEL, Player, Step, steps
from tests.venue.worlds import Bar, World, at, bracket, frame


class Watched(World):
    """A world that looks at each bar as the venue does before it feeds it."""

    told = 0

    def feed(self, bars: Mapping[str, Bar]) -> None:
        coming = frame(self.universe, self.minute + 1, bars)
        for row in rows_of(sorted(bars), coming, self.universe):
            self.look(row)
        super().feed(bars)

    def look(self, row: Row) -> None:
        books, bar = self.exchange._books, row.bar(at(self.minute + 1))
        if row.symbol not in books.by_symbol or not is_quiet(books, row):
            return
        self.told += 1
        for order in books.working(row.symbol):
            if order.time_in_force is TimeInForce.AT_CLOSE:
                continue
            assert not stirs(order, bar, books.instruments[row.symbol])
            best = bar.high if order.side is Side.SELL else bar.low
            assert raised_peak(order, best) == order.peak_px


@given(steps_=steps)
@settings(max_examples=80)
def test_what_is_told_to_be_quiet_is(steps_: list[Step]) -> None:
    world = Watched(instruments=[us_equity("AAA"), forex_pair("USDJPY")], model=MODEL, cash=CASH)
    player = Player(world)
    player._bars(3, 1, 1, 1, 3, 1, 1, 900)
    for step in steps_:
        player.act(step)


def a_row(low: float, high: float) -> Row:
    return Row("AAA", high, high, low, low, 1000.0)


def test_a_bracket_at_rest_is_quiet_between_its_levels() -> None:
    world = Watched()
    world.bars((100, 100, 100, 100))
    world.buy("in", 100, legs=bracket("in", stop=95, target=105))
    world.bars((100, 100, 100, 100))
    books = world.exchange._books
    assert is_quiet(books, a_row(95.01, 104.99))
    assert not is_quiet(books, a_row(95, 100))
    assert not is_quiet(books, a_row(100, 105))
    world.replace("s2", "in/stop", 100, stop=97)
    assert not is_quiet(books, a_row(97, 100))
    assert is_quiet(books, a_row(97.01, 100))


def test_a_level_on_one_side_leaves_the_other_open() -> None:
    world = Watched()
    world.bars((100, 100, 100, 100))
    world.sell("in", 100, legs=bracket("in", stop=105))
    world.bars((100, 100, 100, 100))
    assert is_quiet(world.exchange._books, a_row(1, 104.9))
    assert not is_quiet(world.exchange._books, a_row(1, 105))


def test_a_trailing_stop_is_quiet_until_its_best_price_is_beaten() -> None:
    world = Watched()
    world.bars((100, 100, 100, 100))
    world.buy("in", 100, legs=bracket("in", trail=100))
    world.bars((100, 102, 100, 102))
    books = world.exchange._books
    assert is_quiet(books, a_row(101, 101.9))
    assert not is_quiet(books, a_row(101, 102.5))
    assert not is_quiet(books, a_row(100.98, 101))


@pytest.mark.parametrize("kind", [{}, {"limit": 90, "tif": TimeInForce.IOC}])
def test_what_waits_for_the_next_bar_is_never_quiet(kind: dict[str, object]) -> None:
    world = Watched()
    world.bars((100, 100, 100, 100))
    world.buy("in", 100, **kind)
    assert not is_quiet(world.exchange._books, a_row(99, 101))


def test_frames_of_any_size_are_read_alike() -> None:
    """Small frames are read another way than large ones."""
    symbols = [f"S{k:03d}" for k in range(200)]
    universe = Universe(symbols)
    bars = {name: (k + 2, k + 3, k + 1, k + 2, k) for k, name in enumerate(symbols) if k % 3}
    wanted = [name for k, name in enumerate(symbols) if k % 4]
    expected = [Row(name, k + 2, k + 3, k + 1, k + 2, k) for k, name in enumerate(symbols) if k % 3 and k % 4]
    assert rows_of(wanted, frame(universe, 0, bars), universe) == expected
    few = {name: bar for name, bar in bars.items() if name < "S040"}
    assert rows_of(wanted, frame(universe, 0, few), universe) == [row for row in expected if row.symbol < "S040"]
