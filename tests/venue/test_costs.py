"""Slippage, spread, fees and participation: what a fill costs, to the last digit."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.instruments import AssetClass, forex_pair, us_equity
from qmworkbench.domain.orders import OrdStatus, Side, TimeInForce
from qmworkbench.venue.costs import (
    IBKR_FIXED,
    US_SELL_CHARGES_2018,
    CostSchedule,
    FeeSchedule,
    VenueModel,
    costed,
    ideal,
)
from qmworkbench.venue.invalid import ModelInvalid
from tests.venue.worlds import World, bracket, dec, terms

SHARE = us_equity("AAA")


class TestSlippage:
    def test_the_ideal_venue_changes_no_price(self) -> None:
        schedule = ideal().schedule(SHARE)
        assert schedule.adverse(D("10.0034"), Side.BUY, SHARE) == D("10.0034")

    @pytest.mark.parametrize(
        ("side", "px", "paid"),
        [
            (Side.BUY, "100.00", "100.02"),
            (Side.SELL, "100.00", "99.98"),
            (Side.BUY, "10.01", "10.02"),  # 10.012002, up to the cent
            (Side.SELL, "10.01", "10.00"),  # 10.007998, down to the cent
            (Side.BUY, "0.5000", "0.5001"),  # 0.5001 exactly: under a dollar the tick is a hundredth of a cent
            (Side.SELL, "0.5000", "0.4999"),
        ],
    )
    def test_a_live_like_venue_rounds_against_us(self, side: Side, px: str, paid: str) -> None:
        schedule = CostSchedule(slippage_bps=D(2), round_to_tick=True)
        assert schedule.adverse(D(px), side, SHARE) == D(paid)

    def test_research_leaves_it_unrounded(self) -> None:
        schedule = CostSchedule(slippage_bps=D(5))
        assert schedule.adverse(D("10.01"), Side.BUY, SHARE) == D("10.015005")

    def test_a_sale_never_goes_for_nothing(self) -> None:
        schedule = CostSchedule(slippage_bps=D(9000), round_to_tick=True)
        assert schedule.adverse(D("0.0002"), Side.SELL, SHARE) == D("0.0001")

    def test_a_pair_pays_half_its_spread(self) -> None:
        pair = forex_pair("EURUSD")
        schedule = CostSchedule(half_spread_bps=D("0.7"), slippage_bps=D("0.3"), round_to_tick=True)
        assert schedule.adverse(D("1.10000"), Side.BUY, pair) == D("1.10011")
        assert schedule.adverse(D("1.10000"), Side.SELL, pair) == D("1.09989")

    def test_entry_stop_and_target_all_pay(self) -> None:
        world = World(model=terms(slippage_bps=D(10)))
        world.bars((100, 100, 100, 100))
        world.buy("in", legs=bracket("in", target=110))
        world.bars((100, 110, 100, 110))
        assert world.fills() == [(1, "+100", "100.1"), (1, "-100", "109.89")]

    def test_targets_can_be_honoured_to_the_tick(self) -> None:
        world = World(model=terms(slippage_bps=D(10), targets_slip=False))
        world.bars((100, 100, 100, 100))
        world.buy("in", legs=bracket("in", target=110))
        world.bars((100, 110, 100, 110))
        assert world.fills() == [(1, "+100", "100.1"), (1, "-100", "110")]

    def test_a_plain_limit_never_fills_worse_than_its_limit(self) -> None:
        world = World(model=terms(slippage_bps=D(10)))
        world.bars((100, 100, 100, 100))
        world.buy("at", limit=99, tif=TimeInForce.DAY)
        world.buy("through", limit=102, tif=TimeInForce.DAY)
        world.bars((101, 101, 98, 99))
        assert world.fills() == [(1, "+100", "101.101"), (1, "+100", "99")]

    @given(
        px=st.decimals(D("0.0001"), D(300000), places=4),
        slip=st.decimals(D(0), D(500), places=1),
        side=st.sampled_from(Side),
    )
    def test_costs_are_never_in_our_favour(self, px: D, slip: D, side: Side) -> None:
        schedule = CostSchedule(slippage_bps=slip, round_to_tick=True)
        paid = schedule.adverse(px, side, SHARE)
        assert paid > 0
        assert paid % SHARE.tick_at(paid) == 0
        if paid != SHARE.tick_at(px):
            assert side.sign * (paid - px) >= 0
        within = px * slip / 10_000 + SHARE.tick_at(px) + SHARE.tick_at(paid)
        assert abs(paid - px) <= within


class TestFees:
    def test_the_minimum_is_charged_once_per_order(self) -> None:
        assert IBKR_FIXED.commission(D(100), D(10000)) == D(1)
        assert IBKR_FIXED.commission(D(400), D(40000)) == D(2)

    def test_the_ceiling_wins_over_the_minimum(self) -> None:
        assert IBKR_FIXED.commission(D(10), D(20)) == D("0.20")

    def test_nothing_filled_costs_nothing(self) -> None:
        assert IBKR_FIXED.commission(D(0), D(0)) == D(0)

    def test_sales_pay_the_regulators(self) -> None:
        assert US_SELL_CHARGES_2018.sale_charge(D(1000), D(50000)) == D("1.155") + D("0.119")
        assert US_SELL_CHARGES_2018.sale_charge(D(100000), D(0)) == D("5.95")

    def test_fills_of_one_order_add_up_to_its_commission(self) -> None:
        fees = FeeSchedule(per_unit=D("0.005"), min_per_order=D(1))
        world = World(model=terms(participation=D("0.1"), fees=fees))
        world.bars((100, 100, 100, 100))
        world.buy("in", 500, tif=TimeInForce.DAY)
        world.bars((100, 100, 100, 100, 1000), (100, 100, 100, 100, 1500), (100, 100, 100, 100, 9000))
        charged = [report.fee for report in world.said("in") if report.exec_type is ExecType.TRADE]
        assert charged == [D(1), D("0.25"), D("1.25")]
        assert world.exchange.account().fees == D("2.5")

    def test_a_round_trip_that_only_pays_its_fees_breaks_even_exactly(self) -> None:
        world = World(model=terms(fees=FeeSchedule(per_unit=D("0.005"))), cash="100000")
        world.bars((100, 100, 100, 100))
        world.buy("in", legs=bracket("in", target="100.01"))
        world.bars((100, 100.01, 100, 100))
        account = world.exchange.account()
        assert account.realized_pnl == D(1)
        assert account.fees == D(1)
        assert account.cash == D(100000)

    def test_a_flip_pays_for_both_orders(self) -> None:
        world = World(model=terms(fees=FeeSchedule(min_per_order=D(1))))
        world.bars((100, 100, 100, 100))
        world.buy("in")
        world.bars((100, 100, 100, 100))
        world.close_long("out")
        world.sell("short")
        world.bars((100, 100, 100, 100))
        assert world.exchange.account().fees == D(3)

    def test_the_charge_on_sales_is_in_the_report(self) -> None:
        world = World(model=terms(fees=US_SELL_CHARGES_2018))
        world.bars((100, 100, 100, 100))
        world.buy("in")
        world.bars((100, 100, 100, 100))
        world.close_long("out")
        world.bars((100, 100, 100, 100))
        assert [report.fee for report in world.said() if report.exec_type is ExecType.TRADE] == [
            D(0),
            D("0.231") + D("0.0119"),
        ]


class TestParticipation:
    def test_an_entry_takes_its_share_and_drops_the_rest(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100, 399))
        assert world.fills() == [(1, "+39", "100")]
        assert world.why("in") == "unfilled_remainder"
        order, _ = world.exchange.order("in")
        assert order is not None
        assert (order.ord_status, order.cum_qty, order.leaves_qty) == (OrdStatus.CANCELED, D(39), D(0))
        stop, _ = world.exchange.order("in/stop")
        assert stop is not None
        assert stop.leaves_qty == D(39)

    def test_no_volume_masks_the_entry(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100, 9))
        assert world.fills() == []
        assert world.why("in") == "no_liquidity"
        assert world.why("in/stop") == "entry_not_filled"

    def test_a_stop_works_on_at_later_opens(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, legs=bracket("in", stop=95, target=110))
        world.bars((100, 100, 100, 100, 5000))
        world.bars((99, 99, 94, 96, 300), (97, 120, 96, 119, 400), (118, 119, 117, 118, 5000))
        assert world.fills() == [(1, "+100", "100"), (2, "-30", "95"), (3, "-40", "97"), (4, "-30", "118")]
        assert world.why("in/target") == "oco"

    def test_a_market_exit_works_on_and_the_legs_follow(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100, 5000))
        world.close_long("out")
        world.bars((101, 101, 101, 101, 600))
        stop, _ = world.exchange.order("in/stop")
        assert stop is not None
        assert stop.leaves_qty == D(40)
        world.bars((102, 102, 102, 102, 5000))
        assert world.fills() == [(1, "+100", "100"), (2, "-60", "101"), (3, "-40", "102")]
        assert world.why("in/stop") == "follows_position"

    def test_each_side_has_its_own_cap(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 50, legs=bracket("in", stop=95))
        world.bars((100, 100, 94, 95, 500))
        assert world.fills() == [(1, "+50", "100"), (1, "-50", "95")]

    def test_two_entries_share_the_cap_of_their_side(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("a", 40)
        world.buy("b", 40)
        world.bars((100, 100, 100, 100, 500))
        assert world.fills() == [(1, "+40", "100"), (1, "+10", "100")]

    def test_the_closing_auction_takes_any_size(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, legs=bracket("in", close=True))
        world.bars((100, 100, 100, 100, 5000), (100, 100, 99, 99, 1))
        world.end()
        assert world.fills() == [(1, "+100", "100"), (2, "-100", "99")]


class TestSettingsThatMakeNoSense:
    @pytest.mark.parametrize(
        ("build", "named"),
        [
            (lambda: CostSchedule(slippage_bps=D(-1)), "venue.slippage_bps = -1"),
            (lambda: CostSchedule(half_spread_bps=D(10000)), "venue.half_spread_bps = 10000"),
            (lambda: CostSchedule(participation=D(0)), "venue.participation = 0"),
            (lambda: CostSchedule(participation=D("1.1")), "venue.participation = 1.1"),
            (lambda: CostSchedule(closing_print_max_age_s=0), "venue.closing_print_max_age_s = 0"),
            (lambda: FeeSchedule(per_unit=D(-1)), "venue.fees.per_unit = -1"),
            (lambda: CostSchedule(slippage_bps=D("NaN")), "venue.slippage_bps = NaN"),
            (lambda: FeeSchedule(min_per_order=D("Infinity")), "venue.fees.min_per_order = Infinity"),
            (lambda: VenueModel(name="x", schedules={}), "venue.schedules"),
            (lambda: VenueModel(name="x", schedules=ideal().schedules, leverage=D(0)), "venue.leverage = 0"),
        ],
    )
    def test_is_refused_by_name(self, build: object, named: str) -> None:
        with pytest.raises(ModelInvalid, match=r"give|add") as caught:
            build()  # type: ignore[operator]
        assert named in str(caught.value)


def test_the_default_costs_something_everywhere() -> None:
    model = costed()
    for kind, instrument in ((AssetClass.EQUITY, SHARE), (AssetClass.FOREX, forex_pair("EURUSD"))):
        assert model.schedules[kind] is model.schedule(instrument)
        assert model.schedule(instrument).adverse(dec("100"), Side.BUY, instrument) > 100


class TestAStopBehindTheMarket:
    """Where an entry pays more in costs than its stop trails, the stop trades at the market."""

    def test_from_the_open(self) -> None:
        world = World(model=terms(slippage_bps=D(100)))
        world.bars((100, 100, 100, 100))
        world.buy("in", legs=bracket("in", trail=10))
        world.bars((100, 100, 100, 100))
        assert world.fills() == [(1, "+100", "101"), (1, "-100", "99")]

    def test_from_within_the_bar(self) -> None:
        world = World(model=terms(slippage_bps=D(100)))
        world.bars((100, 100, 100, 100))
        world.sell("in", stop=98, tif=TimeInForce.DAY, legs=bracket("in", trail=10))
        world.bars((100, 100, 97, 97))
        assert world.fills() == [(1, "-100", "97.02"), (1, "+100", "98.98")]

    def test_a_fixed_stop_of_a_stop_entry_trades_at_its_level(self) -> None:
        world = World()
        world.bars((100, 100, 100, 100))
        world.buy("in", stop=101, tif=TimeInForce.DAY, legs=bracket("in", stop="100.5"))
        world.bars((100, 102, 100, 102))
        assert world.fills() == [(1, "+100", "101"), (1, "-100", "100.5")]
