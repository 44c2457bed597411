"""Recovery acceptance: the six criteria that a session taken over after a crash is held to (§19)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.domain.numbers import CENT, ZERO
from qmworkbench.operations.lines import UNSEEN, Line, listed

_SECTION: Final = "§19 Recovery Acceptance Criteria"

ACCOUNT = Line(
    check_id="recovery.account",
    section=_SECTION,
    title="Account summary correct",
    looked_at="cash and equity in our books and in the broker's statement",
    expectation="the same to the cent",
    remedy="do not release entries; see `qm reconcile` and verify the account at the broker",
)
POSITIONS = Line(
    check_id="recovery.positions",
    section=_SECTION,
    title="Open positions correct",
    looked_at="net quantity of each symbol, ours and the broker's",
    expectation="equal for every symbol",
    remedy="treat the broker as right; reconcile, and find the cause before entries are released",
)
ORDERS = Line(
    check_id="recovery.orders",
    section=_SECTION,
    title="Open orders correct",
    looked_at="working orders by id, ours and the broker's, and those still in doubt",
    expectation="the same orders with the same open quantity, none in doubt",
    remedy="wait for the broker's answer on each order in doubt; never send it again by hand",
)
WATCHLIST = Line(
    check_id="recovery.watchlist",
    section=_SECTION,
    title="Watchlist state repaired or safely cleared",
    looked_at="each symbol's state on the watchlist against what is held and assigned",
    expectation="entered exactly where something is held, an owner wherever one is needed",
    remedy="drop the symbols named (`qm` drop), their positions keep stop, target and close",
)
RISK = Line(
    check_id="recovery.risk",
    section=_SECTION,
    title="Risk state restored",
    looked_at="limits, start equity, entries counted, blocked list and trading state, against the journal",
    expectation="as the journal has them",
    remedy="do not release entries; report the journal, the fold has a defect",
)
CONTINUITY = Line(
    check_id="recovery.continuity",
    section=_SECTION,
    title="Analytics event continuity preserved",
    looked_at="the journal's chain, the broker's executions of the session, the rebuilt radar",
    expectation="no gap in the chain, every execution booked once, the radar on record computed again",
    remedy="`qm journal verify` names the first bad record; keep the file, restore it from a copy",
)


class Pair(msgspec.Struct, frozen=True):
    """One thing as we have it and as the broker has it; None where one side does not have it."""

    name: str
    ours: Decimal | None
    theirs: Decimal | None

    @property
    def differs(self) -> bool:
        return (self.ours or ZERO) != (self.theirs or ZERO)

    def sentence(self) -> str:
        ours, theirs = ("none" if side is None else str(side) for side in (self.ours, self.theirs))
        return f"{self.name}: ours {ours}, the broker's {theirs}"


class RecoveryEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen once a session had been taken over. None: it could not be looked at.

    `orders` holds the open quantity by id; `in_doubt` ids whose fate the broker has not told. `watchlist` are
    contradictions found, in words. `risk` pairs a name with what the state and what the journal say. `executions` and
    `booked` count the broker's fills of the session and ours. `radar` says how the rebuilt radar compares, "" if alike.
    """

    account: tuple[Pair, ...] | None
    positions: tuple[Pair, ...] | None
    orders: tuple[Pair, ...] | None
    in_doubt: tuple[str, ...]
    watchlist: tuple[str, ...]
    watched: int
    risk: tuple[tuple[str, str, str], ...]
    chain_error: str
    records: int
    executions: int | None
    booked: int
    radar: str = ""


def acceptance(checks: Sequence[Check]) -> Verdict:
    """GO where all six hold, NO-GO where one does not; INCOMPLETE where one could not be looked at."""
    if any(check.status is CheckStatus.FAIL and check.value == UNSEEN for check in checks):
        return Verdict.INCOMPLETE
    return verdict_of(checks)


def recovery_checks(seen: RecoveryEvidence) -> list[Check]:
    """§19's six criteria, in its order."""
    return [_account(seen), _positions(seen), _orders(seen), _watchlist(seen), _risk(seen), _continuity(seen)]


def _account(seen: RecoveryEvidence) -> Check:
    if not seen.account:
        return ACCOUNT.not_looked_at("no statement on one side or the other")
    off = [pair for pair in seen.account if abs((pair.ours or ZERO) - (pair.theirs or ZERO)) >= CENT]
    said = "; ".join(f"{pair.name} {pair.theirs:,.2f}" for pair in seen.account if pair.theirs is not None)
    return ACCOUNT.judged(not off, said, detail=listed([pair.sentence() for pair in off]) if off else "")


def _positions(seen: RecoveryEvidence) -> Check:
    if seen.positions is None:
        return POSITIONS.not_looked_at("the broker's positions could not be read")
    off = [pair.sentence() for pair in seen.positions if pair.differs]
    return POSITIONS.judged(not off, f"{len(seen.positions)} symbols compared", detail=listed(off) if off else "")


def _orders(seen: RecoveryEvidence) -> Check:
    if seen.orders is None:
        return ORDERS.not_looked_at("the broker's orders could not be read")
    off = [pair.sentence() for pair in seen.orders if pair.differs]
    doubt = f"in doubt: {listed(seen.in_doubt)}" if seen.in_doubt else ""
    detail = "; ".join(part for part in (listed(off) if off else "", doubt) if part)
    return ORDERS.judged(not detail, f"{len(seen.orders)} orders compared", detail=detail)


def _watchlist(seen: RecoveryEvidence) -> Check:
    return WATCHLIST.judged(
        not seen.watchlist, f"{seen.watched} symbols", detail=listed(seen.watchlist) if seen.watchlist else ""
    )


def _risk(seen: RecoveryEvidence) -> Check:
    off = [
        f"{name}: the state says {ours}, the journal {journal}" for name, ours, journal in seen.risk if ours != journal
    ]
    value = "; ".join(f"{name} {ours}" for name, ours, _ in seen.risk)
    return RISK.judged(not off, value, detail=listed(off) if off else "")


def _continuity(seen: RecoveryEvidence) -> Check:
    value = f"{seen.records} records, {seen.booked} fills booked"
    if seen.executions is None:
        return CONTINUITY.not_looked_at("the broker's executions could not be read")
    found = [seen.chain_error] if seen.chain_error else []
    if seen.executions != seen.booked:
        found.append(f"the broker reports {seen.executions} fills of the session, {seen.booked} are booked")
    if not found and seen.radar:
        return CONTINUITY.warned(value, seen.radar)
    return CONTINUITY.judged(not found, value, detail=listed(found) if found else "")
