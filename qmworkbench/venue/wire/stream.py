"""The stream half of the wire: authenticate, listen, updates as binary frames, as the paper host sends them (§12)."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from qmworkbench.venue.wire.rest import Wire
from qmworkbench.venue.wire.shapes import trade_updates
from qmworkbench.venue.wire.tape import Update

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode


class Stream(WebSocketHandler):
    """/stream. Nothing is sent to a client that has not said who it is and what it listens to."""

    def initialize(self, wire: Wire) -> None:
        self.wire = wire
        self._known = False
        self._stop: Callable[[], None] | None = None

    def check_origin(self, origin: str) -> bool:
        """A page in a browser has an origin; a trading client has none."""
        return False

    def prepare(self) -> None:
        if self.wire.troubles.refuse_streams:
            self.set_status(503)
            self.finish()

    def open(self, *args: str, **kwargs: str) -> None:
        self.wire.streams.add(self)

    def on_message(self, message: str | bytes) -> None:
        try:
            asked = _DECODE(message)
            data = asked.get("data") or {}
            if asked.get("action") == "authenticate":
                self._authenticate(str(data.get("key_id", "")), str(data.get("secret_key", "")))
            elif asked.get("action") == "listen" and self._known:
                self._listen([name for name in data.get("streams", ()) if name == "trade_updates"])
        except (msgspec.DecodeError, AttributeError, TypeError):
            self.close(1007, "give JSON objects")

    def _authenticate(self, key_id: str, secret: str) -> None:
        self._known = self.wire.knows(key_id, secret)
        status = "authorized" if self._known else "unauthorized"
        self.send({"stream": "authorization", "data": {"status": status, "action": "authenticate"}})

    def _listen(self, streams: list[str]) -> None:
        if streams and self._stop is None:
            self._stop = self.wire.desk.listen(self._on_updates)
        self.send({"stream": "listening", "data": {"streams": streams}})

    def _on_updates(self, news: Sequence[Update]) -> None:
        if not self.wire.troubles.mute:
            for update in news:
                for message in trade_updates(self.wire.desk.tape, update):
                    self.send(message)

    def send(self, content: dict[str, Any]) -> None:
        """One binary frame."""
        self.send_bytes(_ENCODE(content))

    def send_bytes(self, frame: bytes) -> None:
        """Whatever is to go out; a client that has left is not told."""
        try:
            self.write_message(frame, binary=True)
        except WebSocketClosedError:
            self.on_close()

    def on_close(self) -> None:
        self.wire.streams.discard(self)
        if self._stop is not None:
            self._stop()
            self._stop = None
