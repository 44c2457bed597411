"""What is asked of a person at a terminal: each line of §23 once, and one plain yes before the direct emergency."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

from qmworkbench.cli.exit_codes import Exit
from tests.cli.books import ROOT, book_in

_CALL = "from qmworkbench.cli import main; main()"


def typed(home: Path, arguments: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run `qm` at a terminal; each answer is typed when its question appears. Exit code and all that was shown."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _CALL, *arguments],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, waiting, deadline = "", list(answers), time.monotonic() + 300
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            piece = os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # what a terminal says on Linux when the other side has gone
            break
        if not piece:
            break
        shown += piece
        if waiting and waiting[0][0] in shown:
            os.write(terminal, f"{waiting.pop(0)[1]}\n".encode())
    os.close(terminal)
    assert not waiting, f"never asked: {waiting}\n{shown}"
    return process.wait(timeout=120), shown


def test_resume_asks_what_the_flags_do_not_say(closed_home: Path) -> None:
    code, shown = typed(
        closed_home,
        ["resume", "--reason", "back", "--risk-verified"],
        [
            ("incident?", "none: planned pause"),
            ("cause is understood?", "y"),
            ("internal state is repaired?", "n"),
        ],
    )
    assert "risk controls are verified?" not in shown
    assert code == Exit.NO_GO
    assert "the book is ACTIVE already" in shown


def test_the_direct_emergency_asks_once_and_a_no_changes_nothing(closed_home: Path) -> None:
    code, shown = typed(closed_home, ["emergency", "--reason", "drill"], [("Go direct?", "n")])
    assert code != Exit.OK
    assert "no session is open" in shown
    assert not book_in(closed_home).fallback.exists()
    code, shown = typed(closed_home, ["emergency", "--reason", "drill"], [("Go direct?", "y")])
    assert code == Exit.OK, shown
    assert shown.count("Go direct?") == 1
    assert "flat: every position is zero" in shown
