"""Read from a broker everything reconciliation needs, together, and say when that failed (§14)."""

from datetime import UTC, datetime

from qmworkbench.domain.execution import BrokerSnapshot, ExecType
from qmworkbench.ports import Broker, BrokerUnreachable

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_ATTEMPTS = 3
_MOVES_POSITIONS = (ExecType.TRADE, ExecType.TRADE_CANCEL)


def snapshot(broker: Broker, after_cursor: int, *, at: datetime = NEVER) -> BrokerSnapshot:
    """Positions, open orders, account, and executions since `after_cursor`, all as of one transaction number.

    The account is read first and last; when the broker moved in between everything is read again, three times
    at most. Any read that fails, and a broker that never holds still, give `complete` False with the reason
    in `error`: nothing may be concluded from what is missing. `at` is the caller's clock, used only when the
    broker could not state its own.
    """
    try:
        for _ in range(_ATTEMPTS):
            before = broker.account()
            reports = broker.reports(after_cursor)
            orders = broker.open_orders()
            positions = broker.positions()
            account = broker.account()
            if before.cursor == account.cursor:
                return BrokerSnapshot(
                    complete=True,
                    cursor=account.cursor,
                    as_of=account.as_of,
                    positions=tuple(positions),
                    open_orders=tuple(orders),
                    executions=tuple(
                        said for said in reports if said.exec_type in _MOVES_POSITIONS and said.cursor <= account.cursor
                    ),
                    account=account,
                )
    except BrokerUnreachable as error:
        return BrokerSnapshot(complete=False, cursor=after_cursor, as_of=at, error=str(error) or "broker unreachable")
    moved = f"the broker's books moved during each of {_ATTEMPTS} readings; read again"
    return BrokerSnapshot(complete=False, cursor=after_cursor, as_of=at, error=moved)
