"""How records of a fallback log change the state: what a direct emergency did is as good as done here (§15, §19).

Its closes are orders of ours like any other: their fills must find them. The emergency itself becomes the book's own:
one that never came to its end goes on here, and what fills or comes back after its end is closed like the rest, as long
as the book is HALTED. Its single steps are on record alone: how far each symbol is, the broker tells.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from qmworkbench.domain.events import Event, imported
from qmworkbench.domain.events.control import EmergencyCompleted, EmergencyStarted
from qmworkbench.domain.events.orders import OrderIntended
from qmworkbench.domain.events.reconciliation import FallbackImported
from qmworkbench.trading import fold_control, fold_orders
from qmworkbench.trading.state import State

_AS_IF_HERE: Final = {
    EmergencyStarted: fold_control.APPLY[EmergencyStarted],
    EmergencyCompleted: fold_control.APPLY[EmergencyCompleted],
}
_INTENDED: Final = fold_orders.APPLY[OrderIntended]


def _imported(state: State, event: FallbackImported) -> None:
    # Dated when it was taken over: it happened on the wall's clock, and the session may run on the bars'.
    original = imported(event)
    if isinstance(original, OrderIntended):
        if state.session is not None and original.request.cl_ord_id not in state.orders:
            owner = event.strategy_id or original.strategy_id
            _INTENDED(state, msgspec.structs.replace(original, at=event.at, strategy_id=owner))
        return
    then = _AS_IF_HERE.get(type(original))
    if then is not None:
        then(state, msgspec.structs.replace(original, at=event.at))


APPLY: dict[type[Event], Callable[[State, Any], None]] = {FallbackImported: _imported}
