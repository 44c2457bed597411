"""The session's equity, boundary by boundary, and what it says of the day (§9, §18)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec
import polars as pl

from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.analytics.tables import Schema
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.market import FrameComputed
from qmworkbench.domain.events.orders import FillRecorded, FillReversed, PositionsOffset
from qmworkbench.domain.events.reconciliation import BrokerSnapshotObserved, SessionEquitySet, Trigger
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.positions import fill_delta

_SCHEMA: Final[Schema] = {
    "at": pl.Datetime("us", "UTC"),
    "equity": pl.Float64,
    "realized": pl.Float64,
    "open_positions": pl.Int64,
    "gross": pl.Float64,
    "net": pl.Float64,
    "largest_share": pl.Float64,
}


class _Held(msgspec.Struct):
    qty: Decimal
    cost: Decimal


class _Curve:
    """Follows the fills and values what is held at the marks of each boundary.

    Money is counted on the net of all owners, as the account is: `net` by symbol. `parts` are the instances' own
    quantities; of what was carried in only the broker's net is known until its owners trade it.
    """

    def __init__(self) -> None:
        self.start = ZERO
        self.start_unrealized = ZERO
        self.realized = ZERO  # after fees
        self.net: dict[str, _Held] = {}
        self.parts: dict[tuple[str, str], Decimal] = {}
        self.rates: dict[str, Decimal] = {}
        self.marks: dict[str, Decimal] = {}
        self.points: list[tuple[datetime, float, float, int, float, float, float | None]] = []

    def take(self, event: Event) -> None:
        match event:
            case SessionEquitySet():
                self.start, self.start_unrealized = event.equity, event.unrealized_pnl
            case BrokerSnapshotObserved() if event.trigger is Trigger.STARTUP and not self.net:
                # What was carried into the day is known from the broker's own list.
                for position in event.snapshot.positions:
                    points = (position.market_px - position.avg_px) * position.qty
                    rate = position.unrealized_pnl / points if points else ONE
                    self.net[position.symbol] = _Held(position.qty, position.qty * position.avg_px)
                    self.parts["carried", position.symbol] = position.qty
                    self.rates[position.symbol] = abs(rate) or ONE
                    self.marks[position.symbol] = position.market_px
            case FillRecorded():
                self._filled(event)
            case PositionsOffset():
                self.parts = {key: qty for key, qty in self.parts.items() if key[1] != event.symbol}
            case FillReversed():
                self.realized += event.fee
            case FrameComputed():
                self.marks.update((mark.symbol, mark.px) for mark in event.marks)
                self._point(event.as_of)
            case _:
                pass

    def _filled(self, fill: FillRecorded) -> None:
        realized = fill.realized_pnl if fill.net_realized_pnl is None else fill.net_realized_pnl
        self.realized += realized - fill.fee
        held = self.net.get(fill.symbol) or _Held(ZERO, ZERO)
        delta = fill_delta(held.qty, held.cost, fill.side, fill.last_qty, fill.last_px)
        self.net[fill.symbol] = _Held(delta.qty, delta.cost)
        self.rates[fill.symbol] = fill.conversion_rate
        self.marks.setdefault(fill.symbol, fill.last_px)
        key, carried = (fill.strategy_id, fill.symbol), ("carried", fill.symbol)
        if key not in self.parts:
            self._keep(carried, self.parts.get(carried, ZERO) - (fill.position_qty - fill.side.sign * fill.last_qty))
        self._keep(key, fill.position_qty)

    def _keep(self, key: tuple[str, str], qty: Decimal) -> None:
        if qty:
            self.parts[key] = qty
        else:
            self.parts.pop(key, None)

    def _point(self, at: datetime) -> None:
        open_pnl = gross = ZERO
        worth: dict[str, Decimal] = {}
        for symbol, held in self.net.items():
            mark = self.marks.get(symbol)
            if mark is not None and held.qty:
                open_pnl += (held.qty * mark - held.cost) * self.rates[symbol]
                worth[symbol] = held.qty * mark * self.rates[symbol]
        for (_, symbol), qty in self.parts.items():
            gross += abs(qty * self.marks.get(symbol, ZERO) * self.rates[symbol])
        equity = self.start + self.realized + open_pnl - self.start_unrealized
        largest = float(max(map(abs, worth.values()), default=ZERO) / gross) if gross else None
        net = float(sum(worth.values(), ZERO))
        self.points.append((at, float(equity), float(self.realized), len(self.parts), float(gross), net, largest))


def equity_curve(record: SessionRecord) -> pl.DataFrame:
    """Equity at each boundary in account currency: what the day began with, plus realized less fees, plus open P&L at
    the marks. `realized` counts the day's realized P&L less fees. Foreign positions are valued at the rate of their
    last fill. The last point is after the close, with what was booked there. Exposure is at the same marks: `gross`
    over all positions, `net` with shorts against longs, `largest_share` of gross in one symbol, null where flat.
    """
    curve = _Curve()
    for event in record.events:
        curve.take(event)
    if curve.points:
        curve._point(max(record.closes_at, curve.points[-1][0]))
    return pl.DataFrame(curve.points, schema=_SCHEMA, orient="row")


class DayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The day in figures; None where there is nothing to compute from. Money in account currency, shares as fractions.

    `net_pnl` and `fees` are exact; `max_drawdown` is the deepest fall of equity from its highest so far, the day's
    start included (never negative); `profit_factor` is gains over losses of closed trades, None without losses.
    """

    currency: str
    start_equity: Decimal | None
    end_equity: float | None
    gross_pnl: Decimal
    fees: Decimal
    net_pnl: Decimal
    trades: int
    win_rate: float | None
    profit_factor: float | None
    expectancy_r: float | None
    average_hold_min: float | None
    max_drawdown: float | None
    slippage_cost: float
    time_in_market: float | None


def day_figures(record: SessionRecord, trades: pl.DataFrame, curve: pl.DataFrame) -> DayFigures:
    """The headline figures of a session."""
    net = trades["net_pnl"]
    gains, losses = float(net.filter(net > 0).sum()), -float(net.filter(net < 0).sum())
    start = _start(record.events)
    equity = curve["equity"]
    in_hours = curve.filter(pl.col("at") > record.opens_at)["open_positions"]  # bars before the open cannot be traded
    peak = equity.cum_max().clip(lower_bound=float(start) if start is not None else None)
    return DayFigures(
        currency=record.opened.account_currency,
        start_equity=start,
        end_equity=float(equity[-1]) if equity.len() else None,
        gross_pnl=record.money.realized,
        fees=record.money.fees,
        net_pnl=record.money.net,
        trades=trades.height,
        win_rate=float((net > 0).mean()) if trades.height else None,  # type: ignore[arg-type]
        profit_factor=gains / losses if losses else None,
        expectancy_r=_mean(trades["r_multiple"]),
        average_hold_min=_mean(trades["hold_min"]),
        max_drawdown=float((peak - equity).max()) if equity.len() else None,  # type: ignore[arg-type]
        slippage_cost=float(record["fills"]["slippage_cost"].sum()),
        time_in_market=float((in_hours > 0).mean()) if in_hours.len() else None,  # type: ignore[arg-type]
    )


def _mean(values: pl.Series) -> float | None:
    known = values.drop_nulls()
    return float(known.mean()) if known.len() else None  # type: ignore[arg-type]


def _start(events: Sequence[Event]) -> Decimal | None:
    return next((event.equity for event in events if isinstance(event, SessionEquitySet)), None)
