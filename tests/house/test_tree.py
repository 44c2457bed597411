"""What holds for every file of the tree: length, first line, no registry, no machine, clean notebooks."""

import ast
import json
import re
from pathlib import Path

from tests.house.checkout import ROOT, package_modules, tracked_files

_MODULE_LINES = 350
_FUNCTION_LINES = 80

# Where packages come from is the machine's business, and so are its folders. In pieces, not to find itself.
_HOSTS = [
    r"py" + r"pi\.org",
    r"python" + r"hosted\.org",
    r"registry\.npm" + r"js",
    r"(deb|security)\.deb" + r"ian\.org",
]
_FOLDERS = r"(?<![\w.}>)])/" + r"(root|work|home|Users)/[\w.]"
_FORBIDDEN = re.compile("|".join([*_HOSTS, _FOLDERS]))
_NAMES = re.compile(r"^(utils?|helpers?|common|misc|managers?)$")


def text_of(path: Path) -> str:
    """A file's text, or nothing when it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def forbidden(text: str) -> list[str]:
    """Addresses of package registries and paths of a particular machine."""
    return [found.group() for found in _FORBIDDEN.finditer(text)]


def headless(source: str) -> bool:
    """Whether a module lacks a docstring on its first line."""
    tree = ast.parse(source)
    return not ast.get_docstring(tree) or not source.startswith(('"""', 'r"""'))


def long_functions(source: str) -> list[str]:
    """Functions that nobody reads in one go."""
    return [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= _FUNCTION_LINES
    ]


def notebook_faults(text: str) -> list[str]:
    """What a committed notebook must not have: outputs, counts, other than one cell tagged `parameters`."""
    cells = json.loads(text)["cells"]
    faults = []
    for number, cell in enumerate(cells):
        if cell.get("outputs"):
            faults.append(f"cell {number} has outputs")
        if cell.get("execution_count") is not None:
            faults.append(f"cell {number} has an execution count")
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1 or tagged[0]["cell_type"] != "code":
        faults.append(f"{len(tagged)} cells tagged `parameters`, wanted one code cell")
    return faults


def test_no_file_names_a_registry_or_a_machine() -> None:
    named = {str(path.relative_to(ROOT)): found for path in tracked_files() if (found := forbidden(text_of(path)))}
    assert not named


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in package_modules()
        if (lines := len(path.read_text().splitlines())) > _MODULE_LINES
    }
    assert not long, f"over {_MODULE_LINES} lines"


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        str(path.relative_to(ROOT)): found for path in package_modules() if (found := long_functions(path.read_text()))
    }
    assert not long, f"over {_FUNCTION_LINES} lines"


def test_every_module_says_its_job_in_its_first_line() -> None:
    assert [str(path.relative_to(ROOT)) for path in package_modules() if headless(path.read_text())] == []


def test_no_module_is_called_what_says_nothing() -> None:
    assert [str(path.relative_to(ROOT)) for path in package_modules() if _NAMES.match(path.stem)] == []


def test_notebooks_are_committed_clean_and_with_their_parameters() -> None:
    notebooks = [path for path in tracked_files() if path.suffix == ".ipynb"]
    faults = {path.name: found for path in notebooks if (found := notebook_faults(path.read_text()))}
    assert not faults


def test_the_readers_see_what_they_look_for() -> None:
    assert forbidden("see https://py" + "pi.org/simple or /ro" + "ot/.cache or `/ho" + "me/ann/x`")
    assert not forbidden("a/home/x.py and {root}/work/x and notebooks/users/ann")
    assert headless("import json\n")
    assert headless('import json\n"""Late."""\n')
    assert not headless('"""Prompt."""\n')
    assert long_functions("def long():\n" + "    x = 1\n" * _FUNCTION_LINES) == [f"long ({_FUNCTION_LINES + 1} lines)"]
    assert not long_functions("def short():\n    return 1\n")
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "outputs": [], "execution_count": None}
    assert notebook_faults(json.dumps({"cells": [cell]})) == []
    assert notebook_faults(json.dumps({"cells": []}))
    assert notebook_faults(json.dumps({"cells": [cell, cell]}))
    assert notebook_faults(json.dumps({"cells": [cell | {"outputs": [{"output_type": "stream"}]}]}))
    assert notebook_faults(json.dumps({"cells": [cell | {"execution_count": 1}]}))
    assert [name for name in ("utils", "helper", "risk_manager", "managers") if _NAMES.match(name)] == [
        "utils",
        "helper",
        "managers",
    ]
