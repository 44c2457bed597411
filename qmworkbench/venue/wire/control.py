"""The control door: how whoever replays the market tells the venue of sessions, bars, halts and faults (§2, §4).

On loopback, behind a token of its own, in msgpack. A client of the account cannot open it: the market is not the
account's to move. Told twice, nothing happens twice.
"""

import hmac
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from qmworkbench.venue.bars import BadBar
from qmworkbench.venue.wire.desk import FrameIn, Opening
from qmworkbench.venue.wire.names import LIFE_HEADER, TOKEN_HEADER
from qmworkbench.venue.wire.refusals import WireError, malformed, unauthorized
from qmworkbench.venue.wire.rest import Answer, Wire
from qmworkbench.venue.wire.troubles import StreamFault, WireFault

_T = TypeVar("_T")


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """The session closes."""

    at: datetime


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """Trading in a symbol stops, or goes on."""

    symbol: str
    halted: bool


class Door(Answer):
    """A handler behind the control token."""

    def prepare(self) -> None:
        given = self.request.headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(given.encode(), self.wire.token.encode()):
            raise unauthorized()
        meant_for = self.request.headers.get(LIFE_HEADER, "")
        if meant_for and meant_for != self.wire.instance:
            raise WireError(409, 40910000, "another_life", "this venue was started anew: show it its session first")

    def read(self, shape: type[_T]) -> _T:
        """The request's body. Raises WireError."""
        try:
            return msgspec.msgpack.decode(self.request.body, type=shape)
        except msgspec.DecodeError as error:
            raise malformed(f"{self.request.path}: {error}") from None


class SessionDoor(Door):
    """/control/session: POST opens, DELETE closes, GET says where the session stands."""

    def get(self) -> None:
        exchange = self.desk.exchange
        session_id, is_open = exchange.session
        self.say({"session_id": session_id, "open": is_open, "last_as_of": exchange.last_as_of})

    def post(self) -> None:
        self.desk.open_session(self.read(Opening))
        self.say({})

    def delete(self) -> None:
        self.desk.close_session(self.read(Closing).at)
        self.say({})


class FrameDoor(Door):
    """/control/frame: the bars of one boundary."""

    def post(self) -> None:
        try:
            self.desk.on_frame(self.read(FrameIn))
        except BadBar as error:
            raise WireError(422, 42210000, "bad_bar", str(error)) from None
        self.say({})


class HaltDoor(Door):
    """/control/halt."""

    def post(self) -> None:
        asked = self.read(Halt)
        self.desk.set_halted(asked.symbol, asked.halted)
        self.say({})


class FaultDoor(Door):
    """/control/faults (of requests) and /control/stream (of the stream)."""

    def post(self, of: str) -> None:
        if of == "faults":
            self.wire.troubles.plan(self.read(tuple[WireFault, ...]))
        else:
            self._stream(self.read(StreamFault))
        self.say({})

    def _stream(self, fault: StreamFault) -> None:
        self.wire.troubles.mute = fault.mute
        self.wire.troubles.refuse_streams = fault.refuse
        for stream in tuple(self.wire.streams):
            if fault.frame is not None:
                stream.send_bytes(fault.frame)
            if fault.cut:
                stream.close()


def routes(wire: Wire) -> list[Any]:
    """The paths of the control door."""
    table: list[tuple[str, type[Door]]] = [
        (r"/control/session", SessionDoor),
        (r"/control/frame", FrameDoor),
        (r"/control/halt", HaltDoor),
        (r"/control/(faults|stream)", FaultDoor),
    ]
    return [(path, handler, {"wire": wire}) for path, handler in table]
