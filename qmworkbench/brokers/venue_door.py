"""The control door of a served venue, from the side that replays the market: sessions and bars go in here (§2, §4).

The venue may be away for a while: it is tried again until `patience_s` have passed. One that comes back has kept its
books and lost the prints it had only seen, so it is shown the session's bars anew before the next ones; it matches
nothing twice.
"""

import ssl
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any, Final

import httpx
import msgspec
import numpy as np

from qmworkbench.brokers.alpaca.http import UPDATES_HEADER, VENUE_HEADER
from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.instruments import Instrument
from qmworkbench.venue.bars import BadBar, Frame, Universe
from qmworkbench.venue.records import VenueError
from qmworkbench.venue.wire.address import VenueAddress
from qmworkbench.venue.wire.desk import FrameIn, Opening
from qmworkbench.venue.wire.names import LIFE_HEADER, TOKEN_HEADER

_ANOTHER_LIFE: Final = 409
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 1.0


class RemoteMarket:
    """A Market in another process. `heard` is told how far its stream has got by each answer.

    `window` is the session's open and close, for the venue's clock, None where nobody asks. Raises VenueError where
    the venue does not answer for `patience_s`, or refuses; BadBar as the exchange itself does.
    """

    def __init__(
        self,
        address: VenueAddress,
        instruments: Iterable[Instrument],
        *,
        window: tuple[datetime, datetime] | None = None,
        heard: Callable[[int], None] = lambda stamp: None,
        patience_s: float = 30.0,
        answer_s: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._instruments = tuple(instruments)
        self._symbols = tuple(sorted(instrument.symbol for instrument in self._instruments))
        self._window = window or (_NEVER, _NEVER)
        self._heard, self._patience_s, self._sleep = heard, patience_s, sleep
        self._life = ""
        self._told_since_s: float | None = None
        self._opening: Opening | None = None
        self._shown: list[FrameIn] = []
        self._client = httpx.Client(
            base_url=address.url,
            headers={TOKEN_HEADER: address.token, "Content-Type": "application/msgpack"},
            timeout=httpx.Timeout(answer_s, connect=2.0),
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # plain HTTP on this machine: no authorities are needed
            trust_env=False,
        )

    def close(self) -> None:
        """Let the connection go; the venue goes on."""
        self._client.close()

    def silent_s(self) -> float:
        """For how many seconds the venue has owed an answer; 0 where it owes none. For any thread."""
        since_s = self._told_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def open_session(
        self, session_id: str, at: datetime, *, day: date | None = None, actions: Iterable[CorporateAction] = ()
    ) -> None:
        """Open a session, among this market's instruments."""
        self._opening = Opening(
            session_id=session_id,
            at=at,
            day=day,
            opens_at=self._window[0],
            closes_at=self._window[1],
            symbols=self._symbols,
            instruments=self._instruments,
            actions=tuple(actions),
        )
        self._shown = []
        self._life = ""
        self._tell("POST", "/control/session", self._opening)

    def on_frame(self, frame: Frame, universe: Universe) -> None:
        """Show the venue the bars of one boundary."""
        if universe.symbols != self._symbols:
            raise VenueError("the venue was told of other symbols than the frame's: open its session with these")
        columns = [
            np.ascontiguousarray(column, dtype="<f8").tobytes()
            for column in (frame.open, frame.high, frame.low, frame.close, frame.volume)
        ]
        told = FrameIn(
            as_of=frame.as_of,
            extended=frame.extended,
            index=np.ascontiguousarray(frame.index, dtype="<i4").tobytes(),
            columns=(columns[0], columns[1], columns[2], columns[3], columns[4]),
        )
        self._tell("POST", "/control/frame", told)
        self._shown.append(told)

    def close_session(self, as_of: datetime) -> None:
        """Close the session."""
        self._tell("DELETE", "/control/session", {"at": as_of})

    # --- getting through ------------------------------------------------------------------------------------------

    def _tell(self, method: str, path: str, content: Any) -> None:
        self._told_since_s = time.monotonic()
        try:
            self._tell_until_heard(method, path, content)
        finally:
            self._told_since_s = None

    def _tell_until_heard(self, method: str, path: str, content: Any) -> None:
        wait_s, gave_up = _FIRST_WAIT_S, time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._send(method, path, content)
                if answer.status_code == _ANOTHER_LIFE:
                    self._catch_up()
                    continue
                self._life = answer.headers.get(VENUE_HEADER, "").rpartition(";")[2]
                self._heard(int(answer.headers.get(UPDATES_HEADER, "0")))
                return
            except httpx.HTTPError as error:
                if time.monotonic() >= gave_up:
                    raise VenueError(
                        f"the venue at {self._client.base_url} does not answer {method} {path} "
                        f"({type(error).__name__}: {error}): start it again (`qm venue serve`), then run the day "
                        "again; it resumes here"
                    ) from error
                self._sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _catch_up(self) -> None:
        """Show a venue that was started anew the session and its bars so far; it has its books."""
        self._life = ""
        if self._opening is not None:
            self._send("POST", "/control/session", self._opening)
        for frame in self._shown:
            self._send("POST", "/control/frame", frame)

    def _send(self, method: str, path: str, content: Any) -> httpx.Response:
        headers = {LIFE_HEADER: self._life} if self._life else {}
        answer = self._client.request(method, path, content=msgspec.msgpack.encode(content), headers=headers)
        if answer.is_success or answer.status_code == _ANOTHER_LIFE:
            return answer
        try:
            told = msgspec.json.decode(answer.content)
            code, detail = told["qm"]["code"], str(told["message"])
        except (msgspec.DecodeError, KeyError, TypeError):
            code, detail = f"http_{answer.status_code}", answer.text[:200]
        raise BadBar(detail) if code == "bad_bar" else VenueError(f"the venue refuses {path}: {detail}")
