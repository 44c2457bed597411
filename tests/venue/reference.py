"""A second, independent reading of the fill model: one bracket at a time, in whole ticks, in one plain loop.

Written from the rules alone, and sharing nothing with the venue, so that both must be wrong alike to agree.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What is decided at the close of bar `at`: an entry with its exits (levels in ticks), or an exit."""

    at: int
    kind: str  # "long", "short", "exit"
    stop: int | None = None
    target: int | None = None
    trail_bps: int | None = None
    at_close: bool = False


def trades(bars: list[tuple[int, int, int, int]], plans: list[Plan], qty: int) -> list[tuple[int, int, int]]:
    """Fills as (bar, signed quantity, price in ticks). An entry that finds a position at the open is passed over."""
    found: list[tuple[int, int, int]] = []
    side, plan, peak = 0, None, 0
    waiting: list[Plan] = []
    for t, (o, h, low, c) in enumerate(bars):
        if side and plan is not None:
            stop, target = _stop(plan, side, peak), plan.target
            gap = (stop is not None and side * (o - stop) <= 0) or (target is not None and side * (o - target) >= 0)
            if gap:
                found.append((t, -side * qty, o))
                side, waiting = 0, []
            elif any(waits.kind == "exit" for waits in waiting):
                found.append((t, -side * qty, o))
                side = 0
                waiting = [waits for waits in waiting if waits.kind != "exit"]
        for waits in waiting:
            if waits.kind == "exit" or side:
                continue
            way = 1 if waits.kind == "long" else -1
            wrong = (waits.stop is not None and way * (o - waits.stop) <= 0) or (
                waits.target is not None and way * (o - waits.target) >= 0
            )
            if not wrong:
                side, plan, peak = way, waits, o
                found.append((t, way * qty, o))
        waiting = []
        if side and plan is not None:
            peak = max(peak, o) if side > 0 else min(peak, o)
            stop, target = _stop(plan, side, peak), plan.target
            worst, best = (low, h) if side > 0 else (h, low)
            if stop is not None and side * (worst - stop) <= 0:
                found.append((t, -side * qty, stop))
                side = 0
            elif target is not None and side * (best - target) >= 0:
                found.append((t, -side * qty, target))
                side = 0
            else:
                peak = max(peak, h) if side > 0 else min(peak, low)
        if t == len(bars) - 1 and side and plan is not None and plan.at_close:
            found.append((t, -side * qty, c))
            side = 0
        waiting = [each for each in plans if each.at == t]
    return found


def _stop(plan: Plan, side: int, peak: int) -> int | None:
    """The stop's level in ticks: the fixed one or the trailing one, rounded away from the market; the nearer counts."""
    if plan.trail_bps is None:
        return plan.stop
    numerator = peak * (10_000 - side * plan.trail_bps)
    trailed = numerator // 10_000 if side > 0 else -(-numerator // 10_000)
    if plan.stop is None:
        return trailed
    return max(plan.stop, trailed) if side > 0 else min(plan.stop, trailed)


@dataclass(frozen=True)
class Resting:
    """An order that rests from the bar after `at` on: a stop, a limit, or a stop with a limit (levels in ticks)."""

    at: int
    way: int
    stop: int | None
    limit: int | None


def rested(bars: list[tuple[int, int, int, int]], order: Resting) -> tuple[int, int] | None:
    """The bar and price in ticks at which it fills, None where it never does.

    Once its stop is touched it is a limit order (or, without one, at market). A limit is met at the open or anywhere in
    the range; on the bar whose range touched the stop, at the stop's level, or else when the close is back at it.
    """
    way, armed = order.way, order.stop is None
    for t, (o, h, low, c) in enumerate(bars):
        if t <= order.at:
            continue
        far, near = (h, low) if way > 0 else (low, h)
        if not armed and order.stop is not None and way * (o - order.stop) >= 0:
            armed = True
        if armed:
            if order.limit is None or way * (o - order.limit) <= 0:
                return t, o
            if way * (near - order.limit) <= 0:
                return t, order.limit
        elif order.stop is not None and way * (far - order.stop) >= 0:
            armed = True
            if order.limit is None or way * (order.stop - order.limit) <= 0:
                return t, order.stop
            if way * (c - order.limit) <= 0:
                return t, order.limit
    return None
