"""Charts of a session beside its backtest, and of many sessions' drift (M: layer 2)."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import accumulate
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qmworkbench.reporting import svg
from qmworkbench.reporting.style import ACCENT, GAIN, INK, LOSS, MUTED
from qmworkbench.reporting.tables import Html, minus
from qmworkbench.research.parity.drift import OUTSIDE, StrategyDrift, Tolerance
from qmworkbench.research.parity.parity import Parity

_CAUSES: Final = 9


def bridge(found: Parity, *, label: str) -> Html:
    """From the backtest's P&L to the session's: what each cause made of it, one step after the other."""
    steps = sorted(found.pnl_by_cause.items(), key=lambda one: -abs(one[1]))
    shown, rest = steps[:_CAUSES], steps[_CAUSES:]
    if rest:
        shown = [*shown, ("all others", sum(amount for _, amount in rest))]
    names = ["backtest", *(name.replace("_", " ") for name, _ in shown), "session"]
    amounts = [amount for _, amount in shown]
    levels = [found.expected_pnl, *accumulate(amounts, initial=found.expected_pnl)][1:]

    def draw(axes: Axes, narrow: bool) -> None:
        place = list(range(len(names)))[::-1]
        ends = (found.expected_pnl, found.recorded_pnl)
        for at, value in ((place[0], ends[0]), (place[-1], ends[1])):
            axes.barh(at, value, color=ACCENT, height=0.6)
        for at, begun, amount in zip(place[1:-1], levels, amounts, strict=False):
            axes.barh(at, amount, left=begun, color=GAIN if amount >= 0 else LOSS, height=0.6)
        for upper, level in zip(place[:-1], [ends[0], *levels[1:]], strict=False):
            axes.plot([level, level], [upper - 0.7, upper - 0.3], color=MUTED, linewidth=0.8)
        axes.axvline(0, color=MUTED, linewidth=0.9)
        axes.set_yticks(place, names)
        axes.grid(False, axis="y")
        tops = [ends[0], *(max(a, a + b) for a, b in zip(levels, amounts, strict=False)), ends[1]]
        for at, top, amount in zip(place, tops, [ends[0], *amounts, ends[1]], strict=True):
            told = minus(f"{amount:+,.2f}" if at not in (place[0], place[-1]) else f"{amount:,.2f}")
            axes.annotate(
                told, (max(top, 0), at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=INK
            )
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:,.0f}")))
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8))
        axes.margins(x=0.2 if narrow else 0.1)
        axes.set_xlabel(found.account_currency)

    return svg.figure(draw, label=label, height=70 + 26 * len(names))


def equity(found: Parity, *, zone: str) -> Html:
    """What closed trades had made by when, on both sides, at the exits' times."""
    mine = _running([(p.expected_exit_at, p.expected_pnl) for p in found.pairs])
    theirs = _running([(p.recorded_exit_at, p.recorded_pnl) for p in found.pairs])

    def draw(axes: Axes, narrow: bool) -> None:
        for (at, made), color, style, name in (
            (mine, MUTED, (0, (4, 2)), "backtest, before costs"),
            (theirs, ACCENT, "solid", "session, after fees"),
        ):
            if at:
                axes.step([svg.x_of(one) for one in at], made, where="post", color=color, linestyle=style, label=name)
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.legend(loc="best")
        svg.money(axes)
        svg.times(axes, zone, narrow)
        axes.set_ylabel(f"{found.account_currency} of closed trades")

    return svg.figure(draw, label="P&L of closed trades over the session, backtest and session", height=230)


def _running(made: Sequence[tuple[datetime | None, float | None]]) -> tuple[list[datetime], list[float]]:
    known = sorted((at, pnl) for at, pnl in made if at is not None and pnl is not None)
    return [at for at, _ in known], list(accumulate(pnl for _, pnl in known))


def drifting(one: StrategyDrift, by: Tolerance) -> Html:
    """One strategy's drift by session: its own, the mean over the window, and the band it may be in."""
    points = one.points
    color = LOSS if one.verdict == OUTSIDE else ACCENT
    place = list(range(len(points)))

    def draw(axes: Axes, narrow: bool) -> None:
        axes.axhspan(-by.bps, by.bps, color=GAIN, alpha=0.09, linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.plot(place, [point.own_bps for point in points], "o", color=MUTED, markersize=3.2, alpha=0.8)
        axes.plot(place, [point.mean_bps for point in points], color=color, linewidth=1.6)
        if points:
            last = points[-1].mean_bps
            svg.end_label(axes, place[-1], last, minus(f"{last:+.1f}"), color)
        _dated(axes, [point.session for point in points])
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:,.0f}")))
        axes.set_ylabel("bps of what was entered")
        axes.set_xlim(-0.6, max(len(points) - 0.4, 0.6))

    last = f"{points[-1].mean_bps:+.1f} bps at the end" if points else "no trade"
    return svg.small(draw, label=f"Drift of {one.strategy} by session, {last}; ±{by.bps:g} bps may be")


def shares(sessions: Sequence[Parity], allowed: float) -> Html:
    """The unexplained share session by session, and what may be."""
    told = [one for one in sessions if one.unexplained_share is not None]
    place = list(range(len(told)))
    values = [100 * (one.unexplained_share or 0.0) for one in told]

    def draw(axes: Axes, narrow: bool) -> None:
        colors = [LOSS if value > 100 * allowed else ACCENT for value in values]
        axes.bar(place, values, color=colors, width=0.62)
        axes.scatter(place, values, color=colors, s=14, zorder=3, clip_on=False)  # a share of nothing is seen too
        axes.axhline(100 * allowed, color=LOSS, linewidth=1, linestyle=(0, (4, 2)))
        axes.annotate(
            f"{allowed:.0%} may be",
            (0, 100 * allowed),
            xytext=(2, 3),
            textcoords="offset points",
            color=LOSS,
            fontsize=8,
        )
        axes.set_ylim(0, max([*values, 100 * allowed]) * 1.35)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        _dated(axes, [one.session for one in told])
        axes.grid(False, axis="x")
        axes.set_xlim(-0.6, max(len(told) - 0.4, 0.6))

    last = f"{values[-1]:.1f} % in the last" if values else "no session compared"
    return svg.small(draw, label=f"Unexplained share by session, {last}")


def _dated(axes: Axes, days: Sequence[date]) -> None:
    """The sessions' dates under their places, the first, the last and as many between as fit."""
    step = max(1, -(-len(days) // 5))
    shown = sorted({*range(0, len(days), step), len(days) - 1} - {-1})
    if len(shown) > 2 and shown[-1] - shown[-2] < step:
        shown.pop(-2)
    axes.set_xticks(shown, [f"{days[at]:%d %b}" for at in shown])
