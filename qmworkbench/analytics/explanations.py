"""Trades, and symbols that did not trade, each as one paragraph that a strategy owner reads (§17, §18).

Made from the record alone, so the same record always tells the same: `qm why`, the reports and the review share it.
Times are the exchange's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from qmworkbench.analytics.nearest_entry import NearestEntry
from qmworkbench.analytics.symbol_day import HELD_ALREADY, Owned, SymbolDay, ended_as, unfilled
from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.domain.orders import Leg

Clock = Callable[[datetime], str]
Row = Mapping[str, Any]

_PARTS_TOLD: Final = 3


def exchange_clock(zone: str) -> Clock:
    """Times of day as the exchange's clock shows them: "10:04"."""
    there = ZoneInfo(zone)
    return lambda at: f"{at.astimezone(there):%H:%M}"


@dataclass(frozen=True)
class NearestScan:
    """The boundary at which the scan came nearest to letting a symbol through. `rank` None: it had no price then.

    `passed` counts boundaries at which every filter let it through, `judged` those at which it was judged at all.
    """

    at: datetime
    rank: int | None
    verdicts: tuple[FilterVerdict, ...]
    passed: int
    judged: int

    @property
    def failed(self) -> tuple[FilterVerdict, ...]:
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


# --- a trade ------------------------------------------------------------------------------------------------------


def explain_trades(trades: pl.DataFrame, days: Mapping[str, SymbolDay], clock: Clock, currency: str) -> pl.DataFrame:
    """trade_id and `story`, the paragraph of each trade of analytics/trades.py."""
    rows = trades.to_dicts()
    stories = [explain_trade(row, days.get(row["symbol"]) or SymbolDay(row["symbol"]), clock, currency) for row in rows]
    schema = {"trade_id": pl.String, "story": pl.String}
    return pl.DataFrame({"trade_id": [row["trade_id"] for row in rows], "story": stories}, schema=schema)


def explain_trade(trade: Row, day: SymbolDay, clock: Clock, currency: str) -> str:
    """One closed trade, from its finding to its result."""
    parts = [
        _how_it_came(trade, day, clock),
        _entry(trade, clock),
        _plan(trade, currency),
        _exit(trade, clock),
        _reached(trade),
        _result(trade, currency),
        *_oddities(trade),
    ]
    side = "long" if trade["side"] == "buy" else "short"
    return f"{trade['symbol']} {side}, {trade['strategy_id']}: {' '.join(part for part in parts if part)}"


def _how_it_came(trade: Row, day: SymbolDay, clock: Clock) -> str:
    """What the scan and the allocator did before, and the signal."""
    decided = trade["decided_at"]
    if decided is None:
        return "It was held already when this session began." if trade["carried"] else ""
    told = []
    found = [event for event in day.found if event.at <= decided and event.rank is not None]
    if found:
        told.append(f"{clock(found[-1].at)} found at rank {found[-1].rank} of the scan")
    owned = [owned for owned in day.owned if owned.strategy_id == trade["strategy_id"] and owned.since <= decided]
    if owned:
        told.append(f"{clock(owned[-1].since)} given to {trade['strategy_id']}")
    side = "long" if trade["side"] == "buy" else "short"
    setup = f" ({trade['setup']})" if trade["setup"] else ""
    told.append(f"{clock(decided)} its {side} signal at {_px(trade['decision_px'])}{setup}")
    return "; ".join(told) + "."


def _entry(trade: Row, clock: Clock) -> str:
    did = "bought" if trade["side"] == "buy" else "sold short"
    fills = f" in {trade['entry_fills']} fills" if (trade["entry_fills"] or 0) > 1 else ""
    slipped = _slipped(trade["entry_slippage_bps"], "than decided")
    return f"{clock(trade['opened_at'])} {did} {_qty(trade['qty'])} at {_px(trade['entry_px'])}{fills}{slipped}."


def _plan(trade: Row, currency: str) -> str:
    stop, target, risk = trade["initial_stop_px"], trade["target_px"], trade.get("risk")
    told = []
    if stop is not None:
        one_r = f" (1 R = {risk:,.2f} {currency})" if risk else ""
        trailing = f", trailing {trade['trail_bps']} bps" if trade["trail_bps"] else ""
        told.append(f"stop {_px(stop)}{trailing}{one_r}")
    told.append(f"target {_px(target)}" if target is not None else "no target")
    return f"{_first_up(', '.join(told))}."


def _exit(trade: Row, clock: Clock) -> str:
    held = _span(trade["hold_min"])
    px, leg, when = _px(trade["exit_px"]), trade["exit_leg"], clock(trade["closed_at"])
    if leg == Leg.STOP:
        overrun = trade.get("stop_overrun_bps")
        beyond = f", {overrun:.1f} bps beyond its level" if overrun is not None and overrun >= 0.05 else ""
        trailed = "by its trailing stop " if trade["trail_bps"] else ""
        return f"{when} stopped out {trailed}at {px} after {held}{beyond}."
    slipped = _slipped(trade["exit_slippage_bps"], "than decided")
    if leg == Leg.TARGET:
        return f"{when} target reached at {px} after {held}."
    if leg == Leg.CLOSE:
        return f"{when} closed with the session at {px} after {held}."
    why = f" ({trade['exit_reason']})" if trade["exit_reason"] else ""
    delay = trade.get("exit_delay_s")
    late = f", {_span(delay / 60)} after deciding" if delay else ""
    return f"{when} left at {px} after {held}{why}{late}{slipped}."


def _reached(trade: Row) -> str:
    best, worst = trade.get("mfe_r"), trade.get("mae_r")
    if best is None or worst is None:
        return ""
    return f"Best it was {best:+.1f} R ({_px(trade['mfe_px'])}), worst {worst:+.1f} R ({_px(trade['mae_px'])})."


def _result(trade: Row, currency: str) -> str:
    multiple = f", {trade['r_multiple']:+.2f} R" if trade["r_multiple"] is not None else ""
    return f"Net {trade['net_pnl']:+,.2f} {currency} after {trade['fees']:,.2f} fees{multiple}."


def _oddities(trade: Row) -> list[str]:
    told = {
        "recovered": "Another process took the session over while it was held.",
        "adopted": "A fill of it was booked without an order of ours.",
        "flipped": "The fill that closed it opened the opposite.",
    }
    return [sentence for name, sentence in told.items() if trade[name]]


# --- a symbol that did not trade ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Untraded:
    """How far a symbol came that was never traded. `stage` is no bars, blocked, unfilled, denied, ignored, owned,
    declined, expired, kept out or unknown; `why` the paragraph; `condition` the filter's or rule's code, or the entry
    condition in words, that was missing there, "" where none can be named; `at` when it came that far, None where no
    one moment was it.
    """

    stage: str
    why: str
    condition: str = ""
    at: datetime | None = None


def explain_untraded(
    day: SymbolDay,
    clock: Clock,
    *,
    bars: int | None = None,
    scan: NearestScan | None = None,
    entries: Sequence[tuple[str, NearestEntry]] = (),
) -> Untraded:
    """Why a symbol was not traded: the furthest it came, and what was missing there, with numbers.

    `bars` are its bars in the session (None: not known), `scan` and `entries` (by instance) where scan and entry rules
    came nearest, where that was computed.
    """
    if bars == 0:
        return Untraded("no bars", f"{day.symbol} did not trade at all: the session has no bar of it.", "traded")
    for stage in (_blocked, _unfilled, _denied, _ignored, _owned):
        found = stage(day, clock, entries)
        if found is not None:
            return found
    return _not_owned(day, clock, scan)


def _blocked(day: SymbolDay, clock: Clock, _: object) -> Untraded | None:
    if not day.blocked:
        return None
    block = day.blocked[-1]
    return Untraded(
        "blocked",
        f"{day.symbol} was blocked ({block.scope}) by {block.by} at {clock(block.at)}: {block.reason}.",
        "blocked",
        block.at,
    )


def _unfilled(day: SymbolDay, clock: Clock, _: object) -> Untraded | None:
    sent = unfilled(day)
    if not sent:
        return None
    intent, last = sent[-1]
    times = f" (the last of {len(sent)})" if len(sent) > 1 else ""
    return Untraded(
        "unfilled",
        f"{intent.strategy_id} sent an entry for {intent.request.order_qty} {day.symbol} at {clock(intent.at)}, "
        f"decided at {intent.decision_px}{times}; it {ended_as(last)}.",
        "unfilled",
        intent.at,
    )


def _denied(day: SymbolDay, clock: Clock, _: object) -> Untraded | None:
    if not day.denied:
        return None
    last = day.denied[-1]
    rules = "; ".join(f"{rule.code} (seen {rule.value}, limit {rule.limit})" for rule in last.failed[:_PARTS_TOLD])
    before = len(day.denied) - 1
    times = f", as {'once' if before == 1 else f'{before} times'} before" if before else ""
    return Untraded(
        "denied",
        f"The Risk Manager denied {last.strategy_id}'s entry into {day.symbol} at {clock(last.at)}{times}: {rules}.",
        last.failed[0].code if last.failed else "",
        last.at,
    )


def _ignored(day: SymbolDay, clock: Clock, _: object) -> Untraded | None:
    moot = [event for event in day.ignored if event.reason not in HELD_ALREADY]
    if not moot:
        return None
    signal = day.signals[moot[-1].signal_id]
    return Untraded(
        "ignored",
        f"{signal.strategy_id} raised an entry for {day.symbol} at {clock(signal.at)} ({signal.decision_px}) that led "
        f"to no order: {moot[-1].reason}.",
        "signal",
        signal.at,
    )


def _owned(day: SymbolDay, clock: Clock, entries: Sequence[tuple[str, NearestEntry]]) -> Untraded | None:
    if not day.owned:
        return None
    told = [f"{_whole(day.owned, clock)} and saw no entry in {day.symbol}."]
    for strategy_id, nearest in entries:
        told.append(f"{strategy_id} came nearest at {clock(nearest.at)} ({_px(nearest.close)}): {nearest.sentence()}.")
    missing = next((n.missing[0].text for _, n in entries if n.missing), "entry rules")
    return Untraded("owned", " ".join(told), missing, entries[0][1].at if entries else day.owned[0].since)


def _whole(owned: Sequence[Owned], clock: Clock) -> str:
    spans = []
    for each in owned[-_PARTS_TOLD:]:
        until = f"until {clock(each.until)} ({each.why_ended})" if each.until is not None else "to the end"
        spans.append(f"{each.strategy_id} owned it from {clock(each.since)} {until}")
    return "; ".join(spans)


def _not_owned(day: SymbolDay, clock: Clock, scan: NearestScan | None) -> Untraded:
    if day.found:
        first = day.found[0]
        rank = f" at rank {first.rank}" if first.rank is not None else ""
        found = f"The scan found {day.symbol} at {clock(first.at)}{rank}"
        if day.declined:
            last = day.declined[-1]
            return Untraded("declined", f"{found}, and no strategy took it: {last.reason}.", "ownership", last.at)
        last_word = day.watch[-1]
        return Untraded(
            "expired", f"{found}; then it {last_word.state}: {last_word.reason}.", str(last_word.state), first.at
        )
    if scan is not None:
        return _kept_out(day, clock, scan)
    if day.near_misses:
        miss = min(day.near_misses, key=lambda event: len(event.failed))
        failed = "; ".join(verdict.sentence() for verdict in miss.failed)
        return Untraded(
            "kept out",
            f"The scan never let {day.symbol} through; nearest at {clock(miss.at)}, rank {miss.rank}: {failed}.",
            miss.failed[0].code,
            miss.at,
        )
    return Untraded("unknown", f"The scan never let {day.symbol} through, nor was it near its best.", "rank")


def _kept_out(day: SymbolDay, clock: Clock, scan: NearestScan) -> Untraded:
    rank = f"rank {scan.rank}" if scan.rank is not None else "no price yet"
    failed = scan.failed
    if not failed:
        return Untraded(
            "kept out",
            f"{day.symbol} passed every filter at {clock(scan.at)} ({rank}), and the scan was not taken in then.",
            at=scan.at,
        )
    missing = "; ".join(verdict.sentence() for verdict in failed)
    held = len(scan.verdicts) - len(failed)
    if any(verdict.code == "blocked" for verdict in failed):
        apart = "; ".join(verdict.sentence() for verdict in failed if verdict.code != "blocked")
        besides = f"missing besides: {apart}" if apart else "nothing else was missing"
        return Untraded(
            "blocked",
            f"{day.symbol} was on the blocked list. Apart from that it came nearest at {clock(scan.at)} ({rank}): "
            f"{besides}.",
            "blocked",
            scan.at,
        )
    return Untraded(
        "kept out",
        f"The scan never let {day.symbol} through. It came nearest at {clock(scan.at)} ({rank}): {held} of "
        f"{len(scan.verdicts)} filters passed, missing: {missing}.",
        failed[0].code,
        scan.at,
    )


# --- words --------------------------------------------------------------------------------------------------------


def _slipped(bps: float | None, than: str) -> str:
    if bps is None:
        return ""
    if abs(bps) < 0.05:
        return ", as decided"
    return f", {abs(bps):.1f} bps {'worse' if bps > 0 else 'better'} {than}"


def _px(px: float) -> str:
    text = f"{px:,.5f}".rstrip("0")
    whole, _, places = text.partition(".")
    return f"{whole}.{places:0<2}"


def _qty(qty: float) -> str:
    return f"{qty:,.0f}" if float(qty).is_integer() else f"{qty:,}"


def _span(minutes: float) -> str:
    if minutes < 2:
        return f"{minutes * 60:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
