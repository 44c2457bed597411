"""Small worlds for venue tests: an exchange with a few symbols, minute frames, and orders said briefly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from qmworkbench.domain.execution import ExecType, ExecutionReport, LegRequest, OrderRequest, ReplaceRequest
from qmworkbench.domain.instruments import AssetClass, Instrument, us_equity
from qmworkbench.domain.orders import Leg, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.trading.frames import BarFrame, Universe
from qmworkbench.venue.costs import CostSchedule, VenueModel, ideal
from qmworkbench.venue.exchange import Exchange

OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
DAY = "2018-03-02"
Bar = Sequence[float | str]


# What takes a file of the version before to the one named, undone.
OLDER = {
    4: "ALTER TABLE account DROP COLUMN reached_by; PRAGMA user_version = 3;",
    3: "DROP TABLE order_ids; DROP TABLE quotes; DROP TABLE round_trips; DROP TABLE counters; DROP TABLE scheduled;"
    "ALTER TABLE orders DROP COLUMN working_id; ALTER TABLE orders DROP COLUMN replaced_id;"
    "ALTER TABLE orders DROP COLUMN ahead_qty; ALTER TABLE orders DROP COLUMN cancel_pending;"
    "ALTER TABLE orders DROP COLUMN fills_late; ALTER TABLE account DROP COLUMN session_no; PRAGMA user_version = 2;",
}


def dec(value: float | str | Decimal) -> Decimal:
    return Decimal(str(value))


def at(minute: int) -> datetime:
    """Close time of bar number `minute`; bar 0 is the session's first."""
    return OPEN + timedelta(minutes=minute + 1)


def frame(universe: Universe, minute: int, bars: Mapping[str, Bar], *, extended: bool = False) -> BarFrame:
    """A frame from (open, high, low, close[, volume]) by symbol; volume is a million where it is not given."""
    rows = sorted((universe.index[symbol], bar) for symbol, bar in bars.items())
    columns = [[float(bar[i]) if i < len(bar) else 1e6 for _, bar in rows] for i in range(5)]
    arrays = [np.array(column, dtype=np.float64) for column in columns]
    return BarFrame(at(minute), np.array([row for row, _ in rows], dtype=np.int32), *arrays, extended=extended)


def ticked(symbol: str, tick: str) -> Instrument:
    """A share that trades in any tick."""
    return Instrument(
        symbol=symbol, asset_class=AssetClass.EQUITY, currency="USD", calendar="XNYS", tick_size=dec(tick)
    )


def terms(**changes: object) -> VenueModel:
    """The ideal venue with these terms for shares changed."""
    plain = ideal()
    return VenueModel(
        name="test",
        schedules={**plain.schedules, AssetClass.EQUITY: CostSchedule(**changes)},  # type: ignore[arg-type]
    )


def bracket(
    name: str,
    *,
    stop: float | str | None = None,
    stop_limit: float | str | None = None,
    target: float | str | None = None,
    trail: int | None = None,
    close: bool = False,
    tif: TimeInForce = TimeInForce.DAY,
) -> tuple[LegRequest, ...]:
    """The legs of entry `name`: `name`/stop, `name`/target, `name`/close."""
    legs = []
    if stop is not None or trail is not None:
        level = None if stop is None else dec(stop)
        legs.append(
            LegRequest(
                cl_ord_id=f"{name}/stop",
                leg=Leg.STOP,
                ord_type=OrdType.STOP if stop_limit is None else OrdType.STOP_LIMIT,
                time_in_force=tif,
                stop_px=level,
                limit_px=None if stop_limit is None else dec(stop_limit),
                trail_bps=trail,
            )
        )
    if target is not None:
        legs.append(
            LegRequest(
                cl_ord_id=f"{name}/target",
                leg=Leg.TARGET,
                ord_type=OrdType.LIMIT,
                time_in_force=tif,
                limit_px=dec(target),
            )
        )
    if close:
        legs.append(
            LegRequest(
                cl_ord_id=f"{name}/close",
                leg=Leg.CLOSE,
                ord_type=OrdType.MARKET,
                time_in_force=TimeInForce.AT_CLOSE,
            )
        )
    return tuple(legs)


class World:
    """An open session at one exchange; bars are numbered from 0, decisions are made at a bar's close."""

    def __init__(
        self,
        *,
        instruments: Sequence[Instrument] = (us_equity("AAA"), us_equity("BBB")),
        model: VenueModel | None = None,
        cash: str = "1000000",
        path: Path | str = ":memory:",
        open_now: bool = True,
        currency: str = "USD",
    ) -> None:
        self.instruments = tuple(instruments)
        self.model = model if model is not None else ideal()
        self.cash = dec(cash)
        self.path = path
        self.currency = currency
        self.universe = Universe([instrument.symbol for instrument in instruments])
        self.exchange = self._open()
        self.minute = -1
        self.seen: dict[tuple[int, str], Bar] = {}
        if open_now:
            self.exchange.open_session(DAY, OPEN)

    def _open(self) -> Exchange:
        return Exchange(self.path, self.instruments, self.model, self.currency, self.cash)

    def restart(self) -> None:
        """The venue's process ends and another one opens the same file."""
        self.exchange.close()
        self.exchange = self._open()

    def bars(self, *rows: Bar, symbol: str = "AAA") -> None:
        """Feed the next bars of one symbol."""
        for row in rows:
            self.feed({symbol: row})

    def feed(self, bars: Mapping[str, Bar]) -> None:
        """Feed the next frame."""
        self.minute += 1
        self.seen.update({(self.minute, symbol): bar for symbol, bar in bars.items()})
        self.exchange.on_frame(frame(self.universe, self.minute, bars), self.universe)

    def send(
        self,
        name: str,
        side: Side,
        qty: float | str,
        *,
        symbol: str = "AAA",
        effect: PositionEffect = PositionEffect.OPEN,
        tif: TimeInForce = TimeInForce.IOC,
        limit: float | str | None = None,
        stop: float | str | None = None,
        trail: int | None = None,
        legs: tuple[LegRequest, ...] = (),
        decided: datetime | None = None,
    ) -> OrderRequest:
        """Submit an order decided at the newest bar's close: of the type that the prices given make it."""
        stops = stop is not None or trail is not None
        kind = OrdType.STOP if stops else OrdType.MARKET
        if limit is not None:
            kind = OrdType.STOP_LIMIT if stops else OrdType.LIMIT
        request = OrderRequest(
            cl_ord_id=name,
            symbol=symbol,
            side=side,
            position_effect=effect,
            ord_type=kind,
            order_qty=dec(qty),
            time_in_force=tif,
            decided_at=decided if decided is not None else at(self.minute),
            limit_px=None if limit is None else dec(limit),
            stop_px=None if stop is None else dec(stop),
            trail_bps=trail,
            legs=legs,
        )
        self.exchange.submit(request)
        return request

    def buy(self, name: str, qty: float | str = 100, **more: object) -> OrderRequest:
        return self.send(name, Side.BUY, qty, **more)  # type: ignore[arg-type]

    def sell(self, name: str, qty: float | str = 100, **more: object) -> OrderRequest:
        return self.send(name, Side.SELL, qty, **more)  # type: ignore[arg-type]

    def close_long(self, name: str, qty: float | str = 100, **more: object) -> OrderRequest:
        terms: dict[str, object] = {"tif": TimeInForce.DAY, **more}
        return self.send(name, Side.SELL, qty, effect=PositionEffect.CLOSE, **terms)  # type: ignore[arg-type]

    def close_short(self, name: str, qty: float | str = 100, **more: object) -> OrderRequest:
        terms: dict[str, object] = {"tif": TimeInForce.DAY, **more}
        return self.send(name, Side.BUY, qty, effect=PositionEffect.CLOSE, **terms)  # type: ignore[arg-type]

    def replace(
        self, new: str, old: str, qty: float | str, *, limit: float | str | None = None, stop: float | str | None = None
    ) -> ExecutionReport:
        """Ask for an order to go on otherwise; the answer."""
        self.exchange.replace(
            ReplaceRequest(
                cl_ord_id=new,
                orig_cl_ord_id=old,
                order_qty=dec(qty),
                limit_px=None if limit is None else dec(limit),
                stop_px=None if stop is None else dec(stop),
            )
        )
        return self.said()[-1]

    def end(self, minute: int | None = None) -> None:
        """Close the session, at the newest bar's close unless said otherwise."""
        self.exchange.close_session(at(self.minute if minute is None else minute))

    def said(self, name: str | None = None) -> list[ExecutionReport]:
        """All reports, or those of one order."""
        return [report for report in self.exchange.reports(0) if name is None or report.cl_ord_id == name]

    def fills(self, symbol: str = "AAA") -> list[tuple[int, str, str]]:
        """Every fill of a symbol as (bar, signed quantity, price)."""
        return [
            (
                int((report.transact_time - OPEN) / timedelta(minutes=1)) - 1,
                f"{report.side.sign * report.last_qty:+f}",
                plain(report.last_px),
            )
            for report in self.said()
            if report.exec_type is ExecType.TRADE and report.symbol == symbol
        ]

    def why(self, name: str) -> str:
        """The reason of the last report about an order."""
        return self.said(name)[-1].reason

    def qty(self, symbol: str = "AAA") -> Decimal:
        return next((held.qty for held in self.exchange.positions() if held.symbol == symbol), Decimal(0))


def plain(value: Decimal) -> str:
    """A Decimal without exponent or trailing zeros."""
    return f"{value.normalize():f}"
