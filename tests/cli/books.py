"""Books for the command line's tests: one whose day is closed, one that was cut off, one on which a platform runs."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from qmworkbench.cli.app import app
from qmworkbench.market.demo import demo_session
from qmworkbench.service.headless import run_headless
from qmworkbench.service.lease import is_held
from qmworkbench.service.live import serve_day
from qmworkbench.service.platform import Platform, StopRequested
from qmworkbench.storage.paths import BookPaths
from qmworkbench.trading.frames import BarFrame
from tests.service.day_process import DEMO_DAY, DEMO_SEED, all_good, plan_for

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = 100
_QUICK = 14_400.0  # market seconds per wall second
SESSION = f"main-{DEMO_DAY.isoformat()}"
_CALL = "from qmworkbench.cli import main; main()"


def book_in(home: Path) -> BookPaths:
    """The default book of a directory that commands run in."""
    return BookPaths.under(home / "data", "local", "main")


def run_day(home: Path, *, stop_after_fills: int | None = None) -> None:
    """Run a demo day in `home`'s book to its close, or until so many fills are on record."""
    plan = plan_for(home / "data", demo_session(DEMO_DAY, DEMO_SEED, SYMBOLS), compute="one-pass")

    def opened(platform: Platform) -> None:
        def look(delivery: object) -> None:
            enough = stop_after_fills is not None and platform.day.fills >= stop_after_fills
            if enough and platform.state.positions:
                platform.stop = "enough for this test"

        platform.boundary_listeners.append(look)

    with suppress(StopRequested):
        run_headless(plan, all_good, on_open=opened)


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def qm(home: Path, *arguments: str, **environ: str) -> Done:
    """`qm` in this process, run from `home` with nobody to ask: as `qm_process`, without the seconds of its imports."""
    changed = {
        name: value for name, value in os.environ.items() if not name.startswith("QM_") or name == "QM_TEST_HOME"
    }
    with contextlib.chdir(home), only_environment(changed | {"COLUMNS": "200"} | environ):
        done = CliRunner().invoke(app, list(arguments), prog_name="qm")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


@contextmanager
def only_environment(wanted: dict[str, str]) -> Iterator[None]:
    """Exactly these variables, for a moment."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def qm_process(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`qm` as a process of its own, with nobody to ask."""
    return subprocess.run(
        [sys.executable, "-c", _CALL, *arguments],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def answer(done: Done | subprocess.CompletedProcess[str]) -> Any:
    """The one JSON object a command with --json printed."""
    assert done.stdout.count("\n") == 1, f"not one line: {done.stdout!r} / {done.stderr}"
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@contextmanager
def platform_running(home: Path, *, boundary_s: float = 0.2) -> Iterator[subprocess.Popen[bytes]]:
    """A platform in a process of its own, its API up and its first fills made; from then on each boundary takes so
    long that its day is not over before the test is.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.books", str(home), str(boundary_s)], cwd=ROOT, stderr=subprocess.PIPE
    )
    try:
        _wait_for_positions(process, home)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


def _wait_for_positions(process: subprocess.Popen[bytes], home: Path) -> None:
    from qmworkbench.service.client import ApiError, CoreApi

    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1].decode()
        with suppress(ApiError), CoreApi(book_in(home)) as api:
            if api.snapshot().get("positions"):
                return
        time.sleep(0.1)
    raise AssertionError("the platform never held a position")


def wait_until_free(home: Path) -> None:
    """Until nobody holds the book."""
    deadline = time.monotonic() + 120
    while is_held(book_in(home).lease):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _serve(home: Path, boundary_s: float) -> None:
    """Quickly to the first position, slowly from there: a boundary's bars are then long in being taken in."""
    data = demo_session(DEMO_DAY, DEMO_SEED, SYMBOLS)
    plan = plan_for(home / "data", data, speed=_QUICK, compute="one-pass")

    def opened(platform: Platform) -> None:
        append = platform.bars.append

        def slowly(frame: BarFrame) -> None:
            if platform.state.positions:
                time.sleep(boundary_s)
            append(frame)

        platform.bars.append = slowly  # type: ignore[method-assign]

    asyncio.run(serve_day(plan, all_good, stay=True, on_open=opened))


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), float(sys.argv[2]))
