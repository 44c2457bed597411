"""One made-up instance of any event: every field filled by its declared type, marked so that it can be found again."""

import types
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Union, get_args, get_origin

import msgspec

from qmworkbench.domain.limits import Limits

AT = datetime(2018, 3, 2, 14, 31, tzinfo=UTC)
_PLAIN: dict[Any, Any] = {
    str: "text",
    int: 3,
    float: 0.5,
    bool: True,
    Decimal: Decimal("1.25"),
    datetime: AT,
    Any: "anything",
    Limits: Limits(),
}


def sample(kind: Any, **given: Any) -> Any:
    """A value of `kind`; `given` sets fields of the outermost struct."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return sample(next(choice for choice in inner if choice is not type(None)))
    if origin is tuple:
        return (sample(inner[0]),)
    if origin is list:
        return [sample(inner[0])]
    if origin is dict:
        return {"key": sample(inner[1])}
    if issubclass(kind, Enum):
        return next(iter(kind))
    fields = {field.name: sample(field.type) for field in msgspec.structs.fields(kind)}
    return kind(**(fields | given))
