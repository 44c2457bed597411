"""What moves the account without an order, as one entry of the books (§14)."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from qmworkbench.domain.execution import AccountActivity, ActivityKind
from qmworkbench.domain.numbers import ZERO
from qmworkbench.venue.books import Books


def post(
    books: Books,
    kind: ActivityKind,
    symbol: str,
    at: datetime,
    *,
    qty_before: Decimal,
    qty_after: Decimal,
    amount: Decimal = ZERO,
    realized_pnl: Decimal = ZERO,
    **said: Any,
) -> None:
    """Book something without an order, under the next transaction number; `amount` of cash moves with it.

    The session's realized P&L is that of its executions: what is booked here is in its opening balance.
    """
    cursor = books.next_cursor()
    activity = AccountActivity(
        cursor=cursor,
        activity_id=f"{books.account.venue}-A{cursor:08d}",
        kind=kind,
        symbol=symbol,
        qty_before=qty_before,
        qty_after=qty_after,
        transact_time=at,
        amount=amount,
        **said,
    )
    books.book(activity, realized_pnl)
