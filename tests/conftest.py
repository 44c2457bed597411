"""What every test stands on: a home of its own, the shared market data, and a real browser.

Fixtures: ``shared_data``, ``chromium_path``, ``browser``, ``page``, ``page_faults``.
"""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _own_home() -> str:
    """Point everything that writes under a home directory at a fresh one, and drop the caller's QM_ settings.

    Runs at import, before any library can read these. Worker processes inherit the first home.
    """
    if "QM_TEST_HOME" in os.environ:
        return os.environ["QM_TEST_HOME"]
    home = tempfile.mkdtemp(prefix="qm-test-home-")
    for name in [name for name in os.environ if name.startswith("QM_")]:
        del os.environ[name]
    os.environ.update(
        QM_TEST_HOME=home,
        HOME=home,
        XDG_CACHE_HOME=f"{home}/.cache",
        XDG_CONFIG_HOME=f"{home}/.config",
        XDG_DATA_HOME=f"{home}/.local/share",
        XDG_STATE_HOME=f"{home}/.local/state",
        HYPOTHESIS_STORAGE_DIRECTORY=f"{home}/.hypothesis",
        MPLBACKEND="Agg",
        POLARS_ENGINE_AFFINITY="in-memory",  # the streaming engine changes float sums from call to call
        PYDEVD_DISABLE_FILE_VALIDATION="1",  # a notebook kernel would warn about frozen modules
        NO_COLOR="1",
    )
    os.environ.pop("XDG_RUNTIME_DIR", None)
    os.environ.pop("FORCE_COLOR", None)
    # A browser fetched once is kept beside the interpreter, not in somebody's home.
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(ROOT / ".venv" / "ms-playwright"))
    return home


_HOME = _own_home()
# What is started in the background by a script is deaf to Ctrl-C, and so are its children; tests press it on theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from hypothesis import HealthCheck, settings  # noqa: E402  (reads its storage directory when imported)

from tests.chromium import browser, chromium_path, page, page_faults  # noqa: E402

__all__ = ["browser", "chromium_path", "page", "page_faults"]

# The suite judges the same examples every time; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile(
    "suite", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker for each core this process may use, at most four: tests start processes of their own."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 4)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Importing makes much that stays and little garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What was imported for the tests stays: the collector need not walk it again at every session that opens.

    A session freezes what is alive for its day and thaws it afterwards, this too: here neither is done any more.
    """
    gc.collect()
    gc.freeze()
    gc.freeze = gc.unfreeze = lambda: None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop this process's servers, and remove the home in the process that made it (a worker has a ``workerinput``)."""
    if "tests.servers" in sys.modules:
        sys.modules["tests.servers"].stop_all()
    if not hasattr(config, "workerinput"):
        shutil.rmtree(_HOME, ignore_errors=True)


def find_shared_data(root: Path) -> Path | None:
    """The folder of shared market data beside a checkout, or None when it is not there."""
    folder = root.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The recorded market data beside this checkout; the test is skipped where there is none."""
    folder = find_shared_data(ROOT)
    if folder is None:
        pytest.skip("the shared market data (../shared/data) is not beside this checkout")
    return folder
