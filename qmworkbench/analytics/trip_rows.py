"""Rows of round trips, from flat to flat: each with its fills, its plan and what the scan knew then (§17, §18)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from qmworkbench.analytics import slippage
from qmworkbench.analytics.tables import Rows
from qmworkbench.domain.candidates import Candidate
from qmworkbench.domain.events import Event, market, orders, reconciliation, session
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Leg, Side

_TRADE_FIELDS: Final = (
    "trade_id",
    "strategy_id",
    "symbol",
    "side",
    "qty",
    "entry_px",
    "exit_px",
    "opened_at",
    "closed_at",
    "gross_pnl",
    "fees",
    "net_pnl",
    "exit_leg",
    "exit_reason",
    "signal_id",
    "decision_px",
    "bars_held",
    "initial_stop_px",
    "target_px",
    "r_multiple",
)
# Legs that rest at the broker: nothing was decided when they filled.
_RESTING: Final = frozenset({Leg.STOP, Leg.TARGET, Leg.CLOSE})
_Key = tuple[str, str]
_Fill = dict[str, Any]


class TripRows:
    """Follows every position from flat to flat. `closed` are the exact trades behind the rows."""

    def __init__(self, rows: Rows) -> None:
        self.closed: list[orders.TradeClosed] = []
        self._rows = rows
        self._session_id = ""
        self._opened_at: datetime | None = None
        self._definitions: dict[str, str] = {}
        self._start_equity: Decimal | None = None
        self._recoveries: list[datetime] = []
        self._judged: dict[str, Candidate] = {}
        self._intents: dict[str, orders.OrderIntended] = {}
        self._seen_at: dict[str, Candidate | None] = {}
        self._open: dict[_Key, list[_Fill]] = {}
        self.handlers: dict[type[Event], Callable[[Any], None]] = {
            market.FrameComputed: self._scanned,
            reconciliation.SessionEquitySet: self._equity,
            reconciliation.SessionRecovered: lambda e: self._recoveries.append(e.at),
            orders.TradeClosed: self._trade,
            orders.PositionsOffset: self._offset,
        }

    def opened(self, event: session.SessionOpened) -> None:
        """What the session began with."""
        self._session_id, self._opened_at = event.session_id, event.at
        self._definitions = {run.strategy_id: run.definition_id for run in event.runs}

    def intended(self, event: orders.OrderIntended) -> None:
        """An order of ours, with what the scan had last said of its symbol."""
        request = event.request
        for name in (request.cl_ord_id, *(leg.cl_ord_id for leg in request.legs)):
            self._intents[name] = event
        if event.leg is Leg.ENTRY:
            self._seen_at[event.signal_id] = self._judged.get(request.symbol)

    def _scanned(self, event: market.FrameComputed) -> None:
        for candidate in event.candidates:
            self._judged[candidate.symbol] = candidate

    def _equity(self, event: reconciliation.SessionEquitySet) -> None:
        self._start_equity = event.equity

    def filled(self, event: orders.FillRecorded, order: dict[str, Any] | None) -> None:
        """One fill: all of it in the trade it opens or shrinks, or divided where it closes one and opens the next."""
        signed = event.side.sign * event.last_qty
        before = event.position_qty - signed
        against = before != 0 and (before > 0) != (signed > 0)
        closing = min(abs(before), event.last_qty) if against else ZERO
        mine = self._open.setdefault((event.strategy_id, event.symbol), [])
        if closing:
            flips = closing < event.last_qty
            after = (ZERO, ZERO) if flips else (event.position_qty, event.position_cost)
            mine.append(self._part(event, order, closing, is_entry=False, after=after, before=mine))
        if closing < event.last_qty:
            after = (event.position_qty, event.position_cost)
            # What comes after a flip is the next trade's first fill: it does not know what the last one realized.
            earlier = [] if closing else mine
            mine.append(self._part(event, order, event.last_qty - closing, is_entry=True, after=after, before=earlier))

    def _part(
        self,
        event: orders.FillRecorded,
        order: dict[str, Any] | None,
        qty: Decimal,
        *,
        is_entry: bool,
        after: tuple[Decimal, Decimal],
        before: Sequence[_Fill],
    ) -> _Fill:
        trails = order is not None and order["trail_bps"] is not None
        bps = slippage.known_bps(event, trails=trails)
        realized = before[-1]["realized_after"] if before else ZERO
        return self._rows.add(
            "trade_fills",
            trade_id="",
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            at=event.transact_time,
            exec_id=event.exec_id,
            cl_ord_id=event.cl_ord_id,
            leg=order["leg"] if order is not None else "",
            is_entry=is_entry,
            side=event.side,
            qty=qty,
            px=event.last_px,
            fee=event.fee * qty / event.last_qty,
            decision_px=order["decision_px"] if order is not None and bps is not None else None,
            slippage_bps=bps,
            slippage_cost=slippage.cost(event, bps, qty),
            qty_after=after[0],
            cost_after=after[1],
            realized_after=realized if is_entry else realized + event.realized_pnl,
            rate=event.conversion_rate,
            adopted=event.adopted,
        )

    def _offset(self, event: orders.PositionsOffset) -> None:
        """Parts that cancelled out ended without an order: at the price they were set off at."""
        for strategy_id in event.strategy_ids:
            mine = self._open.get((strategy_id, event.symbol), [])
            if not mine or not mine[-1]["qty_after"]:
                continue
            last = mine[-1]
            qty, cost = last["qty_after"], last["cost_after"]
            row = last | {name: None for name in ("decision_px", "slippage_bps", "slippage_cost")}
            row |= {
                "at": event.at,
                "exec_id": "",
                "cl_ord_id": "",
                "leg": Leg.LIQUIDATE,
                "is_entry": False,
                "side": Side.SELL if qty > 0 else Side.BUY,
                "qty": abs(qty),
                "px": event.px,
                "fee": ZERO,
                "qty_after": ZERO,
                "cost_after": ZERO,
                "realized_after": last["realized_after"] + (qty * event.px - cost) * event.conversion_rate,
                "rate": event.conversion_rate,
            }
            mine.append(self._rows.add("trade_fills", **row))

    def reversed(self, event: orders.FillReversed) -> None:
        """What the broker took back was no part of a trade."""
        mine = self._open.get((event.strategy_id, event.symbol), [])
        mine[:] = [part for part in mine if part["exec_id"] != event.ref_exec_id]

    def _trade(self, event: orders.TradeClosed) -> None:
        """The trade is over: everything since the position was flat is its own, but what already opened the next."""
        self.closed.append(event)
        key = (event.strategy_id, event.symbol)
        parts = self._open.pop(key, [])
        # The closing fill's second half, which opened the opposite, comes right after the part that went flat.
        flipped = bool(parts) and parts[-1]["is_entry"] and parts[-1]["side"] is not event.side
        if flipped:
            self._open[key] = [parts.pop()]
        for part in parts:
            part["trade_id"] = event.trade_id
        entries = [part for part in parts if part["is_entry"]]
        exits = [part for part in parts if not part["is_entry"]]
        self._rows.add(
            "trades",
            **{name: getattr(event, name) for name in _TRADE_FIELDS},
            **self._beginning(event, entries),
            **_costs(entries, exits),
            session_id=self._session_id,
            definition_id=self._definitions.get(event.strategy_id, ""),
            rate=parts[-1]["rate"] if parts else ONE,
            exit_decided_at=self._exit_decided(exits),
            adopted=any(part["adopted"] for part in parts),
            recovered=any(event.opened_at <= at <= event.at for at in self._recoveries),
            carried=sum((part["qty"] for part in entries), ZERO) != event.qty,
            flipped=flipped,
        )

    def _beginning(self, event: orders.TradeClosed, entries: Sequence[_Fill]) -> dict[str, Any]:
        """Setup and plan, and what the scan knew; null where the entry lies before this session."""
        signal = self._rows.signals.get(event.signal_id)
        side = "long" if event.side.sign > 0 else "short"
        definition = self._definitions.get(event.strategy_id, "")
        intent = self._intents.get(entries[0]["cl_ord_id"]) if entries else None
        seen = self._seen_at.get(event.signal_id)
        notional = sum((part["qty"] * part["px"] * part["rate"] for part in entries), ZERO) if entries else None
        start = self._start_equity
        return {
            "setup": signal["why"] if signal is not None else "",
            "setup_kind": f"{definition} {side}" if definition else "",
            "decided_at": intent.at if intent is not None else None,
            "trail_bps": _trail(intent),
            "notional": notional,
            "equity_pct": notional / start * 100 if notional is not None and start else None,
            "rank": seen.rank if seen is not None else None,
            "change_pct": seen.change * 100 if seen is not None and seen.change is not None else None,
            "rel_volume": seen.rel_volume if seen is not None else None,
        }

    def _exit_decided(self, exits: Sequence[_Fill]) -> datetime | None:
        """When the exit that took it out was decided; None for orders that rested at the broker."""
        intent = self._intents.get(exits[-1]["cl_ord_id"]) if exits else None
        return intent.at if intent is not None and exits[-1]["leg"] not in _RESTING else None


def _trail(intent: orders.OrderIntended | None) -> int | None:
    legs = intent.request.legs if intent is not None else ()
    return next((leg.trail_bps for leg in legs if leg.trail_bps is not None), None)


def _costs(entries: Sequence[_Fill], exits: Sequence[_Fill]) -> dict[str, Any]:
    """Slippage on the way in and out, and how many fills it took."""
    return {
        "entry_slippage_bps": _by_qty(entries, "slippage_bps"),
        "exit_slippage_bps": _by_qty(exits, "slippage_bps"),
        "exit_decision_px": _by_qty(exits, "decision_px"),
        "entry_slippage_cost": _total(entries),
        "exit_slippage_cost": _total(exits),
        "slippage_cost": sum((part["slippage_cost"] or ZERO for part in (*entries, *exits)), ZERO),
        "fills": len({part["exec_id"] for part in (*entries, *exits)} - {""}),
        "entry_fills": len(entries),
        "exit_fills": len(exits),
    }


def _by_qty(parts: Sequence[_Fill], name: str) -> Decimal | None:
    """A value over several fills, weighted by quantity; None where no fill has it."""
    told = [(part["qty"], part[name]) for part in parts if part[name] is not None]
    qty = sum((q for q, _ in told), ZERO)
    return sum((q * value for q, value in told), ZERO) / qty if qty else None


def _total(parts: Sequence[_Fill]) -> Decimal | None:
    told = [part["slippage_cost"] for part in parts if part["slippage_cost"] is not None]
    return sum(told, ZERO) if told else None
