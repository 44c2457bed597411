"""What is wrong with a configuration, as data: key, value, where it was set, and what to do (§5 Environment Check)."""

import difflib
import re
import types
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from qmworkbench.domain.checks import Check, CheckStatus

Path_ = tuple[str | int, ...]
OFF: Final = "off"  # how None is written where a file or an environment has no word for it
_SHOWN: Final = 60
_NAMED: Final = re.compile(r"(://)[^/\s]*@")
_SIGNED: Final = re.compile(r"(://[^?\s]*)\?.+")


class ConfigProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that cannot be used. `source` is where it was set: "qm.toml:12", "env QM_BOOK", "flag --book",
    "default".

    `key` is dotted, list entries by number from 0. `value` is "" where it is secret or says nothing.
    """

    key: str
    problem: str
    remedy: str
    source: str
    value: str = ""

    def __str__(self) -> str:
        value = f" = {self.value}" if self.value else ""
        return f"{self.source}: {self.key}{value} {self.problem}. {self.remedy[:1].upper()}{self.remedy[1:]}."


class ConfigRefused(Exception):
    """A configuration nothing may run with. `problems` holds every reason found, never none."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def as_checks(problems: Iterable[ConfigProblem]) -> list[Check]:
    """The same problems as failed lines of the preflight."""
    return [
        Check(
            check_id=f"preflight.config.{problem.key}",
            section="§5 Environment Check",
            title=f"configuration: {problem.key}",
            status=CheckStatus.FAIL,
            looked_at=problem.source,
            value=problem.value or "(not shown)",
            expectation="a setting that exists, with a value that makes sense",
            detail=problem.problem,
            remedy=problem.remedy,
        )
        for problem in problems
    ]


def dotted(path: Path_) -> str:
    """("strategies", 0, "params") as strategies[0].params."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """A value as an error repeats it: short, and never a secret."""
    if isinstance(value, SecretStr):
        return "" if not value.get_secret_value() else "********"
    if isinstance(value, dict):
        return "a table"
    if value is None:
        return OFF
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        text = f'"{_plain(str(value))}"'
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(part) for part in value) + "]"
    else:
        text = str(value).removesuffix(".0") if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _plain(text: str) -> str:
    """An address without what it should not hold: a user, a password, a signature."""
    return _SIGNED.sub(r"\1?********", _NAMED.sub(r"\1********@", text))


def refusal(problem: str, remedy: str) -> PydanticCustomError:
    """What a validator of ours raises."""
    return PydanticCustomError("refused", "{problem}: {remedy}", {"problem": problem, "remedy": remedy})


def explain(
    error: ErrorDetails, field: FieldInfo | None, path: Path_, source: str, known: Sequence[str]
) -> ConfigProblem:
    """One of pydantic's findings in words. `field` is the setting's declaration, None where there is none."""
    key, value = dotted(path), shown(error["input"])
    if error["type"] == "extra_forbidden" or field is None:
        return unknown_key(key, source, known)
    if field.annotation is SecretStr:
        value = ""
    if error["type"] == "refused":
        context = error["ctx"]
        return ConfigProblem(key=key, value=value, source=source, problem=context["problem"], remedy=context["remedy"])
    wanted = expectation(field)
    if error["type"] == "missing":
        return ConfigProblem(key=key, source=source, problem="is missing", remedy=f"give {wanted}")
    problem = _MISSED.get(error["type"], f"is not {kind_of(field.annotation)}")
    return ConfigProblem(key=key, value=value, source=source, problem=problem, remedy=f"give {wanted}")


_MISSED: Final = {
    "greater_than": "is out of range",
    "greater_than_equal": "is out of range",
    "less_than": "is out of range",
    "less_than_equal": "is out of range",
    "string_pattern_mismatch": "is written otherwise than it may be",
}


def unknown_key(key: str, source: str, known: Sequence[str]) -> ConfigProblem:
    """A key nobody reads, with the one that was probably meant."""
    close = nearest(key, known)
    remedy = (
        f"did you mean {close}? `qm config show` lists every setting"
        if close
        else "`qm config show` lists every setting"
    )
    return ConfigProblem(key=key, source=source, problem="is not a setting", remedy=remedy)


def nearest(key: str, known: Sequence[str]) -> str | None:
    """The known key that looks most like `key`: a neighbour of the same section, the same last word, or any."""
    section, _, leaf = key.rpartition(".")
    siblings = {name.rpartition(".")[2]: name for name in known if name.rpartition(".")[0] == section}
    for choices in (
        siblings,
        {name.rpartition(".")[2]: name for name in reversed(known)},
        {name: name for name in known},
    ):
        close = difflib.get_close_matches(key if key in choices else leaf, list(choices), n=1, cutoff=0.7)
        if close:
            return choices[close[0]]
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def expectation(field: FieldInfo) -> str:
    """What may be written for a setting, in words."""
    text = field.description or kind_of(field.annotation)
    bounds = []
    for rule in field.metadata:
        for name, words in (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "up to")):
            if getattr(rule, name, None) is not None:
                bounds.append(f"{words} {getattr(rule, name)}")
    if bounds:
        text += " " + " ".join(bounds)
    if type(None) in get_args(field.annotation):
        text += f', or "{OFF}"'
    return text


_KINDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    str: "text",
    Path: "a path",
    date: "a date such as 2018-03-02",
    SecretStr: "text",
}


def kind_of(annotation: Any) -> str:
    """What a type's values are called, in words."""
    if annotation in _KINDS:
        return _KINDS[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ("one of " if len(inner) > 1 else "") + ", ".join(f'"{choice}"' for choice in inner)
    if origin in (Union, types.UnionType, Annotated):
        inner = inner[:1] if origin is Annotated else inner
        return " or ".join(kind_of(kind) for kind in inner if kind is not type(None))
    if origin is tuple:
        return (
            "a list"
            if isinstance(inner[0], type) and issubclass(inner[0], BaseModel)
            else 'a list such as ["AAPL", "MSFT"]'
        )
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "a table"
    members = getattr(annotation, "__members__", None)
    if members:
        return "one of " + ", ".join(f'"{member.value}"' for member in members.values())
    return str(getattr(annotation, "__name__", annotation))
