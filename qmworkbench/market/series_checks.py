"""What a symbol's own series gives away over many sessions: splits, spin-offs, foreign prices, shocks, gaps (§5).

No row is wrong by itself here, so nothing is kept aside: these are notes, for a person to act on before trading.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import polars as pl

from qmworkbench.market.findings import Finding, listed, note
from qmworkbench.market.grid import PRE_OPEN, REGULAR, Grid

# An open this far from the last close, as a ratio either way, is looked into.
_JUMP: Final = 1.45
# Splits there are: new shares for one old one, and how exactly the open must fit.
_RATIOS: Final = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0)
_SPLIT_FITS: Final = 0.03
# A jump and a later one that undoes it this exactly: what lies between are another instrument's prices.
_RETURN_FITS: Final = 0.10
_EXCURSION_SESSIONS: Final = 250
# A bar that moves this many times the symbol's usual (median) move, and this much at least, is a shock.
_SHOCK_TIMES: Final = 60.0
_SHOCK_LEAST: Final = 0.03
_NAMED: Final = 12
# Below this share of the bars there could be, a symbol is called thin.
_THIN: Final = 0.5


class Jump(msgspec.Struct, frozen=True, kw_only=True):
    """An open far from the close of the session before: `ratio` is open over close."""

    symbol: str
    date: str
    ratio: float

    def __str__(self) -> str:
        return f"{self.symbol} ×{self.ratio:.3g} on {self.date}"


class Series:
    """Gathers what batches of sifted rows say of each symbol's series; `findings` tells it at the end.

    Sessions must come in order. Memory grows with symbols × sessions, not with bars.
    """

    def __init__(self) -> None:
        self._days: list[pl.DataFrame] = []
        self._shocks: list[pl.DataFrame] = []
        self._early_last = 0
        self._early_other = 0
        self._expected = 0
        self._volume = 0.0

    def take(self, good: pl.DataFrame, grid: Grid, boundaries: Sequence[int], dates: Sequence[str]) -> None:
        """Take in good rows of `checks.Sifted`; `boundaries` and `dates` by session number."""
        regular = good.filter(pl.col("part") == REGULAR)
        early = good.filter(pl.col("part") == PRE_OPEN)["slot"]
        last_minute = int((early >= -1).sum())
        self._early_last += last_minute
        self._early_other += len(early) - last_minute
        if regular.is_empty():
            return
        self._volume += float(regular["volume"].sum())
        days = regular.group_by("symbol", "session_no", maintain_order=True).agg(
            open=pl.col("open").first(),
            close=pl.col("close").last(),
            bars=pl.len(),
        )
        dated = pl.Series("date", [dates[k] for k in days["session_no"]], dtype=pl.String)
        of_day = pl.Series("boundaries", [boundaries[k] for k in days["session_no"]], dtype=pl.Int64)
        self._days.append(days.drop("session_no").with_columns(dated, of_day))
        self._take_shocks(regular)

    def _take_shocks(self, regular: pl.DataFrame) -> None:
        """Bars that moved far from the bar before in the same session, the first bar against its own open."""
        key = ["symbol", "session_no"]
        before = pl.coalesce(pl.col("close").shift(1).over(key), pl.col("open"))
        moved = regular.select("symbol", "ts", move=(pl.col("close") / before).log())
        usual = moved.group_by("symbol").agg(usual=pl.col("move").abs().median())
        far = moved.join(usual, on="symbol").filter(
            (pl.col("move").abs() >= np.log1p(_SHOCK_LEAST)) & (pl.col("move").abs() > _SHOCK_TIMES * pl.col("usual"))
        )
        self._shocks.append(far.select("symbol", "ts", "move").sort(pl.col("move").abs(), descending=True).head(_NAMED))

    def findings(self, file: str, *, quotes: bool) -> list[Finding]:
        """Everything found, most telling first. `quotes`: the file has bid and ask or a spread."""
        if not self._days:
            return []
        days = pl.concat(self._days).sort("symbol", "date")
        return [
            *_jumps(days, file),
            *self._shocked(file),
            *self._cross(file),
            *_thin(days, file),
            *self._bare(file, quotes=quotes),
        ]

    def _shocked(self, file: str) -> list[Finding]:
        shocks = pl.concat(self._shocks).sort(pl.col("move").abs(), descending=True).head(_NAMED)
        if shocks.is_empty():
            return []
        named = [f"{symbol} {np.expm1(move):+.1%} at {ts:%Y-%m-%d %H:%M} UTC" for symbol, ts, move in shocks.rows()]
        message = f"single bars moved many times further than usual: {listed(named)}."
        remedy = "Look at them: real shocks gap through stops, and prints that never were stop you out for nothing."
        return [note("price_shock", message, file, sample=named[:_NAMED], remedy=remedy)]

    def _cross(self, file: str) -> list[Finding]:
        sessions = pl.concat(self._days)["date"].n_unique()
        # A stray print is no cross: that is there day after day.
        if self._early_last < sessions or self._early_other > self._early_last // 10:
            return []
        message = (
            "the only bars before the open lie in the last interval before it: they hold the opening cross, which no "
            "order of ours could have joined. They count as prints before the open and are never matched."
        )
        return [note("opening_cross", message, file, rows=self._early_last)]

    def _bare(self, file: str, *, quotes: bool) -> list[Finding]:
        found = []
        if not self._volume:
            message = "every volume is zero: relative volume, VWAP and participation mean nothing here."
            found.append(note("no_volume", message, file))
        if not quotes:
            message = "there are no quotes: spreads are unknown, and costs are the venue model's assumption."
            found.append(note("no_quotes", message, file))
        return found


def _jumps(days: pl.DataFrame, file: str) -> list[Finding]:
    """Opens far from the last close, told apart: prices of something else, splits, and what is neither."""
    before = pl.col("close").shift(1).over("symbol")
    far = days.select("symbol", "date", ratio=pl.col("open") / before).filter(
        (pl.col("ratio") > _JUMP) | (pl.col("ratio") < 1 / _JUMP)
    )
    jumps = [Jump(symbol=symbol, date=date, ratio=ratio) for symbol, date, ratio in far.rows()]
    excursions, rest = _excursions(jumps, days)
    splits = [jump for jump in rest if _is_split(jump.ratio)]
    others = [jump for jump in rest if not _is_split(jump.ratio)]
    found = []
    if excursions:
        message = (
            f"{len(excursions)} times a series leaves its price level and comes back to it, so the prices between are "
            f"most likely another instrument's: {listed(excursions, 10)}."
        )
        remedy = "Do not trade or test on these days; fetch them again from another source."
        found.append(note("foreign_prices", message, file, sample=excursions[:_NAMED], remedy=remedy))
    if splits:
        named = [f"{jump} (looks like {_split_name(jump.ratio)})" for jump in splits]
        message = f"{len(named)} opens fit a split that the prices do not know of: {listed(named, 10)}."
        remedy = "Give the splits as corporate actions (data.actions), or adjust the prices before them."
        found.append(note("split_suspect", message, file, sample=named[:_NAMED], remedy=remedy))
    if others:
        named = [str(jump) for jump in others]
        message = f"{len(named)} opens lie far from the last close and fit no split: {listed(named, 10)}."
        remedy = "News, or a spin-off whose value left the price: a spin-off belongs into the corporate actions."
        found.append(note("price_jump", message, file, sample=named[:_NAMED], remedy=remedy))
    return found


def _excursions(jumps: Sequence[Jump], days: pl.DataFrame) -> tuple[list[str], list[Jump]]:
    """Pairs of jumps that undo each other, as phrases, and the jumps that are in none."""
    numbers: dict[tuple[str, str], int] = {}
    said: list[str] = []
    rest: list[Jump] = []
    if jumps:
        names = sorted({jump.symbol for jump in jumps})
        counted = days.filter(pl.col("symbol").is_in(names)).with_columns(n=pl.int_range(pl.len()).over("symbol"))
        numbers = {(symbol, date): n for symbol, date, n in counted.select("symbol", "date", "n").rows()}
    waiting: Jump | None = None
    for jump in jumps:
        if waiting is not None and _undoes(waiting, jump, numbers):
            said.append(f"{waiting.symbol} ×{waiting.ratio:.3g} from {waiting.date} until {jump.date}")
            waiting = None
            continue
        if waiting is not None:
            rest.append(waiting)
        waiting = jump
    return said, [*rest, waiting] if waiting is not None else rest


def _undoes(first: Jump, second: Jump, numbers: dict[tuple[str, str], int]) -> bool:
    if first.symbol != second.symbol:
        return False
    apart = numbers[second.symbol, second.date] - numbers[first.symbol, first.date]
    return apart <= _EXCURSION_SESSIONS and abs(first.ratio * second.ratio - 1) <= _RETURN_FITS


def _nearest_split(ratio: float) -> float:
    """The split whose effect on the price comes nearest: above 1 for new shares given, below 1 for shares merged."""
    given = 1 / ratio
    steps = [*_RATIOS, *(1 / r for r in _RATIOS)]
    return min(steps, key=lambda step: abs(np.log(given / step)))


def _is_split(ratio: float) -> bool:
    return abs(float(np.log(1 / ratio / _nearest_split(ratio)))) <= _SPLIT_FITS


def _split_name(ratio: float) -> str:
    split = _nearest_split(ratio)
    if split == 1.5:
        return "3 for 2"
    return f"{split:g} for 1" if split > 1 else f"1 for {1 / split:g}"


def _thin(days: pl.DataFrame, file: str) -> list[Finding]:
    """How much of what could have traded did: a missing bar means no trade."""
    expected, held = int(days["boundaries"].sum()), int(days["bars"].sum())
    if days["boundaries"].max() == 1 or held >= expected:
        return []
    by_symbol = days.group_by("symbol").agg(share=pl.col("bars").sum() / pl.col("boundaries").sum()).sort("symbol")
    thin = by_symbol.filter(pl.col("share") < _THIN).sort("share", "symbol")
    named = [f"{symbol} {share:.0%}" for symbol, share in thin.rows()]
    message = f"{1 - held / expected:.1%} of the bars that could be there are not: no trade in these intervals"
    message += f"; {len(named)} symbols traded in under half of theirs: {listed(named)}." if named else "."
    return [note("missing_bars", message, file, rows=expected - held, sample=named[:_NAMED])]
