"""A TCP proxy before a server's Unix socket: it delays, it stalls, it cuts (§21)."""

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self


class StallingProxy:
    """Forwards 127.0.0.1:`port` to a Unix socket. `delay_s` holds back every piece in both directions."""

    def __init__(self, target: str, *, delay_s: float = 0.0) -> None:
        self._target, self.delay_s = target, delay_s
        self._flows = threading.Event()
        self._flows.set()
        self._ending = False
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """End every connection, as a cable that is pulled and a reset."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        self._flows.set()
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ending:
                here, _ = self._listening.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._target)
                self._open += [here, there]
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if self.delay_s:
                    time.sleep(self.delay_s)
                self._flows.wait()
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
