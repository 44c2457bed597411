"""Asking the broker: what came of a request, and what an order is, as the kernel is told (§13)."""

from collections.abc import Callable
from datetime import datetime

from qmworkbench.domain.events.orders import OrderQueried
from qmworkbench.domain.execution import SubmitOutcome
from qmworkbench.ports import Broker, BrokerUnreachable, OutcomeUnknown, RequestRefused
from qmworkbench.service.blocking import Blocking
from qmworkbench.service.lease import LeaseLost


async def requested(work: Blocking, request: Callable[[], None]) -> tuple[SubmitOutcome, str]:
    """How a request ended, and what the broker said. Raises LeaseLost: then it was not sent."""
    try:
        await work.do(request)
    except RequestRefused as error:
        return SubmitOutcome.REFUSED, str(error)
    except (OutcomeUnknown, BrokerUnreachable) as error:
        return SubmitOutcome.LOST, str(error)
    except LeaseLost:
        raise
    except Exception as error:  # an adapter that trips over an answer has sent the request: the outcome is unknown
        return SubmitOutcome.LOST, f"{type(error).__name__}: {error}"
    return SubmitOutcome.SENT, ""


async def order_queried(work: Blocking, broker: Broker, cl_ord_id: str, now: Callable[[], datetime]) -> OrderQueried:
    """What the broker says of an order; an answer that did not come is no answer, never "absent"."""
    try:
        found, cursor = await work.do(lambda: broker.order(cl_ord_id))
    except BrokerUnreachable as error:
        return OrderQueried(at=now(), cl_ord_id=cl_ord_id, complete=False, cursor=0, error=str(error))
    return OrderQueried(at=now(), cl_ord_id=cl_ord_id, complete=True, cursor=cursor, found=found)
