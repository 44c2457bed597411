"""The backtest explorer: one strategy on real daily bars, its neighbours, sliders in JupyterLab (§2 Backtesting)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from qmworkbench.domain.checks import Check, CheckStatus, verdict_of
from qmworkbench.operations.lines import Line
from qmworkbench.reporting import svg
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.parameters import BacktestParameters
from qmworkbench.reporting.style import ACCENT, GAIN, INK, LOSS, MUTED
from qmworkbench.reporting.tables import (
    Column,
    Html,
    minus,
    number,
    price,
    section,
    share,
    signed_money,
    subsection,
    table,
    tiles,
)
from qmworkbench.research.daily_backtest import SYMBOLS, DailyBacktest, backtest, neighbours, sample_bars

_TITLES: Final = {"sma": "moving averages", "donchian": "Donchian channel"}


@dataclass(frozen=True, eq=False)
class Explored:
    """A run, what it was asked, and the runs around it."""

    asked: BacktestParameters
    run: DailyBacktest

    @cached_property
    def around(self) -> pl.DataFrame:
        a = self.asked
        return neighbours(self.run.bars, a.strategy, a.fast, a.slow, cash=a.cash, fees_bps=a.fees_bps)


def load(parameters: BacktestParameters) -> Explored:
    """Run the backtest that the parameters ask for. Raises ValueError where the bars cannot fill a window."""
    p = parameters
    run = backtest(sample_bars(p.symbol), p.strategy, fast=p.fast, slow=p.slow, cash=p.cash, fees_bps=p.fees_bps)
    return Explored(p, run)


# --- pieces ----------------------------------------------------------------------------------------------------------


def summary(found: Explored) -> Html:
    """The run in figures, its equity beside buy and hold, and price with entries and exits."""
    told = found.run.figures
    sharpe, factor = number(2), number(2)
    entries = [
        ("Total return", share(told["total_return"]), f"buy and hold {share(told['buy_and_hold'])}"),
        ("A year", share(told["yearly_return"]), f"{found.run.equity.height:,} daily bars"),
        ("Sharpe", sharpe(told["sharpe"]), "252 sessions a year, no risk-free rate"),
        ("Deepest drawdown", share(told["max_drawdown"]), "initial cash counts as a peak"),
        ("Trades", number(0)(told["trades"]), f"{share(told['win_rate'])} won"),
        ("Profit factor", factor(told["profit_factor"]), "closed trades"),
        ("In the market", share(told["exposure"]), "of all bars"),
        ("Costs", number(1, "bps")(found.asked.fees_bps), "of each fill's value"),
    ]
    note = "Decided at a bar's close and filled at the next bar's open; all in, whole shares, one position at a time."
    return section("Result", tiles(entries), _equity(found), _prices(found), note=note)


def _dates(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.margins(x=0.01)


def _years(frame: pl.DataFrame) -> Any:
    """Dates as years with fractions: an axis without a time zone."""
    day = pl.col("date")
    return frame.select(day.dt.year() + (day.dt.ordinal_day() - 1) / 366)["date"].to_numpy()


def _equity(found: Explored) -> Html:
    curve = found.run.equity
    at = _years(curve)

    def draw(axes: Axes, narrow: bool) -> None:
        axes.plot(at, curve["buy_and_hold"].to_numpy(), color=MUTED, linewidth=1, label="buy and hold")
        axes.plot(at, curve["equity"].to_numpy(), color=ACCENT, linewidth=1.5, label="strategy")
        axes.axhline(found.asked.cash, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.set_ylabel("dollars, log scale")
        axes.legend(loc="upper left")
        _dates(axes)

    return svg.figure(draw, label="Equity of the strategy beside buy and hold", height=270)


def _prices(found: Explored) -> Html:
    bars, done = found.run.bars, found.run.trades
    at = _years(bars)

    def draw(axes: Axes, narrow: bool) -> None:
        axes.plot(at, bars["close"].to_numpy(), color=INK, linewidth=0.8)
        for (name, level), color in zip(found.run.signals.lines.items(), (GAIN, LOSS), strict=True):
            axes.plot(at, level, color=color, linewidth=0.9, alpha=0.8, label=name)
        into = done["entry_bar"].to_numpy()
        out = done.filter(~pl.col("open"))["exit_bar"].to_numpy()
        axes.plot(at[into], done["entry_px"].to_numpy(), "^", color=ACCENT, markersize=5, label="bought")
        axes.plot(
            at[out], done.filter(~pl.col("open"))["exit_px"].to_numpy(), "v", color=LOSS, markersize=5, label="sold"
        )
        axes.legend(loc="upper left", ncols=1 if narrow else 4)
        axes.set_ylabel("price, adjusted")
        _dates(axes)

    return svg.figure(draw, label="Price with entries and exits", height=270)


def trades(found: Explored) -> Html:
    """Every trade."""
    columns = [
        Column("entry_date", "In", kind="keep"),
        Column("entry_px", "At", price, "num"),
        Column("exit_date", "Out", kind="keep"),
        Column("exit_px", "At", price, "num"),
        Column("qty", "Shares", number(0), "num"),
        Column("pnl", "P&L", signed_money, "num"),
        Column("return_pct", "Return", number(1, "%", sign=True), "num"),
        Column("bars", "Bars", number(0), "num"),
        Column("open", "", lambda still: "still open" if still else "", "keep"),
    ]
    done = found.run.trades
    listed = table(done.head(12), columns, empty="The rule never entered.")
    rest = done.slice(12)
    if rest.height:
        listed = Html(
            f"{listed}<details><summary>{rest.height} more</summary>{table(rest, columns, empty='')}</details>"
        )
    return section("Trades", listed)


def neighbourhood(found: Explored) -> Html:
    """The same rule with other windows: whether the result stands on its parameters alone."""
    around = found.around
    grid = around.pivot("slow", index="fast", values="total_return").sort("fast")
    slows = sorted(int(name) for name in grid.columns if name != "fast")
    values = np.array([[np.nan if v is None else v for v in grid[str(slow)].to_list()] for slow in slows]).T

    def draw(axes: Axes, narrow: bool) -> None:
        most = float(np.nanmax(np.abs(values))) or 1.0
        axes.imshow(values, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
        axes.grid(False)
        axes.set_xticks(range(len(slows)), [str(slow) for slow in slows])
        axes.set_yticks(range(grid.height), [str(fast) for fast in grid["fast"].to_list()])
        axes.set_xlabel("slow window, bars")
        axes.set_ylabel("fast")
        for y in range(values.shape[0]):
            for x in range(values.shape[1]):
                if not np.isnan(values[y, x]):
                    here = grid["fast"][y] == found.asked.fast and slows[x] == found.asked.slow
                    dark = abs(values[y, x]) > most * 0.6
                    written = minus(f"{values[y, x] * 100:+.0f}" if narrow else f"{values[y, x] * 100:+.0f} %")
                    axes.text(
                        x,
                        y,
                        written,
                        ha="center",
                        va="center",
                        fontsize=7 if narrow else 8.5,
                        color="#fff" if dark else INK,
                        fontweight="bold" if here else "normal",
                    )

    chart = svg.figure(draw, label="Total return of neighbouring windows", height=260)
    returns = around["total_return"]
    told = (
        f"{around.height} pairs of windows; the middle one returned {share(float(returns.median()))}, "  # type: ignore[arg-type]
        f"the chosen one {share(found.run.figures['total_return'])}. In bold: the chosen pair."
    )
    return section("Neighbourhood", subsection("Total return by windows", chart, note=told))


# --- sliders, in JupyterLab ------------------------------------------------------------------------------------------


def load_extensions() -> None:
    """Make HoloViews and Panel draw in a notebook without a network; the order matters, and so does `inline`."""
    import holoviews as hv
    import panel as pn

    hv.extension("bokeh", inline=True, logo=False)
    pn.extension(inline=True)


def interactive(start: BacktestParameters) -> Any:
    """The same run under sliders: symbol, rule, windows and costs."""
    import holoviews as hv
    import panel as pn

    widgets: Any = pn.widgets  # param builds its classes at run time
    symbol = widgets.Select(label="symbol", options=list(SYMBOLS), value=start.symbol)
    rule = widgets.RadioButtonGroup(label="rule", options=["sma", "donchian"], value=start.strategy)
    windows = widgets.IntRangeSlider(
        label="fast and slow window, bars", start=2, end=250, value=(start.fast, start.slow)
    )
    fees = widgets.FloatSlider(label="costs, bps of value", start=0, end=50, step=0.5, value=start.fees_bps)

    def shown(symbol: str, rule: Any, windows: tuple[int, int], fees: float) -> Any:
        fast, slow = max(2, windows[0]), max(windows[0] + 1, windows[1])
        run = backtest(sample_bars(symbol), rule, fast=fast, slow=slow, cash=start.cash, fees_bps=fees)
        curve = run.equity
        told = run.figures
        title = (
            f"{symbol} {rule} {fast}/{slow}: {share(told['total_return'])}, buy and hold {share(told['buy_and_hold'])}"
        )
        dates = curve["date"].to_numpy()
        lines = hv.Curve((dates, curve["buy_and_hold"].to_numpy()), "date", "dollars", label="buy and hold").opts(
            color=MUTED
        ) * hv.Curve((dates, curve["equity"].to_numpy()), "date", "dollars", label="strategy").opts(color=ACCENT)
        return lines.opts(
            hv.opts.Overlay(title=title, responsive=True, height=340, legend_position="top_left", logy=True)
        )

    controls = pn.Row(symbol, rule, windows, fees)
    return pn.Column(controls, pn.bind(shown, symbol, rule, windows, fees), sizing_mode="stretch_width")


# --- the verdict -----------------------------------------------------------------------------------------------------

_FILLS = Line(
    check_id="backtest.fills",
    section="FILLS",
    title="Fills come from the next bar's open",
    looked_at="each entry and exit against the bars and the signals",
    expectation="the open of the bar after the deciding close, for each",
    remedy="do not trust the result: the simulation looked ahead",
)
_SAMPLE = Line(
    check_id="backtest.sample",
    section="§2 Backtesting",
    title="There are trades enough to say anything",
    looked_at="closed trades",
    expectation="30 or more",
    remedy="more bars or more symbols; a handful of trades says nothing",
)
_SHARED = Line(
    check_id="backtest.neighbours",
    section="§2 Backtesting",
    title="The neighbours share the result",
    looked_at="total return of the windows around the chosen ones",
    expectation="most of them on the same side of zero, and the chosen one no outlier",
    remedy="a result that its neighbours do not share is luck until shown otherwise",
)


def checks(found: Explored) -> list[Check]:
    """What must hold before a result is worth a second look."""
    run = found.run
    closed = run.trades.filter(~pl.col("open"))
    opens = run.bars["open"].to_numpy()
    into, out = run.trades["entry_bar"].to_numpy(), closed["exit_bar"].to_numpy()
    at_open = np.allclose(run.trades["entry_px"].to_numpy(), opens[into], rtol=1e-12) and np.allclose(
        closed["exit_px"].to_numpy(), opens[out], rtol=1e-12
    )
    decided = bool(run.signals.entry[into - 1].all() and run.signals.exit[out - 1].all())
    few = closed.height < 30
    returns = found.around["total_return"]
    positive = float((returns > 0).mean())  # type: ignore[arg-type]
    total = run.figures["total_return"] or 0.0
    alike = positive >= 0.7 if total > 0 else True
    shared = f"{positive:.0%} of {returns.len()} neighbours made money"
    return [
        _FILLS.judged(at_open and decided, f"{run.trades.height} entries, {closed.height} exits"),
        _SAMPLE.warned(f"{closed.height} closed trades", "too few to tell skill from luck")
        if few
        else _SAMPLE.judged(True, f"{closed.height} closed trades"),
        _SHARED.judged(True, shared) if alike else _SHARED.warned(shared, "the result stands on its parameters alone"),
    ]


def conclusion(found: Explored) -> Conclusion:
    """GO when the simulation is sound; what the result is worth is said beneath."""
    made = checks(found)
    a, told = found.asked, found.run.figures
    sound = "the simulation is sound" if made[0].status is CheckStatus.PASS else "the simulation looked ahead"
    headline = (
        f"{sound}; {a.symbol}, {_TITLES[a.strategy]} {a.fast}/{a.slow}: {share(told['total_return'])} against "
        f"{share(told['buy_and_hold'])} for buy and hold, deepest drawdown {share(told['max_drawdown'])}"
    )
    reasons = [
        f"{check.title}: {check.value}. {check.detail}" for check in made if check.status is not CheckStatus.PASS
    ]
    first, last = found.run.bars["date"][0], found.run.bars["date"][-1]
    facts = {"bars": f"bokeh_sampledata stocks, {a.symbol}, {first} to {last}, {found.run.bars.height:,} days"}
    where = f"{a.symbol} · daily · {first:%Y} to {last:%Y}"
    return Conclusion(verdict_of(made), headline, reasons=reasons, where=where, facts=facts)
