"""The fill model, case by case: which bar, how many, at what price. Every number here was worked out by hand."""

from dataclasses import dataclass, field

import pytest

from qmworkbench.domain.instruments import us_equity
from tests.venue.worlds import World, at, bracket, frame, ticked

# Bars are (open, high, low, close). Bar 0 is the signal bar: what is decided at its close fills from bar 1 on.
SIGNAL = (100, 100, 100, 100)


@dataclass(frozen=True)
class Case:
    name: str
    bars: list[tuple[float, ...]]
    fills: list[tuple[int, str, str]]
    side: str = "long"
    legs: dict[str, object] = field(default_factory=dict)
    # what else is decided at the close of a bar: (bar, action, keyword arguments)
    later: list[tuple[int, str, dict[str, object]]] = field(default_factory=list)
    tick: str = "0.01"
    signal: tuple[float, ...] = SIGNAL
    end: bool = False
    reasons: dict[str, str] = field(default_factory=dict)


STOPS_AND_TARGETS = [
    Case("stop on the entry bar", [(101, 102, 94, 100)], [(1, "+100", "101"), (1, "-100", "95")], legs={"stop": 95}),
    Case(
        "stop on a later bar",
        [(101, 102, 96, 100), (100, 100, 94, 96)],
        [(1, "+100", "101"), (2, "-100", "95")],
        legs={"stop": 95},
    ),
    Case(
        "target on the entry bar",
        [(101, 111, 100, 105)],
        [(1, "+100", "101"), (1, "-100", "110")],
        legs={"target": 110},
    ),
    Case(
        "target on a later bar",
        [(101, 105, 100, 105), (106, 112, 105, 111)],
        [(1, "+100", "101"), (2, "-100", "110")],
        legs={"target": 110},
    ),
    Case(
        "both in one range: the stop wins",
        [(101, 102, 100, 101), (101, 111, 94, 100)],
        [(1, "+100", "101"), (2, "-100", "95")],
        legs={"stop": 95, "target": 110},
        reasons={"in/target": "oco"},
    ),
    Case(
        "both on the entry bar: the stop wins",
        [(101, 111, 94, 100)],
        [(1, "+100", "101"), (1, "-100", "95")],
        legs={"stop": 95, "target": 110},
    ),
    Case(
        "gap through the stop fills at the open",
        [(101, 102, 100, 101), (92, 93, 90, 91)],
        [(1, "+100", "101"), (2, "-100", "92")],
        legs={"stop": 95},
    ),
    Case(
        "gap through the target fills at the open, which is better",
        [(101, 102, 100, 101), (112, 113, 111, 112)],
        [(1, "+100", "101"), (2, "-100", "112")],
        legs={"target": 110},
    ),
    Case(
        "gap through the target, then a low under the stop: the open comes first",
        [(101, 102, 100, 101), (112, 113, 94, 100)],
        [(1, "+100", "101"), (2, "-100", "112")],
        legs={"stop": 95, "target": 110},
    ),
    Case(
        "low exactly at the stop",
        [(101, 102, 100, 101), (100, 101, 95, 99)],
        [(1, "+100", "101"), (2, "-100", "95")],
        legs={"stop": 95},
    ),
    Case(
        "low a tick above the stop",
        [(101, 102, 100, 101), (100, 101, 95.01, 99)],
        [(1, "+100", "101")],
        legs={"stop": 95},
    ),
    Case(
        "high exactly at the target",
        [(101, 102, 100, 101), (100, 110, 99, 100)],
        [(1, "+100", "101"), (2, "-100", "110")],
        legs={"target": 110},
    ),
    Case(
        "high a tick under the target",
        [(101, 102, 100, 101), (100, 109.99, 99, 100)],
        [(1, "+100", "101")],
        legs={"target": 110},
    ),
    Case(
        "open exactly at the stop",
        [(101, 102, 100, 101), (95, 96, 95, 96)],
        [(1, "+100", "101"), (2, "-100", "95")],
        legs={"stop": 95},
    ),
    Case(
        "open exactly at the target",
        [(101, 102, 100, 101), (110, 112, 110, 111)],
        [(1, "+100", "101"), (2, "-100", "110")],
        legs={"target": 110},
    ),
]
SHORTS = [
    Case(
        "short: stop on the entry bar",
        [(99, 106, 98, 100)],
        [(1, "-100", "99"), (1, "+100", "105")],
        "short",
        {"stop": 105},
    ),
    Case(
        "short: target on a later bar",
        [(99, 100, 95, 96), (95, 96, 89, 90)],
        [(1, "-100", "99"), (2, "+100", "90")],
        "short",
        {"target": 90},
    ),
    Case(
        "short: both in one range",
        [(99, 100, 98, 99), (99, 106, 89, 95)],
        [(1, "-100", "99"), (2, "+100", "105")],
        "short",
        {"stop": 105, "target": 90},
    ),
    Case(
        "short: gap through the stop",
        [(99, 100, 98, 99), (108, 109, 107, 108)],
        [(1, "-100", "99"), (2, "+100", "108")],
        "short",
        {"stop": 105},
    ),
    Case(
        "short: gap through the target, then over the stop",
        [(99, 100, 98, 99), (88, 106, 87, 100)],
        [(1, "-100", "99"), (2, "+100", "88")],
        "short",
        {"stop": 105, "target": 90},
    ),
    Case(
        "short: high exactly at the stop",
        [(99, 100, 98, 99), (100, 105, 99, 101)],
        [(1, "-100", "99"), (2, "+100", "105")],
        "short",
        {"stop": 105},
    ),
    Case(
        "short: low exactly at the target",
        [(99, 100, 98, 99), (98, 99, 90, 92)],
        [(1, "-100", "99"), (2, "+100", "90")],
        "short",
        {"target": 90},
    ),
    Case(
        "short: open exactly at the stop",
        [(99, 100, 98, 99), (105, 105, 104, 104)],
        [(1, "-100", "99"), (2, "+100", "105")],
        "short",
        {"stop": 105},
    ),
    Case(
        "short: open exactly at the target",
        [(99, 100, 98, 99), (90, 91, 88, 90)],
        [(1, "-100", "99"), (2, "+100", "90")],
        "short",
        {"target": 90},
    ),
]
TRAILING = [  # 500 bps are 5 %
    Case(
        "peak set by the fill: 5 % under 100 is 95, tested on the entry bar",
        [(100, 100, 95, 96)],
        [(1, "+100", "100"), (1, "-100", "95")],
        legs={"trail": 500},
    ),
    Case(
        "peak raised by the high of the bar before",
        [(100, 120, 100, 118), (118, 119, 114, 115)],
        [(1, "+100", "100"), (2, "-100", "114")],
        legs={"trail": 500},
    ),
    Case(
        "peak raised by the open, then tested in that range",
        [(100, 101, 99, 100), (120, 120, 114, 115)],
        [(1, "+100", "100"), (2, "-100", "114")],
        legs={"trail": 500},
    ),
    Case(
        "high and low in one bar: the old peak is tested, the high counts from the next bar",
        [(100, 100, 99, 100), (100, 120, 96, 118), (118, 118, 113, 117)],
        [(1, "+100", "100"), (3, "-100", "114")],
        legs={"trail": 500},
    ),
    Case(
        "a gap is tested against the old peak and fills at the open",
        [(100, 120, 100, 118), (110, 130, 108, 129)],
        [(1, "+100", "100"), (2, "-100", "110")],
        legs={"trail": 500},
    ),
    Case(
        "with a target: trailing stop and target in one range, the stop wins",
        [(100, 110, 100, 109), (109, 125, 104, 120)],
        [(1, "+100", "100"), (2, "-100", "104.5")],
        legs={"trail": 500, "target": 125},
    ),
    Case(
        "with a target: the target is reached first",
        [(100, 110, 100, 109), (109, 125, 105, 120)],
        [(1, "+100", "100"), (2, "-100", "125")],
        legs={"trail": 500, "target": 125},
    ),
    Case(
        "a long's level rounds down: 5 % under 100.01 is 95.0095, so 95.00",
        [(100.01, 100.01, 95.01, 96), (96, 96, 95, 95.5)],
        [(1, "+100", "100.01"), (2, "-100", "95")],
        legs={"trail": 500},
    ),
    Case(
        "a short's level rounds up: 5 % over 100.01 is 105.0105, so 105.02",
        [(100.01, 105.01, 100.01, 105), (105, 105.02, 105, 105)],
        [(1, "-100", "100.01"), (2, "+100", "105.02")],
        "short",
        {"trail": 500},
    ),
    Case(
        "short: peak lowered by the low of the bar before",
        [(100, 100, 80, 82), (82, 84, 81, 83)],
        [(1, "-100", "100"), (2, "+100", "84")],
        "short",
        {"trail": 500},
    ),
    Case(
        "short: peak lowered by the open",
        [(100, 101, 99, 100), (80, 84, 80, 83)],
        [(1, "-100", "100"), (2, "+100", "84")],
        "short",
        {"trail": 500},
    ),
    Case(
        "a fixed level nearer to the market than the trailing one counts",
        [(100, 100, 97, 98)],
        [(1, "+100", "100"), (1, "-100", "97")],
        legs={"trail": 500, "stop": 97},
    ),
    Case(
        "until the trailing level has passed it",
        [(100, 110, 99, 109), (109, 109, 104, 105)],
        [(1, "+100", "100"), (2, "-100", "104.5")],
        legs={"trail": 500, "stop": 97},
    ),
]
AT_THE_OPEN = [
    Case(
        "exit at the open with a stop later in the bar: the exit, once",
        [(101, 102, 100, 101), (100, 101, 94, 95)],
        [(1, "+100", "101"), (2, "-100", "100")],
        legs={"stop": 95},
        later=[(1, "exit", {})],
    ),
    Case(
        "gap stop with a pending exit: one fill, the exit is canceled",
        [(101, 102, 100, 101), (93, 95, 92, 94)],
        [(1, "+100", "101"), (2, "-100", "93")],
        legs={"stop": 95},
        later=[(1, "exit", {})],
        reasons={"exit1": "nothing_to_reduce"},
    ),
    Case(
        "gap stop with a same-side entry: the entry is canceled",
        [(101, 102, 100, 101), (93, 95, 92, 94), (94, 95, 93, 94)],
        [(1, "+100", "101"), (2, "-100", "93")],
        legs={"stop": 95},
        later=[(1, "buy", {})],
        reasons={"buy1": "exit_at_open"},
    ),
    Case(
        "gap stop with a flip: close and opposite entry are canceled",
        [(101, 102, 100, 101), (93, 95, 92, 94), (94, 95, 93, 94)],
        [(1, "+100", "101"), (2, "-100", "93")],
        legs={"stop": 95},
        later=[(1, "exit", {}), (1, "sell", {})],
        reasons={"exit1": "nothing_to_reduce", "sell1": "exit_at_open"},
    ),
    Case(
        "a gap through the target cancels what is pending, too",
        [(101, 102, 100, 101), (112, 113, 111, 112), (112, 113, 111, 112)],
        [(1, "+100", "101"), (2, "-100", "112")],
        legs={"target": 110},
        later=[(1, "sell", {})],
        reasons={"sell1": "exit_at_open"},
    ),
    Case(
        "flip: the close, then the entry, at one open",
        [(101, 102, 100, 101), (99, 100, 98, 99)],
        [(1, "+100", "101"), (2, "-100", "99"), (2, "-100", "99")],
        legs={"stop": 95},
        later=[(1, "exit", {}), (1, "sell", {})],
    ),
    Case(
        "an opposite entry without a close does not flip the position",
        [(101, 102, 100, 101), (99, 100, 98, 99)],
        [(1, "+100", "101")],
        legs={"stop": 95},
        later=[(1, "sell", {})],
        reasons={"sell1": "opposite_position"},
    ),
    Case(
        "stop in the bar, entry decided at its close: in again at the next open",
        [(101, 102, 94, 96), (97, 98, 96, 97)],
        [(1, "+100", "101"), (1, "-100", "95"), (2, "+100", "97")],
        legs={"stop": 95},
        later=[(1, "buy", {})],
    ),
    Case(
        "open at the stop: the entry is denied",
        [(95, 100, 94, 99), (99, 100, 98, 99)],
        [],
        legs={"stop": 95, "target": 110},
        reasons={"in": "stop_on_wrong_side", "in/stop": "entry_not_filled", "in/target": "entry_not_filled"},
    ),
    Case("open under the stop", [(94, 100, 93, 99)], [], legs={"stop": 95}, reasons={"in": "stop_on_wrong_side"}),
    Case(
        "open at the target", [(110, 111, 109, 110)], [], legs={"target": 110}, reasons={"in": "target_on_wrong_side"}
    ),
    Case(
        "short: open over the stop",
        [(106, 107, 105, 106)],
        [],
        "short",
        {"stop": 105},
        reasons={"in": "stop_on_wrong_side"},
    ),
    Case(
        "short: open under the target",
        [(89, 90, 88, 89)],
        [],
        "short",
        {"target": 90},
        reasons={"in": "target_on_wrong_side"},
    ),
    Case(
        "open a tick above the stop",
        [(95.01, 96, 95.01, 96)],
        [(1, "+100", "95.01")],
        legs={"stop": 95},
    ),
]
THE_CLOSE = [
    Case(
        "flat at the close",
        [(101, 102, 100, 101), (101, 103, 100, 102)],
        [(1, "+100", "101"), (2, "-100", "102")],
        legs={"stop": 95, "close": True},
        end=True,
        reasons={"in/stop": "oco"},
    ),
    Case(
        "a stop on the last bar comes before the close",
        [(101, 102, 100, 101), (101, 103, 94, 102)],
        [(1, "+100", "101"), (2, "-100", "95")],
        legs={"stop": 95, "close": True},
        end=True,
        reasons={"in/close": "oco"},
    ),
    Case(
        "entry on the last bar, out at its close",
        [(101, 102, 100, 101.5)],
        [(1, "+100", "101"), (1, "-100", "101.5")],
        legs={"close": True},
        end=True,
    ),
    Case(
        "an entry decided at the last close never fills",
        [],
        [],
        legs={"stop": 95, "close": True},
        end=True,
        reasons={"in": "session_over", "in/close": "entry_not_filled"},
    ),
    Case(
        "open at the end of the data: nothing happens to it",
        [(101, 102, 100, 101), (101, 103, 100, 102)],
        [(1, "+100", "101")],
        legs={"stop": 95},
    ),
    Case(
        "carried: the session ends, the position stays, its day stop expires",
        [(101, 102, 100, 101)],
        [(1, "+100", "101")],
        legs={"stop": 95},
        end=True,
        reasons={"in/stop": "session_over"},
    ),
]
TICKS = [
    Case(
        "ticks of 0.0001",
        [(1.0001, 1.0002, 0.9949, 1)],
        [(1, "+100", "1.0001"), (1, "-100", "0.995")],
        legs={"stop": "0.9950"},
        tick="0.0001",
        signal=(1, 1, 1, 1),
    ),
    Case(
        "ticks of 0.25, the trailing level rounds down to one: 1 % under 4000.25 is 3960.2475",
        [(4000.25, 4000.25, 3960, 3970)],
        [(1, "+100", "4000.25"), (1, "-100", "3960")],
        legs={"trail": 100},
        tick="0.25",
        signal=(4000, 4000, 4000, 4000),
    ),
    Case(
        "ticks of 1",
        [(101, 111, 100, 105)],
        [(1, "+100", "101"), (1, "-100", "110")],
        legs={"target": 110},
        tick="1",
    ),
    Case(
        "a price of 30 ticks: 5 % under 0.30 is 0.285, so 0.28",
        [(0.30, 0.30, 0.28, 0.29)],
        [(1, "+100", "0.3"), (1, "-100", "0.28")],
        legs={"trail": 500},
        signal=(0.3, 0.3, 0.3, 0.3),
    ),
    Case(
        "a price above 250,000",
        [(250001.23, 250001.24, 249999.99, 250000)],
        [(1, "+1", "250001.23"), (1, "-1", "250000.01")],
        legs={"stop": "250000.01", "qty": 1},
        signal=(250000, 250000, 250000, 250000),
    ),
    Case(
        "flat prices touch nothing",
        [(100, 100, 100, 100)] * 4,
        [(1, "+100", "100")],
        legs={"stop": 99.99, "target": 100.01, "trail": 1},
    ),
    Case(
        "prices off the tick fill as printed at the ideal venue",
        [(100.0034, 100.5, 100, 100.25)],
        [(1, "+100", "100.0034")],
    ),
]
CASES = STOPS_AND_TARGETS + SHORTS + TRAILING + AT_THE_OPEN + THE_CLOSE + TICKS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    world = World(instruments=[ticked("AAA", case.tick)], cash="100000000")
    world.bars(case.signal)
    legs = dict(case.legs)
    qty = legs.pop("qty", 100)
    enter = world.buy if case.side == "long" else world.sell
    enter("in", qty, legs=bracket("in", **legs))  # type: ignore[arg-type]
    for number, bar in enumerate(case.bars, start=1):
        world.bars(bar)
        for when, action, more in case.later:
            if when == number:
                do = {"exit": world.close_long, "buy": world.buy, "sell": world.sell}[action]
                do(f"{action}{number}", qty, **more)
    if case.end:
        world.end()
    assert world.fills() == case.fills
    assert {name: world.why(name) for name in case.reasons} == case.reasons
    assert world.qty() == sum(int(signed) for _, signed, _ in case.fills)


def test_the_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


class TestNeverTooEarly:
    """Nothing fills on the bar it was decided on, on an older one, twice, or outside regular hours."""

    def test_the_signal_bar_does_not_fill(self) -> None:
        world = World()
        world.bars((100, 101, 99, 100))
        world.buy("in")
        assert world.fills() == []

    def test_an_order_decided_later_than_a_bar_waits_for_the_next(self) -> None:
        world = World()
        world.bars((100, 101, 99, 100))
        world.buy("in", decided=at(1))
        world.bars((101, 102, 100, 101), (103, 104, 102, 103))
        assert world.fills() == [(2, "+100", "103")]

    def test_frames_outside_regular_hours_match_nothing(self) -> None:
        world = World()
        world.bars((100, 101, 99, 100))
        world.buy("in")
        early = frame(world.universe, 1, {"AAA": (90, 91, 89, 90)}, extended=True)
        world.exchange.on_frame(early, world.universe)
        assert world.fills() == []
        world.minute = 1
        world.bars((101, 102, 100, 101))
        assert world.fills() == [(2, "+100", "101")]

    def test_the_same_frame_again_changes_nothing(self) -> None:
        world = World()
        world.bars((100, 101, 99, 100))
        world.buy("in", legs=bracket("in", stop=95))
        world.bars((101, 102, 100, 101))
        before = world.said()
        again = frame(world.universe, 1, {"AAA": (90, 91, 80, 90)})
        world.exchange.on_frame(again, world.universe)
        assert world.said() == before

    def test_a_symbol_that_does_not_trade_is_not_matched(self) -> None:
        world = World()
        world.feed({"AAA": (100, 101, 99, 100), "BBB": (50, 51, 49, 50)})
        world.buy("in", legs=bracket("in", stop=95))
        world.feed({"BBB": (50, 51, 49, 50)})
        assert world.fills() == []
        world.feed({"AAA": (101, 102, 100, 101)})
        assert world.fills() == [(2, "+100", "101")]


def test_bars_off_the_tick_never_round_at_the_ideal_venue() -> None:
    world = World(instruments=[us_equity("AAA")])
    world.bars((10, 10, 10, 10))
    world.buy("in", 7)
    world.bars((10.00345678, 10.1, 10, 10.05))
    assert world.fills() == [(1, "+7", "10.00345678")]
