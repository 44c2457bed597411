"""Orders that nobody here sent, in the table of orders: EXTERNAL's, from the reading that found them on (§14)."""

from typing import Final

from qmworkbench.domain.events.reconciliation import OrderAdopted
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Projections, Rows, exact, word
from qmworkbench.storage.times import stored_time


def _order_adopted(rows: Rows, seq: int, event: OrderAdopted) -> None:
    theirs = event.order
    rows.add(
        table_rows.Order(
            theirs.cl_ord_id,
            session_id=rows.session_id,
            strategy_id=event.strategy_id,
            symbol=theirs.symbol,
            side=word(theirs.side),
            position_effect=word(theirs.position_effect),
            leg=word(theirs.leg),
            ord_type=word(theirs.ord_type),
            time_in_force=word(theirs.time_in_force),
            status=word(theirs.ord_status),
            order_qty=str(theirs.order_qty),
            cum_qty=str(theirs.cum_qty),
            leaves_qty=str(theirs.leaves_qty),
            limit_px=exact(theirs.limit_px),
            stop_px=exact(theirs.stop_px),
            parent_id=theirs.parent_id,
            order_id=theirs.order_id,
            reserve_notional=exact(event.reserve_notional),
            fees="0",
            reason="found at the broker; nobody here sent it",
            intended_at=stored_time(event.at),
            last_at=stored_time(event.at),
            seq=seq,
        )
    )


PROJECT: Final[Projections] = {OrderAdopted: _order_adopted}
