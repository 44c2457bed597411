"""The demo market beside real sessions, figure by figure, within tolerances that the real days set (§5 Data Check).

A tolerance is one standard deviation of the real days about their mean, plus two standard errors of what another draw
of symbols would have given: the demo's average day must lie where most real days lie. It is settled by the real data
alone. Where nought would lie within (a figure of what hardly happens), the demo must be above nought besides.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import msgspec
import numpy as np
import polars as pl

from qmworkbench.market.demo.exact import Floats
from qmworkbench.market.demo.panel import Panel, panel_of
from qmworkbench.market.demo.real_figures import REAL, Figure
from qmworkbench.market.demo.sessions import DEMO_SYMBOLS, demo_bars, demo_symbols
from qmworkbench.market.demo.statistics import STATISTICS, Statistic, series_of

# Seeds and last sessions of the demo days that are compared, and how many sessions end with each.
SAMPLES: Final = ((7, date(2024, 3, 8)), (1, date(2018, 3, 16)), (42, date(2021, 6, 30)))
SESSIONS: Final = 20
# The real symbols all trade this much on a middling day, so only such companies of the demo are compared with them.
COMPARABLE_TURNOVER: Final = 12e6
# The four symbols whose real quotes are at hand trade more than this.
QUOTED_TURNOVER: Final = 300e6
_GROUPS: Final = 10


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One statistic, real and made up."""

    statistic: Statistic
    real: Figure
    demo: float

    @property
    def tolerance(self) -> float:
        """How far the demo may lie from the real mean."""
        return self.real.by_day + 2 * self.real.by_symbols

    @property
    def within(self) -> bool:
        """Whether it does not lie farther, and happens at all where it is rare."""
        near = abs(self.demo - self.real.mean) <= self.tolerance
        return bool(near and (self.demo > 0 or not self.statistic.rare))


def figures_of(panel: Panel) -> dict[str, Figure]:
    """Each statistic's mean over the sessions, its spread from day to day, and its standard error over symbols.

    The last comes from ten groups of symbols, each tenth by name: how much their means differ. Statistics that the
    bars say nothing of are left out.
    """
    whole = series_of(panel)
    groups = min(_GROUPS, len(panel.symbols))
    parts = [series_of(panel.of(range(k, len(panel.symbols), groups))) for k in range(groups)]
    found = {}
    for statistic in STATISTICS:
        days = _there(whole[statistic.name])
        means = np.array([_there(part[statistic.name]).mean() for part in parts if len(_there(part[statistic.name]))])
        if len(days):
            by_symbols = float(means.std(ddof=1)) / len(means) ** 0.5 if len(means) > 1 else 0.0
            by_day = float(days.std(ddof=1)) if len(days) > 1 else 0.0
            found[statistic.name] = Figure(mean=float(days.mean()), by_day=by_day, by_symbols=by_symbols)
    return found


def _there(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def above(panel: Panel, turnover: float) -> Panel:
    """The symbols of which so much is traded on a middling day."""
    return panel.of(np.flatnonzero(panel.turnover() >= turnover).tolist())


def demo_panel(seed: int, last: date, sessions: int = SESSIONS) -> Panel:
    """So many sessions of the whole demo market up to `last`."""
    return panel_of(demo_bars(last, seed, demo_symbols(DEMO_SYMBOLS, last), history_days=sessions - 1))


def demo_means(panels: Sequence[Panel]) -> dict[str, float]:
    """Each statistic of the demo, the mean over the samples; spreads of the companies as large as the quoted ones."""
    collected: dict[str, list[float]] = {}
    for panel in panels:
        series = series_of(above(panel, COMPARABLE_TURNOVER))
        series["spread"] = series_of(above(panel, QUOTED_TURNOVER))["spread"]
        for name, values in series.items():
            collected.setdefault(name, []).append(float(_there(values).mean()))
    return {name: sum(values) / len(values) for name, values in collected.items()}


def rows_of(demo: Mapping[str, float], real: Mapping[str, Figure] = REAL) -> tuple[Row, ...]:
    """The acceptance table."""
    return tuple(
        Row(statistic=statistic, real=real[statistic.name], demo=demo[statistic.name]) for statistic in STATISTICS
    )


def quotes_as_bars(quotes: pl.DataFrame) -> pl.DataFrame:
    """Recorded bid and ask bars with the spread at the close, to be measured."""
    return quotes.with_columns(spread=pl.col("ask_close") - pl.col("bid_close"))


def markdown(rows: Sequence[Row]) -> str:
    """The table as docs/demo-market.md shows it."""
    lines = ["| statistic | | real | demo | tolerance | |", "|---|---|---:|---:|---:|---|"]
    for row in rows:
        real, demo, tolerance = (_shown(value, row.real.mean) for value in (row.real.mean, row.demo, row.tolerance))
        verdict = "within" if row.within else "**outside**"
        lines.append(f"| {row.statistic.label} | {row.statistic.unit} | {real} | {demo} | ± {tolerance} | {verdict} |")
    return "\n".join(lines) + "\n"


def _shown(value: float, like: float) -> str:
    """As many places as the figure's size asks for."""
    size = abs(like)
    places = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:.{places}f}"
