"""Charts of a session: what reports and pages share (§9, §18).

Each takes frames and gives back a finished figure. Gains and losses differ in hue, lightness and sign.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qmworkbench.reporting import svg
from qmworkbench.reporting.style import ACCENT, AMBER, GAIN, INK, LOSS, MUTED, VWAP
from qmworkbench.reporting.tables import Html, minus


def equity(
    curve: pl.DataFrame, *, start: float, zone: str, currency: str, statements: pl.DataFrame | None = None
) -> Html:
    """Equity against where the day began, below it how far it stood under its highest, the start included, and what was
    at stake. `curve` as analytics/equity.py makes it; `statements` (at, equity) are the broker's own figures, as dots.
    """
    at, value = curve["at"].to_list(), curve["equity"].to_numpy()
    below = value - np.maximum.accumulate(np.maximum(value, start)) if len(value) else value

    def gains(axes: Axes, narrow: bool) -> None:
        gained = value - start
        axes.fill_between(at, gained, 0, where=gained >= 0, color=GAIN, alpha=0.14, linewidth=0, interpolate=True)
        axes.fill_between(at, gained, 0, where=gained < 0, color=LOSS, alpha=0.14, linewidth=0, interpolate=True)
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.plot(at, gained, color=INK, linewidth=1.3)
        if statements is not None and statements.height:
            told = statements["equity"].to_numpy() - start
            axes.plot(statements["at"].to_list(), told, "o", color=ACCENT, markersize=2.6, label="broker's statement")
            axes.legend(loc="upper left")
        svg.money(axes)
        svg.times(axes, zone, narrow)
        axes.set_ylabel(f"{currency} since the start")
        last = float(gained[-1]) if len(gained) else 0.0
        svg.end_label(axes, at[-1], last, minus(f"{last:+,.0f}"), GAIN if last >= 0 else LOSS)

    def drawdown(axes: Axes, narrow: bool) -> None:
        axes.fill_between(at, below, 0, color=LOSS, alpha=0.25, linewidth=0)
        axes.plot(at, below, color=LOSS, linewidth=1)
        svg.money(axes)
        svg.times(axes, zone, narrow)
        axes.set_ylabel(f"{currency} below peak")

    def exposure(axes: Axes, narrow: bool) -> None:
        axes.fill_between(at, curve["gross"].to_numpy(), 0, color=ACCENT, alpha=0.18, linewidth=0, label="gross")
        axes.plot(at, curve["net"].to_numpy(), color=ACCENT, linewidth=1, label="net")
        svg.money(axes)
        svg.times(axes, zone, narrow)
        axes.set_ylabel("exposure")
        axes.legend(loc="upper left", ncols=2)

    end = float(value[-1] - start) if len(value) else 0.0
    deepest = float(-below.min()) if len(below) else 0.0
    label = (
        f"Equity since the start of the session, ending at {end:+,.2f} {currency}; "
        f"drawdown, {deepest:,.2f} {currency} at its deepest"
    )
    panels = [(gains, 250), (drawdown, 130)]
    return svg.stacked([*panels, (exposure, 110)] if "gross" in curve.columns else panels, label=label)


def trade(bars: pl.DataFrame, row: dict[str, Any], *, zone: str) -> Html:
    """One trade on its bars: close, VWAP, entry, exit, stop and target. `bars` have ts, low, high, close, vwap."""
    at = bars["ts"].to_list()
    won = row["net_pnl"] >= 0

    def draw(axes: Axes, narrow: bool) -> None:
        axes.fill_between(at, bars["low"].to_numpy(), bars["high"].to_numpy(), color="#c9d3dc", alpha=0.7, linewidth=0)
        axes.plot(at, bars["close"].to_numpy(), color=INK, linewidth=1)
        axes.plot(at, bars["vwap"].to_numpy(), color=VWAP, linewidth=1, linestyle=(0, (4, 2)))
        axes.axvspan(row["opened_at"], row["closed_at"], color=GAIN if won else LOSS, alpha=0.07, linewidth=0)
        levels = [(row["initial_stop_px"], LOSS, "stop"), (row["target_px"], GAIN, "target")]
        known = [(level, color, name) for level, color, name in levels if level is not None]
        for level, color, name in known:
            axes.plot([row["opened_at"], row["closed_at"]], [level, level], color=color, linewidth=1.1)
            below = level < row["entry_px"]
            place: Any = {"xytext": (0, -2 if below else 2), "ha": "right", "va": "top" if below else "bottom"}
            axes.annotate(
                name, (row["closed_at"], level), textcoords="offset points", color=color, fontsize=7.5, **place
            )
        into, out = ("^", "v") if row["side"] == "buy" else ("v", "^")
        axes.plot(row["opened_at"], row["entry_px"], into, color=ACCENT, markersize=7, zorder=5)
        axes.plot(row["closed_at"], row["exit_px"], out, color=GAIN if won else LOSS, markersize=7, zorder=5)
        axes.set_ylim(*_price_range(bars, [level for level, _, _ in known]))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.5g}"))
        svg.times(axes, zone, narrow)

    label = f"{row['symbol']}: bought" if row["side"] == "buy" else f"{row['symbol']}: sold"
    return svg.small(draw, label=f"{label} at {row['entry_px']:.5g}, left at {row['exit_px']:.5g}")


def _price_range(bars: pl.DataFrame, levels: Sequence[float]) -> tuple[float, float]:
    """What price and levels need, with some air; a VWAP far away drops out of sight rather than flatten the price."""
    seen = [*bars["low"].to_list(), *bars["high"].to_list(), *levels]
    low, high = min(seen), max(seen)
    air = (high - low) * 0.08 or abs(high) * 0.001
    return low - air, high + air


def signed_bars(
    names: Sequence[str], values: Sequence[float], *, label: str, unit: str, height: int = 190, width: int = svg.WIDE
) -> Html:
    """One bar a name, coloured and labelled by its sign."""

    def draw(axes: Axes, narrow: bool) -> None:
        colors = [GAIN if value >= 0 else LOSS for value in values]
        axes.bar(range(len(names)), values, color=colors, width=0.62)
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.set_xticks(range(len(names)), names, rotation=45 if narrow and len(names) > 5 else 0)
        axes.grid(False, axis="x")
        svg.money(axes)
        axes.set_ylabel(unit)
        for x, value in enumerate(values):
            offset = 3 if value >= 0 else -3
            axes.annotate(
                minus(f"{value:+,.0f}"),
                (x, value),
                xytext=(0, offset),
                textcoords="offset points",
                ha="center",
                va="bottom" if value >= 0 else "top",
                fontsize=8,
                color=INK,
            )
        axes.margins(y=0.18)

    return svg.figure(draw, label=label, height=height, width=width)


def ranked(rows: Sequence[tuple[str, float]], *, label: str) -> Html:
    """Names with a signed amount each as lying bars, in the order given; for a card's width."""

    def draw(axes: Axes, narrow: bool) -> None:
        values = [value for _, value in rows]
        place = list(range(len(rows)))[::-1]
        axes.barh(place, values, color=[GAIN if value >= 0 else LOSS for value in values], height=0.62)
        axes.axvline(0, color=MUTED, linewidth=0.9)
        axes.set_yticks(place, [name for name, _ in rows])
        axes.grid(False)
        axes.set_xticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0)
        for y, value in zip(place, values, strict=True):
            place_at: Any = {"xytext": (3 if value >= 0 else -3, 0), "ha": "left" if value >= 0 else "right"}
            told = minus(f"{value:+,.0f}")
            axes.annotate(told, (value, y), textcoords="offset points", va="center", fontsize=8, color=INK, **place_at)
        axes.margins(x=0.22, y=0.04)

    return svg.small(draw, label=label, height=30 + 21 * max(2, len(rows)))


def results(trades: pl.DataFrame, *, zone: str, currency: str) -> Html:
    """Each trade's net result in order of closing, and what they add up to. `trades`: symbol, net_pnl, closed_at."""

    def draw(axes: Axes, narrow: bool) -> None:
        net = trades["net_pnl"].to_numpy()
        place = np.arange(len(net))
        axes.bar(place, net, color=[GAIN if value >= 0 else LOSS for value in net], width=0.66)
        axes.step(place, np.cumsum(net), where="mid", color=INK, linewidth=1.3, label="added up")
        axes.axhline(0, color=MUTED, linewidth=0.9)
        many = len(net) > (12 if narrow else 36)
        names = [] if many else trades["symbol"].to_list()
        axes.set_xticks([] if many else place, names, rotation=90 if narrow or len(net) > 14 else 0, fontsize=7.5)
        axes.grid(False, axis="x")
        axes.margins(x=0.01)
        svg.money(axes)
        axes.set_ylabel(currency)
        axes.legend(loc="upper left")

    label = f"Net result of each of {trades.height} trades in order of closing, and their sum, {currency}"
    return svg.figure(draw, label=label, height=210, caption="Each trade in order of closing; the line adds them up.")


def excursions(trades: pl.DataFrame) -> Html:
    """Each trade's worst, best and final result in units of its risk: were stops needed, were gains given back?"""
    known = trades.filter(pl.col("mae_r").is_not_null() & pl.col("r_multiple").is_not_null())

    def draw(axes: Axes, narrow: bool) -> None:
        place = np.arange(known.height)
        axes.vlines(place, known["mae_r"].to_numpy(), known["mfe_r"].to_numpy(), color="#b9c4ce", linewidth=5)
        result = known["r_multiple"].to_numpy()
        for sign, color in ((result >= 0, GAIN), (result < 0, LOSS)):
            axes.plot(place[sign], result[sign], "o", color=color, markersize=5.5)
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.axhline(-1, color=LOSS, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_xticks(place, known["symbol"].to_list(), rotation=90 if narrow or known.height > 16 else 0)
        axes.grid(False, axis="x")
        axes.set_ylabel("R")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))

    return svg.figure(
        draw,
        label="Worst, best and final result of each trade in multiples of its risk",
        height=220,
        caption="Bar: from the worst to the best open result while held. Dot: what was kept, after fees. Dashed: the "
        "planned risk.",
    )


def stages(timings: pl.DataFrame) -> Html:
    """How long each boundary's work took, by stage. `timings`: boundary and *_ms columns."""
    names = ["radar_ms", "signals_ms", "decide_ms", "journal_ms"]
    colors = [ACCENT, VWAP, GAIN, AMBER]

    def draw(axes: Axes, narrow: bool) -> None:
        values = [timings[name].to_numpy() for name in names]
        labels = [name.removesuffix("_ms") for name in names]
        axes.stackplot(timings["boundary"].to_numpy(), *values, colors=colors, labels=labels, linewidth=0, alpha=0.85)
        axes.set_ylabel("ms")
        axes.set_xlabel("boundary")
        axes.margins(x=0)
        axes.set_ylim(0, max(1.0, float(np.sum(values, axis=0).max()) * 1.15) if values[0].size else 1.0)
        axes.legend(loc="upper right", ncols=2 if narrow else 4)

    return svg.figure(
        draw,
        label="Milliseconds spent at each boundary, by stage",
        height=190,
        caption="Radar, signals, decision and journal at each boundary.",
    )


def slippage(fills: pl.DataFrame, bound_bps: float) -> Html:
    """Slippage of each fill by the leg it was for; beyond the line it is an outlier."""
    known = fills.filter(pl.col("slippage_bps").is_not_null())
    legs = known["leg"].unique().sort().to_list()

    def draw(axes: Axes, narrow: bool) -> None:
        for y, leg in enumerate(legs):
            bps = known.filter(pl.col("leg") == leg)["slippage_bps"].to_numpy()
            # Spread out by order, so that equal values do not hide one another.
            jitter = (np.arange(len(bps)) % 5 - 2) * 0.09
            for where, color in ((bps <= bound_bps, ACCENT), (bps > bound_bps, LOSS)):
                axes.plot(
                    bps[where], y + jitter[where], "o", color=color, markersize=4.5, alpha=0.75, markeredgewidth=0
                )
        axes.axvline(0, color=MUTED, linewidth=0.9)
        axes.axvline(bound_bps, color=LOSS, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(legs)), legs)
        axes.set_ylim(-0.6, len(legs) - 0.4)
        axes.set_xlabel("basis points against us")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))

    return svg.figure(draw, label="Slippage of each fill in basis points", height=60 + 46 * max(1, len(legs)))


def timeline(
    spans: Sequence[tuple[str, datetime, datetime]], marks: Sequence[tuple[str, datetime, str]], *, zone: str
) -> Html:
    """The day's phases as bars over time; `marks` are (what, when, colour) upon them."""

    def draw(axes: Axes, narrow: bool) -> None:
        for y, (name, begin, end) in enumerate(reversed(spans)):
            left, right = svg.x_of(begin), svg.x_of(end)
            axes.barh(y, max(right - left, 0.0006), left=left, height=0.6, color=ACCENT, alpha=0.8)
            axes.text(0.0, y, name, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8.5)
        for _, when, color in marks:
            axes.axvline(svg.x_of(when), color=color, linewidth=1.1)
        axes.set_yticks([])
        axes.grid(False, axis="y")
        svg.times(axes, zone, narrow)

    return svg.figure(draw, label="When each phase of the session was entered", height=34 + 21 * max(1, len(spans)))
