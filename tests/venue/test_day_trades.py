"""Day trades, counted as FINRA 4210 counts them, over five sessions."""

from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from qmworkbench.domain.instruments import us_equity
from qmworkbench.domain.orders import TimeInForce
from qmworkbench.venue.costs import ideal
from qmworkbench.venue.orders import OrderRefused
from tests.venue.worlds import OPEN, World, terms

FLAT = (100, 100, 100, 100)
COUNTED = [msgspec.structs.replace(us_equity(symbol), day_trade_rule=True) for symbol in ("AAA", "BBB")]


class Days(World):
    """A world of symbols with the rule; `+100` buys, `-100` sells, whatever that opens or closes."""

    def __init__(self, **more: object) -> None:
        super().__init__(instruments=COUNTED, **more)  # type: ignore[arg-type]
        self.number = 0
        self.days = 0
        self.bars(FLAT)

    def trade(self, *quantities: int, symbol: str = "AAA") -> None:
        for qty in quantities:
            self.number += 1
            name, held = f"o{self.number}", self.qty(symbol)
            closes = held * qty < 0
            if closes:
                (self.close_short if qty > 0 else self.close_long)(name, abs(qty), symbol=symbol)
            else:
                (self.buy if qty > 0 else self.sell)(name, abs(qty), symbol=symbol, tif=TimeInForce.DAY)
            self.feed({"AAA": FLAT, "BBB": FLAT})

    def night(self) -> None:
        self.end()
        self.days += 1
        self.minute += 24 * 60
        self.exchange.open_session(f"day {self.days}", OPEN + timedelta(minutes=self.minute))
        self.feed({"AAA": FLAT, "BBB": FLAT})

    @property
    def count(self) -> int | None:
        return self.exchange.account().day_trades


@pytest.mark.parametrize(
    ("fills", "count"),
    [
        ((100,), 0),
        ((100, -100), 1),
        ((-100, 100), 1),
        ((100, 50, -150), 1),
        ((100, -50, -50), 1),  # one turn from buying to selling
        ((100, -50, 50, -100), 2),
        ((100, -100, 100, -100), 2),
        ((100, -100, -100, 100), 2),
    ],
)
def test_turns_from_opening_to_closing(fills: tuple[int, ...], count: int) -> None:
    world = Days()
    world.trade(*fills)
    assert world.count == count


def test_symbols_are_counted_apart() -> None:
    world = Days()
    world.trade(100)
    world.trade(-100, symbol="BBB")
    assert world.count == 0


def test_what_was_held_overnight_is_none_unless_more_was_bought_first() -> None:
    world = Days()
    world.trade(100)
    world.night()
    world.trade(-50, 50)  # closed before anything was opened
    assert world.count == 0
    world.trade(-50)
    assert world.count == 1


def test_five_sessions_and_then_forgotten() -> None:
    world = Days()
    world.trade(100, -100)
    for expected in (1, 1, 1, 1, 0):
        world.night()
        assert world.count == expected


def test_four_of_them_make_a_pattern_unless_they_are_few_among_many() -> None:
    world = Days(model=ideal())
    world.trade(*[100, -100] * 3)
    assert not world.exchange.account().pattern_day_trader
    world.trade(100, -100)
    assert world.exchange.account().pattern_day_trader
    world.trade(*[1] * 58)  # 4 of 66 trades are more than six in a hundred, 4 of 67 are not
    assert world.exchange.account().pattern_day_trader
    world.trade(1)
    assert not world.exchange.account().pattern_day_trader


def test_an_order_is_one_trade_however_many_fills_it_takes() -> None:
    world = Days(model=terms(participation=D("0.5")))
    world.buy("a", 100, tif=TimeInForce.DAY)
    for _ in range(4):
        world.bars((100, 100, 100, 100, 50))
    assert world.exchange._books.round_trips[1, "AAA"].trades == 1


def test_no_count_where_nothing_has_the_rule() -> None:
    world = World()
    assert world.exchange.account().day_trades is None
    assert not world.exchange.account().pattern_day_trader


def test_over_a_restart(tmp_path: Path) -> None:
    world = Days(path=tmp_path / "venue.db")
    world.trade(100, -50)
    world.restart()
    world.trade(-50)
    assert world.count == 1
    world.night()
    world.restart()
    world.trade(100, -100)
    assert world.count == 2
    world.exchange.close()


def test_a_small_account_may_not_make_the_fourth() -> None:
    rich = msgspec.structs.replace(ideal(), day_trading_equity=D(25_000))
    small, large = Days(model=rich, cash="24000"), Days(model=rich, cash="25000")
    for world in (small, large):
        world.trade(*[100, -100] * 3)
    with pytest.raises(OrderRefused, match=r"^pattern_day_trader: 3 day trades in five sessions .* 25000 it takes"):
        small.buy("next", 1)
    large.buy("next", 1)
    small.night()
