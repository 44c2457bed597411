"""Which broker an environment trades with; never a quiet fall back to another one (§2, DESIGN §6)."""

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.sessions import Environment
from qmworkbench.ports import Broker
from qmworkbench.venue.exchange import Exchange


class NoBroker(Exception):
    """This environment has no broker here. The message names what is missing and what to do."""


def broker_for(environment: Environment, exchange: Exchange | None) -> Broker:
    """The broker of `environment`. Backtest and local trade with the simulated venue, and with nothing else.

    Raises NoBroker for paper and live, whose adapters do not exist yet, and when a simulated environment has
    no exchange. An exchange given to paper or live is an error too: real intent must never end in a
    simulation unnoticed.
    """
    if environment in (Environment.BACKTEST, Environment.LOCAL):
        if exchange is None:
            raise NoBroker(f"environment {environment} trades with the simulated venue, and none was opened: open one")
        return SimulatedBroker(exchange)
    raise NoBroker(
        f"environment {environment} needs a broker adapter (Alpaca or OANDA), and this version has none; "
        "nothing was connected. Use environment local, which trades with the simulated venue"
    )
