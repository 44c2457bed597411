"""Rules that turn a session's evidence into recommendations, each with what it is based on (§17, §18).

Pure and few: a rule says what to look at next, never what to change by itself. One day proves little; every
recommendation therefore names its sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from qmworkbench.analytics import review
from qmworkbench.analytics.missed import kept_out_by
from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.operations.lines import several


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at: the facts, how many observations they rest on, and what to do next."""

    rule: str
    title: str
    evidence: tuple[str, ...]
    sample: int
    action: str


@dataclass(frozen=True, eq=False)
class Looked:
    """What the rules look at: the record, its reviewed trades (analytics/trades.py) and what was missed."""

    record: SessionRecord
    trades: pl.DataFrame
    missed: pl.DataFrame
    limits: review.Thresholds = review.DEFAULTS


Rule = Callable[[Looked], list[Recommendation]]


def recommend(looked: Looked) -> tuple[Recommendation, ...]:
    """Everything the rules have to say, in the order of RULES; empty when no rule found anything."""
    return tuple(found for rule in RULES for found in rule(looked))


def summary(found: tuple[Recommendation, ...], looked: Looked) -> str:
    """How it went, also where there is nothing to recommend."""
    seen = f"{len(RULES)} rules over {looked.trades.height} trades and {looked.missed.height} missed symbols"
    return (
        f"{several(len(found), 'recommendation')} from {seen}"
        if found
        else f"nothing to recommend: {seen} found nothing"
    )


def _stopped_symbols(looked: Looked) -> list[Recommendation]:
    return [
        Recommendation(
            rule="stopped_out",
            title=f"{row['symbol']} was stopped out {row['stops']} times",
            evidence=(
                f"{row['stops']} stop exits, together {row['net_pnl']:+,.2f}",
                f"held {row['average_hold_min']:.0f} min on average",
            ),
            sample=row["stops"],
            action=f"let {row['symbol']} rest after two stops in a day, or see whether its stop is inside its noise",
        )
        for row in review.stopped_out(looked.trades, looked.limits).iter_rows(named=True)
        if row["net_pnl"] < 0
    ]


def _weak_hours(looked: Looked) -> list[Recommendation]:
    weak = review.time_of_day(looked.trades, looked.limits).filter(pl.col("weak"))
    return [
        Recommendation(
            rule="time_of_day",
            title=f"entries from {row['bucket']} on lost money",
            evidence=(f"{row['trades']} trades, net {row['net_pnl']:+,.2f}, {row['win_rate']:.0%} won",),
            sample=row["trades"],
            action=f"compare the half hour from {row['bucket']} over more sessions before closing it to entries",
        )
        for row in weak.iter_rows(named=True)
    ]


def _poor(looked: Looked) -> list[Recommendation]:
    return [
        Recommendation(
            rule="poor_strategy",
            title=f"{row['strategy_id']} behaved poorly: {row['poor']}",
            evidence=(f"{row['trades']} trades, net {row['net_pnl']:+,.2f}, {row['win_rate']:.0%} won",),
            sample=row["trades"],
            action="its owner looks at the losers one by one; compare with its backtest before touching a parameter",
        )
        for row in review.poor_strategies(looked.trades, looked.limits).iter_rows(named=True)
    ]


def _slippage(looked: Looked) -> list[Recommendation]:
    fills = looked.record["fills"]
    outliers = review.slippage_outliers(fills, looked.limits)
    if outliers.is_empty():
        return []
    cost = float(outliers["slippage_cost"].sum())
    names = ", ".join(outliers["symbol"].unique().sort().to_list()[:6])
    return [
        Recommendation(
            rule="slippage",
            title=f"{outliers.height} of {fills.height} fills slipped beyond {review.slippage_bound(fills):.0f} bps",
            evidence=(f"in {names}", f"together {cost:,.2f}"),
            sample=fills.height,
            action="look at price and tick of these symbols: a cent is much on a three-dollar share; raise min_price "
            "or size them smaller",
        )
    ]


def _stops_beyond_risk(looked: Looked) -> list[Recommendation]:
    beyond = looked.trades.filter((pl.col("exit_leg") == "stop") & (pl.col("r_multiple") < -1.25))
    if beyond.height < 2:
        return []
    worst = beyond.sort("r_multiple", "trade_id").row(0, named=True)
    average = float(beyond["r_multiple"].mean())  # type: ignore[arg-type]
    return [
        Recommendation(
            rule="stops_beyond_risk",
            title=f"{beyond.height} stops cost clearly more than the risk they stood for",
            evidence=(
                f"average {average:.2f} R, worst {worst['symbol']} {worst['r_multiple']:.2f} R",
                f"fees and slippage of these trades: {float((beyond['fees'] + beyond['slippage_cost']).sum()):,.2f}",
            ),
            sample=beyond.height,
            action="costs are large against the stop distance: demand a wider stop (min_atr_bps) or size by risk",
        )
    ]


def _given_back(looked: Looked) -> list[Recommendation]:
    ran = looked.trades.filter((pl.col("mfe_r") >= 1.0) & pl.col("capture").is_not_null())
    if ran.height < 3:
        return []
    kept = float(ran["capture"].median())  # type: ignore[arg-type]
    if kept >= 0.35:
        return []
    return [
        Recommendation(
            rule="given_back",
            title="trades that were a full R ahead kept little of it",
            evidence=(f"{ran.height} trades reached 1 R or more; the median kept {kept:.0%} of its best open P&L",),
            sample=ran.height,
            action="try a trailing stop (trail_bps) on these trades in research before using one",
        )
    ]


def _tight_filters(looked: Looked) -> list[Recommendation]:
    found = []
    for row in kept_out_by(looked.missed).filter(pl.col("symbols") >= 3).iter_rows(named=True):
        found.append(
            Recommendation(
                rule="tight_filter",
                title=f"the scan filter {row['filter']!r} kept out {row['symbols']} symbols that ran",
                evidence=(f"average run {row['average_run_pct']:.1f} %", _some(row["which"].split(", "))),
                sample=row["symbols"],
                action=f"count over more sessions how many losers {row['filter']!r} also keeps out before relaxing it",
            )
        )
    return found


def _risk_blocks(looked: Looked) -> list[Recommendation]:
    return [
        Recommendation(
            rule="risk_blocks",
            title=f"the rule {row['rule']} refused {row['blocks']} orders",
            evidence=(f"{row['symbols']}", f"last {row['last_value']} against {row['limit']}"),
            sample=row["blocks"],
            action="a rule that refuses often is either too tight or shows a sizing that ignores it: find out which",
        )
        for row in review.risk_blocks(looked.record).filter(pl.col("blocks") >= 3).iter_rows(named=True)
    ]


def _rejections(looked: Looked) -> list[Recommendation]:
    rejected = review.rejected_orders(looked.record)
    if rejected.is_empty():
        return []
    reasons = ", ".join(rejected["reason"].unique().sort().to_list()[:4])
    return [
        Recommendation(
            rule="rejections",
            title=f"the broker refused {several(rejected.height, 'order')}",
            evidence=(reasons, ", ".join(rejected["symbol"].unique().sort().to_list()[:6])),
            sample=rejected.height,
            action="a rule of the broker that we can know should be ours: deny such orders before they are sent",
        )
    ]


def _idle_strategies(looked: Looked) -> list[Recommendation]:
    found = []
    for run in looked.record.opened.runs:
        name = run.strategy_id
        owned = looked.record["assignments"].filter(pl.col("strategy_id") == name)["symbol"].n_unique()
        signals = looked.record["signals"].filter(pl.col("strategy_id") == name).height
        if owned >= 3 and not signals:
            found.append(
                Recommendation(
                    rule="idle_strategy",
                    title=f"{name} owned {owned} symbols and raised no signal",
                    evidence=(f"{owned} symbols assigned, 0 signals",),
                    sample=owned,
                    action="what it owns is closed to the others: see whether its entries fit what the scan finds",
                )
            )
    return found


def _some(names: Sequence[str], most: int = 6) -> str:
    """The first names, and how many more there are."""
    beyond = len(names) - most
    return ", ".join(names[:most]) + (f" and {beyond} more" if beyond > 0 else "")


RULES: Final[tuple[Rule, ...]] = (
    _poor,
    _stopped_symbols,
    _stops_beyond_risk,
    _given_back,
    _weak_hours,
    _slippage,
    _rejections,
    _risk_blocks,
    _idle_strategies,
    _tight_filters,
)
