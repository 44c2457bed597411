"""What a scan found and why: filter verdicts, candidates and near misses, as journaled (§9, §21)."""

import msgspec

# code -> (what is judged, how value and limit relate when the filter passes, and when it fails).
# Codes without a limit say their whole finding here.
_MEASURED: dict[str, tuple[str, str, str]] = {
    "window_open": ("time since the open", "has reached", "has not reached"),
    "window_close": ("time to the close", "is still at least", "is less than"),
    "bars": ("bars seen", "reach", "are fewer than"),
    "stale": ("time since the last trade", "is at most", "is more than"),
    "price_min": ("price", "is at least", "is under"),
    "price_max": ("price", "is at most", "is over"),
    "dollar_volume": ("dollar volume", "is at least", "is under"),
    "rel_volume": ("relative volume", "is at least", "is under"),
    "change": ("change", "is at least", "is under"),
    "spread": ("spread", "is at most", "is over"),
    "place": ("place among those that pass", "is within", "is beyond"),
}
_STATED: dict[str, tuple[str, str]] = {
    "universe": ("in this session's universe", "not in this session's universe"),
    "traded": ("has traded today", "has not traded today"),
    "blocked": ("not on the blocked list", "on the blocked list"),
    "halted": ("not halted", "halted"),
    "feed": ("market data is good", "market data is not trusted"),
    "entries": ("entries are open", "entries are not open"),
}
_SIGNED_UNITS = frozenset({"%"})


def _number(value: float, unit: str) -> str:
    """A value as people read it: thousands grouped, at most four decimals, percentages with their sign."""
    text = f"{value:+,.4f}" if unit in _SIGNED_UNITS else f"{value:,.4f}"
    text = text.rstrip("0").rstrip(".")
    return f"{text} {unit}" if unit else text


class FilterVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One filter's judgement of one symbol at one boundary.

    `code` names the filter and is stable in the journal. `value` is what was compared, in `unit`
    ("%", "x usual", "bps", "min", "boundaries"; empty for prices, money, counts and places); None means
    unknown, and `passed` then says whether the settings let the unknown through. `limit` is what it was
    compared with: a number in the same unit, or None where the filter is off or has no threshold.
    A text limit is a condition in words. `basis` adds what the value was measured from, or a reason.
    """

    code: str
    passed: bool
    value: float | None = None
    limit: float | str | None = None
    unit: str = ""
    basis: str = ""

    def sentence(self) -> str:
        """The verdict as a clause for people: "relative volume 0.84 x usual is under 1.5 x usual"."""
        if self.code in _STATED:
            stated = _STATED[self.code][0 if self.passed else 1]
            return f"{stated}: {self.basis}" if self.basis else stated
        noun, holds, fails = _MEASURED.get(self.code, (self.code.replace("_", " "), "meets", "does not meet"))
        if self.basis:
            noun = f"{noun} ({self.basis})"
        limit = _number(self.limit, self.unit) if isinstance(self.limit, (int, float)) else self.limit
        if self.value is None:
            if limit is None:
                return f"{noun} is unknown and not required"
            needed = "which the settings allow" if self.passed else f"needed to judge against {limit}"
            return f"{noun} is unknown, {needed}"
        value = _number(self.value, self.unit)
        if limit is None:
            return f"{noun} {value}, no limit set"
        return f"{noun} {value} {holds if self.passed else fails} {limit}"


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A symbol the scan let through, with the radar's numbers it was judged on and every filter's verdict.

    `rank` (1 = best) and `score` are the radar's. `change` is the fraction the scan judged (0.05 = 5 %),
    None where nothing to measure from is known; `change_basis` says what from ("from open"), empty
    without a change. `rel_volume` is a multiple of the usual cumulative volume by this time of day, None
    without history. `last` and `dollar_volume` are in the instrument's currency. All verdicts passed:
    they are why it is in; empty for a symbol already watched, whose verdicts are on record with its finding.
    """

    symbol: str
    rank: int
    score: float
    last: float
    change: float | None
    change_basis: str
    rel_volume: float | None
    dollar_volume: float
    verdicts: tuple[FilterVerdict, ...]

    def sentence(self) -> str:
        """Why it is in, on one line."""
        return f"{self.symbol} (rank {self.rank}): " + "; ".join(v.sentence() for v in self.verdicts)


class NearMiss(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A highly ranked symbol the scan kept out; `failed` holds the filters that kept it out, never empty."""

    symbol: str
    rank: int
    score: float
    failed: tuple[FilterVerdict, ...]

    def sentence(self) -> str:
        """Why it is out, on one line."""
        return f"{self.symbol} (rank {self.rank}): " + "; ".join(v.sentence() for v in self.failed)
