"""FILLS "Cases a parity test must hold", by name: bars in ticks, what was decided, and the fills worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qmworkbench.research.fills.tape import Decisions, Tape, Terms
from tests.research.fills.fill_cases import Plan, decided, tape_of_ticks

IDEAL = Terms()
START = (1000, 1000, 1000, 1000)
MIRROR = 2000
LONG = Plan("long")
EXIT = Plan("exit_long")

Bars = Sequence[tuple[float, float, float, float]]
Expected = Sequence[tuple[int, float, float]]  # row, signed quantity, price in ticks


@dataclass(frozen=True)
class Case:
    """`bars` follow the bar of the first decision; `turned`: also held upside down, as a short."""

    name: str
    bars: Bars
    plans: Mapping[int, Plan]
    fills: Expected
    tick: float = 0.01
    flat: bool = False
    reverse: bool = False
    ended: bool = False
    sessions: Sequence[int] = ()
    skipped: Sequence[int] = ()
    terms: Terms = IDEAL
    turned: bool = True
    first: tuple[float, float, float, float] = START

    @property
    def tape(self) -> Tape:
        return tape_of_ticks(
            [self.first, *self.bars],
            tick=self.tick,
            sessions=self.sessions,
            skipped=self.skipped,
            ended=self.ended or self.flat,
        )

    @property
    def decisions(self) -> Decisions:
        height = len(self.bars) + 1
        return decided(height, self.plans, tick=self.tick, flat=self.flat, reverse=self.reverse)


def upside_down(case: Case) -> Case:
    """The same story of a short: every price mirrored, every side turned."""

    def mirrored(bars: Bars) -> Bars:
        return [(MIRROR - o, MIRROR - low, MIRROR - high, MIRROR - c) for o, high, low, c in bars]

    sides = {"long": "short", "short": "long", "exit_long": "exit_short", "exit_short": "exit_long"}

    def turned(plan: Plan) -> Plan:
        level = {n: None if (v := getattr(plan, n)) is None else MIRROR - v for n in ("stop", "target")}
        return replace(plan, flags="+".join(sides[flag] for flag in plan.flags.split("+")), **level)

    return replace(
        case,
        name=f"short: {case.name}",
        first=mirrored([case.first])[0],
        bars=mirrored(case.bars),
        plans={row: turned(plan) for row, plan in case.plans.items()},
        fills=[(row, -qty, MIRROR - px) for row, qty, px in case.fills],
    )


def _long(stop: float | None = None, target: float | None = None, **more: float) -> Plan:
    return Plan("long", stop, target, **more)  # type: ignore[arg-type]


STOPS = [
    Case("stop on the entry bar", [(1010, 1020, 940, 1000)], {0: _long(950)}, [(1, 100, 1010), (1, -100, 950)]),
    Case("stop later", [(1010, 1020, 960, 1000), (1000, 1000, 940, 960)], {0: _long(950)},
         [(1, 100, 1010), (2, -100, 950)]),
    Case("target on the entry bar", [(1010, 1110, 1000, 1050)], {0: _long(None, 1100)},
         [(1, 100, 1010), (1, -100, 1100)]),
    Case("target later", [(1010, 1050, 1000, 1050), (1060, 1120, 1050, 1110)], {0: _long(None, 1100)},
         [(1, 100, 1010), (2, -100, 1100)]),
    Case("both on the entry bar: the stop", [(1010, 1110, 940, 1000)], {0: _long(950, 1100)},
         [(1, 100, 1010), (1, -100, 950)]),
    Case("both later: the stop", [(1010, 1020, 1000, 1010), (1010, 1110, 940, 1000)], {0: _long(950, 1100)},
         [(1, 100, 1010), (2, -100, 950)]),
    Case("gap through the stop", [(1010, 1020, 1000, 1010), (920, 930, 900, 910)], {0: _long(950)},
         [(1, 100, 1010), (2, -100, 920)]),
    Case("gap through the target", [(1010, 1020, 1000, 1010), (1120, 1130, 1110, 1120)], {0: _long(None, 1100)},
         [(1, 100, 1010), (2, -100, 1120)]),
    Case("gap through the target, then a low under the stop", [(1010, 1020, 1000, 1010), (1120, 1130, 940, 1000)],
         {0: _long(950, 1100)}, [(1, 100, 1010), (2, -100, 1120)]),
    Case("low exactly at the stop", [(1010, 1020, 1000, 1010), (1000, 1010, 950, 990)], {0: _long(950)},
         [(1, 100, 1010), (2, -100, 950)]),
    Case("low a tick above the stop", [(1010, 1020, 1000, 1010), (1000, 1010, 951, 990)], {0: _long(950)},
         [(1, 100, 1010)]),
    Case("high exactly at the target", [(1010, 1020, 1000, 1010), (1000, 1100, 990, 1000)], {0: _long(None, 1100)},
         [(1, 100, 1010), (2, -100, 1100)]),
    Case("high a tick under the target", [(1010, 1020, 1000, 1010), (1000, 1099, 990, 1000)], {0: _long(None, 1100)},
         [(1, 100, 1010)]),
    Case("open exactly at the stop", [(1010, 1020, 1000, 1010), (950, 960, 950, 960)], {0: _long(950)},
         [(1, 100, 1010), (2, -100, 950)]),
    Case("open exactly at the target", [(1010, 1020, 1000, 1010), (1100, 1120, 1100, 1110)], {0: _long(None, 1100)},
         [(1, 100, 1010), (2, -100, 1100)]),
    Case("open a tick over the stop on the entry bar, low at it", [(951, 960, 950, 955)], {0: _long(950)},
         [(1, 100, 951), (1, -100, 950)]),
    Case("a low exactly at the stop after a long calm", [*[(1010, 1020, 1000, 1010)] * 35, (1000, 1010, 950, 990),
         *[(1010, 1020, 1000, 1010)] * 14], {0: _long(950, 1100)}, [(1, 100, 1010), (36, -100, 950)]),
    Case("a high exactly at the target after a long calm", [*[(1010, 1020, 1000, 1010)] * 40, (1000, 1100, 990, 1000),
         *[(1010, 1020, 1000, 1010)] * 9], {0: _long(950, 1100)}, [(1, 100, 1010), (41, -100, 1100)]),
    Case("flat prices: stop a tick under", [(1000, 1000, 1000, 1000)] * 3, {0: _long(999)}, [(1, 100, 1000)]),
    Case("flat prices: out at the price of the entry", [(1000, 1000, 1000, 1000)] * 3, {0: LONG, 1: EXIT},
         [(1, 100, 1000), (2, -100, 1000)]),
]  # fmt: skip

TRAILS = [  # 500 bps are 5 %
    Case("peak set by the fill", [(1000, 1000, 950, 960)], {0: _long(trail=500)}, [(1, 100, 1000), (1, -100, 950)]),
    Case("peak raised by the high before", [(1000, 1200, 1000, 1180), (1180, 1190, 1140, 1150)], {0: _long(trail=500)},
         [(1, 100, 1000), (2, -100, 1140)]),
    Case("peak raised by the open", [(1000, 1010, 990, 1000), (1200, 1200, 1140, 1150)], {0: _long(trail=500)},
         [(1, 100, 1000), (2, -100, 1140)]),
    Case("high and low in one bar: the old peak counts",
         [(1000, 1000, 990, 1000), (1000, 1200, 960, 1180), (1180, 1180, 1130, 1170)], {0: _long(trail=500)},
         [(1, 100, 1000), (3, -100, 1140)]),
    Case("a gap is tested against the old peak", [(1000, 1200, 1000, 1180), (1100, 1300, 1080, 1290)],
         {0: _long(trail=500)}, [(1, 100, 1000), (2, -100, 1100)]),
    Case("trail and target in one range: the trail", [(1000, 1100, 1000, 1090), (1090, 1250, 1040, 1200)],
         {0: _long(None, 1250, trail=500)}, [(1, 100, 1000), (2, -100, 1045)]),
    Case("trail not reached, target is", [(1000, 1100, 1000, 1090), (1090, 1250, 1050, 1200)],
         {0: _long(None, 1250, trail=500)}, [(1, 100, 1000), (2, -100, 1250)]),
    Case("a long's level rounds down", [(1001, 1001, 951, 960), (960, 960, 950, 955)], {0: _long(trail=500)},
         [(1, 100, 1001), (2, -100, 950)]),
    Case("a fixed stop nearer to the market counts", [(1000, 1000, 970, 980)], {0: _long(970, trail=500)},
         [(1, 100, 1000), (1, -100, 970)]),
    Case("until the trail has passed it", [(1000, 1100, 990, 1090), (1090, 1090, 1040, 1050)],
         {0: _long(970, trail=500)}, [(1, 100, 1000), (2, -100, 1045)]),
    Case("the high raises the peak, the fixed stop stays nearer", [(1000, 1010, 995, 1005), (1005, 1006, 985, 990)],
         {0: _long(990, trail=500)}, [(1, 100, 1000), (2, -100, 990)]),
    Case("the open raises the peak, the fixed stop stays nearer", [(1000, 1000, 995, 1000), (1010, 1010, 985, 990)],
         {0: _long(990, trail=500)}, [(1, 100, 1000), (2, -100, 990)]),
    Case("short: peak set by the fill", [(1000, 1050, 1000, 1040)], {0: Plan("short", trail=500)},
         [(1, -100, 1000), (1, 100, 1050)]),
    Case("short: level rounds up", [(1001, 1051, 1001, 1050), (1050, 1052, 1050, 1050)], {0: Plan("short", trail=500)},
         [(1, -100, 1001), (2, 100, 1052)]),
    Case("short: peak lowered by the low before", [(1000, 1000, 800, 820), (820, 840, 810, 830)],
         {0: Plan("short", trail=500)}, [(1, -100, 1000), (2, 100, 840)]),
    Case("short: peak lowered by the open", [(1000, 1010, 1000, 1000), (800, 840, 800, 830)],
         {0: Plan("short", trail=500)}, [(1, -100, 1000), (2, 100, 840)]),
]  # fmt: skip

OPENS = [
    Case("exit at the open, a stop later in the bar", [(1010, 1020, 1000, 1010), (1000, 1010, 940, 950)],
         {0: _long(950), 1: EXIT}, [(1, 100, 1010), (2, -100, 1000)]),
    Case("gap stop with a pending exit: once", [(1010, 1020, 1000, 1010), (930, 950, 920, 940), (940, 941, 939, 940)],
         {0: _long(950), 1: EXIT}, [(1, 100, 1010), (2, -100, 930)]),
    Case("gap stop with a same-side entry: it is canceled",
         [(1010, 1020, 1000, 1010), (930, 950, 920, 940), (940, 941, 939, 940)], {0: _long(950), 1: LONG},
         [(1, 100, 1010), (2, -100, 930)]),
    Case("gap stop with a flip: both are canceled",
         [(1010, 1020, 1000, 1010), (930, 950, 920, 940), (940, 941, 939, 940)], {0: _long(950), 1: Plan("short")},
         [(1, 100, 1010), (2, -100, 930)], reverse=True),
    Case("flip at one open", [(1010, 1020, 1000, 1010), (990, 1000, 980, 985)], {0: LONG, 1: Plan("short", 1030)},
         [(1, 100, 1010), (2, -200, 990)], reverse=True),
    Case("flip into a stop of the new side on its entry bar", [(1010, 1020, 1000, 1010), (990, 1040, 980, 985)],
         {0: LONG, 1: Plan("short", 1030)}, [(1, 100, 1010), (2, -200, 990), (2, 100, 1030)], reverse=True),
    Case("flip with a level on the wrong side: an exit", [(1010, 1020, 1000, 1010), (990, 1000, 980, 985)],
         {0: LONG, 1: Plan("short", 990)}, [(1, 100, 1010), (2, -100, 990)], reverse=True),
    Case("flip of another size", [(1010, 1020, 1000, 1010), (990, 1000, 980, 985)],
         {0: LONG, 1: Plan("short", qty=30)}, [(1, 100, 1010), (2, -130, 990)], reverse=True),
    Case("opposite entry closes", [(1010, 1020, 1000, 1010), (990, 1000, 980, 985), (985, 990, 980, 985)],
         {0: LONG, 1: Plan("short")}, [(1, 100, 1010), (2, -100, 990)]),
    Case("opposite entry with a level on the wrong side closes", [(1010, 1020, 1000, 1010), (990, 1000, 980, 985)],
         {0: LONG, 1: Plan("short", 980)}, [(1, 100, 1010), (2, -100, 990)]),
    Case("exit and opposite entry, closing", [(1010, 1020, 1000, 1010), (990, 1000, 980, 985)],
         {0: LONG, 1: Plan("exit_long+short")}, [(1, 100, 1010), (2, -100, 990)]),
    Case("exit and opposite entry, reversing", [(1010, 1020, 1000, 1010), (990, 1000, 980, 985)],
         {0: LONG, 1: Plan("exit_long+short")}, [(1, 100, 1010), (2, -200, 990)], reverse=True),
    Case("entry and exit while flat: nothing", [(1010, 1020, 1000, 1010)] * 2, {0: Plan("long+exit_long")}, []),
    Case("entry and exit while held: the exit", [(1010, 1020, 1000, 1010), (990, 1000, 980, 985)],
         {0: LONG, 1: Plan("long+exit_long")}, [(1, 100, 1010), (2, -100, 990)]),
    Case("both entries while flat: nothing", [(1010, 1020, 1000, 1010)] * 2, {0: Plan("long+short")}, []),
    Case("both entries while held: nothing", [(1010, 1020, 1000, 1010)] * 2, {0: LONG, 1: Plan("long+short")},
         [(1, 100, 1010)]),
    Case("a same-side entry while held is ignored, its levels too",
         [(1010, 1020, 1000, 1010), (1010, 1020, 1000, 1010), (1010, 1020, 960, 1000)], {0: _long(950), 1: _long(990)},
         [(1, 100, 1010)]),
    Case("an exit of the other side is none", [(1010, 1020, 1000, 1010)] * 2, {0: LONG, 1: Plan("exit_short")},
         [(1, 100, 1010)]),
    Case("open exactly at the target with a flip due: the exit alone",
         [(1010, 1020, 1000, 1010), (1100, 1110, 1090, 1100), (1100, 1110, 1090, 1100)],
         {0: _long(None, 1100), 1: Plan("short", 1200)}, [(1, 100, 1010), (2, -100, 1100)], reverse=True),
    Case("open exactly at the stop with a flip due: the exit alone",
         [(1010, 1020, 1000, 1010), (950, 960, 940, 950), (950, 960, 940, 950)],
         {0: _long(950), 1: Plan("short", 1200)}, [(1, 100, 1010), (2, -100, 950)], reverse=True),
    Case("a time limit and a flip at one open: the flip",
         [(1010, 1020, 1000, 1010), (1010, 1020, 1000, 1010)], {0: _long(hold=1), 1: Plan("short", 1200)},
         [(1, 100, 1010), (2, -200, 1010)], reverse=True),
    Case("nothing is bought with no units", [(1010, 1020, 1000, 1010)] * 2, {0: Plan("long", qty=0)}, []),
]  # fmt: skip

TIMES = [
    Case("stop in the bar with an entry at its close: in again at the next open",
         [(1010, 1020, 940, 960), (970, 980, 965, 970)], {0: _long(950), 1: _long(900)},
         [(1, 100, 1010), (1, -100, 950), (2, 100, 970)]),
    Case("entry decided on the last bar: none", [(1010, 1020, 1000, 1010)], {1: LONG}, []),
    Case("open at the end of the data", [(1010, 1020, 1000, 1010)], {0: LONG}, [(1, 100, 1010)]),
    Case("flat at the session's close", [(1010, 1020, 1000, 1010), (1010, 1020, 1000, 1015)], {0: LONG},
         [(1, 100, 1010), (2, -100, 1015)], flat=True),
    Case("a stop on the last bar comes before its close", [(1010, 1020, 1000, 1010), (1010, 1020, 940, 1015)],
         {0: _long(950)}, [(1, 100, 1010), (2, -100, 950)], flat=True),
    Case("entered at the last open, out at its close", [(1010, 1020, 1000, 1015)], {0: LONG},
         [(1, 100, 1010), (1, -100, 1015)], flat=True),
    Case("an exit due after the last close is the close", [(1010, 1020, 1000, 1015)], {0: LONG, 1: EXIT},
         [(1, 100, 1010), (1, -100, 1015)], flat=True),
    Case("open at the stop: the entry is denied", [(950, 1000, 940, 990), (990, 1000, 980, 990)], {0: _long(950)}, []),
    Case("open at the target: the entry is denied", [(1100, 1110, 1090, 1100)], {0: _long(None, 1100)}, []),
    Case("held for two bars", [(1010, 1020, 1000, 1010)] * 4, {0: _long(hold=2)}, [(1, 100, 1010), (3, -100, 1010)]),
    Case("held for one bar, in again at the next open", [(1010, 1020, 1000, 1010)] * 5,
         {0: _long(hold=1), 2: _long(hold=1)},
         [(1, 100, 1010), (2, -100, 1010), (3, 100, 1010), (4, -100, 1010)]),
    Case("a stop before the time limit, which begins anew with the next entry",
         [(1010, 1020, 1000, 1010), (1000, 1010, 940, 950), *[(960, 970, 955, 960)] * 4],
         {0: _long(950, hold=3), 2: _long(900, hold=2)},
         [(1, 100, 1010), (2, -100, 950), (3, 100, 960), (5, -100, 960)]),
    Case("a minute without a trade counts for the time limit", [(1010, 1020, 1000, 1010)] * 4, {0: _long(hold=2)},
         [(1, 100, 1010), (2, -100, 1010)], skipped=[2]),
]  # fmt: skip

TICKS = [
    *(
        Case(f"tick {tick}: {name}", [(1010, 1020, 1000, 1010), bar], {0: _long(950, 1100)},
             [(1, 100, 1010), (2, -100, out)], tick=tick)
        for tick in (0.0001, 0.01, 0.25, 1.0)
        for name, bar, out in (
            ("tie at the stop", (1000, 1010, 950, 960), 950),
            ("tie at the target", (1000, 1100, 990, 1000), 1100),
        )
    ),
    Case("a price of 23 ticks, trailed", [(23, 29, 23, 28), (28, 28, 26, 26)], {0: _long(trail=700)},
         [(1, 100, 23), (2, -100, 26)], first=(23, 23, 23, 23), turned=False),
    Case("a price of 312,345 ticks", [(312_345, 312_400, 312_300, 312_345), (312_345, 312_350, 312_290, 312_300)],
         {0: _long(312_290)}, [(1, 100, 312_345), (2, -100, 312_290)], first=(312_345,) * 4, turned=False),
    Case("a price of 312,345 ticks, trailed by a basis point", [(312_345, 312_400, 312_345, 312_400),
         (312_400, 312_400, 312_368, 312_370)], {0: _long(trail=1)}, [(1, 100, 312_345), (2, -100, 312_368)],
         first=(312_345,) * 4, turned=False),
]  # fmt: skip

CARRIED = [  # more than one session: the venue's own tests hold what a night does
    Case("carried over the night, a gap through the stop", [(1010, 1020, 1000, 1010), (900, 910, 890, 900)],
         {0: _long(950)}, [(1, 100, 1010), (2, -100, 900)], sessions=[2]),
    Case("an exit decided at the last close is done at the next open", [(1010, 1020, 1000, 1010),
         (990, 1000, 980, 990)], {0: LONG, 1: EXIT}, [(1, 100, 1010), (2, -100, 990)], sessions=[2]),
    Case("an entry decided at a session's last close is none", [(1010, 1020, 1000, 1010), (990, 1000, 980, 990)],
         {1: LONG}, [], sessions=[2]),
    Case("nor does it end the opposite position", [(1010, 1020, 1000, 1010), (990, 1000, 980, 990)],
         {0: LONG, 1: Plan("short")}, [(1, 100, 1010)], sessions=[2]),
    Case("flat at every session's close", [(1010, 1020, 1000, 1010), (1000, 1010, 990, 1000),
         (1000, 1010, 990, 1005)], {0: LONG, 2: LONG}, [(1, 100, 1010), (1, -100, 1010), (3, 100, 1000),
         (3, -100, 1005)], sessions=[2], flat=True),
]  # fmt: skip

ONE_SESSION = [*STOPS, *TRAILS, *OPENS, *TIMES, *TICKS]
CASES = [
    each
    for case in (*ONE_SESSION, *CARRIED)
    for each in (case, *([upside_down(case)] if case.turned and not any(p.trail for p in case.plans.values()) else []))
]
