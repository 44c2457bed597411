"""The figures of fills, case by case, and beside them vectorbt's of the same fills (FILLS §8)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from qmworkbench.research.fills import metrics
from qmworkbench.research.fills.fill_kernel import simulate
from qmworkbench.research.fills.measure import Figure
from qmworkbench.research.fills.real_bars import figures_of, portfolio_of
from qmworkbench.research.fills.tape import Fills, Floats, Tape, Terms
from tests.research.fills.fill_cases import Plan, decided, tape_of_ticks

CASH = 10_000.0


@dataclass(frozen=True)
class Account:
    """Bars in cents, what was decided, and the figures worked out by hand."""

    name: str
    closes: tuple[int, ...]
    plans: dict[int, Plan]
    told: dict[Figure, float]
    terms: Terms = Terms()  # noqa: RUF009
    reverse: bool = False
    cash: float = CASH


LONG, OUT, SHORT, COVER = Plan("long"), Plan("exit_long"), Plan("short"), Plan("exit_short")
INF, NONE = np.inf, np.nan
NO_TRADE = {Figure.TRADES: 0, Figure.WIN_RATE: NONE, Figure.PROFIT_FACTOR: NONE, Figure.TOTAL_RETURN: 0.0}

# Opens are the closes before. A plan at bar t fills at that bar's close, which is the next open.
ACCOUNTS = [
    Account("no trades", (1000, 1010, 1020, 1010, 1000, 1000), {}, {**NO_TRADE, Figure.SHARPE: INF,
            Figure.MAX_DRAWDOWN: 0.0, Figure.EXPOSURE: 0.0}),
    Account("only wins", (1000, 1010, 1020, 1030, 1040, 1050), {0: LONG, 1: OUT, 2: LONG, 3: OUT},
            {Figure.TRADES: 2, Figure.WIN_RATE: 1.0, Figure.PROFIT_FACTOR: INF, Figure.GROSS_PROFIT: 20.0,
             Figure.TOTAL_RETURN: 0.002, Figure.MAX_DRAWDOWN: 0.0}),
    Account("only losses", (1050, 1040, 1030, 1020, 1010, 1000), {0: LONG, 1: OUT, 2: LONG, 3: OUT},
            {Figure.TRADES: 2, Figure.WIN_RATE: 0.0, Figure.PROFIT_FACTOR: 0.0, Figure.GROSS_LOSS: -20.0,
             Figure.MAX_DRAWDOWN: -0.002}),
    Account("an open position is valued, and counted apart", (1000, 1010, 1020, 1030, 1040, 1050), {0: LONG},
            {Figure.TRADES: 0, Figure.OPEN_TRADES: 1, Figure.TOTAL_RETURN: 0.005, Figure.OPEN_PNL: 50.0,
             Figure.WIN_RATE: NONE, Figure.EXPOSURE: 5 / 6}),
    Account("an exact breakeven is no win, but counts", (1000, 1000, 1000, 1000, 1000, 1000),
            {0: LONG, 1: OUT, 2: SHORT, 3: COVER},
            {Figure.TRADES: 2, Figure.WINS: 0, Figure.WIN_RATE: 0.0, Figure.PROFIT_FACTOR: NONE, Figure.SHARPE: INF}),
    Account("an exact breakeven after fees per share", (1000, 1001, 1001, 1001, 1001, 1001), {0: LONG, 1: OUT},
            {Figure.TRADES: 1, Figure.WINS: 0, Figure.FEES: 1.0, Figure.TOTAL_RETURN: 0.0},
            Terms(fee_per_unit=0.005)),
    Account("a flip pays its fixed fee once and shares it by quantity", (1000, 1010, 1020, 1000, 1000, 1000),
            {0: LONG, 1: SHORT, 3: COVER},
            {Figure.TRADES: 2, Figure.WINS: 2, Figure.FEES: 3 * 1.0 + 0.001 * 4020,
             Figure.BEST_TRADE: 10 - 2 - 1.51, Figure.WORST_TRADE: 10 - 1.51 - 2},
            Terms(fee_rate=0.001, fee_per_order=1.0), reverse=True),
    Account("ruin", (1000, 2000, 4000, 9000, 30000, 20000), {0: SHORT},
            {Figure.OPEN_TRADES: 1, Figure.FINAL_EQUITY: 10_000 - 19_000, Figure.TOTAL_RETURN: -1.9}),
]  # fmt: skip


def tape_of(account: Account) -> Tape:
    opens = (account.closes[0], *account.closes[:-1])
    return tape_of_ticks(
        [(o, max(o, c), min(o, c), c) for o, c in zip(opens, account.closes, strict=True)], ended=False
    )


def fills_of(account: Account) -> tuple[Tape, Fills]:
    tape = tape_of(account)
    plans = decided(len(tape), account.plans, reverse=account.reverse)
    return tape, simulate(tape, plans, account.terms)


@pytest.fixture(scope="module")
def by_vectorbt() -> dict[str, Floats]:
    made = [fills_of(account) for account in ACCOUNTS]
    told = figures_of(
        portfolio_of(
            [tape for tape, _ in made],
            [fills for _, fills in made],
            np.array([account.cash for account in ACCOUNTS]),
            interval_s=60,
            names=[account.name for account in ACCOUNTS],
        )
    )
    return {account.name: row for account, row in zip(ACCOUNTS, told, strict=True)}


@pytest.mark.parametrize("account", ACCOUNTS, ids=[account.name for account in ACCOUNTS])
def test_figures_are_as_worked_out_by_hand_and_as_vectorbts(account: Account, by_vectorbt: dict[str, Floats]) -> None:
    row = metrics.figures(*fills_of(account), account.cash)
    for figure, value in account.told.items():
        assert row[figure] == pytest.approx(value, rel=1e-12, abs=1e-9, nan_ok=True), figure.name
    theirs = by_vectorbt[account.name]
    for figure in Figure:
        if not np.isnan(theirs[figure]):
            assert row[figure] == pytest.approx(theirs[figure], rel=1e-9, abs=1e-9), figure.name


def test_the_initial_cash_is_a_peak_of_ours_and_none_of_vectorbts() -> None:
    account = Account("loss on the first bar", (1000, 950, 960, 900, 910, 910), {0: LONG}, {}, cash=1000.0)
    tape = replace(tape_of(account), open=np.array([10.0, 10.0, 9.5, 9.6, 9.0, 9.1]))
    fills = simulate(tape, decided(6, account.plans), Terms())
    late = replace(fills, at=fills.at - 1)  # as if entered before the first close
    row = metrics.figures(replace(tape, close=np.array([9.5, 9.6, 9.0, 9.1, 9.1, 9.1])), late, 1000.0)
    assert row[Figure.MAX_DRAWDOWN] == pytest.approx(-0.1)
    assert row[Figure.MAX_DRAWDOWN_CLOSES] == pytest.approx(900 / 960 - 1)


def test_ample_cash_costs_the_sharpe_ratio_its_digits() -> None:
    tape, fills = fills_of(ACCOUNTS[1])
    few, ample = (metrics.figures(tape, fills, cash)[Figure.SHARPE] for cash in (1e4, 1e13))
    assert few == pytest.approx(ample, rel=0.05)
    assert few != pytest.approx(ample, rel=1e-9)


def test_a_year_is_252_sessions_of_a_sessions_length() -> None:
    assert metrics.bars_a_year(390) == 98_280
    assert metrics.sharpe_a_year(0.01, metrics.bars_a_year(390)) == pytest.approx(0.01 * 98_280**0.5)
    assert metrics.sharpe_a_year(np.inf, 252) == np.inf
    with pytest.raises(ValueError, match="0 bars a session"):
        metrics.bars_a_year(0)


def test_what_is_not_defined_ranks_as_missing() -> None:
    named = metrics.named(metrics.figures(*fills_of(ACCOUNTS[0]), CASH))
    assert (named["sharpe"], named["win_rate"], named["profit_factor"], named["trades"]) == (None, None, None, 0.0)


def test_bars_at_different_times_have_no_portfolio_together() -> None:
    tape, fills = fills_of(ACCOUNTS[1])
    with pytest.raises(ValueError, match="different times"):
        portfolio_of([tape, replace(tape, ts_us=tape.ts_us + 1)], [fills, fills], CASH, interval_s=60)


def test_an_index_with_holes_changes_no_figure() -> None:
    account = ACCOUNTS[6]
    tape, fills = fills_of(account)
    gapped = replace(tape, ts_us=tape.ts_us + np.arange(len(tape)) * 1_800_000_000)
    rows = [figures_of(portfolio_of([each], [fills], CASH, interval_s=60))[0] for each in (tape, gapped)]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-12, equal_nan=True)
