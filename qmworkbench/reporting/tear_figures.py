"""The charts of a tear sheet: equity with drawdown and exposure, rolling Sharpe, distributions (§2 Backtesting)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from qmworkbench.reporting import svg
from qmworkbench.reporting.style import ACCENT, GAIN, INK, LOSS, MUTED
from qmworkbench.reporting.tables import Html, minus

# More points than this are drawn by the extremes of their neighbourhood: a chart has a thousand pixels.
_POINTS: Final = 1200
_SESSIONS_A_YEAR: Final = 252
_BINS: Final = 36
# From such a factor between lowest and highest on, the equity is drawn on a log scale.
_FACTOR: Final = 3.0


def _percent(axes: Axes, decimals: int = 0) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value * 100:.{decimals}f} %")))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _dates(axes: Axes, sessions: Sequence[Any], narrow: bool) -> None:
    """Dates at places that count sessions, so that nights and weekends take no room."""
    most = 4 if narrow else 9
    count = len(sessions)
    places = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
    pattern = "%d %b %Y" if count < 120 else "%b %Y"
    names = [sessions[place].strftime(pattern).lstrip("0") for place in places]
    axes.set_xticks(places + 0.5, names)
    axes.set_xlim(0, count)
    axes.margins(x=0)


def placed(times: pl.Series, sessions: pl.Series) -> Any:
    """Where on an axis that counts sessions each time lies: the session's number and how far through its bars."""
    number = np.searchsorted(sessions.to_numpy(), times.dt.date().to_numpy(), side="right") - 1
    number = np.maximum(number, 0)
    counts = np.bincount(number, minlength=sessions.len())
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    return number + (np.arange(len(number)) - first[number] + 1) / np.maximum(counts[number], 1)


def thinned(*columns: Any) -> list[Any]:
    """The same rows of every column: the first, the last, and of each stretch the lowest and highest of the first."""
    height = len(columns[0])
    if height <= _POINTS:
        return list(columns)
    edges = np.linspace(0, height, _POINTS // 2 + 1).astype(int)
    kept = {0, height - 1}
    for begin, end in pairwise(edges.tolist()):
        piece = columns[0][begin:end]
        kept |= {begin + int(np.argmin(piece)), begin + int(np.argmax(piece))}
    rows = np.array(sorted(kept))
    return [column[rows] for column in columns]


def equity(equity: pl.DataFrame, sessions: pl.DataFrame, cash: float, where: Any) -> Html:
    """Equity beside the benchmark as shares of the initial cash, the drawdown, and what was at stake."""
    value = equity["equity"].to_numpy()
    own, x, versus, below, gross = thinned(
        value / cash - 1,
        where,
        equity["benchmark"].to_numpy() / cash - 1,
        equity["drawdown"].to_numpy(),
        equity["gross"].to_numpy() / np.where(value > 0, value, np.nan),
    )
    days = sessions["session"].to_list()

    least, most = (float(pick([pick(own), pick(versus)])) for pick in (np.min, np.max))
    # Where one multiplies what the other began with, equal distances are equal factors.
    logarithmic = least > -0.9 and (1 + most) / (1 + least) > _FACTOR
    shift = 1.0 if logarithmic else 0.0

    def growth(axes: Axes, narrow: bool) -> None:
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{(value - 1) * 100:.0f} %")))
        else:
            axes.fill_between(x, own, 0, color=ACCENT, alpha=0.07, linewidth=0)
            _percent(axes)
        axes.plot(x, versus + shift, color=MUTED, linewidth=1.0)
        axes.plot(x, own + shift, color=ACCENT, linewidth=1.7)
        axes.axhline(shift, color=MUTED, linewidth=0.8)
        _dates(axes, days, narrow)
        axes.set_ylabel("return, log scale" if logarithmic else "return")
        if not narrow:
            svg.end_label(axes, x[-1], own[-1] + shift, minus(f"{own[-1] * 100:+.1f} %"), ACCENT)
            if abs(own[-1] - versus[-1]) > 0.07 * (most - least):
                svg.end_label(axes, x[-1], versus[-1] + shift, minus(f"{versus[-1] * 100:+.1f} %"), MUTED)
        handles = [axes.lines[1], axes.lines[0]]
        axes.legend(handles, ["strategy", "buy and hold, equal weight"], loc="upper left", ncols=1 if narrow else 2)

    def drawdown(axes: Axes, narrow: bool) -> None:
        axes.fill_between(x, below, 0, color=LOSS, alpha=0.22, linewidth=0)
        axes.plot(x, below, color=LOSS, linewidth=0.9)
        low = int(np.argmin(below))
        axes.annotate(
            minus(f"{below[low] * 100:.1f} %"), (x[low], below[low]), xytext=(0, -3), textcoords="offset points",
            ha="center" if 0.06 < x[low] / len(days) < 0.94 else "left" if x[low] < len(days) / 2 else "right",
            va="top", fontsize=8, color=LOSS,
        )  # fmt: skip
        axes.set_ylim(float(below.min()) * 1.32 - 1e-6, 0)
        _percent(axes, 1 if below.min() > -0.05 else 0)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        _dates(axes, days, narrow)
        axes.set_ylabel("drawdown")

    def stake(axes: Axes, narrow: bool) -> None:
        axes.fill_between(x, gross, 0, color=ACCENT, alpha=0.25, linewidth=0, step=None)
        _percent(axes)
        axes.yaxis.set_major_locator(MaxNLocator(2))
        axes.set_ylim(0, max(0.05, float(np.nanmax(gross)) * 1.1))
        _dates(axes, days, narrow)
        axes.set_ylabel("at stake")

    label = f"Equity ends at {own[-1]:+.1%}, buy and hold at {versus[-1]:+.1%}; deepest drawdown {below.min():.1%}"
    return svg.stacked([(growth, 270), (drawdown, 105), (stake, 78)], label=label)


def rolling_sharpe(sessions: pl.DataFrame, window: int) -> Html:
    """A year's Sharpe ratio of the last `window` sessions, the strategy's and the benchmark's."""
    days = sessions["session"].to_list()
    own, versus = (_rolled(sessions[name], window) for name in ("return", "benchmark_return"))
    x = np.arange(len(days)) + 1.0

    def draw(axes: Axes, narrow: bool) -> None:
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.plot(x, versus, color=MUTED, linewidth=0.9, label="buy and hold")
        axes.plot(x, own, color=ACCENT, linewidth=1.5, label="strategy")
        axes.fill_between(x, own, 0, where=own < 0, color=LOSS, alpha=0.15, linewidth=0, interpolate=True)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.legend(loc="upper left", ncols=2)
        _dates(axes, days, narrow)

    return svg.figure(draw, label=f"Sharpe ratio of the last {window} sessions", height=190)


def _rolled(returns: pl.Series, window: int) -> Any:
    mean, spread = returns.rolling_mean(window), returns.rolling_std(window)
    ratio = (mean / spread * _SESSIONS_A_YEAR**0.5).to_numpy()
    return np.where(np.isfinite(ratio), ratio, np.nan)


def distribution(values: Any, *, label: str, unit: str) -> Html:
    """How values spread around zero, losses and gains apart, the mean and the median marked; the outermost share the
    last bar of their side."""
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) > 40 else (values.min(), values.max())
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    step = max((high - low) / _BINS, 1e-9)
    edges = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    centres = (edges[:-1] + edges[1:]) / 2
    mean, median = float(values.mean()), float(np.median(values))
    told = f"mean {minus(f'{mean:+.2f}')}  ·  median {minus(f'{median:+.2f}')}"

    def draw(axes: Axes, narrow: bool) -> None:
        colors = [GAIN if centre > 0 else LOSS for centre in centres]
        axes.bar(centres, counts, width=step * 0.9, color=colors, alpha=0.85)
        axes.axvline(0, color=MUTED, linewidth=0.9)
        axes.axvline(mean, color=INK, linewidth=1.1)
        axes.axvline(median, color=INK, linewidth=1.1, linestyle=(0, (4, 3)))
        axes.annotate(told, (0.99, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=8, color=INK)
        axes.grid(False, axis="x")
        axes.set_xlabel(unit)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_ylim(0, float(counts.max()) * 1.22)

    return svg.small(draw, label=f"{label}: mean {mean:+.2f}, median {median:+.2f} {unit}", height=210)


def against(trades: pl.DataFrame) -> Html:
    """Each trade's result over how far the price went against it: what a tighter stop would have cost."""
    worst, result = -trades["mae_pct"].to_numpy(), trades["return_pct"].to_numpy()

    def draw(axes: Axes, narrow: bool) -> None:
        for sign, color in ((result > 0, GAIN), (result <= 0, LOSS)):
            axes.plot(worst[sign], result[sign], "o", color=color, markersize=3.6, alpha=0.55, markeredgewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.9)
        reach = min(float(worst.max()), float(-min(result.min(), 0.0)))
        axes.plot([0, reach], [0, -reach], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_xlabel("worst while held, % against the entry")
        axes.set_ylabel("result, %")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))
            axis.set_major_locator(MaxNLocator(5))
        axes.margins(0.04)

    return svg.small(draw, label="Result of each trade over how far it went against us", height=210)


def signed_columns(names: Sequence[str], values: Sequence[float], counts: Sequence[int], *, label: str) -> Html:
    """A bar a name with its amount above and how many trades it is made of below."""

    def draw(axes: Axes, narrow: bool) -> None:
        places = np.arange(len(names))
        axes.bar(places, values, color=[GAIN if value >= 0 else LOSS for value in values], width=0.64)
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.set_xticks(places, [f"{name}\n{count:,}" for name, count in zip(names, counts, strict=True)])
        axes.grid(False, axis="x")
        svg.money(axes)
        for x, value in zip(places, values, strict=True):
            axes.annotate(
                minus(f"{value:+,.0f}"), (x, value), xytext=(0, 3 if value >= 0 else -3), ha="center",
                textcoords="offset points", va="bottom" if value >= 0 else "top", fontsize=7.5, color=INK,
            )  # fmt: skip
        axes.margins(x=0.03, y=0.2)

    return svg.small(draw, label=label, height=205)
