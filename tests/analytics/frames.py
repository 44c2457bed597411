"""Hand-made tables of a session: only what a test is about needs to be said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from qmworkbench.analytics.tables import TABLES
from qmworkbench.analytics.trades import ADDED

OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
ZONE = "America/New_York"
MINUTE = timedelta(minutes=1)

_EMPTY: dict[Any, Any] = {pl.String: "", pl.Float64: 0.0, pl.Int64: 0, pl.Boolean: False}
_TRADE = {
    "trade_id": "t",
    "strategy_id": "orb-1",
    "symbol": "OPK",
    "side": "buy",
    "qty": 100.0,
    "entry_px": 10.0,
    "exit_px": 11.0,
    "opened_at": OPEN + 2 * MINUTE,
    "closed_at": OPEN + 5 * MINUTE,
    "gross_pnl": 100.0,
    "fees": 2.0,
    "net_pnl": 98.0,
    "exit_leg": "exit",
    "exit_reason": "target",
    "initial_stop_px": 9.5,
    "r_multiple": 1.96,
    "rate": 1.0,
    "bars_held": 3,
    "setup": "range 1",
}


def _filled(schema: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return {name: given.get(name, _EMPTY.get(kind)) for name, kind in schema.items()}


def trades(*rows: dict[str, Any]) -> pl.DataFrame:
    """Closed trades; what a row does not say is as in the trade above."""
    schema = TABLES["trades"]
    made = [_filled(schema, {**_TRADE, "trade_id": f"t{n}", **row}) for n, row in enumerate(rows)]
    return pl.DataFrame(made, schema=schema, orient="row")


def fills_of(made: pl.DataFrame) -> pl.DataFrame:
    """The fills those trades come from: one in, one out."""
    rows = []
    for trade in made.iter_rows(named=True):
        held = trade["qty"] * (1 if trade["side"] == "buy" else -1)
        told = {"trade_id": trade["trade_id"], "symbol": trade["symbol"], "qty": trade["qty"], "rate": trade["rate"]}
        into = {"at": trade["opened_at"], "px": trade["entry_px"], "qty_after": held, "is_entry": True}
        out = {"at": trade["closed_at"], "px": trade["exit_px"], "leg": trade["exit_leg"]}
        rows.append(told | into | {"cost_after": held * trade["entry_px"]})
        rows.append(told | out | {"realized_after": trade["gross_pnl"]})
    return table("trade_fills", *rows)


def reviewed(*rows: dict[str, Any]) -> pl.DataFrame:
    """Trades with what analytics/trades.py adds, as given."""
    given = [{"outcome": "winner", "bucket": "09:30", "hold_min": 3.0, **row} for row in rows]
    added = pl.DataFrame([{name: row.get(name) for name in ADDED} for row in given], schema=ADDED, orient="row")
    return trades(*rows).hstack(added)


def table(name: str, *rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of any table, empty where nothing is said."""
    schema = TABLES[name]
    made = [_filled(schema, row) for row in rows]
    return pl.DataFrame(made, schema=schema, orient="row")


def bars(symbol: str, *rows: tuple[float, float, float, float], volume: float = 100.0) -> pl.DataFrame:
    """One symbol's minute bars from the open on: (open, high, low, close)."""
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(rows),
            "ts": [OPEN + n * MINUTE for n in range(len(rows))],
            "open": [row[0] for row in rows],
            "high": [row[1] for row in rows],
            "low": [row[2] for row in rows],
            "close": [row[3] for row in rows],
            "volume": [volume] * len(rows),
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )
