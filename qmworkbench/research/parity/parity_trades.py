"""Trade by trade: a session's round trips against the backtest's, order by order, each difference with its cause.

After a difference the backtest goes on from where the session really was, so that one missed entry is one difference
and not a row of them (M: layer 2).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import numpy as np

from qmworkbench.domain.orders import Leg
from qmworkbench.research.fills.tape import Bools, Reason
from qmworkbench.research.parity.parity_causes import Cause
from qmworkbench.research.parity.parity_difference import Difference, LaneCase, LaneParity, TradePair
from qmworkbench.research.parity.parity_expected import ExpectedTrade, expected_trades
from qmworkbench.research.parity.parity_figures import LaneFigures
from qmworkbench.research.parity.parity_record import RecordedTrade


class Trades(LaneFigures):
    """The lane's trades, walked from the session's open: matched, missing, or more than expected."""

    def __init__(self, case: LaneCase, result: LaneParity) -> None:
        super().__init__(case)
        self._result = result
        self._slipped = 0.0  # of the pair under way: what its prices lost against the backtest's

    def compare(self) -> None:
        """Take the earlier of the next expected and the next recorded trade until there are none left."""
        allowed = np.ones(len(self._bars.tape), dtype=np.bool_)
        recorded = list(self._lane.trades)
        carried = self._lane.carried
        while True:
            expected = expected_trades(self._bars, allowed, carried)
            mine, theirs = (expected[0] if expected else None), (recorded[0] if recorded else None)
            if mine is None and theirs is None:
                return
            entered = self._entered(theirs)
            if theirs is not None and (mine is None or entered <= _place(mine)):
                if mine is not None and entered == _place(mine) and mine.side == theirs.side:
                    self._pair(mine, theirs)
                else:
                    self._extra(theirs)
                recorded.pop(0)
                carried = None
                if theirs.exit_at is None:
                    return
                self._go_on(allowed, theirs)
            elif mine is not None:
                self._missing(mine, allowed)

    def _entered(self, trade: RecordedTrade | None) -> int:
        """The row whose bar filled the entry; -1 for one carried in."""
        if trade is None or trade.entry_at is None:
            return -1
        row = self._bars.row_of(trade.entry_at)
        return len(self._bars.tape) if row is None else row

    def _go_on(self, allowed: Bools, trade: RecordedTrade) -> None:
        """From the bar in which the session was flat again."""
        out = self._bars.row_of(trade.exit_at) if trade.exit_at is not None else None
        allowed[: len(allowed) if out is None else out] = False

    # --- one side alone --------------------------------------------------------------------------------------------

    def _missing(self, mine: ExpectedTrade, allowed: Bools) -> None:
        """The backtest enters, the session does not: once for as long as the backtest's trade lasts."""
        if mine.decided is None or mine.entry is None:
            raise AssertionError("what was carried in is on both sides")
        at = self._bars.closes_at[mine.decided]
        qty = self._qty(mine.decided)
        cause, why = self._witness.entry_missing(at, qty)
        allowed[: mine.decided + 1] = False
        if qty == 0:
            return  # too little for one lot: neither would trade
        self._result.orders += 1
        again = self._skip(mine, cause, allowed)
        pnl = self._worth(mine, qty)
        self._say(
            "entry not taken", self._fill_at(mine.entry), self._entry_of(mine, qty), "no entry", cause, why,
            pnl=None if pnl is None else -pnl, again=again,
        )  # fmt: skip
        self._keep(mine, None, qty, (cause,))

    def _skip(self, mine: ExpectedTrade, cause: Cause, allowed: Bools) -> int:
        """Pass over further entries that the same cause kept out while the backtest's trade would have lasted."""
        last = mine.exit if mine.exit is not None else len(allowed) - 1
        entries = self._bars.decisions.entry_long | self._bars.decisions.entry_short
        again = 0
        for row in np.flatnonzero(entries & allowed)[: len(allowed)]:
            at = self._bars.closes_at[int(row)]
            if row >= last or self._taken(at) or self._witness.entry_missing(at, None)[0] is not cause:
                break
            allowed[row] = False
            again += 1
        return again

    def _taken(self, at: datetime) -> bool:
        raised = self._lane.raised.get(at)
        intent = self._lane.intents.get(raised.signal_id) if raised is not None else None
        return intent is not None and any(intent.request.cl_ord_id in one.entry_orders for one in self._lane.trades)

    def _extra(self, theirs: RecordedTrade) -> None:
        """The session trades where the backtest does not."""
        raised_at = self._decided_at(theirs)
        cause, why = self._witness.entry_extra(raised_at)
        late = self._late(theirs)
        if late is not None:
            cause, why = late
        self._result.orders += 1
        at = theirs.entry_at or self._witness.day.record.opens_at
        pnl = self._value(theirs)
        self._say("entry not expected", at, "no entry", self._entry_was(theirs), cause, why, pnl=pnl - theirs.fees)
        self._keep(None, theirs, None, (cause,))

    def _late(self, theirs: RecordedTrade) -> tuple[Cause, str] | None:
        """An entry whose order filled later than at the next open: why."""
        for name in theirs.entry_orders:
            told = self._witness.order_ended(name)
            if told[0] is not Cause.UNEXPLAINED:
                return told
        return None

    def _decided_at(self, theirs: RecordedTrade) -> datetime | None:
        for intent in self._lane.intents.values():
            if intent.request.cl_ord_id in theirs.entry_orders:
                return intent.at
        return None

    # --- both sides ------------------------------------------------------------------------------------------------

    def _pair(self, mine: ExpectedTrade, theirs: RecordedTrade) -> None:
        """The same entry on both sides: price, quantity, then the exit."""
        causes: list[Cause] = []
        carried = mine.entry is None
        wanted = theirs.qty if carried or mine.decided is None else self._qty(mine.decided)
        entry_px = self._basis(theirs) if carried else mine.entry_px
        slip = -theirs.side * theirs.qty * (theirs.entry_px - entry_px) * self._rate(theirs)
        at = self._witness.day.record.opens_at if mine.entry is None else self._fill_at(mine.entry)
        if not carried:
            self._result.orders += 1
            if self._apart(theirs.entry_px, entry_px):
                causes.append(Cause.SLIPPAGE)
                self._slipped -= slip
                self._say(
                    "entry at another price", at, f"{entry_px:g}", f"{theirs.entry_px:g}", Cause.SLIPPAGE,
                    "the fill against the bar's open", pnl=slip,
                )  # fmt: skip
            causes += self._quantity(mine, theirs, wanted, at)
        causes += self._exit(mine, theirs)
        self._keep(mine, theirs, wanted, tuple(dict.fromkeys(causes)), entry_px=entry_px)

    def _quantity(
        self, mine: ExpectedTrade, theirs: RecordedTrade, wanted: float | None, at: datetime
    ) -> Iterator[Cause]:
        if wanted is None or wanted == theirs.qty:
            return
        rows = [row for name in theirs.entry_orders if (row := self._witness.lanes.orders.get(name)) is not None]
        ordered = sum(float(str(row["order_qty"])) for row in rows)
        cause, why = Cause.UNEXPLAINED, f"{ordered:g} was ordered"
        if ordered == wanted:
            cause, why = self._witness.order_ended(theirs.entry_orders[0]) if theirs.entry_orders else (cause, why)
            cause = Cause.PARTIAL_FILL if cause is Cause.UNEXPLAINED and theirs.qty < ordered else cause
        out = self._out(mine)
        pnl = theirs.side * (theirs.qty - wanted) * (out - mine.entry_px) * self._rate(theirs)
        self._say("another quantity", at, f"{wanted:g}", f"{theirs.qty:g}", cause, why, pnl=pnl)
        yield cause

    def _exit(self, mine: ExpectedTrade, theirs: RecordedTrade) -> Iterator[Cause]:
        mine_at = None if mine.exit is None else self._fill_at(mine.exit)
        if mine_at is None and theirs.exit_at is None:
            return
        self._result.orders += 1
        out, value = self._out(mine), self._out_of(theirs)
        pnl = theirs.side * theirs.qty * (value - out) * self._rate(theirs)
        expected, recorded = self._exit_of(mine), self._exit_was(theirs)
        at = theirs.exit_at or mine_at or self._witness.day.record.closes_at
        same_kind = _same_kind(mine.exit_reason, theirs.exit_leg)
        # At the close both leave with the session, whether or not the symbol traded in its last minute.
        same_time = mine_at == theirs.exit_at or mine.exit_reason is Reason.FLAT_AT_CLOSE
        if same_kind and same_time and not theirs.exit_spread:
            if self._apart(value, out):
                self._slipped -= pnl
                self._say("exit at another price", at, expected, recorded, Cause.SLIPPAGE, "same order", pnl=pnl)
                yield Cause.SLIPPAGE
            return
        cause, why = self._witness.exit_differs(theirs, mine_at)
        self._say("another exit", at, expected, recorded, cause, why, pnl=pnl)
        yield cause

    def _say(
        self, what: str, at: datetime, expected: str, recorded: str, cause: Cause, why: str, *,
        pnl: float | None, again: int = 0,
    ) -> None:  # fmt: skip
        self._result.differences.append(
            Difference(
                level="order",
                strategy_id=self._lane.strategy_id,
                symbol=self._lane.symbol,
                at=at,
                what=what,
                expected=expected,
                recorded=recorded,
                cause=cause,
                why=why,
                pnl=pnl,
                again=again,
            )
        )

    def _keep(
        self,
        mine: ExpectedTrade | None,
        theirs: RecordedTrade | None,
        qty: float | None,
        causes: tuple[Cause, ...],
        *,
        entry_px: float | None = None,
    ) -> None:
        """The two side by side; what both agree on to the last price cost its fees and slippage alone."""
        lane, expected = self._lane, None
        entry_px = entry_px if entry_px is not None else (None if mine is None else mine.entry_px)
        if mine is not None and qty is not None and entry_px is not None:
            expected = mine.side * qty * (self._out(mine) - entry_px) * self._rate(theirs)
        side = mine.side if mine is not None else theirs.side if theirs is not None else 0
        fees = theirs.fees if theirs is not None else 0.0
        open_ = (mine is not None and mine.exit is None) or (theirs is not None and theirs.exit_at is None)
        carried = (theirs is not None and theirs.entry_at is None) or (mine is not None and mine.entry is None)
        mine_in = mine.entry if mine is not None else None
        mine_out = mine.exit if mine is not None else None
        self._result.pairs.append(
            TradePair(
                strategy_id=lane.strategy_id,
                symbol=lane.symbol,
                side="long" if side > 0 else "short",
                expected_entry_at=None if mine_in is None else self._fill_at(mine_in),
                recorded_entry_at=theirs.entry_at if theirs is not None else None,
                expected_exit_at=None if mine_out is None else self._fill_at(mine_out),
                recorded_exit_at=theirs.exit_at if theirs is not None else None,
                expected_entry_px=None if mine is None else entry_px,
                recorded_entry_px=self._basis(theirs) if theirs is not None else None,
                expected_exit_px=mine.exit_px if mine is not None else None,
                recorded_exit_px=theirs.exit_px if theirs is not None else None,
                expected_qty=qty if mine is not None else None,
                recorded_qty=theirs.qty if theirs is not None else None,
                expected_exit="" if mine is None else self._exit_of(mine),
                recorded_exit="" if theirs is None else self._exit_was(theirs),
                expected_pnl=expected,
                recorded_pnl=None if theirs is None else self._value(theirs) - fees,
                fees=fees,
                slippage=self._slipped,
                notional=self._notional(mine, theirs, qty),
                risk=self._risk(mine, theirs, qty),
                carried=carried,
                open=open_,
                causes=causes,
            )
        )
        self._slipped = 0.0


def _place(mine: ExpectedTrade) -> int:
    return -1 if mine.entry is None else mine.entry


_KINDS: Final = {
    Reason.STOP: (Leg.STOP,),
    Reason.TRAIL: (Leg.STOP,),
    Reason.TARGET: (Leg.TARGET,),
    Reason.FLAT_AT_CLOSE: (Leg.CLOSE,),
}


def _same_kind(reason: Reason | None, leg: str) -> bool:
    """Whether a recorded exit's leg is what a backtest's reason means; every other reason leaves by an exit order."""
    return reason is not None and leg in _KINDS.get(reason, (Leg.EXIT,))
