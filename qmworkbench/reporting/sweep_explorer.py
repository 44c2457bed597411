"""The sweep explorer: a grid as a map, what its best is worth, and the equity behind every point (§2 Backtesting)."""

from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from qmworkbench.reporting import svg
from qmworkbench.reporting.split_chart import split_chart
from qmworkbench.reporting.style import ACCENT, AMBER, INK, MUTED
from qmworkbench.reporting.sweep_explorer_run import Explored, checks, conclusion, curve, load
from qmworkbench.reporting.tables import (
    DASH,
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
from qmworkbench.reporting.tear_tables import percent
from qmworkbench.research.backtests.observations import told
from qmworkbench.research.statistics.stability import StabilityMap
from qmworkbench.research.sweeps.sweep_tables import ranked

__all__ = ["Explored", "conclusion", "curves", "held", "load", "ranking", "stable", "summary", "worth"]

_WRITTEN: Final = 150  # points of a map up to which each value is written


def summary(found: Explored) -> Html:
    """How many were tried, what the best shows, and what that is worth."""
    worth, best = found.worth, _best(found)
    details = worth.get("details") or {}
    missing = "not told"
    entries = [
        ("Combinations", number(0)(found.whole.height), f"{worth['failed']} failed, {worth['invalid']} left out"),
        ("Best Sharpe", number(2)(worth["best_sharpe"]), _params(found, best) if best is not None else missing),
        ("By luck alone", number(2)(worth["expected_max_sharpe"]), "expected of so many trials"),
        ("Deflated", number(2)(worth["deflated"]), "probability of an edge, the search counted"),
        ("SPA", number(3)(details.get("spa_p")), "p-value against cash; small is good"),
        ("PBO", number(2)(details.get("pbo")), "how often choosing did not help"),
        ("Plateau", DASH if isinstance(found.map, str) else share(found.map.plateau), "of the best, its neighbours"),
        ("Checked again", number(0)(found.manifest["checked"]["cases"]), "combinations, by vectorbt"),
    ]
    said = str(worth["sentence"]).removesuffix(".").partition(" (")[0]  # the reasons follow with the checks
    return section("The sweep", tiles(entries), note=f"{said}.")


def _best(found: Explored) -> int | None:
    number_of = found.worth["best"]
    return None if number_of is None else found.row_of({"combination": number_of})


def _params(found: Explored, place: int) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {found.whole[name][place]}" for name in found.names)


def stable(found: Explored) -> Html:
    """The map of the grid, and beside it what the neighbours of each point say."""
    made = found.map
    if isinstance(made, str):
        return section("Map", note=f"There is none: {made}.")
    words = made.metric.replace("_", " ")
    own = svg.figure(_map(made, "value"), label=f"{words} over the grid", height=290)
    around = svg.figure(_map(made, "neighbour_median"), label=f"Median {words} of the neighbours", height=290)
    note = (
        f"The best point is {_told(made.best)}; together with its neighbours the best is {_told(made.centre)}. Marked: "
        "the best with a ring, the centre with a square. Parameters not on the map are summed up by their median."
    )
    return section(
        "Map", subsection(f"Each point's {words}", own), subsection("What its neighbours have", around), note=note
    )


def _told(params: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in params.items())


def _map(made: StabilityMap, column: str) -> Any:
    xs, ys = (made.frame[name].unique().sort().to_list() for name in (made.x, made.y))
    values = np.full((len(ys), len(xs)), np.nan)
    for row in made.frame.iter_rows(named=True):
        values[ys.index(row[made.y]), xs.index(row[made.x])] = np.nan if row[column] is None else row[column]

    def draw(axes: Axes, narrow: bool) -> None:
        most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
        axes.imshow(values, cmap="PuOr_r", vmin=-(most or 1), vmax=most or 1, aspect="auto", origin="lower")
        axes.grid(False)
        _ticks(axes, xs, ys, narrow)
        axes.set_xlabel(made.x.replace("_", " "))
        axes.set_ylabel(made.y.replace("_", " "))
        if values.size <= _WRITTEN and not narrow:
            for (y, x), value in np.ndenumerate(values):
                if not np.isnan(value):
                    shade = "#fff" if abs(value) > most * 0.6 else INK
                    axes.text(x, y, minus(f"{value:.2f}"), ha="center", va="center", fontsize=7.5, color=shade)
        for point, shape, color in ((made.best, "o", INK), (made.centre, "s", INK)):
            for edge, width in (("#fff", 4.5), (color, 1.8)):
                axes.plot(
                xs.index(point[made.x]), ys.index(point[made.y]), shape, markersize=24, markerfacecolor="none",
                markeredgecolor=edge, markeredgewidth=width,
            )  # fmt: skip

    return draw


def _ticks(axes: Axes, xs: list[Any], ys: list[Any], narrow: bool) -> None:
    every_x, every_y = max(1, len(xs) // (6 if narrow else 14)), max(1, len(ys) // 8)
    axes.set_xticks(range(0, len(xs), every_x), [str(x) for x in xs[::every_x]])
    axes.set_yticks(range(0, len(ys), every_y), [str(y) for y in ys[::every_y]])


def curves(found: Explored) -> Html:
    """The equity of the best, of the centre of the plateau and of the combination in the middle of the ranking."""
    if found.equity is None:
        return section("Equity", note="The sweep was too large for the equity of all combinations to be kept.")
    ordered = ranked(found.whole, found.asked.metric)
    lines: list[tuple[str, int, str]] = []
    best, middle = _best(found), found.row_of({"combination": ordered["combination"][ordered.height // 2]})
    if best is not None:
        lines.append(("best", best, ACCENT))
    if not isinstance(found.map, str) and (centre := found.row_of(found.map.centre)) is not None and centre != best:
        lines.append(("centre", centre, AMBER))
    if middle is not None and middle != best:
        lines.append(("in the middle of the ranking", middle, MUTED))

    def draw(axes: Axes, narrow: bool) -> None:
        for name, place, color in lines:
            axes.plot(curve(found, place), color=color, linewidth=1.4, label=f"{name}: {_params(found, place)}")
        axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}"))
        axes.set_ylabel("worth of 1")
        axes.set_xlabel("marks, evenly spread over the period")
        axes.legend(loc="upper left")
        axes.margins(x=0.01)

    return section("Equity", svg.figure(draw, label="Equity of chosen combinations", height=270))


def ranking(found: Explored, top: int = 12) -> Html:
    """The best by the figure asked for, and reasons of what failed."""
    ordered = ranked(found.whole, found.asked.metric).head(top)
    columns = [
        *(Column(name, name.replace("_", " "), text, "num") for name in found.names),
        Column("sharpe", "Sharpe", number(2), "num"),
        Column("total_return", "Return", percent, "num"),
        Column("max_drawdown", "Drawdown", percent, "num"),
        Column("trades", "Trades", number(0), "num"),
        Column("win_rate", "Won", share, "num"),
        Column("profit_factor", "Profit factor", number(2), "num"),
    ]
    failed = found.whole.filter(pl.col("reason").is_not_null())
    pieces = [table(ordered, columns, empty="No combination was run.")]
    if failed.height:
        reasons = failed.group_by("reason").len().sort("len", "reason", descending=[True, False]).head(5)
        shown = [Column("reason", "Why", text, "prose"), Column("len", "Combinations", number(0), "num")]
        pieces.append(subsection("Failed", table(reasons, shown, empty="")))
    return section("Ranking", *pieces, note=f"By {found.asked.metric.replace('_', ' ')}; what is missing comes last.")


def worth(found: Explored) -> Html:
    """How what one half of the period chose fared in the other."""
    splits = found.splits
    if isinstance(splits, str):
        return section("Overfitting", note=f"Not told: {splits}.")
    note = (
        f"{splits.splits:,} splits: what one half of the period chose was below the median in the other in "
        f"{share(splits.pbo)} of them, and lost in {share(splits.probability_of_loss)}. Where all combinations are "
        f"nearly alike the first says little. Slope {'–' if splits.slope is None else minus(told(splits.slope))}."
    )
    return section("Overfitting", split_chart(splits), note=note)


def held(found: Explored) -> Html:
    """What must hold, with what was seen."""
    return section("Checks", checks_table(checks(found), empty="Nothing was checked."))
