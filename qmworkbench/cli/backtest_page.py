"""A backtest on one page of a terminal: figures, curve, where the result comes from, what to know (§2 Backtesting)."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.table import Table

    from qmworkbench.research.backtests.backtest import Backtest

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_MOST_SYMBOLS: Final = 5
_MOST_NOTES: Final = 8
_DASH: Final = "–"
_PAGE_WIDTH: Final = 132


def show(done: "Backtest", run_id: str) -> None:
    """Print it."""
    from rich.text import Text

    console = _console()
    bars, definition = done.bars, done.definition
    among = done.symbols[0] if len(done.symbols) == 1 else f"{len(done.symbols):,} symbols"
    title = Text(f"{definition.title}, {definition.strategy_id} {definition.version}", style="bold")
    console.print(title)
    other = _other_params(done)
    console.print(
        f"{among} · {bars.first} to {bars.last} · {_interval(bars.interval_s)} bars · {bars.source}"
        f"{' · ' + other if other else ''}"
    )
    console.print(f"{done.cash:,.0f} {done.currency} · {done.sizing} · {_costs(done)} · fills: {_fills(done)}")
    console.print()
    console.print(_figures(done))
    console.print()
    for line in _curve(done, console.width):
        console.print(line)
    console.print()
    console.print(_side_by_side(_parts(done)))
    _notes(console, done)
    console.print(f"run {run_id} · qm runs show {run_id} --html", style="dim")


def _console() -> "Console":
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PAGE_WIDTH
    return Console(file=sys.stdout, highlight=False, width=width)


def _other_params(done: "Backtest") -> str:
    approved = done.definition.parameters({})
    return ", ".join(f"{name}={value}" for name, value in done.params.items() if approved[name] != value)


def _interval(seconds: int) -> str:
    return {60: "minute", 3600: "hourly", 86_400: "daily"}.get(seconds, f"{seconds} s")


def _costs(done: "Backtest") -> str:
    terms = done.terms
    told = [
        (terms.fee_rate, f"{terms.fee_rate * 1e4:g} bps"),
        (terms.fee_per_unit, f"{terms.fee_per_unit:g} a unit"),
        (terms.fee_per_order, f"{terms.fee_per_order:g} an order"),
        (terms.slippage_rate, f"slippage {terms.slippage_rate * 1e4:g} bps"),
        (terms.participation, f"at most {terms.participation:.0%} of the volume"),
    ]
    return ", ".join(text for value, text in told if value) or "no costs"


def _fills(done: "Backtest") -> str:
    return "the next open" if done.how["fill"] == "next_open" else "THE DECIDING CLOSE (nobody could have had it)"


def _figures(done: "Backtest") -> "Table":
    told = done.metrics

    def value(name: str, form: str = ",.2f", unit: str = "") -> str:
        number = told[name]
        return _DASH if number is None else f"{number:{form}}{unit}"

    rows = [
        [("total return", value("total_return", "+.2%")), ("Sharpe, per bar", value("sharpe")),
         ("trades", value("trades", ",.0f")), ("final equity", value("final_equity", ",.2f"))],
        [("buy and hold", value("benchmark_return", "+.2%")), ("Sharpe, per session", value("sharpe_sessions")),
         ("won", value("win_rate", ".1%")), ("fees", value("fees"))],
        [("a year", value("yearly_return", "+.1%")), ("Sortino", value("sortino")),
         ("profit factor", value("profit_factor")), ("turnover", value("turnover", ",.1f", "×"))],
        [("deepest drawdown", value("max_drawdown", ".2%")), ("volatility", value("volatility", ".1%")),
         ("a trade", value("expectancy", "+,.2f")), ("in the market", value("exposure", ".1%"))],
        [("below a peak", value("drawdown_sessions", ",.0f", " sessions")), ("beta", value("beta")),
         ("bars held", value("mean_bars", ",.1f")), ("refused entries", value("refused", ",.0f"))],
    ]  # fmt: skip
    table = _table([], box=False)
    for _ in range(4):
        table.add_column(style="dim")
        table.add_column(justify="right", style="bold")
    for row in rows:
        table.add_row(*(cell for pair in row for cell in pair))
    return table


def _table(columns: Sequence[str], *, title: str = "", box: bool = True) -> "Table":
    from rich.table import Table

    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=box,
        header_style="dim",
    )  # fmt: skip
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return table


def _curve(done: "Backtest", width: int) -> list[str]:
    """Equity and benchmark as two rows of blocks on one scale, and the drawdown below."""
    room = max(20, min(width, 120) - 22)
    equity, versus = (_thinned(done.equity[name], room) for name in ("equity", "benchmark"))
    low, high = float(min(equity.min(), versus.min())), float(max(equity.max(), versus.max()))
    deepest = done.metrics["max_drawdown"] or 0.0
    drawdown = -_thinned(done.equity["drawdown"], room)
    return [
        f"{'equity':<13}{_blocks(equity, low, high)}  {equity[-1]:,.0f}",
        f"{'buy and hold':<13}{_blocks(versus, low, high)}  {versus[-1]:,.0f}",
        f"{'drawdown':<13}{_blocks(drawdown, 0.0, max(-deepest, 1e-9))}  {deepest:.1%}",
    ]


def _thinned(values: "pl.Series", room: int) -> "np.ndarray[Any, Any]":
    """So many values of a longer row, the last of them the last."""
    numbers = values.to_numpy()
    at = np.linspace(0, len(numbers) - 1, min(room, len(numbers))).round().astype(int)
    return np.asarray(numbers[at])


def _blocks(values: "np.ndarray[Any, Any]", low: float, high: float) -> str:
    span = (high - low) or 1.0
    steps = np.clip(((values - low) / span * len(_BLOCKS)).astype(int), 0, len(_BLOCKS) - 1)
    return "".join(_BLOCKS[step] for step in steps)


def _parts(done: "Backtest") -> list["Table"]:
    made = []
    if done.by_hour.height:
        rows = [[f"{row['hour']:02d}", *_counted(row)] for row in done.by_hour.to_dicts()]
        made.append(
            _filled([f"hour, {done.zone.rpartition('/')[2].replace('_', ' ')}", *_COUNTED], rows, "by hour of entry")
        )
    else:
        rows = [[row["name"], *_counted(row)] for row in done.by_weekday.to_dicts()]
        made.append(_filled(["weekday", *_COUNTED], rows, "by weekday of entry"))
    reasons = [[row["reason"].replace("_", " "), *_counted(row)] for row in done.by_reason.to_dicts()]
    made.append(_filled(["ended by", *_COUNTED], reasons, "by what ended them"))
    both = done.by_regime.filter(done.by_regime["split"] != "both")
    regimes = [
        [row["regime"], f"{row['sessions']:,}", f"{row['return']:+.2%}", *_counted(row)] for row in both.to_dicts()
    ]
    made.append(_filled(["market", ">sessions", ">return", *_COUNTED], regimes, "by the market it began in"))
    if len(done.symbols) > 1:
        traded = done.by_symbol.filter(done.by_symbol["trades"] > 0).sort("pnl", "symbol", descending=[True, False])
        best = traded.head(_MOST_SYMBOLS).to_dicts()
        worst = traded.tail(max(0, min(_MOST_SYMBOLS, traded.height - _MOST_SYMBOLS))).to_dicts()
        rows = [[row["symbol"], *_counted(row)] for row in (*best, *worst)]
        made.append(_filled(["symbol", *_COUNTED], rows, f"best and worst of {traded.height:,}"))
    return made


_COUNTED: Final = (">trades", ">won", ">P&L")


def _counted(row: dict[str, Any]) -> list[str]:
    won = _DASH if row["win_rate"] is None else f"{row['win_rate']:.0%}"
    return [f"{row['trades']:,}", won, f"{row['pnl']:+,.0f}"]


def _filled(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> "Table":
    table = _table(columns, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _side_by_side(parts: Sequence["Table"]) -> Any:
    from rich.columns import Columns
    from rich.padding import Padding

    return Columns([Padding(part, (0, 4, 1, 0)) for part in parts])


def _notes(console: "Console", done: "Backtest") -> None:
    from rich.text import Text

    notes = done.notes
    for note in notes[:_MOST_NOTES]:
        console.print(Text(f"! {note}"))
    if len(notes) > _MOST_NOTES:
        console.print(Text(f"! and {len(notes) - _MOST_NOTES:,} more (--json has all)"))
