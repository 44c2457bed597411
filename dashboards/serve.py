"""`python -m dashboards.serve`: the command center as a process of its own, on loopback, behind a key (§6 UI, §9).

The platform neither starts nor notices it: it reads the Core API like any other client and may end at any moment.
"""

import argparse
import contextlib
import hmac
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bokeh.server.auth_provider import AuthProvider
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError

from dashboards.commands import CommandSender
from dashboards.core_api import ApiTrouble, CoreApi, EndpointInvalid, Locate, book_endpoint, given_endpoint, page_key
from dashboards.source import SnapshotSource

HOST: Final = "127.0.0.1"
MARKET_ZONE: Final = "America/New_York"
# A closed tab keeps its session this long, in milliseconds; until then a reload finds the server warm.
_UNUSED_SESSION_MS: Final = 10_000
_PORT_TRIES: Final = 5
_PORT_MAX: Final = 65_535
# Longer than an open page waits between two looks (pages/command_center.py TICK_MS).
_FAREWELL_S: Final = 1.5


class StartRefused(Exception):
    """The page cannot be served as asked; the message names what was given and what would work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. Exit code 0 after those, 2 when the page could not start."""
    options = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # httpx logs addresses only, but nothing of a request belongs in a page's log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("asyncio").addFilter(_is_news)
    said = sys.stdout
    try:
        # Panel prints what went wrong in a page: standard output is for the address alone.
        with contextlib.redirect_stdout(sys.stderr):
            dashboard = Dashboard(_locate(options), _zone(options.timezone), port=options.port, origins=options.origin)
            dashboard.run(lambda url: _announce(said, url, options.print_url))
    except StartRefused as error:
        sys.stderr.write(f"command center: {error}\n")
        return 2
    return 0


def _is_news(record: logging.LogRecord) -> bool:
    """A browser that leaves while it is being written to is no error worth a traceback in an operator's terminal."""
    gone = (WebSocketClosedError, StreamClosedError)
    return not (record.exc_info and record.exc_info[0] and issubclass(record.exc_info[0], gone))


def _announce(said: TextIO, url: str, only_url: bool) -> None:
    said.write(f"{url}\n" if only_url else f"command center: {url}\n")
    said.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.serve", description="Serve the command center on 127.0.0.1."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--book-dir", type=Path, metavar="DIR", help="the book whose platform is shown (reads DIR/api.json)"
    )
    where.add_argument("--api", metavar="URL", help="address of the Core API, with --token-file")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file that holds the Core API's token")
    parser.add_argument("--port", type=int, default=0, help="port of the page; 0, the default, takes a free one")
    parser.add_argument("--print-url", action="store_true", help="print nothing but the page's address")
    parser.add_argument("--timezone", default=MARKET_ZONE, help=f"clock of the page (default {MARKET_ZONE})")
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="another address the page is reached by, such as the near end of a tunnel; may be repeated",
    )
    return parser


def _locate(options: argparse.Namespace) -> Locate:
    if options.api is None:
        if options.token_file is not None:
            raise StartRefused("--token-file belongs to --api; a book's token is in its api.json")
        if not options.book_dir.is_dir():
            raise StartRefused(f"--book-dir {options.book_dir} is no directory: give the directory of a book")
        return book_endpoint(options.book_dir)
    if options.token_file is None:
        raise StartRefused("--api needs --token-file FILE: the token is never given on the command line")
    try:
        return given_endpoint(options.api, options.token_file)
    except EndpointInvalid as error:
        raise StartRefused(f"--api: {error}") from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise StartRefused(f"--timezone {name!r} is not known: give a name such as {MARKET_ZONE} or UTC") from error


class KeyedAccess(AuthProvider):
    """Lets in who brings the page's key, in the address or in the cookie of an earlier visit, under a known host name.

    Without it every local process could give commands through the page, although the Core API asks for a token.
    """

    def __init__(self, key: str, hosts: frozenset[str], port: int) -> None:
        self._key = key
        self._hosts = hosts
        self._cookie = f"qm_page_{port}"  # cookies are shared between the ports of a host
        super().__init__()

    @property
    def get_user(self) -> Callable[[Any], Any]:
        return self._user

    @property
    def login_url(self) -> str:
        return "/locked"

    @property
    def login_handler(self) -> type[RequestHandler]:
        return _Locked

    def _user(self, handler: RequestHandler) -> str | None:
        if handler.request.host not in self._hosts:
            return None
        if self._fits(handler.get_cookie(self._cookie, "") or ""):
            return "operator"
        if self._fits(handler.get_query_argument("key", "")):
            handler.set_cookie(self._cookie, self._key, httponly=True, samesite="Strict")
            return "operator"
        return None

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._key.encode())


class _Locked(RequestHandler):
    def get(self) -> None:
        """What a visitor without the key sees."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("This page opens with the whole address that was printed when it started (…/?key=…).\n")


class Dashboard:
    """The process: one producer, one command sender, one web server. `port` 0 takes a free one."""

    def __init__(self, locate: Locate, zone: ZoneInfo, *, port: int = 0, origins: Sequence[str] = ()) -> None:
        if not 0 <= port <= _PORT_MAX:
            raise StartRefused(f"--port {port} is no port: give one from 1 to {_PORT_MAX}, or 0 for a free one")
        self.api = CoreApi(locate)
        self.source = SnapshotSource(self.api)
        self.sender = CommandSender(self.api)
        self._zone = zone
        self._ending = False
        self._server, self.port = self._bind(port, _checked_origins(origins), _key(locate))

    def run(self, ready: Callable[[str], None]) -> None:
        """Serve until told to stop; `ready` is given the page's address once it answers."""
        self.source.poll()  # the first page that opens already shows what is
        self.source.start()
        loop = IOLoop.current()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: loop.add_callback_from_signal(self._end, loop))
        self._server.start()
        loop.add_callback(ready, self.url)
        try:
            loop.start()
        finally:
            self._server.stop()
            self.sender.close()
            self.source.stop()
            self.api.close()

    def _end(self, loop: IOLoop) -> None:
        """Let open pages show that they end, and what was last known; then stop."""
        if self._ending:
            loop.stop()
            return
        self._ending = True
        if not self._server.get_sessions("/"):
            loop.stop()
            return
        self.source.end()
        loop.call_later(_FAREWELL_S, loop.stop)

    def _bind(self, port: int, origins: Sequence[str], key: str) -> tuple[Any, int]:
        # Set before Panel is loaded: the page asks nobody outside for scripts, and no variable widens who may connect.
        os.environ["BOKEH_RESOURCES"] = "server"
        os.environ.pop("BOKEH_ALLOW_WS_ORIGIN", None)
        from panel.io.server import get_server

        from dashboards.pages.command_center import Views, page_of

        page = page_of(Views(self.source, self._zone), self.sender)
        for attempt in range(_PORT_TRIES):
            chosen = port or _free_port()
            hosts = [f"{HOST}:{chosen}", f"localhost:{chosen}", *origins]
            try:
                server = get_server(
                    {"/": page},
                    port=chosen,
                    address=HOST,
                    websocket_origin=hosts,
                    title="QuantMatrix command center",
                    auth_provider=KeyedAccess(key, frozenset(hosts), chosen),
                    liveness=True,
                    location=False,
                    unused_session_lifetime_milliseconds=_UNUSED_SESSION_MS,
                    check_unused_sessions_milliseconds=_UNUSED_SESSION_MS // 2,
                    warm=True,
                )
            except OSError as error:
                if port or attempt == _PORT_TRIES - 1:
                    raise StartRefused(
                        f"port {chosen} cannot be used ({error.strerror}): give another --port, or 0"
                    ) from error
                continue
            self.url = f"http://{HOST}:{chosen}/?key={key}"
            return server, chosen
        raise StartRefused("no free port was found: give one with --port")


def _key(locate: Locate) -> str:
    """The page's key: from the token where a platform runs, so that a restarted page is reached by the same address."""
    try:
        return page_key(locate().token)
    except ApiTrouble:
        return secrets.token_urlsafe(18)


def _checked_origins(origins: Sequence[str]) -> list[str]:
    for origin in origins:
        parts = urlsplit(f"//{origin}")
        try:
            usable = bool(parts.hostname) and parts.port is not None and parts.netloc == origin and "*" not in origin
        except ValueError:
            usable = False
        if not usable:
            raise StartRefused(f"--origin {origin!r} is not HOST:PORT: give it such as localhost:8080")
    return list(origins)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
