"""Notebooks that go wrong in each way a notebook can, and one that does not."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from qmworkbench.reporting.parameters import Parameters, Report

SECRET = "sk-very-secret-value"
_VERDICT = """
from pathlib import Path
from qmworkbench.domain.checks import Verdict
from qmworkbench.reporting.verdicts import ReportVerdict, write_verdict
def conclude(verdict=Verdict.GO, run=None, **more):
    told = ReportVerdict(report="odd", run_id=run or run_id, verdict=verdict, headline="as it should", **more)
    write_verdict(Path(out_dir), told)
"""
_SHOW = f"""
from qmworkbench.reporting.tables import Html
print('token={SECRET}')
Html('<svg><path d="M0 0"/></svg><p>shown</p>')
"""

# Each notebook by the last cells it has.
CELLS = {
    "good": ["conclude()"],
    "no_go": ["conclude(Verdict.NO_GO, reasons=('one thing',), facts={'made of': 'nothing'})"],
    "raises": [f"secret = {SECRET!r}\nraise ValueError('bad ' + secret)", "conclude()"],
    "raises_late": ["conclude()", "1 / 0"],
    "exits": ["import sys; sys.exit(0)", "conclude()"],
    "killed": ["import os; os.kill(os.getpid(), 9)", "conclude()"],
    "forgets": ["x = 1"],
    "other_run": ["conclude(run='another')"],
    "garbage": ["(Path(out_dir) / 'verdict.json').write_text('{\"verdict\": \"GO\"}')"],
}


class NoParameters(Parameters):
    """None beyond what the runner adds."""


def report_in(folder: Path, name: str) -> Report:
    """The notebook `name`, written to `folder`, as a report."""
    cells = [
        new_markdown_cell("# Odd\n\nA notebook of a test."),
        new_code_cell("out_dir = ''\nrun_id = ''", metadata={"tags": ["parameters"]}),
        new_code_cell(_VERDICT),
        new_code_cell(_SHOW),
        *[new_code_cell(source) for source in CELLS[name]],
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / f"{name}.ipynb")
    return Report(name, f"Odd: {name}", NoParameters, folder)
