"""Axes as SVG, drawn without a screen: sharp, small, and the same bytes for the same data (§9, §18).

Text stays text, so a page is searchable. A wide figure comes a second time for narrow screens.
"""

import io
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qmworkbench.reporting.style import FONT, INK, LINE, MUTED
from qmworkbench.reporting.tables import Html, minus

_PX: Final = 96
WIDE: Final = 1060
NARROW: Final = 360
SMALL: Final = 400

# hashsalt: the same data gives the same bytes.
_RC: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "qm",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.4,
    "lines.solid_joinstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
}
_IDS: Final = re.compile(r' id="[A-Za-z0-9.]+_\d+"')
_FONTS: Final = re.compile(r"font: ([^;\"]*?)'?DejaVu Sans'?[^;\"]*")


def _svg(figure: Figure, label: str) -> str:
    """The figure as an SVG element that scales with its place and says what it shows."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = _IDS.sub("", text[text.index("<svg") :])
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = _FONTS.sub(lambda found: f"font: {found.group(1)}{FONT}", text)
    # Only the outer size goes; the view box keeps the proportions.
    head, rest = text[: text.index(">")], text[text.index(">") :]
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    head = re.sub(r' xmlns:xlink="[^"]*"| version="[^"]*"', "", head)
    rest = rest.replace("xlink:href", "href")
    return f'{head} role="img" aria-label="{escape(label, quote=True)}"{rest.strip()}'


Draw = Callable[[Axes, bool], None]


def figure(
    draw: Draw, *, label: str, height: int = 250, caption: str = "", both: bool = True, width: int = WIDE
) -> Html:
    """One set of axes at full width, and again for a phone unless `both` is off. `draw(axes, narrow)` fills it."""
    drawn = _drawn([(draw, height)], width, label, narrow=False)
    if both:
        again = _drawn([(draw, int(height * 0.9))], NARROW, label, narrow=True)
        drawn = f'<div class="wide">{drawn}</div><div class="narrow">{again}</div>'
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Html(f"<figure>{drawn}{said}</figure>")


def stacked(panels: Sequence[tuple[Draw, int]], *, label: str, caption: str = "") -> Html:
    """Axes above each other over the same times, each with its height; at full width and again for a phone."""
    drawn = _drawn(panels, WIDE, label, narrow=False)
    again = _drawn([(draw, int(height * 0.9)) for draw, height in panels], NARROW, label, narrow=True)
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Html(f'<figure><div class="wide">{drawn}</div><div class="narrow">{again}</div>{said}</figure>')


def small(draw: Draw, *, label: str, height: int = 190) -> Html:
    """One set of axes for a card."""
    return Html(f"<figure>{_drawn([(draw, height)], SMALL, label, narrow=True)}</figure>")


def _drawn(panels: Sequence[tuple[Draw, int]], width: int, label: str, *, narrow: bool) -> str:
    heights = [height for _, height in panels]
    with rc_context(_RC):
        made = Figure(figsize=(width / _PX, sum(heights) / _PX), dpi=_PX, layout="constrained")
        rows: Any = made.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
        for axes, (draw, _) in zip(rows[:, 0], panels, strict=True):
            draw(axes, narrow)
        made.align_ylabels()
        return _svg(made, label)


_STEPS_MIN: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 7200, 14400, 43200, 129600, 525600)


def times(axes: Axes, zone: str, narrow: bool) -> None:
    """Ticks on full minutes and hours of the exchange's clock, as many as fit; dates where days pass."""
    axes.margins(x=0.01)
    low, high = (_at(x, zone) for x in axes.get_xlim())
    most = 4 if narrow else 10
    minutes = (high - low).total_seconds() / 60
    step = next((step for step in _STEPS_MIN if minutes / step <= most), _STEPS_MIN[-1])
    midnight = low.replace(hour=0, minute=0, second=0, microsecond=0)
    first = -(-(low - midnight) // timedelta(minutes=step))
    ticks = [midnight + timedelta(minutes=step) * number for number in range(first, first + most + 2)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    pattern = "%H:%M" if step < 1440 and minutes < 1440 else "%d %b %H:%M" if step < 1440 else "%d %b %Y"
    axes.set_xticks([x_of(tick) for tick in ticks], [tick.strftime(pattern) for tick in ticks])
    axes.set_xlim(x_of(low), x_of(high))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def x_of(at: datetime) -> float:
    """A time on an axis: days since 1970, as matplotlib counts them."""
    return (at - _EPOCH) / timedelta(days=1)


def _at(x: float, zone: str) -> datetime:
    return (_EPOCH + timedelta(days=float(x))).astimezone(ZoneInfo(zone))


def money(axes: Axes) -> None:
    """Whole amounts on the vertical axis, with real minus signs."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:,.0f}")))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def end_label(axes: Axes, x: Any, y: float, text: str, color: str) -> None:
    """A word at the end of a line, instead of a legend."""
    axes.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", color=color, va="center", fontsize=8.5)
