"""Lists as a client asks for them: orders by status and time, activities page by page (§12)."""

from collections.abc import Callable
from typing import Any, Final

from qmworkbench.venue.wire import shapes
from qmworkbench.venue.wire.names import ns_from
from qmworkbench.venue.wire.refusals import malformed
from qmworkbench.venue.wire.tape import Tape

Argument = Callable[[str, str], str]
_MOST_ORDERS: Final = 500
_MOST_ACTIVITIES: Final = 100


def all_orders(tape: Tape, *, nested: bool = False) -> list[dict[str, Any]]:
    """Every order, oldest first; `nested` puts legs inside their entry instead of beside it."""
    return [shapes.order(tape, o, nested=nested) for o in tape.orders.values() if not (nested and o.parent)]


def orders(tape: Tape, argument: Argument) -> list[dict[str, Any]]:
    """GET /v2/orders. Raises WireError for an argument that is none."""
    status = argument("status", "open")
    if status not in ("open", "closed", "all"):
        raise malformed(f"status is {status!r}: give open, closed or all")
    limit = _count(argument("limit", "50"), _MOST_ORDERS)
    nested = argument("nested", "false") == "true"
    after, until = _time(argument("after", "")), _time(argument("until", ""))
    symbols = [symbol for symbol in argument("symbols", "").split(",") if symbol]
    side = argument("side", "")
    found = []
    for wire in tape.orders.values():
        if nested and wire.parent:
            continue
        if (after is not None and wire.created_ns <= after) or (until is not None and wire.created_ns >= until):
            continue
        entry = shapes.order(tape, wire, nested=nested)
        if (symbols and entry["symbol"] not in symbols) or (side and entry["side"] != side):
            continue
        alive = [part["status"] not in shapes.CLOSED for part in (entry, *(entry["legs"] or ()))]
        if status == "all" or (status == "open") == any(alive):
            found.append(entry)
    if argument("direction", "desc") != "asc":
        found.reverse()
    return found[:limit]


def activities(tape: Tape, kind: str, argument: Argument) -> list[dict[str, Any]]:
    """GET /v2/account/activities: fills and whatever else moved the account; pages begin after `page_token`."""
    wanted = {word for word in (kind or argument("activity_types", "")).split(",") if word}
    category = argument("category", "")
    told = [(fill.ns, shapes.fill_activity(tape, fill)) for fill in tape.fills()]
    told += [(ns, shapes.other_activity(tape, ns, entry)) for ns, entry in tape.booked]
    told.sort(key=lambda entry: entry[0])
    after, until = _time(argument("after", "")), _time(argument("until", ""))
    found = [
        entry
        for ns, entry in told
        if (not wanted or entry["activity_type"] in wanted)
        and (not category or (entry["activity_type"] == "FILL") == (category == "trade_activity"))
        and (after is None or ns > after)
        and (until is None or ns < until)
    ]
    if argument("direction", "desc") != "asc":
        found.reverse()
    token = argument("page_token", "")
    if token:
        ids = [entry["id"] for entry in found]
        if token not in ids:
            raise malformed(f"page_token {token!r} is none of this list")
        found = found[ids.index(token) + 1 :]
    return found[: _count(argument("page_size", "100"), _MOST_ACTIVITIES)]


def _count(given: str, most: int) -> int:
    if not given.isdigit() or not 1 <= int(given) <= most:
        raise malformed(f"{given!r} is not a count from 1 to {most}")
    return int(given)


def _time(given: str) -> int | None:
    if not given:
        return None
    try:
        return ns_from(given)
    except ValueError as error:
        raise malformed(f"{given!r} is not a time: {error}") from None
