"""Coroutines that wait for the disk: a commit wakes their event loop once, however many of them there are (§21)."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from qmworkbench.ports import JournalFailed
from qmworkbench.storage.group_commit import GroupCommit

_Waiting = deque[tuple[int, "asyncio.Future[int]"]]


class LoopWaits:
    """What the coroutines of each event loop wait for from one writer."""

    def __init__(self, writer: "GroupCommit[Any]") -> None:
        self._writer = writer
        self._waiting: dict[asyncio.AbstractEventLoop, _Waiting] = {}

    async def reached(self, target: int) -> int:
        """Wait until decision `target` is on disk; returns the durable sequence. Raises JournalFailed."""
        self._writer.raise_if_failed()
        durable = self._writer.durable()[0]
        if durable >= target:
            return durable
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        waiting = self._waiting.setdefault(loop, deque())
        waiting.append((target, future))
        if len(waiting) == 1:
            self._wake(loop)
        else:
            self._writer.want()  # the next commit begins without waiting for the loop to come round
        return await future

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the loop: give everyone what has become of it, and be woken again for those who wait for more."""
        waiting = self._waiting.get(loop)
        if waiting is None:
            return  # told once more than there was anything to tell

        def tell() -> None:
            with suppress(RuntimeError):  # a loop that was closed has nobody left who waits
                loop.call_soon_threadsafe(self._wake, loop)

        while waiting:
            if self._writer.when_durable(waiting[0][0], tell):
                return
            self._answer(waiting)
        del self._waiting[loop]

    def _answer(self, waiting: _Waiting) -> None:
        """Those at the front, whose sequence is durable; everyone, once nothing will be any more."""
        durable, failure = self._writer.durable()[0], self._writer.failure
        while waiting and (failure is not None or waiting[0][0] <= durable):
            _target, future = waiting.popleft()
            if future.done():
                continue  # whoever waited was cancelled
            if failure is None:
                future.set_result(durable)
            else:
                future.set_exception(JournalFailed(str(failure)))
