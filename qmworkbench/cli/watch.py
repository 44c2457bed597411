"""`qm watch`: the command center of a platform on another machine, from what it shows in Redis (§9)."""

import contextlib
import os
import secrets
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.service.config import Config


def watch(
    headless: Annotated[bool, typer.Option("--headless", help="The read-only Core API without a page.")] = False,
    environment: Environment = None,
    book: Book = None,
    config: ConfigFile = None,
) -> None:
    """Watch a platform that runs elsewhere, until Ctrl-C: its screen, and no command.

    Needs the Redis the platform tells (store.bus is redis there): servers.redis, or that of `qm services up`. A page
    that shows a dead platform says so within ten seconds.
    """
    import asyncio

    out = begin()
    settings = config_of(book, environment, config, {"store.bus": ("redis", "qm watch")})
    asyncio.run(_watch(settings, out, headless=headless))


async def _watch(settings: "Config", out: Output, *, headless: bool) -> None:
    import asyncio

    from qmworkbench.bus.redis_streams import RedisError, client_of
    from qmworkbench.cli.command_center import CommandCenter
    from qmworkbench.service.api import create_api
    from qmworkbench.service.api_server import ApiAddress, ApiServer, remove_address, write_address
    from qmworkbench.service.redaction import Redactor
    from qmworkbench.service.stores import bus_url
    from qmworkbench.service.watched import WatchedPlatform

    url = bus_url(settings)
    try:
        with client_of(url) as client:
            client.ping()
    except RedisError as error:
        shown = Redactor(settings.secrets).text(str(error))
        raise Cannot(f"Redis does not answer ({shown})", "start it, or correct servers.redis") from None
    home = settings.resolved("paths.data") / "watch" / settings.environment.value / settings.book
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    watched = WatchedPlatform(url, environment=settings.environment.value, book=settings.book)
    token = secrets.token_urlsafe(32)
    server = ApiServer(create_api(watched, token), host=settings.settings.service.host, port=0)
    page = None if headless else CommandCenter(home, out)
    process_id = secrets.token_hex(6)
    leaving = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leaving.set)
    try:
        address = ApiAddress(
            url=await server.start(), token=token, pid=os.getpid(), process_id=process_id, started_at=datetime.now(UTC)
        )
        write_address(home / "api.json", address)
        origin = watched.origin
        seen = f"shown by {origin.sentence()}" if origin is not None else "which no platform shows yet"
        out.say(f"watching book {settings.book} of {settings.environment.value}, {seen}; read-only API: {address.url}")
        if page is not None:
            await page.start(address)
        await leaving.wait()
    finally:
        if page is not None:
            await page.stop()
        with contextlib.suppress(OSError):
            remove_address(home / "api.json", process_id)
        await server.stop()
        watched.close()
