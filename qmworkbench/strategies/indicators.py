"""Indicators, one implementation each, as stages of polars expressions over prepared bars (§9; DESIGN "Numbers").

Every strategy, notebook and sweep takes an indicator from here, so none is derived twice; within a frame a column of
the same name is computed once and shared. An indicator reads the row itself and rows before it, never after: the range
of the first n bars is a running extreme over masked rows. There are two kinds:

* windows over the last n bars a symbol traded, of highs, lows or exact integer sums. They do not depend on where the
  frame starts: any history long enough gives the same bits.
* running and recursive ones (session totals, Wilder, exponential). They depend on where they start and are therefore
  anchored there: the session's first bar, or the frame's first bar of the symbol.

A row without enough bars behind it is null. Prices in currency, `n` in bars. Windows are ungrouped and masked by the
row's position where that is exact: grouping costs ten times as much.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

Stages = Sequence[Sequence[pl.Expr]]
"""Named columns in the order they build on each other: a later stage may read an earlier one's columns."""

SYMBOL: Final = "symbol"
SESSION: Final = "session"
_KEY: Final = {SYMBOL: "i_symbol", SESSION: "i_day"}
_POSITION: Final = {SYMBOL: "i_row", SESSION: "i_pos"}
# Exact sums count prices in units of 1e-8, the finest price the platform keeps (domain.numbers.decimal_of).
_UNITS: Final = 1e8
# Farther out than any price: what stands where there is none yet. Infinity would do, but an expression cannot tell it.
_NO_PRICE: Final = 1e300


class Indicator(NamedTuple):
    """A named column and all it builds on. Its name says indicator and parameters, and alone tells what is the same."""

    name: str
    stages: Stages

    @property
    def col(self) -> pl.Expr:
        """The column, for stages after this indicator's and for rules."""
        return pl.col(self.name)


Source = str | Indicator
"""What an indicator is taken of: a bars column, or another indicator."""


def stacked(*indicators: Indicator) -> Stages:
    """The stages of several indicators side by side, each column once."""
    depth = max((len(indicator.stages) for indicator in indicators), default=0)
    seen: set[str] = set()
    stages: list[list[pl.Expr]] = []
    for level in range(depth):
        stage: list[pl.Expr] = []
        for indicator in indicators:
            for expr in indicator.stages[level] if level < len(indicator.stages) else ():
                name = expr.meta.output_name()
                if name not in seen:
                    seen.add(name)
                    stage.append(expr)
        stages.append(stage)
    return [stage for stage in stages if stage]


def derived(name: str, expr: pl.Expr, *inputs: Source) -> Indicator:
    """An indicator computed by `expr` from bars and the columns of `inputs`."""
    below = stacked(*(source for source in inputs if isinstance(source, Indicator)))
    return Indicator(name, (*below, (expr.alias(name),)))


def _name(source: Source) -> str:
    return source if isinstance(source, str) else source.name.removeprefix("i_")


def _col(source: Source) -> pl.Expr:
    return pl.col(source) if isinstance(source, str) else source.col


def since(n: int, over: str = SYMBOL) -> pl.Expr:
    """Whether the frame holds at least `n` earlier bars of the symbol, or of its session."""
    return pl.col(_POSITION[over]) >= n


# ── windows ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _extreme(source: str, n: int, *, top: bool) -> Indicator:
    """The extreme of the last n rows, whatever symbol they are of. Only rows with n bars of their own may be read.

    Put together from windows of a quarter of the length, so that windows of several lengths share most of the work.
    """
    either, nothing = (pl.max_horizontal, -_NO_PRICE) if top else (pl.min_horizontal, _NO_PRICE)
    part = 1
    while part * 4 < n:
        part *= 4
    below: Source = source if part == 1 else _extreme(source, part, top=top)
    starts = sorted({min(start, n - part) for start in range(0, n, part)})
    pieces = [_col(below).shift(start, fill_value=nothing) if start else _col(below) for start in starts]
    return derived(f"i_{'highest' if top else 'lowest'}_{source}_{n}", either(pieces), below)


def donchian_high(n: int) -> Indicator:
    """Top of the Donchian channel: the highest high of the n bars up to and including this one."""
    window = _extreme("high", n, top=True)
    return derived(f"i_donchian_high_{n}", pl.when(since(n - 1)).then(window.col), window)


def donchian_low(n: int) -> Indicator:
    """Bottom of the Donchian channel: the lowest low of the n bars up to and including this one."""
    window = _extreme("low", n, top=False)
    return derived(f"i_donchian_low_{n}", pl.when(since(n - 1)).then(window.col), window)


def prior_high(n: int) -> Indicator:
    """Top of the channel of the n bars before this one: what a breakout must close above."""
    window = _extreme("high", n, top=True)
    return derived(f"i_prior_high_{n}", pl.when(since(n)).then(window.col.shift(1)), window)


def prior_low(n: int) -> Indicator:
    """Bottom of the channel of the n bars before this one."""
    window = _extreme("low", n, top=False)
    return derived(f"i_prior_low_{n}", pl.when(since(n)).then(window.col.shift(1)), window)


def _exact_mean(total: Indicator, n: int) -> pl.Expr:
    """The mean of the last n values from their running total in units: a difference of integers, exact anywhere."""
    return (total.col - total.col.shift(n, fill_value=0)) / (n * _UNITS)


def _running_units(name: str, px: pl.Expr, *inputs: Source) -> Indicator:
    return derived(name, (px * _UNITS).round().cast(pl.Int64).cum_sum(), *inputs)


def sma(source: str, n: int, over: str = SYMBOL) -> Indicator:
    """Simple moving average from exact window sums: equal windows give equal averages, so crosses see true ties."""
    total = _running_units(f"i_total_{source}", pl.col(source))
    return derived(f"i_sma_{source}_{n}_{over}", pl.when(since(n - 1, over)).then(_exact_mean(total, n)), total)


def sma_gap(source: str, fast: int, slow: int, over: str = SYMBOL) -> Indicator:
    """By how much the SMA of `fast` values exceeds that of `slow`, times fast × slow, in whole units of 1e-8.

    Its sign tells which average is higher, and 0 is a true tie: window sums are integers and multiplied crosswise, so
    nothing is rounded. The product stays exact while the averages are less than 92,000,000,000 / (fast × slow) apart.
    """
    total = _running_units(f"i_total_{source}", pl.col(source))
    few, many = (total.col - total.col.shift(n, fill_value=0) for n in (fast, slow))
    gap = pl.when(since(max(fast, slow) - 1, over)).then(few * slow - many * fast)
    return derived(f"i_sma_gap_{source}_{fast}_{slow}_{over}", gap, total)


def relative_ma(source: str, n: int, over: str = SYMBOL) -> Indicator:
    """Relative moving average: SMA over 3n, less that over 2n, plus that over n bars."""
    long, middle, short = sma(source, 3 * n, over), sma(source, 2 * n, over), sma(source, n, over)
    return derived(f"i_rma_{source}_{n}_{over}", long.col - middle.col + short.col, long, middle, short)


def true_range(over: str = SYMBOL) -> Indicator:
    """Wilder's true range; the first bar of the symbol (or session) has no close before it and counts high less low."""
    # On the first bar its own high stands in for the close before: the range then is high less low, and no null
    # slows the extremes down (to a quarter of their speed).
    from_px = pl.when(since(1, over)).then(pl.col.close.shift(1, fill_value=0.0)).otherwise(pl.col.high)
    start = derived(f"i_range_from_{over}", from_px)
    reach = pl.max_horizontal(pl.col.high, start.col) - pl.min_horizontal(pl.col.low, start.col)
    return derived(f"i_true_range_{over}", reach, start)


def atr_mean(n: int, over: str = SYMBOL) -> Indicator:
    """Average true range as a plain mean of the last n ranges: finite memory, the same bits from any anchor.

    Over the symbol it needs n bars before this one, for the first range's previous close.
    """
    ranges = true_range(over)
    total = _running_units(f"i_total_true_range_{over}", ranges.col, ranges)
    ready = since(n if over == SYMBOL else n - 1, over)
    return derived(f"i_atr_mean_{n}_{over}", pl.when(ready).then(_exact_mean(total, n)), total)


def bollinger(source: str, n: int, width: float, over: str = SYMBOL) -> tuple[Indicator, Indicator]:
    """Lower and upper band: SMA less and plus `width` population standard deviations. Anchored."""
    middle = sma(source, n, over)
    spread = derived(f"i_std_{source}_{n}_{over}", pl.col(source).rolling_std(n, ddof=0).over(_KEY[over]))
    label = f"{source}_{n}_{width:g}_{over}"
    return (
        derived(f"i_bollinger_low_{label}", middle.col - width * spread.col, middle, spread),
        derived(f"i_bollinger_high_{label}", middle.col + width * spread.col, middle, spread),
    )


# ── running through the session ───────────────────────────────────────────────────────────────────────────────────────


def _volume(over: str) -> Indicator:
    return derived(f"i_volume_{over}", pl.col.volume.cum_sum().over(_KEY[over]))


def _turnover(over: str) -> Indicator:
    """Running worth of what was traded: each bar's volume at the mean of its open, high, low and close."""
    worth = (pl.col.open + pl.col.high + pl.col.low + pl.col.close) / 4 * pl.col.volume
    return derived(f"i_turnover_{over}", worth.cum_sum().over(_KEY[over]))


def session_volume() -> Indicator:
    """Volume of the session so far, this bar included."""
    return _volume(SESSION)


def session_turnover() -> Indicator:
    """Worth traded in the session so far, this bar included, in the instrument's currency."""
    return _turnover(SESSION)


def session_vwap() -> Indicator:
    """The session's volume-weighted average price so far; null until something traded."""
    turnover, volume = session_turnover(), session_volume()
    return derived("i_session_vwap", pl.when(volume.col > 0).then(turnover.col / volume.col), turnover, volume)


def moving_vwap(n: int, over: str = SYMBOL) -> Indicator:
    """Volume-weighted average price of the last n bars, from running totals. Anchored; null where nothing traded."""
    totals = _turnover(over), _volume(over)
    money, traded = (total.col - pl.when(since(n, over)).then(total.col.shift(n)).otherwise(0.0) for total in totals)
    price = pl.when(since(n - 1, over) & (traded > 0)).then(money / traded)
    return derived(f"i_moving_vwap_{n}_{over}", price, *totals)


def relative_bar_volume() -> Indicator:
    """This bar's volume over the session's mean volume per boundary before it; minutes without a trade count as zero.

    Null on the session's first boundary and while nothing has traded.
    """
    volume = session_volume()
    before = volume.col - pl.col.volume
    return derived("i_relative_bar_volume", pl.when(before > 0).then(pl.col.volume * pl.col.bar / before), volume)


def session_high() -> Indicator:
    """Highest high of the session so far."""
    return derived("i_session_high", pl.col.high.cum_max().over(_KEY[SESSION]))


def session_low() -> Indicator:
    """Lowest low of the session so far."""
    return derived("i_session_low", pl.col.low.cum_min().over(_KEY[SESSION]))


def opening_range_high(n: int) -> Indicator:
    """Highest high of the session's first n boundaries, null until they have passed.

    Boundaries, not rows: minutes without a trade count. Null for a symbol that did not trade in them.
    """
    nothing = -_NO_PRICE
    masked = pl.when(pl.col.bar < n).then(pl.col.high).otherwise(nothing)
    so_far = derived(f"i_opening_high_{n}_so_far", masked.cum_max().over(_KEY[SESSION]))
    known = (pl.col.bar >= n - 1) & (so_far.col > nothing)
    return derived(f"i_opening_high_{n}", pl.when(known).then(so_far.col), so_far)


def opening_range_low(n: int) -> Indicator:
    """Lowest low of the session's first n boundaries; as `opening_range_high`."""
    nothing = _NO_PRICE
    masked = pl.when(pl.col.bar < n).then(pl.col.low).otherwise(nothing)
    so_far = derived(f"i_opening_low_{n}_so_far", masked.cum_min().over(_KEY[SESSION]))
    known = (pl.col.bar >= n - 1) & (so_far.col < nothing)
    return derived(f"i_opening_low_{n}", pl.when(known).then(so_far.col), so_far)


# ── recursive ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _smoothed(name: str, source: Source, n: int, weight: float, over: str, first: int) -> Indicator:
    """y += weight * (x - y), started by the mean of the n values from position `first` on, before which are none."""
    position, value, start = pl.col(_POSITION[over]), _col(source), first + n - 1
    # A running total that skips nulls holds those n values alone where it is read.
    total = derived(f"{name}_total", value.cum_sum().over(_KEY[over]), source)
    seeded = pl.when(position == start).then(total.col / n).when(position > start).then(value)
    seed = derived(f"{name}_seeded", seeded, total)
    return derived(name, seed.col.ewm_mean(alpha=weight, adjust=False, ignore_nulls=True).over(_KEY[over]), seed)


def wilder(source: Source, n: int, over: str = SYMBOL, first: int = 0) -> Indicator:
    """Wilder's moving average: weight 1/n, started by the mean of the first n values. Anchored.

    `first` is the position of the source's first value, for sources that are null before.
    """
    return _smoothed(f"i_wilder_{_name(source)}_{n}_{over}", source, n, 1 / n, over, first)


def ema(source: Source, n: int, over: str = SYMBOL, first: int = 0) -> Indicator:
    """Exponential moving average: weight 2/(n+1), started by the mean of the first n values. Anchored."""
    return _smoothed(f"i_ema_{_name(source)}_{n}_{over}", source, n, 2 / (n + 1), over, first)


def atr_wilder(n: int, over: str = SYMBOL) -> Indicator:
    """Average true range as Wilder smoothed it, from the first bar's range on. Anchored."""
    return wilder(true_range(over), n, over)


def rsi(source: str, n: int, over: str = SYMBOL) -> Indicator:
    """Relative strength index after Wilder, 0 to 100; 100 where nothing fell, 50 where nothing moved. Anchored."""
    change = derived(
        f"i_change_{source}_{over}", pl.when(since(1, over)).then(pl.col(source) - pl.col(source).shift(1))
    )
    up = derived(f"i_gain_{source}_{over}", change.col.clip(lower_bound=0.0), change)
    down = derived(f"i_loss_{source}_{over}", (-change.col).clip(lower_bound=0.0), change)
    gain, loss = wilder(up, n, over, first=1), wilder(down, n, over, first=1)
    moved = gain.col + loss.col
    index = pl.when(moved > 0).then(100 * gain.col / moved).when(moved == 0).then(50.0)
    return derived(f"i_rsi_{source}_{n}_{over}", index, gain, loss)


def macd(source: str, fast: int, slow: int, signal: int, over: str = SYMBOL) -> tuple[Indicator, Indicator]:
    """MACD line, fast less slow EMA, and its signal line, an EMA of the line. Anchored."""
    quick, lazy = ema(source, fast, over), ema(source, slow, over)
    line = derived(f"i_macd_{source}_{fast}_{slow}_{over}", quick.col - lazy.col, quick, lazy)
    return line, ema(line, signal, over, first=slow - 1)
