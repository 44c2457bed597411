"""A day as a service: one asyncio loop owns the kernel and answers the Core API (§6, §9, DESIGN "Threads").

The steps are those of service/day.py; with no command given, the decisions are those of the plain loop. Cancels,
commands and the emergency never wait for a frame's computation, and no reader holds up a decision.
"""

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Final

import httpx

from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.session import HealthObserved
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.domain.sessions import Phase
from qmworkbench.ports import JournalFailed, Notifier
from qmworkbench.service import startup
from qmworkbench.service.api import create_api
from qmworkbench.service.api_server import ApiAddress, ApiServer, remove_address, write_address
from qmworkbench.service.blocking import BesideTheLoop
from qmworkbench.service.core_service import CoreService, DirectEmergency
from qmworkbench.service.day import Preflight, trading_day
from qmworkbench.service.health_watch import LOOK_EVERY_S, HealthRounds
from qmworkbench.service.live_state import keep_live
from qmworkbench.service.pacing import ReplayPace
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform, open_platform
from qmworkbench.service.result import DayResult
from qmworkbench.service.shell import ShellStopped

VIEW_EVERY_S: Final = 0.25
HEALTH_EVERY_S: Final = LOOK_EVERY_S
TICK_EVERY_S: Final = 0.05
HANGS_AFTER_S: Final = 1.0
DIRECT_S: Final = 120.0
_MARKET_SECOND: Final = timedelta(seconds=1)

PageStarter = Callable[[ApiAddress], Awaitable[str]]
"""Starts the command center for an API and returns once its page answers, with the page's address."""


async def serve_day(  # noqa: PLR0913  (every one a keyword of its own, and most of them optional)
    plan: DayPlan,
    preflight: Preflight,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str = "",
    stay: bool = False,
    start_page: PageStarter | None = None,
    notifier: Notifier | None = None,
    direct_emergency: DirectEmergency | None = None,
    on_open: Callable[[Platform], None] | None = None,
    on_closed: Callable[[DayResult], None] | None = None,
    command: str = "qm day",
) -> DayResult:
    """Run or resume the day of `plan` at its pace, serving the Core API meanwhile.

    `stay` keeps API and page until a signal after the session has closed; `on_closed` is told of the close at once.
    Raises what run_headless raises, and ApiUnavailable.
    """
    with open_platform(plan, command=command, work=BesideTheLoop(), notifier=notifier) as platform:
        if on_open is not None:
            on_open(platform)
        live = LiveDay(
            platform, host=host, port=port, token=token, start_page=start_page, direct_emergency=direct_emergency
        )
        try:
            return await live.run(preflight, stay=stay, on_closed=on_closed)
        finally:
            gc.unfreeze()


class LiveDay:
    """The tasks around one day: its steps, the view, health, the market's clock, the API."""

    def __init__(
        self,
        platform: Platform,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
        start_page: PageStarter | None = None,
        direct_emergency: DirectEmergency | None = None,
    ) -> None:
        self.platform = platform
        self.pace = ReplayPace(platform, platform.plan.speed)
        self.core = CoreService(platform, market_now=self.pace.market_now, direct_emergency=direct_emergency)
        self.address: ApiAddress | None = None
        self._token = token or secrets.token_urlsafe(32)
        self._server = ApiServer(create_api(self.core, self._token), host=host, port=port)
        self._serving = False
        self._start_page = start_page
        self._leaving = asyncio.Event()
        platform.pace = self.pace
        platform.start_api = self._api_up
        platform.start_page = self._page_up if start_page is not None else None

    async def run(
        self, preflight: Preflight, *, stay: bool = False, on_closed: Callable[[DayResult], None] | None = None
    ) -> DayResult:
        """The day, with everything around it; returns once it is closed and, with `stay`, a signal has come."""
        works = (self._show(), self._watch(), self._tick(), keep_live(self.platform, self.core))
        with self._signals():
            around = [asyncio.create_task(work) for work in works]
            try:
                result = await trading_day(self.platform, preflight)
                await self.core.drain()
                await self.core.refresh()
                if on_closed is not None:
                    on_closed(result)
                if stay:
                    await self._leaving.wait()
                return result
            except (JournalFailed, ShellStopped):
                # Nothing is decided any more, yet the emergency still goes out: as long as somebody is there to ask,
                # and unasked where it was under way.
                await self.core.carry_on()
                if stay or not self.platform.plan.unattended:
                    await self._leaving.wait()
                else:
                    await self.core.direct_ended(DIRECT_S)
                raise
            finally:
                for task in around:
                    task.cancel()
                await asyncio.gather(*around, return_exceptions=True)
                await self._api_down()

    def stop(self, why: str) -> None:
        """Ask the day to end at its next safe point; once it is closed, to leave."""
        self.platform.stop = self.platform.stop or why
        self.pace.stop()
        self._leaving.set()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        heard = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):  # only the main thread hears them
                loop.add_signal_handler(number, self.stop, f"stopped by {number.name}")
                heard.append(number)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)

    # --- API and page -------------------------------------------------------------------------------------------

    async def _api_up(self) -> str:
        """Serve, put the address where it is looked for, and ask the API over its own socket whether it is there."""
        if not self._serving:
            platform = self.platform
            url = await self._server.start()
            self._serving = True
            self.address = ApiAddress(
                url=url,
                token=self._token,
                pid=os.getpid(),
                process_id=platform.lease.holder.process_id,
                started_at=platform.wall(),
            )
            write_address(platform.plan.paths.api_json, self.address)
        return await self._asked()

    async def _asked(self) -> str:
        assert self.address is not None, "the API is asked after it was started"
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            try:
                answer = await client.get(f"{self.address.url}/api/health")
            except httpx.HTTPError as error:
                raise startup.NotReady(
                    f"{self.address.url}/api/health gave no answer ({error}): see service.port"
                ) from error
        return f"{self.address.url} answers {answer.status_code}"

    async def _page_up(self) -> str:
        assert self._start_page is not None, "asked only where there is a page"
        assert self.address is not None, "the page comes after the API"
        return await self._start_page(self.address)

    async def _api_down(self) -> None:
        if self._serving:
            self._serving = False
            remove_address(self.platform.plan.paths.api_json, self.platform.lease.holder.process_id)
            await self._server.stop()

    # --- what goes on beside the steps ----------------------------------------------------------------------------

    async def _show(self) -> None:
        """Build the snapshot that everybody is shown: one producer, at a steady pace, whoever reads."""
        while True:
            await asyncio.sleep(VIEW_EVERY_S)
            await self.core.carry_on()
            await self.core.refresh()

    async def _tick(self) -> None:
        """Tell the kernel the time while something waits for it and no bars come.

        What is merely under way needs no clock: only what has hung for a while by the wall does, so that a day in
        which nothing hangs is decided as the plain loop decides it.
        """
        platform, hanging_since = self.platform, float("inf")
        while self.pace.runs:
            await asyncio.sleep(TICK_EVERY_S)
            if platform.shell.failed is not None or not _waits_for_time(platform):
                hanging_since = float("inf")
                continue
            hanging_since = min(hanging_since, time.monotonic())
            emergency = platform.state.emergency
            urgent = emergency is not None and emergency.running
            if not urgent and time.monotonic() - hanging_since < HANGS_AFTER_S:
                continue
            at = self.pace.market_now()
            if at - platform.shell.now() >= _MARKET_SECOND:
                with contextlib.suppress(JournalFailed, ShellStopped):  # noted in shell.failed, and shown from there
                    await platform.shell.feed(ClockTicked(at=at))

    async def _watch(self) -> None:
        """Look at the components' health; what changes is told, sampled and, where it decides, put on record."""
        platform = self.platform
        rounds, lag_ms = HealthRounds(platform), 0.0
        while True:
            rounds.once(serving=self._serving, loop_lag_ms=lag_ms)
            await self._put_on_record()
            if fenced := platform.book_lease.fenced():
                self.stop(fenced)  # whoever has the book now serves it; this one is only in the way
            asked_at = time.perf_counter()
            await asyncio.sleep(HEALTH_EVERY_S)
            lag_ms = max(0.0, (time.perf_counter() - asked_at - HEALTH_EVERY_S) * 1e3)

    async def _put_on_record(self) -> None:
        """Critical components that go down, or come back, decide whether entries may pass (§7)."""
        platform = self.platform
        if platform.shell.failed is not None or platform.state.session is None:
            return
        # Of a session that is taken over: what this process has not started yet has not gone down.
        if not platform.started:
            return
        if not platform.reached(Phase.PRE_MARKET) or platform.reached(Phase.RECONCILIATION):
            return
        down = platform.critical_down()
        if down != platform.day.critical_down:
            with contextlib.suppress(JournalFailed, ShellStopped):
                await platform.shell.feed(HealthObserved(at=self.pace.market_now(), critical_down=down))


def _waits_for_time(platform: Platform) -> bool:
    """Whether a rule waits for a moment: an emergency, an order in doubt, a comparison, an unanswered question."""
    state = platform.state
    if state.session is None or platform.reached(Phase.REVIEW):
        return False
    emergency = state.emergency is not None and state.emergency.running
    doubtful = any(order.is_in_doubt or order.status is OrdStatus.PENDING_CANCEL for order in state.working())
    comparing = state.reconciliation.pending is not None or state.day.recovering
    return emergency or doubtful or comparing or bool(state.day.decisions) or not state.connected
