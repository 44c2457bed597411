"""How far do indicators and signals change as the history before a session grows? (§3; DESIGN "Numbers")

A strategy declares its anchor: how much history it is computed from. With more than that nothing it says may change;
an average that remembers everything does, and this says which one and by how much.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
import numpy as np
import polars as pl

from qmworkbench.strategies.bars import KEYS, SessionGrid, anchored
from qmworkbench.strategies.definition import Anchor, Program, StrategyDefinition
from qmworkbench.strategies.examination import OUTCOME, Examination, Finding, Tally, told
from qmworkbench.strategies.one_pass import reached
from qmworkbench.strategies.parameters import Params

# Below this share of its own size a difference is the rounding of a float, not another history.
_ROUNDING: Final = 1e-12
_SHORTER: Final = (0.25, 0.5)
_MORE_SESSIONS: Final = (1, 2, 3)


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column changed between a history and the longest there is, in the last session.

    `history` is what was loaded before the session, in words; `declared` whether it was the anchor's own, or more.
    `rows` of `of` rows differ. `largest` is the largest difference in the column's own unit, `largest_bps` relative to
    the longest history's value; both None for flags and for values there are in one of the two alone. The first
    difference is that of `symbol` at `ts`.
    """

    column: str
    history: str
    declared: bool
    rows: int
    of: int
    largest: float | None
    largest_bps: float | None
    symbol: str
    ts: datetime


def warm_up(
    definition: StrategyDefinition, bars: pl.DataFrame, grids: Sequence[SessionGrid], params: Params
) -> tuple[Examination, tuple[Settling, ...]]:
    """Compute the last of `grids` from ever more history, and measure every column against the longest.

    A finding is a feature, flag or level that changes between the declared anchor and more; the column named first is
    the indicator in which that begins. What changes between a shorter history and the anchor is measured as well, and
    is no finding: that is what the anchor is for. `bars` hold every session of `grids`.
    """
    program, anchor = definition.program(params), definition.anchor(params)
    measured: list[Settling] = []
    tally = Tally("recursive warm-up", definition, params, ordered=program.names())
    last = grids[-1].session
    everything = anchored(bars, [grid.session for grid in grids], None)
    longest = _last_session(program, everything, last)
    for what, declared, frame in _histories(bars, grids, anchor):
        if frame.height == everything.height:
            continue  # no history is longer than this one
        said = _last_session(program, frame, last)
        if isinstance(said, str) or isinstance(longest, str):
            if declared and said != longest:
                tally.fault("", bars, _fault(said), _fault(longest), what)
            continue
        less, more = _warm(program, said, longest, frame, anchor, last) if declared else (said, longest)
        found = list(_differences(program, less, more, what, declared))
        measured += found
        if declared and any(_counts(program, one.column) for one in found):
            # Positions counted from the first row of the history differ by nature, and are no cause of anything.
            columns = ["symbol", "ts", *dict.fromkeys(one.column for one in found)]
            tally.compare(less.select(columns), more.select(columns), what)
        elif declared:
            tally.compare(less.select("symbol", "ts"), more.select("symbol", "ts"), what)
    return tally.examination(), tuple(measured)


def sized(finding: Finding, measured: Sequence[Settling]) -> str:
    """By how much the column of a finding changes, in words; "" for what has no size."""
    of = [one for one in measured if one.column == finding.column and one.declared and one.largest is not None]
    if not of:
        return ""
    most = max(of, key=lambda one: one.largest or 0.0)
    bps = "" if most.largest_bps is None else f", {most.largest_bps:.4g} bps of its value"
    return f"by up to {most.largest:.6g}{bps}"


def _histories(
    bars: pl.DataFrame, grids: Sequence[SessionGrid], anchor: Anchor
) -> Iterator[tuple[str, bool, pl.DataFrame]]:
    """(what is loaded, whether the anchor is in it, the bars): shorter ones, the anchor's own, longer ones."""
    sessions = [grid.session for grid in grids]
    own = reached(anchor, grids)
    if anchor.bars:
        for share in _SHORTER:
            count = int(anchor.bars * share)
            yield f"{count} bars of history", False, anchored(bars, own, count)
    elif len(own) > 2:
        for share in _SHORTER:
            count = max(int((len(own) - 1) * share), 1)
            yield f"{count} sessions of history", False, anchored(bars, sessions[-1 - count :], None)
    yield _declared(anchor, len(own) - 1), True, anchored(bars, own, anchor.bars)
    for more in _MORE_SESSIONS:
        count = len(own) + more
        if count < len(sessions):
            yield f"{count - 1} sessions of history", True, anchored(bars, sessions[-count:], None)


def _declared(anchor: Anchor, sessions: int) -> str:
    if anchor.bars == 0 and not sessions:
        return "the session alone"
    return f"the anchor's {anchor.bars} bars" if anchor.bars else f"the anchor's {sessions} sessions"


def _last_session(program: Program, bars: pl.DataFrame, last: object) -> pl.DataFrame | str:
    said = told(program, bars)
    return said if isinstance(said, str) else said.filter(pl.col("session") == pl.lit(last))


def _fault(said: pl.DataFrame | str) -> str:
    return said if isinstance(said, str) else ""


def _counts(program: Program, column: str) -> bool:
    """Whether a column is part of what the strategy says, rather than a step on the way."""
    return column in OUTCOME or column in program.features


def _warm(
    program: Program, less: pl.DataFrame, more: pl.DataFrame, bars: pl.DataFrame, anchor: Anchor, last: object
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both without the rows of symbols whose history is thinner than the anchor, where they were not warm yet: only a
    longer history could answer there, and saying nothing is right."""
    if not anchor.bars or not program.features:
        return less, more
    held = bars.filter(pl.col("session") < pl.lit(last)).group_by("symbol").len()
    full = held.filter(pl.col("len") >= anchor.bars)["symbol"].to_list()
    warm = less.select(pl.all_horizontal(pl.col(*program.features).is_not_null()) | pl.col("symbol").is_in(full))
    return less.filter(warm.to_series()), more.filter(warm.to_series())


def _differences(
    program: Program, less: pl.DataFrame, more: pl.DataFrame, what: str, declared: bool
) -> Iterator[Settling]:
    for name in (*dict.fromkeys(one for one in program.names() if one not in OUTCOME), *OUTCOME):
        # A whole number on the way is a position, counted from the first row there is.
        position = name not in OUTCOME and name in less.columns and less[name].dtype.is_integer()
        if name in KEYS or name not in less.columns or position:
            continue
        one, other = less[name], more[name]
        differs = one.ne_missing(other).to_numpy()
        largest = bps = None
        if one.dtype.is_float():
            gap = (one - other).abs().fill_null(np.inf).to_numpy()
            size = other.abs().fill_null(0.0).to_numpy()
            differs = differs & ~(gap <= _ROUNDING * size)
            both = differs & np.isfinite(gap)
            if both.any():
                largest = float(gap[both].max())
                with np.errstate(divide="ignore"):
                    relative = gap[both] / size[both]
                bps = float(relative.max()) * 1e4 if np.isfinite(relative).all() else None
        if differs.any():
            first = int(np.flatnonzero(differs)[0])
            yield Settling(
                column=name,
                history=what,
                declared=declared,
                rows=int(differs.sum()),
                of=len(differs),
                largest=largest,
                largest_bps=bps,
                symbol=less["symbol"][first],
                ts=less["ts"][first],
            )
