"""Our books and the broker's, side by side, and what differs (§14, §17)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.numbers import CENT, cents
from qmworkbench.operations.lines import several
from qmworkbench.operations.post_session import order_difference
from qmworkbench.operations.post_session_evidence import MoneyLine, PostSessionEvidence
from qmworkbench.reporting.session_source import ZONE
from qmworkbench.reporting.tables import Column, Html, clock, money, number, section, subsection, table

_AT: Final = clock(ZONE)
_OPEN_LINES: Final = 60
_ENDED: Final = ("filled", "canceled", "expired", "rejected", "denied")


def both_sides(seen: PostSessionEvidence) -> Html:
    """Orders, executions, positions and money as our books and the broker's have them."""
    return section(
        "Both sides",
        Html(
            f'<div class="two">{_money(seen)}{_positions(seen)}</div>'
            f'<div class="two">{_orders(seen)}{_executions(seen)}</div>'
        ),
        _differences(seen),
        _statement(seen),
        note=f"Ours from the journal, theirs from the books of the {seen.broker}, read for this report.",
    )


def _money(seen: PostSessionEvidence) -> Html:
    columns = [
        Column("what", "Money"),
        Column("ours", "Ours", money, "num"),
        Column("theirs", "Broker", money, "num"),
        Column("apart", "Apart", money, "num"),
    ]
    said = seen.statement
    rows: list[dict[str, Any]] = []
    if said is not None:
        for what, ours, theirs in (
            ("Realized P&L", said.our_realized, said.their_realized),
            ("Fees", said.our_fees, said.their_fees),
            ("Equity", said.our_equity, said.their_equity),
        ):
            apart = None if ours is None or theirs is None else cents(ours) - cents(theirs)
            rows.append({"what": what, "ours": ours, "theirs": theirs, "apart": apart})
    return table(rows, columns, empty=f"The broker's statement could not be read: {seen.broker_error}.", flag=_apart)


def _apart(row: Mapping[str, Any]) -> bool:
    return bool(row["apart"])


def _positions(seen: PostSessionEvidence) -> Html:
    columns = [
        Column("symbol", "Position", kind="keep"),
        Column("ours", "Ours", number(0), "num"),
        Column("theirs", "Broker", number(0), "num"),
        Column("carried", "", lambda carried: "carried" if carried else ""),
    ]
    rows = [
        {"symbol": p.symbol, "ours": p.our_qty, "theirs": p.their_qty, "carried": p.carried}
        for p in seen.positions or ()
    ]
    empty = "Flat on both sides." if seen.positions is not None else "The broker's positions could not be read."
    return table(rows, columns, empty=empty, flag=lambda row: row["ours"] != row["theirs"])


def _orders(seen: PostSessionEvidence) -> Html:
    """Endings counted on both sides; an order of ours that never left has no counterpart and is counted apart."""
    pairs = seen.orders or ()
    ours = Counter(pair.our_status for pair in pairs if pair.our_status and pair.sent)
    theirs = Counter(pair.their_status for pair in pairs if pair.their_status)
    kept = Counter(pair.our_status for pair in pairs if not pair.sent)
    rows = [
        {"what": f"Orders {status}", "ours": ours[status], "theirs": theirs[status], "unsent": kept[status]}
        for status in dict.fromkeys([*_ENDED, *ours, *theirs, *kept])
        if ours[status] or theirs[status] or kept[status]
    ]
    columns = [
        Column("what", "Orders"),
        Column("ours", "Ours", number(0), "num"),
        Column("theirs", "Broker", number(0), "num"),
        Column("unsent", "Never sent", lambda n: number(0)(n) if n else "", "num"),
    ]
    empty = "No orders in this session." if seen.orders is not None else "The broker's orders could not be read."
    return table(rows, columns, empty=empty, flag=lambda row: row["ours"] != row["theirs"])


def _executions(seen: PostSessionEvidence) -> Html:
    pairs = seen.executions or ()
    by_symbol: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        row = by_symbol.setdefault(pair.symbol, {"symbol": pair.symbol, "ours": 0, "theirs": 0})
        row["ours"] += bool(pair.ours)
        row["theirs"] += bool(pair.theirs)
    columns = [
        Column("symbol", "Executions in", kind="keep"),
        Column("ours", "Ours", number(0), "num"),
        Column("theirs", "Broker", number(0), "num"),
    ]
    empty = "Nothing was executed." if seen.executions is not None else "The broker's executions could not be read."
    rows = sorted(by_symbol.values(), key=lambda row: str(row["symbol"]))
    return table(rows, columns, empty=empty, flag=lambda row: row["ours"] != row["theirs"])


def _differences(seen: PostSessionEvidence) -> Html:
    """What differs, one by one; nothing where the sides agree."""
    rows = [
        {"what": f"order {pair.cl_ord_id}", "symbol": pair.symbol, "difference": said}
        for pair in seen.orders or ()
        if (said := order_difference(pair))
    ]
    rows += [
        {
            "what": f"execution {pair.exec_id}",
            "symbol": pair.symbol,
            "difference": f"{pair.ours or 'absent'} here, {pair.theirs or 'absent'} there",
        }
        for pair in seen.executions or ()
        if pair.ours != pair.theirs
    ]
    columns = [
        Column("what", "Differs", kind="id"),
        Column("symbol", "Symbol", kind="keep"),
        Column("difference", "How"),
    ]
    read = seen.orders is not None and seen.executions is not None
    empty = "No order and no execution differs." if read else f"Not compared: {seen.broker_error}."
    return table(rows, columns, empty=empty, flag=lambda row: True)


def _statement(seen: PostSessionEvidence) -> Html:
    """The broker's statement beside our ledger, line by line; what differs first, then all of it."""
    if seen.statement is None:
        return Html("")
    lines = [_money_line(line) for line in seen.money_lines]
    columns = [
        Column("at", "At", _AT, "num"),
        Column("ref", "Line", kind="id"),
        Column("symbol", "Symbol", kind="keep"),
        Column("said", "What"),
        Column("our_realized", "P&L ours", _moved, "num"),
        Column("their_realized", "P&L broker", _moved, "num"),
        Column("our_fee", "Fee ours", _moved, "num"),
        Column("their_fee", "Fee broker", _moved, "num"),
        Column("their_cash", "Cash moved", _moved, "num"),
        Column("apart", "Apart", _moved, "num"),
    ]
    odd = [line for line in lines if line["apart"]]
    summed = _summed(lines)
    listed = table([*lines, summed], columns, empty="", flag=_apart) if lines else Html("")
    if not lines:
        return subsection("The statement, line by line", '<div class="none">Nothing moved money in this session.</div>')
    shown = table(odd, columns, empty="No line differs: each is the same on both sides.", flag=_apart)
    note = "In account currency. P&L before fees, counted on the net of all owners, as the broker counts."
    folded = (
        f"<details{' open' if len(lines) <= _OPEN_LINES else ''}><summary>All {several(len(lines), 'line')}</summary>"
    )
    return subsection("The statement, line by line", shown, f"{folded}{listed}</details>", note=note)


def _moved(amount: Decimal | None) -> str:
    """Money; a dot where nothing moved, so that what did stands out, and a dash where the side has no such line."""
    return "·" if amount == 0 else money(amount)


def _money_line(line: MoneyLine) -> dict[str, Any]:
    row = {name: getattr(line, name) for name in ("ref", "symbol", "our_realized", "their_realized")}
    row |= {"our_fee": line.our_fee, "their_fee": line.their_fee, "their_cash": line.their_cash}
    said = line.said if line.what == "trade" else f"{line.what.replace('_', ' ')}: {line.said}"
    apart = line.apart if line.one_sided or line.apart >= CENT / 2 else Decimal(0)
    return {**row, "at": datetime.fromisoformat(line.at), "said": said, "apart": apart}


def _summed(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("our_realized", "their_realized", "our_fee", "their_fee", "their_cash")
    sums = {name: sum((line[name] or Decimal(0) for line in lines), Decimal(0)) for name in names}
    return {**sums, "at": None, "ref": "", "symbol": "", "said": "together", "apart": Decimal(0)}
