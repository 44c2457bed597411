"""Selling short: locates, the account's permission, borrowing overnight, margin for shorts."""

from datetime import date, datetime, timedelta
from decimal import Decimal as D

import msgspec
import pytest

from qmworkbench.domain.execution import ActivityKind, ExecType
from qmworkbench.domain.instruments import forex_pair, us_equity
from qmworkbench.domain.orders import TimeInForce
from qmworkbench.venue.borrowing import REG_T_SHORTS, Borrowing, Locate, ShortMargin
from qmworkbench.venue.costs import VenueModel, ideal
from qmworkbench.venue.financing import Financing
from qmworkbench.venue.invalid import ModelInvalid
from qmworkbench.venue.orders import OrderRefused
from tests.venue.worlds import OPEN, World

DAY = TimeInForce.DAY
FLAT = (100, 100, 100, 100)
HARD = msgspec.structs.replace(us_equity("AAA"), easy_to_borrow=False)


def model(**changes: object) -> VenueModel:
    return msgspec.structs.replace(ideal(), **changes)


def shorts(available: str, fee: str = "0", **changes: object) -> World:
    locates = {"AAA": Locate(available=D(available), fee_per_share=D(fee))}
    world = World(instruments=[HARD, us_equity("BBB")], model=model(locates=locates, **changes))
    world.bars(FLAT)
    return world


class TestLocates:
    def test_without_one_it_is_refused(self) -> None:
        world = World(instruments=[HARD])
        world.bars(FLAT)
        with pytest.raises(OrderRefused, match=r"^no_locate: 10 AAA short: 0 located, 0 of them taken; sell less"):
            world.sell("s", 10)
        world.buy("long", 10)  # buying needs none

    def test_what_is_easy_to_borrow_needs_none(self) -> None:
        world = World()
        world.bars(FLAT)
        world.sell("s", 10)

    def test_open_shorts_and_working_entries_use_it_up(self) -> None:
        world = shorts("100")
        world.sell("a", 40)
        world.bars(FLAT)
        world.sell("b", 50, limit=120, tif=DAY)
        with pytest.raises(OrderRefused, match="100 located, 90 of them taken"):
            world.sell("c", 11)
        world.sell("c", 10)
        world.exchange.cancel("b")
        world.bars(FLAT)
        world.close_short("cover", 50)
        world.bars(FLAT)
        world.sell("d", 100)

    def test_a_replacement_is_measured_without_what_it_replaces(self) -> None:
        world = shorts("100")
        world.sell("a", 60, limit=120, tif=DAY)
        assert world.replace("b", "a", 100).exec_type is ExecType.REPLACED
        assert world.replace("c", "b", 101).reason == "no_locate"

    def test_its_fee_is_paid_with_the_sale_of_what_is_short(self) -> None:
        world = shorts("100", "0.05")
        world.buy("long", 30)
        world.bars(FLAT)
        world.close_long("out", 30)
        world.bars(FLAT)
        assert world.exchange.account().fees == 0
        world.sell("short", 40)
        world.bars(FLAT)
        account = world.exchange.account()
        assert account.fees == D("2.00")
        assert account.cash == D(1_000_000 + 4000) - 2


def test_an_account_that_sells_nothing_short() -> None:
    world = World(model=model(shorting_enabled=False))
    world.bars(FLAT)
    assert world.exchange.account().shorting_enabled is False
    with pytest.raises(OrderRefused, match=r"^shorting_disabled: "):
        world.sell("s", 10)
    world.buy("in", 10)
    world.bars(FLAT)
    world.close_long("out", 10)


class TestBorrowing:
    RATES = Borrowing(default_pct=D("0.36"), annual_pct={"AAA": D(36)})

    def night(self, world: World, day: date) -> None:
        world.end()
        at = datetime.combine(day, OPEN.timetz())
        world.exchange.open_session(day.isoformat(), at, day=day)
        world.minute = int((at - OPEN) / timedelta(minutes=1))

    def test_every_calendar_day_on_what_is_short(self) -> None:
        world = World(model=model(borrowing=self.RATES), open_now=False)
        world.exchange.open_session("2018-03-02", OPEN, day=date(2018, 3, 2))
        world.feed({"AAA": FLAT, "BBB": (50, 50, 50, 50)})
        world.sell("a", 100)
        world.sell("b", 10, symbol="BBB")
        world.feed({"AAA": (100, 110, 100, 110), "BBB": (50, 50, 50, 50)})
        cash = world.exchange.account().cash
        self.night(world, date(2018, 3, 5))  # over a weekend
        first, second = world.exchange.activities(0)
        assert (first.kind, first.symbol, first.amount) == (ActivityKind.BORROW_FEE, "AAA", D("-33"))
        assert (first.px, first.qty_before, first.qty_after) == (D(110), D(-100), D(-100))
        assert first.detail == "3 days at 36 % a year of 360 days"
        assert (second.symbol, second.amount) == ("BBB", D("-0.015"))
        account = world.exchange.account()
        assert (account.cash, account.realized_pnl) == (cash - D("33.015"), D(0))
        assert world.exchange.statement(first.cursor - 1)[0].cash_delta == D(-33)

    def test_not_on_what_is_long_nor_on_pairs_nor_at_no_rate(self) -> None:
        world = World(
            instruments=[us_equity("AAA"), forex_pair("EURUSD")],
            model=model(borrowing=self.RATES, financing=Financing(charged=False)),
            open_now=False,
        )
        world.exchange.open_session("2018-03-02", OPEN, day=date(2018, 3, 2))
        world.feed({"AAA": FLAT, "EURUSD": (1.2, 1.2, 1.2, 1.2)})
        world.buy("a", 100)
        world.sell("e", 100, symbol="EURUSD")
        world.feed({"AAA": FLAT, "EURUSD": (1.2, 1.2, 1.2, 1.2)})
        self.night(world, date(2018, 3, 5))
        assert world.exchange.activities(0) == []


class TestMargin:
    def power(self, px: float, qty: int, margin: ShortMargin | None, leverage: int = 2) -> D:
        world = World(model=model(short_margin=margin, leverage=D(leverage)), cash="10000")
        world.bars((px,) * 4)
        world.sell("s", qty)
        reserved = world.exchange.account().buying_power
        world.bars((px,) * 4)
        assert world.qty() == -qty
        assert world.exchange.account().buying_power == reserved
        return D(leverage) * 10_000 - reserved

    def test_a_share_ties_up_its_value_by_default(self) -> None:
        assert self.power(100, 10, None) == D(1000)

    def test_regulation_t_takes_half_in_equity(self) -> None:
        assert self.power(100, 10, REG_T_SHORTS) == D(1000)  # 500 of equity is 1,000 of twofold buying power
        assert self.power(100, 10, REG_T_SHORTS, leverage=1) == D(500)

    @pytest.mark.parametrize(("px", "equity"), [(8, 5), (5, 5), (4, 4), (2, 2.5), (1, 2.5)])
    def test_low_priced_shares_take_more(self, px: float, equity: float) -> None:
        assert self.power(px, 100, REG_T_SHORTS, leverage=1) == 100 * D(str(equity))

    def test_longs_and_pairs_are_as_they_were(self) -> None:
        world = World(instruments=[us_equity("AAA"), forex_pair("EURUSD")], model=model(short_margin=REG_T_SHORTS))
        world.feed({"AAA": FLAT, "EURUSD": (1.2, 1.2, 1.2, 1.2)})
        world.buy("a", 10)
        world.sell("e", 1000, symbol="EURUSD")
        assert world.exchange.account().buying_power == D(1_000_000) - 1000 - D("1200") * D("0.0333")


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: Locate(available=D(-1)), "locates.available"),
        (lambda: Locate(available=D(1), fee_per_share=D("NaN")), "locates.fee_per_share"),
        (lambda: Borrowing(default_pct=D(-1)), "borrowing.default_pct"),
        (lambda: Borrowing(annual_pct={"AAA": D(2000)}), "borrowing.AAA"),
        (lambda: Borrowing(day_count=12), "borrowing.day_count"),
        (lambda: ShortMargin(rate=D(0)), "short_margin.rate"),
        (lambda: ShortMargin(min_per_share=D("Infinity")), "short_margin.min_per_share"),
    ],
)
def test_terms_that_make_no_sense(build: object, named: str) -> None:
    with pytest.raises(ModelInvalid, match=rf"^venue\.{named} = "):
        build()  # type: ignore[operator]
