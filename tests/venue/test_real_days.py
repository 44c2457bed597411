"""The venue on recorded markets: a whole day of shares, a week of currencies, and another engine's published result."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.domain.execution import ExecType, OrderRequest
from qmworkbench.domain.instruments import Instrument, instrument_for, us_equity
from qmworkbench.domain.numbers import ceil_to, decimal_of
from qmworkbench.domain.orders import OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.trading.frames import BarFrame, Universe
from qmworkbench.venue.costs import FeeSchedule, costed, ideal
from qmworkbench.venue.exchange import Exchange
from tests.venue.worlds import World, bracket, terms

COLUMNS = ("open", "high", "low", "close", "volume")


def frames(rows: pl.DataFrame, universe: Universe, interval: timedelta) -> Iterator[BarFrame]:
    """Recorded rows as frames, in order."""
    places = pl.DataFrame({"symbol": universe.symbols, "place": np.arange(len(universe), dtype=np.int32)})
    for (ts,), part in rows.join(places, on="symbol").sort("ts", "place").group_by("ts", maintain_order=True):
        assert isinstance(ts, datetime)
        columns = [part[name].to_numpy() for name in COLUMNS]
        yield BarFrame(ts + interval, part["place"].to_numpy(), *columns)


def enter(
    exchange: Exchange, instrument: Instrument, name: str, px: D, side: Side, qty: D, at: datetime, **more: object
) -> None:
    """A bracket 1 % around `px`, flat at the close."""
    below, above = instrument.tick_down(px * D("0.99")), instrument.tick_up(px * D("1.01"))
    stop, target = (below, above) if side is Side.BUY else (above, below)
    exchange.submit(
        OrderRequest(
            cl_ord_id=name,
            symbol=instrument.symbol,
            side=side,
            position_effect=PositionEffect.OPEN,
            ord_type=OrdType.MARKET,
            order_qty=qty,
            time_in_force=TimeInForce.IOC,
            decided_at=at,
            legs=bracket(name, stop=str(stop), target=str(target), close=True, **more),  # type: ignore[arg-type]
        )
    )


def a_day(rows: pl.DataFrame, path: Path) -> Exchange:
    """2018-03-02 with twenty entries through the morning, every second one trailing, half of them short."""
    symbols = sorted(rows["symbol"].unique())
    universe = Universe(symbols)
    exchange = Exchange(path, [us_equity(symbol) for symbol in symbols], costed(), "USD", D(1_000_000))
    exchange.open_session("2018-03-02", datetime(2018, 3, 2, 14, 30, tzinfo=UTC))
    last = None
    for number, frame in enumerate(frames(rows, universe, timedelta(minutes=1))):
        exchange.on_frame(frame, universe)
        last = frame
        if number % 5 == 4 and number < 100:
            k = number // 5
            place = int(frame.index[(k * 17) % len(frame.index)])
            row = int(np.searchsorted(frame.index, place))
            instrument = us_equity(symbols[place])
            px = instrument.tick_down(D(str(frame.close[row])))
            more = {"trail": 150} if k % 2 else {}
            side = Side.SELL if k % 4 > 1 else Side.BUY
            enter(exchange, instrument, f"e{k}", px, side, D(100), frame.as_of, **more)
    assert last is not None
    exchange.close_session(last.as_of)
    return exchange


@pytest.fixture(scope="module")
def shares(shared_data: Path) -> pl.DataFrame:
    rows = pl.read_parquet(shared_data / "us_equity_minute_2018.parquet")
    return rows.filter(pl.col("ts").dt.date() == date(2018, 3, 2))


def test_a_day_of_shares_ends_flat(shares: pl.DataFrame, tmp_path: Path) -> None:
    with a_day(shares, tmp_path / "venue.db") as exchange:
        said = list(exchange.reports(0))
        account = exchange.account()
        assert list(exchange.positions()) == []
        assert list(exchange.open_orders()) == []
    fills = [report for report in said if report.exec_type is ExecType.TRADE]
    assert len({report.cl_ord_id for report in fills if report.parent_id is None}) >= 18
    assert len({report.cl_ord_id.partition("/")[2] for report in fills}) == 4  # entry, stop, target, close all occur
    assert account.equity == account.cash == D(1_000_000) + account.realized_pnl - account.fees
    assert account.cash == D(1_000_000) - sum(
        (report.side.sign * report.last_qty * report.last_px + report.fee for report in fills), D(0)
    )
    assert all(report.last_px % D("0.01") == 0 for report in fills if report.last_px >= 1)


def test_the_same_day_again_says_the_same(shares: pl.DataFrame, tmp_path: Path) -> None:
    with a_day(shares, tmp_path / "one.db") as one, a_day(shares, tmp_path / "two.db") as two:
        assert one.reports(0) == two.reports(0)


def test_a_symbol_that_stops_trading_is_not_closed_at_a_price_nobody_made(shared_data: Path) -> None:
    """JUNO, whose last days these are, cut off at one in New York: its close leg expires and the position stays."""
    rows = pl.read_parquet(shared_data / "us_equity_minute_2018.parquet").filter(
        (pl.col("ts").dt.date() == date(2018, 3, 5)) & pl.col("symbol").is_in(["JUNO", "AABA"])
    )
    universe = Universe(["AABA", "JUNO"])
    stopped = rows.filter((pl.col("symbol") != "JUNO") | (pl.col("ts") < datetime(2018, 3, 5, 18, 0, tzinfo=UTC)))
    with Exchange(":memory:", [us_equity("AABA"), us_equity("JUNO")], ideal(), "USD", D(100_000)) as exchange:
        exchange.open_session("2018-03-05", datetime(2018, 3, 5, 14, 30, tzinfo=UTC))
        last = None
        for number, frame in enumerate(frames(stopped, universe, timedelta(minutes=1))):
            exchange.on_frame(frame, universe)
            last = frame
            if number == 10:
                for symbol in universe.symbols:
                    row = int(np.searchsorted(frame.index, universe.index[symbol]))
                    px = D(str(round(frame.close[row], 2)))
                    wide = bracket(symbol, stop=str(px / 2 // D("0.01") / 100), close=True)
                    exchange.submit(
                        OrderRequest(
                            cl_ord_id=symbol,
                            symbol=symbol,
                            side=Side.BUY,
                            position_effect=PositionEffect.OPEN,
                            ord_type=OrdType.MARKET,
                            order_qty=D(10),
                            time_in_force=TimeInForce.IOC,
                            decided_at=frame.as_of,
                            legs=wide,
                        )
                    )
        assert last is not None
        exchange.close_session(last.as_of)
        assert [(held.symbol, held.qty) for held in exchange.positions()] == [("JUNO", D(10))]
        reasons = {report.cl_ord_id: report.reason for report in exchange.reports(0)}
        assert reasons["JUNO/close"] == "no_closing_print"


def test_a_week_of_currencies_converts_every_fill(shared_data: Path) -> None:
    rows = pl.read_parquet(shared_data / "forex_hourly_9pairs_2015_2018.parquet").filter(
        pl.col("ts").dt.date().is_between(date(2017, 3, 6), date(2017, 3, 10))
    )
    universe = Universe(rows["symbol"].unique().to_list())
    instruments = {symbol: instrument_for(symbol) for symbol in universe.symbols}
    with Exchange(":memory:", instruments, costed(), "USD", D(100_000)) as exchange:
        sent = 0
        for number, frame in enumerate(frames(rows, universe, timedelta(hours=1))):
            if number % 24 == 0:
                if number:
                    exchange.close_session(frame.as_of - timedelta(hours=1))
                exchange.open_session(f"day {number // 24}", frame.as_of - timedelta(hours=1))
            exchange.on_frame(frame, universe)
            if number % 24 == 2:
                for row, place in enumerate(frame.index):
                    instrument = instruments[universe.symbols[place]]
                    px = instrument.tick_down(D(str(frame.close[row])))
                    enter(exchange, instrument, f"{number}{instrument.symbol}", px, Side.BUY, D(1000), frame.as_of)
                    sent += 1
            last = frame
        exchange.close_session(last.as_of)
        fills = [report for report in exchange.reports(0) if report.exec_type is ExecType.TRADE]
        account = exchange.account()
        assert list(exchange.positions()) == []
        realized = exchange._store._db.execute("SELECT realized_pnl, cash_delta FROM executions").fetchall()
    assert sent > 35
    assert len(fills) == 2 * sent
    assert account.cash == D(100_000) + sum((D(pnl) for pnl, _ in realized), D(0))
    foreign = [report for report in fills if not report.symbol.endswith("USD")]
    assert all(report.conversion_rate not in (0, 1) for report in foreign)
    assert all(report.conversion_rate == 1 for report in fills if report.symbol.endswith("USD"))


def test_leans_basic_template_to_the_cent(shared_data: Path) -> None:
    """LEAN's published end equity of its basic example: all in at the ask, held for a week, half a cent a share."""
    quotes = pl.read_parquet(shared_data / "us_equity_quotes_minute_lean_201310.parquet")
    trades = pl.read_parquet(shared_data / "us_equity_minute_lean_201310.parquet")

    def one(rows: pl.DataFrame, column: str, ts: datetime) -> D:
        return D(str(rows.filter((pl.col("symbol") == "SPY") & (pl.col("ts") == ts))[column].item()))

    factors = (shared_data / "lean_factor_files" / "spy.csv").read_text().splitlines()
    factor = next(D(line.split(",")[1]) for line in factors if line.split(",")[0] >= "20131007")
    ask = one(quotes, "ask_close", datetime(2013, 10, 7, 13, 30, tzinfo=UTC)) * factor
    last = one(trades, "close", datetime(2013, 10, 11, 19, 59, tzinfo=UTC)) * factor
    world = World(
        instruments=[us_equity("SPY")], model=terms(fees=FeeSchedule(per_unit=D("0.005"))), cash="100000"
    )  # fills unrounded: adjusted prices lie between the ticks
    world.bars((ask, ask, ask, ask), symbol="SPY")
    world.buy("in", 688, symbol="SPY")
    world.bars((ask, ask, ask, ask), symbol="SPY")
    world.bars((last, last, last, last), symbol="SPY")
    account = world.exchange.account()
    assert account.fees == D("3.44")
    assert round(account.equity, 2) == D("101691.92")


def test_no_fill_on_a_day_of_shares_is_better_than_the_market(shares: pl.DataFrame) -> None:
    """Every type of order, in and out, through a morning of 190 symbols at no cost: who buys pays no less than the low
    of the bar and a resting order no worse than its price, gaps included.
    """
    symbols = sorted(shares["symbol"].unique())
    universe = Universe(symbols)
    bars: dict[tuple[str, datetime], tuple[D, D, D, D]] = {}
    asked: dict[str, OrderRequest] = {}
    kinds = [OrdType.MARKET, OrdType.LIMIT, OrdType.STOP, OrdType.STOP_LIMIT]
    with Exchange(None, [us_equity(symbol) for symbol in symbols], ideal(), "USD", D(10_000_000)) as exchange:
        exchange.open_session("2018-03-02", datetime(2018, 3, 2, 14, 30, tzinfo=UTC))
        for number, frame in enumerate(frames(shares, universe, timedelta(minutes=1))):
            exchange.on_frame(frame, universe)
            for row, place in enumerate(frame.index.tolist()):
                prices = (frame.open[row], frame.high[row], frame.low[row], frame.close[row])
                o, h, low, c = (decimal_of(px) for px in prices)
                bars[symbols[place], frame.as_of] = (o, h, low, c)
            if number >= 120:
                continue
            for k in range(8):
                row = (number * 13 + k * 29) % len(frame.index)
                instrument = us_equity(symbols[frame.index[row]])
                kind, side = kinds[(number + k) % 4], (Side.BUY, Side.SELL)[(number // 4 + k) % 2]
                px = instrument.tick_down(D(str(frame.close[row])))
                away = ceil_to(px * D("0.001"), instrument.tick_size) * side.sign
                resting = px - away if kind is OrdType.LIMIT else px + 2 * away
                request = OrderRequest(
                    cl_ord_id=f"{number}.{k}",
                    symbol=instrument.symbol,
                    side=side,
                    position_effect=PositionEffect.OPEN,
                    ord_type=kind,
                    order_qty=D(10),
                    time_in_force=TimeInForce.DAY,
                    decided_at=frame.as_of,
                    limit_px=resting if kind in (OrdType.LIMIT, OrdType.STOP_LIMIT) else None,
                    stop_px=px + away if kind in (OrdType.STOP, OrdType.STOP_LIMIT) else None,
                    legs=bracket(f"{number}.{k}", stop=str(px - 6 * away), target=str(px + 6 * away)),
                )
                asked[request.cl_ord_id] = request
                exchange.submit(request)
        fills = [report for report in exchange.reports(0) if report.exec_type is ExecType.TRADE]
    filled: set[str] = set()
    for fill in fills:
        o, h, low, _ = bars[fill.symbol, fill.transact_time]
        assert low <= fill.last_px <= h
        entry, leg = fill.cl_ord_id.partition("/")[::2]
        request = asked[entry]
        filled.add(leg or request.ord_type.value)
        sign = fill.side.sign
        if leg:
            level = next(each for each in request.legs if each.cl_ord_id == fill.cl_ord_id)
            limit, stop = level.limit_px, level.stop_px
        else:
            limit, stop = request.limit_px, request.stop_px
        if limit is not None:
            assert sign * (fill.last_px - limit) <= 0
            assert fill.last_px in (limit, o) or (stop is not None and fill.last_px == stop)
        elif stop is not None:
            assert fill.last_px == (o if sign * (o - stop) >= 0 else stop)
        else:
            assert fill.last_px == o
    assert filled == {"market", "limit", "stop", "stop_limit", "target"} | {"stop"}
    assert len(fills) > 500
