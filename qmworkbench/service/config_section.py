"""A table of settings: what every section of the configuration has in common (§5)."""

import json
from decimal import Decimal
from typing import Any, get_args

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, create_model, field_validator

from qmworkbench.service.config_problems import OFF, kind_of, refusal


class Section(BaseModel):
    """A table of settings. Unknown keys are refused, "off" means none, and lists may come as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return read_value(value, cls.model_fields[str(info.field_name)].annotation)


def read_value(value: Any, annotation: Any) -> Any:
    """What a file or an environment can write, made ready for pydantic: "off", lists as text, no true for a number."""
    if isinstance(value, str):
        text = value.strip()
        if text == OFF and type(None) in get_args(annotation):
            return None
        if _takes_a_list(annotation):
            return _listed(text)
    if isinstance(value, bool) and not _takes_a_bool(annotation):
        raise refusal(f"is not {kind_of(annotation)}", f"give {kind_of(annotation)}")
    return value


def _takes_a_list(annotation: Any) -> bool:
    kinds = (annotation, *get_args(annotation))
    return any(str(kind).startswith("tuple[") for kind in kinds)


def _takes_a_bool(annotation: Any) -> bool:
    return annotation is bool or bool in get_args(annotation) or annotation is Any


def _listed(text: str) -> Any:
    """A list as an environment variable holds it: JSON, or names with commas between them."""
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise refusal(
            f"is not a list in JSON ({error})", "give [...] in JSON, or names with commas between them"
        ) from None


def section_of(struct: type[msgspec.Struct], defaults: msgspec.Struct) -> type[Section]:
    """The section whose keys are the fields of `struct`, with the values of `defaults` where nothing is set.

    So that a limit or a filter is declared once, where it is enforced.
    """
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        default = getattr(defaults, field.name)
        if isinstance(default, msgspec.Struct):
            inner = section_of(type(default), default)
            fields[field.name] = (inner, Field(default_factory=inner))
        else:
            fields[field.name] = (field.type, Field(default=default))
    return create_model(f"{struct.__name__}Section", __base__=Section, __doc__=struct.__doc__, **fields)
