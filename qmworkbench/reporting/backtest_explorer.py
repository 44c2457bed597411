"""The backtest explorer: a catalog strategy over any bars, told in full, its parameters varied (§2 Backtesting)."""

from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from qmworkbench.reporting import svg, tear_figures
from qmworkbench.reporting.explored import Explored, checks, conclusion, load
from qmworkbench.reporting.sharpe_worth import worth_of
from qmworkbench.reporting.style import ACCENT, INK, LOSS
from qmworkbench.reporting.tables import DASH, Column, Html, minus, number, section, signed_money, table, tiles
from qmworkbench.reporting.tear_tables import drawdowns, figure, month_heat, percent, px
from qmworkbench.research.backtests.backtest_figures import FIGURES

__all__ = ["Explored", "checks", "conclusion", "figures", "load", "neighbourhood", "prices", "summary", "trades"]

_FIRST_TRADES: Final = 12
_MOST_TRADES: Final = 200


def summary(found: Explored) -> Html:
    """The run in figures, its equity with the drawdown beside buy and hold, months, and the deepest drawdowns."""
    run, told, ratio = found.run, found.run.metrics, number(2)
    entries = [
        ("Total return", percent(told["total_return"], sign=True), f"buy and hold {percent(told['benchmark_return'])}"),
        ("A year", percent(told["yearly_return"], sign=True), f"{run.sessions.height:,} sessions"),
        ("Sharpe", ratio(told["sharpe_sessions"]), _error(found)),
        ("Deepest drawdown", percent(told["max_drawdown"]), "initial cash counts as a peak"),
        ("Trades", number(0)(told["trades"]), f"{percent(told['win_rate'], 0)} won"),
        ("Profit factor", ratio(told["profit_factor"]), "closed trades"),
        ("In the market", percent(told["exposure"], 0), "of all bars"),
        ("Costs", f"{told['fees'] or 0:,.0f}", f"{run.currency}; slippage {run.terms.slippage_rate * 1e4:g} bps"),
    ]
    at = tear_figures.placed(run.equity["ts"], run.sessions["session"])
    drawn = tear_figures.equity(run.equity, run.sessions, run.cash, at)
    note = f"Decided at a bar's close, filled at the next bar's open; {run.sizing}, whole units."
    pieces = (tiles(entries), drawn, month_heat(run.by_month), drawdowns(run.sessions, run.cash))
    return Html(f'<div class="sheet">{section("Result", *pieces, note=note)}</div>')


def _error(found: Explored) -> str:
    worth = worth_of(found.run.sessions["return"].to_numpy())
    return f"± {worth.error:.2f}, per session" if worth is not None else "per session"


def prices(found: Explored, symbol: str = "") -> Html:
    """One symbol's closes with its entries and exits, as many of the last bars as can be told apart."""
    run = found.run
    name = symbol or found.symbol
    tape = run.tapes[run.symbols.index(name)]
    own = run.trades.filter(pl.col("symbol") == name)
    start = max(0, len(tape) - 4_000)
    x = np.arange(start, len(tape))
    into, out = own["entry_bar"].to_numpy(), own.filter(~pl.col("open"))["exit_bar"].to_numpy()

    def draw(axes: Axes, narrow: bool) -> None:
        axes.plot(x, tape.close[start:], color=INK, linewidth=0.8)
        for side, mark in (("long", "^"), ("short", "v")):
            rows = own.filter((pl.col("side") == side) & (pl.col("entry_bar") >= start))
            if rows.height:
                axes.plot(
                    rows["entry_bar"].to_numpy(), rows["entry_px"].to_numpy(), mark, color=ACCENT, markersize=5,
                    label=f"{side} entry",
                )  # fmt: skip
        rows = own.filter(~pl.col("open") & (pl.col("exit_bar") >= start))
        if rows.height:
            axes.plot(
                rows["exit_bar"].to_numpy(), rows["exit_px"].to_numpy(), "x", color=LOSS, markersize=5, label="exit"
            )
        if into.size:
            axes.legend(loc="upper left", ncols=1 if narrow else 4)
        places = np.unique(np.linspace(start, len(tape) - 1, 4 if narrow else 8).round().astype(int))
        stamps = pl.Series(tape.ts_us[places]).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(run.zone)
        pattern = "%b %Y" if run.bars.one_session else "%d %b %H:%M"
        axes.set_xticks(places, [stamp.strftime(pattern).lstrip("0") for stamp in stamps])
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylabel("price")
        axes.margins(x=0.01)

    cut = f", the last {len(x):,} bars" if start else ""
    label = f"{name} with {into.size} entries and {out.size} exits{cut}"
    return section(f"{name} with entries and exits", svg.figure(draw, label=label, height=270, caption=label))


def trades(found: Explored) -> Html:
    """Every trade."""
    daily = found.run.bars.one_session

    def when(value: Any) -> str:
        return DASH if value is None else f"{value:{'%Y-%m-%d' if daily else '%Y-%m-%d %H:%M'}}"

    columns = [
        Column("symbol", "Symbol", kind="keep"),
        Column("side", "Side", kind="keep"),
        Column("entry_ts", "In", when, "keep"),
        Column("entry_px", "At", px, "num"),
        Column("exit_ts", "Out", when, "keep"),
        Column("exit_px", "At", px, "num"),
        Column("qty", "Units", number(0), "num"),
        Column("pnl", "P&L", signed_money, "num"),
        Column("return_pct", "Return", number(1, "%", sign=True), "num"),
        Column("bars", "Bars", number(0), "num"),
        Column(
            "reason", "Ended by", lambda reason: "still open" if reason is None else reason.replace("_", " "), "keep"
        ),
    ]
    zone = found.run.zone
    done = found.run.trades.with_columns(pl.col("entry_ts", "exit_ts").dt.convert_time_zone(zone))
    listed = table(done.head(_FIRST_TRADES), columns, empty="The strategy never entered.")
    rest = done.slice(_FIRST_TRADES, _MOST_TRADES)
    if rest.height:
        more = f"{rest.height} more"
        listed = Html(f"{listed}<details><summary>{more}</summary>{table(rest, columns, empty='')}</details>")
    note = f"{done.height:,} trades; times of {zone}." if done.height else ""
    return section("Trades", listed, note=note)


def _reason(reason: str | None) -> str:
    return "still open" if reason is None else reason.replace("_", " ")


def neighbourhood(found: Explored) -> Html:
    """The same strategy with other parameters: whether the result stands on its own values alone."""
    if len(found.varied) < 2 or not found.around.height:
        said = f"vary names {found.asked.vary!r}: name two parameters of {found.run.definition.strategy_id} to vary"
        return section("Neighbourhood", f'<div class="none">{said}.</div>')
    down, across = found.varied
    around = found.around
    grid = around.pivot(across, index=down, values="total_return").sort(down)
    names = sorted((name for name in grid.columns if name != down), key=float)
    values = np.array([[np.nan if v is None else v for v in grid[name].to_list()] for name in names]).T

    def draw(axes: Axes, narrow: bool) -> None:
        most = float(np.nanmax(np.abs(values))) or 1.0
        axes.imshow(values, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
        axes.grid(False)
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(grid.height), [f"{value:g}" for value in grid[down].to_list()])
        axes.set_xlabel(across)
        axes.set_ylabel(down)
        for y, x in np.argwhere(np.isfinite(values)):
            here = float(names[x]) == found.run.params[across] and grid[down][int(y)] == found.run.params[down]
            written = minus(f"{values[y, x] * 100:+.0f}") + ("" if narrow else " %")
            ink = "#fff" if abs(values[y, x]) > most * 0.6 else INK
            axes.text(
                x, y, written, ha="center", va="center", fontsize=7 if narrow else 8.5, color=ink,
                fontweight="bold" if here else "normal",
            )  # fmt: skip

    chart = svg.figure(draw, label=f"Total return by {down} and {across}", height=260)
    middle = float(around["total_return"].median())  # type: ignore[arg-type]
    note = (
        f"{around.height} sets of values; the middle one returned {percent(middle, sign=True)}, the chosen one "
        f"{percent(found.run.metrics['total_return'], sign=True)}, in bold. A sweep looks at many more."
    )
    return section("Neighbourhood", chart, note=note)


def figures(found: Explored) -> Html:
    """Every figure with what it means."""
    rows = [
        {"name": name.replace("_", " "), "value": found.run.metrics[name], "meaning": said}
        for name, said in FIGURES.items()
    ]
    columns = [
        Column("name", "Figure", kind="keep"),
        Column("value", "Value", figure, "num"),
        Column("meaning", "What it is"),
    ]
    return section("Every figure", table(rows, columns, empty=""))
