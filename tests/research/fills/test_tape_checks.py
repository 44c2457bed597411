"""Bars and decisions that no simulation may be run on are refused in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qmworkbench.research.fills.fill_kernel import simulate
from qmworkbench.research.fills.tape import Tape, Terms
from qmworkbench.research.fills.tape_checks import TapeFault, check_decisions, check_tape
from qmworkbench.research.fills.two_rows import fills_of
from tests.research.fills.fill_cases import Plan, decided, tape_of_ticks

TAPE = tape_of_ticks([(1000, 1010, 990, 1000)] * 4)
NONE = decided(4, {})


def broken(column: str, row: int, value: float) -> Tape:
    changed = getattr(TAPE, column).copy()
    changed[row] = value
    return replace(TAPE, **{column: changed})


@pytest.mark.parametrize(
    ("tape", "words"),
    [
        (broken("close", 2, np.nan), r"AAA at 2018-03-02 14:32 UTC: close is no number \(nan\); quarantine"),
        (broken("open", 1, np.inf), r"14:31 UTC: open is no number \(inf\)"),
        (broken("low", 0, 0.0), r"14:30 UTC: low is not above zero \(0.0\)"),
        (broken("low", 3, -1.0), r"low is not above zero \(-1.0\)"),
        (broken("high", 1, 9.0), r"the high is under the low \(9.0\)"),
        (broken("close", 1, 10.5), r"close lies outside the bar's range \(10.5\)"),
        (broken("open", 1, 9.5), r"open lies outside the bar's range \(9.5\)"),
        (broken("volume", 1, np.nan), r"volume is no number of 0 or more \(nan\)"),
        (broken("volume", 1, -5.0), r"volume is no number of 0 or more \(-5.0\)"),
        (broken("ts_us", 2, TAPE.ts_us[1]), r"14:31 UTC: a bar is out of order or twice there \(.*\); sort by time"),
        (broken("day", 1, 3), r"14:32 UTC: the session number goes back \(0\)"),
        (replace(TAPE, tick=0.0), r"AAA: tick 0.0; give the instrument's price increment"),
        (replace(TAPE, tick=np.nan), "tick nan"),
        (replace(TAPE, close=TAPE.close[:2]), "columns of different heights"),
        (tape_of_ticks([(1000, 1010, 990, 1000)]), None),
    ],
)
def test_a_tape_is_refused_with_symbol_time_value_and_remedy(tape: Tape, words: str | None) -> None:
    if words is None:
        check_tape(tape)
        return
    with pytest.raises(TapeFault, match=words):
        check_tape(tape)


def test_no_bars_are_refused() -> None:
    names = ("ts_us", "open", "high", "low", "close", "volume", "day", "bar", "ends")
    with pytest.raises(TapeFault, match="no bars; choose a period"):
        check_tape(replace(TAPE, **{name: getattr(TAPE, name)[:0] for name in names}))


@pytest.mark.parametrize("door", [simulate, fills_of], ids=["kernel", "vectorbt"])
def test_every_engine_refuses_them(door: object) -> None:
    with pytest.raises(TapeFault, match="close is no number"):
        door(broken("close", 2, np.nan), NONE, Terms())  # type: ignore[operator]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan("long", qty=-1), "14:31 UTC: an entry's quantity is none; size entries"),
        (Plan("long", qty=np.nan), "an entry's quantity is none"),
        (Plan("long", stop=0), "an entry's stop is no price; give a level on tick"),
        (Plan("long", target=np.inf), "an entry's target is no price"),
        (Plan("long", trail=10_000), "an entry's trail is not from 0 to below 10000 bps"),
        (Plan("long", hold=-1), "an entry's time limit is negative"),
    ],
)
def test_decisions_that_make_no_sense_are_refused(plan: Plan, words: str) -> None:
    with pytest.raises(TapeFault, match=words):
        check_decisions(TAPE, decided(4, {1: plan}))


def test_decisions_of_another_height_are_refused() -> None:
    with pytest.raises(TapeFault, match="entry_long has 3 rows for 4 bars"):
        check_decisions(TAPE, decided(3, {}))


def test_what_is_no_entry_may_hold_anything() -> None:
    loose = replace(NONE, qty=np.full(4, np.nan), stop=np.full(4, -1.0))
    assert len(simulate(TAPE, loose, Terms())) == 0
