"""A venue served over a real socket from a thread of the test's own process, and worlds that trade with it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec

from qmworkbench.brokers.alpaca.broker import AlpacaBroker
from qmworkbench.brokers.alpaca.http import Address
from qmworkbench.brokers.venue_door import RemoteMarket
from qmworkbench.domain.instruments import Instrument
from qmworkbench.venue.costs import VenueModel, ideal
from qmworkbench.venue.wire.address import VenueAddress
from qmworkbench.venue.wire.desk import Desk
from qmworkbench.venue.wire.here import served_here
from qmworkbench.venue.wire.names import TOKEN_HEADER
from qmworkbench.venue.wire.rest import Wire
from qmworkbench.venue.wire.troubles import StreamFault, WireFault
from tests.venue.worlds import OPEN, World

PATIENCE_S = 60.0
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # plain HTTP: the usual authorities take long to load
KEY, SECRET, TOKEN = "test-key", "test-secret-of-the-account", "test-token-of-the-door"


@dataclass
class Served:
    """A venue that listens. `desk` belongs to the thread: tests look at it when nothing is under way."""

    address: VenueAddress
    desk: Desk

    def plan(self, *faults: WireFault) -> None:
        """Let requests go wrong."""
        self.control("/control/faults", faults)

    def stream(self, **fault: Any) -> None:
        """Let the stream go wrong."""
        self.control("/control/stream", StreamFault(**fault))

    def control(self, path: str, content: Any) -> None:
        answer = httpx.post(
            f"{self.address.url}{path}",
            content=msgspec.msgpack.encode(content),
            headers={TOKEN_HEADER: self.address.token},
            timeout=PATIENCE_S,
            trust_env=False,
            verify=PLAIN,
        )
        assert answer.is_success, answer.text

    def broker(self, **how: Any) -> AlpacaBroker:
        """An adapter on this venue, patient with a machine that has much to do."""
        times = {"connect_s": PATIENCE_S, "answer_s": PATIENCE_S} | {
            k: how.pop(k) for k in ("connect_s", "answer_s") if k in how
        }
        address = Address(url=self.address.url, key_id=KEY, secret=SECRET, retry_after_s=0.01, **times)
        return AlpacaBroker(address, **how)


@contextlib.contextmanager
def served(
    path: Path | str,
    *,
    model: VenueModel | None = None,
    cash: str = "1000000",
    instruments: Sequence[Instrument] = (),
    per_minute: int | None = None,
    port: int = 0,
) -> Iterator[Served]:
    """Serve the venue of `path` until the block ends."""

    def open_desk() -> Desk:
        return Desk(path, model if model is not None else ideal(), "USD", Decimal(cash), instruments=instruments)

    def wired(desk: Desk) -> Wire:
        return Wire(desk, key_id=KEY, secret=SECRET, token=TOKEN, per_minute=per_minute)

    with served_here(open_desk, wired=wired, port=port) as here:
        yield Served(here.address, here.desk)


class WireWorld(World):
    """A small world whose exchange is at the other end of a socket."""

    def __init__(self, venue: Served, **how: Any) -> None:
        self.venue = venue
        super().__init__(**how)

    def _open(self) -> Any:
        window = (OPEN, OPEN + timedelta(hours=6, minutes=30))
        return RemoteMarket(
            self.venue.address, self.instruments, window=window, patience_s=PATIENCE_S, answer_s=PATIENCE_S
        )

    def trade_with(self, broker: AlpacaBroker) -> None:
        """Let `broker` know how far the stream has got with every bar."""
        market: Any = self.exchange
        market._heard = broker.expect
