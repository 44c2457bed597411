"""The Core API's socket: served inside the platform's own loop, found through the book's api.json (§6)."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import uvicorn
from fastapi import FastAPI


class ApiAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API of a running platform is, as `api.json` holds it: readable by its owner alone, because of the
    token.
    """

    url: str
    token: str
    pid: int
    process_id: str
    started_at: datetime


class ApiUnavailable(RuntimeError):
    """The API cannot be served; the message names the address and the remedy."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the platform decides what Ctrl-C does."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ApiServer:
    """Serves `app` on a loopback address until stopped. `port` 0 takes a free one."""

    def __init__(self, app: FastAPI, *, host: str, port: int) -> None:
        self._host = host
        self._port = port
        # A page that stops reading holds one connection and no more; idle ones are dropped.
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=5,
                timeout_graceful_shutdown=2,
                limit_concurrency=200,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen; returns the base URL once requests are answered. Raises ApiUnavailable."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self._host, self._port))
        except OSError as error:
            listening.close()
            raise ApiUnavailable(
                f"the API cannot listen on {self._host}:{self._port} ({error.strerror}): give another service.port, "
                "or 0 for a free one"
            ) from error
        port = listening.getsockname()[1]
        self._serving = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:
            if self._serving.done():
                listening.close()
                raise ApiUnavailable(f"the API on {self._host}:{port} ended at once: {self._serving.exception()}")
            await asyncio.sleep(0.005)
        host = f"[{self._host}]" if family == socket.AF_INET6 else self._host
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Answer what is being asked, then close the socket."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


def write_address(path: Path, address: ApiAddress) -> None:
    """Put `api.json` in place at once and whole, mode 0600."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(address))
    fresh.replace(path)


def remove_address(path: Path, process_id: str) -> None:
    """Take `api.json` away if it is still this process's."""
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        if msgspec.json.decode(path.read_bytes(), type=ApiAddress).process_id == process_id:
            path.unlink()
