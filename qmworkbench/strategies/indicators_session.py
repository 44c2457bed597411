"""Indicators that stand on the session's own course: its open, its high and when, events and what came since (§9).

As in `indicators`, each has one implementation and a name that tells all of it. An event is kept as the number of the
row it happened in, ungrouped and forward-filled; a row of another symbol or an earlier session is told by lying
farther back than the session's first row, and is then no event at all.
"""

import polars as pl

from qmworkbench.strategies.indicators import (
    SESSION,
    Indicator,
    Source,
    derived,
    prior_high,
    prior_low,
    session_high,
    session_volume,
    since,
)

_FIRST_ROW = pl.col.i_index - pl.col.i_pos


def session_open() -> Indicator:
    """The first traded price of the session."""
    return derived("i_session_open", pl.col.open.gather(_FIRST_ROW))


# ── the last bars, all of this session ────────────────────────────────────────────────────────────────────────────────


def recent_high(n: int) -> Indicator:
    """Highest high of the n bars before this one; null until the session has had so many."""
    top = prior_high(n)
    return derived(f"i_recent_high_{n}", pl.when(since(n, SESSION)).then(top.col), top)


def recent_low(n: int, ago: int = 0) -> Indicator:
    """Lowest low of the n bars before this one, or before the bar `ago` bars back; null until there are so many."""
    bottom = prior_low(n)
    if not ago:
        return derived(f"i_recent_low_{n}", pl.when(since(n, SESSION)).then(bottom.col), bottom)
    low = pl.when(since(n + ago, SESSION)).then(bottom.col.shift(ago))
    return derived(f"i_recent_low_{n}_ago_{ago}", low, bottom)


def volume_over_recent(n: int) -> Indicator:
    """This bar's volume over the mean of the n bars before it.

    Null until the session has had a bar more than that, and where those n traded nothing.
    """
    volume = session_volume()
    before = volume.col - pl.col.volume - volume.col.shift(n + 1)
    mean = derived(f"i_recent_volume_{n}", pl.when(since(n + 1, SESSION)).then(before / n), volume)
    return derived(f"i_volume_over_recent_{n}", pl.when(mean.col > 0).then(pl.col.volume / mean.col), mean)


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def last_row(name: str, flag: pl.Expr, *inputs: Source) -> Indicator:
    """The row in which `flag` was last true in the session, this one included; null if it was not yet."""
    anywhere = derived(f"{name}_anywhere", pl.when(flag).then(pl.col.i_index).forward_fill(), *inputs)
    mine = pl.col.i_index - anywhere.col <= pl.col.i_pos
    return derived(name, pl.when(mine).then(anywhere.col), anywhere)


def at_row(name: str, source: Source, row: Indicator) -> Indicator:
    """What `source` was in that row; null where there is none."""
    column = pl.col(source) if isinstance(source, str) else source.col
    return derived(name, column.gather(row.col), row, source)


def armed(name: str, starts: pl.Expr, ends: pl.Expr, *inputs: Source) -> Indicator:
    """The row of the session in which `starts` was last true before this bar, unless `ends` was true since.

    Null if it was not, or has ended. A bar in which both are true ends.
    """
    last = pl.when(ends).then(-1).when(starts).then(pl.col.i_index).forward_fill()
    before = derived(f"{name}_before", last.shift(1), *inputs)
    return derived(name, pl.when(before.col >= _FIRST_ROW).then(before.col), before)


# ── the session's high ────────────────────────────────────────────────────────────────────────────────────────────────


def prior_session_high() -> Indicator:
    """Highest high of the session before this bar; null in its first bar."""
    high = session_high()
    return derived("i_prior_session_high", pl.when(since(1, SESSION)).then(high.col.shift(1)), high)


def high_row() -> Indicator:
    """The row of the session's high: the last that went above all before it. Meeting the high again is no new one."""
    before = prior_session_high()
    return last_row("i_high_row", (pl.col.high > before.col).fill_null(True), before)


def prior_high_row() -> Indicator:
    """The row of the session's high before this bar; null in its first bar."""
    row = high_row()
    return derived("i_prior_high_row", pl.when(since(1, SESSION)).then(row.col.shift(1)), row)


def volume_to_high() -> Indicator:
    """Mean volume a boundary from the open to the bar of the session's high, which counts."""
    traded, bar = _at_high()
    return derived("i_mean_volume_to_high", traded.col / (bar.col + 1), traded, bar)


def volume_since_high() -> Indicator:
    """Mean volume a boundary between the bar of the session's high and this one, neither counted.

    Null in the bar of the high and at the boundary after it.
    """
    (traded, bar), volume = _at_high(), session_volume()
    between = pl.col.bar - bar.col - 1
    mean = pl.when(between > 0).then((volume.col - pl.col.volume - traded.col) / between)
    return derived("i_mean_volume_since_high", mean, traded, bar, volume)


def _at_high() -> tuple[Indicator, Indicator]:
    """The session's volume up to the bar of its high, and that bar's number."""
    row = high_row()
    return at_row("i_volume_at_high", session_volume(), row), at_row("i_bar_at_high", "bar", row)
