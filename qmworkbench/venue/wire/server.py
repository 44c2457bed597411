"""`qm venue serve`: the simulated venue as a process, on loopback (§2, §12).

Beside its file the process leaves a note of how it is reached, readable by its owner alone; the note goes when it ends
in order, and a dead process is told by its pid.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from qmworkbench.venue.records import VenueError
from qmworkbench.venue.wire import control, rest
from qmworkbench.venue.wire.address import VenueAddress, noted
from qmworkbench.venue.wire.rest import Wire
from qmworkbench.venue.wire.stream import Stream

_LARGEST_BODY: Final = 64 * 1024 * 1024


@dataclass
class Serving:
    """A server that listens: where, and how to end it."""

    wire: Wire
    url: str
    server: HTTPServer

    async def stop(self) -> None:
        """Listen no more, and let everybody go."""
        self.server.stop()
        for stream in tuple(self.wire.streams):
            stream.close()
        await self.server.close_all_connections()


def listen(wire: Wire, *, host: str = "127.0.0.1", port: int = 0) -> Serving:
    """Serve on the running loop. Raises VenueError for an address that is not this machine's own, or is in use."""
    if not ip_address(host).is_loopback:
        raise VenueError(f"venue serve on {host}: the simulated venue is served on this machine alone, 127.0.0.1")
    application = Application(
        [*rest.routes(wire), *control.routes(wire), (r"/stream", Stream, {"wire": wire})],
        log_function=lambda handler: None,
        websocket_ping_interval=0,
    )
    try:
        sockets = bind_sockets(port, host)
    except OSError as error:
        raise VenueError(f"port {port} on {host} cannot be had ({error.strerror}): give another --port") from error
    server = HTTPServer(application, max_body_size=_LARGEST_BODY)
    server.add_sockets(sockets)
    return Serving(wire, f"http://{host}:{sockets[0].getsockname()[1]}", server)


async def serve(
    wire: Wire, db_path: Path, *, host: str = "127.0.0.1", port: int = 0, on_ready: Callable[[VenueAddress], None]
) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` hears how the venue is reached."""
    serving = listen(wire, host=host, port=port)
    address = VenueAddress(url=serving.url, key_id=wire.key_id, secret=wire.secret, token=wire.token, pid=os.getpid())
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    with noted(db_path, address):
        on_ready(address)
        await ended.wait()
    await serving.stop()
    wire.desk.close()
