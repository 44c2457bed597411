"""The four signals of a running session, judged: value, threshold, sample, and whether that says anything (§9)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.analytics.session_signals import STRATEGY, SYMBOL, Key, Leaving, SessionSignals
from qmworkbench.domain.events.analytics import AnalyticsSignal

SLIPPAGE: Final = "unusual_slippage"
FAILED_ENTRIES: Final = "repeated_failed_entries"
LATE_EXITS: Final = "systematic_late_exits"
CONCENTRATION: Final = "unusual_concentration"
# In the runbook's order, with what a screen calls them.
CODES: Final = {
    SLIPPAGE: "Unusual slippage",
    FAILED_ENTRIES: "Repeated failed entries",
    LATE_EXITS: "Systematic late exits",
    CONCENTRATION: "Unusual concentration",
}
_MAD_TO_SIGMA: Final = 1.4826
_TENTH: Final = Decimal("0.1")


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One signal about one subject. `sample` observations were seen, `needed` are needed before it says anything;
    `active`: it has enough, and `value` is at or beyond `threshold` (or has not fallen far enough since).
    """

    code: str
    subject: str
    value: float
    threshold: float
    unit: str
    sample: int
    needed: int
    active: bool
    text: str

    @property
    def state(self) -> str:
        """active, quiet, or few: too few observations to say anything."""
        return "active" if self.active else "quiet" if self.sample >= self.needed else "few"

    @property
    def nearness(self) -> tuple[bool, float, float]:
        """What order to show readings in: those that speak, then those nearest to their threshold or sample."""
        enough = self.sample >= self.needed
        return self.active, enough, (self.value / self.threshold if enough else self.sample / self.needed)

    def as_signal(self) -> AnalyticsSignal:
        """The reading as the record keeps it."""
        return AnalyticsSignal(
            code=self.code,
            subject=self.subject,
            value=_decimal(self.value),
            threshold=_decimal(self.threshold),
            unit=self.unit,
            sample=self.sample,
            active=self.active,
            text=self.text,
        )


def readings(
    seen: SessionSignals, gross: Mapping[Key, float], open_positions: int, *, few: bool = True
) -> list[Reading]:
    """Everything there is a reading of, by signal, the nearest to its threshold first. Pure; ties by subject.

    `gross` is the exposure now by subject (session_signals.exposure), over so many open positions. `few`: with those
    that have too few observations to say anything, and that the record does not have standing.
    """
    found = [
        *_slippage(seen, few),
        *_failed_entries(seen, few),
        *_late_exits(seen, few),
        *_concentration(seen, gross, open_positions, few),
    ]
    order = {code: place for place, code in enumerate(CODES)}

    def place(reading: Reading) -> tuple[int, bool, bool, float, str]:
        active, enough, near = reading.nearness
        return order[reading.code], not active, not enough, -near, reading.subject

    return sorted(found, key=place)


def changed(found: Iterable[Reading], told: Mapping[tuple[str, str], bool]) -> tuple[AnalyticsSignal, ...]:
    """The readings that stand otherwise than the record has it: newly active, or no longer."""
    by_name = {(reading.code, reading.subject): reading for reading in found}
    news = [r.as_signal() for name, r in by_name.items() if r.active != told.get(name, False)]
    gone = [name for name, active in told.items() if active and name not in by_name]
    return (*news, *(_over(code, subject) for code, subject in gone))


def _over(code: str, subject: str) -> AnalyticsSignal:
    return AnalyticsSignal(
        code=code,
        subject=subject,
        value=Decimal(0),
        threshold=Decimal(0),
        unit="",
        sample=0,
        active=False,
        text=f"nothing of {subject} is left to judge",
    )


def foremost(found: Iterable[Reading]) -> list[Reading]:
    """Of each signal what a screen shows first: those that are active, or the one nearest to that."""
    shown: list[Reading] = []
    for reading in found:
        if reading.active or all(other.code != reading.code for other in shown):
            shown.append(reading)
    return shown


def _silent(seen: SessionSignals, code: str, subject: str, sample: int, needed: int) -> bool:
    """Whether a reading could neither speak nor fall silent."""
    return sample < needed and not seen.told.get((code, subject), False)


def _reading(
    seen: SessionSignals, code: str, subject: str, *, value: float, threshold: float, unit: str, sample: int,
    needed: int, text: str,
) -> Reading:  # fmt: skip
    """A reading that stands once it has reached its threshold, until it has fallen clearly below it."""
    stands = seen.told.get((code, subject), False)
    bound = threshold * seen.settings.clear_at_pct / 100 if stands else threshold
    return Reading(
        code=code,
        subject=subject,
        value=value,
        threshold=threshold,
        unit=unit,
        sample=sample,
        needed=needed,
        active=sample >= needed and value >= bound,
        text=text,
    )


# --- unusual slippage ---------------------------------------------------------------------------------------------


def _slippage(seen: SessionSignals, few: bool) -> Iterator[Reading]:
    limits = seen.settings
    for subject, slips in seen.slips.items():
        if not few and _silent(seen, SLIPPAGE, subject[1], len(slips), limits.slippage_fills):
            continue
        recent, own = slips[-limits.slippage_fills :], slips[: -limits.slippage_fills]
        usual, whose = own, "its own earlier"
        if len(slips) < limits.slippage_fills:
            usual = []  # too few to say anything: there is nothing to hold against what is usual
        elif len(own) < limits.slippage_history:
            usual, whose = _others(seen, subject), "everybody else's"
        value, threshold = _middle(sorted(recent)), limits.slippage_bps
        text = f"the last {_fills(len(recent))} of {subject[1]} slipped {value:.1f} bps at the median"
        if len(usual) >= limits.slippage_history:
            middle, spread = robust(usual)
            threshold = max(threshold, middle + limits.slippage_spread * spread)
            text += f"; usual are {middle:.1f} bps ({whose} {_fills(len(usual))})"
        yield _reading(
            seen, SLIPPAGE, subject[1], value=value, threshold=threshold, unit="bps", sample=len(slips),
            needed=limits.slippage_fills, text=text,
        )  # fmt: skip


def _others(seen: SessionSignals, subject: Key) -> list[float]:
    place = 0 if subject[0] == SYMBOL else 1
    return [slip[2] for slip in seen.every_slip if slip[place] != subject[1]]


def robust(values: list[float]) -> tuple[float, float]:
    """Median and typical deviation (1.4826 × median absolute deviation) of at least one value."""
    middle = _middle(sorted(values))
    return middle, _MAD_TO_SIGMA * _middle(sorted([abs(value - middle) for value in values]))


def _middle(ordered: list[float]) -> float:
    """The median of at least one value, in order."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _fills(count: int) -> str:
    return f"{count} fill{'s' if count != 1 else ''}"


# --- repeated failed entries --------------------------------------------------------------------------------------


def _failed_entries(seen: SessionSignals, few: bool) -> Iterator[Reading]:
    limits = seen.settings
    for subject, attempts in seen.attempts.items():
        if not few and _silent(seen, FAILED_ENTRIES, subject[1], len(attempts), limits.failed_entries):
            continue
        failures = Counter(attempt.failure for attempt in attempts if attempt.failure)
        failed = failures.total()
        how = f": {', '.join(f'{count} {name}' for name, count in sorted(failures.items()))}" if failed else ""
        text = f"{failed} of the last {len(attempts)} entries of {subject[1]} failed{how}"
        yield _reading(
            seen, FAILED_ENTRIES, subject[1], value=failed, threshold=limits.failed_entries, unit="entries",
            sample=len(attempts), needed=limits.failed_entries, text=text,
        )  # fmt: skip


# --- systematic late exits ----------------------------------------------------------------------------------------


def _late_exits(seen: SessionSignals, few: bool) -> Iterator[Reading]:
    limits = seen.settings
    for strategy_id, leavings in seen.leavings.items():
        if not few and _silent(seen, LATE_EXITS, strategy_id, len(leavings), limits.late_exits_least):
            continue
        why: Counter[str] = Counter()
        for leaving in leavings:
            why.update(_late(seen, leaving)[:1])
        late = why.total()
        how = f": {', '.join(f'{count} {name}' for name, count in sorted(why.items()))}" if late else ""
        text = f"{late} of the last {len(leavings)} trades of {strategy_id} were left late{how}"
        yield _reading(
            seen, LATE_EXITS, strategy_id, value=100 * late / len(leavings), threshold=limits.late_exit_pct, unit="%",
            sample=len(leavings), needed=limits.late_exits_least, text=text,
        )  # fmt: skip


def _late(seen: SessionSignals, leaving: Leaving) -> list[str]:
    """In which ways a trade was left late, the plainest first."""
    limits = seen.settings
    ways = []
    if leaving.boundaries is not None and leaving.boundaries > limits.late_exit_bars:
        ways.append(f"more than {limits.late_exit_bars} boundaries after the decision")
    if leaving.bps is not None and leaving.bps > limits.late_exit_bps:
        ways.append(f"more than {limits.late_exit_bps:g} bps worse than decided")
    if leaving.gave_back is not None and leaving.gave_back >= limits.gave_back_pct / 100:
        ways.append(f"after giving back {limits.gave_back_pct:g} % of their best")
    return ways


# --- unusual concentration ----------------------------------------------------------------------------------------


def _concentration(
    seen: SessionSignals, gross: Mapping[Key, float], open_positions: int, few: bool
) -> Iterator[Reading]:
    limits = seen.settings
    moved = {kind: sum(abs(net) for (of, _), net in seen.net.items() if of == kind) for kind in (SYMBOL, STRATEGY)}
    held = {kind: sum(worth for (of, _), worth in gross.items() if of == kind) for kind in (SYMBOL, STRATEGY)}
    for subject in dict.fromkeys((*gross, *seen.net)):
        kind, name = subject
        if kind == STRATEGY and seen.instances < limits.share_strategies:
            continue
        shares = []
        if held[kind]:
            share = gross.get(subject, 0.0) / held[kind]
            shares.append((share, "of gross exposure", open_positions, limits.share_positions))
        if seen.trades:
            share = seen.closed.get(subject, 0) / seen.trades
            shares.append((share, "of the closed trades", seen.trades, limits.share_trades))
        if moved[kind]:
            share = abs(seen.net.get(subject, 0.0)) / moved[kind]
            shares.append((share, "of the P&L that trades moved", seen.trades, limits.share_trades))
        if not shares:
            continue
        share, what, sample, needed = max(shares, key=lambda told: (told[2] >= told[3], told[0]))
        if not few and _silent(seen, CONCENTRATION, name, sample, needed):
            continue
        threshold = limits.symbol_share_pct if kind == SYMBOL else limits.strategy_share_pct
        over = "open positions" if what == "of gross exposure" else "trades"
        yield _reading(
            seen, CONCENTRATION, name, value=100 * share, threshold=threshold, unit="%", sample=sample, needed=needed,
            text=f"{name} has {100 * share:.0f} % {what} ({sample} {over})",
        )  # fmt: skip


def _decimal(value: float) -> Decimal:
    return Decimal(str(round(value, 1))).quantize(_TENTH)
