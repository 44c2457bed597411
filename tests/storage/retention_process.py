"""Archive and retention killed at many instants, each in a process that dies at its n-th change of a file.

python -m tests.storage.retention_process TEMPLATE INTO: TEMPLATE holds `book` and `archive`. Prints, for each copy
below INTO, its name and how the process there ended.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from qmworkbench.storage.archive import archive_book
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.reading import open_book
from qmworkbench.storage.retention import KINDS, Done, Retention, carry_out, plan

KILLED = 77
RULE = Retention(days=dict.fromkeys(KINDS, 1))
WHILE_ARCHIVING, WHILE_LETTING_GO = 2, 4
_CHANGES = frozenset({"os.remove", "os.rename", "os.rmdir", "os.truncate", "sqlite3.connect"})


def run(root: Path) -> Done:
    """Archive what is not archived, and let go of what is older than a day."""
    place = Place(root / "archive")
    with open_book(root / "book") as reader:
        archive_book(reader, place)
        sys.audit("qm.archived")
        return carry_out(reader, plan(reader, RULE, place), place)


class Death:
    """Ends this process at the `instant`-th change of a file, with no clean-up whatever; counts them until then."""

    def __init__(self, instant: int) -> None:
        self.instant = instant
        self.seen = 0
        self.archived = 0
        sys.addaudithook(self.look)

    def look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "qm.archived":
            self.archived = self.seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        reads = event == "sqlite3.connect" and "mode=ro" in str(arguments[0])
        if (event in _CHANGES or writes) and not reads:
            self.seen += 1
            if self.seen == self.instant:
                os._exit(KILLED)


def _in_child(template: Path, root: Path, instant: int) -> tuple[int, int, int]:
    """Exit code, changes while archiving, changes in all, of a run in a process of its own."""
    shutil.copytree(template, root)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        death = Death(instant)
        run(root)
        os.write(writing, f"{death.archived} {death.seen}".encode())
        os._exit(0)
    os.close(writing)
    told = os.read(reading, 64).split()
    os.close(reading)
    _, status = os.waitpid(child, 0)
    archived, seen = (int(number) for number in told) if told else (0, 0)
    return os.waitstatus_to_exitcode(status), archived, seen


def main(template: Path, into: Path) -> None:
    code, archived, seen = _in_child(template, into / "whole", 0)
    print("whole", code, flush=True)
    instants = [1 + archived * n // WHILE_ARCHIVING for n in range(WHILE_ARCHIVING)]
    instants += [archived + 1 + (seen - archived - 1) * n // (WHILE_LETTING_GO - 1) for n in range(WHILE_LETTING_GO)]
    for instant in instants:
        print(instant, _in_child(template, into / str(instant), instant)[0], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
