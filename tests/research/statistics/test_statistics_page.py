"""The page on statistics: its example is run, and prints what the page says it prints."""

import contextlib
import io
import re
from pathlib import Path

from qmworkbench.research.statistics.sweep_evidence import THRESHOLDS

PAGE = Path(__file__).resolve().parents[3] / "docs/statistics.md"


def test_the_worked_example_prints_what_the_page_shows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    shown = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert code
    assert shown
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code.group(1), str(PAGE), "exec"), {})
    assert printed.getvalue() == shown.group(1)


def test_the_thresholds_told_are_those_in_force() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"fewer than {THRESHOLDS.sessions} sessions, or fewer than {THRESHOLDS.active_sessions} in which" in text
    assert f"probability is below {THRESHOLDS.deflated:.2f}; its SPA p-value is above {THRESHOLDS.spa_p:.2f}" in text
    assert (
        f"PBO above {THRESHOLDS.pbo:.2f} *and* a loss in more than {THRESHOLDS.probability_of_loss:.0%}".replace(
            "%", " %"
        )
        in text
    )
