"""How what one half of the sessions chose fared in the other, as a chart that several pages show (M: layer 2)."""

import numpy as np
from matplotlib.axes import Axes

from qmworkbench.reporting import svg
from qmworkbench.reporting.style import ACCENT, INK, LOSS
from qmworkbench.reporting.tables import Html
from qmworkbench.research.statistics import overfitting


def split_chart(splits: overfitting.Overfitting) -> Html:
    """The logits of all splits as bars; what lies left of 0 did no better than the median."""
    counts, edges = overfitting.histogram(splits)

    def draw(axes: Axes, narrow: bool) -> None:
        colors = [LOSS if high <= 0 else ACCENT for high in edges[1:]]
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colors)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_xlabel("logit of the rank in the other half: left of 0 below the median")
        axes.set_ylabel("splits")

    return svg.figure(draw, label="Rank in one half of what the other half chose", height=200)
