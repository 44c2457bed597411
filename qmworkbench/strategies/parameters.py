"""A strategy's parameters: typed, bounded, each with an approved value; nothing out of range ever runs (§3, §8)."""

import difflib
import math
from collections.abc import Mapping, Sequence

import msgspec

Value = bool | int | float | str
Params = Mapping[str, Value]


class ParameterError(ValueError):
    """Overrides a strategy cannot run with; `problems` names strategy, parameter, value and range in each sentence."""

    def __init__(self, strategy_id: str, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.strategy_id = strategy_id
        self.problems = tuple(problems)


class ParameterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter: what it means, its unit, what it may be, and the value its owner approved.

    A number has `minimum` and `maximum`, both allowed; a text has its `choices`; a switch has neither.
    The type of `approved` is the type of the parameter. A fractional one accepts whole numbers.
    """

    name: str
    approved: Value
    meaning: str
    unit: str = ""
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bounded = self.minimum is not None and self.maximum is not None
        if isinstance(self.approved, int | float) and not isinstance(self.approved, bool) and not bounded:
            raise ValueError(f"parameter {self.name} is a number: give its minimum and its maximum")
        if isinstance(self.approved, str) and not self.choices:
            raise ValueError(f"parameter {self.name} is a text: give its choices")
        if self.refusal(self.approved) is not None:
            raise ValueError(f"parameter {self.name}: approved value {self.approved!r} is not among {self.range_text}")

    @property
    def kind(self) -> str:
        """The parameter's type in a person's words."""
        kinds = {bool: "true or false", int: "whole number", float: "number", str: "text"}
        return kinds[type(self.approved)]

    @property
    def range_text(self) -> str:
        """The allowed values, as text."""
        if self.choices:
            return ", ".join(self.choices)
        if self.minimum is None:
            return "true, false"
        return f"{self.minimum} to {self.maximum}{' ' + self.unit if self.unit else ''}"

    def refusal(self, value: object) -> str | None:
        """Why `value` cannot be this parameter; None if it can."""
        if isinstance(self.approved, bool):
            fits = isinstance(value, bool)
        elif isinstance(self.approved, str):
            fits = isinstance(value, str)
        elif isinstance(self.approved, int):
            fits = isinstance(value, int) and not isinstance(value, bool)
        else:
            fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not fits:
            return f"is no {self.kind}"
        if self.choices and value not in self.choices:
            return "is not a choice"
        bounded = isinstance(value, int | float) and self.minimum is not None and self.maximum is not None
        if bounded and not self.minimum <= value <= self.maximum:  # type: ignore[operator]
            return "is out of range"
        return None

    def coerced(self, value: Value) -> Value:
        """`value` in the parameter's own type, so that 2 and 2.0 are the same set and have the same hash."""
        return float(value) if isinstance(self.approved, float) else value


def bounded(name: str, approved: float, minimum: float, maximum: float, unit: str, meaning: str) -> ParameterSpec:
    """A numeric parameter: whole if `approved` is."""
    return ParameterSpec(name=name, approved=approved, minimum=minimum, maximum=maximum, unit=unit, meaning=meaning)


def resolve(strategy_id: str, specs: Sequence[ParameterSpec], overrides: Params) -> dict[str, Value]:
    """The full parameter set: approved values with `overrides` laid over them, in the order of `specs`.

    Raises ParameterError naming every unknown name and every value that does not fit.
    """
    by_name = {spec.name: spec for spec in specs}
    problems: list[str] = []
    for name, value in overrides.items():
        if name not in by_name:
            problems.append(f"strategy {strategy_id} has no parameter {name!r}{_nearest(name, list(by_name))}")
            continue
        spec = by_name[name]
        refusal = spec.refusal(value)
        if refusal is not None:
            problems.append(
                f"strategy {strategy_id}: {name} = {value!r} {refusal}; allowed: {spec.range_text} "
                f"({spec.kind}, approved {spec.approved!r})"
            )
    if problems:
        raise ParameterError(strategy_id, problems)
    return {spec.name: spec.coerced(overrides.get(spec.name, spec.approved)) for spec in specs}


def whole(params: Params, name: str) -> int:
    """Parameter `name` as the whole number it was declared to be."""
    value = params[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"parameter {name} = {value!r} is no whole number; resolve overrides before using them")
    return value


def number(params: Params, name: str) -> float:
    """Parameter `name` as the number it was declared to be."""
    value = params[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"parameter {name} = {value!r} is no number; resolve overrides before using them")
    return float(value)


def switch(params: Params, name: str) -> bool:
    """Parameter `name` as the switch it was declared to be."""
    value = params[name]
    if not isinstance(value, bool):
        raise TypeError(f"parameter {name} = {value!r} is neither true nor false; resolve overrides before using them")
    return value


def choice(params: Params, name: str) -> str:
    """Parameter `name` as the text it was declared to be."""
    value = params[name]
    if not isinstance(value, str):
        raise TypeError(f"parameter {name} = {value!r} is no text; resolve overrides before using them")
    return value


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"
