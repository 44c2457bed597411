"""Books that the command line's tests copy: made once, changed by nobody."""

import shutil
from pathlib import Path

import pytest

from tests.cli.books import run_day


@pytest.fixture(scope="session")
def _closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("closed")
    run_day(home)
    return home


@pytest.fixture(scope="session")
def _cut_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("cut-off")
    run_day(home, stop_after_fills=3)
    return home


@pytest.fixture
def closed_home(_closed: Path, tmp_path: Path) -> Path:
    """A directory whose book has one closed session."""
    shutil.copytree(_closed / "data", tmp_path / "data")
    return tmp_path


@pytest.fixture
def cut_off_home(_cut_off: Path, tmp_path: Path) -> Path:
    """A directory whose book's session was stopped while positions were held."""
    shutil.copytree(_cut_off / "data", tmp_path / "data")
    return tmp_path
