"""A new book and venue in the place of the old one, which is moved aside and never deleted (DESIGN "Identity")."""

from pathlib import Path

from qmworkbench.service.lease import LeaseTaken, holder_of, is_held
from qmworkbench.storage.atomic import sync_directory
from qmworkbench.storage.paths import BookPaths


def move_aside(paths: BookPaths) -> Path | None:
    """Move a book's directory to a numbered name beside it; returns where to, None where there was no book.

    Raises LeaseTaken while a process holds the book.
    """
    root = paths.root
    if not root.exists():
        return None
    if is_held(paths.lease):
        raise LeaseTaken(paths.lease, holder_of(paths.lease))
    number = 1
    while (aside := root.with_name(f"{root.name}.before-{number}")).exists():
        number += 1
    root.rename(aside)
    sync_directory(root.parent)
    return aside
