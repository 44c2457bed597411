"""Layers of settings read into one: all that does not fit is named at once, and who set what (§5)."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import InitSettingsSource, PydanticBaseSettingsSource

from qmworkbench.service.config_problems import ConfigProblem, Path_, explain
from qmworkbench.service.config_schema import SOURCES, Settings
from qmworkbench.service.config_sources import Layer, known_paths, present

KNOWN: Sequence[str] = tuple(".".join(path) for path in known_paths(Settings))


def read(layers: Sequence[Layer]) -> tuple[Settings | None, list[ConfigProblem]]:
    """The settings that `layers` make, strongest last.

    What does not fit is reported, taken out, and the rest is read again, so that no problem hides behind another.
    None only if even that leaves nothing to read.
    """
    sources: tuple[PydanticBaseSettingsSource, ...] = tuple(layer.source for layer in reversed(layers))
    merged = merge(layers)
    problems: list[ConfigProblem] = []
    while True:
        token = SOURCES.set(sources)
        try:
            return Settings(), problems
        except ValidationError as error:
            faulty = _faults(error, merged, layers, problems)
            if not faulty:
                return None, problems
            for path in sorted(faulty, key=len, reverse=True):
                _remove(merged, path)
            sources = (InitSettingsSource(Settings, merged),)
        finally:
            SOURCES.reset(token)


def _faults(
    error: ValidationError, merged: dict[str, Any], layers: Sequence[Layer], problems: list[ConfigProblem]
) -> list[Path_]:
    """Add what pydantic found to `problems`; the paths to take out so that the rest can be read."""
    faulty: list[Path_] = []
    for finding in error.errors(include_url=False):
        told = tuple(finding["loc"])
        path = _existing(told, merged)
        if path in faulty or not path:
            continue
        faulty.append(path)
        named = told if finding["type"] == "missing" else path
        problems.append(explain(finding, field_at(named), named, place(layers, path), KNOWN))
    return faulty


def place(layers: Sequence[Layer], path: Path_) -> str:
    """Where the setting at `path` comes from: the strongest layer that has it, "default" where none has."""
    for layer in reversed(layers):
        if layer.has(path):
            return layer.place(path)
    return "default"


def merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """All layers as one nested mapping, tables merged key by key, lists and values replaced whole."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _lay(merged, layer.values)
    return merged


def _lay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        inner = below.get(key)
        if isinstance(inner, dict) and isinstance(value, Mapping):
            _lay(inner, value)
        else:
            below[key] = copy.deepcopy(value)


def _existing(path: Path_, values: Any) -> Path_:
    """The part of `path` that was written by somebody: pydantic's locations go on into the branches of a union."""
    while path and not present(values, path):
        path = path[:-1]
    return path


def _remove(values: dict[str, Any], path: Path_) -> None:
    # A list goes whole: an entry cannot go without renumbering the others, and one with a hole is not what was meant.
    whole = next((path[:depth] for depth, part in enumerate(path) if isinstance(part, int)), path)
    for part in whole[:-1]:
        values = values.get(str(part), {})
    values.pop(str(whole[-1]), None)


def field_at(path: Path_) -> FieldInfo | None:
    """The declaration of the setting at `path`; None where there is no such setting."""
    model: Any = Settings
    field: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            inner = [kind for kind in _inside(field.annotation if field else None) if _is_model(kind)]
            if not inner:
                return field
            model = inner[0]
            continue
        if not _is_model(model) or part not in model.model_fields:
            # A parameter of a strategy: free-form, and declared as the table it is in.
            return field if field is not None and field.annotation == dict[str, Any] else None
        field = model.model_fields[part]
        model = field.annotation
    return field


def _inside(annotation: Any) -> Iterator[Any]:
    """Every type an annotation is made of."""
    yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _inside(inner)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every single setting with its path, tables and lists of tables opened up."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name), (*path, name))
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for number, entry in enumerate(value):
            yield from leaves(entry, (*path, number))
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, str(name)))
    else:
        yield path, value


def canonical(value: Any) -> Any:
    """Plain data that is equal where the settings mean the same: 1000, 1000.0 and 1E+3 are one number."""
    if isinstance(value, BaseModel):
        return {name: canonical(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(inner) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | Decimal):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        return format(number.normalize(), "f") if number else "0"
    if isinstance(value, SecretStr):
        raise TypeError("a secret is not part of any hash")
    return value.value if isinstance(value, Enum) else str(value) if isinstance(value, Path) else value
