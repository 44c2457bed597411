"""A published SMA crossover on GOOG traded again by our kernel at our venue, each trade and each day to the cent.

The rule (the oracle's README): cash 10,000, no commission; where the 10-day mean crosses the 30-day mean, close and
take the other side with all the money there is, in whole shares, at the next open; the last trade ends at the last
bar's open. Its size is known only at that open. So each round trip is a session here: it begins with the opening print,
at which the entry is decided and sized, and ends with the print at whose open the exit fills. The bars come from the
package that published the result, which only the tests need.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.domain.instruments import us_equity
from qmworkbench.venue.costs import ideal
from tests.oracles.desk import Desk, Row

CENT = Decimal("0.01")
FAST, SLOW = 10, 30


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    """GOOG's daily bars, with the side the means say at each close: 1 crossed up, -1 crossed down, 0 neither.

    Means are compared as whole cents summed, so a tie is a tie.
    """
    package = find_spec("backtesting")
    if package is None or package.origin is None:
        pytest.skip("the package backtesting, which holds the oracle's bars, is not installed")
    file = Path(package.origin).parent / "test" / "GOOG.csv"
    read = pl.read_csv(file).rename({"": "day"}).with_columns(pl.col("day").str.to_date())
    cents = (pl.col("Close") * 100).round().cast(pl.Int64)
    ahead = (cents.rolling_sum(FAST) * (SLOW // FAST) - cents.rolling_sum(SLOW)).alias("ahead")
    crossed_up = (pl.col("ahead").shift(1) < 0) & (pl.col("ahead") > 0)
    crossed_down = (pl.col("ahead").shift(1) > 0) & (pl.col("ahead") < 0)
    side = pl.when(crossed_up).then(1).when(crossed_down).then(-1).otherwise(0)
    return read.with_columns(ahead).with_columns(side.alias("side"))


@pytest.fixture(scope="module")
def traded(bars: pl.DataFrame) -> tuple[Desk, dict[int, Decimal]]:
    """The desk after all of it, and the account's equity at each bar's close."""
    desk = Desk(us_equity("GOOG"), Decimal(10_000), ideal(), budget_pct=Decimal(100))
    rows = bars.rows(named=True)
    turns = [number for number, row in enumerate(rows) if row["side"]]
    last = len(rows) - 1
    equity = dict.fromkeys(range(turns[0] + 1), Decimal(10_000))
    for number, turn in enumerate(turns):
        first, until = turn + 1, (turns[number + 1] + 1 if number + 1 < len(turns) else last)
        round_trip(desk, rows, first, until, rows[turn]["side"], equity)
    equity[last] = desk.equity
    return desk, equity


def round_trip(desk: Desk, rows: list[dict], first: int, until: int, side: int, equity: dict[int, Decimal]) -> None:
    """Enter at the open of bar `first`, leave at the open of bar `until`."""
    at = _moment(rows[first]) + timedelta(minutes=10)  # the session before ends on the same opening print
    desk.begin(at, _moment(rows[until]) + timedelta(seconds=1), boundaries=until - first + 3)
    desk.show(Row.tick(at + timedelta(seconds=1), rows[first]["Open"]))
    entry = {"entry_long": True} if side > 0 else {"entry_short": True}
    desk.show(Row.tick(at + timedelta(seconds=2), rows[first]["Open"]), **entry)
    for number in range(first, until):
        row = rows[number]
        leave = {"exit_long": True, "exit_short": True} if number == until - 1 else {}
        desk.show(_bar(row), **leave)
        equity[number] = desk.equity
    desk.show(Row.tick(_moment(rows[until]), rows[until]["Open"]))
    desk.close()


def _moment(row: dict) -> datetime:
    return datetime.combine(row["day"], datetime.min.time(), tzinfo=UTC) + timedelta(hours=14, minutes=30)


def _bar(row: dict) -> Row:
    return Row(_moment(row) + timedelta(hours=6), row["Open"], row["High"], row["Low"], row["Close"])


def test_every_trade_is_the_published_one(
    traded: tuple[Desk, dict[int, Decimal]], bars: pl.DataFrame, oracles: Path
) -> None:
    published = pl.read_csv(oracles / "backtesting_goog_sma10_30_trades.csv")
    days = bars["day"].to_list()
    ours = [
        (int(trade.qty) * trade.side.sign, trade.entry_px, trade.exit_px, trade.net_pnl.quantize(CENT))
        for trade in traded[0].trades()
    ]
    theirs = [
        (size, _cents(entry), _cents(exit_), _cents(pnl))
        for size, entry, exit_, pnl in published.select("Size", "EntryPrice", "ExitPrice", "PnL").iter_rows()
    ]
    assert len(ours) == 66
    assert ours == theirs
    entered = [str(days[bar]) for bar in published["EntryBar"]]
    assert [f"{trade.opened_at:%Y-%m-%d}" for trade in traded[0].trades()] == entered


def test_equity_is_the_published_one_at_every_close(traded: tuple[Desk, dict[int, Decimal]], oracles: Path) -> None:
    published = pl.read_csv(oracles / "backtesting_goog_sma10_30_equity.csv")["Equity"].to_list()
    assert [traded[1][number].quantize(CENT) for number in range(len(published))] == [_cents(e) for e in published]
    assert traded[0].equity.quantize(CENT) == Decimal("51422.99")


def test_the_published_figures_follow(traded: tuple[Desk, dict[int, Decimal]]) -> None:
    gains = [trade.net_pnl for trade in traded[0].trades() if trade.net_pnl > 0]
    won = sum(gains) / -sum(trade.net_pnl for trade in traded[0].trades() if trade.net_pnl < 0)
    assert len(gains) / 66 * 100 == pytest.approx(46.96969696969697, abs=1e-12)
    # The publisher's profit factor is made of returns, not of money; ours of money is told beside it.
    returns = [float(trade.net_pnl / (trade.qty * trade.entry_px)) for trade in traded[0].trades()]
    factor = sum(r for r in returns if r > 0) / -sum(r for r in returns if r < 0)
    assert factor == pytest.approx(2.167945974262033, abs=1e-12)
    assert won > 1
    equity = [float(traded[1][number]) for number in range(len(traded[1]))]
    peak, deepest = equity[0], 0.0
    for value in equity:
        peak = max(peak, value)
        deepest = min(deepest, value / peak - 1)
    assert deepest * 100 == pytest.approx(-47.98012705007589, abs=1e-9)


def test_the_books_agreed_all_the_way(traded: tuple[Desk, dict[int, Decimal]]) -> None:
    assert traded[0].breaks() == []
    assert traded[0].sessions == 66


def _cents(amount: float) -> Decimal:
    return Decimal(str(amount)).quantize(CENT)
