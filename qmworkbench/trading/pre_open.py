"""The scheduled scan before the open: who gaps from the previous close, on which bars, in which window (§8)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from qmworkbench.domain.events.market import PreOpenRow, PreOpenScanned
from qmworkbench.domain.numbers import decimal_of
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.frames import BarFrame, Floats, Reference, Universe
from qmworkbench.trading.scanner_settings import ScanSettings

_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True)
class PreOpenWindow:
    """When the scan looks: bars that opened at or after `begins` and closed at or before `ends`."""

    begins: datetime
    ends: datetime

    def holds(self, frame: BarFrame, interval: timedelta) -> bool:
        """Whether the frame's bars lie inside."""
        return self.begins <= frame.as_of - interval and frame.as_of <= self.ends


def window_of(settings: ScanSettings, opens_at: datetime) -> PreOpenWindow | None:
    """The window that the settings ask for; None where there is to be no scan before the open."""
    if settings.pre_open_from_min is None:
        return None
    return PreOpenWindow(
        begins=opens_at - timedelta(minutes=settings.pre_open_from_min),
        ends=opens_at - timedelta(minutes=settings.pre_open_until_min),
    )


@dataclass(frozen=True, eq=False)
class _Prints:
    """The last price before the open and the volume by then, over the universe; NaN and 0 without a print."""

    last: Floats
    volume: Floats
    used_from: datetime | None
    used_until: datetime | None


def scan_pre_open(
    *,
    at: datetime,
    window: PreOpenWindow,
    settings: ScanSettings,
    universe: Universe,
    reference: Reference,
    frames: Iterable[BarFrame],
    interval: timedelta,
    blocked: Collection[str] = (),
) -> PreOpenScanned:
    """Rank the gappers that the bars inside `window` show; a pure function of its arguments.

    `frames` are those before the open, of any time; what lies outside the window is not looked at. Named are those that
    pass, best gap first and at most `pre_open_depth` (rank from 1), then the gappers among the rest that a filter keeps
    out (rank 0), as many again at most. Without a print before the open a gap is not known, and nobody is named.
    """
    prints = _prints(universe, [frame for frame in frames if window.holds(frame, interval)], interval)
    gaps = (prints.last / reference.prev_close - 1) * 100
    least = settings.min_change_pct if settings.mode == "gainers" and settings.min_change_pct is not None else 0.0
    # Ties go to the symbol that comes first: a stable sort over the universe, which is in order.
    moved = np.flatnonzero(np.nan_to_num(gaps, nan=-np.inf) >= least)
    order = moved[np.argsort(-np.round(gaps[moved], 6), kind="stable")]
    kept: list[PreOpenRow] = []
    out: list[PreOpenRow] = []
    for position in order.tolist():
        symbol = universe.symbols[position]
        why = _kept_out(symbol, float(prints.last[position]), float(prints.volume[position]), settings, blocked)
        if not why and len(kept) < settings.pre_open_depth:
            kept.append(_row(symbol, position, prints, reference, len(kept) + 1, "gap from the previous close"))
        elif why and len(out) < settings.pre_open_depth:
            out.append(_row(symbol, position, prints, reference, 0, why))
    return PreOpenScanned(
        at=at,
        window_from=window.begins,
        window_until=window.ends,
        used_from=prints.used_from,
        used_until=prints.used_until,
        looked_at=int(np.count_nonzero(~np.isnan(prints.last))),
        rows=(*kept, *out),
        detail=_detail(prints, reference, least),
    )


def _prints(universe: Universe, frames: list[BarFrame], interval: timedelta) -> _Prints:
    last = np.full(len(universe), np.nan)
    volume = np.zeros(len(universe))
    for frame in frames:
        last[frame.index] = frame.close
        volume[frame.index] += frame.volume
    traded = [frame.as_of for frame in frames if len(frame)]
    first, until = (min(traded) - interval, max(traded)) if traded else (None, None)
    return _Prints(last=last, volume=volume, used_from=first, used_until=until)


def _kept_out(symbol: str, last: float, volume: float, settings: ScanSettings, blocked: Collection[str]) -> str:
    """Which filter keeps a gapper out; "" for none."""
    if symbol in blocked:
        return "blocked"
    if settings.min_price is not None and last < settings.min_price:
        return f"price {last:g} under {settings.min_price:g}"
    if settings.max_price is not None and last > settings.max_price:
        return f"price {last:g} over {settings.max_price:g}"
    if settings.pre_open_min_volume is not None and volume < settings.pre_open_min_volume:
        return f"volume {volume:,.0f} under {settings.pre_open_min_volume:,.0f}"
    return ""


def _row(symbol: str, position: int, prints: _Prints, reference: Reference, rank: int, reason: str) -> PreOpenRow:
    prev_close, last = decimal_of(float(reference.prev_close[position])), decimal_of(float(prints.last[position]))
    return PreOpenRow(
        symbol=symbol,
        rank=rank,
        prev_close=prev_close,
        last_px=last,
        gap_pct=((last / prev_close - 1) * 100).quantize(_HUNDREDTH),
        volume=decimal_of(float(prints.volume[position])),
        reason=reason,
    )


def _detail(prints: _Prints, reference: Reference, least: float) -> str:
    if prints.used_until is None:
        return "no bar before the open lies in the window: gaps will be known with the first regular bars"
    if np.isnan(reference.prev_close).all():
        return "no symbol has a previous close: load at least one session of history"
    return f"gaps of {least:g} % and more from the previous close"


def on_scanned(decision: Decision, event: PreOpenScanned) -> None:
    """Put the scan on record; a second one of the same session replaces it."""
    decision.emit(event)
