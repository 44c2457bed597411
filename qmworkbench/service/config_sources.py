"""Where settings come from: files with line numbers, the environment, flags; and which of them said what (§5)."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, PydanticBaseSettingsSource

from qmworkbench.service.config_problems import ConfigProblem, ConfigRefused, Path_
from qmworkbench.service.config_schema import ENV_PREFIX

FILE_NAME: Final = "qm.toml"
LOCAL_NAME: Final = "qm.local.toml"
# Read by the command itself and by the test suite, not settings.
_NOT_SETTINGS: Final = ("QM_CONFIG", "QM_TEST_")


@dataclass(frozen=True)
class Layer:
    """One source of settings: its nested values, and where exactly each was set.

    `places` maps a path to a place; a path without an entry of its own was set with the nearest one above it. Paths
    among the values are relative to `directory`. `file` is None where the layer is no file.
    """

    source: PydanticBaseSettingsSource
    values: Mapping[str, Any]
    places: Mapping[Path_, str]
    directory: Path
    file: Path | None = None

    def place(self, path: Path_) -> str:
        """Where `path` was set. The path, or one above it, must be of this layer."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return ""

    def has(self, path: Path_) -> bool:
        """Whether this layer sets `path` itself."""
        return present(self.values, path)


def present(values: Any, path: Path_) -> bool:
    """Whether nested values hold something at `path`."""
    for part in path:
        among = (
            range(len(values)) if isinstance(values, list | tuple) else values if isinstance(values, Mapping) else ()
        )
        if part not in among:
            return False
        values = values[part]
    return True


def find_file(start: Path) -> Path | None:
    """The nearest qm.toml (or, without one, qm.local.toml) in `start` or a directory above it; None without any."""
    for directory in (start.resolve(), *start.resolve().parents):
        for name in (FILE_NAME, LOCAL_NAME):
            if (directory / name).is_file():
                return directory / name
    return None


class _FileSource(InitSettingsSource):
    """A TOML file, as pydantic-settings sees it."""


def file_layer(settings: type[BaseSettings], path: Path, *, shown_as: str | None = None) -> Layer:
    """The settings of one TOML file. Raises ConfigRefused when it cannot be read or is no TOML."""
    name = shown_as or path.name
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = "check the path; without --config the nearest qm.toml upward of the working directory is read"
        raise _unusable(name, path, "does not exist", remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unusable(name, path, f"cannot be read ({why})", "make it readable, as text in UTF-8") from None
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        line = getattr(error, "lineno", None) or _line_in(str(error))
        source = f"{name}:{line}" if line else name
        remedy = "write `key = value` lines below [section] headers"
        raise _unusable(source, path, f"is no TOML: {error}", remedy) from None
    places = {key: f"{name}:{line}" for key, line in lines_of(text).items()}
    return Layer(_FileSource(settings, values), values, {(): name, **places}, path.resolve().parent, path.resolve())


def _unusable(source: str, path: Path, problem: str, remedy: str) -> ConfigRefused:
    return ConfigRefused(
        [ConfigProblem(key="the file", value=str(path), source=source, problem=problem, remedy=remedy)]
    )


def _line_in(message: str) -> int | None:
    """Where Python's own message says the trouble is: "… (at line 3, column 1)"."""
    _, _, tail = message.partition("at line ")
    digits = tail.partition(",")[0]
    return int(digits) if digits.isdigit() else None


def lines_of(text: str) -> dict[Path_, int]:
    """The line on which each key of a valid TOML text is set, counted from 1.

    Headers set the table they name; entries of an array of tables are numbered from 0. A value over several lines
    counts by its first, and what is inside an inline table or array by the statement it is in.
    """
    found: dict[Path_, int] = {}
    table: Path_ = ()
    arrays: dict[Path_, int] = {}
    for number, statement in _statements(text):
        stripped = statement.strip()
        if stripped.startswith("["):
            table = _header(stripped, arrays)
            found.setdefault(table, number)
            continue
        for path in _paths(tomllib.loads(statement)):
            found.setdefault(table + path, number)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with their first line's number; blank lines and comments left out, long values joined."""
    gathered, began = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not gathered and (not line.strip() or line.strip().startswith("#")):
            continue
        if not gathered:
            began = number
        gathered += line + "\n"
        try:
            tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue
        yield began, gathered
        gathered = ""


def _header(header: str, arrays: dict[Path_, int]) -> Path_:
    """The path that a [table] or [[array of tables]] header names; arrays it passes count by their newest entry."""
    is_array = header.startswith("[[")
    names: list[str] = []
    inner: Any = tomllib.loads(header)
    while inner:
        name, inner = next(iter(inner.items()))
        names.append(name)
        inner = inner[0] if isinstance(inner, list) else inner
    path: Path_ = ()
    for depth, name in enumerate(names):
        path += (name,)
        if depth == len(names) - 1 and is_array:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path += (arrays[path],)
    return path


def _paths(values: Any, above: Path_ = ()) -> Iterator[Path_]:
    """Every path inside nested values, outer ones first."""
    if above:
        yield above
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    for key, inner in pairs:
        yield from _paths(inner, (*above, key))


def environment_layer(
    settings: type[BaseSettings], environ: Mapping[str, str], directory: Path
) -> tuple[Layer, list[ConfigProblem]]:
    """The settings among environment variables, and those that look like settings and are none."""
    ours = {
        name: value
        for name, value in environ.items()
        if name.upper().startswith(ENV_PREFIX) and not name.upper().startswith(_NOT_SETTINGS)
    }
    problems: list[ConfigProblem] = []
    places: dict[Path_, str] = {}
    for name in sorted(ours):
        parts = name[len(ENV_PREFIX) :].lower().split("__")
        places[tuple(parts)] = f"env {name}"
        if parts[0] not in settings.model_fields:
            problems.append(_unknown_variable(name, parts, settings))
    source = EnvSettingsSource(settings)
    source.env_vars = {name.lower(): value for name, value in ours.items()}
    return Layer(source, source(), places, directory), problems


def _unknown_variable(name: str, parts: list[str], settings: type[BaseSettings]) -> ConfigProblem:
    known = [ENV_PREFIX + "__".join(path).upper() for path in known_paths(settings)]
    close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.6)
    leaf = [full for full in known if full.endswith("__" + parts[-1].upper())]
    meant = close[0] if close else leaf[0] if leaf else None
    remedy = f"did you mean {meant}? Unset it otherwise" if meant else "unset it; `qm config show` lists every setting"
    return ConfigProblem(key=name, source=f"env {name}", problem="is not a setting", remedy=remedy)


def flag_layer(settings: type[BaseSettings], flags: Mapping[str, tuple[Any, str]], directory: Path) -> Layer:
    """Settings given on the command line: dotted key -> (value, the flag as typed)."""
    values: dict[str, Any] = {}
    places: dict[Path_, str] = {}
    for key, (value, flag) in flags.items():
        path = tuple(key.split("."))
        places[path] = f"flag {flag}"
        inner = values
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
    return Layer(InitSettingsSource(settings, values), values, places, directory)


def known_paths(model: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every setting's path, sections opened up; entries of lists are not."""
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from known_paths(field.annotation, (*above, name))
        else:
            yield (*above, name)
