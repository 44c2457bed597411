"""Which broker an environment trades with; never a quiet fall back to another one (§2, DESIGN §6)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qmworkbench.brokers.alpaca.adoption import LegNames, nobody
from qmworkbench.brokers.market import Market
from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.sessions import Environment
from qmworkbench.ports import Broker
from qmworkbench.venue.costs import VenueModel
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.reached import CALLS, WIRE, begun_by, one_way
from qmworkbench.venue.wire.address import VenueAddress, read_note

if TYPE_CHECKING:
    from qmworkbench.brokers.alpaca.broker import AlpacaBroker

SIMULATED_IN: Final = (Environment.BACKTEST, Environment.LOCAL)


class Purpose(Enum):
    """What a venue is opened for. To trade, it is there or played here, and reached the way it was begun. Between days
    a command needs it too: what was begun over the wire and is served by nobody is served for as long as that takes. In
    an emergency any way in will do.
    """

    TRADING = auto()
    COMMAND = auto()
    EMERGENCY = auto()


class NoBroker(Exception):
    """This environment has no broker here. The message names what is missing and what to do."""


@dataclass(frozen=True)
class OpenVenue:
    """Where a book trades: the broker, and the market its bars are shown to. `exchange` only in this process; how the
    broker is reached says whose names it speaks (venue/reached.py). `silent_s` is for how many seconds the market has
    owed an answer, 0 where it owes none.
    """

    broker: Broker
    market: Market
    exchange: Exchange | None = None
    reached_by: str = CALLS
    silent_s: Callable[[], float] = lambda: 0.0


def broker_for(environment: Environment, exchange: Exchange | None) -> Broker:
    """The broker of `environment`. Backtest and local trade with the simulated venue, and with nothing else.

    Raises NoBroker for paper and live, whose adapters do not exist yet, and when a simulated environment has
    no exchange. An exchange given to paper or live is an error too: real intent must never end in a
    simulation unnoticed.
    """
    _demand_simulated(environment)
    if exchange is None:
        raise NoBroker(f"environment {environment} trades with the simulated venue, and none was opened: open one")
    return SimulatedBroker(exchange)


def wire_broker(
    environment: Environment, address: VenueAddress, *, leg_names: LegNames = nobody, follow: bool = True
) -> "AlpacaBroker":
    """The broker at the other end of a wire, a venue served on this machine; `follow` its stream. Close it.

    Raises NoBroker for another environment, and for a host that is not this machine.
    """
    from qmworkbench.brokers.alpaca.broker import AlpacaBroker
    from qmworkbench.brokers.alpaca.http import Address, HostNotEnabled

    _demand_simulated(environment)
    try:
        return AlpacaBroker(
            Address(url=address.url, key_id=address.key_id, secret=address.secret), leg_names=leg_names, follow=follow
        )
    except HostNotEnabled as error:
        raise NoBroker(str(error)) from None


def served_address(url: str, *, key_id: str, secret: str, token: str, db_path: Path) -> VenueAddress:
    """How the venue of a book is reached: as set, else as the process that serves `db_path` has noted beside it.

    Raises NoBroker where nobody serves it and no address was set.
    """
    noted = read_note(db_path)
    if url and secret and token:
        return VenueAddress(url=url.rstrip("/"), key_id=key_id, secret=secret, token=token)
    if noted is not None and url.rstrip("/") in ("", noted.url):
        return noted
    if url:
        raise NoBroker(
            f"the venue at {url} wants a key, and none is set: set broker.key_id, broker.secret and broker.token, or "
            f"serve {db_path} here with `qm venue serve`, which notes them beside its file"
        )
    raise NoBroker(f"nobody serves {db_path}: start `qm venue serve`, or leave it to `qm day --venue auto`")


@contextmanager
def open_venue(
    environment: Environment,
    *,
    path: Path,
    instruments: Mapping[str, Instrument] | Iterable[Instrument],
    model: VenueModel,
    currency: str,
    initial_cash: Decimal,
    wire: VenueAddress | None = None,
    window: tuple[datetime, datetime] | None = None,
    leg_names: LegNames = nobody,
    purpose: Purpose = Purpose.TRADING,
) -> Iterator[OpenVenue]:
    """The venue of a book: the exchange on its own file in this process, or with `wire` the one served elsewhere.

    `window` is the session's open and close, `leg_names` as of wire_broker. Raises NoBroker, VenueError: for an account
    that was begun the other way too (venue/reached.py), as `purpose` says.
    """
    begun = begun_by(path)
    listed = list(instruments.values() if isinstance(instruments, Mapping) else instruments)
    with ExitStack() as opening:
        exchange = None
        if wire is None and begun == WIRE and purpose is not Purpose.TRADING:
            from qmworkbench.venue.wire.desk import Desk
            from qmworkbench.venue.wire.here import served_here

            served = opening.enter_context(
                served_here(lambda: Desk(path, model, currency, initial_cash, instruments=listed))
            )
            wire, exchange = served.address, served.desk.exchange
        if purpose is not Purpose.EMERGENCY:
            one_way(path, begun, CALLS if wire is None else WIRE)
        if wire is None:
            exchange = opening.enter_context(Exchange(path, listed, model, currency, initial_cash))
            yield OpenVenue(broker_for(environment, exchange), exchange, exchange)
            return
        from qmworkbench.brokers.venue_door import RemoteMarket

        broker = wire_broker(environment, wire, leg_names=leg_names)
        opening.callback(broker.close)
        market = RemoteMarket(wire, listed, window=window, heard=broker.expect)
        opening.callback(market.close)
        yield OpenVenue(broker, market, exchange, WIRE, market.silent_s)


def _demand_simulated(environment: Environment) -> None:
    if environment not in SIMULATED_IN:
        raise NoBroker(
            f"environment {environment} needs a broker adapter (Alpaca or OANDA), and this version has none; "
            "nothing was connected. Use environment local, which trades with the simulated venue"
        )


__all__ = ["LegNames", "NoBroker", "OpenVenue", "Purpose", "broker_for", "open_venue", "served_address", "wire_broker"]
