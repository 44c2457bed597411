"""Money in other currencies: the venue converts at its own recorded rates, and refuses what it cannot convert."""

from decimal import Decimal as D

import pytest

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.instruments import forex_pair
from qmworkbench.venue.orders import OrderRefused
from tests.venue.worlds import World, at

PAIRS = [forex_pair(symbol) for symbol in ("EURGBP", "EURUSD", "GBPJPY", "GBPUSD", "USDJPY")]


def flat(px: float) -> tuple[float, float, float, float]:
    return (px, px, px, px)


def world() -> World:
    made = World(instruments=PAIRS, cash="100000")
    made.feed({"USDJPY": flat(110.0), "GBPUSD": flat(1.25), "EURGBP": flat(0.88)})
    return made


class TestConversion:
    def test_yen_become_dollars_through_the_pairs_last_print(self) -> None:
        fx = world()
        fx.buy("in", 10000, symbol="USDJPY")
        fx.feed({"USDJPY": flat(110.0)})
        fx.close_long("out", 10000, symbol="USDJPY")
        fx.feed({"USDJPY": flat(111.0)})
        account = fx.exchange.account()
        assert account.realized_pnl == D("90.90909091")  # 10,000 yen at 110, the rate before the fill's bar
        assert account.cash == D("100090.90909091")
        assert [r.conversion_rate for r in fx.said() if r.exec_type is ExecType.TRADE] == [D(1) / D(110)] * 2

    def test_pounds_become_dollars_directly(self) -> None:
        fx = world()
        fx.sell("in", 10000, symbol="EURGBP")
        fx.feed({"EURGBP": flat(0.88)})
        fx.close_short("out", 10000, symbol="EURGBP")
        fx.feed({"EURGBP": flat(0.87), "GBPUSD": flat(1.50)})
        assert fx.exchange.account().realized_pnl == D(125)  # 100 pounds at 1.25: the 1.50 printed with the fill

    def test_dollars_need_no_rate(self) -> None:
        fx = world()
        fx.feed({"EURUSD": flat(1.1)})
        fx.buy("in", 10000, symbol="EURUSD")
        fx.feed({"EURUSD": flat(1.1)})
        fx.close_long("out", 10000, symbol="EURUSD")
        fx.feed({"EURUSD": flat(1.2)})
        assert fx.exchange.account().cash == D(101000)

    def test_only_realized_profit_moves_the_cash_of_a_margin_account(self) -> None:
        fx = world()
        fx.buy("in", 10000, symbol="USDJPY")
        fx.feed({"USDJPY": (110, 111, 110, 111)})
        account = fx.exchange.account()
        assert account.cash == D(100000)
        assert account.equity == D(100000) + (D(10000) / 111).quantize(D("0.00000001"))
        assert account.unrealized_pnl == account.equity - account.cash
        assert account.positions_value == D(10000)

    def test_open_profit_is_valued_at_the_newest_rate(self) -> None:
        fx = world()
        fx.buy("in", 10000, symbol="EURGBP")
        fx.feed({"EURGBP": (0.88, 0.89, 0.88, 0.89), "GBPUSD": flat(1.50)})
        assert fx.exchange.account().unrealized_pnl == D(150)


class TestRates:
    def test_without_a_rate_an_entry_is_refused(self) -> None:
        fx = World(instruments=PAIRS, cash="100000")
        fx.feed({"GBPJPY": flat(150.0)})
        with pytest.raises(OrderRefused, match="no_conversion_rate: GBPJPY: no rate from JPY to USD"):
            fx.buy("in", 1000, symbol="GBPJPY")

    def test_a_rate_that_was_told_will_do(self) -> None:
        fx = World(instruments=PAIRS, cash="100000")
        fx.feed({"GBPJPY": flat(150.0)})
        fx.exchange.set_rates({"JPY": D("0.01")}, at(0))
        fx.buy("in", 1000, symbol="GBPJPY")
        fx.feed({"GBPJPY": flat(150.0)})
        fx.close_long("out", 1000, symbol="GBPJPY")
        fx.feed({"GBPJPY": flat(151.0)})
        assert fx.exchange.account().realized_pnl == D(10)

    def test_a_traded_pair_overrides_it(self) -> None:
        fx = World(instruments=PAIRS, cash="100000")
        fx.exchange.set_rates({"JPY": D("0.01")}, at(0))
        fx.feed({"GBPJPY": flat(150.0), "USDJPY": flat(125.0)})
        fx.buy("in", 1000, symbol="GBPJPY")
        fx.feed({"GBPJPY": flat(150.0)})
        trade = fx.said("in")[-1]
        assert trade.conversion_rate == D("0.008")

    def test_what_no_pair_has_goes_through_the_dollar(self) -> None:
        pairs = [forex_pair(symbol) for symbol in ("AUDJPY", "AUDUSD", "EURUSD", "USDJPY", "EURGBP")]
        fx = World(instruments=pairs, cash="100000", currency="EUR")
        fx.feed({"AUDJPY": flat(80.0), "AUDUSD": flat(0.8)})
        with pytest.raises(OrderRefused, match="no rate from JPY to EUR"):
            fx.buy("early", 1000, symbol="AUDJPY")  # the dollar's price in yen and in euros is yet to come
        fx.feed({"USDJPY": flat(100.0), "EURUSD": flat(1.25)})
        fx.buy("in", 10000, symbol="AUDJPY")
        fx.feed({"AUDJPY": flat(80.0)})
        fx.close_long("out", 10000, symbol="AUDJPY")
        fx.feed({"AUDJPY": flat(81.0)})
        account = fx.exchange.account()
        assert account.realized_pnl == D(80)  # 10,000 yen are 100 dollars are 80 euros
        assert {rate.source for rate in fx.exchange._books.rates.values()} == {"USDJPY x EURUSD"}

    @pytest.mark.parametrize(
        ("pair", "moved", "dollars"), [("EURGBP", 0.01, 125), ("GBPJPY", 1.1, 100), ("AUDJPY", 1.1, 100)]
    )
    def test_cross_pairs_of_a_dollar_account_are_converted_at_the_fill(
        self, pair: str, moved: float, dollars: int
    ) -> None:
        pairs = [forex_pair(s) for s in ("AUDJPY", "EURGBP", "GBPJPY", "GBPUSD", "USDJPY")]
        fx = World(instruments=pairs, cash="100000")
        fx.feed({"USDJPY": flat(110.0), "GBPUSD": flat(1.25), pair: flat(100.0)})
        fx.buy("in", 10000, symbol=pair)
        fx.feed({pair: flat(100.0)})
        fx.close_long("out", 10000, symbol=pair)
        fx.feed({pair: flat(100.0 + moved), "USDJPY": flat(55.0), "GBPUSD": flat(2.5)})  # too late for this fill
        assert abs(fx.exchange.account().realized_pnl - dollars) < D("1e-7")

    def test_margin_is_told_in_account_currency_and_refuses_what_exceeds_it(self) -> None:
        fx = world()
        most = int(D(100000) / (D("0.0333") * D("0.88") * D("1.25")))
        with pytest.raises(OrderRefused, match=r"insufficient_buying_power: .* ties up .* USD, there is 100000"):
            fx.buy("much", most + 2, symbol="EURGBP")
        fx.buy("fits", most, symbol="EURGBP")
        fx.feed({"EURGBP": flat(0.88)})
        assert fx.exchange.account().buying_power < D(1)

    def test_an_account_that_lost_its_margin_gets_no_more_and_may_leave(self) -> None:
        fx = world()
        fx.buy("in", 2_000_000, symbol="EURGBP")
        fx.feed({"EURGBP": flat(0.88)})
        fx.feed({"EURGBP": flat(0.85)})
        account = fx.exchange.account()
        assert account.equity == D(100000) - 2_000_000 * D("0.03") * D("1.25")
        assert account.buying_power == 0
        with pytest.raises(OrderRefused, match="insufficient_buying_power"):
            fx.buy("more", 1000, symbol="EURGBP")
        fx.close_long("out", 2_000_000, symbol="EURGBP")
        fx.feed({"EURGBP": flat(0.85)})
        assert fx.exchange.account().cash == account.equity

    def test_rates_survive_a_restart(self, tmp_path) -> None:  # type: ignore[no-untyped-def]
        fx = World(instruments=PAIRS, cash="100000", path=tmp_path / "venue.db")
        fx.feed({"GBPJPY": flat(150.0), "USDJPY": flat(125.0)})
        fx.buy("in", 1000, symbol="GBPJPY")
        fx.feed({"GBPJPY": flat(151.0), "USDJPY": flat(126.0)})
        before = fx.exchange.account()
        fx.restart()
        assert fx.exchange.account() == before

    @pytest.mark.parametrize("rate", ["0", "-1", "NaN"])
    def test_a_rate_must_be_above_zero(self, rate: str) -> None:
        with pytest.raises(ValueError, match=f"rate of JPY = {rate}: give what one JPY is worth"):
            world().exchange.set_rates({"JPY": D(rate)}, at(0))
