"""What a person waits for at the command line: help, the preflight report, a whole day with its reports.

Each beside the least it could take: a bare interpreter for help, an empty notebook for a report, and for the day the
session itself, so that what surrounds it is seen.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

QM = str(Path(sys.executable).with_name("qm"))
RUNS = 7


def _took_s(line: list[str], directory: Path | None = None) -> tuple[float, str]:
    began = perf_counter()
    ended = subprocess.run(line, cwd=directory, capture_output=True, text=True, check=True)
    return perf_counter() - began, ended.stdout


def _result(bench: str, ours: float, unit: str, peer: str, theirs: float) -> dict[str, Any]:
    """`ratio` above 1: we are quicker than what stands beside us."""
    return {"bench": bench, "ours": ours, "unit": unit, "peer": peer, "theirs": theirs, "ratio": theirs / ours}


def help_s() -> dict[str, Any]:
    """`qm --help` against an interpreter that does nothing."""
    pairs = [(_took_s([QM, "--help"])[0], _took_s([sys.executable, "-c", "pass"])[0]) for _ in range(RUNS)]
    ours, theirs = (median(side) for side in zip(*pairs, strict=True))
    return _result("qm_help", round(ours, 3), "s", "python -c pass", round(theirs, 3))


def day_s() -> list[dict[str, Any]]:
    """The demo day, headless, with its three reports; and the preflight report alone."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        whole_s, printed = _took_s([QM, "day", "--headless", "--json"], directory)
        told = json.loads(printed.strip().splitlines()[-1])
        report_s, _ = _took_s([QM, "report", "preflight"], directory)
        empty_s = _empty_notebook_s(directory)
    return [
        _result("qm_day_headless", round(whole_s, 2), "s", "its session alone", told["session_s"]),
        _result("preflight_report", round(report_s, 2), "s", "papermill, empty notebook", round(empty_s, 2)),
    ]


def _empty_notebook_s(directory: Path) -> float:
    empty = {
        "cells": [],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (directory / "empty.ipynb").write_text(json.dumps(empty))
    papermill = [sys.executable, "-m", "papermill", "--no-progress-bar", "empty.ipynb", "out.ipynb"]
    return _took_s(papermill, directory)[0]


def run() -> list[dict[str, Any]]:
    """All of them."""
    return [help_s(), *day_s()]
