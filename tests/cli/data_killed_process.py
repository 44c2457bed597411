"""`qm data add` and `remove` killed at many instants, each in a process of its own.

python -m tests.cli.data_killed_process TEMPLATE INTO: TEMPLATE holds a directory for each case, with the command's
arguments in `command.txt`. Prints, for each copy below INTO, its name and how the process there ended.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

import qmworkbench.cli.data_store
import qmworkbench.service.bar_store.adding
import qmworkbench.service.config
import qmworkbench.service.data_shelf  # noqa: F401 - loaded once, for all the processes
from qmworkbench.cli.app import app
from qmworkbench.market.calendars import SessionCalendar
from tests.dying import in_child, spread
from tests.market.store.store_cases import DAYS

INSTANTS = 4


def _run(home: Path) -> None:
    os.chdir(home)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        app((home / "command.txt").read_text().split(), standalone_mode=False)


def main(template: Path, into: Path) -> None:
    market = SessionCalendar("XNYS")  # a calendar takes most of a second to be worked out
    assert market.session_window(DAYS[0]).opens_at.astimezone(market.time_zone).hour == 9
    for case in sorted(template.iterdir()):
        whole = into / f"{case.name}-0"
        shutil.copytree(case, whole)
        code, changes = in_child(lambda: _run(whole), 0)  # noqa: B023 - called at once
        print(whole.name, code, flush=True)
        for instant in spread(changes, INSTANTS):
            home = into / f"{case.name}-{instant}"
            shutil.copytree(case, home)
            print(home.name, in_child(lambda: _run(home), instant)[0], flush=True)  # noqa: B023


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
