"""Post-session reconciliation: §17's seven checks, and what must hold of the journal (§17, §21; M: Pre-Flight 4)."""

from collections import Counter
from decimal import Decimal
from typing import Final

from qmworkbench.domain.checks import Check
from qmworkbench.domain.numbers import CENT, cents
from qmworkbench.domain.orders import TERMINAL
from qmworkbench.operations.lines import Line, listed, several
from qmworkbench.operations.post_session_evidence import OrderPair, PostSessionEvidence

_SECTION: Final = "§17 Post-Session Reconciliation"
_ENDED: Final = frozenset(str(status) for status in TERMINAL)

ORDERS_MATCH = Line(
    check_id="post_session.orders_match",
    section=_SECTION,
    title="Orders match the broker",
    looked_at="every order of the session on both sides, by client order id",
    expectation="the same orders, filled quantities and endings on both sides",
    remedy="ask the broker for each order named; treat its word as right, then reconcile and find the cause",
)
EXECUTIONS_MATCH = Line(
    check_id="post_session.executions_match",
    section=_SECTION,
    title="Executions match the broker",
    looked_at="every execution of the session on both sides, by the broker's id",
    expectation="the same executions with the same content",
    remedy="fetch the day's executions from the broker again; an execution we lack is exposure we do not know",
)
FLAT = Line(
    check_id="post_session.flat",
    section=_SECTION,
    title="Positions are flat where expected",
    looked_at="positions on both sides, and which may be carried",
    expectation="flat, but for what the policy carries; the same quantity on both sides",
    remedy="decide whether to close at the next open or to carry, and record the decision",
)
PNL_MATCHES = Line(
    check_id="post_session.realized_pnl",
    section=_SECTION,
    title="Realized P&L matches the broker's statement",
    looked_at="realized P&L, fees and equity of the day against the account statement, and each line of it",
    expectation="equal to the cent",
    remedy="compare fill by fill and fee by fee; money that moved outside our orders must be explained",
)
BLOCKS_PERSISTED = Line(
    check_id="post_session.blocked_list",
    section=_SECTION,
    title="Blocked list updates are persisted",
    looked_at="block commands of the session against the folded journal",
    expectation="every permanent block is in force for the next session",
    remedy="block the symbol again and report it: a block was lost",
)
TRADES_CLOSED = Line(
    check_id="post_session.trades_closed",
    section=_SECTION,
    title="Analytics closed the trades correctly",
    looked_at="closed trades against the fills they are made of",
    expectation="one trade for each round trip, together exactly what the fills realized",
    remedy="recompute the trades from the journal; the fills are right, the trades follow",
)
RECOMMENDATIONS = Line(
    check_id="post_session.recommendations",
    section=_SECTION,
    title="Recommendations were generated",
    looked_at="the rules over this session's trades",
    expectation="completed, also where there is nothing to recommend",
    remedy="run `qm nightly` again; see its log for the rule that failed",
)
JOURNAL_WHOLE = Line(
    check_id="post_session.journal",
    section="§21 Logging Requirements",
    title="The journal is whole",
    looked_at="every record's hash, from the first one",
    expectation="an unbroken chain",
    remedy="keep the file as it is and restore the last backup beside it; compare, never edit",
)
SESSION_CLOSED = Line(
    check_id="post_session.session_closed",
    section="§16 Shutdown Procedure",
    title="The session was shut down and closed",
    looked_at="the session's last phase",
    expectation="closed",
    remedy="resume the session; it ends its day by itself",
)
RUNS_ENDED = Line(
    check_id="post_session.runs_ended",
    section="M: Pre-Flight 4",
    title="Every run reached its end",
    looked_at="runs started against runs ended",
    expectation="RUN_ENDED for each",
    remedy="resume the session; a residual run blocks the next start",
)
NO_BREAKS = Line(
    check_id="post_session.breaks",
    section="§14 Position Reconciliation",
    title="Reconciliation found no break",
    looked_at="every break on record, repaired ones included",
    expectation="none, and a clean comparison at the end of the session",
    remedy="find the cause of each before the next session: a repaired break is still a difference nobody explained",
)
NO_HALTS = Line(
    check_id="post_session.halts",
    section="§11, §15, §23 Halts",
    title="No halt and no emergency",
    looked_at="changes of trading state, emergencies, reports in conflict",
    expectation="none, or each with its incident note",
    remedy="record an incident note for each with `qm note add --kind incident`",
)
AUDIT = Line(
    check_id="post_session.audit",
    section="§13 Order Incidents",
    title="Everything sent and filled is accounted for",
    looked_at="each send, risk decision, order and fill in the journal",
    expectation="each send follows a risk decision and an intent on record, each fill an order of ours",
    remedy="stop trading this book until the line is explained: something acted outside the record",
)


def post_session(seen: PostSessionEvidence) -> list[Check]:
    """The checklist of §17, in its order, then what must hold of the record."""
    return [
        _orders(seen),
        _executions(seen),
        _flat(seen),
        _realized(seen),
        _blocks(seen),
        _trades(seen),
        _recommendations(seen),
        SESSION_CLOSED.judged(seen.closed, seen.phase),
        _runs(seen),
        _breaks(seen),
        _journal(seen),
        _audit(seen),
        _halts(seen),
    ]


def _unread(line: Line, seen: PostSessionEvidence) -> Check:
    return line.not_looked_at(f"{seen.broker or 'the broker'} could not be read: {seen.broker_error or 'no answer'}")


def order_difference(pair: OrderPair) -> str:
    """What differs in one order, "" where both sides agree.

    An order we never sent needs no counterpart. An order that both sides have must have ended the same way with the
    same quantity; while it still rests, the broker's finer words for resting are not told apart.
    """
    if not pair.our_status:
        return "the broker has it, our books do not"
    if not pair.their_status:
        return "" if not pair.sent else f"we have it as {pair.our_status}, the broker does not have it"
    if pair.our_cum_qty != pair.their_cum_qty:
        return f"filled {pair.our_cum_qty} here, {pair.their_cum_qty} there"
    if (pair.our_status in _ENDED) != (pair.their_status in _ENDED):
        return f"{pair.our_status} here, {pair.their_status} there"
    if pair.our_status in _ENDED and pair.our_status != pair.their_status:
        return f"{pair.our_status} here, {pair.their_status} there"
    return ""


def _orders(seen: PostSessionEvidence) -> Check:
    if seen.orders is None:
        return _unread(ORDERS_MATCH, seen)
    odd = [f"{pair.symbol} {pair.cl_ord_id}: {said}" for pair in seen.orders if (said := order_difference(pair))]
    return ORDERS_MATCH.judged(
        not odd, f"{len(seen.orders) - len(odd):,} of {len(seen.orders):,} agree", detail="; ".join(odd[:6])
    )


def _executions(seen: PostSessionEvidence) -> Check:
    if seen.executions is None:
        return _unread(EXECUTIONS_MATCH, seen)
    odd = [
        f"{pair.exec_id}: {pair.ours or 'absent'} here, {pair.theirs or 'absent'} there"
        for pair in seen.executions
        if pair.ours != pair.theirs
    ]
    return EXECUTIONS_MATCH.judged(
        not odd, f"{len(seen.executions) - len(odd):,} of {len(seen.executions):,} agree", detail="; ".join(odd[:6])
    )


def _flat(seen: PostSessionEvidence) -> Check:
    if seen.positions is None:
        return _unread(FLAT, seen)
    odd = [f"{p.symbol}: {p.our_qty} here, {p.their_qty} there" for p in seen.positions if p.our_qty != p.their_qty]
    left = [f"{p.symbol} {p.their_qty}" for p in seen.positions if not p.carried and (p.our_qty or p.their_qty)]
    carried = [f"{p.symbol} {p.our_qty}" for p in seen.positions if p.carried and p.our_qty]
    value = f"carried: {listed(carried)}" if carried else "flat"
    if odd or left:
        said = [f"the sides differ: {listed(odd)}"] if odd else []
        said += [f"left open against the policy: {listed(left)}"] if left else []
        return FLAT.judged(False, f"{len(odd) + len(left)} not as expected", detail="; ".join(said))
    return FLAT.judged(True, value)


def _realized(seen: PostSessionEvidence) -> Check:
    said = seen.statement
    if said is None:
        return _unread(PNL_MATCHES, seen)
    pairs = [
        ("realized", said.our_realized, said.their_realized),
        ("fees", said.our_fees, said.their_fees),
    ]
    if said.our_equity is not None and said.their_equity is not None:
        pairs.append(("equity", said.our_equity, said.their_equity))
    odd = [
        f"{name} {cents(ours):,} here, {cents(theirs):,} there" for name, ours, theirs in pairs if _apart(ours, theirs)
    ]
    apart = [line for line in seen.money_lines if line.one_sided or line.apart >= CENT / 2]
    if apart:
        named = [f"{line.ref} ({line.symbol}, {line.what}) by {cents(line.apart):,}" for line in apart]
        odd.append(f"{several(len(apart), 'line')} differ: {listed(named, 4)}")
    lines = several(len(seen.money_lines), "line")
    value = f"realized {cents(said.our_realized):+,}, fees {cents(said.our_fees):,} {said.currency}; {lines} compared"
    return PNL_MATCHES.judged(
        not odd, value, detail="; ".join(odd), threshold=f"{CENT}", threshold_source="the broker's statement"
    )


def _apart(ours: Decimal, theirs: Decimal) -> bool:
    """Apart on the statement, where figures are in cents: half a cent of exact quotients is rounding."""
    return abs(ours - theirs) > CENT / 2 and cents(ours) != cents(theirs)


def _blocks(seen: PostSessionEvidence) -> Check:
    blocks = seen.blocks
    value = f"{several(blocks.updates, 'update')}, {len(blocks.permanent)} permanent: {listed(blocks.permanent)}"
    return BLOCKS_PERSISTED.judged(not blocks.lost, value, detail=f"lost: {listed(blocks.lost)}" if blocks.lost else "")


def _trades(seen: PostSessionEvidence) -> Check:
    closed = seen.closed_trades
    value = f"{several(closed.trades, 'trade')}, net {cents(closed.net_pnl):+,}"
    if closed.unmatched:
        return TRADES_CLOSED.judged(False, value, detail=f"not matched: {listed(closed.unmatched)}")
    # With positions still open the fills hold more than the closed trades do; they are compared once flat.
    if closed.open_positions:
        return TRADES_CLOSED.judged(True, value, detail=f"{several(closed.open_positions, 'position')} still open")
    holds = abs(closed.net_pnl - closed.from_fills) < CENT / 2
    detail = closed.detail if holds else f"the fills realized {cents(closed.from_fills):+,} net of fees"
    return TRADES_CLOSED.judged(
        holds, value, detail=detail, threshold=f"{cents(closed.from_fills):+,}", threshold_source="fills"
    )


def _recommendations(seen: PostSessionEvidence) -> Check:
    if not seen.recommendations_scheduled:
        return RECOMMENDATIONS.not_applicable("not scheduled for this session", value="not scheduled")
    if seen.recommendations is None:
        return RECOMMENDATIONS.judged(False, "not completed", detail=seen.recommendations_detail)
    value = (
        several(seen.recommendations, "recommendation") if seen.recommendations else "completed: nothing to recommend"
    )
    return RECOMMENDATIONS.judged(True, value, detail=seen.recommendations_detail)


def _runs(seen: PostSessionEvidence) -> Check:
    ended = seen.runs - len(seen.runs_open)
    return RUNS_ENDED.judged(
        not seen.runs_open,
        f"{ended} of {seen.runs} ended",
        detail=f"open: {listed(seen.runs_open)}" if seen.runs_open else "",
    )


def _breaks(seen: PostSessionEvidence) -> Check:
    if not seen.breaks:
        value = f"none; the comparison at the end: {seen.reconciliation or 'never completed'}"
        return NO_BREAKS.judged(seen.reconciliation == "clean", value)
    open_ones = sum(not found.settled for found in seen.breaks)
    worst = min(seen.breaks, key=lambda found: (found.severity, found.break_id))
    value = f"{len(seen.breaks)} found, {len(seen.breaks) - open_ones} settled, {open_ones} open"
    first = f"{worst.severity} {worst.kind} {worst.symbol}: {worst.before} here, {worst.after} there ({worst.cause})"
    return NO_BREAKS.judged(False, value, detail=first.replace("  ", " "))


def _journal(seen: PostSessionEvidence) -> Check:
    if seen.journal_verified is None:
        return JOURNAL_WHOLE.not_looked_at(seen.journal_detail or "the chain was not walked")
    return JOURNAL_WHOLE.judged(seen.journal_verified, f"{seen.records:,} records", detail=seen.journal_detail)


def _audit(seen: PostSessionEvidence) -> Check:
    if not seen.findings:
        return AUDIT.judged(True, f"{seen.audited:,} sends and fills accounted for")
    count = Counter(finding.rule for finding in seen.findings)
    first = seen.findings[0]
    value = ", ".join(f"{rule} {number}" for rule, number in sorted(count.items()))
    return AUDIT.judged(False, value, detail=f"first: {first.subject}: {first.detail}")


def _halts(seen: PostSessionEvidence) -> Check:
    if not seen.halts:
        return NO_HALTS.judged(True, "none")
    said = "; ".join(f"{halt.at[11:19]} {halt.scope}: {halt.what} ({halt.reason})" for halt in seen.halts[:4])
    said += f"; and {len(seen.halts) - 4} more" if len(seen.halts) > 4 else ""
    return NO_HALTS.warned(f"{len(seen.halts)} on record", said)
