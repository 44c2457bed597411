"""`qm day --venue`: with a venue that is served already, or with one started for the day (§2, §12)."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.output import Output

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

AUTO: Final = "auto"
_READY_S: Final = 30.0
_LEAVES_S: Final = 10.0

VenueProcess = Annotated[
    str | None,
    typer.Option(
        "--venue",
        metavar="URL|auto",
        help="Trade with the venue of `qm venue serve`; auto starts one for the day.",
        show_default=False,
    ),
]


def venue_flags(venue: str | None) -> dict[str, tuple[Any, str]]:
    """The settings that `--venue` stands for."""
    if venue is None:
        return {}
    wire: dict[str, tuple[Any, str]] = {"broker.kind": ("wire", "--venue")}
    return wire if venue == AUTO else wire | {"broker.url": (venue, "--venue")}


def typed_options(book: str | None, environment: str | None, config: Path | None) -> list[str]:
    """The options that choose book and configuration, as they are typed."""
    given = {"--book": book, "--environment": environment, "--config": None if config is None else str(config)}
    return [part for name, value in given.items() if value is not None for part in (name, value)]


@contextlib.contextmanager
def venue_beside(config: "Config", venue: str | None, out: Output, typed: list[str]) -> Iterator[None]:
    """Where `--venue auto` asks for one, a venue that serves this book's file while the block runs.

    One that serves it already is used and left alone. A day that is killed leaves its venue running, as a broker would,
    and the same command finds it again. `typed` are the options that choose book and configuration. Raises Cannot.
    """
    from qmworkbench.venue.wire.address import read_note

    if venue != AUTO or read_note(config.paths.venue) is not None:
        yield
        return
    log = config.paths.venue.with_name("serve.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    # `python -c`, because `qm` may be anywhere, or nowhere on the path.
    line = [sys.executable, "-c", "from qmworkbench.cli import main; main()", "venue", "serve", *typed]
    with log.open("ab") as said:
        started = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True, close_fds=True
        )
    _await(config.paths.venue, started, log)
    out.say(f"the venue is a process of its own (pid {started.pid})")
    try:
        yield
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(_LEAVES_S)


def _await(db_path: Path, started: "subprocess.Popen[bytes]", log: Path) -> None:
    from qmworkbench.venue.wire.address import read_note

    gives_up = time.monotonic() + _READY_S
    while read_note(db_path) is None:
        if started.poll() is not None:
            raise Cannot(
                f"the venue's process ended with code {started.returncode}: {_tail(log)}", f"see {log}, then try again"
            )
        if time.monotonic() > gives_up:
            started.kill()
            raise Cannot(f"the venue's process was not ready within {_READY_S:g} s", f"see {log}, then try again")
        time.sleep(0.02)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " ".join(line.strip() for line in lines[-3:]) or "it said nothing"
