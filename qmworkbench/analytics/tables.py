"""The columns of a session's tables, with their types and units (§18).

Money in account currency, prices in the instrument's, times aware UTC. A null means unknown or not applicable.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import polars as pl

_T: Final = pl.Datetime("us", "UTC")
_F, _S, _I, _B = pl.Float64, pl.String, pl.Int64, pl.Boolean
Schema = dict[str, pl.DataType | type[pl.DataType]]

TABLES: Final[dict[str, Schema]] = {
    # Every order, ours refused included. `sent`: it left us; bracket legs leave with their parent. `partial`: it once
    # stood partly filled. `decision_px`: the close it was decided at, for a leg its own level.
    "orders": {
        "cl_ord_id": _S,
        "parent_id": _S,
        "symbol": _S,
        "strategy_id": _S,
        "leg": _S,
        "side": _S,
        "ord_type": _S,
        "order_qty": _F,
        "decision_px": _F,
        "signal_id": _S,
        "intended_at": _T,
        "ended_at": _T,
        "status": _S,
        "cum_qty": _F,
        "fills": _I,
        "partial": _B,
        "sent": _B,
        "reason": _S,
    },
    # `slippage_bps` against the decision price, adverse positive; `slippage_cost` the same in money; null where there
    # was none, and for a stop that had trailed, whose level is not on record.
    "fills": {
        "at": _T,
        "exec_id": _S,
        "cl_ord_id": _S,
        "strategy_id": _S,
        "symbol": _S,
        "side": _S,
        "leg": _S,
        "qty": _F,
        "px": _F,
        "fee": _F,
        "slippage_bps": _F,
        "slippage_cost": _F,
        "realized_pnl": _F,
        "adopted": _B,
    },
    # Closed round trips. `definition_id`: the catalog entry, "" for what nobody here ordered; `setup_kind`: that and
    # the side of its entry condition ("opening-range long"); `setup`: the features at the signal as text, "" where
    # none is on record. `decided_at`, `decision_px`: when and at which close the entry was decided; `trail_bps` of
    # its stop. `rate`: account currency per unit of the instrument's; `notional`: what was entered, in account
    # currency; `equity_pct`: that in per cent of the session's start equity. Slippage is against the decision price
    # (an exit's is the close it was decided at, or the resting order's own level), adverse positive, by quantity:
    # null where no fill had a decision price. `exit_decided_at`: null where a resting order took it out. `rank`,
    # `change_pct`, `rel_volume`: as the scan last judged the symbol before the entry, null where it never was a
    # candidate (rel_volume also without history). `adopted`: a fill was booked without an order of ours. `recovered`:
    # a process took the session over while it was held. `carried`: its entry is not, or not all, among this session's
    # fills (begun earlier, or repaired), so that nothing is said of its entry's slippage and excursions. `flipped`:
    # the fill that closed it opened the opposite.
    "trades": {
        "trade_id": _S,
        "session_id": _S,
        "strategy_id": _S,
        "definition_id": _S,
        "symbol": _S,
        "side": _S,
        "qty": _F,
        "entry_px": _F,
        "exit_px": _F,
        "opened_at": _T,
        "closed_at": _T,
        "gross_pnl": _F,
        "fees": _F,
        "net_pnl": _F,
        "exit_leg": _S,
        "exit_reason": _S,
        "signal_id": _S,
        "decision_px": _F,
        "bars_held": _I,
        "initial_stop_px": _F,
        "target_px": _F,
        "r_multiple": _F,
        "setup": _S,
        "setup_kind": _S,
        "decided_at": _T,
        "trail_bps": _I,
        "rate": _F,
        "notional": _F,
        "equity_pct": _F,
        "entry_slippage_bps": _F,
        "exit_slippage_bps": _F,
        "entry_slippage_cost": _F,
        "exit_slippage_cost": _F,
        "slippage_cost": _F,
        "exit_decision_px": _F,
        "exit_decided_at": _T,
        "fills": _I,
        "entry_fills": _I,
        "exit_fills": _I,
        "rank": _I,
        "change_pct": _F,
        "rel_volume": _F,
        "adopted": _B,
        "recovered": _B,
        "carried": _B,
        "flipped": _B,
    },
    # What round trips are made of, a row a fill, in order: a fill that closes one and opens the next has a row in
    # each. `trade_id`: "" while the trade is open, and where the fill was taken back. `is_entry`: it made the
    # position larger. `qty_after` (signed) and `cost_after` are the position's after it, `realized_after` the trade's
    # own P&L up to then, before fees.
    "trade_fills": {
        "trade_id": _S,
        "strategy_id": _S,
        "symbol": _S,
        "at": _T,
        "exec_id": _S,
        "cl_ord_id": _S,
        "leg": _S,
        "is_entry": _B,
        "side": _S,
        "qty": _F,
        "px": _F,
        "fee": _F,
        "decision_px": _F,
        "slippage_bps": _F,
        "slippage_cost": _F,
        "qty_after": _F,
        "cost_after": _F,
        "realized_after": _F,
        "rate": _F,
    },
    "signals": {
        "at": _T,
        "signal_id": _S,
        "strategy_id": _S,
        "symbol": _S,
        "kind": _S,
        "decision_px": _F,
        "why": _S,
        "ignored": _S,
    },
    # One row for each rule that failed; an order that fails two rules has two.
    "risk_blocks": {
        "at": _T,
        "cl_ord_id": _S,
        "symbol": _S,
        "strategy_id": _S,
        "leg": _S,
        "rule": _S,
        "value": _S,
        "limit": _S,
    },
    "watch": {"at": _T, "symbol": _S, "state": _S, "reason": _S, "rank": _I},
    "near_misses": {"at": _T, "symbol": _S, "rank": _I, "codes": _S, "why": _S},
    # `strategy_id` "" where nobody took the symbol.
    "assignments": {"at": _T, "symbol": _S, "strategy_id": _S, "why": _S},
    "commands": {
        "at": _T,
        "command_id": _S,
        "command": _S,
        "details": _S,
        "reason": _S,
        "operator": _S,
        "origin": _S,
        "by_policy": _B,
        "accepted": _B,
        "answer": _S,
    },
    # §9's signals as they were told: when one began to speak or went quiet, and where each stood at the end (`final`).
    # `threshold`, `value` in `unit`, from `sample` observations.
    "analytics_signals": {
        "at": _T,
        "code": _S,
        "subject": _S,
        "value": _F,
        "threshold": _F,
        "unit": _S,
        "sample": _I,
        "active": _B,
        "text": _S,
        "final": _B,
    },
    "notes": {"at": _T, "note_id": _S, "kind": _S, "text": _S, "by": _S},
    "alerts": {
        "at": _T,
        "priority": _S,
        "kind": _S,
        "key": _S,
        "text": _S,
        "remedy": _S,
        "cleared_at": _T,
    },
    # Changes of trading state, emergencies, and reports that contradicted what was known.
    "halts": {"at": _T, "scope": _S, "what": _S, "code": _S, "reason": _S, "by": _S},
    "breaks": {
        "at": _T,
        "break_id": _S,
        "kind": _S,
        "symbol": _S,
        "severity": _S,
        "before": _S,
        "after": _S,
        "cause": _S,
        "authority": _S,
        "settled_at": _T,
    },
    "reconciliations": {
        "at": _T,
        "trigger": _S,
        "result": _S,
        "breaks": _I,
        "repaired": _I,
        "unresolved": _I,
        "detail": _S,
    },
}


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """`rows` as the table `name`, empty but typed where there are none."""
    schema = TABLES[name]
    columns = {column: [_plain(row[column]) for row in rows] for column in schema}
    return pl.DataFrame(columns, schema=schema)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, str) else value


class Rows:
    """The rows of a session's tables while they are gathered; a row stays open to later news about the same thing.

    `signals` finds a signal's row by its id.
    """

    def __init__(self) -> None:
        self.by_table: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self.signals: dict[str, dict[str, Any]] = {}

    def add(self, name: str, /, **row: Any) -> dict[str, Any]:
        self.by_table[name].append(row)
        return row
