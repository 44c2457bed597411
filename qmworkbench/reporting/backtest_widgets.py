"""The backtest explorer under widgets, in JupyterLab: strategy, symbols, period, parameters and costs (§2)."""

from datetime import date
from typing import Any, Final

import polars as pl

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.reporting.explored import Explored, bars_of, run_of
from qmworkbench.reporting.parameters import BacktestParameters, home
from qmworkbench.reporting.style import ACCENT, INK, LOSS, MUTED
from qmworkbench.reporting.tear_figures import thinned
from qmworkbench.reporting.tear_tables import percent
from qmworkbench.strategies import catalog

_HEIGHT: Final = 300
_PAGE: Final = 10


def load_extensions() -> None:
    """Make HoloViews and Panel draw in a notebook without a network; the order matters, and so does `inline`."""
    import holoviews as hv
    import panel as pn

    hv.extension("bokeh", inline=True, logo=False)
    pn.extension("tabulator", inline=True)


def interactive(start: Explored) -> Any:
    """The run under widgets. What cannot be run says why, in place of the charts."""
    import panel as pn

    controls = _controls(start)
    shown = pn.bind(_shown, *controls.values(), start=start.asked)
    rows = list(controls.values())
    return pn.Column(pn.Row(*rows[:3]), pn.Row(*rows[3:]), pn.panel(shown), sizing_mode="stretch_width")


def _controls(start: Explored) -> dict[str, Any]:
    import panel as pn

    widgets: Any = pn.widgets  # param builds its classes at run time
    p, bars = start.asked, start.run.bars
    market = AssetClass.FOREX if bars.calendar == "FX" else AssetClass.EQUITY
    fitting = [name for name, entry in catalog.catalog().items() if market in entry.asset_classes]
    first, last = bars.first, bars.last
    return {
        "strategy": widgets.Select(label="strategy", options=fitting, value=p.strategy, width=180),
        "symbols": widgets.MultiChoice(
            label="symbols", options=symbols_of(p), value=list(start.run.symbols), width=320
        ),
        "period": widgets.DateRangeSlider(label="period", start=first, end=last, value=(first, last), width=320),
        "params": widgets.TextInput(label="parameters, NAME=VALUE, …", value=p.params, width=380),
        "costs": widgets.FloatSlider(
            label="costs, bps of value", start=0, end=50, step=0.5, value=p.cost_bps, width=220
        ),
        "positions": widgets.IntInput(
            label="held at once (0: one a symbol)", start=0, end=1_000, value=p.positions or 0, width=200
        ),
    }


def symbols_of(p: BacktestParameters) -> list[str]:
    """Every symbol of the data that is asked for."""
    from qmworkbench.service.bar_sources import open_bars
    from qmworkbench.service.config import load as configuration

    return open_bars(p.data, data=configuration(cwd=home()).resolved("paths.data"), period=(p.first, p.last)).symbols()


def _shown(
    strategy: str, symbols: list[str], period: tuple[Any, Any], params: str, costs: float, positions: int,
    start: BacktestParameters,
) -> Any:  # fmt: skip
    import panel as pn

    asked = start.model_copy(
        update={
            "strategy": strategy,
            "symbols": ",".join(symbols),
            "first": _day(period[0]),
            "last": _day(period[1]),
            "params": params,
            "cost_bps": float(costs),
            "positions": int(positions) or None,
        }
    )
    try:
        found = Explored(asked, run_of(asked, bars_of(asked)))
    except Exception as error:  # whatever cannot be run is told where the charts would be
        remedy = getattr(error, "remedy", "")
        panes: Any = pn.pane
        return panes.Alert(f"{error}" + (f" Remedy: {remedy}." if remedy else ""), alert_type="warning")
    return charts(found)


def _day(given: Any) -> date:
    return given.date() if hasattr(given, "date") else given  # type: ignore[no-any-return]


def charts(found: Explored) -> Any:
    """Price with entries and exits, equity, drawdown, and the trades as a table."""
    import holoviews as hv
    import panel as pn

    run = found.run
    told = run.metrics
    title = (
        f"{run.definition.strategy_id} on {', '.join(run.symbols[:4])}{' …' if len(run.symbols) > 4 else ''}: "
        f"{percent(told['total_return'], sign=True)}, buy and hold {percent(told['benchmark_return'], sign=True)}, "
        f"{told['trades'] or 0:,.0f} trades"
    )
    times = run.equity["ts"].to_numpy()
    own, at, versus, below = thinned(
        run.equity["equity"].to_numpy(), times, run.equity["benchmark"].to_numpy(), run.equity["drawdown"].to_numpy()
    )
    equity = hv.Curve((at, versus), "time", "equity", label="buy and hold").opts(color=MUTED) * hv.Curve(
        (at, own), "time", "equity", label="strategy"
    ).opts(color=ACCENT, line_width=2)
    fall = hv.Area((at, below), "time", "drawdown").opts(color=LOSS, alpha=0.35, line_alpha=0)
    panes: Any = pn.pane
    return pn.Column(
        panes.HoloViews(_prices(found, title), sizing_mode="stretch_width"),
        panes.HoloViews(
            equity.opts(
                hv.opts.Overlay(responsive=True, height=_HEIGHT, legend_position="top_left", yformatter="%.0f")
            ),
            sizing_mode="stretch_width",
        ),
        panes.HoloViews(fall.opts(responsive=True, height=130, yformatter="%.2f"), sizing_mode="stretch_width"),
        _trades(found),
        sizing_mode="stretch_width",
    )


def _prices(found: Explored, title: str) -> Any:
    import holoviews as hv

    run, symbol = found.run, found.symbol
    tape = run.tapes[run.symbols.index(symbol)]
    close, at = thinned(tape.close, tape.ts_us.astype("datetime64[us]"))
    layers: list[Any] = [hv.Curve((at, close), "time", f"{symbol}").opts(color=INK, line_width=1)]
    own = run.trades.filter(pl.col("symbol") == symbol)
    for rows, when, px, name, marker, color in (
        (own.filter(pl.col("side") == "long"), "entry_ts", "entry_px", "long entry", "triangle", ACCENT),
        (own.filter(pl.col("side") == "short"), "entry_ts", "entry_px", "short entry", "inverted_triangle", ACCENT),
        (own.filter(~pl.col("open")), "exit_ts", "exit_px", "exit", "x", LOSS),
    ):
        if rows.height:
            points = (rows[when].dt.replace_time_zone(None).to_numpy(), rows[px].to_numpy())
            layers.append(hv.Scatter(points, "time", f"{symbol}", label=name).opts(color=color, marker=marker, size=8))
    return hv.Overlay(layers).opts(
        hv.opts.Overlay(title=title, responsive=True, height=_HEIGHT, legend_position="top_left")
    )


def _trades(found: Explored) -> Any:
    import panel as pn

    columns = ("symbol", "side", "qty", "entry_ts", "entry_px", "exit_ts", "exit_px", "pnl", "return_pct", "bars")
    told = found.run.trades.select(*columns, pl.col("reason").fill_null("still open"))
    frame = told.with_columns(
        pl.col("entry_ts", "exit_ts").dt.convert_time_zone(found.run.zone).dt.strftime("%Y-%m-%d %H:%M"),
        pl.col("entry_px", "exit_px", "pnl", "return_pct").round(4),
    )
    table: Any = pn.widgets.Tabulator
    return table(
        frame.to_pandas(), page_size=_PAGE, pagination="local", disabled=True, show_index=False,
        sizing_mode="stretch_width", theme="simple",
    )  # fmt: skip
