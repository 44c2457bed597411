"""Positions, account and what was booked without an order, from the broker's JSON (§14). Raises Malformed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from qmworkbench.brokers.alpaca import reading
from qmworkbench.brokers.alpaca.reading import Malformed
from qmworkbench.domain.execution import Account, AccountActivity, BrokerPosition
from qmworkbench.domain.numbers import ZERO


def positions(content: Any) -> list[BrokerPosition]:
    """Net positions, by symbol; a short one is negative whichever way the broker signs it."""
    held = [_position(reading.mapping(entry, "a position")) for entry in reading.listed(content, "positions")]
    return sorted(held, key=lambda position: position.symbol)


def _position(entry: Mapping[str, Any]) -> BrokerPosition:
    qty = reading.number(entry, "qty")
    sign = reading.word(entry, "side", {"long": 1, "short": -1})
    if abs(qty) >= reading.ABSURD_QTY or qty == 0:
        raise Malformed(f"qty of {entry.get('symbol')!r} is {qty}, no position")
    avg = reading.price(entry, "avg_entry_price")
    return BrokerPosition(
        symbol=reading.text(entry, "symbol"),
        qty=abs(qty) * sign,
        avg_px=avg,
        market_px=avg if entry.get("current_price") is None else reading.price(entry, "current_price"),
        market_value=reading.optional(entry, "market_value") or ZERO,
        unrealized_pnl=reading.optional(entry, "unrealized_pl") or ZERO,
    )


def tells_all(content: Any) -> bool:
    """Whether the account says by itself what the session has realized, as a venue of ours does."""
    return isinstance(content, dict) and isinstance(content.get("qm"), dict)


def account(content: Any, *, cursor: int, now: datetime, held: Sequence[BrokerPosition]) -> Account:
    """The account. Where it does not say what the day has realized: what equity moved by, less what `held` have not."""
    entry = reading.mapping(content, "the account")
    more = entry.get("qm") if isinstance(entry.get("qm"), dict) else {}
    assert isinstance(more, dict), "seen in the line above"
    equity = reading.number(entry, "equity")
    unrealized = sum((position.unrealized_pnl for position in held), ZERO)
    value = sum((position.market_value for position in held), ZERO)
    moved = equity - (reading.optional(entry, "last_equity") or equity)
    trades = entry.get("daytrade_count")
    return Account(
        currency=reading.text(entry, "currency"),
        cash=reading.number(entry, "cash"),
        equity=equity,
        buying_power=reading.number(entry, "buying_power"),
        realized_pnl=reading.optional(more, "realized_pnl") if more else moved - unrealized,  # type: ignore[arg-type]
        fees=(reading.optional(more, "fees") or ZERO),
        cursor=cursor,
        as_of=reading.moment(reading.nanoseconds(more, "as_of")) if more else now,
        positions_value=(reading.optional(more, "positions_value") or ZERO) if more else value,
        unrealized_pnl=(reading.optional(more, "unrealized_pnl") or ZERO) if more else unrealized,
        day_trades=trades if isinstance(trades, int) and not isinstance(trades, bool) else None,
        pattern_day_trader=entry.get("pattern_day_trader") is True,
        shorting_enabled=entry.get("shorting_enabled") is not False,
    )


def activity(entry: Mapping[str, Any]) -> AccountActivity:
    """An entry that is no execution. A broker that does not say what it did to the position is not understood."""
    more = reading.mapping(entry.get("qm"), f"what {entry.get('activity_type')!r} did to the account")
    at = reading.nanoseconds(more, "ns")
    try:
        return msgspec.structs.replace(msgspec.convert(more.get("entry"), AccountActivity), cursor=at)
    except (msgspec.ValidationError, TypeError) as error:
        raise Malformed(f"activity {entry.get('id')!r}: {error}") from None
