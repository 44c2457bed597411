"""Notebooks are thin, clean, and take the very parameters that the runner checks."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from qmworkbench.reporting.parameters import REPORTS, Report

RUNNERS_OWN = {"out_dir", "run_id"}
LINES = 20


@pytest.fixture(params=sorted(REPORTS))
def report(request: pytest.FixtureRequest) -> Report:
    return REPORTS[request.param]


def read(report: Report) -> Any:
    return nbformat.read(report.notebook, as_version=4)  # type: ignore[no-untyped-call]


def parameters_of(notebook: Any) -> dict[str, object]:
    """The names and defaults of the parameters cell."""
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    found: dict[str, object] = {}
    for statement in ast.parse(cell.source).body:
        assert isinstance(statement, ast.Assign)
        assert isinstance(statement.targets[0], ast.Name)
        found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return found


def test_it_is_valid_stripped_and_for_any_python(report: Report) -> None:
    notebook = read(report)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_it_begins_with_its_title_and_ends_with_its_verdict(report: Report) -> None:
    cells = read(report).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith(f"# {report.title}\n")
    assert cells[-1].source.startswith("run.conclude(")


def test_its_parameters_are_those_the_runner_checks(report: Report) -> None:
    given = parameters_of(read(report))
    assert set(given) == set(report.parameters.model_fields) | RUNNERS_OWN
    told = {name: value for name, value in given.items() if name not in RUNNERS_OWN and value != ""}
    checked = report.parameters.model_validate(told)
    for name, field in report.parameters.model_fields.items():
        if not field.is_required():
            assert getattr(checked, name) == field.default, name
    assert (given["out_dir"], given["run_id"]) == ("", "")


def test_it_hands_every_parameter_on(report: Report) -> None:
    notebook = read(report)
    begun = next(cell.source for cell in notebook.cells if "begin(" in cell.source)
    for name in parameters_of(notebook):
        assert f"{name}={name}" in begun, name


def test_it_is_thin(report: Report) -> None:
    for cell in read(report).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= LINES
            tree = ast.parse(cell.source)
            assert not any(isinstance(node, ast.FunctionDef | ast.For | ast.While) for node in ast.walk(tree))
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom):
                    assert str(node.module).startswith("qmworkbench.reporting")
                assert not isinstance(node, ast.Import)


@pytest.mark.slow
def test_papermill_alone_runs_the_preflight(tmp_path: Path) -> None:
    """As a person would: no runner, just papermill, from a directory without a book."""
    (tmp_path / "qm.toml").write_text("[limits]\nmax_daily_loss = -5\n")
    out = tmp_path / "out.ipynb"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("QM_")}
    done = subprocess.run(
        [sys.executable, "-m", "papermill", str(REPORTS["preflight"].notebook), str(out), "--no-progress-bar"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    last = nbformat.read(out, as_version=4).cells[-1].outputs[0].data["text/html"]  # type: ignore[no-untyped-call]
    assert "NO-GO" in last
    assert re.search(r"qm\.toml:2|max_daily_loss", last)
