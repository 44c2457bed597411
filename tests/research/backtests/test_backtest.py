"""A catalog strategy over bars: what is refused and why, what agrees with what, and what a result says of itself."""

import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from qmworkbench.market.findings import DataRefused
from qmworkbench.market.schema import open_frame, open_parquet
from qmworkbench.research.backtests.backtest import Backtest, BacktestRefused, Options, Sizing, Terms, backtest
from qmworkbench.research.backtests.period_bars import read_period
from qmworkbench.strategies import catalog
from qmworkbench.strategies.catalog import UnknownStrategy
from qmworkbench.strategies.contract import StrategyFault
from qmworkbench.strategies.parameters import ParameterError
from tests.research.backtests.backtest_cases import daily_bars, minute_bars

DAYS = [date(2018, 3, day) for day in (1, 2, 5, 6)]
PARAMS = {"fast_bars": 5, "slow_bars": 20, "atr_bars": 10}
COSTS = Terms(fee_rate=0.0001, fee_per_unit=0.005, slippage_rate=0.0003)


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return minute_bars(["AAA", "BBB", "CCC"], DAYS, minutes=120)


@pytest.fixture(scope="module")
def done(bars: pl.DataFrame) -> Backtest:
    return backtest("sma-cross", open_frame(bars, "made up"), PARAMS, terms=COSTS, sizing=Sizing(positions=2))


def test_a_result_adds_up(done: Backtest) -> None:
    told = done.metrics
    assert told["trades"] == done.by_symbol["trades"].sum() == done.by_reason["trades"].sum() > 30
    assert done.by_hour["pnl"].sum() == pytest.approx(done.by_weekday["pnl"].sum())
    assert told["final_equity"] == pytest.approx(done.cash + done.trades["pnl"].sum())
    assert told["fees"] == pytest.approx(done.fill_table["fee"].sum())
    assert (1 + done.by_month["return"]).product() == pytest.approx(1 + told["total_return"])
    assert done.sessions["equity"][-1] == done.equity["equity"][-1]
    assert done.sessions["session"].to_list() == DAYS
    assert told["refused"] == done.refusals.height > 0
    assert set(done.refusals["why"]) == {"positions"}
    assert done.equity["held"].max() == 2


def test_every_entry_is_at_the_open_after_its_decision(done: Backtest) -> None:
    for tape, decided in zip(done.tapes, done.decisions, strict=True):
        own = done.trades.filter(pl.col("symbol") == tape.symbol)
        at = own["entry_bar"].to_numpy()
        long = own["side"].to_numpy() == "long"
        assert np.where(long, decided.entry_long[at - 1], decided.entry_short[at - 1]).all()
        assert own["entry_px"].to_list() == pytest.approx((tape.open[at] * np.where(long, 1.0003, 0.9997)).tolist())


def test_asked_for_by_name_the_fill_is_the_deciding_close(bars: pl.DataFrame) -> None:
    made = backtest(
        "sma-cross", open_frame(bars, "made up"), PARAMS, symbols=["AAA"], options=Options(fill="signal_close")
    )
    own, tape = made.trades, made.tapes[0]
    assert own["entry_px"].to_list() == tape.close[own["entry_bar"].to_numpy()].tolist()
    assert any("nobody who decided by it" in note for note in made.notes)


def test_the_same_in_any_order_of_rows_and_however_often(bars: pl.DataFrame, done: Backtest) -> None:
    again = backtest(
        "sma-cross", open_frame(bars.sample(fraction=1.0, shuffle=True, seed=1), "made up"), PARAMS, terms=COSTS,
        sizing=Sizing(positions=2),
    )  # fmt: skip
    assert again.trades.equals(done.trades)
    assert again.equity.equals(done.equity)
    assert again.bars.hash == done.bars.hash
    manifests = [one.manifest(code_version="x") for one in (again, done)]
    assert msgspec.structs.replace(manifests[0], notes=()) == msgspec.structs.replace(manifests[1], notes=())


def test_a_strategy_sees_the_sessions_before_the_period(bars: pl.DataFrame) -> None:
    source = open_frame(bars, "made up")
    late = backtest("sma-cross", source, PARAMS, symbols=["AAA"], period=(DAYS[2], None), cash=1e6)
    whole = backtest("sma-cross", source, PARAMS, symbols=["AAA"], cash=1e6)
    from_then = whole.trades.filter(pl.col("entry_ts").dt.date() >= DAYS[2])
    assert late.trades["entry_ts"].to_list() == from_then["entry_ts"].to_list()
    assert late.trades["return_pct"].to_list() == pytest.approx(from_then["return_pct"].to_list())
    assert late.trades["entry_ts"].dt.date().min() == DAYS[2]
    assert late.equity["ts"].dt.date().min() == DAYS[2]


def test_vectorbt_shows_the_same_portfolio_and_simulates_the_same_fills(bars: pl.DataFrame, done: Backtest) -> None:
    portfolio = done.portfolio()
    assert float(portfolio.total_return()) == pytest.approx(done.metrics["total_return"], rel=1e-9)
    assert float(portfolio.sharpe_ratio(year_freq=done.year)) == pytest.approx(done.metrics["sharpe"], rel=1e-9)
    assert float(portfolio.trades.count()) == done.trades.height
    other = backtest(
        "sma-cross", open_frame(bars, "made up"), PARAMS, terms=COSTS, sizing=Sizing(positions=2),
        options=Options(engine="vectorbt-rust"),
    )  # fmt: skip
    assert other.trades.equals(done.trades)
    assert other.engine["fills"] == "vectorbt-rust"
    assert set(other.engine) == {"fills", "python", "numba", "numpy", "polars", "vectorbt"}


def test_without_stops_a_strategy_ends_by_its_signals_alone(bars: pl.DataFrame) -> None:
    made = backtest("sma-cross", open_frame(bars, "made up"), PARAMS, symbols=["AAA"], options=Options(stops=False))
    assert set(made.by_reason["reason"]) <= {"exit", "opposite_entry", "flat_at_close"}
    assert made.trades["stop_px"].null_count() == made.trades.height


def test_a_backtest_reaches_no_broker_and_loads_no_vectorbt_unasked() -> None:
    asked = (
        "import sys, qmworkbench.research.backtests.backtest as b; b.engine_of('kernel'); "
        "print([m for m in sys.modules if m.startswith(('qmworkbench.brokers', 'qmworkbench.venue', 'vectorbt'))])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_daily_bars_are_one_long_session_for_a_strategy_that_carries() -> None:
    walk = (50 + np.cumsum(np.random.default_rng(4).normal(0, 0.6, 260))).round(2).tolist()
    source = open_frame(daily_bars("AAA", date(2016, 1, 4), walk), "made up")
    with pytest.raises(BacktestRefused, match="daily bars") as refused:
        backtest("sma-cross", source, PARAMS)
    assert refused.value.remedy == "let it carry positions with flat=carry, or give minute or hourly bars"
    with pytest.raises(BacktestRefused, match="daily bars") as refused:
        backtest("opening-range", source)
    assert refused.value.remedy == "give minute or hourly bars"
    made = backtest("sma-cross", source, PARAMS | {"flat": "carry"}, options=Options(end="last_open"))
    assert made.by_hour.is_empty()
    assert made.metrics["open_trades"] == 0
    assert made.metrics["trades"] > 3
    assert made.sessions.height == 260


def test_what_makes_no_sense_is_named(bars: pl.DataFrame) -> None:
    source = open_frame(bars, "made up")
    with pytest.raises(UnknownStrategy, match="did you mean 'sma-cross'"):
        backtest("sma-kross", source)
    with pytest.raises(ParameterError, match="fast_bars = 900 is out of range"):
        backtest("sma-cross", source, {"fast_bars": 900})
    with pytest.raises(BacktestRefused, match="cash is -5"):
        backtest("sma-cross", source, cash=-5.0)
    with pytest.raises(BacktestRefused, match=r"fee_rate is 3\.0"):
        backtest("sma-cross", source, terms=Terms(fee_rate=3.0))
    with pytest.raises(BacktestRefused, match="engine 'x' is none"):
        backtest("sma-cross", source, PARAMS, options=Options(engine="x"))  # type: ignore[arg-type]
    with pytest.raises(DataRefused, match="there are no bars of ZZZ"):
        backtest("sma-cross", source, symbols=["ZZZ"])
    with pytest.raises(DataRefused, match="it has nothing from 2019-01-01"):
        backtest("sma-cross", source, period=(date(2019, 1, 1), None))
    with pytest.raises(DataRefused, match="before it"):
        backtest("sma-cross", source, period=(DAYS[2], DAYS[0]))
    with pytest.raises(BacktestRefused, match="too few bars: made up has at most 480"):
        backtest("sma-cross", source, {"slow_bars": 500, "fast_bars": 9})


def test_currencies_are_not_added_up(bars: pl.DataFrame) -> None:
    held = replace(read_period(open_frame(bars, "pairs")), instruments=_pairs())
    with pytest.raises(DataRefused, match="JPY, USD"):
        _ = held.currency


def _pairs() -> dict:
    from qmworkbench.domain.instruments import instrument_for

    return {name: instrument_for(name) for name in ("EURUSD", "USDJPY")}


def test_a_strategy_that_fails_on_one_symbol_goes_on_with_the_others(bars: pl.DataFrame) -> None:
    entry = catalog.get("sma-cross")

    def signals(params: object) -> object:
        stages = entry.signals(params)  # type: ignore[arg-type]
        broken = pl.col("symbol").map_batches(_fails_on_bbb, return_dtype=pl.Boolean)
        return (
            *stages[:-1],
            tuple(expr & broken if expr.meta.output_name() == "entry_long" else expr for expr in stages[-1]),
        )

    definition = msgspec.structs.replace(entry, signals=signals)
    made = backtest(definition, open_frame(bars, "made up"), PARAMS)
    assert made.symbols == ("AAA", "CCC")
    assert "cannot be told" in made.failed["BBB"]
    assert any(note.startswith("BBB was left out") for note in made.notes)
    with pytest.raises(StrategyFault):
        backtest(definition, open_frame(bars, "made up"), PARAMS, symbols=["BBB"])


def _fails_on_bbb(symbols: pl.Series) -> pl.Series:
    if "BBB" in symbols.to_list():
        raise RuntimeError("BBB cannot be told")
    return pl.Series([True] * len(symbols))


def test_real_minutes_of_several_symbols(shared_data: Path) -> None:
    source = open_parquet(shared_data / "us_equity_minute_2018.parquet")
    made = backtest(
        "opening-range", source, symbols=["AAPL", "AMD", "OPK"], period=(date(2018, 3, 1), date(2018, 3, 6)),
        terms=COSTS, options=Options(rank="turnover"),
    )  # fmt: skip
    assert made.trades["symbol"].to_list() == ["OPK"]
    assert str(made.trades["entry_ts"][0]) == "2018-03-02 15:08:00+00:00"
    assert made.bars.history == 0, "an opening range looks back to no session before its own"
