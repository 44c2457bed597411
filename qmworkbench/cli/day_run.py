"""Runs the day of a configuration, in a plain loop or as a service, and shows how far it is (§4, §9)."""

import asyncio
import contextlib
import dataclasses
import os
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.output import Output

if TYPE_CHECKING:
    from rich.progress import Progress

    from qmworkbench.market.feed import Delivery
    from qmworkbench.market.session import SessionData
    from qmworkbench.service.config import Config
    from qmworkbench.service.platform import Platform
    from qmworkbench.service.result import DayResult

# A day that is looked at takes this long where no speed is set: all of it, with its reports, fits into three minutes.
WATCHED_S: Final = 100.0


class DayRun:
    """One day to be run. Everything that can be wrong with it is found before `begin` touches the book.

    Raises DataRefused, NotASession, Cannot.
    """

    def __init__(
        self,
        config: "Config",
        out: Output,
        *,
        symbols: int | None,
        headless: bool,
        stay: bool,
        paced: bool,
        verbose: bool = False,
        fresh: bool = False,
        standby: bool = False,
    ) -> None:
        from qmworkbench.service.plan import plan_of

        self._config = config
        self._fresh = fresh
        self._standby = standby
        self._out = out
        self._stay = stay
        self._verbose = verbose
        self._with_page = not headless
        # A pace needs the event loop, with or without a page; so does whoever stays.
        self._served = not headless or paced or stay
        with out.working("reading the market data"):
            data = _data(config, symbols, fresh)
            plan = plan_of(config, data, fresh=fresh)
        for instance, why in plan.left_out.items():
            out.say(f"{instance} cannot run and is left out: {why}")
        if self._with_page and config.source("feed.speed") == "default":
            span_s = (data.boundaries[-1] - data.frames[0].as_of).total_seconds()
            plan = dataclasses.replace(plan, speed=max(1.0, span_s / WATCHED_S))
        self.plan = plan
        self._progress: Progress | None = None
        self._seen = 0
        self._begun = False
        self._on_first: Callable[[], None] = lambda: None

    @property
    def session_id(self) -> str:
        return self.plan.session_id

    def begin(self) -> None:
        """Make room for a new book where that was asked for. Raises LeaseTaken, AlreadyClosed."""
        if self._fresh:
            begin_anew(self._config, self._out)

    def to_the_close(self, *, on_closed: Callable[[], None], on_first_boundary: Callable[[], None]) -> "DayResult":
        """Run or resume the day; a standby once the platform that runs it has died.

        Raises what run_headless and serve_day raise; a stop says how to go on.
        """
        if not self._standby:
            return self._run(on_closed, on_first_boundary)
        from qmworkbench.service.lease import LeaseTaken
        from qmworkbench.service.standby import wait_for_lapse

        while True:
            taking_over = wait_for_lapse(self.plan, say=self._out.say)
            assert taking_over is not None, "nothing stops it but a signal"
            self.plan = taking_over
            with contextlib.suppress(LeaseTaken):  # another standby was quicker: it is the one to watch now
                return self._run(on_closed, on_first_boundary)

    def _run(self, on_closed: Callable[[], None], on_first_boundary: Callable[[], None]) -> "DayResult":
        from qmworkbench.cli.checklists import day_preflight
        from qmworkbench.service.platform import StopRequested

        self._on_first = on_first_boundary if self._served else lambda: None
        preflight = day_preflight(self._config)
        try:
            with self._shown():
                if self._served:
                    return asyncio.run(self._serve(preflight, on_closed))
                from qmworkbench.service.headless import run_headless

                result = run_headless(
                    self.plan, preflight, on_open=self._on_open, on_boundary=self._on_boundary, command=typed()
                )
            on_closed()
            return result
        except StopRequested:
            again = [part for part in sys.argv[1:] if part != "--fresh"]
            self._out.say(f"to go on with session {self.session_id}: qm {shlex.join(again)}")
            raise

    async def _serve(self, preflight: Any, on_closed: Callable[[], None]) -> "DayResult":
        from qmworkbench.cli.command_center import CommandCenter
        from qmworkbench.service.direct_takeover import InProcessEmergency
        from qmworkbench.service.live import serve_day

        service = self._config.settings.service
        emergency = InProcessEmergency()
        page = CommandCenter(self.plan.paths.root, self._out) if self._with_page else None

        def opened(platform: "Platform") -> None:
            emergency.opened(platform)
            self._on_open(platform)

        def closed(_result: "DayResult") -> None:
            if self._stay:
                self._out.say("the session is closed; page and API stay until Ctrl-C")
            on_closed()

        try:
            return await serve_day(
                self.plan,
                preflight,
                host=service.host,
                port=service.port,
                token=service.token.get_secret_value(),
                stay=self._stay,
                start_page=page.start if page is not None else None,
                direct_emergency=emergency,
                on_open=opened,
                on_closed=closed,
                command=typed(),
            )
        finally:
            if page is not None:
                await page.stop()

    # --- following the day ------------------------------------------------------------------------------------

    def _on_open(self, platform: "Platform") -> None:
        """Log what happens, and say where an interrupted session goes on."""
        if platform.restored.unfinished:
            self._out.say(f"session {self.session_id} was not finished: going on where it stopped")
        keep_log(self._config, platform, verbose=self._verbose)
        if self._served:
            platform.boundary_listeners.append(self._on_boundary)

    def _on_boundary(self, delivery: "Delivery") -> None:
        self._seen += 1
        # Bars before the open come while the pre-market phase is still to be looked at.
        if not delivery.frame.extended and not self._begun:
            self._begun = True
            self._on_first()
        if self._progress is not None:
            task = self._progress.task_ids[0]
            done = self.plan.data.frames.index(delivery.frame) + 1 if self._seen == 1 else None
            if done is not None:
                self._progress.update(task, completed=done)
            else:
                self._progress.advance(task)

    def _shown(self) -> Any:
        """A bar where people look; a line where they do not."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        frames = len(self.plan.data.frames)
        if self._verbose or not sys.stderr.isatty():
            self._out.say(f"session {self.session_id}: {frames} boundaries of {self.plan.data.source} …")
            return contextlib.nullcontext()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._progress.add_task(f"session {self.session_id}", total=frames)
        return self._progress


def checked_count(config: "Config", count: int | None) -> int | None:
    """`--symbols N` where the configuration's market has that many. Raises Cannot, DataRefused."""
    if count is None:
        return None
    if config.settings.data.symbols:
        raise Cannot(
            f"--symbols {count} and data.symbols ({config.source('data.symbols')}) both choose the universe",
            "give one of them",
        )
    if config.data_file is None:
        from qmworkbench.market.demo import MOST_SYMBOLS

        if count > MOST_SYMBOLS:
            raise Cannot(f"--symbols {count}: the demo market has {MOST_SYMBOLS} names", f"give 1 to {MOST_SYMBOLS}")
        return count
    from qmworkbench.market.store.reading import open_bar_path

    held = len(open_bar_path(config.data_file).symbols())
    if count > held:
        raise Cannot(f"--symbols {count}: {config.data_file} has {held}", f"give 1 to {held}")
    return count


def _data(config: "Config", symbols: int | None, fresh: bool) -> "SessionData":
    """The session's bars; `symbols` N takes the first N by name of a file, or a demo market of N.

    Without a date the demo goes on with the book's next session; a fresh book begins at the beginning.
    """
    from qmworkbench.service.session_data import load_data

    return load_data(config, fresh=fresh, count=checked_count(config, symbols))


def begin_anew(config: "Config", out: Output) -> None:
    """Make room for a new book. Raises LeaseTaken."""
    from qmworkbench.service.fresh import move_aside

    aside = move_aside(config.paths)
    if aside is not None:
        out.say(f"the book that was there is kept as {aside}")


def keep_log(config: "Config", platform: "Platform", *, verbose: bool) -> None:
    """Log what happens in the session, from the last line an earlier process wrote."""
    from qmworkbench.cli.log_lines import human_lines
    from qmworkbench.service.logs import SessionLog
    from qmworkbench.service.recovery import session_events
    from qmworkbench.service.redaction import Redactor

    session_id = platform.plan.session_id
    log = SessionLog(
        platform.session_paths.logs,
        process_id=platform.lease.holder.process_id,
        session_id=session_id,
        redactor=Redactor(config.secrets),
        human=human_lines() if verbose else None,
    )
    platform.on_close(log.close)
    if platform.restored.unfinished:
        log.catch_up(session_events(platform.journal, session_id))
    platform.bus.follow(log.receive)


def typed() -> str:
    """The command as the lease shows it to others."""
    return shlex.join(["qm", *sys.argv[1:]]) if os.path.basename(sys.argv[0]).startswith("qm") else "qm day"
