"""Grids as people write them: `fast=5:50:5,slow=20:200:10`, held to the strategy's parameters (§2).

A range has both its ends, a list has commas. A name may be cut short where only one parameter begins so.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from qmworkbench.research.sweeps.grid import Axis, Grid, GridRefused, text_of
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import ParameterSpec, Value


def parse_grid(text: str, definition: StrategyDefinition) -> Grid:
    """The grid that `text` tells, held to the strategy's parameters. Raises GridRefused.

    `NAME=FIRST:LAST[:STEP]` is a range with both ends, `NAME=A,B,C` a list, `NAME=A` a fixed value. A name may be cut
    short where only one parameter begins so: `fast` for `fast_bars`.
    """
    pieces: list[tuple[str, list[str]]] = []
    for piece in text.split(","):
        name, given, value = piece.partition("=")
        if given:
            pieces.append((name.strip(), [value.strip()]))
        elif pieces:
            pieces[-1][1].append(piece.strip())
        else:
            raise GridRefused(f"grid {text!r} does not begin with NAME=", _example(definition))
    twice = [name for at, (name, _) in enumerate(pieces) if name in dict(pieces[:at])]
    if twice:
        raise GridRefused(f"parameter {twice[0]} is given twice in the grid", "give each parameter once")
    return grid_of({name: values if len(values) > 1 else values[0] for name, values in pieces}, definition)


def grid_of(axes: Mapping[str, Value | str | range | Sequence[Value | str]], definition: StrategyDefinition) -> Grid:
    """The grid of `axes` by parameter name: a value, a text as `parse_grid` reads it, a range or a list of values.

    A Python range leaves out its end, as Python has it. Raises GridRefused.
    """
    if not axes:
        raise GridRefused("the grid is empty", _example(definition))
    specs = {spec.name: spec for spec in definition.parameter_specs}
    made: dict[str, Axis] = {}
    for given, values in axes.items():
        spec = _spec(given, specs, definition)
        if spec.name in made:
            raise GridRefused(f"parameter {spec.name} is given twice in the grid", "give each parameter once")
        made[spec.name] = _checked(_axis(spec, values), spec, definition)
    return Grid(tuple(made.values()))


def _spec(name: str, specs: Mapping[str, ParameterSpec], definition: StrategyDefinition) -> ParameterSpec:
    if name in specs:
        return specs[name]
    begins = [spec for spec in specs.values() if name and spec.name.startswith(name)]
    if len(begins) == 1:
        return begins[0]
    told = f"may be {' or '.join(spec.name for spec in begins)}" if begins else "is none of its parameters"
    raise GridRefused(f"strategy {definition.strategy_id}: {name!r} {told}", f"it has {', '.join(specs)}")


def _axis(spec: ParameterSpec, values: Value | str | range | Sequence[Value | str]) -> Axis:
    if isinstance(values, range):
        if not values:
            raise GridRefused(f"parameter {spec.name}: {values} holds no value", "give a range with values in it")
        low, step = (values[0], values.step) if values.step > 0 else (values[-1], -values.step)
        return Axis(spec.name, len(values), Decimal(low), Decimal(step), whole=isinstance(spec.approved, int))
    if isinstance(values, str) and ":" in values:
        return _range(spec, values)
    several = [values] if isinstance(values, str | bool | int | float) else list(values)
    listed: list[Value] = []
    for value in several:
        if isinstance(value, str) and ":" in value:
            raise GridRefused(
                f"parameter {spec.name}: {value!r} is a range within a list", "give one range, or list every value"
            )
        listed.append(_read(spec, value) if isinstance(value, str) else value)
    if not listed:
        raise GridRefused(f"parameter {spec.name} has no values in the grid", "give at least one")
    for value in listed:
        _refuse_value(spec, value)
    if len(set(listed)) < len(listed):
        raise GridRefused(f"parameter {spec.name} has a value twice: {_listed(listed)}", "give each value once")
    return Axis(spec.name, len(listed), listed=tuple(spec.coerced(value) for value in listed))


def _range(spec: ParameterSpec, text: str) -> Axis:
    example = f"give it as {spec.name}=FIRST:LAST:STEP, both ends included"
    if isinstance(spec.approved, bool | str):
        raise GridRefused(f"parameter {spec.name} = {text!r}: a {spec.kind} has no range", f"list {spec.range_text}")
    parts = text.split(":")
    try:
        first, last, step = (Decimal(part.strip()) for part in (*parts, "1")[:3])
    except (InvalidOperation, ValueError):
        raise GridRefused(f"parameter {spec.name} = {text!r} is no range", example) from None
    finite = all(number.is_finite() for number in (first, last, step))
    if len(parts) > 3 or not finite or step <= 0 or last < first:
        raise GridRefused(f"parameter {spec.name} = {text!r} is no ascending range with a step above 0", example)
    whole = isinstance(spec.approved, int)
    if whole and (first % 1 or step % 1):
        raise GridRefused(f"parameter {spec.name} = {text!r}: it is a whole number", example)
    return Axis(spec.name, int((last - first) / step) + 1, first, step, whole=whole)


def _read(spec: ParameterSpec, text: str) -> Value:
    """The value that `text` tells, in the parameter's type; the text itself where it does not fit."""
    if isinstance(spec.approved, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(spec.approved, str):
        return text
    try:
        return int(text) if isinstance(spec.approved, int) else float(text)
    except ValueError:
        return text


def _checked(axis: Axis, spec: ParameterSpec, definition: StrategyDefinition) -> Axis:
    for at in (0, axis.count - 1):
        _refuse_value(spec, axis.value(at), definition)
    return axis


def _refuse_value(spec: ParameterSpec, value: Value, definition: StrategyDefinition | None = None) -> None:
    refusal = spec.refusal(value)
    if refusal is not None:
        whose = f"strategy {definition.strategy_id}: " if definition is not None else ""
        raise GridRefused(
            f"{whose}parameter {spec.name} = {value!r} {refusal}",
            f"allowed: {spec.range_text} ({spec.kind}, approved {spec.approved!r})",
        )


def _example(definition: StrategyDefinition) -> str:
    numbers = [spec for spec in definition.parameter_specs if not isinstance(spec.approved, bool | str)][:2]
    ranges = ",".join(f"{spec.name}={spec.minimum}:{spec.maximum}" for spec in numbers) or "NAME=A,B"
    return f"give it as NAME=FIRST:LAST:STEP or NAME=A,B,C, such as {ranges}"


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(text_of(value) for value in values)
