"""Where a strategy came nearest to an entry it did not make, and which conditions were missing, with numbers (§18).

A strategy's entry flag is an expression of conditions joined by "and". They are read off that expression and evaluated
bar by bar, so that no strategy has to tell its conditions twice; nothing here decides anything.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from qmworkbench.strategies.contract import answers
from qmworkbench.strategies.definition import Program
from qmworkbench.strategies.expression_tree import Unreadable, read

Json = Any

_SIDES: Final = {"entry_long": "long", "entry_short": "short"}
# How a comparison that did not hold is told.
_FAILS: Final = {"Gt": "is not above", "GtEq": "is under", "Lt": "is not below", "LtEq": "is over", "Eq": "is not"}
_ARITHMETIC: Final = {"Plus": "+", "Minus": "-", "Multiply": "×", "TrueDivide": "/", "Divide": "/"}
_TOO_SMALL_TO_TELL: Final = 1e-3


@dataclass(frozen=True)
class Missing:
    """One condition that did not hold: in words with its numbers, and how far off it was, as a share of the limit."""

    text: str
    gap: float | None


@dataclass(frozen=True)
class NearestEntry:
    """The bar at which most conditions of an entry held. `at` is when it closed; `missing` are those that did not,
    of `conditions` in all; `masked` says why an entry whose conditions all held was taken back.
    """

    at: datetime
    side: str
    close: float
    conditions: int
    missing: tuple[Missing, ...]
    masked: str = ""

    def sentence(self) -> str:
        """What was missing, on one line."""
        held = self.conditions - len(self.missing)
        if not self.missing:
            taken_back = f"and it was taken back: {self.masked}" if self.masked else "and yet no signal is on record"
            return f"all {self.conditions} conditions of its {self.side} entry held, {taken_back}"
        wanted = "; ".join(missing.text for missing in self.missing)
        return f"{held} of {self.conditions} conditions of its {self.side} entry held, missing: {wanted}"


@dataclass(frozen=True)
class _Condition:
    told: Json
    holds: pl.Expr


def nearest_entry(program: Program, bars: pl.DataFrame, within: pl.Expr, interval: pl.Expr) -> NearestEntry | None:
    """The bar among those `within` that came nearest to an entry of `program`, long or short; None without bars.

    `bars` are one symbol's, prepared and anchored as its signals are computed from (strategies/one_pass.py); `interval`
    is the length of a bar as a duration expression. Nearest: the fewest conditions missing, then the smallest gap, then
    the earliest. Raises Unreadable for an entry that is no expression of conditions.
    """
    frame = program.with_signals(bars)
    stages = {name: expr for stage in program.stages for name, expr in stage}
    best: tuple[tuple[int, float, int], NearestEntry] | None = None
    for flag, side in _SIDES.items():
        conditions = [_Condition(told, _expr(told)) for told in _conditions(_told(stages[flag]), stages, frame)]
        if not any(condition.holds.meta.root_names() for condition in conditions):
            continue  # a constant: the side is switched off
        found = _nearest(frame, conditions, side, within, interval)
        if found is not None and (best is None or found[0] < best[0]):
            best = found
    if best is None or best[1].missing:
        return None if best is None else best[1]
    return replace(best[1], masked=answers(program, frame).masked.get(best[0][2], ""))


def _nearest(
    frame: pl.DataFrame, conditions: Sequence[_Condition], side: str, within: pl.Expr, interval: pl.Expr
) -> tuple[tuple[int, float, int], NearestEntry] | None:
    rows = np.flatnonzero(frame.select(within.fill_null(False)).to_series().to_numpy())
    if not len(rows):
        return None
    held = np.array([frame.select(c.holds.fill_null(False)).to_series().to_numpy()[rows] for c in conditions])
    missing = len(conditions) - held.sum(axis=0)
    gaps = np.zeros(len(rows))
    for condition, holds in zip(conditions, held, strict=True):
        gaps += np.where(holds, 0.0, _gap(frame, condition.told)[rows])
    order = np.lexsort((np.arange(len(rows)), gaps, missing))
    at, row = int(order[0]), int(rows[order[0]])
    line = frame[row]
    lacking = [condition for condition, holds in zip(conditions, held[:, at], strict=True) if not holds]
    told = NearestEntry(
        at=line.select(pl.col("ts") + interval).item(),
        side=side,
        close=float(line["close"][0]),
        conditions=len(conditions),
        missing=tuple(Missing(_failure(frame, row, c.told), _number(_gap(frame, c.told)[row])) for c in lacking),
    )
    return (int(missing[at]), float(gaps[at]), row), told


# --- reading conditions off an expression -------------------------------------------------------------------------


def _told(expr: pl.Expr) -> Json:
    try:
        return json.loads(expr.meta.serialize(format="json"))
    except Exception as error:  # polars raises what the pickling of foreign Python code raises
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _expr(told: Json) -> pl.Expr:
    return pl.Expr.deserialize(io.StringIO(json.dumps(told)), format="json")


def _conditions(told: Json, stages: Mapping[str, pl.Expr], frame: pl.DataFrame) -> Iterator[Json]:
    """What must hold together: every part of each "and", down into the flags that earlier stages computed."""
    told = _bare(told)
    operation, function = told.get("BinaryExpr"), told.get("Function")
    name = told.get("Column")
    if operation is not None and operation["op"] == "And":
        yield from _conditions(operation["left"], stages, frame)
        yield from _conditions(operation["right"], stages, frame)
    elif function is not None and function["function"] == {"Boolean": "AllHorizontal"}:
        for part in function["input"]:
            yield from _conditions(part, stages, frame)
    elif name in stages and frame.schema[name] == pl.Boolean:
        yield from _conditions(_told(stages[name]), stages, frame)
    else:
        yield told


def _bare(told: Json) -> Json:
    """Without names and without what a null is taken for: neither is a condition of its own."""
    while True:
        function = told.get("Function")
        if "Alias" in told:
            told = told["Alias"][0]
        elif function is not None and function["function"] == "FillNull":
            told = function["input"][0]
        else:
            return told


# --- telling a condition that did not hold ------------------------------------------------------------------------


def _sides(told: Json) -> tuple[Json, str, Json] | None:
    """Left, comparison and right of a condition; None where it compares nothing.

    A difference held against next to nothing is a comparison of its two parts (strategies/ticks.py `above`).
    """
    operation = told.get("BinaryExpr")
    if operation is None or operation["op"] not in _FAILS:
        return None
    left, right = _bare(operation["left"]), _bare(operation["right"])
    inner, scaled = left.get("BinaryExpr"), right.get("BinaryExpr")
    noise = (
        scaled is not None and scaled["op"] == "Multiply" and abs(_literal(scaled["left"]) or 1) < _TOO_SMALL_TO_TELL
    )
    if inner is not None and inner["op"] == "Minus" and noise:
        return _bare(inner["left"]), operation["op"], _bare(inner["right"])
    return left, operation["op"], right


def _failure(frame: pl.DataFrame, row: int, told: Json) -> str:
    sides, between = _sides(told), _between(told)
    if sides is not None:
        left, op, right = sides
        return f"{_with_value(frame, row, left)} {_FAILS[op]} {_with_value(frame, row, right)}"
    if between is not None:
        what, low, high = (_with_value(frame, row, part) for part in between)
        return f"{what} is outside {low} to {high}"
    return f"{_words(told)} does not hold"


def _between(told: Json) -> tuple[Json, Json, Json] | None:
    function = told.get("Function")
    kind = function["function"] if function is not None else None
    if not isinstance(kind, dict) or "IsBetween" not in (kind.get("Boolean") or {}):
        return None
    what, low, high = function["input"]
    return what, low, high


def _with_value(frame: pl.DataFrame, row: int, told: Json) -> str:
    value = _number(_values(frame, told)[row])
    shown = "unknown" if value is None else f"{value:,.4g}"
    return shown if _literal(told) is not None else f"{_words(told)} ({shown})"


def _gap(frame: pl.DataFrame, told: Json) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How far a condition is from holding, as a share of what it is held against; 1 where that is not a number."""
    sides, between = _sides(told), _between(told)
    if sides is None and between is None:
        return np.ones(frame.height)
    with np.errstate(invalid="ignore", divide="ignore"):
        if sides is not None:
            left, right = _values(frame, sides[0]), _values(frame, sides[2])
            away = np.abs(left - right) / np.maximum(np.abs(right), 1e-12)
        else:
            assert between is not None, "one of the two was found"
            value, low, high = (_values(frame, part) for part in between)
            away = np.maximum(low - value, value - high) / np.maximum(np.abs(value), 1e-12)
    return np.minimum(np.where(np.isfinite(away), np.abs(away), 1.0), 1.0)


def _values(frame: pl.DataFrame, told: Json) -> np.ndarray[Any, np.dtype[np.float64]]:
    column = frame.select(_expr(told).cast(pl.Float64, strict=False).alias("v"))["v"]
    values: np.ndarray[Any, np.dtype[np.float64]] = column.to_numpy()
    return np.broadcast_to(values, (frame.height,)) if len(values) == 1 else values


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _literal(told: Json) -> float | None:
    literal = told.get("Literal")
    if literal is None:
        return None
    ((_, inner),) = literal.items()
    value = next(iter(inner.values())) if isinstance(inner, dict) else inner
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _words(told: Json) -> str:
    """An operand as people read it: columns by their name, without what tells indicators and steps apart."""
    told = _bare(told)
    name, operation = told.get("Column"), told.get("BinaryExpr")
    number = _literal(told)
    if name is not None:
        plain: str = name[2:] if name[:2] in ("i_", "s_", "f_") else name
        return plain.removesuffix("_symbol").removesuffix("_session").replace("_", " ")
    if number is not None:
        return f"{number:g}"
    if operation is not None and operation["op"] in _ARITHMETIC:
        left, right = _words(operation["left"]), _words(operation["right"])
        if (operation["op"], left) == ("Minus", "index"):
            return f"bars since {right}"
        return f"{left} {_ARITHMETIC[operation['op']]} {right}"
    read_from = [_words({"Column": column}) for column in read(_expr(told)).columns]
    return f"what comes from {' and '.join(dict.fromkeys(read_from))}" if read_from else "a constant"
