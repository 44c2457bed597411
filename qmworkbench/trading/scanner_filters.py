"""The scan's filters over the whole universe at once, each able to say why for any one symbol (§9, §12)."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import ge, le
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.trading.frames import Floats, Universe
from qmworkbench.trading.radar_snapshot import RadarSnapshot
from qmworkbench.trading.scanner_settings import ScanSettings

Bools = npt.NDArray[np.bool_]

FROM_PREVIOUS_CLOSE = "from previous close"
FROM_OPEN = "from open"
FROM_OPEN_INSTEAD = "from open, no previous close"


@dataclass(frozen=True, kw_only=True)
class ScanConditions:
    """What besides the market decides a scan, as known at the boundary.

    `blocked`: symbols a person excluded (§10). `halted`: symbols whose trading is halted. Symbols outside the
    universe are ignored. `entries_open` False (a pause, a halt, a shutdown's first step) or `feed_ok` False
    (late, stale or gapped data, §12) means nothing is let through; the reason is carried to whoever asks why.
    `known`: symbols whose verdicts are on record already; a candidate among them comes without, to say it once.
    """

    blocked: Collection[str] = ()
    halted: Collection[str] = ()
    entries_open: bool = True
    entries_reason: str = ""
    feed_ok: bool = True
    feed_reason: str = ""
    known: frozenset[str] = frozenset()


class _Filter(NamedTuple):
    """One filter judged for every symbol. `value` is rounded: what is compared is what is recorded."""

    code: str
    passed: Bools
    value: Floats | None = None
    limit: float | None = None
    unit: str = ""

    def verdict(self, position: int, basis: str) -> FilterVerdict:
        value = None if self.value is None else self.value.item(position)
        return FilterVerdict(
            code=self.code,
            passed=bool(self.passed[position]),
            value=None if value is None or math.isnan(value) else value,
            limit=self.limit,
            unit=self.unit,
            basis=basis,
        )


class Judgement:
    """Every filter's view of every symbol at one boundary: the one source of both scan and explanation.

    `change` is the change judged, as a fraction over the universe. `passing` and `taken` are universe
    positions, best ranked first: the symbols that pass every filter of their own, and those of them within
    `max_candidates`. `taken` ignores the gates; a scan with a closed gate takes nobody.
    """

    def __init__(self, snapshot: RadarSnapshot, settings: ScanSettings, conditions: ScanConditions) -> None:
        self._reference = settings.change_reference
        self._no_prev_close: Bools = np.isnan(snapshot.change_prev_close)
        self._max_candidates = settings.max_candidates
        self.change = snapshot.change if self._reference == "previous_close" else snapshot.change_open
        self._of_the_session = snapshot, settings, conditions
        from_open, to_close = _minutes(snapshot)
        self._open = (
            conditions.feed_ok
            and conditions.entries_open
            and from_open >= settings.window_open_min
            and to_close >= settings.window_close_min
        )
        judged = (
            *_presence(snapshot, conditions),
            *(_strength(snapshot, settings, self.change) if settings.mode == "gainers" else ()),
            *_quality(snapshot, settings),
        )
        self.filters = tuple(f for f in judged if f is not None)
        self.passed: Bools = np.logical_and.reduce([f.passed for f in self.filters])
        self.passing = snapshot.order[self.passed[snapshot.order]]
        self.taken = self.passing[: self._max_candidates]

    @property
    def closed(self) -> tuple[FilterVerdict, ...]:
        """The session-wide conditions that forbid any candidate now; empty when scanning is open."""
        return () if self._open else tuple(gate for gate in self.gates if not gate.passed)

    @cached_property
    def gates(self) -> tuple[FilterVerdict, ...]:
        """The session-wide conditions."""
        return _gates(*self._of_the_session)

    def change_basis(self, position: int) -> str:
        """What `change` is measured from for one symbol; empty where it is unknown."""
        if math.isnan(self.change.item(position)):
            return ""
        if self._reference == "open":
            return FROM_OPEN
        return FROM_OPEN_INSTEAD if self._no_prev_close.item(position) else FROM_PREVIOUS_CLOSE

    def verdicts(self, position: int) -> tuple[FilterVerdict, ...]:
        """Every verdict on one symbol: it is let through exactly when all of them passed.

        A place among the others belongs only to a symbol that passes its own filters.
        """
        return self._of(position, self.gates, self.filters)

    def failed(self, position: int) -> tuple[FilterVerdict, ...]:
        """Those of `verdicts` that keep the symbol out; empty where none does."""
        against = [f for f in self.filters if not f.passed[position]]
        found = self._of(position, self.closed, against)
        return found if against else tuple(verdict for verdict in found if not verdict.passed)

    def _of(
        self, position: int, gates: tuple[FilterVerdict, ...], filters: Sequence[_Filter]
    ) -> tuple[FilterVerdict, ...]:
        found = [*gates, *(f.verdict(position, self._basis(f.code, position)) for f in filters)]
        limit = self._max_candidates
        if limit is not None and self.passed[position]:
            place = int(np.flatnonzero(self.passing == position)[0]) + 1
            found.append(FilterVerdict(code="place", passed=place <= limit, value=float(place), limit=float(limit)))
        return tuple(found)

    def _basis(self, code: str, position: int) -> str:
        return self.change_basis(position) if code == "change" else ""


def _gates(snapshot: RadarSnapshot, settings: ScanSettings, conditions: ScanConditions) -> tuple[FilterVerdict, ...]:
    from_open, to_close = _minutes(snapshot)
    return (
        FilterVerdict(code="feed", passed=conditions.feed_ok, basis=conditions.feed_reason),
        FilterVerdict(code="entries", passed=conditions.entries_open, basis=conditions.entries_reason),
        FilterVerdict(
            code="window_open",
            passed=from_open >= settings.window_open_min,
            value=from_open,
            limit=float(settings.window_open_min),
            unit="min",
        ),
        FilterVerdict(
            code="window_close",
            passed=to_close >= settings.window_close_min,
            value=to_close,
            limit=float(settings.window_close_min),
            unit="min",
        ),
    )


def _minutes(snapshot: RadarSnapshot) -> tuple[float, float]:
    """Minutes from the open and to the close, as they are compared and recorded."""
    return round(snapshot.minutes_from_open, 4), round(snapshot.minutes_to_close, 4)


def _presence(snapshot: RadarSnapshot, conditions: ScanConditions) -> tuple[_Filter | None, ...]:
    """In every mode: the symbol has traded, and nobody has taken it out."""
    universe = snapshot.universe
    return (
        _Filter(code="traded", passed=~np.isnan(snapshot.rank)),
        _Filter(code="blocked", passed=_others(universe, conditions.blocked)),
        _Filter(code="halted", passed=_others(universe, conditions.halted)),
    )


def _strength(snapshot: RadarSnapshot, settings: ScanSettings, change: Floats) -> tuple[_Filter | None, ...]:
    """What makes a gainer worth trading: its price, its activity and its rise."""
    return (
        _against("price_min", ge, snapshot.last, settings.min_price, decimals=6),
        _against("price_max", le, snapshot.last, settings.max_price, decimals=6),
        _against("dollar_volume", ge, snapshot.dollar_volume, settings.min_dollar_volume, decimals=2),
        _against(
            "rel_volume",
            ge,
            snapshot.rel_volume,
            settings.min_rel_volume,
            decimals=4,
            unit="x usual",
            allow_unknown=settings.allow_unknown_rel_volume,
        ),
        _against("change", ge, change * 100.0, settings.min_change_pct, decimals=4, unit="%"),
    )


def _quality(snapshot: RadarSnapshot, settings: ScanSettings) -> tuple[_Filter | None, ...]:
    """In every mode: enough is known of the symbol, it is recent, and it is not too dear to trade."""
    return (
        _against("bars", ge, snapshot.bars, settings.min_bars),
        _against("stale", le, snapshot.stale_boundaries, settings.max_stale_boundaries, unit="boundaries"),
        _against(
            "spread",
            le,
            snapshot.spread_bps,
            settings.max_spread_bps,
            decimals=4,
            unit="bps",
            allow_unknown=settings.allow_unknown_spread,
        ),
    )


def _against(
    code: str,
    holds: Callable[[Floats, float], Bools],
    value: Floats,
    limit: float | None,
    *,
    decimals: int | None = None,
    unit: str = "",
    allow_unknown: bool = False,
) -> _Filter | None:
    """A filter that compares `value`, to `decimals`, with `limit`; None where the filter is off. NaN fails unless
    allowed.
    """
    if limit is None:
        return None
    if decimals is not None:
        value = value.round(decimals) + 0.0  # without negative zeros
    passed = holds(value, limit)
    return _Filter(
        code=code,
        passed=passed | np.isnan(value) if allow_unknown else passed,
        value=value,
        limit=float(limit),
        unit=unit,
    )


def _others(universe: Universe, symbols: Collection[str]) -> Bools:
    """True where a symbol of the universe is not among `symbols`."""
    among: Bools = np.zeros(len(universe), dtype=np.bool_)
    if symbols:
        among[[universe.index[symbol] for symbol in symbols if symbol in universe]] = True
    return ~among
