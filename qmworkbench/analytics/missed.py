"""What was missed and why: symbols that were not traded, and ran after they had come nearest (§18).

Hindsight, for learning alone: a symbol that ran after it was passed over does not prove that passing was wrong.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from qmworkbench.analytics.explanations import exchange_clock
from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.analytics.symbol_day import symbol_days
from qmworkbench.analytics.tables import Schema
from qmworkbench.analytics.untraded import Untraded, explain_untraded

# `stage` how far it came (analytics/untraded.py), `condition` the filter, rule or entry condition that
# was missing there, `why` the paragraph. `seen_at` when it came nearest, for what no scan was near the open; `seen_px`
# the price then. From there: `run_pct` how far it rose to its best price, reached at `best_at`; `fall_pct` the worst
# before that; `close_pct` where it stood at its last bar.
_SCHEMA: Final[Schema] = {
    "symbol": pl.String,
    "stage": pl.String,
    "condition": pl.String,
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
# What no scan was ever near is worth a line only where it ran clearly.
UNSEEN_RUN_PCT: Final = 5.0


def missed(
    record: SessionRecord,
    bars: pl.DataFrame,
    *,
    interval_s: int,
    zone: str,
    least_run_pct: float = LEAST_RUN_PCT,
    unseen_run_pct: float = UNSEEN_RUN_PCT,
) -> pl.DataFrame:
    """Symbols never traded that rose by at least `least_run_pct` after they came nearest, best first.

    `bars` are the session's regular bars, `zone` is the exchange's time zone. A symbol that was traded even once is not
    missed.
    """
    told = exchange_clock(zone)
    days = symbol_days(record.events, sorted(set(bars["symbol"].unique().to_list())))
    found = {symbol: explain_untraded(day, told) for symbol, day in days.items() if not day.traded}
    told_of = _table(found)
    interval = timedelta(seconds=interval_s)
    runs = _runs(bars.join(told_of, on="symbol", how="inner", maintain_order="left"), interval)
    enough = pl.when(pl.col("stage") == "unknown").then(unseen_run_pct).otherwise(least_run_pct)
    whole = runs.join(told_of.drop("nearest_at"), on="symbol", how="inner", maintain_order="left")
    kept = whole.filter(pl.col("run_pct") >= enough).sort("run_pct", "symbol", descending=[True, False])
    return kept.select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items())


def _table(found: dict[str, Untraded]) -> pl.DataFrame:
    columns = {
        "symbol": list(found),
        "stage": [untraded.stage for untraded in found.values()],
        "condition": [untraded.condition for untraded in found.values()],
        "nearest_at": [untraded.at for untraded in found.values()],
        "why": [untraded.why for untraded in found.values()],
    }
    schema = {name: pl.Datetime("us", "UTC") if name == "nearest_at" else pl.String for name in columns}
    return pl.DataFrame(columns, schema=schema)


def _runs(bars: pl.DataFrame, interval: timedelta) -> pl.DataFrame:
    """How each symbol went from where it came nearest; those without a bar after that are left out."""
    after = pl.col("ts") >= pl.col("nearest_at").fill_null(pl.col("ts").min().over("symbol"))
    before = bars.sort("symbol", "ts").filter(~after)
    last_px = before.group_by("symbol", maintain_order=True).agg(pl.col("close").last().alias("before_px"))
    rest = bars.sort("symbol", "ts").filter(after).join(last_px, on="symbol", how="left", maintain_order="left")
    best_row = pl.col("high").arg_max()
    seen_px = pl.coalesce(pl.col("before_px").first(), pl.col("open").first())
    return (
        rest.group_by("symbol", maintain_order=True)
        .agg(
            pl.coalesce(pl.col("nearest_at").first(), pl.col("ts").first()).alias("seen_at"),
            seen_px.alias("seen_px"),
            (pl.col("ts").get(best_row) + interval).alias("best_at"),
            pl.col("high").max().alias("best_px"),
            pl.col("low").head(best_row + 1).min().alias("worst_px"),
            pl.col("close").last().alias("last_px"),
        )
        .with_columns(
            ((pl.col("best_px") / pl.col("seen_px") - 1) * 100).alias("run_pct"),
            ((pl.col("worst_px") / pl.col("seen_px") - 1) * 100).clip(upper_bound=0.0).alias("fall_pct"),
            ((pl.col("last_px") / pl.col("seen_px") - 1) * 100).alias("close_pct"),
        )
    )


def kept_out_by(missed_symbols: pl.DataFrame) -> pl.DataFrame:
    """Which scan filters kept the near misses that ran out, by how often: where a filter may be too tight.

    Of a symbol that failed several at its nearest, the first in the scan's order counts.
    """
    return (
        missed_symbols.filter((pl.col("stage") == "kept out") & (pl.col("condition") != ""))
        .group_by(pl.col("condition").alias("filter"), maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("symbols"),
            pl.col("run_pct").mean().alias("average_run_pct"),
            pl.col("symbol").sort().str.join(", ").alias("which"),
        )
        .sort("symbols", "filter", descending=[True, False])
    )
