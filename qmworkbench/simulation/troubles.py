"""What goes wrong by the clock: people, feed, machine, and somebody else's hands (§7, §10, §12).

What goes wrong with a request is the network's (network.py), with a report the line's (mail.py), with an order the
venue's (venue_faults.py), with the disk and the process their own (process.py).
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from qmworkbench.domain.events.market import FeedChanged, FeedState, StrategyFaulted
from qmworkbench.domain.events.session import HealthObserved
from qmworkbench.domain.orders import Side
from qmworkbench.simulation import operators, overnight
from qmworkbench.simulation.loop import MINUTE, SECOND
from qmworkbench.venue.drill import ForeignFill
from qmworkbench.venue.records import VenueError

if TYPE_CHECKING:
    from qmworkbench.simulation.session import SimSession


class Troubles:
    """Draws them at each boundary. Until `muted_until` (ms) the feed tells nothing."""

    def __init__(self, sim: "SimSession") -> None:
        self.sim = sim
        self.muted_until = 0

    def at_boundary(self, number: int) -> None:
        """What goes wrong by the clock: people, feed, machine."""
        faults, loop, key = self.sim.faults, self.sim.loop, str(number)
        chance = faults.chance
        for which in ("first", "second"):
            if faults.strikes("command", f"{which} {key}"):
                kind = chance.one_of("command/kind", f"{which} {key}", operators.COMMANDS)
                loop.call(chance.whole("command/ms", f"{which} {key}", 0, MINUTE - 1), self.command, kind, key)
        if faults.strikes("replace_asked", key):
            loop.call(chance.whole("replace/ms", key, 0, MINUTE - 1), self.command, "replace_order", key)
        if faults.strikes("emergency", key):
            loop.call(chance.whole("emergency/ms", key, 0, MINUTE - 1), self.command, "emergency", key)
        if faults.strikes("hangs", key):
            loop.call(chance.whole("hangs/ms", key, 0, MINUTE - 1), self.hang)
        if faults.strikes("feed_mute", key):
            self.muted_until = loop.now + chance.whole("feed_mute/ms", key, 1, 4) * MINUTE
            loop.call(0, self.feed, FeedState.MUTE)
        if faults.strikes("feed_down", key):
            self.muted_until = loop.now + chance.whole("feed_down/ms", key, 1, 3) * MINUTE
            loop.call(0, self.feed, FeedState.DISCONNECTED)
        if faults.strikes("quotes_crossed", key):
            loop.call(chance.whole("crossed/ms", key, 0, MINUTE), self.feed, FeedState.CROSSED)
        if faults.strikes("foreign_fill", key):
            loop.call(chance.whole("foreign/ms", key, 0, MINUTE), self.foreign_fill, key)
        if faults.strikes("cash_moved", key):
            loop.call(chance.whole("cash/ms", key, 0, MINUTE), self.cash_moved, key)
        if faults.strikes("order_vanished", key):
            loop.call(chance.whole("vanished/ms", key, 0, MINUTE), self.vanish, key)
        if faults.strikes("clock_jump", key):
            self.jump(chance.whole("clock_jump/ms", key, -90 * SECOND, 90 * SECOND))
        if faults.strikes("component_down", key):
            loop.call(chance.whole("component/ms", key, 0, MINUTE), self.health, ("risk_manager",))
            loop.call(chance.whole("component/back", key, MINUTE, 3 * MINUTE), self.health, ())
        if faults.strikes("strategy_fault", key):
            loop.call(chance.whole("fault/ms", key, 0, MINUTE), self.strategy_fault, key)

    def hang(self) -> None:
        """The service answers nothing any more: a person fences it off, and gets out without it."""
        sim, process = self.sim, self.sim.process
        if process.works and process.state.session is not None and not sim.day.closed:
            sim.get_out(process, "the service hangs")

    def feed(self, state: FeedState) -> None:
        process = self.sim.process
        if process.works and process.state.session is not None:
            process.decide(FeedChanged(at=process.now(), state=state, detail="simulated"))

    def foreign_fill(self, key: str) -> None:
        """Somebody trades in this account by hand, past the platform."""
        sim, chance = self.sim, self.sim.faults.chance
        symbol = chance.one_of("foreign/symbol", key, sim.market.symbols)
        if not sim.market.closes or sim.day.closed:
            return
        px = sim.market.closes[max(sim.market.closes)][symbol]
        side = Side.BUY if chance.unit("foreign/side", key) < 0.5 else Side.SELL
        fill = ForeignFill(
            cl_ord_id=f"by-hand-{key}", side=side, qty=Decimal(chance.whole("foreign/qty", key, 1, 20)), px=px
        )
        try:
            sim.exchange.plant_break(symbol, execution=fill)
        except VenueError:
            return  # in a currency the venue has no rate of yet: nobody trades that
        sim.checker.planted.add(symbol)
        sim.look_at_the_venue()

    def cash_moved(self, key: str) -> None:
        """Money comes or goes without an order: a deposit, a bill."""
        sim = self.sim
        moved = Decimal(sim.faults.chance.whole("cash/cents", key, -50_000, 50_000)) / 100
        if sim.day.closed or not moved:
            return
        sim.exchange.plant_break(sorted(sim.market.symbols)[0], cash_delta=moved)
        sim.truth.cash += moved
        sim.note(f"the broker's cash moved by {moved}")

    def vanish(self, key: str) -> None:
        """The broker loses an order, and says nothing."""
        sim = self.sim
        resting = {order.cl_ord_id: order for order in sim.exchange.open_orders() if not sim.day.closed}
        if not resting:
            return
        lost = resting[sim.faults.chance.one_of("vanished/order", key, tuple(sorted(resting)))]
        sim.checker.planted.add(lost.symbol)
        sim.exchange.plant_break(lost.symbol, vanished=lost.cl_ord_id)
        sim.note(f"the venue lost {lost.cl_ord_id}")
        for name, order in sim.truth.orders.items():
            order.live = order.live and name != lost.cl_ord_id

    def health(self, down: tuple[str, ...]) -> None:
        process = self.sim.process
        if process.works and process.state.session is not None:
            process.decide(HealthObserved(at=process.now(), critical_down=down))

    def strategy_fault(self, key: str) -> None:
        process, chance = self.sim.process, self.sim.faults.chance
        if process.works and process.state.session is not None:
            name = chance.one_of("fault/which", key, overnight.running(self.sim))
            process.decide(StrategyFaulted(at=process.now(), strategy_id=name, detail="simulated"))

    def jump(self, by_ms: int) -> None:
        """The machine's clock is set; the platform's time never goes back."""
        self.sim.clock_ahead_ms += by_ms
        self.sim.process.clock_ahead_ms = self.sim.clock_ahead_ms

    def command(self, kind: str, key: str) -> None:
        process = self.sim.process
        if not process.works or process.state.session is None:
            return
        command = operators.drawn(kind, key, self.sim.faults.chance, process.state)
        if command is not None:
            self.sim.operators.give(process, command)
