"""The peer: nautilus_trader's engine, one symbol, one strategy, no journal. Prints bars per second as JSON.

Run in an environment of its own (bench/peers/nautilus.lock); bench/run.py makes it.
"""

import json
import random
import sys
import time
from decimal import Decimal

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model import Bar, BarType, Money, Price, Quantity, TraderId, Venue
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

MINUTE_NS = 60_000_000_000


class BreakoutConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType
    window: int = 20


class Breakout(Strategy):
    """Long above the highest high of the last bars, out below the lowest low: as light as a strategy gets."""

    def __init__(self, config: BreakoutConfig) -> None:
        super().__init__(config)
        self.highs: list[float] = []
        self.lows: list[float] = []
        self.bars = 0

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        close = float(bar.close)
        if len(self.highs) == self.config.window:
            flat = self.portfolio.is_flat(self.config.instrument_id)
            if flat and close > max(self.highs):
                order = self.order_factory.market(
                    self.config.instrument_id, OrderSide.BUY, Quantity.from_int(100), TimeInForce.GTC
                )
                self.submit_order(order)
            elif not flat and close < min(self.lows):
                self.close_all_positions(self.config.instrument_id)
            self.highs.pop(0)
            self.lows.pop(0)
        self.highs.append(float(bar.high))
        self.lows.append(float(bar.low))


def bars(bar_type: BarType, count: int) -> list[Bar]:
    """A random walk on the cent grid, the same at every run."""
    rng, px, made = random.Random(7), 10_000, []
    for i in range(count):
        first = px
        px = max(100, px + rng.randint(-8, 8))
        high, low = max(first, px) + rng.randint(0, 4), min(first, px) - rng.randint(0, 4)
        at = (i + 1) * MINUTE_NS
        prices = [Price(value / 100, 2) for value in (first, high, low, px)]
        made.append(Bar(bar_type, *prices, Quantity.from_int(10_000), at, at))
    return made


def main(count: int) -> None:
    engine = BacktestEngine(
        BacktestEngineConfig(trader_id=TraderId("BENCH-001"), logging=LoggingConfig(bypass_logging=True))
    )
    engine.add_venue(
        Venue("XNAS"),
        OmsType.NETTING,
        AccountType.CASH,
        [Money(1_000_000, USD)],
        base_currency=USD,
        default_leverage=Decimal(1),
    )
    instrument = TestInstrumentProvider.equity(symbol="AAA", venue="XNAS")
    engine.add_instrument(instrument)
    bar_type = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    engine.add_data(bars(bar_type, count))
    strategy = Breakout(BreakoutConfig(instrument_id=instrument.id, bar_type=bar_type))
    engine.add_strategy(strategy)
    began = time.perf_counter()
    engine.run()
    took_s = time.perf_counter() - began
    orders = len(engine.cache.orders())
    engine.dispose()
    print(json.dumps({"bars": strategy.bars, "orders": orders, "took_s": took_s, "bars_per_s": strategy.bars / took_s}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 75_518)
