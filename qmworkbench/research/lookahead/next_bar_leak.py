"""Does a column know the next bar? Told from its values alone, whatever they were computed with (§3).

Taking bars away or exchanging them finds what is computed from later bars. It cannot find a table of values that was
prepared with them, or bars that were joined a minute early. Here each column is held against the bar that follows, and
against controls in which that bar is another of the same session: what it shows beyond them it can only have seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.strategies.bars import BARS_SCHEMA, KEYS
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.examination import OUTCOME, Examination, Finding
from qmworkbench.strategies.parameters import Params

SEED: Final = 20180316
_CONTROLS: Final = 8
_LEAST_ROWS: Final = 100
_LEAST_FLAGS: Final = 12
# Beyond the best control: a share of equal values, and a correlation, that no rule over known bars has shown.
_EQUAL_MARGIN: Final = 0.10
_CORRELATION_MARGIN: Final = 0.25
_CHANCE: Final = 1e-9
_PRICES: Final = ("open", "high", "low", "close")

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Bars:
    """Rows that have a next bar in their session, what that brought, and the same of other rows of the session.

    `others` hold for each control the row whose next bar stands in for one's own. `known` is what anybody knows at the
    close: the last return, the bar's own, and the close's place in its range. A correlation must beat all three.
    """

    table: pl.DataFrame
    close: Floats
    tick: Floats
    next_px: dict[str, Floats]
    next_volume: Floats
    others: tuple[Index, ...]
    known: tuple[Floats, ...]

    @property
    def returns(self) -> Floats:
        return self.next_px["close"] / self.close - 1


def next_bar_leak(
    definition: StrategyDefinition, said: pl.DataFrame, columns: Sequence[str], params: Params, seed: int = SEED
) -> Examination:
    """Hold every column against the next bar of its session, and against controls.

    `said` is what `examination.told` answers, of any symbols and sessions; `columns` are those to look at, causes
    before effects. A column is at fault where it equals the next bar's price or volume more often than chance has it,
    where it goes with the next return far more closely than what is known at the close, and, for a flag, where the next
    bar goes the same way after nearly each of its rows.
    """
    bars = _laid_out(said, seed)
    names = [one for one in (*columns, *OUTCOME) if one in said.columns and one not in (*KEYS, *BARS_SCHEMA)]
    findings = [found for name in dict.fromkeys(names) if (found := _looked_at(bars, name)) is not None]
    return Examination(
        check="next-bar leak",
        strategy_id=definition.strategy_id,
        params_hash=definition.hash(params),
        symbols=said["symbol"].n_unique(),
        comparisons=len(set(names)),
        rows=len(bars.table),
        findings=tuple(findings),
    )


def _laid_out(said: pl.DataFrame, seed: int) -> _Bars:
    group = ["symbol", "session"]
    later = [pl.col(name).shift(-1).over(group).alias(f"next_{name}") for name in (*_PRICES, "volume")]
    before = pl.col("close").shift(1).over(group).alias("close_before")
    laid = said.with_columns(*later, before).filter(pl.col("next_close").is_not_null())
    px = {name: laid[f"next_{name}"].to_numpy() for name in _PRICES}
    high, low, close = (laid[name].to_numpy() for name in ("high", "low", "close"))
    before_px = laid["close_before"].fill_null(laid["close"]).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.where(high > low, (close - low) / (high - low), 0.5)
    known = (close / before_px - 1, close / laid["open"].to_numpy() - 1, place)
    return _Bars(
        table=laid,
        close=close,
        tick=laid["tick"].to_numpy(),
        next_px=px,
        next_volume=laid["next_volume"].to_numpy(),
        others=_others(laid.select(pl.struct(group).rle_id())["symbol"].to_numpy(), seed),
        known=known,
    )


def _others(of: npt.NDArray[np.uint32], seed: int) -> tuple[Index, ...]:
    """For each control: each row's stand-in, another row of the same symbol's session (itself where it is alone)."""
    chance = np.random.default_rng(seed)
    starts = np.flatnonzero(np.diff(of, prepend=of[:1] + 1)) if len(of) else np.empty(0, dtype=np.int64)
    lengths = np.diff(np.append(starts, len(of)))
    controls = []
    for _ in range(_CONTROLS):
        control = np.arange(len(of), dtype=np.int64)
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            # A turn of the session's rows by a random step: nobody keeps his own, and the run of values stays.
            step = int(chance.integers(1, length)) if length > 1 else 0
            control[start : start + length] = start + (np.arange(length) + step) % length
        controls.append(control)
    return tuple(controls)


def _looked_at(bars: _Bars, name: str) -> Finding | None:
    series = bars.table[name]
    if series.dtype == pl.Boolean:
        return _foretells(bars, name, series.fill_null(False).to_numpy())
    if not series.dtype.is_numeric() or series.dtype.is_integer():
        return None
    values = series.cast(pl.Float64).fill_null(np.nan).to_numpy()
    there = np.isfinite(values)
    if there.sum() < _LEAST_ROWS:
        return None
    return _equals(bars, name, values, there) or _goes_with(bars, name, values, there)


def _equals(bars: _Bars, name: str, values: Floats, there: Bools) -> Finding | None:
    """Whether the column is the next bar's price or volume, more often than another bar's would be."""
    for what, real, controls in _next_values(bars):
        near = 1e-6 * bars.tick
        share = float((np.abs(values - real) <= near)[there].mean())
        chance = max(float((np.abs(values - other) <= near)[there].mean()) for other in controls)
        if share > chance + _EQUAL_MARGIN:
            rows = there & (np.abs(values - real) <= near) & ~(np.abs(values - bars.close) <= near)
            return _finding(
                bars,
                name,
                rows if rows.any() else there,
                f"equal to it in at most {chance:.1%} of bars where that bar is another",
                f"equal to it in {share:.1%} of {int(there.sum()):,} bars",
                f"the next bar's {what}",
            )
    return None


def _next_values(bars: _Bars) -> Iterator[tuple[str, Floats, list[Floats]]]:
    """What the next bar is, and what it would be if it were another's: prices as moves from this bar's close."""
    for what, px in bars.next_px.items():
        move = px / bars.close
        yield what, px, [np.round(bars.close * move[other] / bars.tick) * bars.tick for other in bars.others]
    yield "volume", bars.next_volume, [bars.next_volume[other] for other in bars.others]
    returns = bars.returns
    yield "return", np.where(np.abs(returns) > 0, returns, np.inf), [returns[other] for other in bars.others]


def _goes_with(bars: _Bars, name: str, values: Floats, there: Bools) -> Finding | None:
    """Whether the column goes with the next return, far closer than anything known at the close and any control."""
    target = _ranked(bars.returns[there])
    tries = {"itself": values, "its distance from the close": values / bars.close - 1}
    known = max(abs(_correlation(_ranked(one[there]), target)) for one in bars.known)
    for how, tried in tries.items():
        ranks = _ranked(tried[there])
        found = _correlation(ranks, target)
        chance = max(abs(_correlation(ranks, _ranked(bars.returns[other][there]))) for other in bars.others)
        if abs(found) > max(known, chance) + _CORRELATION_MARGIN:
            return _finding(
                bars,
                name,
                there,
                f"a rank correlation of at most {max(known, chance):.2f}, from shuffled bars and from what is known",
                f"one of {found:.2f} over {int(there.sum()):,} bars ({how})",
                "the next bar's return",
            )
    return None


def _foretells(bars: _Bars, name: str, flag: Bools) -> Finding | None:
    """Whether nearly all bars after a flag go one way, beyond what the last bar's direction tells."""
    moved = bars.returns != 0
    rows = flag & moved
    count = int(rows.sum())
    if count < _LEAST_FLAGS or flag.all():
        return None
    up = bars.returns > 0
    rose = int(up[rows].sum())
    way, hits = ("up", rose) if rose * 2 >= count else ("down", count - rose)
    went = up if way == "up" else ~up
    base = max(
        [float(went[moved].mean()), *(_share(went, moved & side) for one in bars.known for side in (one > 0, one < 0))]
    )
    share = hits / count
    if share <= base or _chance_of(share, base, count) > _CHANCE:
        return None
    return _finding(
        bars,
        name,
        rows,
        f"{base:.0%} at most after what is known at the close",
        f"{share:.0%} of {count:,} bars that followed it went {way}",
        "the next bar's direction",
    )


def _share(went: Bools, among: Bools) -> float:
    return float(went[among].mean()) if int(among.sum()) >= _LEAST_FLAGS else 0.0


def _chance_of(share: float, base: float, count: int) -> float:
    """An upper bound of the chance of such a share or more where each has chance `base` (Chernoff)."""
    base = min(max(base, 1e-6), 1 - 1e-6)
    distance = share * np.log(share / base) if share > 0 else 0.0
    if share < 1:
        distance += (1 - share) * np.log((1 - share) / (1 - base))
    return float(np.exp(-count * distance))


def _ranked(values: Floats) -> Floats:
    return pl.Series(values).fill_nan(None).rank().fill_null(0.0).to_numpy()


def _correlation(one: Floats, other: Floats) -> float:
    left, right = one - one.mean(), other - other.mean()
    size = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum()) / size if size > 0 else 0.0


def _finding(bars: _Bars, name: str, rows: Bools, before: str, after: str, what: str) -> Finding:
    first = int(np.flatnonzero(rows)[0])
    return Finding(
        column=name,
        symbol=bars.table["symbol"][first],
        ts=bars.table["ts"][first],
        before=before,
        after=after,
        bars=what,
    )
