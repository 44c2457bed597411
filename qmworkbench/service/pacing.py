"""The market's clock beside the wall's: when a replayed frame is due, and what time it is between two frames (§20)."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from qmworkbench.market.feed import Delivery
from qmworkbench.service.platform import Platform

_BEFORE_THE_BARS: Final = timedelta(milliseconds=1)
_SHORTEST_WAIT_S: Final = 0.0005


class ReplayPace:
    """Paces the steps of a day at `speed` market seconds per wall second; None: as fast as the steps are taken.

    Between two boundaries market time runs on with the wall, and never reaches the next bars before they are there.
    Every wait ends at once when a stop is asked for.
    """

    def __init__(self, platform: Platform, speed: float | None) -> None:
        self._platform = platform
        self._speed = speed
        self._stopping = asyncio.Event()
        self._reference: tuple[datetime, datetime] | None = None
        platform.boundary_listeners.append(self._boundary)

    @property
    def runs(self) -> bool:
        """Whether market time goes with the wall at all; at full speed it goes with the bars alone."""
        return self._speed is not None

    def stop(self) -> None:
        """End the wait that is going on, and all later ones."""
        self._stopping.set()

    async def wait(self, delivery: Delivery) -> None:
        due_at = delivery.due_at
        delay_s = 0.0 if due_at is None else (due_at - self._platform.wall()).total_seconds()
        await self._sleep(delay_s)

    async def second(self) -> None:
        await self._sleep(1 / self._speed if self._speed is not None else 0.0)

    def market_now(self) -> datetime:
        """Market time at this moment: for commands and ticks, which come when they come."""
        newest = self._platform.shell.now()
        if self._speed is None or self._reference is None:
            return newest
        market_at, wall_at = self._reference
        told = market_at + (self._platform.wall() - wall_at) * self._speed
        awaited = self._platform.monitor.awaited
        if awaited is not None:
            told = min(told, awaited - _BEFORE_THE_BARS)
        return max(newest, told)

    def _boundary(self, delivery: Delivery) -> None:
        self._reference = (delivery.frame.as_of, self._platform.wall())

    async def _sleep(self, seconds: float) -> None:
        """Give the loop a turn at least."""
        if seconds <= _SHORTEST_WAIT_S:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
