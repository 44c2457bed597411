"""A sweep's map in JupyterLab: a click on a point draws the equity behind it (§2 Backtesting)."""

from typing import Any

import numpy as np
import polars as pl

from qmworkbench.reporting.style import ACCENT, MUTED
from qmworkbench.reporting.sweep_explorer_run import Explored, curve
from qmworkbench.reporting.walk_forward_sliders import load_extensions
from qmworkbench.research.backtests.observations import told

__all__ = ["clicked", "interactive", "load_extensions"]

_FIGURES = ("sharpe", "total_return", "max_drawdown", "profit_factor", "win_rate", "trades")


def interactive(found: Explored) -> Any:
    """The map by any two parameters and any figure; a click shows the equity of the point beside the best one's."""
    import holoviews as hv
    import panel as pn

    if found.axes is None:
        return pn.pane.Markdown("Fewer than two parameters vary: there is no map to click on.")  # type: ignore[no-untyped-call]
    widgets: Any = pn.widgets  # param builds its classes at run time
    names = list(found.names)
    x = widgets.Select(label="across", options=names, value=found.axes[0])
    y = widgets.Select(label="up", options=names, value=found.axes[1])
    figure = widgets.Select(label="figure", options=list(_FIGURES), value=found.asked.metric)
    tap = hv.streams.Tap(x=None, y=None)

    def mapped(x: str, y: str, figure: str) -> Any:
        shown = hv.HeatMap(_points(found, x, y, figure), [x, y], [figure])
        return shown.opts(tools=["hover"], responsive=True, height=340, colorbar=True, cmap="PuOr_r", title=figure)

    drawn = hv.DynamicMap(pn.bind(mapped, x, y, figure))
    tap.source = drawn

    def behind(x_name: str, y_name: str, figure: str, at_x: Any, at_y: Any) -> Any:
        return clicked(found, {x_name: at_x, y_name: at_y} if at_x is not None else None, figure)

    lines = pn.bind(behind, x, y, figure, tap.param.x, tap.param.y)
    return pn.Column(pn.Row(x, y, figure), drawn, lines, sizing_mode="stretch_width")


def _points(found: Explored, x: str, y: str, figure: str) -> Any:
    """Distinct points with the median figure of what lies behind each, as categories: a grid's steps differ."""
    if x == y:
        return [(str(value), str(value), np.nan) for value in found.whole[x].unique().sort().to_list()]
    told_of = found.whole.group_by(x, y).agg(pl.col(figure).cast(pl.Float64).median()).sort(x, y)
    return [(str(a), str(b), np.nan if value is None else value) for a, b, value in told_of.iter_rows()]


def clicked(found: Explored, at: dict[str, Any] | None, figure: str) -> Any:
    """The equity of the best combination at a point, beside the best of all; before a click that alone."""
    import holoviews as hv
    import panel as pn

    panes: Any = pn.pane
    if found.equity is None:
        return panes.Markdown("The sweep was too large for its equities to be kept.")
    best = found.row_of({"combination": found.worth["best"]}) if found.worth["best"] is not None else None
    place = best if at is None else _place(found, at, figure)
    if place is None:
        return panes.Markdown("No combination lies there.")
    words = ", ".join(f"{name} {found.whole[name][place]}" for name in found.names)
    title = f"{words}: Sharpe {told(found.whole['sharpe'][place])}, {told(found.whole['trades'][place], '.0f')} trades"

    def line(of: int, name: str, color: str) -> Any:
        worth = curve(found, of)
        return hv.Curve((np.arange(len(worth)), worth), "mark", "worth of 1", label=name).opts(color=color)

    lines = line(place, "this one", ACCENT)
    lines = line(best, "best of all", MUTED) * lines if best is not None else lines * line(place, "this one", ACCENT)
    return panes.HoloViews(
        lines.opts(hv.opts.Overlay(title=title, responsive=True, height=280, legend_position="top_left")),
        sizing_mode="stretch_width",
    )


def _place(found: Explored, at: dict[str, Any], figure: str) -> int | None:
    """The best combination at a point of the map, whose values are told as text."""
    held = found.whole.with_row_index("place")
    for name, value in at.items():
        held = held.filter(pl.col(name).cast(pl.String) == str(value))
    held = held.sort(figure, "combination", descending=[True, False], nulls_last=True)
    return int(held["place"][0]) if held.height else None
