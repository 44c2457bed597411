"""What the venue refuses at the door, by code; a refusal leaves nothing behind."""

from datetime import datetime
from decimal import Decimal as D

import msgspec
import pytest

from qmworkbench.domain.execution import LegRequest, OrderRequest
from qmworkbench.domain.instruments import forex_pair, us_equity
from qmworkbench.domain.orders import Leg, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.venue.orders import OrderRefused, Refusal
from tests.venue.worlds import OPEN, World, at, bracket


@pytest.fixture
def world() -> World:
    world = World(cash="10000")
    world.feed({"AAA": (100, 100, 100, 100), "BBB": (50, 50, 50, 50)})
    return world


def good(**changes: object) -> OrderRequest:
    request = OrderRequest(
        cl_ord_id="a",
        symbol="AAA",
        side=Side.BUY,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.MARKET,
        order_qty=D(10),
        time_in_force=TimeInForce.IOC,
        decided_at=at(0),
    )
    return msgspec.structs.replace(request, **changes)


def leg(**changes: object) -> LegRequest:
    stop = LegRequest(
        cl_ord_id="a/stop", leg=Leg.STOP, ord_type=OrdType.STOP, time_in_force=TimeInForce.DAY, stop_px=D(95)
    )
    return msgspec.structs.replace(stop, **changes)


STOP, LIMIT = OrdType.STOP, OrdType.LIMIT
CLOSING = {"side": Side.SELL, "position_effect": PositionEffect.CLOSE}
REFUSALS: list[tuple[Refusal, str, OrderRequest]] = [
    (Refusal.BAD_CL_ORD_ID, "''", good(cl_ord_id="")),
    (Refusal.BAD_CL_ORD_ID, "1 to 128", good(cl_ord_id="a" * 129)),
    (Refusal.BAD_CL_ORD_ID, "printable", good(cl_ord_id="a\nb")),
    (Refusal.BAD_CL_ORD_ID, "printable", good(legs=(leg(cl_ord_id="ä"),))),
    (Refusal.DUPLICATE_CL_ORD_ID, "taken", good(cl_ord_id="taken")),
    (Refusal.DUPLICATE_CL_ORD_ID, "taken", good(legs=(leg(cl_ord_id="taken"),))),
    (Refusal.DUPLICATE_CL_ORD_ID, "a", good(legs=(leg(cl_ord_id="a"),))),
    (Refusal.UNKNOWN_SYMBOL, "'ZZZ'", good(symbol="ZZZ")),
    (Refusal.HALTED, "BBB", good(symbol="BBB")),
    (Refusal.BAD_DECIDED_AT, "time zone", good(decided_at=datetime(2018, 3, 2))),  # noqa: DTZ001
    (Refusal.BAD_QTY, "0", good(order_qty=D(0))),
    (Refusal.BAD_QTY, "-5", good(order_qty=D(-5))),
    (Refusal.BAD_QTY, "NaN", good(order_qty=D("NaN"))),
    (Refusal.QTY_NOT_ON_LOT, "1.5", good(order_qty=D("1.5"))),
    (Refusal.BAD_PRICE, "limit_px None", good(ord_type=LIMIT)),
    (Refusal.BAD_PRICE, "limit_px 99", good(limit_px=D(99))),
    (Refusal.BAD_PRICE, "stop_px None", good(ord_type=STOP)),
    (Refusal.BAD_PRICE, "stop_px 101", good(stop_px=D(101))),
    (Refusal.BAD_PRICE, "0 is not a price", good(ord_type=LIMIT, limit_px=D(0))),
    (Refusal.BAD_PRICE, "Infinity", good(ord_type=LIMIT, limit_px=D("Infinity"))),
    (Refusal.PRICE_NOT_ON_TICK, "99.005", good(ord_type=LIMIT, limit_px=D("99.005"))),
    (Refusal.PRICE_NOT_ON_TICK, "95.001", good(legs=(leg(stop_px=D("95.001")),))),
    (Refusal.BAD_TRAIL, "cannot trail", good(ord_type=STOP, stop_px=D(101), trail_bps=100)),
    (Refusal.BAD_TRAIL, "trail_bps 0", good(legs=(leg(trail_bps=0),))),
    (Refusal.BAD_TRAIL, "trail_bps 10000", good(legs=(leg(trail_bps=10000),))),
    (
        Refusal.BAD_TIME_IN_FORCE,
        "only market",
        good(ord_type=LIMIT, limit_px=D(99), time_in_force=TimeInForce.AT_CLOSE),
    ),
    (Refusal.BAD_TIME_IN_FORCE, "stop leg", good(legs=(leg(time_in_force=TimeInForce.IOC),))),
    (Refusal.BAD_LEGS, "only an entry", good(time_in_force=TimeInForce.AT_CLOSE, legs=(leg(),))),
    (Refusal.BAD_LEGS, "(2 of them)", good(legs=(leg(), leg(cl_ord_id="a/stop2")))),
    (Refusal.BAD_LEGS, "target as stop", good(legs=(leg(leg=Leg.TARGET),))),
    (Refusal.BAD_LEGS, "exit as stop", good(legs=(leg(leg=Leg.EXIT),))),
    (Refusal.NOTHING_TO_REDUCE, "position is 0", good(**CLOSING)),
    (Refusal.INSUFFICIENT_BUYING_POWER, "10100", good(order_qty=D(101))),
    (Refusal.INSUFFICIENT_BUYING_POWER, "10100", good(order_qty=D(101), side=Side.SELL)),
    (Refusal.INSUFFICIENT_BUYING_POWER, "14000", good(order_qty=D(70), ord_type=STOP, stop_px=D(200))),
    (Refusal.NO_MARKET_PRICE, "CCC", good(symbol="CCC")),
    (Refusal.NOT_SHORTABLE, "DDD", good(symbol="DDD", side=Side.SELL)),
    (Refusal.QTY_BELOW_MINIMUM, "at least 100", good(symbol="EEE")),
    (Refusal.NO_CONVERSION_RATE, "JPY to USD", good(symbol="GBPJPY")),
]


@pytest.mark.parametrize(("code", "named", "request_"), REFUSALS, ids=[f"{c.value} {n}" for c, n, _ in REFUSALS])
def test_refusal(code: Refusal, named: str, request_: OrderRequest) -> None:
    special = [
        us_equity("CCC"),
        msgspec.structs.replace(us_equity("DDD"), shortable=False),
        msgspec.structs.replace(us_equity("EEE"), min_qty=D(100)),
        forex_pair("GBPJPY"),
    ]
    world = World(instruments=[us_equity("AAA"), us_equity("BBB"), *special], cash="10000")
    traded = {symbol: (100, 100, 100, 100) for symbol in ("AAA", "BBB", "DDD", "EEE", "GBPJPY")}
    world.feed(traded)
    world.buy("taken", 1, limit=1, tif=TimeInForce.DAY)
    world.exchange.cancel("taken")
    world.exchange.halt("BBB")
    before = (world.said(), world.exchange.account(), list(world.exchange.open_orders()))
    with pytest.raises(OrderRefused) as caught:
        world.exchange.submit(request_)
    assert (caught.value.code, named in caught.value.detail) == (code, True), str(caught.value)
    assert str(caught.value).startswith(f"{code.value}: ")
    assert (world.said(), world.exchange.account(), list(world.exchange.open_orders())) == before


def test_a_good_order_passes_where_the_bad_ones_fail(world: World) -> None:
    world.exchange.submit(good(order_qty=D(100), legs=(leg(),)))
    assert [report.exec_type.value for report in world.said()] == ["new"]


def test_a_refused_id_is_still_free(world: World) -> None:
    with pytest.raises(OrderRefused):
        world.exchange.submit(good(order_qty=D(0)))
    world.exchange.submit(good())
    assert world.exchange.order("a")[0] is not None


class TestIdsAreUniqueForEver:
    def test_an_ended_order_keeps_its_id(self, world: World) -> None:
        world.exchange.submit(good())
        world.exchange.cancel("a")
        with pytest.raises(OrderRefused, match="duplicate_cl_ord_id"):
            world.exchange.submit(good())

    def test_across_sessions(self, world: World) -> None:
        world.exchange.submit(good(legs=(leg(),)))
        world.end()
        world.exchange.open_session("2018-03-05", at(4000))
        for name in ("a", "a/stop"):
            with pytest.raises(OrderRefused, match=f"duplicate_cl_ord_id: {name}"):
                world.exchange.submit(good(cl_ord_id=name, decided_at=at(4000)))


class TestTheMarketMustBeOpen:
    def test_before_the_first_session(self) -> None:
        world = World(open_now=False)
        with pytest.raises(OrderRefused, match="market_closed"):
            world.exchange.submit(good())

    def test_after_the_close(self, world: World) -> None:
        world.end()
        with pytest.raises(OrderRefused, match="market_closed"):
            world.exchange.submit(good())

    def test_a_halted_symbol_trades_again_after_it_resumes(self, world: World) -> None:
        world.exchange.halt("AAA")
        with pytest.raises(OrderRefused, match="halted"):
            world.exchange.submit(good())
        world.exchange.resume("AAA")
        world.exchange.submit(good())
        world.bars((101, 101, 101, 101))
        assert world.fills() == [(1, "+10", "101")]

    def test_an_order_rests_through_a_halt(self, world: World) -> None:
        world.exchange.submit(good())
        world.exchange.halt("AAA")
        world.bars((101, 101, 101, 101))
        assert world.fills() == []
        world.exchange.resume("AAA")
        world.bars((102, 102, 102, 102))
        assert world.fills() == [(2, "+10", "102")]


class TestReduceOnly:
    def test_more_than_is_held_is_cut(self, world: World) -> None:
        world.buy("in", 50)
        world.bars((100, 100, 100, 100))
        world.close_long("out", 80)
        world.bars((101, 101, 101, 101))
        assert world.fills() == [(1, "+50", "100"), (2, "-50", "101")]
        assert world.why("out") == "nothing_to_reduce"

    def test_two_exits_at_one_open_close_once(self, world: World) -> None:
        world.buy("in", 50)
        world.bars((100, 100, 100, 100))
        world.close_long("one", 50)
        world.close_long("two", 50)
        world.bars((101, 101, 101, 101))
        assert world.fills() == [(1, "+50", "100"), (2, "-50", "101")]
        assert world.why("two") == "nothing_to_reduce"

    def test_the_wrong_side_is_refused(self, world: World) -> None:
        world.buy("in", 50)
        world.bars((100, 100, 100, 100))
        with pytest.raises(OrderRefused, match="nothing_to_reduce"):
            world.close_short("out", 50)

    def test_an_exit_needs_no_buying_power(self, world: World) -> None:
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        assert world.exchange.account().buying_power == 0
        world.close_long("out", 100)
        world.bars((90, 90, 90, 90))
        assert world.exchange.account().cash == D(9000)


class TestBuyingPower:
    def test_working_entries_reserve_it(self, world: World) -> None:
        world.buy("one", 60, limit=100, tif=TimeInForce.DAY)
        assert world.exchange.account().buying_power == D(4000)
        with pytest.raises(OrderRefused, match=r"ties up 5000.* there is 4000"):
            world.buy("two", 50, limit=100, tif=TimeInForce.DAY)
        world.exchange.cancel("one")
        world.buy("three", 100, limit=100, tif=TimeInForce.DAY)

    def test_one_symbols_stop_does_not_pay_for_anothers_entry_at_the_same_open(self, world: World) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100))
        with pytest.raises(OrderRefused, match="insufficient_buying_power"):
            world.buy("other", 10, symbol="BBB")
        world.feed({"AAA": (90, 90, 90, 90), "BBB": (50, 50, 50, 50)})
        world.buy("later", 10, symbol="BBB")
        assert world.fills() == [(1, "+100", "100"), (2, "-100", "90")]

    def test_a_short_ties_up_its_value(self, world: World) -> None:
        world.sell("in", 60)
        world.bars((100, 100, 100, 100))
        account = world.exchange.account()
        assert (account.cash, account.equity, account.buying_power) == (D(16000), D(10000), D(4000))

    def test_margin_lets_a_pair_cost_a_thirtieth(self) -> None:
        world = World(instruments=[forex_pair("EURUSD")], cash="1000")
        world.bars((1.1, 1.1, 1.1, 1.1), symbol="EURUSD")
        world.buy("in", 20000, symbol="EURUSD")
        world.bars((1.1, 1.1, 1.1, 1.1), symbol="EURUSD")
        account = world.exchange.account()
        assert (account.cash, account.equity) == (D(1000), D(1000))
        assert account.buying_power == D(1000) - D("0.0333") * 22000

    def test_a_ruined_account_may_still_get_out(self, world: World) -> None:
        world.sell("in", 100)
        world.bars((100, 100, 100, 100), (300, 300, 300, 300))
        account = world.exchange.account()
        assert (account.equity, account.buying_power) == (D(-10000), D(0))
        with pytest.raises(OrderRefused, match="insufficient_buying_power"):
            world.buy("more", 1, symbol="BBB")
        world.close_short("out", 100)
        world.bars((310, 310, 310, 310))
        assert world.exchange.account().cash == D(-11000)

    def test_leverage_multiplies_equity(self) -> None:
        model = msgspec.structs.replace(World().model, leverage=D(2))
        world = World(model=model, cash="10000")
        world.bars((100, 100, 100, 100))
        world.buy("in", 150)
        world.bars((100, 100, 100, 100))
        account = world.exchange.account()
        assert (account.cash, account.equity, account.buying_power) == (D(-5000), D(10000), D(5000))


class TestCancel:
    def test_an_order_ends_at_once(self, world: World) -> None:
        world.buy("a", limit=90, tif=TimeInForce.DAY)
        world.exchange.cancel("a")
        assert world.why("a") == "requested"
        assert list(world.exchange.open_orders()) == []

    def test_an_unknown_id_is_refused(self, world: World) -> None:
        with pytest.raises(OrderRefused, match=r"unknown_order: .*'nobody'"):
            world.exchange.cancel("nobody")

    def test_too_late_is_answered_by_report(self, world: World) -> None:
        world.buy("a", 10)
        world.bars((100, 100, 100, 100))
        world.exchange.cancel("a")
        last = world.said("a")[-1]
        assert (last.exec_type.value, last.ord_status.value, last.reason) == (
            "cancel_rejected",
            "filled",
            "already_ended",
        )
        assert last.cum_qty == D(10)

    def test_a_cancel_acknowledgement_carries_the_filled_quantity(self, world: World) -> None:
        world = World(model=World().model, cash="1000000")
        world.bars((100, 100, 100, 100))
        world.buy("a", 10, legs=bracket("a", stop=90))
        world.bars((100, 100, 100, 100))
        world.exchange.cancel("a/stop")
        assert world.said("a/stop")[-1].cum_qty == 0
        assert world.qty() == 10


def test_the_open_time_is_no_frame() -> None:
    """A bar that closed when the session opened belongs to before."""
    world = World()
    world.minute = -2
    world.bars((100, 100, 100, 100))
    assert world.exchange.last_as_of is None
    assert world.exchange.session == ("2018-03-02", True)
    assert at(-1) == OPEN
