"""Where blocking work is done: in line for a plain loop, beside the event loop for a service (DESIGN "Threads").

The steps of a session are written once, as coroutines that hand every blocking call (disk, broker, a frame's
computation) to a `Blocking`. Done in line such a coroutine never suspends, so a plain loop can run it with `complete`;
beside the loop the same steps take the same decisions while cancels, commands and pages go on being served.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from qmworkbench.ports import Journal
from qmworkbench.storage.chained import ChainedJournal

T = TypeVar("T")


class Blocking(Protocol):
    """Carries out work that may block and gives back its result, or raises what it raised."""

    async def do(self, work: Callable[[], T]) -> T: ...

    async def durable(self, journal: Journal) -> int:
        """Wait until everything appended is on disk; returns the durable sequence. Raises JournalFailed."""
        ...


class InLine:
    """At once, in the caller's thread: nothing else is served meanwhile, and no time passes in between."""

    async def do(self, work: Callable[[], T]) -> T:
        return work()

    async def durable(self, journal: Journal) -> int:
        return journal.sync()


class BesideTheLoop:
    """In a thread of the default pool, while the event loop serves everyone else."""

    async def do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def durable(self, journal: Journal) -> int:
        """Where the journal can tell the loop itself, no thread waits for it, and all who wait share one wake."""
        return await (journal.synced() if isinstance(journal, ChainedJournal) else self.do(journal.sync))


def complete(steps: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose blocking work is done in line, without any event loop.

    Raises RuntimeError if it suspends: then something in it needs a loop and the caller is the wrong one.
    """
    try:
        steps.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    steps.close()
    raise RuntimeError("the steps waited for an event loop: run them with asyncio, or do their blocking work in line")
