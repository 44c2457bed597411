"""A session's history told in the shares and tickers of its day: a seven-for-one split is no gap of -86 % (§5, §8).

For bars as they were printed. A vendor's adjusted bars need no table of actions.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import groupby
from typing import Final

import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction, action_order
from qmworkbench.domain.execution import ActivityKind

_PRICES: Final = ("open", "high", "low", "close", "spread")


def known_by(actions: Iterable[CorporateAction], day: date) -> tuple[CorporateAction, ...]:
    """Those with an ex-date up to `day`, oldest first: nobody knows of later ones."""
    return tuple(sorted((action for action in actions if action.ex_date <= day), key=action_order))


def in_todays_terms(
    history: pl.DataFrame, actions: Iterable[CorporateAction], sessions: Sequence[date], day: date
) -> pl.DataFrame:
    """Bars of sessions before `day` in the shares and tickers of `day`.

    `history` has symbol, ts, `session_no` (its place in `sessions`), prices and volume, in order of (symbol, ts), and
    is given back so. Prices before a split are divided by its ratio, volumes multiplied; dividends are left in the
    price. What was printed under a name that another company bears today is left out.
    """
    due = [
        action
        for action in known_by(actions, day)
        if sessions and sessions[0] < action.ex_date and action.kind in (ActivityKind.SPLIT, ActivityKind.SYMBOL_CHANGE)
    ]
    if not due or history.is_empty():
        return history
    told = history
    for ex_date, on_one_date in groupby(due, key=lambda action: action.ex_date):
        before = pl.col("session_no") < sum(session < ex_date for session in sessions)
        told = _in_terms_of(told, list(on_one_date), before)
    return told if told is history else told.sort("symbol", "ts")


def _in_terms_of(history: pl.DataFrame, actions: list[CorporateAction], before: pl.Expr) -> pl.DataFrame:
    """After the actions of one date, which concern the rows `before` it."""
    ratios = {action.symbol: float(action.ratio) for action in actions if action.kind is ActivityKind.SPLIT}
    names = {a.symbol: a.new_symbol for a in actions if a.kind is ActivityKind.SYMBOL_CHANGE}
    concerned = set(ratios) | set(names) | set(names.values())
    if not history.select((before & pl.col("symbol").is_in(sorted(concerned))).any()).item():
        return history
    if ratios:
        ratio = pl.when(before).then(pl.col("symbol").replace_strict(ratios, default=1.0)).otherwise(1.0)
        prices = [pl.col(name) / ratio for name in _PRICES if name in history.columns]
        history = history.with_columns(*prices, pl.col("volume") * ratio)
    if names:
        taken = sorted(set(names.values()) - set(names))
        history = history.filter(~(before & pl.col("symbol").is_in(taken)))
        renamed = pl.when(before).then(pl.col("symbol").replace(names)).otherwise(pl.col("symbol"))
        history = history.with_columns(renamed.alias("symbol"))
    return history
