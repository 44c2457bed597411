"""The walk-forward report: chosen on the past, judged on what came next, and what the choice is worth (§2)."""

from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qmworkbench.reporting import svg
from qmworkbench.reporting.split_chart import split_chart
from qmworkbench.reporting.style import ACCENT, AMBER, GAIN, LINE, LOSS, MUTED
from qmworkbench.reporting.tables import (
    Column,
    Html,
    checks_table,
    minus,
    number,
    section,
    share,
    subsection,
    table,
    text,
    tiles,
)
from qmworkbench.reporting.walk_forward_run import Walked, checks, conclusion, load
from qmworkbench.research.backtests.observations import told
from qmworkbench.research.fills.tape import Floats

__all__ = ["Walked", "choices", "conclusion", "held", "load", "summary", "worth"]

_YEAR: Final = 252**0.5


def summary(found: Walked) -> Html:
    """What was earned out of sample, beside hindsight and the market."""
    walk, worth = found.walk, found.worth
    ratio = number(2)
    entries = [
        ("Sharpe out of sample", ratio(walk.sharpe), f"{walk.curve.height:,} sessions in {len(walk.windows)} windows"),
        ("Earned out of sample", share(float(walk.curve["equity"][-1]) - 1), "compounded, costs taken off"),
        ("Efficiency", share(walk.efficiency), "of what was earned in sample, a session"),
        ("Windows that earned", share(walk.profitable), f"of {len(walk.windows)}"),
        ("Better than the median", share(walk.beats_median), "windows in which choosing helped"),
        ("Same choice again", share(walk.stability), "from one window to the next"),
        ("Best in hindsight", ratio(worth.best_sharpe), f"Sharpe; luck alone {told(worth.expected_max_sharpe)}"),
        ("Combinations", number(0)(found.trials.trials), f"{len(found.trials.failed)} failed"),
    ]
    note = "Each window chooses by the Sharpe ratio of its train sessions; the test sessions after it judge."
    return section("Out of sample", tiles(entries), _curves(found), _bars(found), note=note)


def _curves(found: Walked) -> Html:
    at = found.walk.curve["session"].to_numpy()
    days = _years(found, at)
    best = found.trials.returns[at, found.worth.best]
    market = found.trials.benchmark[at]

    def draw(axes: Axes, narrow: bool) -> None:
        axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot(days, np.cumprod(1 + market), color=MUTED, linewidth=1, label="held throughout")
        axes.plot(days, np.cumprod(1 + best), color=AMBER, linewidth=1, label="best in hindsight")
        axes.plot(days, found.walk.curve["equity"].to_numpy(), color=ACCENT, linewidth=1.6, label="walked forward")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}"))
        axes.set_ylabel("worth of 1")
        axes.legend(loc="upper left")
        _year_axis(axes)

    return svg.figure(draw, label="What was earned out of sample, beside hindsight and holding", height=270)


def _bars(found: Walked) -> Html:
    """Which sessions trained and which judged."""
    edges = _years(found, np.arange(len(found.trials.sessions)))

    def span(part: range) -> tuple[float, float]:
        return float(edges[part.start]), float(edges[part.stop - 1] - edges[part.start])

    def draw(axes: Axes, narrow: bool) -> None:
        earned = found.walk.choices["test_return"].to_list()
        for window, gain in zip(found.walk.windows, earned, strict=True):
            for part, color in ((window.train, LINE), (window.gap, AMBER), (window.test, GAIN if gain > 0 else LOSS)):
                if len(part):
                    start, width = span(part)
                    axes.barh(window.number, width, left=start, color=color, height=0.7)
        axes.invert_yaxis()
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_ylabel("window")
        axes.grid(False)
        _year_axis(axes)

    caption = "Grey trains, amber is looked at by neither, colour judges: green where it earned, red where it lost."
    return svg.figure(draw, label="Train and test sessions of every window", height=190, caption=caption)


def _years(found: Walked, at: Any) -> Floats:
    """Sessions as years with fractions: an axis without a time zone."""
    days = pl.Series(found.trials.sessions, dtype=pl.Date)
    years = (days.dt.year() + (days.dt.ordinal_day() - 1) / 366).to_numpy()
    return np.asarray(years[at], dtype=np.float64)


def _year_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.margins(x=0.01)


def choices(found: Walked) -> Html:
    """What each window chose, and how that fared."""
    days = found.trials.sessions
    rows = [
        {
            **row,
            "tested": f"{days[row['test_from']]} to {days[row['test_to']]}",
            "inside": row["train_score"] * _YEAR,
            "outside": row["test_score"] * _YEAR,
            "median": None if row["median_score"] is None else row["median_score"] * _YEAR,
            "test_return": row["test_return"] * 100,
        }
        for row in found.walk.choices.iter_rows(named=True)
    ]
    columns = [
        Column("tested", "Judged", kind="keep"),
        *(Column(name, name.replace("_", " "), text, "num") for name in (found.trials.params or ({},))[0]),
        Column("inside", "Sharpe in sample", number(2), "num"),
        Column("outside", "out of sample", number(2), "num"),
        Column("median", "median candidate", number(2), "num"),
        Column("test_return", "Earned", number(1, "%", sign=True), "num"),
    ]
    note = "The median candidate is what a choice by lot would have got: choosing helps where the chosen one beats it."
    return section("Choices", table(rows, columns, empty="There is no window."), note=note)


def worth(found: Walked) -> Html:
    """Whether the best of the grid is more than luck: verdict, halves against halves, other histories."""
    made, market = found.worth, found.against_market
    entries = [
        ("Deflated", number(2)(made.deflated), "probability of an edge, the search counted"),
        ("SPA, against cash", number(3)(made.spa_p), "p-value; small is good"),
        ("SPA, against holding", number(3)(market.spa_p), "p-value; small is good"),
        ("PBO", number(2)(made.pbo), "how often choosing did not help"),
        ("Loses elsewhere", share(made.probability_of_loss), "of the other halves of the sessions"),
        ("Independent trials", number(0)(made.effective_trials), f"that {made.trials} correlated ones amount to"),
    ]
    told_of = [f"Against cash: {made.sentence}", f"Against holding the symbols: {market.verdict}."]
    pieces = [tiles(entries), _histogram(found), _histories(found)]
    return section("What the best is worth", *pieces, note=" ".join(told_of))


def _histogram(found: Walked) -> Html:
    splits = found.splits
    if isinstance(splits, str):
        return subsection("Chosen in one half, judged in the other", note=f"Not told: {splits}.")
    slope = "–" if splits.slope is None else minus(f"{splits.slope:.2f}")
    note = f"{splits.splits:,} splits; out of sample by in sample, the Sharpe ratio goes with a slope of {slope}."
    return subsection("Chosen in one half, judged in the other", split_chart(splits), note=note)


def _histories(found: Walked) -> Html:
    made = found.histories
    if isinstance(made, str):
        return subsection("Other histories", note=f"Not told: {made}.")
    days = _years(found, np.arange(len(found.trials.sessions)))

    def draw(axes: Axes, narrow: bool) -> None:
        for one in made.returns:
            axes.plot(days, np.cumprod(1 + one), color=ACCENT, linewidth=0.8, alpha=0.55)
        axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_ylabel("worth of 1")
        _year_axis(axes)

    chart = svg.figure(draw, label="Every history of the combinatorial cross-validation", height=220)
    ratios = made.paths["sharpe"].drop_nulls()
    between = f"{told(ratios.min())} to {told(ratios.max())}" if ratios.len() else "none"  # type: ignore[arg-type]
    note = (
        f"{made.paths.height} histories, each judged throughout by sessions that did not choose: Sharpe {between}, "
        f"median {told(made.median_sharpe)}. They share sessions, so they are no independent proofs."
    )
    return subsection("Other histories", chart, note=note)


def held(found: Walked) -> Html:
    """What must hold, with what was seen."""
    return section("Checks", checks_table(checks(found), empty="Nothing was checked."))
