"""A venue's file served from a thread of this process, for as long as somebody looks at it (§14).

Whoever reads the books of an account that is reached over the wire must hear the wire's names, and there is one place
where they are made: the server. So a command that finds nobody serving the file serves it itself, on loopback, behind
a key that nobody else is told.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from qmworkbench.venue.records import VenueError
from qmworkbench.venue.wire.address import VenueAddress
from qmworkbench.venue.wire.desk import Desk
from qmworkbench.venue.wire.rest import Wire
from qmworkbench.venue.wire.server import Serving, listen

_PATIENCE_S: Final = 30.0


@dataclass(frozen=True)
class ServedHere:
    """`desk` is the thread's: look at it while no request is under way."""

    address: VenueAddress
    desk: Desk


def _private(desk: Desk) -> Wire:
    """A wire whose key nobody else is told."""
    return Wire(desk, key_id="here", secret=secrets.token_urlsafe(24), token=secrets.token_urlsafe(24))


@contextmanager
def served_here(
    open_desk: Callable[[], Desk], *, wired: Callable[[Desk], Wire] = _private, port: int = 0
) -> Iterator[ServedHere]:
    """Serve what `open_desk` opens until the block ends. Raises VenueError where it cannot be opened or served."""
    loop = asyncio.new_event_loop()
    began = threading.Event()
    found: list[Serving | BaseException] = []

    async def begin() -> Serving:
        desk = open_desk()
        try:
            return listen(wired(desk), port=port)
        except BaseException:
            desk.close()
            raise

    def live() -> None:
        asyncio.set_event_loop(loop)
        try:
            found.append(loop.run_until_complete(begin()))
        except BaseException as error:
            found.append(error)
        began.set()
        if isinstance(found[0], Serving):
            loop.run_forever()

    thread = threading.Thread(target=live, name="venue-here", daemon=True)
    thread.start()
    if not began.wait(_PATIENCE_S):
        raise VenueError(f"the venue could not be opened within {_PATIENCE_S:g} s")
    serving = found[0]
    if isinstance(serving, BaseException):
        thread.join(_PATIENCE_S)
        loop.close()
        raise serving
    wire = serving.wire
    try:
        address = VenueAddress(url=serving.url, key_id=wire.key_id, secret=wire.secret, token=wire.token)
        yield ServedHere(address, wire.desk)
    finally:
        asyncio.run_coroutine_threadsafe(_end(serving), loop).result(_PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_S)
        loop.close()


async def _end(serving: Serving) -> None:
    await serving.stop()
    serving.wire.desk.close()
