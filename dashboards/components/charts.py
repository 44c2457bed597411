"""The small charts: equity by boundary and closed trades, streamed into their data sources (§9)."""

from typing import Any, Final

import panel as pn
from bokeh.models import ColumnDataSource, DataRange1d, DatetimeTickFormatter, HoverTool, NumeralTickFormatter, Range1d
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from dashboards.view_models.charts import Curve, TradeBars

_HOURS: Final = "%H:%M"
_INK: Final = "#9aa7b6"
_GRID: Final = "#232b36"
_LINE: Final = "#58a6ff"
_GAIN: Final = "#3fb68b"
_LOSS: Final = "#f0635a"


class EquityChart:
    """Equity in account currency over the session, its start dashed and the daily loss limit's floor in red."""

    def __init__(self, curve: Curve) -> None:
        self._drawn = curve
        self._source = ColumnDataSource({"at": list(curve.times_ms), "equity": list(curve.equity)})
        self._tip = ColumnDataSource(_tip(curve))
        # A few points are not stretched over the whole plot: at least half an hour, and a tenth of a percent, is shown.
        times = DataRange1d(min_interval=30 * 60 * 1000, range_padding=0.03)
        values = DataRange1d(min_interval=(curve.start or 0.0) / 1000 or None)
        plot = _figure(x_axis_type="datetime", x_range=times, y_range=values)
        plot.line("at", "equity", source=self._source, line_color=_LINE, line_width=1.6)
        plot.scatter("at", "equity", source=self._tip, color=_LINE, size=6)
        plot.xaxis.formatter = DatetimeTickFormatter(minutes=_HOURS, hourmin=_HOURS, hours=_HOURS, days="%e %b")
        plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
        plot.add_tools(
            HoverTool(
                tooltips=[("", "@at{%H:%M}"), ("equity", "@equity{0,0.00}")],
                formatters={"@at": "datetime"},
                mode="vline",
            )
        )
        self._start = Span(dimension="width", line_color=_INK, line_dash="dashed", line_width=1, line_alpha=0.6)
        self._floor = Span(dimension="width", line_color=_LOSS, line_width=1)
        plot.add_layout(self._start)
        plot.add_layout(self._floor)
        self._levels(curve)
        self.pane = _pane(plot)

    def show(self, curve: Curve) -> None:
        """Draw a newer curve: only what is new crosses the wire while the old points stay as they were."""
        drawn = self._drawn
        if curve == drawn:
            return
        self._drawn = curve
        self._levels(curve)
        self._tip.data = _tip(curve)
        kept = len(drawn.times_ms)
        grown = curve.times_ms[:kept] == drawn.times_ms and curve.equity[:kept] == drawn.equity
        if grown and kept:
            if len(curve.times_ms) > kept:
                self._source.stream({"at": list(curve.times_ms[kept:]), "equity": list(curve.equity[kept:])})
        else:
            self._source.data = {"at": list(curve.times_ms), "equity": list(curve.equity)}

    def _levels(self, curve: Curve) -> None:
        for span, level in ((self._start, curve.start), (self._floor, curve.floor)):
            span.visible = level is not None
            span.location = level


def _tip(curve: Curve) -> dict[str, list[float]]:
    """The newest point alone."""
    return {"at": list(curve.times_ms[-1:]), "equity": list(curve.equity[-1:])}


class TradesChart:
    """Net result of each closed trade, in the order in which they closed."""

    def __init__(self, bars: TradeBars) -> None:
        self._drawn: TradeBars | None = None
        self._source = ColumnDataSource({"n": [], "net": [], "symbol": [], "color": []})
        self._range = Range1d(start=0.5, end=10.5)
        plot = _figure(x_range=self._range)
        plot.vbar(x="n", top="net", width=0.7, source=self._source, color="color")
        plot.add_layout(Span(location=0, dimension="width", line_color=_INK, line_width=1))
        plot.xaxis.visible = False
        plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
        plot.add_tools(HoverTool(tooltips=[("", "@symbol"), ("net", "@net{+0,0.00}")]))
        self.pane = _pane(plot)
        self.show(bars)

    def show(self, bars: TradeBars) -> None:
        """Draw these trades."""
        if bars == self._drawn:
            return
        self._drawn = bars
        count = len(bars.net)
        self._range.end = max(10, count) + 0.5
        self._source.data = {
            "n": list(range(1, count + 1)),
            "net": list(bars.net),
            "symbol": list(bars.symbols),
            "color": [_GAIN if net >= 0 else _LOSS for net in bars.net],
        }


def _figure(**options: Any) -> figure:
    plot = figure(
        sizing_mode="stretch_both",
        toolbar_location=None,
        tools="",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border_left=4,
        min_border_right=8,
        min_border_top=6,
        min_border_bottom=4,
        **options,
    )
    plot.grid.grid_line_color = _GRID
    plot.xgrid.grid_line_color = None
    plot.axis.axis_line_color = None
    plot.axis.major_tick_line_color = None
    plot.axis.minor_tick_line_color = None
    plot.axis.major_label_text_color = _INK
    plot.axis.major_label_text_font_size = "11px"
    return plot


def _pane(plot: figure) -> Any:
    return pn.pane.Bokeh(plot, sizing_mode="stretch_both", margin=0)
