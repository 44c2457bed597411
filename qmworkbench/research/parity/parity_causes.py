"""Why a session did otherwise than its backtest: one cause for each difference, from the record alone (M: layer 2).

A cause is taken for one only where the record says so: a denial with its rule, an order the broker refused, a frame
that came too late. Where it says nothing the difference stays unexplained, and that is what an owner must look into.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from qmworkbench.domain.orders import Leg, OrdType
from qmworkbench.research.parity.parity_record import Lane, Lanes, RecordedDay, RecordedTrade


class Cause(StrEnum):
    """What made a difference; stable in stored results."""

    RISK_DENIAL = "risk_denial"
    PARTIAL_FILL = "partial_fill"
    LATE_BAR = "late_bar"
    OPERATOR_ACTION = "operator_action"
    SLIPPAGE = "slippage"
    FEES = "fees"
    REJECTED = "rejected"
    ALLOCATOR = "allocator"
    HALTED = "halted"
    TIMEOUT = "timeout"
    ORDER_STYLE = "order_style"
    STRATEGY_ENDED = "strategy_ended"
    UNEXPLAINED = "unexplained"


MEANING: Final[dict[Cause, str]] = {
    Cause.RISK_DENIAL: "the Risk Manager denied the entry",
    Cause.PARTIAL_FILL: "the market had no volume for all of it",
    Cause.LATE_BAR: "the boundary's bars came late, or market data was not trusted",
    Cause.OPERATOR_ACTION: "a person closed, cancelled, paused or blocked",
    Cause.SLIPPAGE: "the same order at another price",
    Cause.FEES: "what the broker charged",
    Cause.REJECTED: "the broker refused an order",
    Cause.ALLOCATOR: "the symbol was not the instance's then",
    Cause.HALTED: "entries were held, or the book was halted",
    Cause.TIMEOUT: "an order was taken back after its time",
    Cause.ORDER_STYLE: "orders rested at a limit or a stop, where a backtest takes the open",
    Cause.STRATEGY_ENDED: "the run had ended, by a fault or by a person",
    Cause.UNEXPLAINED: "the record says nothing that would explain it",
}

# Risk rules that speak of the state of book, broker or platform rather than of the order.
_STANDSTILL: Final = frozenset(
    {"trading_state", "critical_health", "environment_armed", "entries_released", "broker_connected", "reconciled"}
)
_DATA: Final = frozenset({"feed_quality", "stale_quote", "clock_skew"})
_BY_PERSON: Final = ("operator pause", "symbol blocked", "session ended early")
_BY_HALT: Final = ("must halt", "entries are blocked", "emergency", "session ending")
Told = tuple[Cause, str]


@dataclass(frozen=True, eq=False)
class Witness:
    """What the record can say about one lane."""

    day: RecordedDay
    lanes: Lanes
    lane: Lane

    def entry_missing(self, at: datetime, qty: float | None) -> Told:
        """Why an entry that the backtest decided at the boundary `at` was not taken; `qty` is what it would buy."""
        circumstance = self._circumstance(at)
        if circumstance is not None:
            return circumstance
        lane, raised = self.lane, self.lane.raised.get(at)
        if raised is None:
            before = self._before_market(at)
            return (Cause.HALTED, before) if before else (Cause.UNEXPLAINED, "no signal is on record there")
        ignored = lane.ignored.get(raised.signal_id)
        if ignored is not None:
            return self._ignored(ignored, at, qty)
        denial = lane.denials.get(raised.signal_id)
        if denial is not None:
            return self._denied(lane.failed_rules.get(raised.signal_id, ()), denial.reason, at)
        intent = lane.intents.get(raised.signal_id)
        if intent is None:
            return Cause.UNEXPLAINED, "the signal led to no order and nothing says why"
        return self.order_ended(intent.request.cl_ord_id)

    def _circumstance(self, at: datetime) -> Told | None:
        """What kept the instance from deciding anything at `at`."""
        if not self.lane.is_owned(at):
            return Cause.ALLOCATOR, f"{self.lane.symbol} was not assigned to {self.lane.strategy_id} then"
        if at in self.lanes.dropped:
            return Cause.LATE_BAR, "its frame was computed too late and dropped"
        if at not in self.lanes.boundaries:
            return Cause.LATE_BAR, "the boundary never closed in the session"
        ended = self._run_ended(at)
        return (Cause.STRATEGY_ENDED, ended) if ended else None

    def entry_extra(self, decided: datetime | None) -> Told:
        """Why the session entered where the backtest does not."""
        if decided is not None and decided not in self.lanes.boundaries:
            return Cause.LATE_BAR, "it was decided at a boundary that is not of the session's bars"
        return Cause.UNEXPLAINED, "the backtest decides no entry there"

    def exit_differs(self, trade: RecordedTrade, expected_at: datetime | None) -> Told:
        """Why a position ended at another time than in the backtest (`expected_at`, None: it would still be held)."""
        begun = trade.entry_at or self.day.record.opened.at
        entries = [row for name in trade.entry_orders if (row := self.lanes.orders.get(name)) is not None]
        since = min((_started(row) for row in entries), default=begun)  # its exits were ordered with it
        if trade.exit_leg == Leg.LIQUIDATE:
            return self._standstill(trade.exit_at or self.day.record.closes_at, "liquidated")
        for wish in self.lane.exits:
            if begun <= wish.at and (trade.exit_at is None or wish.at <= trade.exit_at):
                by = self._wish(wish.reason, since)
                if by is not None:
                    return by
        if trade.exit_spread:
            return Cause.PARTIAL_FILL, "it was sold in several parts"
        if trade.exit_at is None:
            left = self._way_out_ended(since)
            if left is not None:
                return left
        for name in (*trade.exit_orders, *trade.entry_orders):
            told = self.order_ended(name, complete_too=False)
            if told[0] is not Cause.UNEXPLAINED:
                return told
        late = sorted(at for at in self.lanes.dropped if begun <= at and (expected_at is None or at <= expected_at))
        if late:
            return Cause.LATE_BAR, f"the frame of {late[-1]:%H:%M} UTC was dropped"
        halted = self._halted_between(begun, trade.exit_at or self.day.record.closes_at)
        if halted is not None:
            return halted
        return Cause.UNEXPLAINED, "the record says nothing of another exit"

    def order_ended(self, cl_ord_id: str, *, complete_too: bool = True) -> Told:
        """What became of an order that did not do what was expected of it."""
        row = self.lanes.orders.get(cl_ord_id)
        if row is None:
            return Cause.UNEXPLAINED, f"order {cl_ord_id} is not on record"
        status = str(row["status"])
        told = str(row["reason"] or status)
        if status in ("rejected", "denied"):
            return (Cause.REJECTED if status == "rejected" else Cause.RISK_DENIAL), told
        cancelled = self.lanes.cancels.get(cl_ord_id, "")
        if status in ("canceled", "expired", "pending_cancel") and cancelled:
            return self._cancelled(cancelled)
        if row["partial"]:
            return Cause.PARTIAL_FILL, f"{row['cum_qty']:g} of {row['order_qty']:g} filled"
        if row["ord_type"] not in (OrdType.MARKET, str(OrdType.MARKET)) and row["leg"] in (Leg.ENTRY, Leg.EXIT):
            return Cause.ORDER_STYLE, f"a {row['ord_type']} order, {status}"
        if status in ("canceled", "expired") and not row["cum_qty"]:
            return (Cause.PARTIAL_FILL if status == "expired" else Cause.REJECTED), told
        late = complete_too and status == "filled"
        return Cause.UNEXPLAINED, "it filled at another time than the next open" if late else f"its order is {status}"

    # --- what the record says --------------------------------------------------------------------------------------

    def _ignored(self, reason: str, at: datetime, qty: float | None) -> Told:
        if reason.startswith("the broker rejected"):
            return Cause.REJECTED, reason
        if reason.startswith("a budget of"):
            return (Cause.UNEXPLAINED if qty else Cause.ALLOCATOR), reason
        if reason in ("an exit is still working", "an entry is already on its way"):
            working = [
                self.order_ended(name)
                for name, row in self.lanes.orders.items()
                if row["strategy_id"] == self.lane.strategy_id
                and row["symbol"] == self.lane.symbol
                and _started(row) <= at
                and (_ended(row) is None or _ended(row) >= at)  # type: ignore[operator]
            ]
            known = [told for told in working if told[0] is not Cause.UNEXPLAINED]
            if known:
                return known[0][0], f"{reason}: {known[0][1]}"
        return Cause.UNEXPLAINED, reason

    def _denied(self, rules: tuple[str, ...], reason: str, at: datetime) -> Told:
        own = [rule for rule in rules if rule not in _STANDSTILL | _DATA and rule != "run_active"]
        if own or not rules:
            return Cause.RISK_DENIAL, reason
        if "trading_state" in rules or "entries_released" in rules:
            return self._standstill(at, reason)
        if "run_active" in rules:
            return Cause.STRATEGY_ENDED, reason
        return (Cause.LATE_BAR if set(rules) & _DATA else Cause.HALTED), reason

    def _wish(self, reason: str, since: datetime) -> Told | None:
        if reason.startswith("closed by") or reason in _BY_PERSON:
            return Cause.OPERATOR_ACTION, reason
        if reason.startswith("orphaned"):
            return Cause.STRATEGY_ENDED, reason
        if reason in ("an execution was taken back", "an exit closed more than was held"):
            return Cause.REJECTED, reason
        if reason.startswith(("flat before the close", "still open when")):
            return self._way_out_ended(since)
        return None

    def _way_out_ended(self, since: datetime) -> Told | None:
        """What became of the orders that were to close it, where that explains anything."""
        lane = (self.lane.strategy_id, self.lane.symbol)
        for name, row in self.lanes.orders.items():
            mine = (row["strategy_id"], row["symbol"]) == lane and row["leg"] in (Leg.CLOSE, Leg.EXIT)
            if mine and _started(row) >= since:
                told = self.order_ended(name, complete_too=False)
                if told[0] is not Cause.UNEXPLAINED:
                    return told
        return None

    def _cancelled(self, reason: str) -> Told:
        if "timeout" in reason or "stale entry" in reason:
            return Cause.TIMEOUT, reason
        if reason.startswith("market data"):
            return Cause.LATE_BAR, reason
        if reason.startswith(("exit wanted", "an abandoned", "what it closes")):
            return Cause.UNEXPLAINED, reason
        if reason.startswith(_BY_HALT):
            return Cause.HALTED, reason
        return Cause.OPERATOR_ACTION, reason

    def _standstill(self, at: datetime, reason: str) -> Told:
        """A halt is a person's where a person's act brought it about."""
        last = self._last_halt(lambda row_at: row_at <= at)
        if last is not None and (last[0] in ("operator_pause",) or self._is_person(last[2])):
            return Cause.OPERATOR_ACTION, f"{reason} ({last[1]}, by {last[2]})"
        return Cause.HALTED, reason

    def _halted_between(self, since: datetime, until: datetime) -> Told | None:
        last = self._last_halt(lambda at: since <= at <= until)
        if last is None:
            return None
        person = last[0] == "operator_pause" or self._is_person(last[2])
        return (Cause.OPERATOR_ACTION if person else Cause.HALTED), f"{last[1]}, by {last[2]}"

    def _last_halt(self, when: Callable[[datetime], bool]) -> tuple[str, str, str] | None:
        """(code, reason, by) of the last halt of the book or the instance that `when` speaks of."""
        found = None
        for row in self.day.record["halts"].iter_rows(named=True):
            concerns = row["scope"] in ("book", self.lane.strategy_id)
            if concerns and when(row["at"]):
                found = None if row["what"] == "ACTIVE" else (str(row["code"]), str(row["reason"]), str(row["by"]))
        return found

    def _is_person(self, by: str) -> bool:
        return by in set(self.day.record["commands"]["operator"].to_list()) and not by.startswith("policy:")

    def _run_ended(self, at: datetime) -> str:
        """Why the run had ended before the session's own end, "" if it had not."""
        for event in self.day.record.events:
            ended = type(event).__name__ == "RunEnded" and getattr(event, "strategy_id", "") == self.lane.strategy_id
            if ended and event.at <= at:
                return str(getattr(event, "reason", ""))
        return ""

    def _before_market(self, at: datetime) -> str:
        """Why no entry could be decided yet, or any more, by the session's phases; "" within the market session."""
        began = [when for phase, when in self.day.record.phases if phase == "market_session"]
        if not began or at < began[0]:
            return "the market session had not begun"
        after = [when for phase, when in self.day.record.phases if when > began[0]]
        return "the market session was over" if after and at >= after[0] else ""


def _started(row: object) -> datetime:
    at: datetime = row["intended_at"]  # type: ignore[index]
    return at


def _ended(row: object) -> datetime | None:
    at: datetime | None = row["ended_at"]  # type: ignore[index]
    return at
