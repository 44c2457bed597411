"""Sessions for the radar and scanner tests: small, ragged, full of ties, and a slow radar to compare with."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import strategies as st

from qmworkbench.trading.frames import BarFrame, Reference, Universe
from qmworkbench.trading.radar import Radar, RadarSnapshot
from qmworkbench.trading.radar_score import SCORE_TERMS
from qmworkbench.trading.radar_snapshot import COLUMNS

OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

Bar = tuple[float, float, float, float, float]  # open, high, low, close, volume


def frame(minute: int, bars: dict[int, Bar], *, extended: bool = False, interval: timedelta = MINUTE) -> BarFrame:
    """The frame that closes `minute` intervals after the open, `bars` by universe position."""
    index = sorted(bars)
    columns = [np.array([bars[i][field] for i in index], dtype=np.float64) for field in range(5)]
    return BarFrame(OPEN + minute * interval, np.array(index, dtype=np.int32), *columns, extended=extended)


def flat(price: float, volume: float = 100.0) -> Bar:
    return (price, price, price, price, volume)


@dataclass
class Session:
    """A generated session: what the radar is built with and the frames it is fed."""

    universe: Universe
    reference: Reference
    regular_boundaries: int
    frames: list[BarFrame]
    spreads: list[np.ndarray | None] = field(default_factory=list)

    def radar(self) -> Radar:
        return Radar(self.universe, self.reference, self.regular_boundaries, session_open=OPEN)

    def snapshots(self) -> list[RadarSnapshot]:
        radar = self.radar()
        return [radar.advance(f, spread) for f, spread in zip(self.frames, self.spreads, strict=True)]


_TICKS = st.integers(min_value=95, max_value=112)  # cents: few prices, so that ties are common


@st.composite
def _bar(draw: st.DrawFn) -> Bar:
    opened, closed = draw(_TICKS), draw(_TICKS)
    high = max(opened, closed) + draw(st.integers(0, 3))
    low = min(opened, closed) - draw(st.integers(0, 3))
    volume = draw(st.sampled_from([0.0, 1.0, 100.0, 333.0, 5_000_000.0]))
    return (opened / 100, high / 100, low / 100, closed / 100, volume)


@st.composite
def sessions(draw: st.DrawFn, max_symbols: int = 5, max_boundaries: int = 24) -> Session:
    """Ragged sessions: missing minutes and frames, late first trades, prints before and after hours."""
    n = draw(st.integers(1, max_symbols))
    boundaries = draw(st.integers(1, max_boundaries))
    universe = Universe([f"S{i}" for i in range(n)])
    prev_close = draw(st.lists(st.sampled_from([np.nan, 0.0, 1.0, 1.03, 0.97]), min_size=n, max_size=n))
    profile = None
    if draw(st.booleans()):
        rows = draw(st.integers(1, boundaries))
        cell = st.sampled_from([np.nan, 0.0, 50.0, 400.0, 1e6])
        profile = np.array(draw(st.lists(st.lists(cell, min_size=n, max_size=n), min_size=rows, max_size=rows)))
    bars = st.dictionaries(st.integers(0, n - 1), _bar(), max_size=n)
    frames = []
    if draw(st.booleans()):
        frames.append(frame(0, draw(bars), extended=True))
    for k in range(1, boundaries + 1):
        if draw(st.integers(0, 9)) > 0:
            frames.append(frame(k, draw(bars)))
    if draw(st.booleans()):
        frames.append(frame(boundaries + 1, draw(bars), extended=True))
    spread = st.one_of(
        st.none(),
        st.lists(st.sampled_from([np.nan, 0.0, 12.5, 80.0]), min_size=n, max_size=n).map(np.array),
    )
    spreads = [draw(spread) for _ in frames]
    return Session(universe, Reference(np.array(prev_close), profile, 5), boundaries, frames, spreads)


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None or not base > 0 else value / base


def _relative(value: float | None, base: float | None) -> float | None:
    ratio = _ratio(value, base)
    return None if ratio is None else ratio - 1.0


class SlowRadar:
    """The radar as one would write it for one symbol at a time, from the whole history, without numpy.

    Written from the columns' definitions alone; it is the oracle, so it must stay obvious.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.prev_ranks: dict[int, int] = {}

    def table(self, upto: int) -> dict[str, list[float | None]]:
        """The columns once the first `upto` + 1 frames are in; call for each frame in turn."""
        seen = self.session.frames[: upto + 1]
        now = max([0, *(self.boundary(f) for f in seen if not f.extended)])
        spread = self.session.spreads[upto]
        rows = [self.row(i, seen, now, spread) for i in range(len(self.session.universe))]
        self.add_scores(rows)
        ranked = sorted((-row["score"], i) for i, row in enumerate(rows) if row["score"] is not None)
        ranks = {i: place for place, (_, i) in enumerate(ranked, start=1)}
        for i, row in enumerate(rows):
            row["rank"] = ranks.get(i)
            both = i in ranks and i in self.prev_ranks
            row["rank_change"] = self.prev_ranks[i] - ranks[i] if both else None
        self.prev_ranks = ranks
        return {name: [row[name] for row in rows] for name in COLUMNS}

    @staticmethod
    def boundary(f: BarFrame) -> int:
        return (f.as_of - OPEN) // MINUTE

    def row(self, i: int, seen: list[BarFrame], now: int, spread: np.ndarray | None) -> dict[str, float | None]:
        bars: list[tuple[int, Bar]] = []
        last, printed_at, regular_now = None, None, 0
        for f in seen:
            if not f.extended:
                regular_now = self.boundary(f)
            at = f.index.tolist().index(i) if i in f.index.tolist() else None
            if at is None:
                continue
            bar = tuple(float(c[at]) for c in (f.open, f.high, f.low, f.close, f.volume))
            last, printed_at = bar[3], regular_now
            if not f.extended:
                bars.append((regular_now, bar))

        def close_at(boundary: int) -> float | None:
            closes = [bar[3] for k, bar in bars if k <= boundary]
            return closes[-1] if closes and boundary >= 1 else None

        close = close_at(now) if bars else None
        volume, notional = 0.0, 0.0
        for _, (_, high, low, closed, traded) in bars:
            volume += traded
            notional += (high + low + closed) / 3.0 * traded
        day_high = max((bar[1] for _, bar in bars), default=None)
        day_low = min((bar[2] for _, bar in bars), default=None)
        prev_close = float(self.session.reference.prev_close[i])
        prev_close = prev_close if prev_close > 0 else None
        profile = self.session.reference.volume_profile
        usual = None if profile is None or not 1 <= now <= len(profile) else float(profile[now - 1][i])
        vwap = _ratio(notional, volume)
        row = {
            "last": last,
            "change_prev_close": _relative(last, prev_close),
            "change_open": _relative(close, bars[0][1][0] if bars else None),
            "roc_1": _relative(close, close_at(now - 1)),
            "roc_5": _relative(close, close_at(now - 5)),
            "roc_15": _relative(close, close_at(now - 15)),
            "rel_volume": _ratio(volume, usual),
            "vwap": vwap,
            "vwap_distance": _relative(close, vwap),
            "high_distance": _relative(close, day_high),
            "range_position": None if close is None else _ratio(close - day_low, day_high - day_low),
            "volume": volume,
            "dollar_volume": notional,
            "spread_bps": None if spread is None or np.isnan(spread[i]) else float(spread[i]),
            "bars": float(len(bars)),
            "stale_boundaries": None if printed_at is None else float(now - printed_at),
        }
        row["change"] = row["change_open"] if prev_close is None else row["change_prev_close"]
        return row

    @staticmethod
    def add_scores(rows: list[dict[str, float | None]]) -> None:
        total = [0.0] * len(rows)
        for term in SCORE_TERMS:
            known = [row[term.column] for row in rows if row["last"] is not None]
            known = sorted(value for value in known if value is not None)
            if not known:
                continue
            lower, median, upper = (known[(len(known) - 1) * quarter // 4] for quarter in (1, 2, 3))
            scale = max(upper - lower, term.floor)
            for i, row in enumerate(rows):
                if row["last"] is not None and row[term.column] is not None:
                    z = (row[term.column] - median) / scale
                    total[i] += term.weight * (z / (1.0 + abs(z)))
        for i, row in enumerate(rows):
            row["score"] = None if row["last"] is None else round(total[i] * 1_000_000) / 10_000
