"""The invariants that need whole books: at a crash, after healing and at the end (§14, §15, §19)."""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.chain import ChainBroken
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.reconciliation import MONEY_KINDS, BreakFound
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.simulation.device import SimJournal
from qmworkbench.simulation.invariants import Checker
from qmworkbench.simulation.ledger import EXTERNAL
from qmworkbench.simulation.margin import on_margin
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State, encode_state
from qmworkbench.venue.exchange import Exchange

_CENT: Final = Decimal("0.01")


def after_crash(
    checker: Checker, before: SimJournal, after: SimJournal, live: State | None, restored: State, sure: int
) -> None:
    """What a crash has left: a beginning of what was appended, and the state that it folds to.

    `live` is the state of the process that died, None where its last decision never reached its journal; `sure` how
    many records had to survive.
    """
    demand = checker.demand
    try:
        after.verify()
    except ChainBroken as error:
        demand(False, 8, str(error))
    kept = after.head[0]
    demand(kept >= sure, 8, f"{sure} records were on disk before the crash, {kept} after it")
    written = [record.payload for record in before.records()]
    left = [record.payload for record in after.records()]
    demand(left == written[:kept], 8, "the records after the crash are not those appended before it")
    rebuilt = fold(decode(payload) for payload in left)
    same = encode_state(rebuilt) == encode_state(restored)
    demand(same, 7, f"the state restored at record {kept} is not what the journal folds to{_where(rebuilt, restored)}")
    if live is None:
        return
    whole = fold((decode(payload) for payload in written[kept:]), rebuilt)
    demand(encode_state(whole) == encode_state(live), 7, f"the live state is not the fold{_where(whole, live)}")


def _where(one: State, other: State) -> str:
    """The fields in which two states differ, for whoever has to find out why."""
    fields = [name for name in State.__struct_fields__ if getattr(one, name) != getattr(other, name)]
    return f": {', '.join(fields)} differ" if fields else ": only the order of what they hold differs"


def halted_after_emergency(checker: Checker, state: State) -> None:
    """An emergency on record keeps the book HALTED, whatever happened to the process."""
    if checker.ledger.emergency_since:
        now = state.halt.state
        checker.demand(now is TradingState.HALTED, 10, f"after an emergency the book is {now}")


def in_agreement(checker: Checker, state: State, exchange: Exchange) -> None:
    """Positions, cash and orders here and at the venue are the same."""
    demand, truth = checker.demand, checker.truth
    theirs = {p.symbol: p.qty for p in exchange.positions() if p.qty}
    ours = {symbol: held.qty for symbol, held in state.net.items() if held.qty}
    demand(ours == theirs, 4, f"we hold {ours}, the venue {theirs}")
    if not checker.planted:
        demand(theirs == truth.positions, 4, f"the venue holds {theirs}, its reports come to {truth.positions}")
    there = {order.cl_ord_id for order in exchange.open_orders()}
    here = {o.working_id or o.cl_ord_id for o in state.working() if not (o.parent_id and o.is_in_doubt)}
    demand(here == there, 4, f"orders: only here {sorted(here - there)}, only there {sorted(there - here)}")
    account = exchange.account()
    if state.account is not None and not checker.planted:
        demand(abs(account.cash - truth.cash) <= _CENT, 4, f"cash is {account.cash}, executions say {truth.cash}")
    demand(state.account is not None, 4, "no account statement")
    if state.account is not None:
        demand(state.account.cash == account.cash, 4, f"cash: we say {state.account.cash}, the venue {account.cash}")
    in_doubt = [o.cl_ord_id for o in state.working() if o.is_in_doubt and o.parent_id is None]
    demand(not in_doubt, 4, f"still in doubt: {in_doubt}")
    open_breaks = [
        f"{b.kind} {b.symbol} {b.before} -> {b.after}"
        for b in state.reconciliation.unresolved.values()
        if not _a_persons(b, lied=checker.lying_disk, pairs=any(map(on_margin, state.day.instruments)))
    ]
    demand(not open_breaks, 4, f"breaks unresolved after healing: {open_breaks}")


def _a_persons(item: BreakFound, *, lied: bool, pairs: bool) -> bool:
    """A difference of money that nobody but a person can settle: where a lying disk has lost the day's beginning nobody
    knows what its money began with; where executions were booked in another order, other rates converted them.
    """
    if item.kind not in MONEY_KINDS:
        return False
    return lied or (pairs and abs(Decimal(item.after) - Decimal(item.before)) < 50)


def at_the_end(checker: Checker, state: State, journal: SimJournal, exchange: Exchange, *, carry: bool) -> None:
    """The session is over: everything has ended, and the record tells the same story as the live state."""
    demand = checker.demand
    try:
        journal.verify()
    except ChainBroken as error:
        demand(False, 8, str(error))
    folded = fold(event for _, event in journal.read())
    demand(encode_state(folded) == encode_state(state), 7, f"the live state is not the fold{_where(folded, state)}")
    in_agreement(checker, state, exchange)
    if checker.ledger.emergency_since:
        halted_after_emergency(checker, state)
        # What the venue takes back after the close waits for the next open, on record.
        lines = state.emergency.lines if state.emergency is not None else {}
        waits = {symbol for symbol, line in lines.items() if line.step == "queued"} & checker.planted
        held = {p.symbol: p.qty for p in exchange.positions() if p.qty and p.symbol not in waits}
        demand(not held, 10, f"after an emergency the venue still holds {held}")
        done = bool(waits) or state.emergency is None or not state.emergency.running
        demand(done, 10, "the emergency never came to its end")
    elif not carry:
        # What the venue took back or did unasked may come too late for an exit: then a person must have been told.
        told = {a.key.split("|")[-1] for a in state.alerts.values() if a.kind == "position_open_after_close"}
        outside = {symbol for owner, symbol in checker.ledger.held if owner == EXTERNAL} | (told & checker.planted)
        left = {p.symbol: str(p.qty) for p in exchange.positions() if p.qty and p.symbol not in outside}
        demand(not left, 9, f"still held after the close: {left}")
    working = [f"{o.cl_ord_id} {o.leg} {o.status}" for o in state.working()]
    demand(carry or not working, 9, f"orders that never ended: {working}")
    demand(state.day.phase in (Phase.REVIEW, Phase.CLOSED), 9, f"the session stopped at {state.day.phase}")
    if (
        not carry
        and not checker.ledger.carried
        and not checker.ledger.adjusted
        and not checker.planted
        and state.day.start_equity is not None
    ):
        made = state.day.realized_pnl - state.day.fees
        demand(
            abs(made - checker.ledger.cash) <= _CENT,
            3,
            f"the day made {made} by the books, {checker.ledger.cash} by its executions",
        )
