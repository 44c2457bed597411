"""The venue against a plain integer loop, on random bars full of ties and gaps."""

import random

import pytest

from qmworkbench.domain.execution import ExecType
from tests.venue.reference import Plan, trades
from tests.venue.worlds import World, bracket, ticked

TICKS = {"0.0001": 10_000, "0.01": 100, "0.25": 4, "1": 1}
QTY = 10


def random_bars(draw: random.Random, base: int, count: int) -> list[tuple[int, int, int, int]]:
    """Bars a few ticks high around `base`, so that levels are met exactly all the time; some gap far."""
    bars, px = [], base
    for _ in range(count):
        o = max(3, px + draw.choice([0, 0, 0, -1, 1, -2, 2, -6, 6]))
        h, low = o + draw.randrange(5), max(2, o - draw.randrange(5))
        c = draw.randint(low, h)
        bars.append((o, h, low, c))
        px = c
    return bars


def random_plans(draw: random.Random, bars: list[tuple[int, int, int, int]]) -> list[Plan]:
    """Entries and exits at random; an exit and an opposite entry at one close make a flip."""
    plans = []
    for t, bar in enumerate(bars):
        c, roll = bar[3], draw.random()
        if roll < 0.35:
            way = draw.choice([1, -1])
            trail = draw.choice([None, None, 100, 300, 1000])
            stop = draw.choice([None, c - way * draw.randrange(6)])
            target = draw.choice([None, c + way * draw.randrange(1, 8)])
            if roll < 0.05:
                plans.append(Plan(t, "exit"))
            plans.append(
                Plan(t, "long" if way > 0 else "short", stop and max(1, stop), target and max(1, target), trail, True)
            )
        elif roll < 0.45:
            plans.append(Plan(t, "exit"))
    return plans


def venue_trades(
    tick: str, bars: list[tuple[int, int, int, int]], plans: list[Plan]
) -> tuple[list[tuple[int, int, int]], World]:
    """The same plans, sent to the venue as an order manager would: exits only while held, entries as brackets."""
    per_unit = TICKS[tick]
    world = World(instruments=[ticked("AAA", tick)], cash="1000000000")

    def px(ticks: int | None) -> str | None:
        return None if ticks is None else str(ticks / per_unit)

    for t, bar in enumerate(bars):
        world.bars(tuple(ticks / per_unit for ticks in bar))
        for i, plan in enumerate(each for each in plans if each.at == t):
            held = world.qty()
            if plan.kind == "exit":
                if held:
                    (world.close_long if held > 0 else world.close_short)(f"x{t}.{i}", abs(held))
                continue
            name = f"e{t}.{i}"
            legs = bracket(name, stop=px(plan.stop), target=px(plan.target), trail=plan.trail_bps, close=plan.at_close)
            (world.buy if plan.kind == "long" else world.sell)(name, QTY, legs=legs)
    world.end()
    fills = [(bar, int(float(signed)), round(float(price) * per_unit)) for bar, signed, price in world.fills()]
    return fills, world


def without_same_side(bars: list[tuple[int, int, int, int]], plans: list[Plan]) -> list[Plan]:
    """Drop entries that would add to a position: the fill model ignores them, and the platform never sends them."""
    kept: list[Plan] = []
    for plan in plans:
        if plan.kind != "exit":
            so_far = trades([*bars[: plan.at + 1], bars[plan.at]], kept, QTY)
            held = sum(signed for bar, signed, _ in so_far if bar <= plan.at)
            if held * (1 if plan.kind == "long" else -1) > 0:
                continue
            if any(other.at == plan.at and other.kind not in ("exit",) for other in kept):
                continue
        kept.append(plan)
    return kept


@pytest.mark.parametrize("tick", TICKS)
@pytest.mark.parametrize("seed", range(12))
def test_the_venue_agrees_with_the_plain_loop(tick: str, seed: int) -> None:
    draw = random.Random(f"{tick}/{seed}")
    base = draw.choice([30, 200, 1000, 12_345])
    bars = random_bars(draw, base, 60)
    plans = without_same_side(bars, random_plans(draw, bars))
    found, world = venue_trades(tick, bars, plans)
    expected = trades(bars, plans, QTY)
    assert found == expected
    assert len([r for r in world.said() if r.exec_type is ExecType.TRADE]) == len(expected)


def test_the_comparison_sees_something() -> None:
    """Most runs trade, every exit kind occurs, and a loop that tests targets first disagrees."""
    kinds: set[str] = set()
    count = 0
    for seed in range(12):
        draw = random.Random(f"0.01/{seed}")
        bars = random_bars(draw, draw.choice([30, 200, 1000, 12_345]), 60)
        plans = without_same_side(bars, random_plans(draw, bars))
        _, world = venue_trades("0.01", bars, plans)
        for report in world.said():
            if report.exec_type is ExecType.TRADE:
                count += 1
                kinds.add(report.cl_ord_id.partition("/")[2] or report.cl_ord_id[0])
            elif report.reason:
                kinds.add(report.reason)
    assert count > 150
    assert kinds >= {
        "e", "x", "stop", "target", "close", "oco", "stop_on_wrong_side", "exit_at_open", "opposite_position"
    }  # fmt: skip
