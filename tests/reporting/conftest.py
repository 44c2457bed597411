"""A book with one closed demo day, made once with the real preflight; tests that change it work on a copy."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from qmworkbench.market.demo import demo_session
from qmworkbench.service.config import Config, load
from qmworkbench.service.evidence import platform_preflight
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import plan_of
from qmworkbench.service.platform import Platform, StopRequested

DAY = date(2024, 3, 8)
SYMBOLS = 100
SESSION = f"main-{DAY.isoformat()}"


def config_in(home: Path) -> Config:
    """The defaults, in a directory of its own."""
    return load(environ={}, cwd=home)


def run_day(home: Path, day: date = DAY, *, stop_after: int | None = None) -> None:
    """A demo day in `home`'s book, to its close or until so many boundaries have passed."""
    config = config_in(home)
    plan = plan_of(config, demo_session(day, 7, SYMBOLS))

    def opened(platform: Platform) -> None:
        def look(delivery: object) -> None:
            if stop_after is not None and platform.day.boundary >= stop_after:
                platform.stop = "enough for this test"

        platform.boundary_listeners.append(look)

    try:
        run_headless(plan, platform_preflight(config), on_open=opened)
    except StopRequested:
        assert stop_after is not None


@pytest.fixture(scope="session")
def closed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose book has one closed session with trades; never changed."""
    home = tmp_path_factory.mktemp("closed")
    run_day(home)
    return home


@pytest.fixture(scope="session")
def closed_book(closed_home: Path) -> Path:
    return config_in(closed_home).paths.root


@pytest.fixture(scope="session")
def open_book_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book whose session was stopped in the middle of the day; never changed."""
    home = tmp_path_factory.mktemp("open")
    run_day(home, stop_after=90)
    return config_in(home).paths.root


@pytest.fixture
def book_copy(closed_book: Path, tmp_path: Path) -> Path:
    """The closed book, to be changed."""
    shutil.copytree(closed_book, tmp_path / "main")
    return tmp_path / "main"
