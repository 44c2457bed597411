"""A strategy's expressions as a tape: the same definition, computed one row at a time (DESIGN "Numbers").

Each expression tree becomes calls on registers. What reads earlier rows (totals and extremes so far, shifts, rows
looked up by number) reads what the tape carries. An operation that is not known here raises NotCarried: polars
computes it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from qmworkbench.strategies import row_functions as on_rows
from qmworkbench.strategies.definition import Program
from qmworkbench.strategies.expression_tree import NO_NUMBER, Node, read
from qmworkbench.strategies.own_rows import moved_by
from qmworkbench.strategies.row_tape import Carried, History, Last, NotCarried, Place, Seed, Tape
from qmworkbench.strategies.row_values import ARITHMETIC, ROW_BY_ROW, Value, Values

_PRICES: Final = ("open", "high", "low", "close", "volume", "tick")
_COUNTS: Final = ("bar", "bars_left", "i_index", "i_row", "i_pos")
_SYMBOL, _SESSION = "i_symbol", "i_day"
_GROUPINGS: Final = ([("column", _SYMBOL)], [("column", _SESSION)])
_RUNNING: Final = frozenset({"CumSum", "CumMax", "CumMin", "EwmMean", "FillNullWithStrategy.Forward"})
_SHIFTS: Final = frozenset({"Shift", "ShiftAndFill"})
_READING_BACK: Final = _RUNNING | _SHIFTS
_FILLED_BY: Final = {"b": "b", "i": "i", "u": "i", "f": "if"}


class Compiled:
    """A program's tape.

    `leaves` are the registers that each row fills, `answers` the program's flags and features, `carried` what is kept
    from row to row, and `stages` how to find that in whole columns of earlier rows, each symbol's by itself.
    """

    def __init__(self, program: Program, answers: Sequence[str]) -> None:
        self.tape, self.place = Tape(), Place()
        self.leaves = {name: self.tape.given(np.array([1.5])) for name in _PRICES}
        self.leaves |= {name: self.tape.given(np.zeros(1, dtype=np.int32)) for name in _COUNTS}
        self._columns: list[list[tuple[str, pl.Expr | None]]] = [[] for _ in range(len(program.stages) + 1)]
        self._values, self._named = Values(self.tape), 0
        self._back: dict[int, int] = {}  # the register of the number of rows looked back by
        self._made: dict[tuple[Any, ...], Any] = {}
        self._known = {name: Value(at) for name, at in self.leaves.items()}
        for stage, columns in enumerate(program.stages):
            self._known |= {name: self._column(stage, name, expr) for name, expr in columns}
        self.answers = {name: self._known.get(name, self._values.nothing) for name in answers}
        wanted = [at for value in self.answers.values() for at in (value.at, value.known) if at is not None]
        self.carried: list[Carried] = self.tape.cut(wanted)
        self.stages = _leading_to({one.seed.column for one in self.carried}, self._columns)

    def kind(self, name: str) -> str:
        """b for an answer that is a truth value, f for a float, i or u for a whole number, nothing for none."""
        value = self.answers[name]
        return "" if value.none else self._values.kind(value)

    def _column(self, stage: int, name: str, expr: pl.Expr) -> Value:
        self._stage, self._name = stage, name
        try:
            tree = read(expr)
            self._whole = tree.inputs[0] if tree.kind == "over" else tree
            value = self._value(tree, None)
        except (PolarsError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise NotCarried(f"polars {pl.__version__} tells {name!r} in a way not known here: {error}") from error
        self._columns[stage].append((name, _alone(tree, None, expr)))
        return value

    def _value(self, node: Node, group: str | None) -> Value:
        """The value of an operation, within a group or in the whole column."""
        match node.kind:
            case "column" if node.name in self._known:
                return self._known[node.name]
            case "literal":
                return self._literal(node)
            case "operator":
                return self._operator(node.name, *self._inputs(node, group))
            case "ternary":
                return self._values.chosen(*self._inputs(node, group))
            case "cast":
                return self._values.cast(self._value(node.inputs[0], group), node.name)
            case "gather" if group is None:
                return self._looked_up(node)
            case "over" if group is None:
                return self._grouped(node)
            case "function":
                return self._function(node, group)
        raise NotCarried(node.shown())

    def _inputs(self, node: Node, group: str | None) -> list[Value]:
        return [self._value(one, group) for one in node.inputs]

    def _literal(self, node: Node) -> Value:
        """Numbers that take on the type of what they meet, truth values, and null."""
        ((kind, inner),) = node.told["Literal"].items()
        if node.options is None:
            return self._values.nothing
        if node.options is NO_NUMBER or not (kind == "Dyn" or "Boolean" in inner):
            raise NotCarried(node.shown())
        return self._values.literal(node.options)

    def _operator(self, name: str, left: Value, right: Value) -> Value:
        if name in {"And", "Or"}:
            return (self._values.all_of if name == "And" else self._values.any_of)([left, right])
        if name in ARITHMETIC:
            return self._values.arithmetic(name, left, right)
        if name in on_rows.COMPARISONS:
            return self._values.compared(name, left, right)
        raise NotCarried(f"the operator {name}")

    def _grouped(self, node: Node) -> Value:
        by = [(one.kind, one.name) for one in node.partition]
        if node.name != "GroupsToRows" or node.order or by not in _GROUPINGS:
            raise NotCarried(node.shown())
        return self._value(node.inputs[0], by[0][1])

    def _function(self, node: Node, group: str | None) -> Value:
        if node.name in _RUNNING:
            return self._running(node, group)
        if node.name in _SHIFTS:
            return self._shifted(node, group)
        values, inputs, options = self._values, self._inputs(node, group), node.options
        if node.name in ROW_BY_ROW and options is None:
            return ROW_BY_ROW[node.name](values, inputs)
        match node.name, options:
            case "Boolean.IsBetween", {"closed": closed}:
                return values.between(inputs[0], inputs[1], inputs[2], closed)
            case "Round", {"decimals": decimals, "mode": "HalfToEven"}:
                return values.applied(on_rows.rounded, inputs[0], decimals, of="f")
            case "Clip", {"has_min": low, "has_max": high} if low != high and inputs[1].literal is not None:
                return values.applied(
                    on_rows.at_least if low else on_rows.at_most, inputs[0], inputs[1].literal, of="f"
                )
        raise NotCarried(node.shown())

    # ── earlier rows ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _shifted(self, node: Node, group: str | None) -> Value:
        value, rows = self._value(node.inputs[0], group), moved_by(node)
        fill = self._value(node.inputs[2], group) if len(node.inputs) > 2 else self._values.nothing
        fits = fill.none or (
            fill.literal is not None and self._values.kind(fill) in _FILLED_BY[self._values.kind(value)]
        )
        if rows is None or rows < 1 or _is_constant(value) or not fits:
            raise NotCarried(node.shown())
        if rows not in self._back:
            self._back[rows] = self.tape.constant(self.place.look_back(rows))
        where = self.tape.call(self.place.behind, self._back[rows])
        there = Value(self.tape.call(self.place.since, self.tape.constant(rows), self.tape.constant(group or _SYMBOL)))
        return self._values.chosen(there, self._row(node.inputs[0], value, group, where, numbered=False), fill)

    def _looked_up(self, node: Node) -> Value:
        value, number = self._inputs(node, None)
        if _is_constant(value) or _is_constant(number) or self._values.kind(number) not in "iu":
            raise NotCarried(node.shown())
        where = self.tape.call(self.place.numbered, number.at, self._values.is_known(number).at)
        found = self._row(node.inputs[0], value, None, where, numbered=True)
        return found if number.known is None else self._values.chosen(Value(number.known), found, self._values.nothing)

    def _row(self, node: Node, value: Value, group: str | None, where: int, *, numbered: bool) -> Value:
        """What a value was in other rows."""
        key = ("rows", value, group, numbered)
        if key not in self._made:
            column = self._earlier(node, group)
            self._made[key] = [
                (History(self.place, Seed(column, known), self._dtype(Value(at)), numbered=numbered), at)
                for at, known in ((value.at, False), (value.known, True))
                if at is not None
            ]
            for history, at in self._made[key]:
                self.tape.keep(history, at)
        at, *known = (self.tape.call(history.at, where, reads=history) for history, _ in self._made[key])
        return Value(at, known[0] if known else None, value.unsure)

    def _running(self, node: Node, group: str | None) -> Value:
        value = self._value(node.inputs[0], group)
        key = (node.name, str(node.options), value, group)
        if key not in self._made:
            if _is_constant(value) or (isinstance(node.options, dict) and node.options.get("reverse")):
                raise NotCarried(node.shown())
            makers = {"CumSum": self._total, "EwmMean": self._smoothed, "FillNullWithStrategy.Forward": self._held}
            self._made[key] = makers.get(node.name, self._extreme)(node, value, group)
        made: Value = self._made[key]
        return made

    def _total(self, node: Node, value: Value, group: str | None) -> Value:
        """The sum so far; nulls add nothing."""
        truth = self._values.kind(value) == "b"
        dtype = np.dtype(np.uint32) if truth else self._dtype(value)
        last, before = self._carry(
            self._earlier(node, group), dtype.type(0), dtype, group, filled=value.known is not None
        )
        more = value if truth else self._values.filled(value, self._values.literal(0))
        at = self.tape.call(np.add, before, more.at)
        self.tape.keep(last, at)
        return Value(at, value.known, value.unsure)

    def _extreme(self, node: Node, value: Value, group: str | None) -> Value:
        """The highest or lowest so far; nulls are passed over."""
        dtype, top = self._dtype(value), node.name == "CumMax"
        certain, careful = on_rows.EXTREMES[top]
        if dtype.kind == "b":
            raise NotCarried(node.shown())
        if dtype.kind == "f":
            fill = np.nan if value.unsure else -np.inf if top else np.inf
        else:
            fill = np.iinfo(dtype).min if top else np.iinfo(dtype).max
        last, before = self._carry(self._earlier(node, group), fill, dtype, group, filled=value.known is not None)
        so_far = self._values.filled(value, Value(before)).at
        at = self.tape.call(careful if value.unsure else certain, before, so_far)
        self.tape.keep(last, at)
        return Value(at, value.known, value.unsure)

    def _smoothed(self, node: Node, value: Value, group: str | None) -> Value:
        """The exponential average: a weight of what is new, the rest of what was."""
        options = node.options["options"]
        plain = (
            not options["adjust"] and options["min_periods"] <= 1 and (options["ignore_nulls"] or value.known is None)
        )
        if not plain or self._values.kind(value) != "f":
            raise NotCarried(node.shown())
        column, dtype = self._earlier(node, group), np.dtype(np.float64)
        last, before = self._carry(column, 0.0, dtype, group, filled=True)
        ever, begun = self._carry(column, False, np.dtype(np.bool_), group, filled=True, known=True)
        at = self.tape.call(on_rows.smoothed, before, begun, self.tape.constant(options["alpha"]), value.at)
        self.tape.keep(last, self._values.filled(Value(at, value.known), Value(before)).at)
        self.tape.keep(ever, self._values.any_of([self._values.is_known(value), Value(begun)]).at)
        return Value(at, value.known, value.unsure)

    def _held(self, node: Node, value: Value, group: str | None) -> Value:
        """The last value that was not null, in so many rows after it at the most if there is a limit."""
        if value.known is None:
            return value
        inner, limit = node.inputs[0].expr, node.options
        column, dtype = self._earlier(node, group, inner.forward_fill()), self._dtype(value)
        last, before = self._carry(column, dtype.type(0), dtype, group)
        at = self._values.filled(value, Value(before)).at
        self.tape.keep(last, at)
        if limit is None:
            ever, known = self._carry(column, False, np.dtype(np.bool_), group, known=True)
            known = self._values.any_of([Value(value.known), Value(known)]).at
            self.tape.keep(ever, known)
            return Value(at, known, value.unsure)
        row, numbers = Value(self.leaves["i_index"]), pl.when(inner.is_not_null()).then(pl.col.i_index).forward_fill()
        latest, number = self._carry(self._earlier(node, group, numbers), -(2**40), np.dtype(np.int64), group)
        number = self._values.filled(Value(row.at, value.known), Value(number)).at
        self.tape.keep(latest, number)
        age = self._values.arithmetic("Minus", row, Value(number))
        fresh = self._values.compared("LtEq", age, self._values.literal(limit))
        return self._values.chosen(fresh, Value(at, unsure=value.unsure), self._values.nothing)

    def _dtype(self, value: Value) -> np.dtype[Any]:
        return np.asarray(self.tape.registers[value.at]).dtype

    def _carry(
        self,
        column: str,
        fill: Any,
        dtype: np.dtype[Any],
        group: str | None,
        *,
        known: bool = False,
        filled: bool = False,
    ) -> tuple[Last, int]:
        """What is kept of the row before, and its register."""
        group = group or _SYMBOL
        last = Last(self.place, Seed(column, known, group if filled else None), fill, dtype, group)
        return last, self.tape.call(last.read, reads=last)

    def _earlier(self, node: Node, group: str | None, expr: pl.Expr | None = None) -> str:
        """The name of a column that says of whole columns what `node` (or `expr`, made of it) is in each row."""
        self._named += 1
        name = f"|{self._named}"
        if expr is None and node is self._whole:
            self._columns[self._stage + 1].append((name, pl.col(self._name)))
        else:
            self._columns[self._stage].append((name, _alone(node, group, node.expr if expr is None else expr)))
        return name


def _is_constant(value: Value) -> bool:
    return value.none or value.literal is not None


def _alone(node: Node, group: str | None, expr: pl.Expr) -> pl.Expr | None:
    """The expression of a tree, with each symbol's rows by themselves; None if polars cannot group it.

    Ungrouped, a total runs on from one symbol to the next; rules that were shown to read their own rows read
    differences of it alone, but what is carried begins with the symbol.
    """
    outside = [*_outside(node)]
    if not any(one.kind == "function" and one.name in _READING_BACK for one in outside):
        return expr
    return None if any(one.kind in {"over", "gather"} for one in outside) else expr.over(group or _SYMBOL)


def _outside(node: Node) -> Iterator[Node]:
    """The operations of a tree that stand in no group."""
    yield node
    if node.kind != "over":
        for below in node.inputs:
            yield from _outside(below)


def _leading_to(wanted: set[str], stages: Sequence[Sequence[tuple[str, pl.Expr | None]]]) -> list[list[pl.Expr]]:
    """The stages as far as they lead to the columns `wanted`."""
    needed: set[str] = set(wanted)
    leading: list[list[pl.Expr]] = []
    for stage in reversed(stages):
        here = [(name, expr) for name, expr in stage if name in needed]
        leading.append([expr.alias(name) for name, expr in here if expr is not None])
        if len(leading[-1]) < len(here):
            raise NotCarried("an expression that groups, and reads earlier rows beside that")
        needed.update(name for expr in leading[-1] for name in expr.meta.root_names())
    return [stage for stage in reversed(leading) if stage]
