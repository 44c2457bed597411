"""The books in memory are the books in a file: the same answers to the same session, refusals and reloads included."""

import inspect

import msgspec
import pytest

from qmworkbench.domain.orders import TimeInForce
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.memory_store import MemoryStore
from qmworkbench.venue.orders import OrderRefused
from qmworkbench.venue.store import Store
from tests.venue.worlds import World, bracket


class InMemory(World):
    """A world whose venue keeps nothing, not even tables."""

    def _open(self) -> Exchange:
        return Exchange(None, self.instruments, self.model, self.currency, self.cash)


def a_session(world: World) -> list[object]:
    """Brackets, a trailing stop, a cancel, refusals, an order at the close; all the venue answers along the way."""
    told: list[object] = []

    def ask() -> None:
        exchange = world.exchange
        told.append(
            msgspec.to_builtins(
                (
                    exchange.account(),
                    sorted(exchange.positions(), key=lambda held: held.symbol),
                    exchange.open_orders(),
                    exchange.reports(0),
                    exchange.reports(3),
                    exchange.statement(2),
                    exchange.activities(0),
                    [exchange.order(name) for name in ("one", "one/stop", "two", "never")],
                )
            )
        )

    world.feed({"AAA": (10, 10.2, 9.9, 10.1), "BBB": (50, 50.5, 49.5, 50)})
    world.buy("one", 100, legs=bracket("one", stop=9.5, target=10.6))
    world.buy("two", 50, symbol="BBB", legs=bracket("two", trail=100, close=True))
    with pytest.raises(OrderRefused):
        world.buy("one", 100)
    with pytest.raises(OrderRefused):
        world.buy("huge", 10_000_000)
    ask()
    world.feed({"AAA": (10.1, 10.3, 10, 10.2), "BBB": (50, 51, 49.9, 51)})
    world.buy("rests", 10, limit=9, tif=TimeInForce.DAY)
    ask()
    world.feed({"AAA": (10.2, 10.7, 10.2, 10.6), "BBB": (51, 52, 50.9, 51.9)})
    world.exchange.cancel("rests")
    world.exchange.cancel("rests")
    ask()
    world.end()
    world.exchange.open_session("2018-03-05", world.exchange.account().as_of)
    ask()
    return told


def test_it_answers_as_the_file_does() -> None:
    assert a_session(InMemory()) == a_session(World())


def test_it_has_all_that_the_store_has() -> None:
    def public(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}

    assert public(Store) <= public(MemoryStore) | {"path"}
