"""Books that the storage tests copy: made once, changed by nobody."""

import shutil
from pathlib import Path

import pytest

from qmworkbench.storage.archive import archive_book
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.reading import open_book
from tests.storage import archived


@pytest.fixture(scope="session")
def archived_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`book`, of three closed sessions, and `archive`, which holds them all. Copied, never changed."""
    root = tmp_path_factory.mktemp("archived")
    with open_book(archived.made(root / "book").root) as reader:
        archive_book(reader, Place(root / "archive"), at=archived.ARCHIVED_AT)
    return root


@pytest.fixture
def root(archived_template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(archived_template, tmp_path / "copy")
    return tmp_path / "copy"
