"""What polars' row-by-row operations make of values that may be null, as calls on a tape (DESIGN "Numbers")."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from qmworkbench.strategies import row_functions as on_rows
from qmworkbench.strategies.row_tape import Function, NotCarried, Tape

ARITHMETIC: Final[dict[str, Function]] = {
    **{"Plus": np.add, "Minus": np.subtract, "Multiply": np.multiply},
    "TrueDivide": np.true_divide,
}
"""Operators between numbers."""

_NUMBERS: Final = "iuf"
_TRUTH: Final = "b"


@dataclass(frozen=True)
class Value:
    """The register of a value, and that of where it is not null (None: nowhere null).

    A truth value is false where it is null, a number anything. `unsure`: it may be NaN. `literal`: its number or truth
    value where it is the same in every row; `none`: it is null in every row.
    """

    at: int
    known: int | None = None
    unsure: bool = False
    literal: float | None = None
    none: bool = False


class Values:
    """Operations between values, noted on a tape. What is not known here raises NotCarried."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.nothing = Value(tape.constant(False), tape.constant(False), none=True)

    def kind(self, value: Value) -> str:
        """b for a truth value, i or u for a whole number, f for a float."""
        return str(np.asarray(self.tape.registers[value.at]).dtype.kind)

    def literal(self, number: float) -> Value:
        """A number or truth value."""
        if math.isnan(number):
            raise NotCarried("a literal that is no number")
        return Value(self.tape.constant(number), literal=number)

    def arithmetic(self, name: str, left: Value, right: Value) -> Value:
        """Plus, Minus, Multiply and TrueDivide."""
        self._of(_NUMBERS, left, right)
        if left.literal is not None and right.literal is not None:
            raise NotCarried("arithmetic between literals")
        known, unsure = self.both(left, right), left.unsure or right.unsure
        if name != "TrueDivide" or right.literal is None:
            at = self.tape.call(ARITHMETIC[name], left.at, right.at)
            return Value(at, known, unsure or name == "TrueDivide")
        if not right.literal:
            raise NotCarried("a division by zero")
        return Value(self.tape.call(np.multiply, left.at, self.tape.constant(1 / right.literal)), known, unsure)

    def compared(self, name: str, left: Value, right: Value) -> Value:
        """Gt, GtEq, Lt, LtEq, Eq and NotEq, of numbers."""
        self._of(_NUMBERS, left, right)
        certain, careful = on_rows.COMPARISONS[name]
        at = self.tape.call(careful if left.unsure or right.unsure else certain, left.at, right.at)
        return self._true(at, self.both(left, right))

    def between(self, value: Value, low: Value, high: Value, closed: str) -> Value:
        """Within bounds, each of which counts or does not."""
        over = "GtEq" if closed in {"Both", "Left"} else "Gt"
        under = "LtEq" if closed in {"Both", "Right"} else "Lt"
        return self.all_of([self.compared(over, value, low), self.compared(under, value, high)])

    def all_of(self, values: Sequence[Value]) -> Value:
        """Whether all hold: false if one does not, else null if one is not known."""
        self._of(_TRUTH, *values)
        at = self._joined(on_rows.both, [value.at for value in values])
        if all(value.known is None for value in values):
            return Value(at)
        fails = self._joined(np.logical_or, [self.inverse(value).at for value in values])
        return Value(at, self.tape.call(np.logical_or, at, fails))

    def any_of(self, values: Sequence[Value]) -> Value:
        """Whether one holds: true if one does, else null if one is not known."""
        self._of(_TRUTH, *values)
        at, known = self._joined(np.logical_or, [value.at for value in values]), self.both(*values)
        return Value(at) if known is None else Value(at, self.tape.call(np.logical_or, at, known))

    def inverse(self, value: Value) -> Value:
        """Not."""
        self._of(_TRUTH, value)
        return self._true(self.tape.call(np.logical_not, value.at), value.known)

    def is_known(self, value: Value) -> Value:
        """Whether it is not null."""
        return Value(self.tape.constant(True) if value.known is None else value.known)

    def chosen(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """`then` where the condition is true, `otherwise` where it is false or null."""
        self._of(_TRUTH, condition)
        if then.none and otherwise.none:
            return self.nothing
        fails = self.tape.call(np.logical_not, condition.at)
        if then.none:
            return self._masked(otherwise, fails)
        if otherwise.none:
            return self._masked(then, condition.at)
        self._of(_TRUTH if self.kind(then) == _TRUTH else _NUMBERS, then, otherwise)
        at, known = self.tape.call(on_rows.chosen, condition.at, then.at, otherwise.at), None
        if then.known is not None or otherwise.known is not None:
            known = self.tape.call(on_rows.chosen, condition.at, self.is_known(then).at, self.is_known(otherwise).at)
        return Value(at, known, then.unsure or otherwise.unsure)

    def filled(self, value: Value, fill: Value) -> Value:
        """`fill` where the value is null."""
        if value.known is None or (self.kind(value) == _TRUTH and fill.literal == 0):
            return Value(value.at, unsure=value.unsure)
        return self.chosen(Value(value.known), Value(value.at, unsure=value.unsure), fill)

    def extreme(self, values: Sequence[Value], *, top: bool) -> Value:
        """The highest or lowest of those that are not null; null where all are."""
        self._of(_NUMBERS, *values)
        certain, careful = on_rows.EXTREMES[top]
        so_far = values[0]
        for value in values[1:]:
            unsure = so_far.unsure or value.unsure
            better = Value(self.tape.call(careful if unsure else certain, so_far.at, value.at), unsure=unsure)
            if so_far.known is None and value.known is None:
                so_far = better
                continue
            left, right = self.is_known(so_far), self.is_known(value)
            one = self.chosen(left, so_far, value)
            at = self.chosen(self.all_of([left, right]), better, Value(one.at)).at
            so_far = Value(at, self.any_of([left, right]).at, unsure)
        return so_far

    def applied(self, function: Function, value: Value, *more: float, of: str = _NUMBERS) -> Value:
        """A function of the value and some numbers that leaves nulls null."""
        self._of(of, value)
        takes = [self.tape.constant(number) for number in more]
        return Value(self.tape.call(function, value.at, *takes), value.known, value.unsure)

    def cast(self, value: Value, dtype: str) -> Value:
        """As Int64 or Float64."""
        self._of(_NUMBERS + _TRUTH, value)
        if dtype == "Float64":
            return Value(self.tape.call(on_rows.floating, value.at), value.known, value.unsure)
        if dtype != "Int64":
            raise NotCarried(f"a cast to {dtype}")
        return Value(self.tape.call(on_rows.whole, value.at, self.is_known(value).at), value.known)

    def both(self, *values: Value) -> int | None:
        """Where none of them is null."""
        known = sorted({value.known for value in values if value.known is not None})
        return self._joined(on_rows.both, known) if known else None

    def _masked(self, value: Value, where: int) -> Value:
        """The value where a truth holds, null elsewhere."""
        known = where if value.known is None else self.tape.call(on_rows.both, where, value.known)
        at = self.tape.call(on_rows.both, where, value.at) if self.kind(value) == _TRUTH else value.at
        return Value(at, known, value.unsure)

    def _true(self, at: int, known: int | None) -> Value:
        """A truth value, false where it is null."""
        return Value(at if known is None else self.tape.call(on_rows.both, at, known), known)

    def _joined(self, function: Function, registers: Sequence[int]) -> int:
        joined = registers[0]
        for register in registers[1:]:
            joined = self.tape.call(function, joined, register)
        return joined

    def _of(self, kinds: str, *values: Value) -> None:
        """Refuse other kinds of values, and null alone."""
        if any(value.none or self.kind(value) not in kinds for value in values):
            raise NotCarried("an operation between values it is not made for")


ROW_BY_ROW: Final[dict[str, Callable[[Values, list[Value]], Value]]] = {
    "Boolean.Not": lambda on, inputs: on.inverse(*inputs),
    "Boolean.IsNotNull": lambda on, inputs: on.is_known(*inputs),
    "Boolean.IsNull": lambda on, inputs: on.inverse(on.is_known(*inputs)),
    "Boolean.AllHorizontal": lambda on, inputs: on.all_of(inputs),
    "Boolean.AnyHorizontal": lambda on, inputs: on.any_of(inputs),
    "MaxHorizontal": lambda on, inputs: on.extreme(inputs, top=True),
    "MinHorizontal": lambda on, inputs: on.extreme(inputs, top=False),
    "FillNull": lambda on, inputs: on.filled(*inputs),
    "Abs": lambda on, inputs: on.applied(np.abs, inputs[0]),
    "Negate": lambda on, inputs: on.applied(np.negative, inputs[0], of="if"),
    "Sign": lambda on, inputs: on.applied(np.sign, inputs[0], of="i"),
}
"""Functions of nothing but their own row, by the names polars gives them."""
