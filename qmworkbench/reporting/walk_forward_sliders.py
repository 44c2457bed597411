"""Walk-forward under sliders, for JupyterLab: other windows over the same trials, at once (§2 Backtesting)."""

from typing import Any

import numpy as np

from qmworkbench.reporting.style import ACCENT, AMBER, CSS, MUTED
from qmworkbench.reporting.tables import share
from qmworkbench.reporting.walk_forward import choices
from qmworkbench.reporting.walk_forward_run import Walked, walked
from qmworkbench.research.backtests.observations import told


def load_extensions() -> None:
    """Make HoloViews and Panel draw in a notebook without a network; the order matters, and so does `inline`."""
    import holoviews as hv
    import panel as pn

    hv.extension("bokeh", inline=True, logo=False)
    pn.extension(inline=True)


def interactive(found: Walked) -> Any:
    """The way of cutting, the lengths of the windows and the gap between them; nothing is simulated again."""
    import panel as pn

    p, sessions = found.asked, len(found.trials.sessions)
    widgets: Any = pn.widgets  # param builds its classes at run time
    mode = widgets.RadioButtonGroup(label="mode", options=["rolling", "expanding"], value=_offered(p.mode))
    train = widgets.IntSlider(label="train, sessions", start=20, end=max(sessions // 2, p.train), value=p.train, step=1)
    test = widgets.IntSlider(label="test, sessions", start=5, end=max(sessions // 3, p.test), value=p.test, step=1)
    gap = widgets.IntSlider(label="gap, sessions", start=0, end=max(60, p.gap), value=p.gap)

    def shown(mode: str, train: int, test: int, gap: int) -> Any:
        return again(found, mode=mode, train=train, test=test, gap=gap, anchor=None)

    controls = pn.Row(mode, train, test, gap)
    return pn.Column(controls, pn.bind(shown, mode, train, test, gap), sizing_mode="stretch_width")


def _offered(mode: str) -> str:
    return "expanding" if mode == "anchored" else mode


def again(found: Walked, **changed: Any) -> Any:
    """The curves and choices for other windows, or why there are none."""
    import holoviews as hv
    import panel as pn

    panes: Any = pn.pane
    asked = found.asked.model_copy(update=changed)
    try:
        walk = walked(found.trials, asked)
    except ValueError as reason:
        return panes.Alert(str(reason), alert_type="warning")
    at = walk.curve["session"].to_numpy()
    days = np.array(found.trials.sessions, dtype="datetime64[D]")[at]
    title = (
        f"Sharpe {told(walk.sharpe)} out of sample over {len(walk.windows)} windows, efficiency "
        f"{share(walk.efficiency)}, better than the median in {share(walk.beats_median)}"
    )

    def line(returns: Any, name: str, color: str) -> Any:
        return hv.Curve((days, np.cumprod(1 + returns)), "date", "worth of 1", label=name).opts(color=color)

    lines = (
        line(found.trials.benchmark[at], "held throughout", MUTED)
        * line(found.trials.returns[at, found.worth.best], "best in hindsight", AMBER)
        * line(walk.curve["return"].to_numpy(), "walked forward", ACCENT)
    )
    drawn = lines.opts(hv.opts.Overlay(title=title, responsive=True, height=340, legend_position="top_left"))
    listed = choices(Walked(asked, found.trials, walk))
    shown = panes.HTML(f'<div class="qm">{listed}</div>', stylesheets=[CSS], sizing_mode="stretch_width")
    return pn.Column(drawn, shown)
