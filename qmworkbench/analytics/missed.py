"""What was missed and why: symbols that were seen, not traded, and ran (§18 candidate improvements).

Hindsight, for learning alone: a symbol that ran after it was passed over does not prove that passing was wrong.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.analytics.tables import Schema

# `seen_at` when it was first a candidate or a near miss, `seen_px` the price then; `run_pct` how far it rose from there
# to its best price, reached at `best_at`; `fall_pct` the worst before that; `stage` how far it came: near miss, found,
# declined, assigned, signaled, denied or unfilled; `why` what stood in the way, in words.
_SCHEMA: Final[Schema] = {
    "symbol": pl.String,
    "stage": pl.String,
    "seen_at": pl.Datetime("us", "UTC"),
    "seen_px": pl.Float64,
    "best_at": pl.Datetime("us", "UTC"),
    "best_px": pl.Float64,
    "run_pct": pl.Float64,
    "fall_pct": pl.Float64,
    "close_pct": pl.Float64,
    "why": pl.String,
}
LEAST_RUN_PCT: Final = 2.0
_ACCEPTANCES: Final = frozenset({"the same side is already held", "an entry is already on its way"})


def missed(
    record: SessionRecord, bars: pl.DataFrame, *, interval_s: int, least_run_pct: float = LEAST_RUN_PCT
) -> pl.DataFrame:
    """Symbols never traded that rose by at least `least_run_pct` after they were first seen, best first.

    `bars` are the session's regular bars. A symbol that was traded even once is not missed.
    """
    traded = set(record["fills"]["symbol"].to_list())
    first = {symbol: at for symbol, at in _first_seen(record).items() if symbol not in traded}
    interval = timedelta(seconds=interval_s)
    parts = bars.filter(pl.col("symbol").is_in(sorted(first))).sort("symbol", "ts").partition_by("symbol", as_dict=True)
    rows = []
    for key, part in parts.items():
        symbol = str(key[0])
        row = _run(symbol, part, first[symbol], interval)
        if row is not None and row["run_pct"] >= least_run_pct:
            stage, why = _why(record, symbol)
            rows.append(row | {"stage": stage, "why": why})
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("run_pct", "symbol", descending=[True, False])


def _first_seen(record: SessionRecord) -> dict[str, datetime]:
    found = record["watch"].filter(pl.col("state") == "found").select("symbol", "at")
    seen = pl.concat([found, record["near_misses"].select("symbol", "at")])
    earliest = seen.group_by("symbol").agg(pl.col("at").min()).sort("symbol")
    return dict(zip(earliest["symbol"].to_list(), earliest["at"].to_list(), strict=True))


def _run(symbol: str, bars: pl.DataFrame, seen_at: datetime, interval: timedelta) -> dict[str, Any] | None:
    """How the symbol went from the close at which it was seen; None where no bar came after."""
    before = bars.filter(pl.col("ts") < seen_at)
    after = bars.filter(pl.col("ts") >= seen_at)
    if after.is_empty():
        return None
    seen_px = before["close"][-1] if before.height else after["open"][0]
    at = int(after["high"].arg_max() or 0)
    best = float(after["high"][at])
    worst = float(after["low"][: at + 1].min())  # type: ignore[arg-type]
    return {
        "symbol": symbol,
        "seen_at": seen_at,
        "seen_px": seen_px,
        "best_at": after["ts"][at] + interval,
        "best_px": best,
        "run_pct": (best / seen_px - 1) * 100,
        "fall_pct": min(0.0, (worst / seen_px - 1) * 100),
        "close_pct": (after["close"][-1] / seen_px - 1) * 100,
    }


def _why(record: SessionRecord, symbol: str) -> tuple[str, str]:
    """How far a symbol came and what stood in its way; the furthest stage it reached tells."""
    of = {name: record[name].filter(pl.col("symbol") == symbol) for name in _STAGES}
    entries = of["orders"].filter((pl.col("leg") == "entry") & (pl.col("status") != "denied"))
    if entries.height:
        last = entries.row(-1, named=True)
        return "unfilled", f"the entry ended {last['status']} without a fill: {last['reason'] or 'no reason given'}"
    if of["risk_blocks"].height:
        rules = of["risk_blocks"].select(pl.format("{} ({}, limit {})", "rule", "value", "limit")).to_series().unique()
        return "denied", f"risk: {'; '.join(sorted(rules.to_list())[:3])}"
    ignored = of["signals"].filter(~pl.col("ignored").is_in(list(_ACCEPTANCES)) & (pl.col("ignored") != ""))
    if ignored.height:
        return "signaled", f"its signal was not followed: {ignored['ignored'][-1]}"
    taken = of["assignments"].filter(pl.col("strategy_id") != "")
    if taken.height:
        return "assigned", f"{taken['strategy_id'][-1]} owned it and saw no entry"
    if of["assignments"].height:
        return "declined", f"no strategy took it: {of['assignments']['why'][-1]}"
    if of["watch"].height:
        return "found", f"on the watchlist, then {of['watch']['state'][-1]}: {of['watch']['reason'][-1]}"
    return "near miss", of["near_misses"]["why"][0] if of["near_misses"].height else "never judged"


_STAGES: Final = ("orders", "risk_blocks", "signals", "assignments", "watch", "near_misses")


def kept_out_by(missed_symbols: pl.DataFrame, record: SessionRecord) -> pl.DataFrame:
    """Which scan filters kept the near misses that ran out, by how often: where a filter may be too tight."""
    near = missed_symbols.filter(pl.col("stage") == "near miss").select("symbol", "run_pct")
    first = record["near_misses"].group_by("symbol", maintain_order=True).agg(pl.col("codes").first())
    return (
        near.join(first, on="symbol", how="inner", maintain_order="left")
        .with_columns(pl.col("codes").str.split(",").alias("filter"))
        .explode("filter")
        .group_by("filter", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("symbols"),
            pl.col("run_pct").mean().alias("average_run_pct"),
            pl.col("symbol").sort().str.join(", ").alias("which"),
        )
        .sort("symbols", "filter", descending=[True, False])
    )
