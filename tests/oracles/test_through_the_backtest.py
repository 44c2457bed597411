"""The published results again, by the backtest that anybody can call: same trades, same equity, same figures."""

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import msgspec
import polars as pl
import pytest

from qmworkbench.market.adding.packages import package
from qmworkbench.market.schema import open_frame
from qmworkbench.research.backtests.backtest import Backtest, Options, Sizing, Terms, backtest
from qmworkbench.strategies import catalog
from qmworkbench.strategies.definition import Anchor, FlatPolicy
from tests.oracles.test_lean_basic_template import FIRST, LAST, factor_on, regular


@pytest.fixture(scope="module")
def goog() -> Backtest:
    """The rule as the catalog has it, without its stop: ten days over thirty, turned round with all there is."""
    if find_spec("backtesting") is None:
        pytest.skip("the package backtesting, which holds the oracle's bars, is not installed")
    return backtest(
        "sma-cross",
        open_frame(package("backtesting-goog").bars(), "package:backtesting-goog"),
        {"fast_bars": 10, "slow_bars": 30, "flat": "carry"},
        cash=10_000.0,
        sizing=Sizing("all_in"),
        options=Options(stops=False, reverse=True, end="last_open"),
    )


def test_goog_figures(goog: Backtest) -> None:
    told = goog.metrics
    assert told["final_equity"] == pytest.approx(51_422.98999999996, abs=1e-7)
    assert told["trades"] == 66
    assert told["win_rate"] == pytest.approx(0.4696969696969697, abs=1e-12)
    assert told["max_drawdown"] == pytest.approx(-0.4798012705007589, abs=1e-12)
    returns = goog.trades["return_pct"]  # the publisher's profit factor is made of returns, not of money
    factor = returns.filter(returns > 0).sum() / -returns.filter(returns < 0).sum()
    assert factor == pytest.approx(2.167945974262033, abs=1e-9)


def test_goog_trades_and_equity(goog: Backtest, oracles: Path) -> None:
    published = pl.read_csv(oracles / "backtesting_goog_sma10_30_trades.csv")
    side = goog.trades["side"].replace_strict({"long": 1.0, "short": -1.0})
    assert (goog.trades["qty"] * side).to_list() == published["Size"].to_list()
    for ours, theirs in (
        ("entry_bar", "EntryBar"),
        ("exit_bar", "ExitBar"),
        ("entry_px", "EntryPrice"),
        ("exit_px", "ExitPrice"),
    ):
        assert goog.trades[ours].to_list() == published[theirs].to_list(), ours
    assert goog.trades["pnl"].to_list() == pytest.approx(published["PnL"].to_list(), abs=1e-8)
    equity = pl.read_csv(oracles / "backtesting_goog_sma10_30_equity.csv")["Equity"].to_list()
    assert goog.equity["equity"].to_list() == pytest.approx(equity, abs=1e-7)


def test_the_first_algorithm_s_equity_is_reached(shared_data: Path) -> None:
    """All the money into SPY at the first minute's closing ask, held to the end; a quarter of a per cent kept back."""
    factor = factor_on(shared_data / "lean_factor_files" / "spy.csv", LAST)
    trades = regular(shared_data / "us_equity_minute_lean_201310.parquet", factor, ["close"])
    asks = regular(shared_data / "us_equity_quotes_minute_lean_201310.parquet", factor, ["ask_close"])
    assert trades["known_at"][0].date() == FIRST
    price = pl.when(pl.int_range(pl.len()) == 0).then(asks["ask_close"][0]).otherwise(pl.col("close"))
    bars = trades.select(
        pl.lit("SPY").alias("symbol"),
        (pl.col("known_at") - timedelta(minutes=1)).alias("ts"),
        *(price.alias(name) for name in ("open", "high", "low", "close")),
        volume=pl.lit(1e6),
    )
    done = backtest(
        _buy_and_hold(),
        open_frame(bars, "SPY, adjusted"),
        cash=100_000.0,
        terms=Terms(fee_per_unit=0.005),
        sizing=Sizing("equity", 0.9975),
        options=Options(fill="signal_close"),
    )
    fills = done.fill_table
    assert fills.select("qty", "fee", "phase").rows() == [(688.0, pytest.approx(3.44), "close")]
    assert fills["px"][0] == pytest.approx(167.45 * 0.8646266, abs=1e-12)
    assert done.metrics["final_equity"] == pytest.approx(101_691.92, abs=0.005)
    assert done.trades["open"].to_list() == [True]


def _buy_and_hold():  # type: ignore[no-untyped-def]
    """In at the first bar there is, never out: a rule of nobody's catalog."""
    entry = catalog.get("sma-cross")

    def signals(_: object) -> tuple:
        never = pl.lit(False)
        first = pl.col("i_row") == 0
        flags = (first.alias("entry_long"), *(never.alias(name) for name in ("entry_short", "exit_long", "exit_short")))
        return ((*flags, *(pl.lit(0.0).alias(name) for name in entry.features)),)

    def plan(entries, params):  # type: ignore[no-untyped-def]
        from qmworkbench.research.backtests.backtest_inputs import without_stops

        return without_stops(entry).plan(entries, params)

    return msgspec.structs.replace(
        entry,
        strategy_id="buy-and-hold",
        signals=signals,
        plan=plan,
        anchor=lambda params: Anchor(),
        warmup_bars=lambda params: 1,
        exits=msgspec.structs.replace(entry.exits, flat=FlatPolicy.CARRY),
    )
