"""The connection on which the broker tells of updates by itself: kept alive, seen to be alive, never stormed (§13).

A thread of its own connects, says who it is, listens, and puts every frame in a queue. A socket that is open and mute
is as bad as a broken one and harder to see: where nothing is heard the broker is pinged, and without an answer the
connection is given up. Attempts are paced: each waits twice as long as the one before, up to half a minute.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
import websocket

from qmworkbench.brokers.alpaca.http import Address
from qmworkbench.brokers.alpaca.reading import Malformed, parsed

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 30.0
_TROUBLES: Final = (websocket.WebSocketException, OSError, ssl.SSLError, EOFError, ValueError)


class Unusable(Exception):
    """The connection came about and is of no use: refused, or mute."""


class Stream:
    """Reads frames until it is closed. `listenings` counts the times it began to listen, `attempts` to connect."""

    def __init__(
        self,
        address: Address,
        *,
        ping_after_s: float = 10.0,
        mute_after_s: float = 20.0,
        wait: Callable[[float], None] | None = None,
    ) -> None:
        self._address = address
        self._url = f"ws{address.url.removeprefix('http')}/stream"
        self._ping_after_s, self._mute_after_s = ping_after_s, mute_after_s
        self.changed = threading.Condition()
        self._frames: deque[bytes] = deque()
        self._closed = threading.Event()
        self._wait = wait if wait is not None else lambda seconds: self._closed.wait(seconds) and None
        self._socket: Any = None
        self._thread: threading.Thread | None = None
        self.listenings = 0
        self.attempts = 0
        self.listening = False
        self.trouble = ""

    def start(self) -> None:
        """Begin to connect; twice is harmless."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="trade-updates", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Give the connection up for good; the thread ends by itself."""
        self._closed.set()
        self.drop("closed")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def drop(self, why: str) -> None:
        """Give this connection up and connect anew."""
        with self.changed:
            self.trouble, self.listening = why, False
            held = self._socket
            self.changed.notify_all()
        if held is not None and held.sock is not None:
            with contextlib.suppress(*_TROUBLES):
                held.sock.shutdown(socket.SHUT_RDWR)  # wakes the reader, who lets go of the rest

    def take(self) -> list[bytes]:
        """The frames that have come since, in order."""
        with self.changed:
            taken = list(self._frames)
            self._frames.clear()
        return taken

    def await_listening(self, patience_s: float) -> bool:
        """Wait until the broker says that it sends updates, or has refused; says whether it does."""
        with self.changed:
            self.changed.wait_for(lambda: self.listening or bool(self.trouble) or self._closed.is_set(), patience_s)
            return self.listening

    def await_frames(self, patience_s: float) -> bool:
        """Wait for something to read; False where nothing came, or the connection was lost."""
        with self.changed:
            self.changed.wait_for(lambda: bool(self._frames) or not self.listening, patience_s)
            return bool(self._frames)

    # --- the thread ---------------------------------------------------------------------------------------------

    def _live(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._closed.is_set():
            self.attempts += 1
            heard = self.listenings
            try:
                self._connect()
                self._read()
            except (Unusable, Malformed, *_TROUBLES) as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                trouble = "the broker ended the stream"
            with self.changed:
                self.listening, self.trouble = False, trouble
                held, self._socket = self._socket, None
                self.changed.notify_all()
            if held is not None:
                with contextlib.suppress(*_TROUBLES):
                    held.shutdown()
            wait_s = _FIRST_WAIT_S if self.listenings > heard else min(wait_s * 2, _LONGEST_WAIT_S)
            if not self._closed.is_set():
                self._wait(wait_s)

    def _connect(self) -> None:
        address = self._address
        connected = websocket.create_connection(
            self._url, timeout=address.connect_s, enable_multithread=True, skip_utf8_validation=True
        )
        with self.changed:
            self._socket = connected
        connected.settimeout(address.answer_s)
        self._say("authenticate", {"key_id": address.key_id, "secret_key": address.secret})
        said = self._answer("authorization")
        if said.get("status") != "authorized":
            raise Unusable(f"the broker does not let us listen: {said.get('status')!r}")
        self._say("listen", {"streams": ["trade_updates"]})
        said = self._answer("listening")
        if "trade_updates" not in (said.get("streams") or ()):
            raise Unusable("the broker does not send trade updates")
        with self.changed:
            self.listening, self.trouble = True, ""
            self.listenings += 1
            self.changed.notify_all()

    def _say(self, action: str, data: dict[str, Any]) -> None:
        self._socket.send(msgspec.json.encode({"action": action, "data": data}).decode())

    def _answer(self, stream: str) -> dict[str, Any]:
        """The answer to what was said; updates that come before it are kept."""
        for _ in range(100):
            frame = self._socket.recv()
            content = parsed(frame)
            if isinstance(content, dict) and content.get("stream") == stream:
                data = content.get("data")
                return data if isinstance(data, dict) else {}
            self._keep(frame if isinstance(frame, bytes) else frame.encode())
        raise Unusable(f"the broker never answers {stream!r}")

    def _read(self) -> None:
        held = self._socket
        heard_at = time.monotonic()
        held.settimeout(min(self._ping_after_s, self._mute_after_s) / 2)
        while not self._closed.is_set():
            try:
                opcode, frame = held.recv_data_frame(control_frame=True)
            except websocket.WebSocketTimeoutException:
                quiet_s = time.monotonic() - heard_at
                if quiet_s > self._mute_after_s:
                    raise Unusable(f"nothing was heard for {quiet_s:.0f} s, not even an answer to a ping") from None
                if quiet_s >= self._ping_after_s / 2:
                    held.ping()
                continue
            heard_at = time.monotonic()
            if opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
                self._keep(bytes(frame.data))
            elif opcode == websocket.ABNF.OPCODE_CLOSE:
                return

    def _keep(self, frame: bytes) -> None:
        with self.changed:
            self._frames.append(frame)
            self.changed.notify_all()
