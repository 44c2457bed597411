"""What the fills of several symbols come to: fills and trades as tables, the account at every bar (§2 Backtesting)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from qmworkbench.research.fills.tape import Decisions, Fills, Floats, Ints, Phase, Reason, Tape

_TS: Final = pl.Datetime("us", "UTC")
_CLOSE_TO: Final = 1e-9

FILL_SCHEMA: Final[dict[str, Any]] = {
    "ts": _TS,
    "symbol": pl.String,
    "phase": pl.String,
    "qty": pl.Float64,
    "px": pl.Float64,
    "fee": pl.Float64,
    "reason": pl.String,
}
"""One row a fill: `ts` the open time of its bar, `phase` where in it (open, range, close), `qty` signed."""

TRADE_SCHEMA: Final[dict[str, Any]] = {
    "symbol": pl.String,
    "side": pl.String,
    "qty": pl.Float64,
    "entry_ts": _TS,
    "entry_px": pl.Float64,
    "exit_ts": _TS,
    "exit_px": pl.Float64,
    "gross_pnl": pl.Float64,
    "fees": pl.Float64,
    "pnl": pl.Float64,
    "return_pct": pl.Float64,
    "r_multiple": pl.Float64,
    "mae_pct": pl.Float64,
    "mfe_pct": pl.Float64,
    "bars": pl.Int64,
    "reason": pl.String,
    "open": pl.Boolean,
    "entry_bar": pl.Int64,
    "exit_bar": pl.Int64,
    "stop_px": pl.Float64,
    "target_px": pl.Float64,
}
"""One row a round trip, in order of entry. `pnl` after fees; an open one is valued at its last close, `reason` null.

`r_multiple` in units of the risk to the initial stop, null without one. `mae_pct`, `mfe_pct`: how far the price went
against and for the position while held, of the entry price. `entry_bar`, `exit_bar`: rows of the symbol's tape.
"""


@dataclass(frozen=True, eq=False)
class Account:
    """The account at the close of every bar of any symbol: arrays of one height.

    `ts_us` are the bars' open times. `equity` = cash and positions at their last closes; `gross` and `net` the value of
    positions without and with their sign; `held` how many there are; `fees` and `traded` what was paid and turned over
    up to there.
    """

    ts_us: Ints
    equity: Floats
    gross: Floats
    net: Floats
    held: Ints
    fees: Floats
    traded: Floats


def account_of(tapes: Sequence[Tape], fills: Sequence[Fills], cash: float) -> Account:
    """The account that begins with `cash` and trades these fills; symbols without a bar keep their last close."""
    times = np.unique(np.concatenate([tape.ts_us for tape in tapes])) if tapes else np.empty(0, np.int64)
    height = len(times)
    money = np.zeros(height)
    gross, net, fees, traded = (np.zeros(height) for _ in range(4))
    held = np.zeros(height, np.int64)
    for tape, done in zip(tapes, fills, strict=True):
        if not len(done):
            continue
        at = np.searchsorted(times, tape.ts_us[done.at])
        spent, paid, turned, bought = (np.zeros(height) for _ in range(4))
        np.add.at(spent, at, done.qty * done.px + done.fee)
        np.add.at(paid, at, done.fee)
        np.add.at(turned, at, np.abs(done.qty * done.px))
        np.add.at(bought, at, done.qty)
        position = np.cumsum(bought)
        position[np.abs(position) < _CLOSE_TO] = 0.0
        worth = position * _last_closes(tape, times)
        money -= np.cumsum(spent)
        fees += np.cumsum(paid)
        traded += np.cumsum(turned)
        net += worth
        gross += np.abs(worth)
        held += position != 0
    return Account(times, cash + money + net, gross, net, held, fees, traded)


def _last_closes(tape: Tape, times: Ints) -> Floats:
    """The symbol's last close at each time, its first open before there is one (nothing can be held then)."""
    row = np.searchsorted(tape.ts_us, times, side="right") - 1
    return np.where(row >= 0, tape.close[np.maximum(row, 0)], tape.open[0] if len(tape) else np.nan)


def aligned(tapes: Sequence[Tape], fills: Sequence[Fills]) -> tuple[list[Tape], list[Fills]]:
    """The same on the times of all of them: where a symbol has no bar its last close is carried, at no volume."""
    times = np.unique(np.concatenate([tape.ts_us for tape in tapes]))
    even: list[Tape] = []
    for tape in tapes:
        row = np.maximum(np.searchsorted(tape.ts_us, times, side="right") - 1, 0)
        there = tape.ts_us[row] == times
        carried = _last_closes(tape, times)
        prices: dict[str, Any] = {
            name: np.where(there, getattr(tape, name)[row], carried) for name in ("open", "high", "low", "close")
        }
        even.append(
            replace(
                tape,
                **prices,
                ts_us=times,
                volume=np.where(there, tape.volume[row], 0.0),
                day=tape.day[row],
                bar=tape.bar[row],
                ends=tape.ends[row] & there,
            )
        )
    moved = [
        replace(
            done, at=np.searchsorted(times, tape.ts_us[done.at]), denied=np.searchsorted(times, tape.ts_us[done.denied])
        )
        for tape, done in zip(tapes, fills, strict=True)
    ]
    return even, moved


def fill_table(tapes: Sequence[Tape], fills: Sequence[Fills]) -> pl.DataFrame:
    """All fills, FILL_SCHEMA, in order of time, phase and symbol."""
    parts = []
    for tape, done in zip(tapes, fills, strict=True):
        parts.append(
            pl.DataFrame(
                {
                    "ts": pl.Series(tape.ts_us[done.at]).cast(_TS),
                    "symbol": pl.repeat(tape.symbol, len(done), eager=True, dtype=pl.String),
                    "phase": pl.Series([Phase(code).name.lower() for code in done.phase], dtype=pl.String),
                    "qty": done.qty,
                    "px": done.px,
                    "fee": done.fee,
                    "reason": pl.Series([Reason(code).name.lower() for code in done.reason], dtype=pl.String),
                    "order": done.phase,
                }
            )
        )
    if not parts:
        return pl.DataFrame(schema=FILL_SCHEMA)
    return pl.concat(parts).sort("ts", "order", "symbol", maintain_order=True).select(list(FILL_SCHEMA))


def trade_table(
    tapes: Sequence[Tape], decisions: Sequence[Decisions], fills: Sequence[Fills], interval_s: int
) -> pl.DataFrame:
    """All round trips, TRADE_SCHEMA, in order of entry and symbol. A fill that turns a position round ends one and
    begins the next, its fee shared by quantity."""
    rows: list[dict[str, Any]] = []
    for tape, decided, done in zip(tapes, decisions, fills, strict=True):
        rows += _trades(tape, decided, done, interval_s * 1_000_000)
    made = pl.DataFrame(rows, schema={**TRADE_SCHEMA, "entry_ts": pl.Int64, "exit_ts": pl.Int64}, orient="row")
    return made.with_columns(pl.col("entry_ts", "exit_ts").cast(_TS)).sort("entry_ts", "symbol", maintain_order=True)


class _Fill(NamedTuple):
    at: int
    ts: int
    px: float
    fee: float
    phase: Phase
    reason: str | None


def _trades(tape: Tape, decided: Decisions, done: Fills, interval_us: int) -> list[dict[str, Any]]:
    trades: list[dict[str, Any]] = []
    position = 0.0
    entry: dict[str, Any] = {}
    for k in range(len(done)):
        at, qty, phase = int(done.at[k]), float(done.qty[k]), Phase(int(done.phase[k]))
        ts = int(tape.ts_us[at]) + (interval_us if phase is Phase.CLOSE else 0)
        told = _Fill(at, ts, float(done.px[k]), float(done.fee[k]), phase, Reason(int(done.reason[k])).name.lower())
        left = position + qty
        left = 0.0 if abs(left) < _CLOSE_TO else left
        if position:
            ending = told._replace(fee=min(1.0, abs(position) / abs(qty)) * told.fee)
            trades.append(_closed(tape, entry, ending))
            told = told._replace(fee=told.fee - ending.fee)
        if left:
            entry = _entered(tape, decided, left, told)
        position = left
    if position:
        last = len(tape) - 1
        ended = int(tape.ts_us[last]) + interval_us
        trades.append(_closed(tape, entry, _Fill(last, ended, float(tape.close[last]), 0.0, Phase.CLOSE, None)))
    return trades


def _entered(tape: Tape, decided: Decisions, qty: float, told: _Fill) -> dict[str, Any]:
    at_close = told.phase is Phase.CLOSE  # filled at the deciding bar's own close, only where asked for
    row = told.at if at_close else told.at - 1
    stop, target = float(decided.stop[row]), float(decided.target[row])
    return {
        "symbol": tape.symbol,
        "side": "long" if qty > 0 else "short",
        "qty": abs(qty),
        "entry_ts": told.ts,
        "entry_px": told.px,
        "fees": told.fee,
        "entry_bar": told.at,
        "seen_from": told.at + at_close,
        "stop_px": None if np.isnan(stop) else stop,
        "target_px": None if np.isnan(target) else target,
    }


def _closed(tape: Tape, entry: dict[str, Any], told: _Fill) -> dict[str, Any]:
    side = 1 if entry["side"] == "long" else -1
    entry_px, qty, px = entry["entry_px"], entry["qty"], told.px
    gross = side * qty * (px - entry_px)
    fees = entry["fees"] + told.fee
    # What was seen while held: whole bars from the entry's on; of the last one the fill alone, unless it was its close.
    seen = slice(entry["seen_from"], told.at + (told.phase is Phase.CLOSE))
    low = min(px, float(tape.low[seen].min(initial=entry_px)))
    high = max(px, float(tape.high[seen].max(initial=entry_px)))
    worst, best = (low, high) if side > 0 else (high, low)
    risk = 0.0 if entry["stop_px"] is None else side * (entry_px - entry["stop_px"]) * qty
    kept = ("symbol", "side", "qty", "entry_ts", "entry_px", "entry_bar", "stop_px", "target_px")
    return {
        **{name: entry[name] for name in kept},
        "exit_ts": told.ts,
        "exit_px": px,
        "gross_pnl": gross,
        "fees": fees,
        "pnl": gross - fees,
        "return_pct": (gross - fees) / (qty * entry_px) * 100,
        "r_multiple": (gross - fees) / risk if risk > 0 else None,
        "mae_pct": side * (worst / entry_px - 1) * 100,
        "mfe_pct": side * (best / entry_px - 1) * 100,
        "bars": told.at - entry["entry_bar"],
        "reason": told.reason,
        "open": told.reason is None,
        "exit_bar": told.at,
    }
