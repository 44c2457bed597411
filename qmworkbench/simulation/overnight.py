"""Between two sessions of a simulated book: what the venue books, and who is there the next morning (§4, §14).

A new process opens the next session, as every day does. The venue books what the night brought first; it is heard
before anything else the broker says.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.events.overnight import ActivitiesObserved
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.simulation.loop import MINUTE, at
from qmworkbench.simulation.process import Process

if TYPE_CHECKING:
    from qmworkbench.simulation.session import SimSession

_RATIOS: Final = (Decimal(2), Decimal("0.5"), Decimal("1.5"))


def open_the_venue(sim: "SimSession") -> None:
    """The venue's session begins: corporate actions first."""
    day = sim.day
    opens = at(day.first * MINUTE).date()
    actions = tuple(_actions(sim)) if day.index else ()
    sim.exchange.open_session(day.session_id, at(sim.loop.now), day=opens, actions=actions)
    told = sim.exchange.activities(sim.truth.activity_cursor)
    for activity in told:
        sim.note(f"overnight {activity}")
        sim.marks.hit.add(f"overnight.{activity.kind}")
    restated = {order.cl_ord_id: order.order_qty for order in sim.exchange.open_orders()}
    sim.truth.overnight(told, restated)
    sim.look_at_the_venue()


def _actions(sim: "SimSession") -> Iterator[CorporateAction]:
    """What the companies announced, by symbol; a split moves the price with it."""
    faults, day, market = sim.faults, sim.day, sim.market
    opens = at(day.first * MINUTE).date()
    for symbol in () if sim.plan.world.forex else market.symbols:
        key = f"{symbol} {day.index}"
        if faults.strikes("dividend", key):
            yield CorporateAction(symbol=symbol, ex_date=opens, kind=ActivityKind.DIVIDEND, amount=Decimal("0.25"))
        if faults.strikes("split", key):
            ratio = _RATIOS[faults.chance.whole("split/ratio", key, 0, len(_RATIOS) - 1)]
            market.ticks[symbol] = int(market.ticks[symbol] / ratio)
            yield CorporateAction(symbol=symbol, ex_date=opens, kind=ActivityKind.SPLIT, ratio=ratio)


def hear(sim: "SimSession", process: Process) -> bool:
    """What the broker booked without an order, since we last heard; before its reports, as the platform does.

    False where it cannot be read and shares were restated by it: the platform does not start then, because executions
    of the new shares would be booked on the old ones. Money that moved may be told later: comparisons miss it.
    """
    told = tuple(sim.exchange.activities(process.state.activity_cursor))
    if told and sim.faults.strikes("activities_failed", str(sim.day.index)):
        silent_ms = sim.faults.chance.whole("activities/ms", str(sim.day.index), MINUTE, 5 * MINUTE)
        sim.network.activities_down_until = sim.loop.now + silent_ms
    if not told or not process.works:
        return True
    if sim.network.tells_activities:
        process.decide(ActivitiesObserved(at=process.now(), activities=told))
        return True
    return all(activity.qty_after == activity.qty_before for activity in told)


def running(sim: "SimSession") -> tuple[str, ...]:
    """The instances configured for this day: on a later one the last of them may be gone, whatever it holds."""
    names, day = sim.market.strategies, sim.day
    if day.index and len(names) > 1 and day.last_dropped:
        return names[:-1]
    return names
