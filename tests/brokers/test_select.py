"""Which environment trades with what: the simulated venue where it is simulated, and nothing quietly for the rest."""

import pytest

from qmworkbench.brokers.select import NoBroker, broker_for
from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.sessions import Environment
from tests.venue.worlds import World


@pytest.mark.parametrize("environment", [Environment.BACKTEST, Environment.LOCAL])
def test_backtest_and_local_trade_with_the_simulated_venue(environment: Environment) -> None:
    world = World()
    broker = broker_for(environment, world.exchange)
    assert isinstance(broker, SimulatedBroker)
    assert broker.exchange is world.exchange


@pytest.mark.parametrize("environment", [Environment.BACKTEST, Environment.LOCAL])
def test_they_need_one(environment: Environment) -> None:
    with pytest.raises(NoBroker, match=f"environment {environment.value} trades with the simulated venue"):
        broker_for(environment, None)


@pytest.mark.parametrize("environment", [Environment.PAPER, Environment.LIVE])
@pytest.mark.parametrize("with_exchange", [True, False])
def test_paper_and_live_never_fall_back(environment: Environment, with_exchange: bool) -> None:
    with pytest.raises(NoBroker, match=f"environment {environment.value} needs a broker adapter .* has none"):
        broker_for(environment, World().exchange if with_exchange else None)
