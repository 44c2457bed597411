"""The tables of a tear sheet: months as a heat map, the deepest drawdowns, exits, markets, symbols (§2 Backtesting)."""

from html import escape
from typing import Any, Final

import numpy as np
import polars as pl

from qmworkbench.reporting.style import GAIN, LOSS
from qmworkbench.reporting.tables import DASH, Column, Html, minus, number, signed_money, subsection, table, text
from qmworkbench.research.backtests.backtest_figures import peaks
from qmworkbench.research.backtests.result_tables import MONTHS

_DRAWDOWNS: Final = 5
_SYMBOLS: Final = 8
_MOST_TINT: Final = 0.62


def percent(value: float | None, decimals: int = 1, *, sign: bool = False) -> str:
    """A fraction as a percentage, with a real minus."""
    if value is None:
        return DASH
    return minus(f"{value * 100:{'+' if sign else ''},.{decimals}f}") + "\N{NO-BREAK SPACE}%"


def px(value: float | None) -> str:
    """A price as a trade list shows it: cents, and two digits more where it is small."""
    return DASH if value is None else f"{value:,.2f}" if value >= 20 else f"{value:,.4f}"


def figure(value: float | None) -> str:
    """Any figure: whole ones whole, the others with four digits."""
    return DASH if value is None else minus(f"{value:,.0f}" if value == int(value) else f"{value:,.4f}")


def month_heat(by_month: pl.DataFrame) -> Html:
    """Years down, months across, each cell tinted by its return; the year's and the benchmark's beside."""
    if not by_month.height:
        return Html('<div class="none">No session.</div>')
    values = {(year, month): value for year, month, value in by_month.select("year", "month", "return").rows()}
    reach = max(0.005, float(np.quantile(np.abs(by_month["return"].to_numpy()), 0.9)))
    years = by_month["year"].unique().sort().to_list()
    compounded = by_month.group_by("year").agg(
        ((1 + pl.col("return")).product() - 1).alias("return"),
        ((1 + pl.col("benchmark")).product() - 1).alias("benchmark"),
    )
    totals = {year: (own, versus) for year, own, versus in compounded.select("year", "return", "benchmark").rows()}
    head = "".join(f'<th scope="col">{month}</th>' for month in (*MONTHS, "Year", "Held"))
    rows = []
    for year in years:
        cells = "".join(_cell(values.get((year, month)), reach) for month in range(1, 13))
        own, versus = totals[year]
        held = f'<td class="muted">{minus(f"{versus * 100:+.1f}")}</td>'
        rows.append(f'<tr><th scope="row">{year}</th>{cells}{_cell(own, reach * 2, "whole")}{held}</tr>')
    return Html(
        f'<div class="scroll"><table class="heat"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(value: float | None, reach: float, kind: str = "") -> str:
    if value is None:
        return "<td></td>"
    tint = min(1.0, abs(value) / reach) * _MOST_TINT
    color = GAIN if value >= 0 else LOSS
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    ink = "#fff" if tint > 0.5 else "inherit"
    shown = minus(f"{value * 100:+.1f}") if abs(value) >= 0.0005 else "0.0"
    return f'<td class="cell {kind}" style="background:rgba({red},{green},{blue},{tint:.2f});color:{ink}">{shown}</td>'


def drawdowns(sessions: pl.DataFrame, cash: float) -> Html:
    """The deepest falls below a peak at sessions' ends: from when, how deep, how long, and whether it was made good."""
    equity = sessions["equity"].to_numpy()
    below = equity / peaks(equity, cash) - 1
    days = sessions["session"].to_list()
    rows: list[dict[str, Any]] = []
    begin: int | None = None
    for at in range(len(below) + 1):
        under = at < len(below) and below[at] < 0
        if under and begin is None:
            begin = at
        elif not under and begin is not None:
            low = begin + int(np.argmin(below[begin:at]))
            rows.append(
                {
                    "from": days[begin],
                    "low": days[low],
                    "depth": float(below[low]),
                    "sessions": at - begin,
                    "until": days[at] if at < len(days) else None,
                }
            )
            begin = None
    deepest = sorted(rows, key=lambda row: row["depth"])[:_DRAWDOWNS]
    columns = [
        Column("depth", "Depth", lambda depth: f'<span class="loss">{percent(depth, 2)}</span>', "num"),
        Column("from", "From", str, "keep"),
        Column("low", "Lowest", str, "keep"),
        Column("until", "Made good", lambda day: str(day) if day is not None else "not yet", "keep"),
        Column("sessions", "Sessions", number(0), "num"),
    ]
    listed = table(deepest, columns, empty="It never ended a session below an earlier one.")
    return Html(subsection("Deepest drawdowns", listed, note="At the ends of sessions."))


_COUNTED: Final = (
    Column("trades", "Trades", number(0), "num"),
    Column("win_rate", "Won", lambda value: percent(value, 0), "num"),
    Column("pnl", "P&L", signed_money, "num"),
    Column("profit_factor", "Factor", number(2), "num"),
)


def reasons(by_reason: pl.DataFrame) -> Html:
    """What ended the trades, the most frequent first."""
    columns = [Column("reason", "Ended by", lambda reason: text(reason.replace("_", " ")), "keep"), *_COUNTED]
    return table(by_reason.sort("trades", "reason", descending=[True, False]), columns, empty="No trade was closed.")


def regimes(by_regime: pl.DataFrame) -> Html:
    """The markets that sessions began in: trend and volatility, each by itself."""
    rows = by_regime.filter((pl.col("split") != "both") & ~pl.col("regime").str.contains("not known"))
    columns = [
        Column("regime", "Market", escape, "keep"),
        Column("sessions", "Sessions", number(0), "num"),
        Column("return", "Return", lambda value: percent(value, 1, sign=True), "num"),
        Column("sharpe", "Sharpe", number(1), "num"),
        Column("trades", "Trades", number(0), "num"),
        Column("pnl", "P&L", signed_money, "num"),
    ]
    return table(rows, columns, empty="Too few sessions to tell one market from another.")


def symbols(by_symbol: pl.DataFrame) -> Html:
    """The symbols that gave most and took most; all of them where they are few."""
    ordered = by_symbol.filter(pl.col("trades") > 0).sort("pnl", "symbol", descending=[True, False])
    columns = [Column("symbol", "Symbol", kind="keep"), *_COUNTED]
    if ordered.height <= _SYMBOLS:
        return table(ordered, columns, empty="No trade was closed.")
    half = _SYMBOLS // 2 + 1
    silent = by_symbol.height - ordered.height
    said = f"{ordered.height:,} symbols were traded" + (f", {silent:,} never" if silent else "")
    pair = "".join(
        f"<div>{table(part, columns, empty='', caption=name)}</div>"
        for name, part in (("gave most", ordered.head(half)), ("took most", ordered.tail(half).reverse()))
    )
    return Html(f'<p class="muted">{said}.</p><div class="two">{pair}</div>')
