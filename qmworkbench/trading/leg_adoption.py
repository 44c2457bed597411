"""Exit legs that the broker names by ids of its own are adopted through the entry that carried them (§13).

A broker may make the ids of bracket legs itself. Their reports name the entry as parent: the leg of ours they belong to
is the one of the kind they tell, or the only one that has no name at the broker yet. From then on that is its working
id. What fits no leg of the entry is nobody's order.
"""

from typing import Final

from qmworkbench.domain.execution import ExecutionReport
from qmworkbench.domain.orders import Order, OrdStatus
from qmworkbench.trading.state import State

_NEVER: Final = (OrdStatus.REJECTED, OrdStatus.DENIED)


def leg_of(state: State, report: ExecutionReport) -> Order | None:
    """Our leg that a report under an id unknown to us is about; None where its parent tells no single one."""
    parent = state.order_named(report.parent_id) if report.parent_id else None
    if parent is None or report.side is not parent.side.opposite or report.symbol != parent.symbol:
        return None
    intent = state.intents.get(parent.cl_ord_id)
    if intent is None:
        return None
    legs = [state.orders[leg.cl_ord_id] for leg in intent.request.legs if leg.cl_ord_id in state.orders]
    # A leg that the broker has confirmed under our id, or under one of its own, has its name already.
    nameless = [leg for leg in legs if leg.order_id is None and not leg.working_id and leg.status not in _NEVER]
    if report.leg is not None:
        nameless = [leg for leg in nameless if leg.leg is report.leg]
    return nameless[0] if len(nameless) == 1 else None
