"""Splits, dividends, ticker changes and delistings as a table: read, checked, and made into actions (§5, §14).

A file of actions, CSV or Parquet, has one row an action:

    symbol      String   the ticker of the day before
    ex_date     Date     the first session without the right, or under the new name (CSV: 2014-06-09)
    kind        String   split, dividend, symbol_change or delisting
    ratio       Float64  split: new shares for one old one (CSV may say 7:1); null or 0 else
    amount      Float64  dividend: cash a share; delisting: what is paid, null for the last price; null or 0 else
    new_symbol  String   symbol_change: the ticker from then on; null or empty else
    source      String   who told (optional column)
"""

from collections.abc import Iterable
from typing import Final

import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction, action_order

ACTION_SCHEMA: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "ex_date": pl.Date(),
        "kind": pl.String(),
        "ratio": pl.Float64(),
        "amount": pl.Float64(),
        "new_symbol": pl.String(),
        "source": pl.String(),
    }
)


def table_of(actions: Iterable[CorporateAction]) -> pl.DataFrame:
    """Actions as a frame of ACTION_SCHEMA, in the order in which they take effect."""
    rows = [
        {
            "symbol": action.symbol,
            "ex_date": action.ex_date,
            "kind": action.kind.value,
            "ratio": float(action.ratio) or None,
            "amount": float(action.amount) or None,
            "new_symbol": action.new_symbol or None,
            "source": action.source,
        }
        for action in sorted(actions, key=action_order)
    ]
    return pl.DataFrame(rows, schema=ACTION_SCHEMA)
