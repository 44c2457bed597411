"""Cases for the fill model: bars in whole ticks, by hand or at random, as awkward as a market can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qmworkbench.research.fills.tape import Decisions, Floats, Tape, Terms
from qmworkbench.research.fills.two_rows import Column

MINUTE_US = 60_000_000
OPENS_US = 1_520_001_000_000_000  # 2018-03-02 14:30 UTC
DAY_US = 86_400_000_000
TICKS = (0.0001, 0.01, 0.05, 0.25, 1.0)


def px(ticks: Sequence[float] | Floats, tick: float) -> Floats:
    """Prices of whole ticks: the floats nearest to the decimal prices."""
    per_unit = round(1 / tick)
    whole = np.asarray(ticks, np.float64)
    return whole / per_unit if tick < 1 else whole * tick


def tape_of_ticks(
    bars: Sequence[Sequence[float]],
    *,
    tick: float = 0.01,
    sessions: Sequence[int] = (),
    skipped: Sequence[int] = (),
    ended: bool = True,
    symbol: str = "AAA",
    volume: Sequence[float] | None = None,
) -> Tape:
    """A tape of (open, high, low, close) in ticks. `sessions` are the heights of the sessions before the last one,
    `skipped` rows before which a boundary passed without a trade; `ended` False: the data end within a session.
    """
    columns = [px([bar[k] for bar in bars], tick) for k in range(4)]
    n = len(bars)
    day = np.zeros(n, np.int32)
    for start in np.cumsum(sessions, dtype=np.int64):
        day[start:] += 1
    first = np.concatenate([[True], day[1:] != day[:-1]])
    gap = np.zeros(n, np.int32)
    gap[list(skipped)] = 1
    steps = np.where(first, gap, 1 + gap)
    bar = np.cumsum(steps) - np.maximum.accumulate(np.where(first, np.cumsum(steps) - gap, 0))
    ends = np.append(day[1:] != day[:-1], ended)
    ts = OPENS_US + day.astype(np.int64) * DAY_US + bar * MINUTE_US
    traded = np.full(n, 1e6) if volume is None else np.asarray(volume, np.float64)
    return Tape(symbol, ts, *columns, traded, day, bar.astype(np.int32), ends, tick)


@dataclass
class Plan:
    """What is decided at the close of one bar; levels in ticks."""

    flags: str  # "long", "short", "exit_long", "exit_short", several with +
    stop: float | None = None
    target: float | None = None
    trail: int = 0
    hold: int = 0
    qty: float = 100.0


def decided(
    height: int, plans: Mapping[int, Plan], *, tick: float = 0.01, flat: bool = False, reverse: bool = False
) -> Decisions:
    """The decisions of `plans` by bar, nothing at the others."""
    flags = {name: np.zeros(height, np.bool_) for name in ("long", "short", "exit_long", "exit_short")}
    stop, target, qty = np.full(height, np.nan), np.full(height, np.nan), np.zeros(height)
    trail, hold = np.zeros(height, np.int32), np.zeros(height, np.int32)
    for row, plan in plans.items():
        for name in plan.flags.split("+"):
            flags[name][row] = True
        if plan.stop is not None:
            stop[row] = px([plan.stop], tick)[0]
        if plan.target is not None:
            target[row] = px([plan.target], tick)[0]
        trail[row], hold[row], qty[row] = plan.trail, plan.hold, plan.qty
    return Decisions(
        flags["long"], flags["short"], flags["exit_long"], flags["exit_short"], stop, target, trail, hold, qty, flat,
        reverse,
    )  # fmt: skip


@dataclass(frozen=True)
class Style:
    """What a random case is made of."""

    height: int = 120
    costs: bool = False
    limits: bool = False  # time limits, and fixed stops beside trails
    tick: float | None = None
    one_session: bool = False
    uneven: bool = False  # prices between ticks, as a tape of averages has them; levels stay on tick
    shapes: tuple[str, ...] = field(default=("walk", "calm", "gaps", "flat", "thin", "dear"))


def adversarial(rng: np.random.Generator, style: Style) -> Column:
    """Ticks from 0.0001 to 1, prices of 20 ticks or of 300,000, ties, gaps, flat stretches, several sessions, holes;
    decisions that contradict each other, levels on the wrong side, both ways out in one bar.
    """
    n = style.height
    tick = style.tick or float(rng.choice(TICKS))
    shape = str(rng.choice(style.shapes))
    base = {"thin": int(rng.integers(20, 50)), "dear": int(rng.integers(250_000, 900_000))}.get(shape, 0)
    base = base or int(rng.integers(300, 9_000))
    spread = {"flat": 0, "calm": 1, "thin": 1}.get(shape, int(rng.integers(2, 9)))
    steps = rng.integers(-spread, spread + 1, n)
    jumps = rng.integers(-6 * spread - 1, 6 * spread + 2, n) * (rng.random(n) < (0.2 if shape == "gaps" else 0.04))
    jumps = jumps if shape != "flat" else jumps * 0
    closes = np.maximum(base + np.cumsum(steps + jumps), 12)
    opens = np.concatenate([[base], closes[:-1]]) + np.where(rng.random(n) < 0.6, 0, jumps // 2)
    opens = np.maximum(opens, 12)
    reach = spread + 1 if shape != "flat" else 1
    highs = np.maximum(opens, closes) + rng.integers(0, reach, n)
    lows = np.maximum(np.minimum(opens, closes) - rng.integers(0, reach, n), 11)
    cuts = np.sort(rng.choice(np.arange(2, n - 2), 0 if style.one_session else int(rng.integers(0, 4)), replace=False))
    sessions = np.diff(np.concatenate([[0], cuts])).tolist() if len(cuts) else []
    tape = tape_of_ticks(
        np.array([opens, highs, lows, closes]).T.tolist(),
        tick=tick,
        sessions=sessions,
        skipped=np.flatnonzero(rng.random(n) < 0.03).tolist() if rng.random() < 0.3 else [],
        ended=bool(rng.random() < 0.5),
        volume=rng.integers(0, 4_000, n).tolist(),
    )
    if style.uneven:
        tape = _between_ticks(rng, tape)
    decisions, terms = _random_decisions(rng, style, closes, spread, tick), _random_terms(rng, style)
    if (decisions.trail_bps > 0).any() and not np.isnan(decisions.target).all():
        terms = replace(
            terms, slippage_rate=0.0
        )  # vectorbt cannot hold a target within the slippage of a trailing entry
    return Column(tape, decisions, terms)


def _between_ticks(rng: np.random.Generator, tape: Tape) -> Tape:
    """The same bars with about a third of their prices moved by an eighth of a tick or more, to eight decimals."""
    moved = [
        np.round(column + tape.tick / 8 * rng.integers(0, 8, len(tape)) * (rng.random(len(tape)) < 0.35), 8)
        for column in (tape.open, tape.high, tape.low, tape.close)
    ]
    first, _, low, last = moved
    return replace(
        tape, open=first, close=last, high=np.maximum.reduce(moved), low=np.minimum(low, np.minimum(first, last))
    )


def _random_decisions(rng: np.random.Generator, style: Style, closes: Floats, spread: int, tick: float) -> Decisions:
    n = style.height
    share = float(rng.choice([0.05, 0.15, 0.4]))
    long, short, leave_long, leave_short = (rng.random(n) < share * k for k in (1.0, rng.choice([0.0, 1.0]), 0.6, 0.6))
    width = max(1, 2 * spread)
    side = np.where(long, 1, -1)
    stop = closes - side * rng.integers(-1, 2 * width, n)
    target = closes + side * rng.integers(-1, 3 * width, n)
    stop, target = np.maximum(stop, 1), np.maximum(target, 1)
    ways = str(rng.choice(["none", "stop", "target", "both", "trail", "trail+target"]))
    stops = px(stop, tick) if ways in ("stop", "both") else np.full(n, np.nan)
    targets = px(target, tick) if ways in ("target", "both", "trail+target") else np.full(n, np.nan)
    trail = rng.integers(1, 400, n) if ways.startswith("trail") else np.zeros(n)
    hold = np.zeros(n)
    if style.limits:
        hold = rng.integers(1, 12, n) * (rng.random() < 0.7)
        stops = px(stop, tick) if rng.random() < 0.5 else stops
    stops = np.where(rng.random(n) < 0.1, np.nan, stops)
    qty = np.full(n, float(rng.choice([1, 7, 100]))) * (rng.random(n) > 0.03)
    return Decisions(
        long, short, leave_long, leave_short, stops, targets, trail.astype(np.int32), hold.astype(np.int32), qty,
        bool(rng.random() < 0.5), bool(rng.random() < 0.4),
    )  # fmt: skip


def _random_terms(rng: np.random.Generator, style: Style) -> Terms:
    if not style.costs:
        return Terms()
    return Terms(
        fee_rate=float(rng.choice([0.0, 0.0005])),
        fee_per_order=float(rng.choice([0.0, 1.0])),
        fee_per_unit=float(rng.choice([0.0, 0.005])),
        slippage_rate=float(rng.choice([0.0, 0.0002])),
        participation=float(rng.choice([0.0, 0.0, 0.05])),
    )
