"""Closed trades, one frame, complete: setup, time of day, slippage, excursions, R, hold, capture (§17, §18)."""

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.analytics.tables import Schema

# What is added to the table "trades" (analytics/tables.py says what that holds).
#
# `hold_min` minutes from first entry to last exit fill, `bars_held` beside it counts boundaries; `from_open_min`
# minutes after the open at entry; `bucket` the half hour of entry in exchange time ("10:30"), `weekday` its day (1 =
# Monday). `risk` what the initial stop stood for, in account currency; null without a stop. `stop_bps` its distance,
# of entry. `mae`, `mfe` the worst and best P&L while it was open, in account currency before fees, what parts had
# realized by then included (mae ≤ 0 ≤ mfe); `mae_px`, `mfe_px` the prices they go with; `mae_r`, `mfe_r` in units of
# `risk`. Null without bars of the symbol, and where the trade is `carried`. `capture` the share of the best open P&L
# that was kept, null unless that had reached half the risk. `exit_delay_s` from the deciding of an exit to the fill
# that ended the trade; null where a resting order took it out. `stop_overrun_bps` how far beyond the stop's own level
# a stop exit filled; null where it was no stop. `gap_pct` the day's first price against the previous close, null
# where either is unknown. `outcome` winner, loser or breakeven, after fees.
#
# Which bars count (FILLS): the bar of the entry's fill counts with its whole range, because an entry fills at its
# open. Of a bar with an exit, what was exited counts up to the open and the exit's own price alone: the rest of that
# range came before or after, and a bar does not say which. An exit at the session's close lived through its whole
# last bar.
ADDED: Final[Schema] = {
    "hold_min": pl.Float64,
    "from_open_min": pl.Float64,
    "bucket": pl.String,
    "weekday": pl.Int8,
    "risk": pl.Float64,
    "stop_bps": pl.Float64,
    "mae": pl.Float64,
    "mfe": pl.Float64,
    "mae_px": pl.Float64,
    "mfe_px": pl.Float64,
    "mae_r": pl.Float64,
    "mfe_r": pl.Float64,
    "capture": pl.Float64,
    "exit_delay_s": pl.Float64,
    "stop_overrun_bps": pl.Float64,
    "gap_pct": pl.Float64,
    "outcome": pl.String,
}
BUCKET_MIN: Final = 30
_CENT: Final = 0.005
_SIGN: Final = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
_INSTANT: Final = timedelta(microseconds=1)


def trades_of(
    record: SessionRecord, bars: pl.DataFrame, *, zone: str, prev_close: pl.DataFrame | None = None
) -> pl.DataFrame:
    """A session's closed trades with the columns of ADDED, in the order of their closing.

    `bars` are its regular ones (symbol, ts = open time, open, high, low, close), `zone` the exchange's time zone,
    `prev_close` the day before's closes (symbol, prev_close) where they are kept.
    """
    return closed_trades(
        record["trades"],
        record["trade_fills"],
        bars,
        opens_at=record.opens_at,
        interval_s=record.opened.window.interval_s,
        zone=zone,
        prev_close=prev_close,
    )


def closed_trades(
    trades: pl.DataFrame,
    fills: pl.DataFrame,
    bars: pl.DataFrame,
    *,
    opens_at: datetime,
    interval_s: int,
    zone: str,
    prev_close: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The tables "trades" and "trade_fills" as one frame: see ADDED."""
    local = pl.col("opened_at").dt.convert_time_zone(zone)
    risk = (pl.col("entry_px") - pl.col("initial_stop_px")).abs() * pl.col("qty") * pl.col("rate")
    overrun = (pl.col("exit_decision_px") - pl.col("exit_px")) * _SIGN / pl.col("exit_decision_px") * 1e4
    net = pl.col("net_pnl")
    timed = trades.with_columns(
        _minutes(pl.col("closed_at") - pl.col("opened_at")).alias("hold_min"),
        _minutes(pl.col("opened_at") - pl.lit(opens_at)).alias("from_open_min"),
        local.dt.truncate(f"{BUCKET_MIN}m").dt.strftime("%H:%M").alias("bucket"),
        local.dt.weekday().alias("weekday"),
        pl.when(risk > 0).then(risk).alias("risk"),
        ((pl.col("entry_px") / pl.col("initial_stop_px") - 1).abs() * 1e4).alias("stop_bps"),
        (_minutes(pl.col("closed_at") - pl.col("exit_decided_at")) * 60).alias("exit_delay_s"),
        pl.when(pl.col("exit_leg") == "stop").then(overrun).alias("stop_overrun_bps"),
        pl.when(net > _CENT)
        .then(pl.lit("winner"))
        .when(net < -_CENT)
        .then(pl.lit("loser"))
        .otherwise(pl.lit("breakeven"))
        .alias("outcome"),
    )
    reached = _excursions(timed, fills, bars, timedelta(seconds=interval_s))
    whole = timed.join(reached, on="trade_id", how="left", maintain_order="left")
    whole = whole.join(_gaps(bars, prev_close), on="symbol", how="left", maintain_order="left").with_columns(
        (pl.col("mae") / pl.col("risk")).alias("mae_r"),
        (pl.col("mfe") / pl.col("risk")).alias("mfe_r"),
        pl.when((pl.col("mfe") > 0) & (pl.col("mfe") >= pl.col("risk") / 2))
        .then(pl.col("gross_pnl") / pl.col("mfe"))
        .alias("capture"),
    )
    return whole.select(*trades.columns, *(pl.col(name).cast(kind) for name, kind in ADDED.items()))


def _minutes(span: pl.Expr) -> pl.Expr:
    return span.dt.total_microseconds() / 60e6


def _excursions(trades: pl.DataFrame, fills: pl.DataFrame, bars: pl.DataFrame, interval: timedelta) -> pl.DataFrame:
    """trade_id, mae, mfe, mae_px, mfe_px of the trades that there are bars for and whose entry is known."""
    known = trades.filter(~pl.col("carried")).select(
        "trade_id", "symbol", "side", "opened_at", "closed_at", "entry_px", "exit_px", "gross_pnl"
    )
    prices = bars.select("symbol", "ts", "open", "high", "low")
    held = (
        known.join(prices, on="symbol", how="inner")
        .filter((pl.col("ts") + interval >= pl.col("opened_at")) & (pl.col("ts") < pl.col("closed_at")))
        .with_columns((pl.col("ts") + interval).alias("ends"))
        .sort("ts", "trade_id")
    )
    told = _positions(fills)
    seen = held.join_asof(told, left_on="ts", right_on="at", by="trade_id", check_sortedness=False)
    seen = seen.join_asof(told, left_on="ends", right_on="at", by="trade_id", suffix="_in", check_sortedness=False)
    at_open = pl.when(pl.col("qty_after").fill_null(0) != 0).then(pl.col("open"))
    inside = [pl.when(pl.col("qty_after_in").fill_null(0) != 0).then(pl.col(name)) for name in ("low", "high")]
    worths = [_worth(at_open, ""), *(_worth(px, "_in") for px in inside)]
    own = (pl.col("entry_px").first(), pl.col("exit_px").first())
    reached = seen.group_by("trade_id", maintain_order=True).agg(
        pl.min_horizontal(pl.min_horizontal(worths).min(), pl.col("gross_pnl").first(), pl.lit(0.0)).alias("mae"),
        pl.max_horizontal(pl.max_horizontal(worths).max(), pl.col("gross_pnl").first(), pl.lit(0.0)).alias("mfe"),
        pl.min_horizontal(pl.min_horizontal(at_open, *inside).min(), *own).alias("lowest"),
        pl.max_horizontal(pl.max_horizontal(at_open, *inside).max(), *own).alias("highest"),
        (pl.col("side").first() == "buy").alias("long"),
    )
    return reached.select(
        "trade_id",
        "mae",
        "mfe",
        pl.when("long").then("lowest").otherwise("highest").alias("mae_px"),
        pl.when("long").then("highest").otherwise("lowest").alias("mfe_px"),
    )


def _worth(px: pl.Expr, which: str) -> pl.Expr:
    """What the trade has made with the market at `px`, in account currency: what is realized, and what is held."""
    open_pnl = (pl.col(f"qty_after{which}") * px - pl.col(f"cost_after{which}")) * pl.col(f"rate{which}")
    return pl.col(f"realized_after{which}") + open_pnl


def _positions(fills: pl.DataFrame) -> pl.DataFrame:
    """What each trade held after each of its fills; an exit at the close comes after its bar, not within it."""
    at = pl.when(pl.col("leg") == "close").then(pl.col("at") + _INSTANT).otherwise(pl.col("at"))
    return (
        fills.filter(pl.col("trade_id") != "")
        .select("trade_id", at.alias("at"), "qty_after", "cost_after", "realized_after", "rate")
        .group_by("trade_id", "at", maintain_order=True)
        .last()
        .sort("at", "trade_id")
    )


def _gaps(bars: pl.DataFrame, prev_close: pl.DataFrame | None) -> pl.DataFrame:
    if prev_close is None:
        return pl.DataFrame(schema={"symbol": pl.String, "gap_pct": pl.Float64})
    first = bars.sort("symbol", "ts").group_by("symbol", maintain_order=True).agg(pl.col("open").first())
    known = first.join(prev_close.filter(pl.col("prev_close") > 0), on="symbol", how="inner")
    return known.select("symbol", ((pl.col("open") / pl.col("prev_close") - 1) * 100).alias("gap_pct"))


def held_bars(bars: pl.DataFrame, opened_at: datetime, closed_at: datetime, interval: timedelta) -> pl.DataFrame:
    """The bars a position lived in: from the bar whose open filled the entry to the one that held the exit.

    Fills carry their bar's closing time.
    """
    return bars.filter(pl.col("ts").is_between(opened_at - interval, closed_at - interval))


def vwap(bars: pl.DataFrame) -> pl.DataFrame:
    """One symbol's regular bars with `vwap`: typical price weighted by volume since the open, null without volume."""
    typical = (pl.col("high") + pl.col("low") + pl.col("close")) / 3
    traded = pl.col("volume").cum_sum()
    weighted = (typical * pl.col("volume")).cum_sum()
    return bars.sort("ts").with_columns(pl.when(traded > 0).then(weighted / traded).alias("vwap"))
