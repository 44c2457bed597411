"""Costs taken from trades and from a backtest run again, down to the cost at which nothing is left."""

import polars as pl
import pytest

from qmworkbench.research.fills.tape import Terms
from qmworkbench.research.statistics.cost_sensitivity import from_callable, from_trades

TRADES = pl.DataFrame(
    {
        "qty": [100.0, 50.0, 10.0],
        "entry_px": [10.0, 40.0, 100.0],
        "exit_px": [11.0, 39.0, 99.5],
        "gross_pnl": [100.0, -50.0, -5.0],
        "open": [False, False, True],
    }
)


def test_closed_trades_pay_on_both_sides() -> None:
    found = from_trades(TRADES, capital=10_000, ladder_bps=[0, 10, 100])
    turnover = 100 * 21 + 50 * 79
    rows = found.ladder.to_dicts()
    assert rows[0] == {
        "cost_bps": 0, "net_pnl": 50, "costs": 0, "net_return": 0.005, "win_rate": 0.5, "profit_factor": 2,
        "mean_pnl": 25,
    }  # fmt: skip
    assert rows[1]["net_pnl"] == pytest.approx(50 - turnover / 1000)
    assert rows[2]["net_return"] == pytest.approx((50 - turnover / 100) / 10_000)
    assert found.breakeven_bps == pytest.approx(50 / turnover * 10_000)
    there = from_trades(TRADES, capital=10_000, ladder_bps=[found.breakeven_bps])
    assert there.ladder["net_pnl"][0] == pytest.approx(0, abs=1e-9)


def test_trades_that_lose_anyway_have_no_breakeven() -> None:
    found = from_trades(TRADES.with_columns(gross_pnl=-pl.col("gross_pnl").abs()), capital=1_000)
    assert found.breakeven_bps is None
    assert found.missing == "the trades lose 150.00 before any cost"
    won = from_trades(TRADES.with_columns(gross_pnl=pl.col("gross_pnl").abs()), capital=1_000, ladder_bps=[0])
    assert won.ladder["profit_factor"].to_list() == [None]


def test_a_backtest_is_run_again_at_every_rung_with_its_other_terms() -> None:
    asked: list[Terms] = []

    def evaluate(terms: Terms) -> dict[str, float]:
        asked.append(terms)
        return {"total_return": 0.03 - 40 * terms.slippage_rate - 10 * terms.fee_rate, "trades": 7}

    found = from_callable(evaluate, base=Terms(fee_per_order=1.0, fee_rate=0.0001), ladder_bps=[0, 5, 10])
    assert [terms.slippage_rate for terms in asked] == pytest.approx([0, 0.0005, 0.001])
    assert {(terms.fee_per_order, terms.fee_rate) for terms in asked} == {(1.0, 0.0001)}
    assert found.breakeven_bps == pytest.approx(7.25)
    assert found.ladder.columns == ["cost_bps", "total_return", "trades"]
    fees = from_callable(evaluate, by="fees", ladder_bps=[0, 20, 40])
    assert fees.breakeven_bps == pytest.approx(30)
    assert fees.missing is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda cost: -1.0, "at 0 bps already"),
        (lambda cost: 1.0, "still 1 at 50 bps"),
        (lambda cost: None, "undefined"),
    ],
)
def test_a_missing_breakeven_says_why(value: object, words: str) -> None:
    found = from_callable(lambda terms: {"total_return": value(terms)})  # type: ignore[operator]
    assert found.breakeven_bps is None
    assert found.missing is not None
    assert words in found.missing


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_trades(TRADES.drop("qty"), capital=1), "no column 'qty'"),
        (lambda: from_trades(TRADES.filter(pl.col("open")), capital=1), "no trade was closed"),
        (lambda: from_trades(TRADES, capital=0), "capital is 0"),
        (lambda: from_trades(TRADES, capital=1, ladder_bps=[5, 1]), "costs that rise"),
        (lambda: from_trades(TRADES, capital=1, ladder_bps=[]), "costs that rise"),
        (lambda: from_trades(TRADES.with_columns(qty=0.0), capital=1), "a qty of 0"),
        (lambda: from_trades(TRADES.with_columns(exit_px=float("nan")), capital=1), "exit_px is nan"),
        (lambda: from_callable(lambda terms: {"sharpe": 1.0}), "'total_return' is not among the figures: sharpe"),
        (lambda: from_callable(lambda terms: {}, by="spread"), "by is 'spread'"),
    ],
)
def test_what_cannot_be_charged_is_refused_by_name(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
