"""Archive and retention killed at many instants, each in a process that is killed at its n-th change of a file.

python -m tests.storage.retention_process TEMPLATE INTO: TEMPLATE holds `book` and `archive`. Prints, for each copy
below INTO, its name and how the process there ended.
"""

import shutil
import sys
from pathlib import Path

from qmworkbench.storage.archive import archive_book
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.reading import open_book
from qmworkbench.storage.retention import KINDS, Done, Retention, carry_out, plan
from tests.dying import in_child

RULE = Retention(days=dict.fromkeys(KINDS, 1))
WHILE_ARCHIVING, WHILE_LETTING_GO = 2, 4


def run(root: Path) -> Done:
    """Archive what is not archived, and let go of what is older than a day."""
    place = Place(root / "archive")
    with open_book(root / "book") as reader:
        archive_book(reader, place)
        return carry_out(reader, plan(reader, RULE, place), place)


def _in_child(template: Path, root: Path, instant: int) -> tuple[int, int]:
    shutil.copytree(template, root)
    return in_child(lambda: run(root), instant)


def _archiving(template: Path, root: Path) -> int:
    """How many changes are made until the archive is whole."""
    shutil.copytree(template, root)

    def work() -> None:
        with open_book(root / "book") as reader:
            archive_book(reader, Place(root / "archive"))

    return in_child(work, 0)[1]


def main(template: Path, into: Path) -> None:
    archived = _archiving(template, into / "archived")
    code, seen = _in_child(template, into / "whole", 0)
    print("whole", code, flush=True)
    instants = [1 + archived * n // WHILE_ARCHIVING for n in range(WHILE_ARCHIVING)]
    instants += [archived + 1 + (seen - archived - 1) * n // (WHILE_LETTING_GO - 1) for n in range(WHILE_LETTING_GO)]
    for instant in instants:
        print(instant, _in_child(template, into / str(instant), instant)[0], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
