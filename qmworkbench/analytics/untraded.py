"""Why a symbol was not traded, as one paragraph: the furthest it came, and what was missing there (§17, §18)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from qmworkbench.analytics.explanations import Clock, price
from qmworkbench.analytics.nearest_entry import NearestEntry
from qmworkbench.analytics.symbol_day import HELD_ALREADY, Owned, SymbolDay, ended_as, unfilled
from qmworkbench.domain.candidates import FilterVerdict

_PARTS_TOLD: Final = 3


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
        told.append(
            f"{strategy_id} came nearest at {clock(nearest.at)} ({price(nearest.close)}): {nearest.sentence()}."
        )
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
